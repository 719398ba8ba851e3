"""The arguments of an operation: which of their axes belong together, and values for them.

A mistake that is invisible at one size shows at another: 1/(H*H) is 1/(H*W) on a square map. So the
checker wants to know which axes have one size by necessity, and draws arrays of other sizes.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations, combinations_with_replacement
from typing import Any

import numpy as np

from numpy_se.contract import Array
from numpy_se.checker.promises import copies, is_float
from numpy_se.checker.slopes import Op

SIZES = {"N": 2, "C": 3, "H": 5, "W": 4, "R": 3, "F": 3, "KH": 2, "KW": 3, "K": 3, "I": 4, "O": 3}
TRIES = 20  # draws of sizes

Shapes = str | Mapping[str, Sequence[int | str]]


@dataclass(frozen=True)
class Arguments:
    """Names, kinds and axes of the arguments of an operation, and a size for each axis.

    A kind is "float", "positive", "int", or "held" for what is passed on as it is (``held``).
    Equal letters are axes of equal sizes.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    axes: tuple[tuple[str, ...], ...]
    sizes: Mapping[str, int]
    held: tuple[Any, ...]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(self.sizes[axis] for axis in axes) for axes in self.axes)

    @property
    def anonymous(self) -> bool:
        """True when it is not known which axes belong together."""
        return any(".shape[" in axis for axis in self.sizes)

    def resized(self, sizes: Mapping[str, int]) -> Arguments:
        return replace(self, sizes={**self.sizes, **sizes})

    def draw(self, rng: np.random.Generator) -> tuple[Any, ...]:
        """Draw an array for each argument: normally distributed, labels below their bound.

        A label is below the last size of the first argument that has axes, which for logits is
        the number of classes.
        """
        bound = next((shape[-1] for shape in self.shapes if shape), 1)
        drawn: list[Any] = []
        for kind, shape, held in zip(self.kinds, self.shapes, self.held, strict=True):
            if kind == "held":
                drawn.append(held)
            elif kind == "int":
                drawn.append(np.asarray(rng.integers(0, bound, shape)))
            else:
                values = rng.standard_normal(shape)
                drawn.append(np.asarray(np.abs(values) + 0.25 if kind == "positive" else values))
        return tuple(drawn)


def at_large(op: Op, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Make the arguments larger, so that they reach all pieces of a function such as a clip.

    They stay as they are where the operation does not take larger ones.
    """
    large = tuple(np.asarray(4 * a) if is_float(a) else a for a in args)
    return large if takes(op, large) else args


def forward_runs(op: Op, arguments: Arguments) -> bool:
    """Tell whether the forward pass takes arguments of these sizes, and gives finite numbers."""
    return takes(op, arguments.draw(np.random.default_rng(0)))


def takes(op: Op, args: tuple[Any, ...]) -> bool:
    """Tell whether the forward pass runs, and gives finite numbers."""
    try:
        y, _ = op(*copies(args))
        return np.size(y) > 0 and bool(np.isfinite(y).all())
    except Exception:  # whatever an operation says to sizes that it does not take
        return False


def backward_runs(op: Op, arguments: Arguments) -> bool:
    """Tell whether the forward pass runs, and backward gives gradients of the right shapes."""
    args = arguments.draw(np.random.default_rng(0))
    try:
        y, backward = op(*args)
        grads = backward(np.ones_like(y))
        grads = grads if isinstance(grads, tuple | list) else (grads,)
        wanted = [a.shape for a in args if is_float(a)]
        return np.size(y) > 0 and [np.shape(g) for g in grads] == wanted
    except Exception:
        return False


def in_domain(arguments: Arguments, runs: Callable[[Arguments], bool]) -> Arguments:
    """Draw some arguments positive where the operation takes no others, such as variances."""
    if runs(arguments):
        return arguments
    floats = [i for i, kind in enumerate(arguments.kinds) if kind == "float"]
    for count in (1, 2, len(floats)):
        for chosen in combinations(floats, count):
            kinds = tuple(
                "positive" if i in chosen else kind for i, kind in enumerate(arguments.kinds)
            )
            if runs(positive := replace(arguments, kinds=kinds)):
                return positive
    return arguments


def other_sizes(
    arguments: Arguments, runs: Callable[[Arguments], bool], rng: np.random.Generator
) -> Iterator[Arguments]:
    """Give up to two arguments of other sizes, 2 to 5, at which the operation runs."""
    count = 0
    telling = chain.from_iterable(_telling_sizes(arguments.sizes, rng) for _ in range(TRIES))
    for sizes in chain(telling, _partial_sizes(arguments.sizes, rng)):
        changed = arguments.resized(sizes)
        if changed.sizes != arguments.sizes and runs(changed):
            yield changed
            count += 1
        if count == 2:
            return


def single_sizes(arguments: Arguments, runs: Callable[[Arguments], bool]) -> Iterator[Arguments]:
    """Give arguments with one axis of length 1, each axis in turn, where the operation runs.

    At length 1, ``squeeze()`` and broadcasting do what they do nowhere else.
    """
    for axis, size in arguments.sizes.items():
        changed = arguments.resized({axis: 1})
        if size != 1 and runs(changed):
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
        dict(zip(sizes, map(int, column), strict=True)) for column in zip(*best, strict=True)
    )
    return first, second


def _partial_sizes(sizes: Mapping[str, int], rng: np.random.Generator) -> Iterator[dict[str, int]]:
    """Other sizes for some axes, where not all can be changed."""
    for _ in range(TRIES):
        yield {axis: int(rng.integers(2, 6)) for axis in sizes if rng.random() < 0.6}


def at_kinks(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Move each argument to simple kinks: one entry to zero, and neighbours of a maximum to a tie.

    The neighbours are those in the last two axes, where windows of pooling lie.
    """
    return tuple(_at_kinks(a) if is_float(a) and a.size > 1 else a for a in args)


def _at_kinks(a: Array) -> Array:
    moved = a.copy()
    for matrix in moved.reshape(-1, *moved.shape[-2:]) if a.ndim > 1 else (moved,):
        peak = np.unravel_index(matrix.argmax(), matrix.shape)
        matrix[tuple(slice(max(k - 1, 0), k + 2) for k in peak)] = matrix[peak]
    if (a > 0).any() and (a < 0).any():
        moved.flat[np.abs(moved).argmin()] = 0
    return moved


def from_arrays(names: Sequence[str] | None, op: Op, args: tuple[Any, ...]) -> Arguments:
    """Describe given arguments. Every axis gets a letter of its own; ``related`` unites them."""
    named = _names(names, op, len(args))
    kinds: list[str] = []
    axes: list[tuple[str, ...]] = []
    sizes: dict[str, int] = {}
    for name, a in zip(named, args, strict=True):
        integer = isinstance(a, np.ndarray) and a.dtype.kind in "iu"
        positive = is_float(a) and a.size > 1 and bool((a > 0).all())
        kinds.append(
            "int" if integer else "positive" if positive else "float" if is_float(a) else "held"
        )
        shape = a.shape if integer or is_float(a) else ()
        axes.append(tuple(f"{name}.shape[{k}]" for k in range(len(shape))))
        sizes |= dict(zip(axes[-1], shape, strict=True))
    return Arguments(named, tuple(kinds), tuple(axes), sizes, args)


def from_shapes(shapes: Shapes, names: Sequence[str] | None, op: Op) -> Arguments:
    """Describe arguments by their axes, as letters or sizes.

        "N C H W, F C 3 3, F"    or    {"x": ("N", "C"), "w": (3, 4), "labels": ("int", 4)}

    ``int`` in front stands for whole numbers (labels). Letters are axes that belong together;
    their size is chosen here. The axes in a dict may also be text, ``{"x": "N C"}``, and its names
    must be those of the op's parameters. Raises ValueError for what does not read as shapes, and
    TypeError for ``names`` beside a dict.
    """
    if isinstance(shapes, str):
        terms = [_axes(term) for term in shapes.split(",")]
        named = _names(names, op, len(terms))
    elif not isinstance(shapes, Mapping):
        raise TypeError(
            f"gradcheck: shapes is a {type(shapes).__name__}; it wants a string such as "
            '"N C H W, N C", or a dict such as {"x": (2, 3), "w": (4, 3)}'
        )
    elif names is not None:
        raise TypeError("gradcheck: shapes is a dict, which has names; it wants no others")
    else:
        named = _in_order(list(shapes), op)
        terms = [_axes(shapes[name]) for name in named]
    kinds = tuple("int" if term and term[0] == "int" else "float" for term in terms)
    axes: list[tuple[str, ...]] = []
    sizes: dict[str, int] = {}
    for name, kind, term in zip(named, kinds, terms, strict=True):
        own: list[str] = []
        for place, axis in enumerate(term[1:] if kind == "int" else term):
            if axis == "...":
                own += ["A", "B"]
            elif isinstance(axis, str) and axis.isidentifier():
                own.append(axis)
            elif isinstance(axis, int | np.integer) and axis >= 1:
                own.append(f"{name}.shape[{place}]")
                sizes[own[-1]] = int(axis)
            else:
                raise ValueError(
                    f"gradcheck: shapes: {name} has an axis {axis!r}; it wants a letter, or a size "
                    "of at least 1"
                )
        axes.append(tuple(own))
        for letter in own:
            sizes.setdefault(letter, SIZES.get(letter, 2 + len(sizes) % 4))
    return Arguments(named, kinds, tuple(axes), sizes, (None,) * len(terms))


def _axes(term: Sequence[int | str]) -> list[int | str]:
    """List axes, which may be text."""
    if isinstance(term, str):
        return [int(axis) if axis.isdigit() else axis for axis in term.split()]
    return list(term)


def _in_order(names: list[str], op: Op) -> tuple[str, ...]:
    """Put names of arguments into the order of the op's parameters."""
    parameters = inspect.signature(op).parameters.values()
    known = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return tuple(names)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"gradcheck: shapes: there is no argument {unknown[0]!r}; it wants {', '.join(known)}"
        )
    return tuple(sorted(names, key=known.index))


def related(arguments: Arguments, runs: Callable[[Arguments], bool]) -> Arguments:
    """Find out which axes belong together, by changing sizes and seeing what still runs.

    An axis that may change alone is free. Otherwise the smallest set of axes of equal size that
    may change together gets one letter. What never runs keeps its size. Letters that were given
    stay.
    """
    letter = {(i, k): axis for i, own in enumerate(arguments.axes) for k, axis in enumerate(own)}
    size = {place: arguments.sizes[axis] for place, axis in letter.items()}
    waiting = [place for place, axis in letter.items() if ".shape[" in axis]
    if not waiting:
        return arguments
    while waiting:
        first, *rest = waiting
        equal = [place for place in rest if size[place] == size[first]][:6]
        for together in (
            (first, *more) for m in range(len(equal) + 1) for more in combinations(equal, m)
        ):
            if runs(arguments.resized({letter[place]: size[first] + 1 for place in together})):
                letter |= dict.fromkeys(together, letter[first])
                waiting = [place for place in waiting if place not in together]
                break
        else:
            waiting.remove(first)
    return _with_field_names(arguments, letter, size)


def _with_field_names(
    arguments: Arguments, letter: dict[tuple[int, int], str], sizes: dict[tuple[int, int], int]
) -> Arguments:
    """Call the axes of images N, C, H, W and those of a kernel F, KH, KW."""
    field_names: dict[str, str] = {}
    images = [i for i, own in enumerate(arguments.axes) if len(own) == 4]
    wanted = [("N",)] if not images else [("N", "C", "H", "W"), ("F", "C", "KH", "KW")]
    for i, words in zip(images or [0], wanted, strict=False):
        for k, word in enumerate(words):
            if (i, k) in letter and word not in field_names.values():
                field_names.setdefault(letter[i, k], word)
    axes = tuple(
        tuple(field_names.get(letter[i, k], letter[i, k]) for k in range(len(own)))
        for i, own in enumerate(arguments.axes)
    )
    named = {axes[i][k]: size for (i, k), size in sizes.items()}
    return replace(arguments, axes=axes, sizes=named)


def _names(names: Sequence[str] | None, op: Op, count: int) -> tuple[str, ...]:
    """The names of the arguments: as given, else those of the function's parameters."""
    if names is not None:
        if len(names) != count:
            raise ValueError(f"gradcheck: names has {len(names)} entries; it wants {count}")
        return tuple(names)
    try:
        parameters = inspect.signature(op).parameters.values()
    except ValueError:  # functions in C have none
        parameters = {}.values()
    positional = [
        p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    rest = [f"arg{number}" for number in range(len(positional), count)]
    return tuple([*positional, *rest][:count])
