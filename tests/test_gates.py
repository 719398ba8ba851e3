"""Gates of a net: how they vary, their statistics by class, and nets with given gates."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import numpy_se as se
from numpy_se.checker import from_layer, gradcheck
from numpy_se.costs import count_net
from numpy_se.gates import (
    class_means,
    class_range,
    class_separation,
    gate_deviation,
    replace_gates,
)
from numpy_se.nets import Conv2d, Sequential, SqueezeExcite, residual


def small_net() -> Sequential:
    branch = Sequential(conv=Conv2d(3, 3), se=SqueezeExcite(3, 1, bias=True))
    return Sequential(first=SqueezeExcite(3, 1), unit=residual(branch))


@given(seed=seeds)
def test_gates_can_be_given(seed: int) -> None:
    """A net with its own gates in place of its gates is the same net."""
    rng, net = np.random.default_rng(seed), small_net()
    params, x = net.init(rng, np.float64), rng.standard_normal((4, 3, 5, 2))
    gates, y = net.gates(params, x), net(params, x)[0]
    same, backward = replace_gates(net, gates)(params, x)
    np.testing.assert_allclose(same, y, rtol=1e-12)
    _, grads = backward(np.ones_like(y))
    assert grads.keys() == params.keys()
    assert not any(grads[key].any() for key in params if "conv" not in key)
    open_gates = replace_gates(net, {name: np.ones(3) for name in gates})
    conv = se.conv2d(x, params["unit.branch.conv.w"], params["unit.branch.conv.b"], padding=1)[0]
    np.testing.assert_allclose(open_gates(params, x)[0], x + conv, rtol=1e-12)


def test_a_net_with_given_gates_is_a_net_like_any_other() -> None:
    rng, net = np.random.default_rng(0), small_net()
    gates = {name: rng.uniform(0.1, 0.9, 3) for name in ("first", "unit.branch.se")}
    other = replace_gates(replace_gates(net, {"first": np.ones(3)}), gates)
    params, x = other.init(rng, np.float64), rng.standard_normal((2, 3, 5, 4))
    assert params.keys() == net.init(rng).keys()
    assert count_net(other, (3, 5, 4)) == count_net(net, (3, 5, 4))
    found = other.gates(params, x)
    assert all((found[name] == s).all() for name, s in gates.items())
    report = gradcheck(from_layer(other, params), x, *params.values())
    assert "wrong" not in report.gradients.values()
    assert report.gradients["dx"] == "right"


@pytest.mark.parametrize(
    ("gates", "error", "words"),
    [
        ({"second": np.ones(3)}, ValueError, "there is no layer second"),
        (
            {"unit.branch.conv": np.ones(3)},
            TypeError,
            "unit.branch.conv is a Conv2d; it wants the n",
        ),
        ({"unit.branch": np.ones(3)}, TypeError, "unit.branch is a Sequential"),
        (
            {"first": np.ones(4)},
            ValueError,
            r"gates have shape \(4,\); they want \(3,\) or \(N, 3\)",
        ),
        ({"first": 0.5}, ValueError, r"gates have shape \(\)"),
        ({"first": np.ones((5, 3))}, ValueError, "first: the gates are of 5 images; x has 2"),
    ],
)
def test_gates_that_do_not_fit_are_refused(gates: Any, error: Any, words: str) -> None:
    net, rng = small_net(), np.random.default_rng(0)
    with pytest.raises(error, match=words):
        replace_gates(net, gates)(net.init(rng, np.float64), np.ones((2, 3, 4, 5)))


def test_class_statistics() -> None:
    labels = np.array([0, 0, 1, 1, 1, 1])
    first = [0.1, 0.3, 0.7, 0.9, 0.7, 0.9]
    gates = np.stack([first, np.full(6, 0.5)], axis=1)
    np.testing.assert_allclose(class_means(gates, labels), [[0.2, 0.5], [0.8, 0.5]])
    assert class_range(gates, labels) == pytest.approx(0.3)  # 0.6 and 0.0
    between = (2 * (0.2 - 0.6) ** 2 + 4 * (0.8 - 0.6) ** 2) / 6
    assert class_separation(gates, labels) == pytest.approx(between / np.var(first))
    np.testing.assert_allclose(gate_deviation(gates), [np.std(first), 0])


@given(
    seed=seeds,
    samples=st.integers(10, 3000),
    value=st.floats(0, 1, width=32),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_gates_that_are_equal_do_not_vary(
    seed: int, samples: int, value: float, dtype: Any
) -> None:
    labels = np.random.default_rng(seed).permutation(np.arange(samples) % 10)
    gates = np.full((samples, 4), value, dtype)
    assert not gate_deviation(gates).any()
    assert class_separation(gates, labels) == 0
    gates[:, 0] = np.linspace(0, 1, 10)[labels]
    assert class_separation(gates, labels) == pytest.approx(1)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        ([0, 2], ValueError, "labels has no sample of class 1"),
        ([-1, 0], ValueError, "labels has -1; it wants 0, 1, 2, ..."),
        ([0, 1, 0], ValueError, r"labels has shape \(3,\); it wants \(2,\)"),
        ([[0], [1]], ValueError, r"labels has shape \(2, 1\)"),
        ([0.0, 1.0], TypeError, "labels is float64; it wants whole numbers"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: Any, error: Any, words: str) -> None:
    for statistic in (class_means, class_range, class_separation):
        with pytest.raises(error, match=words):
            statistic(np.ones((2, 3)), np.array(labels))
    with pytest.raises(ValueError, match=r"gates have shape \(3,\); they want \(N, C\)"):
        class_means(np.ones(3), np.arange(3))
