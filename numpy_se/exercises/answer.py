"""What a student has written: how a file answers an exercise, and what is not written yet."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.checker.adapt import Op, explain
from numpy_se.checker.target import Target, load, op_of, read_target
from numpy_se.exercises.exercise import Exercise, find


def op_in_file(stem: str, path: str) -> Op:
    """The operation that a student's file answers with. What the file raises comes through."""
    exercise, written, gaps = find(stem), names_in(Path(path)), gaps_in(Path(path))
    targets = [read_target(f"{path}:{_style(name, written)}") for name in exercise.answers]
    return _op(exercise, [(load(target), target) for target in targets], gaps)


def op_of_functions(exercise: Exercise, functions: Collection[Any]) -> Op:
    """The operation that functions, or classes, answer with."""
    named = zip(exercise.answers, functions, strict=True)
    return _op(exercise, [([one], Target("", (name,), None, {})) for name, one in named])


def names_in(path: Path) -> set[str]:
    """What a file defines, as far as it can be read without running it."""
    body = _parsed(path).body
    defined = (ast.FunctionDef, ast.ClassDef)
    names = {node.name for node in body if isinstance(node, defined)}
    assigned = (node.targets for node in body if isinstance(node, ast.Assign))
    return names | {t.id for targets in assigned for t in targets if isinstance(t, ast.Name)}


def gaps_in(path: Path) -> set[str]:
    """The names that are read, and are still ``...``, as in a stub."""
    nodes = [*ast.walk(_parsed(path))]
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
    except (OSError, SyntaxError, ValueError):
        return ast.Module([], [])


def _style(name: str, written: set[str]) -> str:
    """How a file defines an answer: as a function, a class, or forward and backward."""
    camel = "".join(word.capitalize() for word in name.split("_"))
    for style in (name, camel, f"{name}_forward,{name}_backward", "forward,backward"):
        if written.issuperset(style.split(",")):
            return style
    return name


def _op(
    exercise: Exercise, found: list[tuple[list[Any], Target]], gaps: Collection[str] = ()
) -> Op:
    """The operation that a student has written, in any style.

    A gradient in ``gaps`` is that of the solution, so that the others can be judged. All of them
    are copied: a student may give ``dy`` itself where nothing has to be done to it.
    """
    op = exercise.judged(*(op_of(parts, target, exercise.shapes) for parts, target in found))
    places = [k for k, name in enumerate(exercise.gradients) if name in gaps]

    @wraps(op)
    def judged(*args: Any) -> Any:
        result = op(*args)
        if explain(op, result):  # it gives no y, backward: the check will say so
            return result

        def backward(dy: Any) -> tuple[Any, ...]:
            given = result[1](dy)
            grads = list(given) if isinstance(given, tuple | list) else [given]
            for place in places:
                wanted = exercise.op(*args)[1](dy)
                grads[place] = wanted[place] if isinstance(wanted, tuple) else wanted
            return tuple(np.array(a) if isinstance(a, np.ndarray) else a for a in grads)

        return result[0], backward

    return judged
