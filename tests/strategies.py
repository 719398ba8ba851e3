"""What the tests draw: whole argument lists for every operation of ``cases``."""

import inspect
from collections.abc import Iterable
from typing import Any

import numpy as np
from cases import Case
from hypothesis import settings
from hypothesis import strategies as st

from numpy_se.strategies import gaussian, labels, lattice, sizes

seeds = st.integers(0, 2**32 - 1)
SEARCH = settings.get_current_profile_name() == "search"
fewer = settings(max_examples=max(2, settings().max_examples // 4))  # of what takes long


def some(items: Iterable[Any], step: int) -> list[Any]:
    """Every so many of the items, and all of them with ``--hypothesis-profile=search``."""
    return list(items)[:: 1 if SEARCH else step]


@st.composite
def arguments(draw: Any, case: Case, dtype: type = np.float64, values: Any = lattice) -> list[Any]:
    """A list of arguments that fits the signature. Optional ones are None at times."""
    windowed = case.op.__name__ in ("conv2d", "depthwise_conv2d", "max_pool2d", "avg_pool2d")
    bounds = {"KH": (1, 3), "KW": (1, 3)} | (dict.fromkeys("HW", (3, 5)) if windowed else {})
    bounds |= case.bounds
    terms = [term.split() for term in case.op.signature.split("->")[0].split(",")]
    letters = ",".join(" ".join(term) for term in terms if term != ["..."])
    size = draw(sizes(letters, **bounds))
    any_shape = tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    result: list[Any] = []
    for parameter, term in zip(inspect.signature(case.op).parameters.values(), terms, strict=False):
        if parameter.default is None and draw(st.booleans()):
            result.append(None)
        elif term[0] == "int":
            result.append(draw(labels(size["N"], size["K"])))
        else:
            shape = any_shape if term == ["..."] else tuple(size[axis] for axis in term)
            array = draw(values(shape)).astype(dtype)
            result.append(np.abs(array) + 0.125 if parameter.name == "variance" else array)
    return result


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
