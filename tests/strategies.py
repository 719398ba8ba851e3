"""What hypothesis draws: arrays on a lattice, and whole argument lists for an operation."""

import inspect
from typing import Any

import numpy as np
from cases import Case
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

seeds = st.integers(0, 2**32 - 1)


def lattice(shape: tuple[int, ...]) -> Any:
    """Multiples of 1/8, exact in every dtype. Zeros and ties, where kinks lie, are frequent."""
    eighths = arrays(np.int64, shape, elements=st.integers(-24, 24), fill=st.nothing())
    return eighths.map(lambda a: a / 8)


@st.composite
def sizes(draw: Any, case: Case) -> dict[str, int]:
    """A size for every axis of the signature: N >= 2, H != W, and maps that windows fit into."""
    windowed = case.op.__name__ in ("conv2d", "max_pool2d")
    bounds = {"N": (2, 3), "KH": (1, 3), "KW": (1, 3), "K": (2, 4)}
    bounds |= dict.fromkeys("HW", (3, 5) if windowed else (1, 5))
    letters = dict.fromkeys(case.op.signature.replace("->", " ").replace(",", " ").split())
    drawn = {letter: draw(st.integers(*bounds.get(letter, (1, 4)))) for letter in letters}
    if drawn.get("H") == drawn.get("W"):
        drawn["W"] = drawn.get("W", 0) + 1
    return drawn


@st.composite
def arguments(draw: Any, case: Case, dtype: type = np.float64, values: Any = lattice) -> list[Any]:
    """A list of arguments that fits the signature. Optional ones are None at times."""
    size = draw(sizes(case))
    any_shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    result: list[Any] = []
    parameters = inspect.signature(case.op).parameters.values()
    terms = case.op.signature.split("->")[0].split(",")
    for parameter, term in zip(parameters, map(str.split, terms), strict=False):
        if parameter.default is None and draw(st.booleans()):
            result.append(None)
        elif term[0] == "int":
            labels = st.integers(0, size["K"] - 1)
            result.append(draw(arrays(np.int64, size["N"], elements=labels)))
        else:
            shape = any_shape if term == ["..."] else tuple(size[axis] for axis in term)
            array = draw(values(shape)).astype(dtype)
            result.append(np.abs(array) + 0.125 if parameter.name == "variance" else array)
    return result


def gaussian(shape: tuple[int, ...]) -> Any:
    """Normally distributed values, which hardly ever lie at a kink."""
    return seeds.map(lambda seed: np.random.default_rng(seed).standard_normal(shape))


def gaussian_arguments(case: Case) -> Any:
    """As ``arguments``, with normally distributed values."""
    return arguments(case, values=gaussian)


def over_floats(case: Case, args: list[Any]) -> tuple[Any, list[Any]]:
    """The operation as a function of its float arrays alone, and those arrays."""
    places = [i for i, arg in enumerate(args) if arg is not None and arg.dtype.kind == "f"]

    def op(*floats: Any) -> Any:
        filled = list(args)
        for place, value in zip(places, floats, strict=True):
            filled[place] = value
        return case(*filled)

    return op, [args[i] for i in places]


def as_tuple(grads: Any) -> tuple[Any, ...]:
    """The gradients of an operation, also when it has only one."""
    return grads if isinstance(grads, tuple) else (grads,)
