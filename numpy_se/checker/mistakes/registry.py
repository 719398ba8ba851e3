"""Where mistakes are written down: an id, the operation, words, and what the mistake leads to.

    @mistake("relu.mask-missing", of=relu, says="the mask is missing")
    def mask_missing(args, dy):
        return {0: dy}

is a wrong backward: the wrong gradients, by the number of their argument. Those that are not named
are right; None says that nobody can make this mistake at these arguments.

    @wrong_forward("sigmoid.forward.sign", of=sigmoid, says="the sign of {x} in exp is wrong")
    def sign(args):
        return 1 / (1 + np.exp(args[0]))

is a wrong forward pass. In ``says``, the parameters of the operation and ``{y}`` stand for the
names that these arrays have where the operation is used. ``known`` tells the checker in which
options and layouts to look for an operation.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product
from typing import Any, NamedTuple, TypeVar

import numpy as np

from numpy_se.checker.factors import scaled_by
from numpy_se.checker.findings import MistakeError
from numpy_se.contract import Array, kind_of

Op = Callable[..., Any]
Rule = TypeVar("Rule", bound=Callable[..., Any])
MISFITS = (TypeError, ValueError, IndexError, KeyError, AttributeError)  # wrong arguments for an op


class Suspect(NamedTuple):
    """A mistake that may have been made: its id, its words, and what it leads to.

    ``predict(dy)`` gives the wrong gradients; for a wrong forward pass, ``predict()`` gives y.
    """

    code: str
    text: str
    predict: Callable[..., Any]


class Mistake(NamedTuple):
    """An entry of the registry. ``scaled`` ones are tried with every factor of the sizes."""

    code: str
    says: str
    rule: Callable[..., Any]
    scaled: bool


BACKWARD: dict[Op, list[Mistake]] = {}
FORWARD: dict[Op, list[Mistake]] = {}


def mistake(code: str, *, of: Op, says: str, scaled: bool = False) -> Callable[[Rule], Rule]:
    """Register ``rule(args, dy, **options)`` as a wrong backward of the operation ``of``.

    A ``scaled`` rule takes a further ``factor``, and ``{factor}`` in ``says`` reads "is H*W times
    too large", "has the wrong sign", ...
    """
    return _enter(BACKWARD, code, of, says, scaled)


def wrong_forward(code: str, *, of: Op, says: str) -> Callable[[Rule], Rule]:
    """Register ``rule(args, **options)``, which gives a wrong ``y`` of the operation ``of``."""
    return _enter(FORWARD, code, of, says, False)


def _enter(
    registry: dict[Op, list[Mistake]], code: str, of: Op, says: str, scaled: bool
) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        registry.setdefault(of, []).append(Mistake(code, says, rule, scaled))
        return rule

    return enter


def backward_suspects(
    op: Op, args: tuple[Any, ...], names: Mapping[str, str], sizes: Mapping[str, int]
) -> Iterator[Suspect]:
    """Give the wrong backwards of ``op`` at ``args``. ``names`` are those of ``{x}``, ..."""
    function, options = plain(op)
    if hasattr(function, "suspects"):  # a chain knows the mistakes in its stages
        yield from function.suspects(args, names, sizes)
    for entry in BACKWARD.get(function, ()):
        scales = ((f.words, f.value) for f in scaled_by(sizes)) if entry.scaled else [("", None)]
        for words, factor in scales:
            text = entry.says.format_map(_Names(names, factor=words))
            more = options if factor is None else {**options, "factor": factor}
            yield Suspect(entry.code, text, partial(entry.rule, args, **more))


def forward_suspects(op: Op, args: tuple[Any, ...], names: Mapping[str, str]) -> Iterator[Suspect]:
    """Give the wrong forward passes of ``op`` at ``args``."""
    function, options = plain(op)
    if hasattr(function, "wrong_outputs"):
        yield from function.wrong_outputs(args, names)
    for entry in FORWARD.get(function, ()):
        text = entry.says.format_map(_Names(names))
        yield Suspect(entry.code, text, partial(entry.rule, args, **options))


def plain(op: Op) -> tuple[Op, dict[str, Any]]:
    """Take ``functools.partial`` apart: the function, and its options."""
    return (op.func, dict(op.keywords)) if isinstance(op, partial) else (op, {})


def parameters(op: Op) -> tuple[str, ...]:
    """Name the arguments of an operation that may be arrays."""
    return _parameters(plain(op)[0])[0]


@cache
def _parameters(function: Op) -> tuple[tuple[str, ...], int]:
    """Their names, and how many of them must be given."""
    declared = inspect.signature(function).parameters.values()
    found = [p for p in declared if p.kind is p.POSITIONAL_OR_KEYWORD]
    return tuple(p.name for p in found), sum(p.default is p.empty for p in found)


@cache
def _terms(axes: str) -> list[tuple[bool, tuple[str, ...]]]:
    """Read "... T D, D": for each argument, whether there may be more axes in front."""
    terms = [term.split() for term in axes.split(",")]
    return [(t[0] == "...", tuple(x for x in t if x != "...")) for t in terms]


def _agree(terms: Sequence[tuple[bool, tuple[str, ...]]], shapes: Sequence[Any]) -> bool:
    """Tell whether shapes have the axes that an operation wants; equal letters are equal sizes."""
    sizes: dict[str, int] = {}
    for (more, letters), shape in zip(terms, shapes, strict=False):
        if len(shape) < len(letters) or not (more or len(shape) == len(letters)):
            return False
        for letter, size in zip(letters, shape[len(shape) - len(letters) :], strict=True):
            wanted = int(letter) if letter.isdigit() else sizes.setdefault(letter, size)
            if size is not None and wanted != size:
                return False
    return True


class _Names(dict[str, str]):
    """Names to put into words. What has none keeps its own."""

    def __missing__(self, key: str) -> str:
        return key


# Which operations the checker looks for.


@dataclass(frozen=True)
class Layout:
    """How the arguments of somebody's operation correspond to ours.

    ``axes`` are those of their first argument, which becomes (N, C, H, W). Our argument k is their
    argument ``order[k]``, transposed where ``transposed`` names k.
    """

    axes: str = ""
    order: tuple[int, ...] = ()
    transposed: tuple[int, ...] = ()

    def fits(self, args: Sequence[Any]) -> bool:
        """Have a quick look at ``args``: an order that changes nothing is no order of its own."""
        axes, places = self.axes, self.places(len(args))
        right_axes = not axes or np.ndim(args[0]) == len(axes)
        return right_axes and not (self.order and places == (*range(len(args)),))

    def places(self, count: int) -> tuple[int, ...]:
        """Give the number of each of our arguments among theirs."""
        return tuple(k for k in self.order or range(count) if k < count)

    def pairs(self, count: int) -> list[tuple[int, int]]:
        """Give the number of each of our arguments, and its number among theirs."""
        return list(enumerate(self.places(count)))

    def map_shape(self, args: Sequence[Any]) -> tuple[int, ...]:
        """Give the shape of their maps."""
        return np.shape(args[0])

    def ours(self, args: Sequence[Any]) -> tuple[Any, ...]:
        first, *rest = (args[k] for k in self.places(len(args)))
        taken = [self.map_in(first), *rest]
        return tuple(a.T if k in self.transposed else a for k, a in enumerate(taken))

    def shapes(self, args: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Give the shapes of our arguments; a size may be None."""
        found: list[tuple[Any, ...]] = [np.shape(args[k]) for k in self.places(len(args))]
        if self.axes:
            found[0] = (found[0][0], found[0][self.axes.index("C")], None, None)
        return [shape[::-1] if k in self.transposed else shape for k, shape in enumerate(found)]

    def theirs(self, wrong: Mapping[int, Array], args: Sequence[Any]) -> dict[int, Array]:
        """Number and turn our gradients as theirs are."""
        turned = {k: a.T if k in self.transposed else a for k, a in wrong.items()}
        places = self.places(len(args))
        return {
            places[k]: a if k else self.map_out(a, np.shape(args[0])) for k, a in turned.items()
        }

    def map_in(self, a: Array) -> Array:
        """Give a map of theirs the axes (N, C, H, W)."""
        if not self.axes:
            return a
        a = np.moveaxis(a, self.axes.index("C"), 1)
        return a.reshape(*a.shape[:2], int(np.prod(a.shape[2:-1])), *a.shape[2:][-1:] or (1,))

    def map_out(self, a: Array, shape: tuple[int, ...]) -> Array:
        """Turn a map (N, C, H, W) into theirs, of this ``shape``."""
        if not self.axes:
            return a
        place = self.axes.index("C")
        size = list(shape)
        size.insert(1, size.pop(place))
        return np.moveaxis(a.reshape(size), 1, place)


def thin(args: Sequence[Any]) -> tuple[Any, ...]:
    """Take weights of 1x1 convolutions as matrices, and rows: (O, I, 1, 1), (1, C, 1, 1)."""

    def thinned(a: Any) -> Any:
        shape = np.shape(a)
        while len(shape) > 2 and shape[-1] == 1:
            shape = shape[:-1]
        if len(shape) == 2 and shape[0] == 1 and len(args) > 1:
            shape = shape[1:]
        return a if shape == np.shape(a) else np.reshape(a, shape)

    return (*args[:1], *map(thinned, args[1:]))


@dataclass(frozen=True)
class Known:
    """An operation with its options, in one layout; ``thin`` tells how weights are taken."""

    op: Op
    layout: Layout = Layout()
    thin: bool = False

    def fits(self, args: tuple[Any, ...]) -> bool:
        """Tell whether it is worth while to run the operation."""
        args = thin(args) if self.thin else args
        function = plain(self.op)[0]
        names, fewest = _parameters(function)
        if not (fewest <= len(args) <= len(names) and self.layout.fits(args)):
            return False
        axes = getattr(function, "axes", "")
        return not axes or _agree(_terms(axes), self.layout.shapes(args))

    def output(self, args: tuple[Any, ...]) -> Array:
        """What the operation gives for their arguments. Raises where they do not fit."""
        args = thin(args) if self.thin else args
        return self._map_out(np.asarray(self.op(*self.layout.ours(args))[0]), args)

    def suspects(
        self, args: tuple[Any, ...], names: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[Suspect]:
        """Give the wrong backwards, with arguments, names and gradients as theirs are."""
        layout, shapes = self.layout, list(map(np.shape, args))
        args = thin(args) if self.thin else args

        def theirs(code: str, predict: Any, dy: Array) -> dict[int, Array] | None:
            is_map = np.ndim(dy) == len(layout.axes)
            with np.errstate(all="ignore"):
                try:
                    wrong = predict(layout.map_in(dy.copy()) if is_map else dy.copy())
                except MISFITS:  # nobody can make this mistake at these arguments
                    return None
            if wrong is None:
                return None
            if not (isinstance(wrong, Mapping) and all(isinstance(k, int) for k in wrong)):
                wanted = "it wants a dict of gradients by the number of their argument"
                raise MistakeError(f"the mistake {code} gives {kind_of(wrong)}; {wanted}")
            if beyond := [k for k in wrong if not 0 <= k < len(layout.pairs(len(args)))]:
                raise MistakeError(f"the mistake {code} gives a gradient of argument {beyond[0]}")
            found = layout.theirs(wrong, args)
            return {k: a.reshape(shapes[k]) for k, a in found.items()} if self.thin else found

        own = self.names(names, len(args))
        for code, text, predict in backward_suspects(self.op, layout.ours(args), own, sizes):
            yield Suspect(code, text, partial(theirs, code, predict))

    def outputs(self, args: tuple[Any, ...], names: Sequence[str]) -> Iterator[Suspect]:
        """Give the wrong forward passes."""
        args = thin(args) if self.thin else args

        def theirs(predict: Any) -> Array | None:
            with np.errstate(all="ignore"):
                y = predict()
            return None if y is None else self._map_out(np.asarray(y), args)

        own = self.names(names, len(args))
        for code, text, predict in forward_suspects(self.op, self.layout.ours(args), own):
            yield Suspect(code, text, partial(theirs, predict))

    def names(self, theirs: Sequence[str], count: int) -> dict[str, str]:
        """The names of our parameters in their operation."""
        own = parameters(self.op)
        return {own[k]: theirs[place] for k, place in self.layout.pairs(count)}

    def _map_out(self, y: Array, args: tuple[Any, ...]) -> Array:
        """Turn a map that comes out into theirs. It has the shape of a map that goes in."""
        return self.layout.map_out(y, self.layout.map_shape(args)) if y.ndim == 4 else y

    def bound(self, args: tuple[Any, ...]) -> Iterator[Known]:
        """Give it in each layout in which ``args`` may be for it."""
        function: Any = plain(self.op)[0]
        if not getattr(function, "free", False):
            if self.fits(args):
                yield self
            return
        for layout in function.bindings(args):
            yield replace(self, layout=layout)


KNOWN: list[Known] = []
FEW = 64  # entries of a large array that are looked at first


def known(op: Op, *layouts: Layout, **grids: Sequence[Any]) -> None:
    """Let the checker look for ``op`` with each combination of options, in each layout."""
    for values in product(*grids.values()):
        options = dict(zip(grids, values, strict=True))
        for layout in layouts or (Layout(),):
            KNOWN.append(Known(partial(op, **options) if options else op, layout))


def recognise(pairs: Sequence[tuple[tuple[Any, ...], Array]]) -> list[Known]:
    """Find the known operations that give each ``y`` for its arguments: pairs of ``args, y``.

    There is more than one where somebody has registered mistakes of an operation of their own that
    computes what another one does. Theirs comes first.
    """
    args = pairs[0][0]
    listed = {plain(candidate.op)[0] for candidate in KNOWN}
    others = [Known(op) for op in BACKWARD if op not in listed]  # with a mistake, and no ``known``

    def fitting(candidates: Iterable[Known]) -> list[Known]:
        found = (
            next((k for k in known.bound(args) if all(_gives(k, *pair) for pair in pairs)), None)
            for known in candidates
        )
        return [k for k in found if k]

    with np.errstate(all="ignore"):
        found = fitting((*others, *KNOWN))
        if not found and list(map(np.shape, thin(args))) != list(map(np.shape, args)):
            found = fitting(replace(k, thin=True) for k in KNOWN)
        return found


def _gives(candidate: Known, args: tuple[Any, ...], y: Array) -> bool:
    entrywise = getattr(plain(candidate.op)[0], "entrywise", False)
    if entrywise and np.size(y) > FEW and np.shape(args[0]) == np.shape(y):
        few = (np.ravel(args[0])[:FEW],)
        if not _gives(candidate, few, np.ravel(y)[:FEW]):
            return False
    try:
        output = candidate.output(args)
    except Exception:  # whatever an operation says to arguments that are not for it
        return False
    return output.shape == np.shape(y) and np.allclose(output, y, rtol=1e-9, atol=1e-12)
