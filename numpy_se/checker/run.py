"""One run of an operation, forward and backward, and what it promises besides right numbers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_se.checker.adapt import explain
from numpy_se.checker.findings import Finding, Kind
from numpy_se.checker.slopes import Op
from numpy_se.checker.words import in_short, listed, plural
from numpy_se.contract import Array, kind_of

PLAIN = (np.ndarray, np.memmap)  # no matrix, masked or record array: they compute otherwise


@dataclass(frozen=True)
class Run:
    """One run of an operation at ``args``, with a random upstream gradient ``dy``.

    ``grads`` is what backward gave, one entry for each float argument or another number of them;
    it is empty where backward raised. ``findings`` are promises that were not kept, ``notes`` what
    else there is to know.
    """

    args: tuple[Any, ...]
    y: Array
    dy: Array
    grads: tuple[Any, ...]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The float arguments."""
        return tuple(a for a in self.args if is_float(a))


def copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy the arrays among the arguments, for an operation that may change them."""
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)


def is_float(a: Any) -> bool:
    """Tell whether an argument has a gradient. Labels, options and None have none."""
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def float_names(names: tuple[str, ...], args: tuple[Any, ...]) -> tuple[str, ...]:
    """The names of the arguments that have a gradient."""
    return tuple(name for name, a in zip(names, args, strict=True) if is_float(a))


def takes(op: Op, args: tuple[Any, ...]) -> bool:
    """Tell whether the forward pass runs, and gives an array of finite float64 numbers."""
    try:
        y, _ = op(*copies(args))
        check_output(y)
        return True
    except Exception:  # whatever an operation says to arguments that it does not take
        return False


def as_tuple(given: Any) -> tuple[Any, ...]:
    """What backward gave, as a tuple of gradients. A list of numbers is no list of gradients."""
    if isinstance(given, list) and not all(isinstance(g, np.ndarray) for g in given):
        return (given,)
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def gradients(op: Op, args: tuple[Any, ...], dy: Array) -> tuple[Any, ...]:
    """Run forward and backward once, and give the gradients as a tuple."""
    _, backward = op(*copies(args))
    return as_tuple(backward(_upstream(dy)))


def _upstream(dy: Array) -> Any:
    return dy.copy() if dy.ndim else np.float64(dy)


def check_output(y: Any) -> None:
    """Refuse an output that is no array of finite float64 numbers."""
    if not (type(y) in PLAIN or isinstance(y, float)):
        several = ": join outputs by np.concatenate" if isinstance(y, tuple | list) else ""
        raise TypeError(f"gradcheck: y is {kind_of(y)}; it wants a NumPy array{several}")
    if (dtype := np.asarray(y).dtype) != np.float64:
        raise TypeError(f"gradcheck: y is {dtype}; it wants float64")
    if np.size(y) == 0:
        raise ValueError(f"gradcheck: y has shape {np.shape(y)}, and no entry")
    if not np.isfinite(y).all():
        raise ValueError("gradcheck: y is not finite; choose other arguments")


def run(op: Op, names: tuple[str, ...], args: tuple[Any, ...], rng: np.random.Generator) -> Run:
    """Run the operation forward and backward, several times, and note every broken promise.

    Raises TypeError when the operation gives no ``y, backward`` with a float64 ``y``, ValueError
    when ``y`` is not finite, and whatever the forward pass raises.
    """
    own = copies(args)
    result = op(*own)
    if reason := explain(op, result, names):
        raise TypeError(f"gradcheck: {reason}")
    y, backward = result
    check_output(y)
    first, dy = np.array(y), np.asarray(rng.standard_normal(np.shape(y)))
    shares = getattr(op, "shares", np.shares_memory)  # a function elsewhere knows by itself
    promises = _Promises(names, args, own, y, first, dy, shares)
    found = list(promises.of_forward())
    if not _close(first, op(*copies(args))[0]):
        text = "the forward pass gives another y when it is called again with the same arguments"
        return Run(args, first, dy, (), (*found, Finding(Kind.ANOTHER_Y, "y", text)))
    changed = {f.subject for f in found if f.kind is Kind.CHANGES}
    if not np.array_equal(first, y):
        changed.add("y")  # by the second call
    upstream = _upstream(dy)
    try:
        given = backward(upstream)
    except Exception as error:
        text = f"backward raises {in_short(error)}"
        return Run(args, first, dy, (), (*found, Finding(Kind.RAISES, "backward", text)))
    results = as_tuple(given)
    grads = tuple(_kept(g) for g in results)
    found += promises.of_backward(upstream, given, results, changed)
    notes: list[str] = []
    if all(type(g) in PLAIN and g.dtype.kind == "f" for g in grads):
        found += _when_repeated(op, backward, args, dy, results, grads)
    with contextlib.suppress(Exception):  # it may not take these arguments
        op(*(0.5 * np.flip(a) if is_float(a) else a for a in copies(args)))
    if type(y) in PLAIN and not np.array_equal(first, y) and not found:
        notes.append("a later call overwrites y, which is a buffer of the op: copy y to keep it")
    return Run(args, first, dy, grads, tuple(found), tuple(notes))


@dataclass(frozen=True)
class _Promises:
    """What was passed in, as it was (``args``) and as it is (``own``), and what came out."""

    names: tuple[str, ...]
    args: tuple[Any, ...]
    own: tuple[Any, ...]
    y: Any
    first: Array
    dy: Array
    shares: Callable[[Any, Any], bool]

    def of_forward(self) -> Iterator[Finding]:
        for name, a, b in zip(self.names, self.args, self.own, strict=True):
            if _new(a, b):
                yield Finding(Kind.CHANGES, name, f"the forward pass changes {name}")
        for name, b in zip(self.names, self.own, strict=True):
            if self._share(self.y, b):
                yield Finding(Kind.SHARES, "y", f"y shares memory with {name}")

    def of_backward(
        self, upstream: Any, given: Any, results: tuple[Any, ...], changed: set[str]
    ) -> Iterator[Finding]:
        floats = float_names(self.names, self.args)
        if len(results) != len(floats):
            what = plural(len(results), "gradient")
            if not isinstance(given, tuple | list | np.ndarray | float):
                what = kind_of(given)
            wanted = f"{plural(len(floats), 'gradient')}, for {listed(floats)}"
            if results[1:] and sum(g is not None for g in results) == len(floats):
                wanted += ": leave out the None"  # which other frameworks want for labels
            yield Finding(Kind.COUNT, "backward", f"backward gives {what}; it wants {wanted}")
        pairs = [("dy", self.dy, upstream), *zip(self.names, self.args, self.own, strict=True)]
        pairs.append(("y", self.first, self.y))
        for name, a, b in pairs:
            if _new(a, b) and name not in changed:
                yield Finding(Kind.CHANGES, name, f"backward changes {name}")
        fits = len(results) == len(floats)
        titles = [f"d{n}" for n in floats] if fits else ["a gradient"] * len(results)
        kept = [("dy", upstream), ("y", self.y), *zip(self.names, self.own, strict=True)]
        for place, (title, g) in enumerate(zip(titles, results, strict=True)):
            for name, a in kept + list(zip(titles[:place], results[:place], strict=True)):
                if self._share(g, a):
                    yield Finding(Kind.SHARES, title, f"{title} shares memory with {name}")

    def _share(self, a: Any, b: Any) -> bool:
        both = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        return both and self.shares(a, b)


def _when_repeated(
    op: Op,
    backward: Callable[..., Any],
    args: tuple[Any, ...],
    dy: Array,
    results: tuple[Any, ...],
    first: tuple[Any, ...],
) -> list[Finding]:
    """Call backward again, at once and behind another forward call. It must give the same."""

    def state(code: str, text: str) -> list[Finding]:
        return [Finding(Kind.STATE, "backward", text, code=code)]

    def again(dy: Array) -> tuple[Any, ...]:
        return tuple(map(_kept, as_tuple(backward(_upstream(dy)))))

    try:
        second, other = again(dy), again(-2 * dy)
        if any(_new(a, b) for a, b in zip(first, results, strict=True)):
            return state(
                "state.gradients-reused",
                "backward writes into the gradients that its first call gave",
            )
        third = again(dy)
        doubled = tuple(2 * g if isinstance(g, np.ndarray) else g for g in first)
        moved = [not _close(a, b) for a, b in zip(first, second, strict=True)]
        if any(moved) and all(
            _close(a, b) for a, b, m in zip(second, doubled, moved, strict=True) if m
        ):
            return state("state.adds-up", "backward adds to the gradients of its first call")
        if any(moved) or not _all_close(first, third):
            text = "backward gives other gradients when it is called again with the same dy"
            before = tuple(-2 * g if isinstance(g, np.ndarray) else g for g in first)
            if _all_close(first, other) and _all_close(before, third):
                text = "backward gives the gradients of the call before"
                return state("state.previous-call", text)
            return state("state.called-again", text)
        with contextlib.suppress(Exception):  # it may not take these arguments
            op(*(0.5 * np.flip(a) if is_float(a) else a for a in copies(args)))
        if not _all_close(first, again(dy)):
            text = "backward uses what a later forward call has overwritten"
            return state("state.overwritten", text)
    except Exception as error:
        text = f"backward, called again, raises {in_short(error)}"
        return [Finding(Kind.RAISES, "backward", text)]
    return []


def unusable(name: str, grad: Any, arg: Array) -> Finding | None:
    """Say why a gradient cannot be compared at all."""
    if not (type(grad) in PLAIN or (isinstance(grad, float) and not arg.ndim)):
        got = "None (never set, or not returned?)" if grad is None else kind_of(grad)
        text = f"{name} is {got}; it wants a NumPy array"
        return Finding(Kind.TYPE, name, text)
    if np.shape(grad) != arg.shape:
        text = f"{name} has shape {np.shape(grad)}; it wants {arg.shape}"
        return Finding(Kind.SHAPE, name, text)
    if np.asarray(grad).dtype != arg.dtype:
        text = f"{name} is {np.asarray(grad).dtype}; it wants {arg.dtype}"
        return Finding(Kind.DTYPE, name, text)
    if not np.isfinite(grad).all():
        at = ", ".join(str(i) for i in np.argwhere(~np.isfinite(grad))[0])
        return Finding(Kind.NOT_FINITE, name, f"{name} is not finite, first at [{at}]")
    return None


def _kept(a: Any) -> Any:
    """A copy of a gradient, if it is a plain array."""
    return np.array(a) if type(a) in PLAIN or isinstance(a, float) else a


def _new(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of a sum in another order."""
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        return True
    if a.shape != np.shape(b):
        return False
    scale = np.abs(a[np.isfinite(a)]).max(initial=0)
    return bool(np.isclose(a, b, rtol=0, atol=1e-9 * scale, equal_nan=True).all())


def _all_close(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(map(_close, a, b))
