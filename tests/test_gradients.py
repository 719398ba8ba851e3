"""Every gradient against central differences, in float64."""

from typing import Any

import numpy as np
import pytest
from cases import CASES, PRIMITIVES, Case
from hypothesis import event, given, settings
from hypothesis import strategies as st
from strategies import arguments, gaussian_arguments, over_floats, seeds

import numpy_se as se
from numpy_se.nets import Apply, Conv2d, Linear, Residual, Sequential, SqueezeExcite, tiny_net


@pytest.mark.parametrize("case", PRIMITIVES, ids=lambda case: case.title)
@given(data=st.data(), seed=seeds)
def test_primitives_at_kinks(case: Case, data: Any, seed: int) -> None:
    """On a lattice, zeros and ties are frequent. There, the gradient is one of the legal ones.

    Primitives alone: where the kinks of several steps meet, the product of legal slopes can lie
    outside the range that differences see, and is right all the same.
    """
    op, args = over_floats(case, data.draw(arguments(case)))
    report = se.gradcheck(op, *args, seed=seed)
    event("some entries at kinks" if report.at_kinks else "no kinks")
    assert not report.failures, report


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
@settings(max_examples=10)
@given(data=st.data(), seed=seeds)
def test_everything_away_from_kinks(case: Case, data: Any, seed: int) -> None:
    """With Gaussian values, kinks are rarely hit: some entries must lie away from them."""
    op, args = over_floats(case, data.draw(gaussian_arguments(case)))
    report = se.gradcheck(op, *args, seed=seed)
    assert report.ok, report


def over_params(net: Any, params: Any) -> Any:
    """A net as an operation on its input and all of its parameters."""

    def op(x: Any, *arrays: Any) -> Any:
        y, net_backward = net(dict(zip(params, arrays, strict=True)), x)

        def backward(dy: Any) -> Any:
            dx, grads = net_backward(dy)
            assert list(grads) == list(params)
            return dx, *grads.values()

        return y, backward

    return op


@settings(max_examples=6)
@given(seed=seeds, ratio=st.sampled_from([None, 1, 2]), bias=st.booleans())
def test_gradients_of_a_whole_net(seed: int, ratio: Any, bias: bool) -> None:
    """All parameters and the input of a net with every kind of layer."""
    net = Sequential(
        conv=Conv2d(2, 3, size=3, stride=2, padding=1, bias=bias),
        relu=Apply(se.relu),
        residual=Residual(conv=Conv2d(3, 3, bias=bias), se=SqueezeExcite(3, 1, bias=bias)),
        pool=Apply(se.max_pool2d, size=2, stride=1),
        flatten=Apply(se.flatten),
        classify=Linear(3 * 3 * 2, 4, bias=bias),
    )
    if ratio:
        net = net.after("relu", se=SqueezeExcite(3, ratio, bias=bias))
    rng = np.random.default_rng(seed)
    params = net.init(rng, np.float64)
    x = rng.standard_normal((2, 2, 7, 5))
    report = se.gradcheck(over_params(net, params), x, *params.values(), seed=seed)
    assert report.ok, report


@pytest.mark.parametrize("ratio", [None, 4])
def test_gradients_of_the_tiny_net(ratio: Any) -> None:
    """All parameter arrays of the real net, each along random directions.

    Its 50,000 ReLUs and pooling windows lie near their kinks by chance, in proportion to the step.
    A step of 1e-7 crosses one in a thousand directions; rounding then leaves 1e-8.
    """
    net = tiny_net(ratio)
    rng = np.random.default_rng(0)
    params = net.init(rng, np.float64)
    x, labels = rng.standard_normal((2, 1, 28, 28)), np.array([3, 8])

    def loss(params: Any) -> tuple[float, Any]:
        logits, backward_net = net(params, x)
        value, backward_loss = se.softmax_cross_entropy(logits, labels)
        return float(value), lambda: backward_net(backward_loss(1.0))[1]

    grads = loss(params)[1]()
    assert list(grads) == list(params)
    for key, param in params.items():
        for _ in range(3):
            direction = rng.standard_normal(param.shape) / np.sqrt(param.size)
            ahead, behind = (loss(params | {key: param + h * direction})[0] for h in (1e-7, -1e-7))
            wanted = (ahead - behind) / 2e-7
            assert np.sum(grads[key] * direction) == pytest.approx(wanted, rel=1e-6, abs=2e-8), key
