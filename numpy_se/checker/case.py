"""The arguments of an operation: which of their axes belong together, and values for them.

A mistake that is invisible at one size shows at another: 1/(H*H) is 1/(H*W) on a square map. One
that is invisible at small values shows at large ones: a clip at 6. So the checker wants to know
which axes have one size by necessity, and draws arrays of many sizes and magnitudes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, combinations_with_replacement, product
from typing import Any

import numpy as np

from numpy_se.checker.run import copies, is_float, takes
from numpy_se.checker.shapes import Shapes, argument_names, further_names, parse_shapes
from numpy_se.checker.slopes import Op, spread
from numpy_se.contract import Array

SIZES = {"N": 2, "C": 3, "H": 5, "W": 4, "R": 6, "F": 4, "KH": 2, "KW": 3, "K": 3}
SHARED = ("KH", "KW", "K")  # letters whose size may be that of another
OTHERS = (4, 3, 5, 2, 6, 7)  # sizes for letters of no fixed meaning
TRIES = 20  # draws of sizes
LARGE = 17
MOST_DOMAINS = 60  # choices of domains for the arguments
MOST_FAILED = 3  # sizes that are tried with other domains, too
WIDEST = (300.0, 30.0, 8.0)  # magnitudes of wide values, the first that the operation takes
MOST_TIES = 60  # matrices with ties

# How to draw the float arguments of an operation that does not take all numbers.
DOMAINS: dict[str, Callable[[Array], Array]] = {
    "float": lambda a: a,
    "positive": lambda a: np.abs(a) + 0.25,
    "between 0 and 1": lambda a: 0.05 + 0.9 / (1 + np.exp(-a)),
    "between -1 and 1": lambda a: 0.95 * np.tanh(a),
    "above 1": lambda a: np.abs(a) + 1.25,
}


@dataclass(frozen=True)
class Case:
    """Names, kinds and axes of the arguments of an operation, and a size for each axis.

    A kind is a domain, "int" for labels, or "held" for what is passed on as it is (``held``).
    Equal letters are axes of equal sizes. ``fixed`` axes such as "x.shape[1]" have a size that was
    given: as a number, or by an array.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]
    held: tuple[Any, ...]
    fixed: frozenset[str]
    bound: int = -1

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(self.sizes[axis] for axis in axes) for axes in self.axes)

    @property
    def given(self) -> bool:
        """True when arguments were given, not shapes."""
        return any(held is not None for held in self.held)

    @property
    def letters(self) -> list[str]:
        """The axes whose size may be chosen."""
        return [axis for axis in self.sizes if axis not in self.fixed]

    @property
    def held_labels(self) -> Case:
        """The same, with given labels as they are."""
        pairs = zip(self.kinds, self.held, strict=True)
        kinds = ("held" if k == "int" and held is not None else k for k, held in pairs)
        return replace(self, kinds=tuple(kinds))

    def resized(self, sizes: Mapping[str, int]) -> Case:
        return replace(self, sizes={**self.sizes, **sizes})

    def draw(self, rng: np.random.Generator, wide: float = 0.0) -> tuple[Any, ...]:
        """Draw an array for each argument: normal, or ``wide``, up to this magnitude.

        Labels are below a size of the first float argument that has axes: its last one, the number
        of classes of logits, or its first one, the number of rows of a table (``bound``). Those
        that were given are put into another order at their own size, and drawn at others.
        """
        floats = (s for k, s in zip(self.kinds, self.shapes, strict=True) if k in DOMAINS and s)
        bound = next((shape[self.bound] for shape in floats), 1)
        drawn: list[Any] = []
        for kind, shape, held in zip(self.kinds, self.shapes, self.held, strict=True):
            if kind == "held":
                drawn.append(held)
            elif kind == "int":
                drawn.append(_labels(rng, shape, held, bound))
            else:
                values = _wide(rng, shape, wide) if wide else rng.standard_normal(shape)
                drawn.append(np.asarray(DOMAINS[kind](np.asarray(values))))
        return tuple(drawn)


def _labels(rng: np.random.Generator, shape: tuple[int, ...], held: Any, bound: int) -> Any:
    """Draw labels below a bound, from those that were given, if any."""
    if held is None:
        return np.asarray(rng.integers(0, bound, shape))
    if np.shape(held) == shape:
        return rng.permutation(np.ravel(held)).reshape(shape)
    fitting = np.ravel(held)[np.ravel(held) < bound]
    return rng.choice(fitting if fitting.size else np.arange(bound, dtype=held.dtype), shape)


def _wide(rng: np.random.Generator, shape: tuple[int, ...], most: float) -> Array:
    """Draw values of all magnitudes, evenly, and with both signs.

    Every second one lies between 0.3 and 12, where clips are; the others from 1e-3 to ``most``.
    """
    count = int(np.prod(shape))
    quarter = -(-count // 4)
    ranges = np.log([[1e-3, most], [0.3, min(12.0, most)]])
    place = (np.arange(quarter) + rng.random((2, 2, quarter))) / quarter
    low, high = ranges[:, :1, None], ranges[:, 1:, None]
    sizes = np.exp(low + (high - low) * place) * np.array([1.0, -1.0])[:, None]
    values: Array = rng.permutation(sizes.transpose(2, 0, 1).ravel()[:count])
    return values.reshape(shape)


def wide_draw(op: Op, case: Case, rng: np.random.Generator) -> tuple[Any, ...] | None:
    """Draw values of all magnitudes, as far as the operation takes them."""
    for most in WIDEST:
        args = case.draw(rng, wide=most)
        if takes(op, args):
            return args
    return None


def at_kinks(args: tuple[Any, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    """Move each argument to simple kinks: one entry to zero, and neighbours of a maximum to a tie.

    The neighbours are those in the last two axes, where windows of pooling lie. All other entries
    are moved a little, so that no kinks are left that the arguments had before.
    """
    return tuple(_at_kinks(a, rng) if is_float(a) and a.size > 1 else a for a in args)


def _at_kinks(a: Array, rng: np.random.Generator) -> Array:
    moved = np.asarray(a + 0.03 * spread(a) * rng.standard_normal(a.shape))
    moved = np.where((a > 0) & (moved <= 0), a, moved)
    both_signs = bool((moved > 0).any() and (moved < 0).any())
    matrices = moved.reshape(-1, *moved.shape[-2:]) if a.ndim > 1 else moved[None, :]
    for matrix in matrices[:MOST_TIES]:
        peak = np.unravel_index(matrix.argmax(), matrix.shape)
        matrix[tuple(slice(max(k - 1, 0), k + 2) for k in peak)] = matrix[peak]
    if both_signs:
        moved.flat[np.abs(moved).argmin()] = 0
    return moved


# Cases.


def from_arrays(names: Sequence[str] | None, op: Op, args: tuple[Any, ...]) -> Case:
    """Describe given arguments. Every axis gets a name of its own; ``related`` unites them."""
    named = _names(names, op, len(args))
    kinds: list[str] = []
    axes: list[tuple[str, ...]] = []
    sizes: dict[str, int] = {}
    for name, a in zip(named, args, strict=True):
        integer = isinstance(a, np.ndarray) and a.dtype.kind in "iu"
        kinds.append("int" if integer else _domain_of(a) if is_float(a) else "held")
        shape = a.shape if integer or is_float(a) else ()
        axes.append(tuple(f"{name}.shape[{k}]" for k in range(len(shape))))
        sizes |= dict(zip(axes[-1], shape, strict=True))
    return Case(named, tuple(kinds), tuple(axes), sizes, args, frozenset(sizes))


def _domain_of(a: Array) -> str:
    """The smallest domain that an array lies in, as far as several entries tell."""
    if a.size < 2 or a.min() <= 0:
        return "float"
    return "above 1" if a.min() > 1 else "between 0 and 1" if a.max() < 1 else "positive"


def from_shapes(shapes: Shapes, names: Sequence[str] | None, op: Op) -> Case:
    """Describe arguments by their axes, as letters or sizes; see ``shapes``.

    The size of a letter is chosen here, another one for each. Raises ValueError for what does not
    read as shapes, and TypeError for ``names`` beside a dict.
    """
    if names is not None and isinstance(shapes, Mapping):
        raise TypeError("gradcheck: shapes is a dict, which has names; it wants no others")
    terms = parse_shapes(shapes, argument_names(op) if names is None else names)
    axes: list[tuple[str, ...]] = []
    sizes: dict[str, int] = {}
    for name, _, term in terms:
        own = [f"{name}.shape[{k}]" if isinstance(x, int) else x for k, x in enumerate(term)]
        sizes |= {a: x for a, x in zip(own, term, strict=True) if isinstance(x, int)}
        axes.append(tuple(own))
    fixed = frozenset(sizes)
    for letter in dict.fromkeys(a for own in axes for a in own if a not in fixed):
        taken = {sizes[a] for a in sizes if a not in SHARED}
        free = [size for size in OTHERS if size not in taken] or [3]
        wanted = SIZES.get(letter, free[0])
        sizes[letter] = wanted if letter in SHARED or wanted not in taken else free[0]
    kinds = tuple("int" if kind == "int" else "float" for _, kind, _ in terms)
    held = (None,) * len(terms)
    return Case(tuple(t[0] for t in terms), kinds, tuple(axes), sizes, held, fixed)


def _names(names: Sequence[str] | None, op: Op, count: int) -> tuple[str, ...]:
    """The names of the arguments: as given, else those of the function's parameters."""
    if names is not None:
        if len(names) != count:
            raise ValueError(f"gradcheck: names has {len(names)} entries; it wants {count}")
        if len(set(names)) < count:
            raise ValueError(f"gradcheck: names is {list(names)}; it wants each name once")
        return tuple(names)
    positional = [name for name in argument_names(op) if name[0] != "*"]
    return tuple([*positional, *further_names(positional, count)][:count])


def forward_runs(op: Op, case: Case) -> bool:
    """Tell whether the forward pass takes arguments of these sizes, and gives finite numbers."""
    return all(takes(op, case.draw(np.random.default_rng(seed))) for seed in range(2))


def in_domain(op: Op, case: Case) -> Case:
    """Draw some arguments from a smaller domain where the operation does not take all numbers."""

    def runs(case: Case) -> bool:
        return all(takes(op, case.draw(np.random.default_rng(seed))) for seed in range(4))

    if runs(case) or not _refuses_values(op, case):
        return case
    floats = [i for i, kind in enumerate(case.kinds) if kind == "float"]
    smaller = list(DOMAINS)[1:]
    choices = [
        zip(chosen, domains, strict=True)
        for count in (1, 2)
        for chosen in combinations(floats, count)
        for domains in sorted(product(smaller, repeat=count), key=lambda c: len({*c}))
    ]
    choices += [zip(floats, [domain] * len(floats), strict=True) for domain in smaller]
    for choice in choices[:MOST_DOMAINS]:
        kinds = dict(enumerate(case.kinds)) | dict(choice)
        if runs(changed := replace(case, kinds=tuple(kinds.values()))):
            return changed
    return case


def _refuses_values(op: Op, case: Case) -> bool:
    """Tell whether other values may be what the forward pass wants, and not other code."""
    try:
        op(*case.draw(np.random.default_rng(0)))
    except Exception as error:  # whatever an operation says to values that it does not take
        return not isinstance(error, TypeError | IndexError | AttributeError | NameError)
    return True


# Other sizes.


def other_sizes(
    case: Case, runs: Callable[[Case], bool], rng: np.random.Generator, count: int = 2
) -> Iterator[Case]:
    """Give some cases of other sizes, 2 to 5, at which the operation runs."""
    letters = {letter: case.sizes[letter] for letter in case.letters}
    found = 0
    telling = chain.from_iterable(_telling_sizes(letters, rng) for _ in range(TRIES))
    for sizes in chain(telling, _partial_sizes(letters, rng)):
        changed = case.resized(sizes)
        if changed.sizes != case.sizes and runs(changed):
            yield changed
            found += 1
        if found == count:
            return


def single_sizes(case: Case, runs: Callable[[Case], bool], size: int = 1) -> Iterator[Case]:
    """Give cases with one axis of length 1, or another ``size``, each letter in turn.

    At length 1, ``squeeze()`` and broadcasting do what they do nowhere else. A long axis shows
    work that is done in blocks.
    """
    for letter in case.letters:
        changed = case.resized({letter: size})
        if case.sizes[letter] != size and runs(changed):
            yield changed


def _telling_sizes(
    sizes: Mapping[str, int], rng: np.random.Generator
) -> tuple[dict[str, int], dict[str, int]]:
    """Two further sizes for each axis, such that no product of two can be taken for another."""
    best, fewest = None, np.inf
    for _ in range(TRIES):
        others = [
            rng.permutation([n for n in range(2, 6) if n != own])[:2] for own in sizes.values()
        ]
        histories = [
            (2, 2, 2),
            *((own, *two) for own, two in zip(sizes.values(), others, strict=True)),
        ]
        products = [np.multiply(a, b) for a, b in combinations_with_replacement(histories, 2)]
        confused = len(products) - len(set(map(tuple, products)))
        if confused < fewest:
            best, fewest = others, confused
    assert best is not None
    first, second = (
        {letter: int(pair[k]) for letter, pair in zip(sizes, best, strict=True)} for k in (0, 1)
    )
    return first, second


def _partial_sizes(sizes: Mapping[str, int], rng: np.random.Generator) -> Iterator[dict[str, int]]:
    """Other sizes for some axes, where not all can be changed."""
    for _ in range(TRIES):
        yield {axis: int(rng.integers(2, 6)) for axis in sizes if rng.random() < 0.6}


def first_case(op: Op, case: Case) -> tuple[Case, list[Case]]:
    """Find sizes at which the operation runs, and list those that were tried in vain.

    Raises what the forward pass raises at the first sizes, if it runs at no others.
    """
    failed: list[Case] = []
    rng = np.random.default_rng(0)
    draws = chain([{}], _partial_sizes(dict.fromkeys(case.letters, 0), rng),
                  ({x: n for x in case.letters} for n in (3, 4)))  # fmt: skip
    for sizes in draws:
        if any(case.resized(sizes).sizes == other.sizes for other in failed):
            continue
        for bound in (-1, 0) if "int" in case.kinds else (-1,):
            tried = replace(case.resized(sizes), bound=bound)
            tried = in_domain(op, tried) if len(failed) < MOST_FAILED else tried
            if forward_runs(op, tried):
                return tried, failed
        failed.append(tried)
    args = case.draw(rng)
    op(*copies(args))  # what it raises comes through
    return case, []


def equal_by_need(op: Op, case: Case, failed: list[Case]) -> tuple[str, str] | None:
    """Name two letters without which the operation runs only if their sizes are equal."""
    letters = case.letters
    for a, b in combinations(letters, 2):
        if case.sizes[a] != case.sizes[b] or not any(f.sizes[a] != f.sizes[b] for f in failed):
            continue
        equal = [case.resized({a: n, b: n}) for n in (2, 3, 4, 5)]
        unequal = [case.resized({a: n, b: m}) for n, m in ((2, 3), (3, 2), (4, 2), (3, 5))]
        if all(forward_runs(op, c) for c in equal) and not any(
            forward_runs(op, c) for c in unequal
        ):
            return a, b
    return None


def related(case: Case, runs: Callable[[Case], bool]) -> Case:
    """Find out which given axes belong together, by changing sizes and seeing what still runs.

    An axis that may change alone is free. Otherwise the smallest set of axes of equal size that
    may change together gets one letter. What never runs keeps its size. Letters that were given
    stay.
    """
    letter = {(i, k): axis for i, own in enumerate(case.axes) for k, axis in enumerate(own)}
    size = {place: case.sizes[axis] for place, axis in letter.items()}
    waiting = [place for place, axis in letter.items() if axis in case.fixed]
    free = set(case.letters)
    while waiting:
        first, *rest = waiting
        equal = [place for place in rest if size[place] == size[first]][:6]
        for together in (
            (first, *more) for m in range(len(equal) + 1) for more in combinations(equal, m)
        ):
            others = [size[first] + 1]
            if together == (first,):
                others.append(2 * size[first])  # windows want multiples
            moving = [letter[place] for place in together]
            if any(runs(case.resized(dict.fromkeys(moving, other))) for other in others):
                free.add(letter[first])
                letter |= dict.fromkeys(together, letter[first])
                waiting = [place for place in waiting if place not in together]
                break
        else:
            waiting.remove(first)
    names = _field_names(case, letter, free)
    axes = tuple(
        tuple(names.get(letter[i, k], letter[i, k]) for k in range(len(own)))
        for i, own in enumerate(case.axes)
    )
    sizes = {axes[i][k]: size for (i, k), size in size.items()}
    fixed = frozenset(sizes) - {names.get(axis, axis) for axis in free}
    return replace(case, axes=axes, sizes=sizes, fixed=fixed)


def _field_names(case: Case, letter: dict[tuple[int, int], str], free: set[str]) -> dict[str, str]:
    """Call the free axes of images N, C, H, W and those of a kernel F, KH, KW."""
    names: dict[str, str] = {}
    images = [i for i, own in enumerate(case.axes) if len(own) == 4]
    wanted = [("N", "C", "H", "W"), ("F", "C", "KH", "KW")]
    for i, words in zip(images, wanted, strict=False):
        for k, word in enumerate(words):
            axis = letter.get((i, k), "")
            if axis in free and axis in case.fixed and word not in {*names.values(), *free}:
                names.setdefault(axis, word)
    return names
