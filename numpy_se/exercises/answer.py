"""What a student has written: how it answers an exercise, and what is not written yet."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.checker.adapt import Op, explain, from_cache
from numpy_se.checker.target import Target, op_of
from numpy_se.checker.words import listed, plural
from numpy_se.exercises.exercise import Exercise


class Answer:
    """An operation as the answer to an exercise, in any style.

    Its arguments have the names of the exercise, whatever the student calls them. Where nothing has
    to be done to ``dy``, it may be given back as it is: once, and no other view of it.
    """

    def __init__(self, exercise: Exercise, op: Op) -> None:
        self.op = op
        self.upstream: Any = None
        self.__name__ = exercise.op.__name__
        kind = Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = Signature([Parameter(name, kind) for name in exercise.shapes])
        for name in ("outputs", "note"):
            if hasattr(op, name):
                setattr(self, name, getattr(op, name))

    def __call__(self, *args: Any) -> Any:
        result = self.op(*args)
        if explain(self.op, result):  # it gives no y, backward: the check will say so
            return result
        y, own_backward = result

        def backward(dy: Any) -> Any:
            self.upstream = dy
            given = own_backward(dy)
            if not isinstance(given, tuple | list):
                return given
            return tuple(dy.view() if g is dy else g for g in given)

        return y, backward

    def shares(self, a: Any, b: Any) -> bool:
        """Tell whether two arrays share memory, unless one is ``dy`` and the other is it, too."""
        given_back = any(one is self.upstream for one in (a, b)) and np.shape(a) == np.shape(b)
        return bool(getattr(self.op, "shares", np.shares_memory)(a, b)) and not given_back


def op_of_functions(exercise: Exercise, functions: Collection[Any]) -> Op:
    """The operation that functions, or classes, answer with; or forward and backward, for one.

    Raises TypeError for another number of functions.
    """
    if len(functions) == 2 and len(exercise.answers) == 1:
        return exercise.judged(from_cache(*functions))
    if len(functions) != len(exercise.answers):
        wanted = f"it wants {listed(exercise.answers)}"
        got = plural(len(functions), "function")
        raise TypeError(f"check: there is {got} for {exercise.name!r}; {wanted}")
    named = zip(exercise.answers, functions, strict=True)
    alone = len(functions) == 1
    ops = [
        op_of([one], Target("", (name,), None, {}), exercise.shapes, alone) for name, one in named
    ]
    return exercise.judged(*ops)


def targets_in(exercise: Exercise, path: Path) -> list[Target]:
    """Where in a file the answers are, as far as it can be read without running it."""
    written = names_in(path)
    styles = [_style(name, written) for name in exercise.answers]
    return [Target(str(path), tuple(style.split(",")), None, {}) for style in styles]


def names_in(path: Path) -> set[str]:
    """What a file defines."""
    body = _parsed(path).body
    defined = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in body if isinstance(node, defined)}
    assigned = (node.targets for node in body if isinstance(node, ast.Assign))
    return names | {t.id for targets in assigned for t in targets if isinstance(t, ast.Name)}


def answers_in(exercise: Exercise, paths: Sequence[Path]) -> list[Path]:
    """The files that have something of an answer. Stubs come last, before them other names.

    Where there is none, they are those that do not read: their check says why.
    """
    found = [path for path in paths if _answers(exercise, path)]
    found = found or [path for path in paths if not _reads(path)]

    def order(path: Path) -> tuple[bool, bool, str]:
        return "y" in gaps_in(exercise, path), path.name != exercise.file, str(path)

    return sorted(found, key=order)


def gaps_in(exercise: Exercise, path: Path) -> set[str]:
    """The names that are read in an answer, and are still ``...``, as in its stub."""
    defined = ast.FunctionDef | ast.ClassDef
    asked = {name for target in targets_in(exercise, path) for name in target.names}
    body = (n for n in _parsed(path).body if isinstance(n, defined) and n.name in asked)
    nodes = [node for function in body for node in ast.walk(function)]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    written = Counter(node.id for node in names if isinstance(node.ctx, ast.Store))
    empty = Counter(
        node.targets[0].id
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        if isinstance(node.value, ast.Constant) and node.value.value is ...
    )
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    return {name for name in read if empty[name] and empty[name] == written[name]}


def _parsed(path: Path) -> ast.Module:
    """The syntax of a file, empty where it has none: its check will say so."""
    try:
        return ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _reads(path: Path) -> bool:
    return bool(_parsed(path).body) or not path.read_bytes().strip()


def _answers(exercise: Exercise, path: Path) -> bool:
    if path.name == exercise.file:
        return True
    written = names_in(path)
    return any(written.issuperset(_style(name, written).split(",")) for name in exercise.answers)


def _style(name: str, written: set[str]) -> str:
    """How a file defines an answer: as a function, a class, or forward and backward."""
    joined = name.replace("_", "")
    classes = (one for one in sorted(written) if one != name and one.lower() == joined)  # SEBlock
    for style in (name, *classes, f"{name}_forward,{name}_backward", "forward,backward"):
        if written.issuperset(style.split(",")):
            return style
    return name
