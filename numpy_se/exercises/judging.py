"""The check of an answer: in this process for a notebook, in one of its own for a file."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from numpy_se.checker import gradcheck
from numpy_se.checker.adapt import Op, explain
from numpy_se.checker.judge import Report, check_file
from numpy_se.checker.reference import forward_difference
from numpy_se.checker.target import Target, load, op_of, read_target
from numpy_se.exercises.exercise import Exercise, find
from numpy_se.exercises.mistake import Mistake

# Two files for ``check_file``: the answer, and the solution, whose mistakes the checker is taught.
ANSWER = """
from numpy_se.exercises.judging import op_in_file
op = op_in_file({stem!r}, {path!r})
"""
SOLUTION = """
from numpy_se.exercises.exercise import find
exercise = find({stem!r})
taught = exercise.taught()
taught.__enter__()
op = exercise.op
"""


def judge(exercise: Exercise, *functions: Any, seed: int = 0) -> Report:
    """Check functions, or classes, as the answer to an exercise; give the report as a dict.

    It has what a report of ``check_file`` has, without "text" and "printed". What the forward pass
    raises comes through.
    """
    parts = zip(exercise.answers, functions, strict=True)
    found = [([function], Target("", (name,), None, {})) for name, function in parts]
    return judge_op(exercise, _judged(exercise, found), seed)


def judge_op(exercise: Exercise, op: Op, seed: int = 0) -> Report:
    """Check an operation as ``judge`` does."""
    shapes = exercise.shapes
    with exercise.taught():
        finding = None if exercise.free else forward_difference(op, exercise.op, shapes, seed)
        if finding:
            cause = {"id": finding.code, "gradients": ["y"], "text": finding.text}
            return {
                "verdict": "wrong",
                "kind": "forward",
                "headline": finding.text,
                "findings": [{"subject": "y", "text": finding.text, "index": None}],
                "causes": [cause] if finding.code else [],
                "gradients": {},
                "resolution": {},
                "reproduce": "",
            }
        return {**gradcheck(op, shapes=shapes, seed=seed).to_dict(), "kind": "checked"}


def judge_file(exercise: Exercise, path: Path, timeout: float = 60) -> Report:
    """Check a student's file, in a process that is stopped after ``timeout`` seconds."""
    names = {"stem": exercise.stem, "path": str(path.absolute())}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        ours = Path(folder, "site-packages")  # where no error is looked for
        ours.mkdir()
        answer, solution = ours / "answer.py", ours / "solution.py"
        answer.write_text(ANSWER.format(**names), encoding="utf-8")
        solution.write_text(SOLUTION.format(**names), encoding="utf-8")
        reference = None if exercise.free else f"{solution}:op"
        return check_file(f"{answer}:op", exercise.shapes, timeout=timeout, reference=reference)


def recognised(
    exercise: Exercise, causes: Sequence[Report], gaps: Collection[str] = ()
) -> list[Mistake]:
    """The mistakes of which the checker says one of these causes. ``gaps`` are not written yet.

    "It is 2 times too large" is said of many mistakes. So an id is not enough: what is said of the
    solution with the mistake in it must be the same, and about the same gradients.
    """
    said = _said(causes, gaps)
    return [
        mistake
        for mistake in exercise.mistakes
        if any(mistake.id == code for code, *_ in said)
        if any(
            mistake.id == code and (code, *rest) in said
            for code, *rest in _said(report_of(exercise, mistake)["causes"], gaps)
        )
    ]


def _said(causes: Sequence[Report], gaps: Collection[str]) -> set[tuple[Any, ...]]:
    return {(c["id"], c["text"], frozenset(c["gradients"]).difference(gaps)) for c in causes}


@cache
def report_of(exercise: Exercise, mistake: Mistake) -> Report:
    """The report of the solution with a mistake in it."""
    return judge_op(exercise, exercise.spoiled(mistake))


# What a student has written.


def op_in_file(stem: str, path: str) -> Op:
    """The operation that a student's file answers with. What the file raises comes through."""
    exercise, written, gaps = find(stem), names_in(Path(path)), gaps_in(Path(path))
    targets = [read_target(f"{path}:{_style(name, written)}") for name in exercise.answers]
    return _judged(exercise, [(load(target), target) for target in targets], gaps)


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


def _judged(
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
