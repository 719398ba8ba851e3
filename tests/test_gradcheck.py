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


@pytest.mark.parametrize("distance", [1e-6, -1e-5, 3e-5, 6e-5, -9e-5])
def test_a_kink_inside_the_step_raises_no_alarm(distance: float) -> None:
    report = se.gradcheck(se.relu, np.array([distance, 1.0]))
    assert (report.ok, report.at_kinks) == (True, 1)


def test_kinks_alone_prove_nothing() -> None:
    report = se.gradcheck(se.relu, np.zeros(3))
    assert not report.ok
    assert not report.failures
    with pytest.raises(AssertionError, match="every entry lies at a kink"):
        se.assert_gradients(se.relu, np.zeros(3))


HONEST = {
    "a view of its input": lambda x: (x.T, lambda dy: dy.T),
    "far from zero": lambda x: (x + 1e6, lambda dy: dy.copy()),
    "steep": lambda x: (np.sin(30 * x), lambda dy: 30 * np.cos(30 * x) * dy),
    "tiny": lambda x: (1e-10 * x, lambda dy: 1e-10 * dy),
    "huge": lambda x: (1e10 * x**2, lambda dy: 2e10 * x * dy),
    "zero": lambda x: (0 * x, lambda dy: 0 * dy),
}


@pytest.mark.parametrize("op", HONEST.values(), ids=HONEST)
@given(seed=seeds)
def test_smooth_functions_of_any_size_raise_no_alarm(op: Any, seed: int) -> None:
    report = se.gradcheck(op, np.random.default_rng(seed).standard_normal((3, 2)), seed=seed)
    assert report.ok, report
    assert report.at_kinks == 0


def mutates_dy(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        dy *= 2
        return dy

    return 2 * x, backward


def mutates_x(x: Any) -> Any:
    x *= 2
    return x.copy(), lambda dy: 2 * dy


noise = np.random.default_rng(0)
BROKEN = {
    "mutates dy": (mutates_dy, "dy was changed by backward"),
    "mutates x": (mutates_x, "argument 0 was changed by the op"),
    "random": (lambda x: (x * noise.random(x.shape), lambda dy: dy), "two calls with the same"),
    "float32": (lambda x: (2 * x, lambda dy: (2 * dy).astype(np.float32)), "gradient is float32"),
    "list": (lambda x: (2 * x, lambda dy: (2 * dy).tolist()), "gradient is a list, and no NumPy"),
    "nothing": (lambda x: (2 * x, lambda dy: None), "gradient is a NoneType"),
    "too many": (lambda x: (2 * x, lambda dy: (2 * dy, dy)), "2 gradients for 1 arguments"),
    "tiny, wrong sign": (lambda x: (1e-10 * x, lambda dy: -1e-10 * dy), "gradient at"),
    "tiny, zero": (lambda x: (1e-10 * x, lambda dy: 0 * dy), "gradient at"),
}


@pytest.mark.parametrize(("op", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_promises_are_named(op: Any, message: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    before = x.copy()
    report = se.gradcheck(op, x)
    assert not report.ok
    assert message in str(report)
    np.testing.assert_array_equal(x, before)


def test_what_gives_no_backward_is_refused() -> None:
    with pytest.raises(TypeError, match="op gives a ndarray; it must give y, backward"):
        se.gradcheck(np.tanh, np.ones(3))
    x, w = np.ones((2, 4, 3, 5)), np.ones((4, 4))
    with pytest.raises(TypeError, match="excite: gate gives a ndarray; it must give y, backward"):
        se.squeeze_excite(x, w, w, gate=np.tanh)
    with pytest.raises(TypeError, match="excitation: squeeze gives a ndarray"):
        se.squeeze_excite(x, w, w, squeeze=lambda x: x.mean(axis=(2, 3)))  # type: ignore[arg-type]


def test_float32_is_refused() -> None:
    with pytest.raises(TypeError, match="argument 0 is float32; it wants a float64 array"):
        se.gradcheck(se.relu, np.ones(3, np.float32))


def test_scalar_gradients_of_scalar_arguments() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    scaled = lambda a: (a * x, lambda dy: (dy * x).sum())  # noqa: E731
    assert se.gradcheck(scaled, np.array(0.7)).ok


def test_empty_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match=r"argument 0 has shape \(0, 3\), and no entry"):
        se.gradcheck(se.tanh, np.ones((0, 3)))


def test_inputs_are_not_changed() -> None:
    x = np.arange(4.0)
    se.assert_gradients(se.tanh, x)
    np.testing.assert_array_equal(x, np.arange(4.0))
