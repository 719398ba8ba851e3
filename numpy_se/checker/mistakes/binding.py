"""How the arguments of somebody's attention block correspond to those of a chain.

People write one block with channels first or last, with weights (R, C) or (C, R) or (R, C, 1, 1),
with biases or without, and with its arguments in any order. Their shapes tell most of it, and what
the chain gives tells the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import Layout
from numpy_se.contract import Array

MAP = ("N", "C", "H", "W")
MAPS = ("NCHW", "NHWC", "NCL", "NLC", "NCDHW", "NDHWC")
MOST = 100  # bindings that are tried
Shape = tuple[int, ...]
Form = Callable[[Shape], Shape]


# Forms in which a weight is taken.
def without_ones(shape: Shape) -> Shape:
    """Drop the axes of length 1, as in (R, C, 1, 1)."""
    return tuple(size for size in shape if size != 1)


def as_it_is(shape: Shape) -> Shape:
    return shape


def merged(shape: Shape) -> Shape:
    """Make one of the first two axes, as in (2, C, R)."""
    return (shape[0] * shape[1], *shape[2:]) if len(shape) > 1 else shape


FORMS = (without_ones, as_it_is, merged)


@dataclass(frozen=True)
class Binding(Layout):
    """A layout whose ``order`` has None for an argument that is left out.

    ``forms`` has None for a map, and else the form in which a weight is taken before it is turned.
    """

    order: tuple[int | None, ...] = ()  # type: ignore[assignment]
    forms: tuple[Form | None, ...] = ()

    def pairs(self, count: int) -> list[tuple[int, int]]:
        return [(k, place) for k, place in enumerate(self.order) if place is not None]

    def map_shape(self, args: Sequence[Any]) -> tuple[int, ...]:
        places = dict(self.pairs(len(args)))
        return np.shape(args[places[self.forms.index(None)]])

    def ours(self, args: Sequence[Any]) -> tuple[Any, ...]:
        found: list[Any] = [None] * len(self.order)
        for k, place in self.pairs(len(args)):
            form, a = self.forms[k], args[place]
            found[k] = self.map_in(a) if form is None else np.reshape(a, form(np.shape(a)))
        return tuple(a.T if k in self.transposed else a for k, a in enumerate(found))

    def theirs(self, wrong: Mapping[int, Array], args: Sequence[Any]) -> dict[int, Array]:
        found, pairs = {}, self.pairs(len(args))
        for number, a in wrong.items():
            k, place = pairs[number]
            shape, a = np.shape(args[place]), a.T if k in self.transposed else a
            is_map = self.forms[k] is None
            found[place] = self.map_out(a, shape) if is_map else a.reshape(shape)
        return found


def bindings(
    wanted: Sequence[tuple[str, ...]], optional: Sequence[bool], args: Sequence[Any]
) -> Iterator[Binding]:
    """Give the ways to take ``args`` as arguments with the axes ``wanted``, likely ones first.

    Equal letters are equal sizes. "..." stands for any axes, and a weight of two axes may be
    turned. Arguments that are ``optional`` may be left out.
    """
    shapes = [np.shape(a) for a in args]
    for axes in MAPS:
        if any(len(shape) == len(axes) for shape in shapes):
            yield from islice(_bound(axes, wanted, optional, shapes), MOST)


def _bound(
    axes: str,
    wanted: Sequence[tuple[str, ...]],
    optional: Sequence[bool],
    shapes: Sequence[tuple[int, ...]],
) -> Iterator[Binding]:
    """Give the bindings whose maps have these ``axes``."""

    def search(
        order: tuple[int | None, ...],
        forms: tuple[Form | None, ...],
        turned: tuple[int, ...],
        sizes: Mapping[str, int],
    ) -> Iterator[Binding]:
        k, left = len(order), len(shapes) - sum(place is not None for place in order)
        if k == len(wanted):
            if not left:
                yield Binding(axes, transposed=turned, order=order, forms=forms)
            return
        if left > len(wanted) - k:
            return
        for place in range(len(shapes)):
            if place not in order:
                for form, turn, more in _taken(axes, wanted[k], shapes[place], sizes):
                    turns = (*turned, k) if turn else turned
                    yield from search((*order, place), (*forms, form), turns, more)
        if optional[k]:
            yield from search((*order, None), (*forms, as_it_is), turned, sizes)

    yield from search((), (), (), {})


def _taken(
    axes: str, letters: tuple[str, ...], shape: Shape, sizes: Mapping[str, int]
) -> Iterator[tuple[Form | None, bool, Mapping[str, int]]]:
    """Take an argument as one with these letters: its form, whether it is turned, the sizes."""
    if letters == MAP:
        agreed = _agreed(tuple(axes), shape, sizes)
        if agreed is not None:
            yield None, False, agreed
    elif letters == ("...",):
        yield as_it_is, False, sizes
    else:
        for like, form in {form(shape): form for form in reversed(FORMS)}.items():
            for turn in (False, True) if len(letters) == 2 else (False,):
                agreed = _agreed(letters[::-1] if turn else letters, like, sizes)
                if agreed is not None:
                    yield form, turn, agreed


def _agreed(
    letters: tuple[str, ...], shape: Shape, sizes: Mapping[str, int]
) -> Mapping[str, int] | None:
    """Give the sizes of the letters, or None where a shape does not agree with them."""
    if len(letters) != len(shape):
        return None
    found = dict(sizes)
    for letter, size in zip(letters, shape, strict=True):
        wanted = int(letter) if letter.isdigit() else found.setdefault(letter, size)
        if wanted != size:
            return None
    return found
