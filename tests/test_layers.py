"""Layers with statistics and noise, in training and in evaluation; layers side by side."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import fewer, seeds

import numpy_se as se
from numpy_se.checker import from_layer
from numpy_se.nets import (
    Apply,
    BatchNorm,
    Both,
    Conv2d,
    Dropout,
    Layer,
    Linear,
    Sequential,
    SqueezeExcite,
    residual,
    tiny_net,
)

maps = st.tuples(*(st.integers(low, 5) for low in (2, 1, 1, 2)))  # (N, C, H, W)
modes = pytest.mark.parametrize("train", [None, 3], ids=["evaluation", "training"])


def drawn(layer: Layer, rng: np.random.Generator) -> Any:
    """Parameters of ``layer`` none of which is 0 or 1, as after some training."""
    params = layer.init(rng, np.float64)
    return {
        key: a + rng.uniform(0.2, 0.9, a.shape) if a.ndim == 1 else a for key, a in params.items()
    }


def layers_on(channels: int) -> dict[str, Layer]:
    """One layer of every kind that keeps the number of channels, and some in others."""
    return {
        "conv": Conv2d(channels, channels, bias=False),
        "norm": BatchNorm(channels),
        "dropout": Dropout(0.4),
        "se": SqueezeExcite(channels, ratio=1, bias=True),
        "apply": Apply(se.silu),
        "residual": residual(Sequential(norm=BatchNorm(channels), noise=Dropout(0.3))),
        "both": Both(se.add, left=BatchNorm(channels), right=Conv2d(channels, channels)),
    }


@modes
@pytest.mark.parametrize("kind", layers_on(1))
@fewer
@given(shape=maps, seed=seeds)
def test_gradients_of_every_layer(kind: str, train: Any, shape: Any, seed: int) -> None:
    layer, rng = layers_on(shape[1])[kind], np.random.default_rng(seed)
    params = drawn(layer, rng)
    op = from_layer(layer, params, train)
    trained = [params[name] for name in layer.names]
    report = se.gradcheck(op, rng.standard_normal(shape), *trained, seed=seed % 1000)
    assume(report.influence)  # dropout may let nothing through
    assert report.ok, report
    assert len(report.states) == 1 + len(layer.names)


@given(shape=maps, seed=seeds)
def test_training_and_evaluation_agree_where_nothing_is_random(shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    layer = Sequential(conv=Conv2d(shape[1], 3), relu=Apply(se.relu), se=SqueezeExcite(3, 1))
    params, x = layer.init(rng, np.float64), rng.standard_normal(shape)
    y, _, after = layer.train(params, x, rng)
    np.testing.assert_array_equal(y, layer(params, x)[0])
    assert after == {}
    assert not layer.whole_batch


@given(
    shape=maps,
    seed=seeds,
    momentum=st.floats(0.01, 1),
    eps=st.floats(1e-9, 1),
    steps=st.integers(1, 4),
)
def test_statistics_follow_the_batches(
    shape: Any, seed: int, momentum: float, eps: float, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    layer = BatchNorm(shape[1], momentum, eps)
    params = layer.init(rng, np.float64)
    want_mean, want_variance = np.zeros(shape[1]), np.ones(shape[1])
    for _ in range(steps):
        x = rng.normal(3, 2, shape)
        before = {key: a.copy() for key, a in params.items()}
        y, _, after = layer.train(params, x, rng)
        values = x.transpose(1, 0, 2, 3).reshape(shape[1], -1)
        want_mean = (1 - momentum) * want_mean + momentum * values.mean(axis=1)
        want_variance = (1 - momentum) * want_variance + momentum * values.var(axis=1, ddof=1)
        wanted, _ = se.batch_norm(x, params["gamma"], params["beta"], eps=eps)
        np.testing.assert_allclose(y, wanted, rtol=1e-10, atol=1e-10)
        assert all((params[key] == a).all() for key, a in before.items())  # nothing is changed
        params |= after
    np.testing.assert_allclose(params["mean"], want_mean, rtol=1e-12)
    np.testing.assert_allclose(params["variance"], want_variance, rtol=1e-12)
    want = (x - want_mean[:, None, None]) / np.sqrt(want_variance + eps)[:, None, None]
    np.testing.assert_allclose(layer(params, x)[0], want, rtol=1e-10, atol=1e-10)


@given(shape=maps, seed=seeds, rate=st.floats(0, 0.99))
def test_dropout(shape: Any, seed: int, rate: float) -> None:
    layer, x = Dropout(rate), np.random.default_rng(seed).uniform(1, 2, shape)
    y, backward, after = layer.train({}, x, np.random.default_rng(7))
    again, _, _ = layer.train({}, x, np.random.default_rng(7))
    np.testing.assert_array_equal(y, again)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - rate), rtol=1e-12)
    dy = np.random.default_rng(seed + 1).standard_normal(shape)
    np.testing.assert_allclose(backward(dy)[0], np.where(kept, dy / (1 - rate), 0), rtol=1e-12)
    assert after == {}
    y, backward = layer({}, x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(backward(dy)[0], dy)


@modes
def test_dropout_refuses_what_it_would_spread(train: Any) -> None:
    layer, x = Dropout(0.5), np.ones((4, 3))

    def run(x: Any) -> Any:
        rng = np.random.default_rng(0)
        return layer({}, x) if train is None else layer.train({}, x, rng)[:2]

    with pytest.raises(TypeError, match="x is int64; it wants float32 or float64"):
        run(x.astype(np.int64))
    with pytest.raises(ValueError, match=r"dy has shape \(3,\); it wants \(4, 3\)"):
        run(x)[1](np.ones(3))


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_dropout_keeps_the_mean(rate: float) -> None:
    y, _, _ = Dropout(rate).train({}, np.ones((100, 10, 10, 10)), np.random.default_rng(0))
    assert (y == 0).mean() == pytest.approx(rate, abs=0.01)
    assert y.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", layers_on(1))
def test_every_layer_keeps_the_dtype_in_training(kind: str, dtype: Any) -> None:
    layer, rng = layers_on(4)[kind], np.random.default_rng(0)
    params = layer.init(rng, dtype)
    y, backward, after = layer.train(params, rng.standard_normal((2, 4, 5, 3)).astype(dtype), rng)
    dx, grads = backward(np.ones_like(y))
    arrays = {"y": y, "dx": dx, **grads, **after}
    assert {key: a.dtype for key, a in arrays.items()} == dict.fromkeys(arrays, np.dtype(dtype))
    assert all(a.flags.writeable for a in arrays.values())
    assert set(grads) == set(layer.names)
    assert set(after) == set(layer.statistics)
    assert set(params) == {*layer.names, *layer.statistics}


@modes
@pytest.mark.parametrize("kind", layers_on(1))
def test_layers_share_no_memory_with_what_they_get(kind: str, train: Any) -> None:
    layer, rng = layers_on(4)[kind], np.random.default_rng(0)
    params, x = layer.init(rng, np.float64), rng.standard_normal((2, 4, 5, 3))
    y, backward = layer(params, x) if train is None else layer.train(params, x, rng)[:2]
    dy = np.ones_like(y)
    dx, grads = backward(dy)
    for result in (y, dx, *grads.values()):
        for given_array in (x, dy, *params.values()):
            assert not np.shares_memory(result, given_array)


def test_layers_that_mix_samples_or_their_noise_want_whole_batches() -> None:
    whole = {kind for kind, layer in layers_on(4).items() if layer.whole_batch}
    assert whole == {"norm", "dropout", "residual", "both"}


@pytest.mark.parametrize("layer", [BatchNorm(4), Dropout(0.2)], ids=["norm", "dropout"])
def test_statistics_and_noise_want_whole_batches(layer: Layer) -> None:
    assert not Sequential(conv=Conv2d(1, 4)).whole_batch
    assert residual(Sequential(conv=Conv2d(4, 4), inner=layer)).whole_batch


def test_a_net_knows_the_statistics_of_its_layers() -> None:
    net = Sequential(
        stem=Conv2d(1, 4),
        unit=residual(Sequential(norm=BatchNorm(4), se=SqueezeExcite(4, 2)), Conv2d(4, 4)),
        pool=Apply(se.global_avg_pool),
        drop=Dropout(0.2),
        last=Linear(4, 3),
    )
    assert net.statistics == ("unit.branch.norm.mean", "unit.branch.norm.variance")
    assert net.whole_batch
    rng = np.random.default_rng(0)
    params = net.init(rng, np.float64)
    assert set(params) == {*net.names, *net.statistics}
    y, backward, after = net.train(params, rng.standard_normal((3, 1, 5, 4)), rng)
    assert set(after) == set(net.statistics)
    assert set(backward(np.ones_like(y))[1]) == set(net.names)


def test_both_merges_two_layers_by_any_operation() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 5))
    gates = Sequential(pool=Apply(se.global_avg_pool), gate=Apply(se.sigmoid))
    layer = Both(se.channel_scale, x=Sequential(), gates=gates)
    want = x * se.sigmoid(x.mean(axis=(2, 3)))[0][:, :, None, None]
    np.testing.assert_allclose(layer({}, x)[0], want, rtol=1e-12)
    assert repr(layer).startswith("Both(\n    channel_scale,\n    x=Sequential(")
    for layers in ({}, {"a": Sequential()}, dict.fromkeys("abc", Sequential())):
        with pytest.raises(TypeError, match=r"layers is [013]; it wants two, with names"):
            Both(se.add, **layers)


class Counted(Layer):
    """A layer that counts how often it runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, params: Any, x: Any) -> Any:
        self.runs += 1
        return x + 1, lambda dy: (dy.copy(), {})


def test_gates_of_any_depth_are_found_and_nothing_runs_twice() -> None:
    count = Counted()
    inner = Sequential(count=count, se=SqueezeExcite(3, 1))
    unit = residual(Sequential(inner=inner), shortcut=SqueezeExcite(3, 3))
    net = Sequential(first=SqueezeExcite(3, 1), unit=Sequential(sum=unit, end=SqueezeExcite(3, 1)))
    rng = np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((4, 3, 5, 2))
    gates = net.gates(params, x)
    names = ["first", "unit.sum.branch.inner.se", "unit.sum.shortcut", "unit.end"]
    assert list(gates) == names
    assert count.runs == 1
    steps = {step.name: step for step in net.walk(params, x)}
    for name in names:
        step = steps[name]
        np.testing.assert_allclose(step.y, step.x * gates[name][:, :, None, None], rtol=1e-12)
    np.testing.assert_allclose(steps["unit.end"].y, net(params, x)[0], rtol=1e-12)


def test_a_layer_is_found_and_replaced_at_any_depth() -> None:
    unit = residual(Sequential(norm=BatchNorm(3), se=SqueezeExcite(3, 1)))
    net = Sequential(conv=Conv2d(2, 3), unit=Sequential(sum=unit, relu=Apply(se.relu)))
    rng = np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((2, 2, 4, 5))
    assert net.find("unit.sum.branch.se") == SqueezeExcite(3, 1)
    other = net.replace("unit.sum.branch.se", SqueezeExcite(3, 1, gate=se.tanh))
    assert net.find("unit.sum.branch.se") == SqueezeExcite(3, 1)
    assert (other(params, x)[0] != net(params, x)[0]).any()
    for name in ("norm", "unit.norm", "conv.w", "unit.sum.branch.se.w1", ""):
        for call in (net.find, lambda name: net.replace(name, Sequential())):
            with pytest.raises(ValueError, match=f"there is no layer .*{name.split('.')[-1]}"):
                call(name)


@pytest.mark.parametrize("run", ["evaluation", "training", "walk"])
def test_errors_name_the_layer(run: str) -> None:
    unit = Sequential(sum=residual(Sequential(se2=SqueezeExcite(4, 2))))
    net = Sequential(conv=Conv2d(1, 4), unit=unit)
    params = net.init(np.random.default_rng(0))
    params["unit.sum.branch.se2.w1"] = np.ones((2, 4))
    x = np.ones((2, 1, 6, 5), np.float32)
    runs: dict[str, Any] = {
        "evaluation": lambda: net(params, x),
        "training": lambda: net.train(params, x, np.random.default_rng(0)),
        "walk": lambda: list(net.walk(params, x)),
    }
    with pytest.raises(TypeError, match=r"^unit: sum: branch: se2: .*w1 is float64; it wants fl"):
        runs[run]()


class Bias(Layer):
    """A layer of somebody's own, with the dict of gradients that ``give`` makes of the right one.

    It draws noise in training, though it has no statistics.
    """

    names = ("b",)

    def __init__(self, give: Any = lambda b: {"b": b}, dx: Any = lambda dy: dy.copy()) -> None:
        self.give, self.dx = give, dx

    def init(self, rng: Any, dtype: Any = np.float32) -> Any:
        return {"b": np.zeros(3, dtype)}

    def __call__(self, params: Any, x: Any) -> Any:
        return x + params["b"], lambda dy: (self.dx(dy), self.give(dy.sum(axis=0)))

    def train(self, params: Any, x: Any, rng: Any) -> Any:
        y, backward = self(params, x)
        return y + rng.standard_normal(x.shape), backward, {}


@modes
@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (Bias(lambda b: {}), "own: the dict of gradients lacks b; it wants b"),
        (Bias(lambda b: {"bias": b}), "own: the dict of gradients lacks b"),
        (Bias(lambda b: {"b": b, "c": b}), "own: the dict of gradients has c, which it must not"),
        (
            Bias(lambda b: {"b": b[None]}),
            r"own: the gradient of b has shape \(1, 3\); it wants \(3",
        ),
        (Bias(lambda b: {"b": b.astype(np.float32)}), "gradient of b is float32; it wants float64"),
        (Bias(lambda b: {"b": 3}), "own: the gradient of b is an int; it wants a NumPy array"),
        (Bias(lambda b: b), "own: backward gives a tuple of 2; it wants dx, and a dict of gradie"),
        (Bias(dx=lambda dy: dy[0]), r"own: the gradient of x has shape \(3,\); it wants \(2, 3\)"),
        (Bias(dx=lambda dy: (dy,)), "own: the gradient of x is a tuple; it wants a NumPy array"),
    ],
)
def test_gradients_of_own_layers_must_fit(layer: Layer, words: str, train: Any) -> None:
    net, rng = Sequential(a=Linear(4, 3), own=layer), np.random.default_rng(0)
    params, x = net.init(rng, np.float64), rng.standard_normal((2, 4))
    backward = net(params, x)[1] if train is None else net.train(params, x, rng)[1]
    with pytest.raises((ValueError, TypeError), match=words):
        backward(np.ones((2, 3)))


def test_a_layer_that_trains_in_its_own_way_wants_whole_batches() -> None:
    assert Bias().whole_batch
    assert Sequential(own=Bias()).whole_batch
    assert not Sequential(a=Linear(4, 3)).whole_batch


def test_layers_have_any_name() -> None:
    net = Sequential(self=Both(se.add, merge=Linear(4, 3), self=Linear(4, 3)))
    net = net.after("self", place=Linear(3, 2))
    params = net.init(np.random.default_rng(0))
    assert "self.merge.w" in params
    assert net(params, np.ones((5, 4), np.float32))[0].shape == (5, 2)


def test_a_layer_must_give_its_backward() -> None:
    class Half(Layer):
        def __call__(self, params: Any, x: Any) -> Any:
            return x

    with pytest.raises(
        TypeError, match="half: the layer gives an ndarray; it must give y, backward"
    ):
        Sequential(half=Half())({}, np.ones((2, 3)))


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Dropout(1), ValueError, "Dropout: rate is 1; it wants at least 0, and less"),
        (lambda: Dropout(-0.1), ValueError, "Dropout: rate is -0.1"),
        (lambda: BatchNorm(0), ValueError, "BatchNorm: channels is 0"),
        (lambda: Dropout("0.5"), TypeError, "Dropout: rate is '0.5'; it wants a number"),
        (lambda: BatchNorm(3, momentum=0), ValueError, "BatchNorm: momentum is 0"),
        (lambda: BatchNorm(3, momentum=None), TypeError, "BatchNorm: momentum is None; it wants a"),
        (lambda: BatchNorm(3, eps="a"), TypeError, "BatchNorm: eps is 'a'; it wants a number"),
        (lambda: BatchNorm(3, eps=-1), ValueError, "BatchNorm: eps is -1; it wants a number of at"),
        (lambda: BatchNorm(3, eps=np.nan), ValueError, "BatchNorm: eps is nan"),
        (lambda: BatchNorm(3, momentum=1.5), ValueError, "momentum is 1.5; .* and at most 1"),
        (lambda: Conv2d(0, 3), ValueError, "Conv2d: channels is 0"),
        (lambda: Conv2d(1, 3, padding=-1), ValueError, "Conv2d: padding is -1; it wants at least"),
        (lambda: Linear(3, 2.5), TypeError, "Linear: outputs is 2.5"),
        (lambda: Linear(0, 3), ValueError, "Linear: inputs is 0; it wants at least 1"),
        (lambda: Linear(3, 0), ValueError, "Linear: outputs is 0; it wants at least 1"),
        (lambda: Sequential(f=se.relu), TypeError, r"f is a function; it wants Apply\(op\)"),
        (lambda: Sequential(f=3), TypeError, "f is an int; it wants a Layer"),
        (
            lambda: tiny_net().replace("relu1", se.relu),
            TypeError,
            "replace: relu1 is a function; it",
        ),
        (lambda: tiny_net().replace("relu1", None), TypeError, "replace: relu1 is None"),
        (lambda: Sequential(Linear(3, 4)), TypeError, r"Linear\(.*\) has no name; write name=Laye"),
        (lambda: Both(se.add, Linear(3, 4), Linear(3, 4)), TypeError, "Both: Linear.* has no name"),
        (lambda: Both("add", a=Linear(3, 4)), TypeError, "Both: merge is 'add'; it wants an opera"),
        (lambda: Apply("relu"), TypeError, "Apply: op is 'relu'; it wants an operation such as"),
        (lambda: Apply(se.max_pool2d, 2), TypeError, r"no name; write Apply\(max_pool2d, size=2"),
        (lambda: Conv2d(1, 2, padding="same"), TypeError, "'same'.*; without one, a map keeps its"),
        (lambda: SqueezeExcite(8, 2, gate="sigmoid"), TypeError, "SqueezeExcite: gate is 'sigmoid"),
        (lambda: SqueezeExcite(8, 2, squeeze=np.ones((9, 9))), TypeError, "squeeze is an ndarray;"),
        (lambda: SqueezeExcite(8, width=0), ValueError, "SqueezeExcite: width is 0; it wants at l"),
        (lambda: SqueezeExcite(0, width=3), ValueError, "SqueezeExcite: channels is 0; it wants a"),
        (lambda: residual(se.relu), TypeError, r"branch is a function; it wants Apply\(op\)"),
        (lambda: Sequential(a=Linear(2, 3)).init(0), TypeError, "rng is 0; it wants a generator"),
        (lambda: Linear(2, 3).init(0), TypeError, "init: rng is 0; it wants a generator, such as"),
        (lambda: Sequential().train({}, np.ones(1), None), TypeError, "train: rng is None; it wan"),
        (lambda: residual(Sequential()).train({}, np.ones(1), 0), TypeError, "train: rng is 0; it"),
        (lambda: Dropout().train({}, np.ones(1), np.random), TypeError, "Dropout: rng is a module"),
    ],
)
def test_bad_settings_are_refused(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


def test_arguments_that_are_swapped_are_told() -> None:
    net = Sequential(a=Linear(2, 3))
    with pytest.raises(TypeError, match=r"params is an ndarray; it wants a dict: net\(params, x\)"):
        net(np.ones((1, 2)), net.init(np.random.default_rng(0)))  # type: ignore[arg-type]


def test_parameters_of_another_net_are_refused() -> None:
    params = tiny_net(8).init(np.random.default_rng(0))
    x = np.ones((1, 1, 28, 28), np.float32)
    want = r"params: se3\.w1 has shape \(8, 64\); this net wants \(16, 64\)"
    for call in (tiny_net(4), tiny_net(4).gates):
        with pytest.raises(ValueError, match=want):
            call(params, x)


@pytest.mark.parametrize("kind", layers_on(1))
def test_layers_draw_arrays_of_the_shapes_that_they_tell(kind: str) -> None:
    layer = layers_on(4)[kind]
    params = layer.init(np.random.default_rng(0))
    assert layer.shapes == {name: a.shape for name, a in params.items() if "." not in name}


def test_only_the_first_layer_may_leave_its_input_gradient_out() -> None:
    conv = Conv2d(2, 2, input_grad=False)
    x, rng = np.ones((2, 2, 4, 5)), np.random.default_rng(0)
    net = Sequential(first=Conv2d(2, 2), unit=Sequential(relu=Apply(se.relu), conv=conv))
    y, backward = net(net.init(rng, np.float64), x)
    with pytest.raises(TypeError, match=r"^unit: relu: dy is None; only the first layer may hav"):
        backward(y)
    unit = residual(conv)
    y, backward = unit(unit.init(rng, np.float64), x)
    with pytest.raises(TypeError, match="Both: dx is None; a layer in it wants input_grad=True"):
        backward(y)


def test_layers_print_as_they_are_written() -> None:
    layer = SqueezeExcite(8, 2, gate=se.hard_sigmoid)
    assert repr(layer) == (
        "SqueezeExcite(channels=8, ratio=2, rule='paper', bias=False, squeeze=global_avg_pool, "
        "gate=hard_sigmoid, width=None, activation=relu)"
    )
    pool = partial(se.max_pool2d, size=2)
    assert repr(Apply(pool)) == "Apply(partial(max_pool2d, size=2))"
    assert repr(Apply(se.excite, gate=se.tanh)) == "Apply(excite, gate=tanh)"


@given(channels=st.integers(1, 64), seed=seeds)
def test_a_block_of_any_width(channels: int, seed: int) -> None:
    width = seed % 40 + 1
    layer = SqueezeExcite(channels, width=width, bias=True)
    params = layer.init(np.random.default_rng(0))
    assert params["w1"].shape == (width, channels)
    counts = layer.counts(np.ones((1, channels, 2, 3)))
    assert counts["se_weights"] + counts["se_biases"] == sum(a.size for a in params.values())
