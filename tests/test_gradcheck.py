"""The checker itself: it finds planted mistakes, and judges kinks by the legal range."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import as_tuple, seeds

import numpy_se as se


def spoiled(op: Any, spoil: Any) -> Any:
    """The operation with ``spoil(dy, *grads)`` in place of its gradients."""

    def wrong(*args: Any) -> Any:
        y, backward = op(*args)
        return y, lambda dy: spoil(dy, *as_tuple(backward(dy)))

    return wrong


MISTAKES = {
    "a thousandth too large": lambda dy, dx, ds: (1.001 * dx, ds),
    "sign": lambda dy, dx, ds: (-dx, ds),
    "dy ignored": lambda dy, dx, ds: (dx / dy, ds),
    "mean for sum": lambda dy, dx, ds: (dx, ds / dy[0, 0].size),
    "one entry": lambda dy, dx, ds: (dx + 1e-4 * (np.arange(dx.size) == 7).reshape(dx.shape), ds),
    "not a number": lambda dy, dx, ds: (dx, ds * np.nan),
    "shape": lambda dy, dx, ds: (dx, ds[:, :, None]),
    "a gradient too few": lambda dy, dx, ds: (dx,),
    "order": lambda dy, dx, ds: (ds, dx),
}


@pytest.mark.parametrize("spoil", MISTAKES.values(), ids=MISTAKES)
@given(seed=seeds)
def test_planted_mistakes_are_found(spoil: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, s = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3))
    assert se.gradcheck(se.channel_scale, x, s, seed=seed).ok
    assert not se.gradcheck(spoiled(se.channel_scale, spoil), x, s, seed=seed).ok


@given(seed=seeds)
def test_a_block_without_its_squeeze_path_is_found(seed: int) -> None:
    def forgetful(x: Any, w1: Any, w2: Any) -> Any:
        s, back_gates = se.excitation(x, w1, w2)
        y, back_scale = se.channel_scale(x, s)

        def backward(dy: Any) -> Any:
            dx, ds = back_scale(dy)
            return dx, *back_gates(ds)[1:]

        return y, backward

    rng = np.random.default_rng(seed)
    args = [rng.standard_normal(shape) for shape in ((2, 4, 5, 3), (2, 4), (4, 2))]
    args[1] = np.abs(args[1])
    args[0] += 1  # so that hidden units are open
    report = se.gradcheck(forgetful, *args, seed=seed)
    assert not report.ok
    assert len(report.failures) == 1
    with pytest.raises(AssertionError, match="argument 0: gradient at"):
        se.assert_gradients(forgetful, *args, seed=seed)


def relu_with(slope: float) -> Any:
    def op(x: Any) -> Any:
        return np.maximum(x, 0), lambda dy: dy * np.where(x == 0, slope, x > 0)

    return op


def test_any_slope_between_the_sides_of_a_kink_is_legal() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    for slope in (0.0, 0.5, 1.0):
        report = se.gradcheck(relu_with(slope), x)
        assert (report.ok, report.checked, report.at_kinks) == (True, 3, 1)
    for slope in (-0.01, 1.01):
        assert not se.gradcheck(relu_with(slope), x).ok


@pytest.mark.parametrize("distance", [1e-5, -1e-5, 4e-5, 6e-5, -9e-5])
def test_a_kink_inside_the_step_raises_no_alarm(distance: float) -> None:
    report = se.gradcheck(se.relu, np.array([distance, 1.0]))
    assert (report.ok, report.at_kinks) == (True, 1)


def test_kinks_alone_prove_nothing() -> None:
    report = se.gradcheck(se.relu, np.zeros(3))
    assert not report.ok
    assert not report.failures
    with pytest.raises(AssertionError, match="every entry lies at a kink"):
        se.assert_gradients(se.relu, np.zeros(3))


def test_float32_is_refused() -> None:
    with pytest.raises(TypeError, match="argument 0 is float32; it wants a float64 array"):
        se.gradcheck(se.relu, np.ones(3, np.float32))


def test_inputs_are_not_changed() -> None:
    x = np.arange(4.0)
    se.assert_gradients(se.tanh, x)
    np.testing.assert_array_equal(x, np.arange(4.0))
