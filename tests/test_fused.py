"""Fused operations beside the reference, over layouts, dtypes, options and workers."""

import tracemalloc
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import seeds

import numpy_se as se
from numpy_se import fused
from numpy_se.memory import keep_freed_memory
from numpy_se.parallel import workers

TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}


def channels_last(a: Any) -> Any:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, 3)), 3, 1)


LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "channels first": lambda a: a,
    "channels last": channels_last,
    "fortran": np.asfortranarray,
    "turned": lambda a: np.ascontiguousarray(a.swapaxes(2, 3)).swapaxes(2, 3),
    "cut out": lambda a: np.pad(a, ((0, 0), (1, 0), (2, 1), (0, 1)))[:, 1:, 2:-1, :-1],
    "cut out of channels last": lambda a: np.pad(channels_last(a), 1)[1:-1, 1:-1, 1:-1, 1:-1],
    "reversed": lambda a: a[::-1, ::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1, ::-1],
    "every other": lambda a: np.repeat(np.repeat(a, 2, axis=1), 2, axis=3)[:, ::2, :, ::2],
}
layouts = st.sampled_from(sorted(LAYOUTS)).map(LAYOUTS.__getitem__)


few = st.integers(1, 6)


@st.composite
def problems(draw: Any, sizes: Any = few) -> tuple[list[Any], Any]:
    """x, w1, w2, b1, b2 of one dtype, x and dy each in a layout of its own, biases at times."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n, c, h, w, r = (draw(sizes) for _ in range(5))
    rng = np.random.default_rng(draw(seeds))

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    biases = [normal(size) if draw(st.booleans()) else None for size in (r, c)]
    x, dy = (draw(layouts)(normal(n, c, h, w)) for _ in range(2))
    return [x, normal(r, c), normal(c, r), *biases], dy


def assert_equal_up_to_rounding(results: Any, wanted: Any) -> None:
    for result, want in zip(results, wanted, strict=True):
        assert result.dtype == want.dtype
        tolerance = TOLERANCE[want.dtype.type]
        np.testing.assert_allclose(
            result, want, rtol=tolerance, atol=tolerance * max(1, np.abs(want).max())
        )


def both_passes(op: Any, args: list[Any], dy: Any, **options: Any) -> list[Any]:
    y, backward = op(*args, **options)
    return [y, *backward(dy)]


@settings(max_examples=100)
@given(
    problem=problems(),
    squeeze=st.sampled_from([se.global_avg_pool, se.global_max_pool]),
    gate=st.sampled_from([se.sigmoid, se.tanh, se.relu, se.hard_sigmoid]),
    chunk=st.sampled_from([1, 2**9, 2**30]),
    long=st.sampled_from([1, 1500]),
    count=st.integers(1, 3),
)
def test_the_fused_block_is_the_reference(
    problem: Any, squeeze: Any, gate: Any, chunk: int, long: int, count: int
) -> None:
    options = {"squeeze": squeeze, "gate": gate}
    with mock.patch.multiple(fused.se, SMALL=0, CHUNK=chunk, LONG=long), workers(count):
        results = both_passes(fused.squeeze_excite, *problem, **options)
    assert_equal_up_to_rounding(results, both_passes(se.squeeze_excite, *problem, **options))


@settings(max_examples=10)
@given(problem=problems(st.sampled_from([3, 8, 31])), count=st.integers(1, 2))
def test_long_rows_too(problem: Any, count: int) -> None:
    """Rows of up to 961 entries, for which other routines of NumPy are taken."""
    with mock.patch.object(fused.se, "SMALL", 0), workers(count):
        results = both_passes(fused.squeeze_excite, *problem)
    assert_equal_up_to_rounding(results, both_passes(se.squeeze_excite, *problem))
    assert np.getbufsize() == 8192


@given(problem=problems(), count=st.integers(2, 4))
def test_the_same_number_of_workers_gives_the_same_bits(problem: Any, count: int) -> None:
    with mock.patch.object(fused.se, "SMALL", 0), workers(count):
        first, second = (both_passes(fused.squeeze_excite, *problem) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def over_the_batch(a: Any) -> tuple[Any, Any]:
    """Take the mean over the batch off: the gradient of a sample depends on the others."""
    return a - a.mean(axis=0), lambda dy: dy - dy.mean(axis=0)


def squeeze_over_the_batch(x: Any) -> tuple[Any, Any]:
    z, back_pool = se.global_avg_pool(x)
    centred, back_centre = over_the_batch(z)
    return centred, lambda dz: back_pool(back_centre(dz))


@pytest.mark.parametrize(
    "options",
    [{"gate": over_the_batch}, {"squeeze": squeeze_over_the_batch}],
    ids=["gate", "squeeze"],
)
@given(problem=problems())
def test_operations_that_mix_samples_get_the_whole_batch(options: Any, problem: Any) -> None:
    with mock.patch.object(fused.se, "SMALL", 0), workers(2):
        results = both_passes(fused.squeeze_excite, *problem, **options)
    assert_equal_up_to_rounding(results, both_passes(se.squeeze_excite, *problem, **options))


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_results_lie_in_memory_as_the_input_does(layout: str) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6))
    x = LAYOUTS[layout](x)
    y, dx, *_ = both_passes(fused.squeeze_excite, [x, np.ones((2, 4)), np.ones((4, 2))], dy)
    assert y.strides == dx.strides == x.strides


@pytest.mark.parametrize("squeeze", [se.global_avg_pool, se.global_max_pool])
@pytest.mark.parametrize("layout", ["channels first", "channels last", "turned"])
def test_memory_is_the_results_and_little_more(layout: str, squeeze: Any) -> None:
    """A copy of a chunk of x and one of dy where they have to be turned, two for a maximum."""
    chunk, small = 2**20, 2**18
    rng = np.random.default_rng(0)
    x, dy = (LAYOUTS[layout](rng.standard_normal((16, 32, 40, 40), np.float32)) for _ in range(2))
    w1, w2 = rng.standard_normal((2, 2, 32), np.float32)
    copies = (2 if layout == "turned" else 0) + (3 if squeeze is se.global_max_pool else 0)
    scratch = small + copies * chunk
    keep_freed_memory()  # in a process, its first call asks for a block, once
    with mock.patch.multiple(fused.se, SMALL=0, CHUNK=chunk):
        tracemalloc.start()
        y, backward = fused.squeeze_excite(x, w1, w2.T, squeeze=squeeze)
        kept, peak = tracemalloc.get_traced_memory()
        assert peak < y.nbytes + scratch
        assert kept < y.nbytes + small
        tracemalloc.reset_peak()
        grads = backward(dy)
        assert tracemalloc.get_traced_memory()[1] < kept + sum(g.nbytes for g in grads) + scratch
        tracemalloc.stop()


@st.composite
def maps(draw: Any, sizes: Any = few) -> tuple[list[Any], Any]:
    """x, gamma, beta of one dtype, and dy; x far from 0 at times."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n, c, h, w = (draw(sizes) for _ in range(4))
    rng = np.random.default_rng(draw(seeds))
    x, dy = rng.standard_normal((2, n + (n * h * w == 1), c, h, w)).astype(dtype)
    x += draw(st.sampled_from([0, 10, 1000] if dtype == np.float64 else [0, 10]))
    return [draw(layouts)(x), *rng.standard_normal((2, c)).astype(dtype)], draw(layouts)(dy)


@settings(max_examples=100)
@given(
    problem=maps(), chunk=st.sampled_from([1, 2**9, 2**30]), eps=st.sampled_from([1e-5, 1.0]),
    count=st.integers(1, 3),
)  # fmt: skip
def test_fused_batch_norm_is_the_reference(
    problem: Any, chunk: int, eps: float, count: int
) -> None:
    (x, *params), dy = problem
    with mock.patch.object(fused.norm, "CHUNK", chunk), workers(count):
        y, backward, mean, variance = fused.batch_norm(x, *params, eps=eps)
        results = [y, *backward(dy)]
        dx = results[1].copy()
        backward(-dy)
        np.testing.assert_array_equal(dx, results[1])  # it is an array of its own
    wide = [a.astype(np.float64) for a in (x, *params, dy)]
    wanted = both_passes(se.batch_norm, wide[:3], wide[3], eps=eps)
    names = "y", "dx", "dgamma", "dbeta"
    for result, want, name in zip(results, wanted, names, strict=True):
        tolerance = (1e-9 if x.dtype == np.float64 else 1e-3) * max(1, np.abs(want).max())
        assert result.dtype == x.dtype
        np.testing.assert_allclose(result, want, rtol=0, atol=tolerance, err_msg=name)
    np.testing.assert_allclose(mean, wide[0].mean(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, wide[0].var(axis=(0, 2, 3)), rtol=1e-4, atol=1e-5)


def test_fused_batch_norm_refuses_what_the_reference_does() -> None:
    x, (gamma, beta) = np.ones((1, 3, 1, 1)), np.ones((2, 3))
    for norm in (se.batch_norm, fused.batch_norm):
        with pytest.raises(ValueError, match=r"x has shape .* N\*H\*W of at least 2"):
            norm(x, gamma, beta)
        with pytest.raises(ValueError, match="eps"):
            norm(np.ones((2, 3, 1, 1)), gamma, beta, eps=-1)


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_what_fused_batch_norm_gives_lies_in_memory_as_x_does(layout: str) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 4, 5, 6))
    x = LAYOUTS[layout](x)
    y, backward, *_ = fused.batch_norm(x, np.ones(4), np.ones(4))
    assert y.strides == backward(dy)[0].strides == x.strides


def same(u: Any) -> Any:
    return u, lambda dy: dy


# Operations of a user that give what does not fit: where, what, and the pass that sees it.
MISFITS: dict[str, tuple[str, Callable[[Any], Any], bool]] = {
    "one gate a sample": ("gate", lambda u: (u[:, :1], lambda ds: ds), False),
    "one gate a channel": ("gate", lambda u: (u[:1], lambda ds: ds), False),
    "no axis of samples": ("gate", lambda u: (u[0], lambda ds: ds), False),
    "axes of pixels": ("gate", lambda u: (u[:, :, None, None], lambda ds: ds), False),
    "another dtype": ("gate", lambda u: (u.astype(np.float32), lambda ds: ds), False),
    "whole numbers": ("gate", lambda u: (u.astype(int), lambda ds: ds), False),
    "a list": ("gate", lambda u: (u.tolist(), lambda ds: ds), False),
    "one unit": ("activation", lambda h: (h[:, :1], lambda da: da), False),
    "a map": ("squeeze", same, False),
    "one sample": ("squeeze", lambda x: (x.mean((2, 3))[:1], lambda dz: dz), False),
    "sides swapped": (
        "squeeze", lambda x: (x.mean((2, 3)), lambda dz: np.ones((2, 3, 5, 4))), True
    ),
    "a gradient of one sample": (
        "squeeze", lambda x: (x.mean((2, 3)), lambda dz: np.ones((1, 3, 4, 5))), True
    ),
    "no gradient of maps": ("squeeze", lambda x: (x.mean((2, 3)), lambda dz: dz), True),
}  # fmt: skip


@pytest.mark.parametrize("title", MISFITS)
def test_operations_that_do_not_fit_are_refused_as_in_the_reference(title: str) -> None:
    place, wrong, later = MISFITS[title]
    x, w1, w2 = np.ones((2, 3, 4, 5)), np.ones((2, 3)), np.ones((3, 2))
    said = []
    for block in (se.squeeze_excite, fused.squeeze_excite):
        if later:
            _, backward = block(x, w1, w2, **{place: wrong})
            with pytest.raises((TypeError, ValueError)) as error:
                backward(x)
        else:
            with pytest.raises((TypeError, ValueError)) as error:
                block(x, w1, w2, **{place: wrong})
        said.append(str(error.value))
    assert said[0] == said[1]
    assert " it " in said[0], said[0]  # what it wants, or must give
