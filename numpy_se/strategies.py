"""What hypothesis draws to test operations and their gradients. It needs hypothesis; tests do.

    test_my_block = gradient_test(my_block, "N C H W, R C, C R")

is a whole property test: pytest runs it on many sizes and values, with kinks and ties among them.
When it fails, hypothesis makes the example as small and round as it can, and the text of the
failure is the report of ``gradcheck`` there, with the name of the mistake.

How many examples, and whether they are the same in each run, is up to the profile of hypothesis
that is loaded when the test is made: ``settings.register_profile(...)`` in a conftest.py, or
``pytest --hypothesis-profile=...``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from numpy_se.checker import gradcheck
from numpy_se.contract import Array, IntArray

try:
    from hypothesis import Phase, assume, given, settings
    from hypothesis import strategies as st
    from hypothesis.extra.numpy import arrays
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "numpy_se.strategies needs hypothesis: pip install 'numpy_se[test]'", name=error.name
    ) from error


def _channels_last(a: Array) -> Array:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1) if a.ndim > 1 else a


def _every_second(a: Array) -> Array:
    spaced = np.repeat(np.expand_dims(a, -1), 2, axis=-1)
    values: Array = spaced[..., 0]
    return values


def _backwards(a: Array) -> Array:
    return np.ascontiguousarray(a[..., ::-1])[..., ::-1] if a.ndim else a


LAYOUTS: list[Callable[[Array], Array]] = [
    np.ascontiguousarray,
    np.asfortranarray,
    _channels_last,
    _every_second,
    _backwards,
]


def dtypes() -> st.SearchStrategy[type]:
    """Draw np.float64 or np.float32."""
    return st.sampled_from([np.float64, np.float32])


def layouts() -> st.SearchStrategy[Callable[[Array], Array]]:
    """Draw a function that gives an array other strides and the same values."""
    return st.sampled_from(LAYOUTS)


def lattice(shape: tuple[int, ...], dtype: Any = np.float64) -> st.SearchStrategy[Array]:
    """Draw an array of multiples of 1/8 from -3 to 3, which every float dtype holds exactly.

    Zeros and ties, where the kinks lie, are frequent, and a failing example reads well.
    """
    eighths = st.integers(-24, 24).map(lambda n: n / 8)
    return arrays(dtype, shape, elements=eighths, fill=st.nothing())


def gaussian(shape: tuple[int, ...], dtype: Any = np.float64) -> st.SearchStrategy[Array]:
    """Draw an array of normally distributed values, which hardly ever lie at a kink."""
    seeds = st.integers(0, 2**32 - 1)
    return seeds.map(lambda seed: np.random.default_rng(seed).standard_normal(shape).astype(dtype))


@st.composite
def image_batches(
    draw: st.DrawFn, channels: int | None = None, largest: int = 5, dtype: Any = np.float64
) -> Array:
    """Draw x (N, C, H, W) with N of 2 or 3 and H != W, the values on a lattice."""
    count = channels or draw(st.integers(1, 4))
    height, width = draw(st.permutations(range(1, largest + 1)))[:2]
    return draw(lattice((draw(st.integers(2, 3)), count, height, width), dtype))


@st.composite
def matrices(
    draw: st.DrawFn, /, rows: int | None = None, columns: int | None = None, dtype: Any = np.float64
) -> Array:
    """Draw an array (rows, columns) with values on a lattice."""
    shape = (rows or draw(st.integers(2, 4)), columns or draw(st.integers(1, 4)))
    return draw(lattice(shape, dtype))


def labels(count: int, classes: int) -> st.SearchStrategy[IntArray]:
    """Draw ``count`` labels below ``classes``."""
    return arrays(np.int64, count, elements=st.integers(0, classes - 1))


@st.composite
def sizes(draw: st.DrawFn, /, shapes: str, **bounds: tuple[int, int]) -> dict[str, int]:
    """Draw a size for every letter of ``shapes``: N >= 2, H != W, and otherwise 1 to 4.

    ``bounds`` gives other letters their least and largest size: H=(3, 5). A number is its own size.
    ``...`` is two axes.
    """
    letters = dict.fromkeys(shapes.replace("...", "A B").replace(",", " ").split())
    limits = {"N": (2, 3), "K": (2, 4), "H": (1, 5), "W": (1, 5), **bounds}
    letters.pop("int", None)
    drawn = {
        letter: int(letter) if letter.isdigit() else draw(st.integers(*limits.get(letter, (1, 4))))
        for letter in letters
    }
    if "W" in drawn and drawn["W"] == drawn.get("H"):
        drawn["W"] += 1
    return drawn


@st.composite
def arguments(
    draw: st.DrawFn,
    shapes: str,
    size: Mapping[str, int] | None = None,
    values: Callable[..., st.SearchStrategy[Array]] = lattice,
) -> list[Any]:
    """Draw arguments for axes such as "N C H W, R C, C R"; equal letters are equal sizes.

    ``int N`` draws labels below K. ``size`` gives the letters their sizes, else they are drawn.
    ``values`` is ``lattice`` or ``gaussian``.
    """
    drawn = draw(sizes(shapes)) if size is None else size
    result: list[Any] = []
    for term in shapes.replace("...", "A B").split(","):
        axes = term.split()
        shape = tuple(drawn[axis] for axis in axes if axis != "int")
        result.append(draw(labels(shape[0], drawn["K"]) if axes[0] == "int" else values(shape)))
    return result


def gradient_test(
    op: Callable[..., Any],
    shapes: str,
    max_examples: int | None = None,
    **bounds: tuple[int, int],
) -> Any:
    """Make a property test of the gradients of an operation, for pytest to find.

        test_my_block = gradient_test(my_block, "N C H W, R C, C R")
        test_my_conv = gradient_test(my_conv, "N C H W, F C KH KW", H=(3, 5), W=(3, 5))

    ``op`` is a function of the contract, ``max_examples`` as in hypothesis, by default those of
    the profile, ``bounds`` as in ``sizes``. The test fails with GradientError, an AssertionError.
    """
    phases = [phase for phase in settings().phases if phase is not Phase.explain]

    @settings(deadline=None, max_examples=max_examples or settings().max_examples, phases=phases)
    @given(st.data())
    def test(data: st.DataObject) -> None:
        values = data.draw(st.sampled_from([lattice, gaussian]), "values")
        size = data.draw(sizes(shapes, **bounds), "sizes")
        report = gradcheck(op, *data.draw(arguments(shapes, size, values), "arguments"))
        assume(report.verdict != "inconclusive")  # nothing to see, such as a closed ReLU
        report.raise_if_failed()

    test.__doc__ = f"The gradients of {getattr(op, '__name__', 'an operation')} are right."
    return test
