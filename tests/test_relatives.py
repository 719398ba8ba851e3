"""The attention blocks around SE: as layers, beside SE where they are SE, and where they refuse."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from cases import RELATIVES, Case
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import fewer, over_floats, seeds, some

import numpy_se as se
from numpy_se import costs
from numpy_se import relatives as re
from numpy_se.checker import from_layer
from numpy_se.nets import Apply, BatchNorm, Conv2d, Linear, Sequential
from numpy_se.strategies import gaussian

LAYERS: dict[str, Callable[[int], re.Relative]] = {
    "ECA": re.ECA,
    "circular ECA": lambda c: re.ECA(c, size=3, circular=True),
    "sSE": re.SpatialSE,
    "scSE": lambda c: re.SCSE(c, ratio=1),
    "CBAM": lambda c: re.CBAM(c, ratio=1, size=3),
    "GE": re.GatherExcite,
    "GE over 2": lambda c: re.GatherExcite(c, extent=2),
    "GE with convolutions": lambda c: re.GatherExcite(c, stages=2),
    "eSE": re.EffectiveSE,
    "SRM": re.SRM,
    "GCT": re.GCT,
    "GC": lambda c: re.GlobalContext(c, ratio=1),
    "GC that scales": lambda c: re.GlobalContext(c, ratio=1, gate=se.sigmoid),
    "scale and bias": lambda c: re.ScaleBiasSE(c, ratio=1),
}
every_layer = pytest.mark.parametrize("kind", LAYERS)
maps = st.tuples(st.just(2), st.integers(1, 4), st.integers(1, 4), st.integers(2, 5))


def drawn(layer: re.Relative, rng: np.random.Generator) -> dict[str, Any]:
    """Parameters none of which is 0 or 1, as after some training."""
    params = layer.init(rng, np.float64)
    return {name: a + rng.uniform(0.1, 0.6, a.shape) for name, a in params.items()}


@pytest.mark.parametrize(("kind", "train"), [*((kind, None) for kind in LAYERS), ("SRM", 3)])
@fewer
@given(shape=maps, seed=seeds)
def test_gradients_of_every_layer(kind: str, train: Any, shape: Any, seed: int) -> None:
    assume(shape[1] > 1 or not kind.startswith("GC"))  # its norm wants two numbers
    rng = np.random.default_rng(seed)
    layer = LAYERS[kind](shape[1])
    params = drawn(layer, rng)
    trained = [params[name] for name in layer.names]
    op = from_layer(layer, params, train)
    report = se.gradcheck(op, rng.standard_normal(shape), *trained, seed=seed % 1000)
    assume(report.influence)
    assert report.ok, report
    assert len(report.states) == 1 + len(layer.names)


@every_layer
@given(shape=maps, seed=seeds)
def test_a_layer_stands_in_a_net(kind: str, shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, c, h, w = shape
    net = Sequential(
        conv=Conv2d(c, 6, input_grad=False),
        gate=LAYERS[kind](6),
        flatten=Apply(se.flatten),
        out=Linear(6 * h * w, 3),
    )
    params = net.init(rng)
    x = rng.standard_normal(shape).astype(np.float32)
    y, backward, _ = net.train(params, x, rng)
    _, grads = backward(np.ones_like(y))
    assert list(grads) == list(net.names)
    assert all(grads[name].shape == params[name].shape for name in grads)
    assert {a.dtype for a in (y, *grads.values())} == {np.dtype(np.float32)}
    gates = net.layers["gate"].gates(
        net.own_params(params, "gate"), np.ones((n, 6, h, w), np.float32)
    )  # type: ignore[attr-defined]
    assert len(gates) == n
    assert all(own.shape == (n, 6) for own in net.gates(params, x).values())


def parts(kind: str, rng: np.random.Generator, c: int = 6) -> tuple[Any, ...]:
    """A layer, its parameters, maps, and what comes out."""
    layer = LAYERS[kind](c)
    params, x = drawn(layer, rng), rng.standard_normal((3, c, 5, 4))
    return layer, params, x, layer(params, x)[0]


SAME_AS: dict[str, Callable[..., Any]] = {
    "ECA": re.eca,
    "circular ECA": lambda x, w: re.eca(x, w, circular=True),
    "sSE": re.spatial_se,
    "scSE": re.scse,
    "CBAM": re.cbam,
    "GE": re.gather_excite,
    "GE over 2": lambda x: re.gather_excite(x, extent=2),
    "GE with convolutions": re.gather_excite,
    "eSE": re.effective_se,
    "GCT": re.gct,
    "GC": re.global_context,
    "GC that scales": lambda *args: re.global_context(*args, gate=se.sigmoid),
    "scale and bias": re.scale_bias_se,
}


@pytest.mark.parametrize("kind", SAME_AS)
def test_a_layer_is_its_operation(kind: str) -> None:
    layer, params, x, y = parts(kind, np.random.default_rng(1))
    wanted = SAME_AS[kind](x, *(params[name] for name in layer.names))[0]
    np.testing.assert_array_equal(y, wanted)


def shifts(params: Any, x: Any) -> Any:
    """What scale-and-bias SE adds."""
    uv, _ = re.scales_and_biases(x, *(params[name] for name in ("w1", "w2", "b1", "b2")))
    return uv[:, x.shape[1] :, None, None]


REST: dict[str, Callable[[Any, Any, Any], Any]] = {  # what comes out but for the gates of channels
    "scSE": lambda p, x, s: re.spatial_se(x, p["w"])[0],
    "scale and bias": lambda p, x, s: shifts(p, x),
    "GC": lambda p, x, s: x + s[:, :, None, None] - x * s[:, :, None, None],  # nothing is scaled
}


@pytest.mark.parametrize("kind", [kind for kind in LAYERS if kind != "CBAM"])
def test_the_gates_of_a_layer_are_those_that_scale(kind: str) -> None:
    layer, params, x, y = parts(kind, np.random.default_rng(2))
    s = layer.gates(params, x)
    wide = s[:, :, None, None] if s.ndim == 2 else s
    rest = REST[kind](params, x, s) if kind in REST else 0
    np.testing.assert_allclose(x * wide + rest, y, rtol=1e-12, atol=1e-12)


def test_the_gates_of_cbam_come_first() -> None:
    layer, params, x, y = parts("CBAM", np.random.default_rng(2))
    y1 = x * layer.gates(params, x)[:, :, None, None]
    t = re.spatial_attention_gates(y1, params["w"])[0]
    np.testing.assert_allclose(y1 * t, y, rtol=1e-12, atol=1e-12)


def test_what_is_added_is_no_gate() -> None:
    for gate, count in ((None, 0), (se.sigmoid, 1)):
        net = Sequential(block=re.GlobalContext(6, ratio=2, gate=gate))
        params = net.init(np.random.default_rng(0))
        assert len(net.gates(params, np.ones((2, 6, 3, 3), np.float32))) == count


def test_how_layers_start() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 64, 5, 4))

    def start(layer: re.Relative) -> Any:
        return layer.init(rng, np.float64)

    np.testing.assert_array_equal(re.GCT(64)(start(re.GCT(64)), x)[0], x)
    for layer in (re.SpatialSE(64), re.SRM(64)):
        assert (layer.gates(start(layer), x) == 0.5).all()
    assert np.abs(start(re.ECA(64, size=9))["w"]).max() <= 1 / 3
    assert np.std(start(re.ECA(64, size=99))["w"]) == pytest.approx(1 / np.sqrt(3 * 99), rel=0.3)
    kernels = start(re.GatherExcite(256, stages=2))["w"]
    assert np.std(kernels) == pytest.approx(np.sqrt(2 / 9), rel=0.05)
    context = start(re.GlobalContext(64))
    assert not context["wk"].any()
    assert (context["gamma"] == 1).all()


def test_srm_learns_the_statistics_of_batch_norm() -> None:
    """In training it is the operation, and its statistics are those of batch norm on u."""
    rng = np.random.default_rng(4)
    layer, norm = re.SRM(5), BatchNorm(5)
    params = drawn(layer, rng)
    for _ in range(2):
        x = rng.standard_normal((3, 5, 4, 6))
        y, _, seen = layer.train(params, x, rng)
        weights = [params[name] for name in layer.names]
        np.testing.assert_allclose(y, re.srm(x, *weights)[0], rtol=1e-12, atol=1e-12)
        mean, deviation = se.global_avg_pool(x)[0], se.global_std_pool(x)[0]
        u = (params["w"][:, 0] * mean + params["w"][:, 1] * deviation)[:, :, None, None]
        _, _, wanted = norm.train({k: params[k] for k in (*norm.names, *norm.statistics)}, u, rng)
        assert seen.keys() == wanted.keys()
        for name, a in wanted.items():
            np.testing.assert_allclose(seen[name], a, rtol=1e-12)
        params |= seen
    v = norm({k: params[k] for k in (*norm.names, *norm.statistics)}, u)[0]
    gates = se.sigmoid(v[:, :, 0, 0])[0]
    np.testing.assert_allclose(layer.gates(params, x), gates, rtol=1e-9)


@every_layer
def test_a_layer_counts_what_it_has(kind: str) -> None:
    layer = LAYERS[kind](6)
    cost = costs.count_net(Sequential(gate=layer), (6, 7, 9))["gate"]
    params = layer.init(np.random.default_rng(0))
    assert cost.parameters == sum(params[name].size for name in layer.names)
    assert cost.statistics == sum(params[name].size for name in layer.statistics)
    assert cost.se_operations == OPERATIONS[kind]


C, HW = 6, 7 * 9
OPERATIONS = {  # by hand: squeezes, decisions, scales
    "ECA": C * HW + 1 * C + C * HW,
    "circular ECA": C * HW + 3 * C + C * HW,
    "sSE": 0 + C * HW + C * HW,
    "scSE": C * HW + (2 * C * C + C * HW) + 2 * C * HW,
    "CBAM": 2 * C * HW + (4 * C * C + 18 * HW) + 2 * C * HW,
    "GE": C * HW + 0 + C * HW,
    "GE over 2": C * (2 + 3 + 3 + 2) * (2 + 3 + 3 + 3 + 2) + 0 + C * HW,
    "GE with convolutions": 0 + 9 * C * (4 * 5 + 2 * 3) + C * HW,
    "eSE": C * HW + C * C + C * HW,
    "SRM": 3 * C * HW + 2 * C + C * HW,
    "GCT": C * HW + 4 * C + C * HW,
    "GC": C * HW + (2 * C * C + C * HW) + C * HW,
    "GC that scales": C * HW + (2 * C * C + C * HW) + C * HW,
    "scale and bias": C * HW + 3 * C * C + C * HW,
}


@pytest.mark.parametrize("extent", [1, 2, 3, 4])
def test_gather_excite_counts_the_pixels_of_its_windows(extent: int) -> None:
    """Even and odd sides, and windows that are larger than the map."""
    for h, w in ((4, 5), (6, 3), (2, 9)):
        layer = re.GatherExcite(2, extent=extent)
        cost = costs.count_net(Sequential(gate=layer), (2, h, w))["gate"]
        x = np.zeros((1, 2, h, w))
        z, _ = se.avg_pool2d(x, size=2 * extent - 1, stride=extent, padding=extent - 1)
        rows, columns = (
            sum(
                0 <= k * extent - extent + 1 + i < side
                for k in range(count)
                for i in range(2 * extent - 1)
            )
            for side, count in zip((h, w), z.shape[2:], strict=True)
        )
        assert cost.se_squeezes == 2 * rows * columns


def test_costs_of_blocks() -> None:
    """By hand: C = 64 at 56 x 56, r = 16."""
    c, pixels = 64, 56 * 56

    def cost(layer: re.Relative) -> costs.Cost:
        return costs.count_net(Sequential(gate=layer), (c, 56, 56))["gate"]

    assert cost(re.ECA(c)).parameters == 3
    assert cost(re.ECA(c)).se_macs == 3 * c
    assert cost(re.CBAM(c)).parameters == 2 * c * 4 + 2 * 49
    assert cost(re.CBAM(c)).se_macs == 2 * 2 * c * 4 + 98 * pixels
    assert cost(re.EffectiveSE(c)).parameters == c * c + c
    assert cost(re.SRM(c)).parameters == 4 * c
    assert cost(re.GCT(c)).parameters == 3 * c
    assert cost(re.ScaleBiasSE(c)).parameters == 3 * c * 4 + 4 + 2 * c
    assert cost(re.SCSE(c)).se_macs == 2 * c * 32 + c * pixels
    assert cost(re.GatherExcite(c, stages=2)).se_macs == 9 * c * (28 * 28 + 14 * 14)
    assert cost(re.GatherExcite(c)).parameters == 0


@pytest.mark.parametrize("sides", [(3, 5), (1, 1)], ids=["odd", "one pixel"])
@pytest.mark.parametrize("case", some(RELATIVES, 1), ids=lambda case: case.title)
def test_one_channel_and_an_odd_map(case: Case, sides: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    size = {"N": 2, "C": 1, "H": sides[0], "W": sides[1], "R": 2, "K": 3, "S": 2, "D": 2}
    terms = [term.split() for term in case.op.signature.split("->")[0].split(",")]  # type: ignore[attr-defined]
    shapes = [tuple(int(a) if a.isdigit() else size[a] for a in term) for term in terms]
    op, args = over_floats(case, [rng.standard_normal(shape) for shape in shapes])
    report = se.gradcheck(op, *args)
    assert report.verdict != "wrong", report


# SE for sequences and volumes.


@given(shape=maps, seed=seeds)
def test_on_maps_it_is_the_block(shape: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((2, *shape))
    weights = [rng.standard_normal(s) for s in ((3, shape[1]), (shape[1], 3), 3, shape[1])]
    y, backward = re.squeeze_excite_nd(x, *weights)
    wanted, back = se.squeeze_excite(x, *weights)
    np.testing.assert_allclose(y, wanted, rtol=1e-12, atol=1e-12)
    for grad, want in zip(backward(dy), back(dy), strict=True):
        np.testing.assert_allclose(grad, want, rtol=1e-9, atol=1e-12)


@given(data=st.data(), seed=seeds, lengths=st.lists(st.integers(1, 5), min_size=2, max_size=3))
def test_padding_does_not_count(data: Any, seed: int, lengths: list[int]) -> None:
    """Each sequence alone, cut to its length, gives what the batch gives."""
    rng = np.random.default_rng(seed)
    c = data.draw(st.integers(1, 4))
    x = data.draw(gaussian((len(lengths), c, 6)))
    mask = np.arange(6) < np.array(lengths)[:, None]
    dy = rng.standard_normal(x.shape) * mask[:, None]
    w1, w2 = rng.standard_normal((3, c)), rng.standard_normal((c, 3))
    y, backward = re.squeeze_excite_nd(x, w1, w2, mask=mask)
    dx, dw1, dw2 = backward(dy)
    sums = [np.zeros_like(w1), np.zeros_like(w2)]
    for k, length in enumerate(lengths):
        own, back = re.squeeze_excite_nd(x[k : k + 1, :, :length], w1, w2)
        np.testing.assert_allclose(y[k : k + 1, :, :length], own, rtol=1e-12, atol=1e-12)
        own_dx, *own_dw = back(dy[k : k + 1, :, :length])
        np.testing.assert_allclose(dx[k : k + 1, :, :length], own_dx, rtol=1e-9, atol=1e-12)
        assert not dx[k, :, length:].any()
        sums = [a + b for a, b in zip(sums, own_dw, strict=True)]
    np.testing.assert_allclose(dw1, sums[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(dw2, sums[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("places", [(5,), (2, 3), (2, 3, 2)], ids=["sequence", "map", "volume"])
@pytest.mark.parametrize("masked", [False, True])
def test_gradients_of_any_number_of_axes(places: tuple[int, ...], masked: bool) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((2, *places)) < 0.6 if masked else None
    if mask is not None:
        mask.reshape(2, -1)[:, 0] = True

    def op(x: Any, w1: Any, w2: Any, b1: Any, b2: Any) -> Any:
        return re.squeeze_excite_nd(x, w1, w2, b1, b2, mask=mask, gate=se.tanh)

    args = [rng.standard_normal(s) for s in ((2, 3, *places), (2, 3), (3, 2), 2, 3)]
    report = se.gradcheck(op, *args)
    assert report.ok, report


def test_on_any_axes_dtypes_are_kept_and_nothing_is_changed() -> None:
    rng = np.random.default_rng(0)
    shapes = ((2, 4, 3, 5), (3, 4), (4, 3), 3, 4)
    args = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    args[0] = args[0].transpose(0, 1, 3, 2)
    before = [a.copy() for a in args]
    mask = rng.random((2, 5, 3)) < 0.7
    y, backward = re.squeeze_excite_nd(*args, mask=mask)
    dy = rng.standard_normal(y.shape).astype(np.float32)
    grads, again = backward(dy), backward(dy)
    assert {a.dtype for a in (y, *grads)} == {np.dtype(np.float32)}
    assert [a.shape for a in grads] == [a.shape for a in args]
    for a, b in zip((*args, *grads), (*before, *again), strict=True):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(TypeError, match="w1 is float64; it wants float32 as x"):
        re.squeeze_excite_nd(args[0], args[1].astype(np.float64), args[2])


def test_without_a_size_for_eps_the_gates_of_gct_have_1e_5() -> None:
    rng = np.random.default_rng(0)
    x, *weights = rng.standard_normal((2, 4, 3, 5)), *rng.uniform(0.5, 2, (3, 4))
    np.testing.assert_array_equal(re.gct(x, *weights)[0], re.gct(x, *weights, eps=1e-5)[0])


X, W1, W2 = np.ones((2, 4, 6)), np.ones((3, 4)), np.ones((4, 3))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: re.squeeze_excite_nd(X, W1, W2, mask=np.zeros((2, 6), bool)),
            ValueError,
            "mask has no valid place in sample 0",
        ),
        (
            lambda: re.squeeze_excite_nd(X, W1, W2, mask=np.ones((2, 6))),
            TypeError,
            "mask is float64; it wants an array of bool",
        ),
        (
            lambda: re.squeeze_excite_nd(X, W1, W2, mask=np.ones((2, 5), bool)),
            ValueError,
            r"mask has shape \(2, 5\); it wants \(2, 6\)",
        ),
        (
            lambda: re.squeeze_excite_nd(X, W1, W2, mask=[True]),  # type: ignore[arg-type]
            TypeError,
            "mask is a list; it wants an array of bool",
        ),
        (lambda: re.squeeze_excite_nd(X[0], W1, W2), ValueError, r"it wants \(N, C, \.\.\.\)"),
        (lambda: re.eca(X[..., None], np.ones(4)), ValueError, "w has 4 weights; it wants an odd"),
        (
            lambda: re.cbam(X[..., None], W1, W2, np.ones((1, 2, 4, 4))),
            ValueError,
            "w has a size of 4; it wants an odd one",
        ),
        (
            lambda: re.cbam(X[..., None], W1, W2, np.ones((2, 2, 3, 3))),
            ValueError,
            r"cbam: w has shape \(2, 2, 3, 3\); it wants \(1, 2, K, K\)",
        ),
        (
            lambda: re.scale_bias_se(X[..., None], W1, W2, np.ones(3), np.ones(4)),
            ValueError,
            r"w2 has shape \(4, 3\); it wants 2C = 8 rows",
        ),
        (
            lambda: re.srm(X[:1, ..., None], *([np.ones((4, 2))] + 2 * [np.ones(4)])),
            ValueError,
            "srm_gates: N is 1; batch norm wants at least 2 samples",
        ),
        (lambda: re.gather_excite(X[..., None], extent=0), ValueError, "extent is 0"),
        (
            lambda: se.avg_pool2d(X[..., None], size=2, padding=2),
            ValueError,
            "size is 2; it wants at least 4, and at most 5",
        ),
        (
            lambda: se.depthwise_conv2d(X[..., None], np.ones((4, 3, 3))),
            ValueError,
            "w has kernels of 3 x 3; it wants at most 6 x 1",
        ),
        (
            lambda: se.pixel_scale(np.ones((2, 3, 4, 5)), np.ones((2, 3, 4, 5))),
            ValueError,
            r"s has shape \(2, 3, 4, 5\); it wants \(N, 1, H, W\)",
        ),
        (
            lambda: re.gather_excite(X[..., None], np.ones((1, 4, 3, 3)), extent=2),
            ValueError,
            "extent is 2; it wants None where w is given",
        ),
        (
            lambda: re.context(
                X[..., None], np.ones(4), *(np.ones(s) for s in ((1, 4), (4, 1), 1, 1, 1, 4))
            ),
            ValueError,
            r"w1 has shape \(1, 4\); layer norm wants R of at least 2",
        ),
        (lambda: re.gct(X[..., None], *3 * [np.ones(4)], eps=-1), ValueError, "eps is -1"),
        (lambda: se.layer_norm(W1, *2 * [np.ones(4)], eps=None), TypeError, "eps is None"),
        (lambda: se.gated(X[..., None], W1[:2], None), TypeError, "gated: back_gates is None"),
        (
            lambda: se.gated(X[..., None], W1[:2], lambda ds: ds)[1](X[..., None]),
            ValueError,
            r"back_gates gives dx of shape \(2, 4\); it wants \(2, 4, 6, 1\)",
        ),
        (lambda: re.ECA(0), ValueError, "ECA: channels is 0"),
        (lambda: re.ECA(4, size=4), ValueError, "ECA: size is 4; it wants an odd number"),
        (lambda: re.CBAM(32, size=4), ValueError, "CBAM: size is 4; it wants an odd number"),
        (lambda: re.CBAM(4), ValueError, "ratio"),
        (lambda: re.SCSE(4, ratio=0), ValueError, "ratio"),
        (lambda: re.GatherExcite(4, extent=0), ValueError, "GatherExcite: extent is 0"),
        (lambda: re.GatherExcite(4, extent=2, stages=1), ValueError, "it wants None where there"),
        (lambda: re.GlobalContext(16), ValueError, "layer norm wants two hidden units or more"),
        (
            lambda: re.GlobalContext(64, gate="sigmoid"),  # type: ignore[arg-type]
            TypeError,
            "GlobalContext: gate is",
        ),
        (lambda: re.SRM(4).init("seed"), TypeError, "rng"),  # type: ignore[arg-type]
        (
            lambda: re.ECA(64)({"w": np.ones(3)}, X[..., None]),
            ValueError,
            "ECA: x has 4 channels; the layer wants 64",
        ),
        (lambda: re.CBAM(16, size=0), ValueError, "CBAM: size is 0"),
        (lambda: re.GatherExcite(4, stages=-1), ValueError, "GatherExcite: stages is -1"),
        (lambda: re.eca_size(0), ValueError, "eca_size: channels is 0"),
    ],
)
def test_what_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_the_size_of_ecas_kernel() -> None:
    """Those of ECA-Net for ResNet's stages."""
    assert [re.eca_size(c) for c in (64, 128, 256, 512, 1024, 2048)] == [3, 5, 5, 5, 5, 7]
