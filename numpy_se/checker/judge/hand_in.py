"""A function in another process as an operation ``y, backward = op(*args)`` like any other.

What is done to arrays over there is done to those here: an argument that is changed is changed, and
``shares`` knows which arrays share memory. So a check needs to know of no process.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np

from numpy_se.checker.judge.process import Process, Unusable
from numpy_se.checker.judge.wire import CHUNK, Foreign, WireError, decode, encode
from numpy_se.checker.words import one_line
from numpy_se.contract import Array

MOST_AT_ONCE = 48  # outputs
MOST_SHARED = 100  # pairs of arrays that are remembered
DIFFERENCES = (
    "it works with differences: it calls functions where single entries of an argument are moved "
    "by little. Whether backward knows the derivative cannot be decided"
)


class _Answer(NamedTuple):
    number: int
    words: dict[str, Any]
    values: list[Any]


class HandIn:
    """The operation that a process holds; ``job`` says where it lies.

    Calls raise what the function raises, by name, and Unusable where there is no answer.
    """

    def __init__(self, process: Process, title: str, job: dict[str, Any]) -> None:
        self.process, self.written = process, title
        self.number, self.dropped = 0, list[int]()
        self.arrays = WeakValueDictionary[tuple[int, ...], Array]()
        self.shared = deque[tuple[Any, Any]](maxlen=MOST_SHARED)
        words, _ = process.ask(job)
        try:
            _refuse_end(words)
            self.__signature__ = inspect.Signature(list(map(_parameter, words["names"])))
            if note := one_line(words["note"]):
                self.note = note
        except Exception as error:  # whatever does not fit
            raise _no_answer(error) from error

    def __call__(self, *args: Any) -> tuple[Any, Callable[[Any], Any]]:
        answer = self._answer(None, args)
        if len(answer.values) != 1:
            raise _no_answer(WireError("it has no y"))
        return answer.values[0], _Backward(self, answer.number)

    def backward(self, call: int, dy: Any) -> Any:
        """Run backward of a call, given by its number."""
        answer = self._answer(call, [dy])
        form = {"tuple": tuple, "list": list}.get(str(answer.words.get("form")))
        if form is None and len(answer.values) != 1:
            raise _no_answer(WireError("it has no gradient"))
        return form(answer.values) if form else answer.values[0]

    def outputs(
        self, args: tuple[Any, ...], number: int, moves: Iterable[Array]
    ) -> Iterator[Array | None]:
        """The outputs where an argument takes other values; many with one request."""
        size = sum(np.asarray(a).nbytes for a in args)
        most = max(1, min(MOST_AT_ONCE, CHUNK // (size + 1)))
        moves = iter(moves)
        while part := list(islice(moves, most)):
            answer = self._answer(None, [*args, np.stack(part)], moved=number)
            if len(answer.values) != len(part):
                raise _no_answer(WireError("it has another number of outputs"))
            for y in answer.values:
                yield None if y is None or isinstance(y, Foreign) else np.ravel(y)

    def shares(self, a: Any, b: Any) -> bool:
        """Tell whether two arrays share memory, here or there."""
        pairs = ((a, b), (b, a))
        return bool(np.shares_memory(a, b)) or any(
            x is p and y is q for p, q in self.shared for x, y in pairs
        )

    def _answer(self, of: int | None, values: Sequence[Any], **more: int) -> _Answer:
        """Ask for a call, and do here what it does there."""
        self.number += 1
        dropped, self.dropped = self.dropped, []
        kinds, arrays = encode(values)
        spaced = [(i, v) for i, v in enumerate(values) if isinstance(v, np.ndarray)]
        strides = [(i, v.strides) for i, v in spaced if not v.flags.c_contiguous]
        request = {"number": self.number, "of": of, "drop": dropped, "values": kinds, **more}
        words, found = self.process.ask({**request, "strides": strides}, arrays)
        try:
            _refuse_end(words)
            if words["number"] != self.number:
                raise WireError("it is one to another request")
            results = self._mirrored(words, values, decode(words["values"], found))
            raised = _raised(words["raises"]) if "raises" in words else None
        except Exception as error:  # whatever does not fit
            raise _no_answer(error) from error
        if "overflow" in words:
            np.multiply(1e300, 1e300)  # one there is one here
        if raised:
            raise raised
        return _Answer(self.number, words, results)

    def _mirrored(
        self, words: dict[str, Any], values: Sequence[Any], found: list[Any]
    ) -> list[Any]:
        """Change what is changed there, note what is shared there; give the results."""
        changed = [tuple(slot) for slot in words.get("changed", [])]
        count = len(found) - len(changed)
        if count < 0:
            raise WireError("it lacks arrays")
        for place, value in enumerate([*values, *found[:count]]):
            if isinstance(value, np.ndarray):
                self.arrays[self.number, place] = value
        for slot, value in zip(changed, found[count:], strict=True):
            own = self.arrays.get(slot)
            if own is not None:
                if np.shape(value) != own.shape:
                    raise WireError("an array has another shape")
                own[...] = value
        for pair in words.get("shares", []):
            a, b = (self.arrays.get(tuple(slot)) for slot in pair)
            self.shared.append((a, b))
        return found[:count]


class _Backward:
    """The backward of a call. The other process drops it when this one is gone."""

    def __init__(self, hand_in: HandIn, call: int) -> None:
        self.hand_in, self.call = hand_in, call

    def __call__(self, dy: Any) -> Any:
        return self.hand_in.backward(self.call, dy)

    def __del__(self) -> None:
        self.hand_in.dropped.append(self.call)


def _parameter(name: str) -> inspect.Parameter:
    kinds = inspect.Parameter
    if name[:1] == "*":
        return inspect.Parameter(name[1:], kinds.VAR_POSITIONAL)
    return inspect.Parameter(name, kinds.POSITIONAL_OR_KEYWORD)


def _refuse_end(words: Any) -> None:
    if "ends" in words:
        kind = "file" if words.get("kind") == "file" else "function"
        raise Unusable(kind, one_line(words["ends"]))
    if "differences" in words:
        raise Unusable("differences", DIFFERENCES)


def _raised(words: dict[str, Any]) -> Exception:
    """What the function raised, by name."""
    text = str(words["text"])
    error: Exception = type(words["title"], (Exception,), {"__str__": lambda self: text})()
    return error


def _no_answer(error: Exception) -> Unusable:
    reason = str(error) if isinstance(error, WireError) else "it does not read"
    return Unusable("answer", f"its answer is none: {one_line(reason)}")
