"""Layers and nets: parameters, names, SE after any layer, initialisation."""

import weakref
from functools import partial
from typing import Any

import numpy as np
import pytest

import numpy_se as se
from numpy_se.checker import from_layer
from numpy_se.nets import (
    Apply,
    Conv2d,
    Linear,
    Sequential,
    SqueezeExcite,
    named_net,
    residual,
    se_resnet,
    tiny_net,
)


def count(params: Any) -> int:
    return sum(a.size for a in params.values())


def test_the_tiny_net_has_the_parameters_that_its_layers_have() -> None:
    params = tiny_net().init(np.random.default_rng(0))
    convs = (16 * 9 + 16) + (16 * 32 * 9 + 32) + (32 * 64 * 9 + 64)
    blocks = 2 * (16 * 8 + 32 * 8 + 64 * 16)  # at least 8 hidden units
    assert count(params) == convs + blocks + (64 * 3 * 3 * 10 + 10)
    assert count(tiny_net(ratio=None).init(np.random.default_rng(0))) == count(params) - blocks
    assert count({k: a for k, a in params.items() if k.startswith("se")}) == blocks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_net_keeps_the_dtype_and_the_keys(dtype: Any) -> None:
    net = tiny_net()
    params = net.init(np.random.default_rng(0), dtype)
    assert {a.dtype for a in params.values()} == {np.dtype(dtype)}
    x = np.random.default_rng(1).standard_normal((3, 1, 28, 28)).astype(dtype)
    y, backward = net(params, x)
    assert (y.shape, y.dtype) == ((3, 10), dtype)
    dx, grads = backward(np.ones_like(y))
    assert (dx.shape, dx.dtype) == (x.shape, dtype)
    assert list(grads) == list(params)
    assert all(grads[k].shape == a.shape and grads[k].dtype == dtype for k, a in params.items())


def test_grads_have_the_order_of_params_in_any_order() -> None:
    net = Sequential(a=Linear(3, 4), b=Linear(4, 2))
    params = net.init(np.random.default_rng(0), np.float64)
    shuffled = {key: params[key] for key in ("b.b", "a.w", "b.w", "a.b")}
    x, dy = np.random.default_rng(1).standard_normal((5, 3)), np.ones((5, 2))
    _, grads = net(params, x)[1](dy)
    _, shuffled_grads = net(shuffled, x)[1](dy)
    assert list(shuffled_grads) == list(shuffled)
    for key in params:
        np.testing.assert_array_equal(shuffled_grads[key], grads[key])


def test_the_same_seed_gives_the_same_parameters() -> None:
    first, second, other = (tiny_net().init(np.random.default_rng(s)) for s in (7, 7, 8))
    assert all((first[key] == second[key]).all() for key in first)
    assert (first["conv1.w"] != other["conv1.w"]).any()


def test_he_initialisation_keeps_the_size_of_activations() -> None:
    rng = np.random.default_rng(0)
    net = Sequential(conv=Conv2d(64, 256), relu=Apply(se.relu))
    x = rng.standard_normal((4, 64, 12, 12))
    y, _ = net(net.init(rng, np.float64), x)
    inner = y[:, :, 1:-1, 1:-1]
    assert np.mean(inner**2) == pytest.approx(np.mean(x**2), rel=0.05)


def test_an_se_block_after_any_layer_in_one_line() -> None:
    plain = Sequential(conv=Conv2d(3, 8), relu=Apply(se.relu))
    net = plain.after("conv", se=SqueezeExcite(8, ratio=2, bias=True))
    assert list(net.layers) == ["conv", "se", "relu"]
    assert list(plain.layers) == ["conv", "relu"]
    params = net.init(np.random.default_rng(0), np.float64)
    assert [key for key in params if key.startswith("se")] == ["se.w1", "se.w2", "se.b1", "se.b2"]
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 4))
    conv, _ = se.conv2d(x, params["conv.w"], params["conv.b"], padding=1)
    weights = (params[f"se.{key}"] for key in ("w1", "w2", "b1", "b2"))
    want = se.relu(se.squeeze_excite(conv, *weights)[0])[0]
    np.testing.assert_allclose(net(params, x)[0], want, rtol=1e-12)


def test_after_refuses_wrong_names() -> None:
    net = Sequential(conv=Conv2d(3, 8))
    with pytest.raises(ValueError, match="place is 'relu'; it wants one of conv"):
        net.after("relu", se=SqueezeExcite(8, 2))
    with pytest.raises(ValueError, match=r"a layer is named 'a\.b'; names want no dot"):
        Sequential(**{"a.b": Conv2d(3, 8)})
    with pytest.raises(ValueError, match="the net has a layer conv already"):
        net.after("conv", conv=SqueezeExcite(8, 2))


def test_a_net_on_data_leaves_the_gradient_of_its_input_out() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 1, 28, 28)), rng.standard_normal((2, 10))
    params = tiny_net().init(rng, np.float64)
    dx, grads = tiny_net()(params, x)[1](dy)
    no_dx, same = tiny_net(input_grad=False)(params, x)[1](dy)
    assert dx.shape == x.shape
    assert no_dx is None
    for name, grad in grads.items():
        np.testing.assert_array_equal(same[name], grad)


def test_nets_nest() -> None:
    stage = Sequential(conv=Conv2d(2, 4), se=SqueezeExcite(4, 2))
    net = Sequential(first=stage, pool=Apply(se.global_avg_pool), last=Linear(4, 3))
    params = net.init(np.random.default_rng(0), np.float64)
    assert "first.se.w1" in params
    y, backward = net(params, np.ones((2, 2, 4, 3)))
    assert list(backward(np.ones_like(y))[1]) == list(params)
    assert list(net.gates(params, np.ones((2, 2, 4, 3)))) == ["first.se"]


def test_a_residual_layer_adds_its_input() -> None:
    branch = Sequential(conv=Conv2d(3, 3), se=SqueezeExcite(3, 1))
    layer = residual(branch)
    params = layer.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 4))
    own = {key.removeprefix("branch."): a for key, a in params.items()}
    np.testing.assert_array_equal(layer(params, x)[0], branch(own, x)[0] + x)
    assert list(layer.gates(params, x)) == ["branch.se"]


@pytest.mark.parametrize("ratio", [64, 17])
def test_a_ratio_that_leaves_no_hidden_unit_is_refused(ratio: int) -> None:
    with pytest.raises(ValueError, match=r"16 channels at ratio .* leave no hidden unit"):
        SqueezeExcite(16, ratio)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("whole", [lambda net: net, lambda net: Sequential(a=net), residual])
def test_a_net_keeps_no_map_that_its_layers_let_go(whole: Any, train: bool) -> None:
    """``backward`` of this operation needs no map, so none may live on."""
    maps: list[Any] = []

    def double(x: Any) -> Any:
        y = 2 * x
        maps.append(weakref.ref(y))
        return y, lambda dy: 2 * dy

    net, x = whole(Sequential(**{name: Apply(double) for name in "abc"})), np.ones((2, 3))
    rng = np.random.default_rng(0)
    y, backward, *_ = net.train({}, x, rng) if train else net({}, x)
    inner = maps if whole is residual else maps[:2]  # else the last one is y
    assert all(each() is None for each in inner)
    slope = y[0, 0]
    np.testing.assert_array_equal(backward(np.ones_like(y))[0], np.full_like(x, slope))


def test_a_net_prints_its_layers() -> None:
    net = Sequential(first=Sequential(fc=Linear(3, 2)), pool=Apply(se.max_pool2d, size=2))
    assert repr(net) == (
        "Sequential(\n    first=Sequential(\n        fc=Linear(inputs=3, outputs=2, bias=True),\n"
        "    ),\n    pool=Apply(max_pool2d, size=2),\n)"
    )


def test_an_operation_without_a_name_can_be_a_layer() -> None:
    layer = Apply(partial(se.max_pool2d, size=2))
    assert layer({}, np.ones((1, 2, 4, 6)))[0].shape == (1, 2, 2, 3)


def test_the_options_of_the_block_reach_it() -> None:
    options = {"squeeze": se.global_max_pool, "gate": se.hard_sigmoid}
    layer = SqueezeExcite(8, ratio=16, rule="timm", **options)  # type: ignore[arg-type]
    params = layer.init(np.random.default_rng(0), np.float64)
    assert params["w1"].shape == (8, 8)
    x = np.random.default_rng(1).standard_normal((2, 8, 5, 4))
    op = partial(se.squeeze_excite, **options)  # type: ignore[arg-type]
    np.testing.assert_array_equal(layer(params, x)[0], op(x, params["w1"], params["w2"])[0])


def test_gates_are_what_the_blocks_multiply_by() -> None:
    net = Sequential(conv=Conv2d(1, 8), se=SqueezeExcite(8, 2), pool=Apply(se.max_pool2d))
    params = net.init(np.random.default_rng(0), np.float64)
    x = np.random.default_rng(1).standard_normal((3, 1, 6, 4))
    gates = net.gates(params, x)
    assert list(gates) == ["se"]
    conv, _ = se.conv2d(x, params["conv.w"], params["conv.b"], padding=1)
    want = se.max_pool2d(conv * gates["se"][:, :, None, None])[0]
    np.testing.assert_allclose(net(params, x)[0], want, rtol=1e-12)


def test_missing_and_unknown_parameters_are_named() -> None:
    net = Sequential(fc=Linear(3, 2))
    params = net.init(np.random.default_rng(0), np.float64)
    for call in (net, net.gates):
        with pytest.raises(ValueError, match=r"lacks fc\.b"):
            call({"fc.w": params["fc.w"]}, np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"has fd\.w, which it must not; it wants fc\.w, fc\.b"):
        net(params | {"fd.w": np.ones(1)}, np.ones((1, 3)))


@pytest.mark.parametrize("ratio", [4, None])
@pytest.mark.parametrize("depth", [8, 14, 20])
def test_se_resnet_has_the_layers_that_its_depth_says(depth: int, ratio: Any) -> None:
    """Weights of two papers: 6n + 2 layers with weights, 2 C^2 / r for each block, projections."""
    net, units = se_resnet(depth, ratio), (depth - 2) // 6
    params = net.init(np.random.default_rng(0))
    layers = [key for key in params if key.endswith(".w") and "shortcut" not in key]
    assert len(layers) == depth
    blocks = sum(a.size for key, a in params.items() if ".se." in key)
    assert blocks == (units * sum(2 * c * c // 4 for c in (16, 32, 64)) if ratio else 0)
    projections = [a.shape for key, a in params.items() if key.endswith("shortcut.conv.w")]
    assert projections == [(32, 16, 1, 1), (64, 32, 1, 1)]
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28), np.float32)
    steps = {step.name: step for step in net.walk(params, x)}
    for stage, shape in enumerate([(16, 28, 28), (32, 14, 14), (64, 7, 7)], start=1):
        assert steps[f"unit{stage}_{units}.relu"].y.shape == (2, *shape)
    assert steps["classify"].y.shape == (2, 10)


@pytest.mark.parametrize("place", ["standard", "pre", "post", "identity"])
def test_the_block_stands_where_its_place_says(place: Any) -> None:
    net = se_resnet(8, 4, place=place)
    params = net.init(np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28), np.float32)
    order = [step.name.removeprefix("unit2_1.") for step in net.walk(params, x)]
    before, after = {
        "standard": ("sum.branch.norm2", "sum.shortcut.conv"),
        "pre": ("unit1_1.relu", "sum.branch.conv1"),
        "post": ("relu", "unit3_1.sum.branch.conv1"),
        "identity": ("sum.shortcut.norm", "relu"),
    }[place]
    at = next(i for i, name in enumerate(order) if name.endswith("se") and "unit" not in name)
    assert (order[at - 1], order[at + 1]) == (before, after)
    assert len(net.gates(params, x)) == 3


@pytest.mark.parametrize(
    "train", [pytest.param(None, marks=pytest.mark.slow), 5], ids=["evaluation", "training"]
)
def test_gradients_of_the_whole_se_resnet(train: Any) -> None:
    rng = np.random.default_rng(3)
    net = se_resnet(8, 2, 2, channels=2, classes=3)
    params = {
        key: a + rng.uniform(0.1, 0.6, a.shape) if a.ndim == 1 else a
        for key, a in net.init(rng, np.float64).items()
    }
    op, trained = from_layer(net, params, train), [params[name] for name in net.names]
    report = se.gradcheck(op, rng.standard_normal((2, 2, 6, 5)), *trained)
    assert report.ok, report
    assert len(report.states) == 1 + len(net.names)


def test_the_tiny_net_takes_the_shape_of_its_images() -> None:
    net = tiny_net(4, 5, (3, 17, 26))
    params = net.init(np.random.default_rng(0))
    assert net(params, np.ones((2, 3, 17, 26), np.float32))[0].shape == (2, 5)
    with pytest.raises(ValueError, match=r"shape is \(3, 7, 26\); it wants at least 8 x 8 pixels"):
        tiny_net(4, 5, (3, 7, 26))
    with pytest.raises(ValueError, match="tiny_net: classes is 0; it wants at least 1"):
        tiny_net(classes=0)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 10}, r"depth is 10; it wants 8, 14, 20, \.\.\. \(6n \+ 2\)"),
        ({"depth": 2}, "depth is 2"),
        ({"place": "before"}, "place is 'before'; it wants standard, pre, post or identity"),
        ({"ratio": 32}, "16 channels at ratio 32 leave no hidden unit"),
    ],
)
def test_an_se_resnet_that_cannot_be_is_refused(settings: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        se_resnet(**settings)


def test_nets_have_the_defaults_that_they_tell() -> None:
    sizes = [
        count(net.init(np.random.default_rng(0))) for net in (se_resnet(), named_net("resnet20"))
    ]
    assert sizes == [count(se_resnet(20, 4, 16).init(np.random.default_rng(0)))] * 2
    assert len(se_resnet(32).layers) == 3 + 3 * 5 + 2
    for name in ("resnet", "resnet-8", "big"):
        with pytest.raises(ValueError, match=f"net is '{name}'; it wants tiny, resnet8"):
            named_net(name)


def test_the_smallest_images_of_the_tiny_net() -> None:
    net = tiny_net(4, 5, (1, 8, 9))
    x = np.ones((2, 1, 8, 9), np.float32)
    assert net(net.init(np.random.default_rng(0)), x)[0].shape == (2, 5)
