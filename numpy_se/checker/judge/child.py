"""The process of a hand-in: it holds the file and the closures, and answers the judge.

It knows no verdict and no reference. The arrays of a call exist here and in the judge. After each
request, those that have changed here are sent again, and those that share memory are named: so the
judge sees what a function does to its arguments as if it were called there.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from numpy_se.checker.adapt import explain
from numpy_se.checker.judge.guard import NO_INPUT, give_up, private_pipes
from numpy_se.checker.judge.moves import Moves
from numpy_se.checker.judge.wire import (
    MOST_VALUES,
    WireError,
    decode,
    encode,
    kind_of_value,
    pack,
    receive,
)
from numpy_se.checker.shapes import argument_names
from numpy_se.checker.target import Target, load, op_of
from numpy_se.checker.words import in_short
from numpy_se.contract import Array

Words: TypeAlias = dict[str, Any]
Answer: TypeAlias = tuple[Words, list[Array]]


def main() -> None:
    """Read the job, load the file, and answer requests until the judge ends."""
    requests, answers = private_pipes()

    def read(most: int) -> bytes:
        if part := os.read(requests, most):
            return part
        os._exit(0)  # the judge has ended

    def send(words: Words, arrays: Sequence[Array] = ()) -> None:
        try:
            message = memoryview(pack(words, arrays))
        except WireError as error:
            message = memoryview(pack({"ends": f"what it gives is too large: {error}"}))
        while message:
            message = message[os.write(answers, message) :]

    job, _ = receive(read)
    for name in [name for name in sys.modules if name.partition(".")[0] == "numpy_se"]:
        del sys.modules[name]
    sys.path += job["path"]
    made: dict[str, Any] = {}
    exec(job["maker"], made)
    if job["allow"] is not None:
        give_up(job["allow"], job["seconds"])
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        targets = [Target(*ast.literal_eval(target)) for target in job["targets"]]
        loaded = _Loaded(targets, job["shapes"], made.get("judged"))
        send(loaded.start())
        while True:
            send(*loaded.answer(*receive(read)))


@dataclass
class _Array:
    """An array of a call: its number in the judge, and its bytes there."""

    number: tuple[int, int]
    array: Array
    known: bytes = b""

    def __post_init__(self) -> None:
        self.known = self.array.tobytes()


@dataclass
class _Call:
    """A forward call that the judge has not dropped: its arrays, and those of its backward."""

    number: int
    moves: Moves
    backward: Callable[..., Any] | None = None
    arrays: list[_Array] = field(default_factory=list)

    def keep(self, number: int, values: Sequence[Any], start: int = 0) -> list[_Array]:
        numbered = enumerate(values, start)
        kept = [_Array((number, i), v) for i, v in numbered if kind_of_value(v) == "array"]
        self.arrays += kept
        return kept


class _Loaded:
    """The operation of a file, and its calls. ``maker`` makes it of what the file defines."""

    def __init__(self, targets: Sequence[Target], shapes: Any, maker: Any) -> None:
        self.targets, self.shapes, self.maker = targets, shapes, maker
        self.calls: dict[int, _Call] = {}
        self.overflows: list[str] = []

    def start(self) -> Words:
        """Run the file; say what its operation is called with."""
        failed = "file"
        try:
            found = [(load(target), target) for target in self.targets]
            failed = "function"
            ops = [op_of(*one, self.shapes, alone=not found[1:]) for one in found]
            self.op = self.maker(*ops) if self.maker else ops[0]
            if reason := explain(self.op):
                raise TypeError(f"gradcheck: {reason}")
        except BaseException as error:  # also exit()
            return {"kind": failed, "ends": _plainly(error)}
        self.names = argument_names(self.op)
        return {"names": self.names, "note": getattr(self.op, "note", "")}

    def answer(self, words: Words, arrays: list[Array]) -> Answer:
        """Run forward, or backward of an earlier call."""
        for number in words["drop"]:
            self.calls.pop(number, None)
        number, values = words["number"], decode(words["values"], arrays)
        for place, strides in words["strides"]:
            values[place] = _laid_out(values[place], strides)
        told: Words = {}
        self.overflows.clear()
        try:
            with np.errstate(over="call", call=lambda kind, _: self.overflows.append(kind)):
                if "moved" in words:
                    given = list(self._outputs(words["moved"], *values))
                elif words["of"] is None:
                    told, given = self._forward(number, values)
                else:
                    told, given = self._backward(number, self.calls[words["of"]], *values)
        except Exception as error:
            if error is NO_INPUT:
                return {"number": number, "ends": _plainly(error)}, []
            told, given = {"raises": _described(error)}, []
        except BaseException as error:
            return {"number": number, "ends": _plainly(error)}, []
        changed = [a for call in self.calls.values() for a in _changed(call)]
        told["values"], found = encode([*given, *(a.array for a in changed)])
        if words["of"] is None and "raises" in told:
            self.calls.pop(number)  # it has no backward
        if changed:
            told["changed"] = [a.number for a in changed]
        if self.overflows:
            told["overflow"] = True
        return {"number": number, **told}, found

    def _forward(self, number: int, args: list[Any]) -> tuple[Words, list[Any]]:
        call = self.calls[number] = _Call(number, Moves(args))
        kept = call.keep(number, args)
        with call.moves.watched():
            result = self.op(*args)
        if reason := explain(self.op, result, self.names):
            raise TypeError(f"gradcheck: {reason}")
        y, call.backward = result
        return _sharing(kept, call.keep(number, [y], len(args))), [y]

    def _outputs(self, place: int, *values: Any) -> Iterator[Any]:
        """The outputs alone, where an argument takes the values of the last array."""
        *args, moves = values
        for moved in moves:
            args[place] = moved
            try:  # it may change its arguments
                y = self.op(*(a.copy() if isinstance(a, np.ndarray) else a for a in args))[0]
            except Exception:
                yield None
            else:
                yield y.copy() if isinstance(y, np.ndarray) else y

    def _backward(self, number: int, call: _Call, dy: Any) -> tuple[Words, list[Any]]:
        before = [*call.keep(number, [dy]), *(a for a in call.arrays if a.number[0] == call.number)]
        assert call.backward is not None
        with call.moves.watched():
            given = call.backward(dy)
        if call.moves.are_differences:
            return {"differences": True}, []
        several = isinstance(given, tuple | list) and len(given) < MOST_VALUES // 2
        grads = list(given) if several else [given]
        told = _sharing(before, call.keep(number, grads, 1))
        if not several:
            return told, grads
        return {**told, "form": "list" if isinstance(given, list) else "tuple"}, grads


def _sharing(before: list[_Array], found: list[_Array]) -> Words:
    """Name the arrays found that share memory with others."""
    pairs = [(a, b) for a in before for b in found] + list(combinations(found, 2))
    shared = [(a.number, b.number) for a, b in pairs if np.shares_memory(a.array, b.array)]
    return {"shares": shared} if shared else {}


def _changed(call: _Call) -> Iterator[_Array]:
    for a in call.arrays:
        if (now := a.array.tobytes()) != a.known:
            a.known = now
            yield a


def _laid_out(values: Array, strides: list[int]) -> Array:
    """The same values, with other strides in memory."""
    steps = [(n - 1) * s for n, s in zip(values.shape, strides, strict=True)]
    buffer = bytearray(sum(map(abs, steps)) + values.itemsize)
    start = -sum(step for step in steps if step < 0)
    own: Array = np.ndarray(values.shape, values.dtype, buffer, start, strides)
    own[...] = values
    return own


def _described(error: Exception) -> Words:
    title, _, text = in_short(error).partition(": ")
    return {"title": title, "text": text}


def _plainly(error: BaseException) -> str:
    """Say in one line what was raised; the type tells, not the text."""
    reason = in_short(error)
    if isinstance(error, SystemExit):
        return f"it calls exit(): {reason}"
    if error is NO_INPUT:
        return f"it asks for input, and there is none: {reason}"
    return reason
