"""The check of an answer, in a process of its own for a file; and which mistakes were made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy_se.checker import gradcheck
from numpy_se.checker.adapt import Op
from numpy_se.checker.judge import check_file
from numpy_se.checker.reference import forward_difference
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.mistake import Mistake

Report = dict[str, Any]

# Two files for ``check_file``: the answer, and the solution.
ANSWER = """
import os
from numpy_se.exercises.answer import op_in_file
os.remove(__file__)  # errors are looked for in the files that are there
{name} = op_in_file({stem!r}, {path!r})
"""
SOLUTION = """
from numpy_se.exercises.exercise import find
{name} = find({stem!r}).op
"""


def judge(exercise: Exercise, op: Op, seed: int = 0) -> Report:
    """Check an operation as the answer to an exercise; give the report as a dict.

    It has what a report of ``check_file`` has, without "text" and "printed". What the forward pass
    raises comes through.
    """
    shapes, right = exercise.shapes, exercise.op
    with exercise.taught():
        other = None if exercise.free else forward_difference(op, right, shapes, seed)
        report = {**gradcheck(op, shapes=shapes, seed=seed).to_dict(), "kind": "checked"}
    if other is None:
        return report
    y = other.finding
    said = {"kind": y.kind.value, "subject": "y", "text": y.text, "index": None}
    cause = [{"id": y.code, "gradients": ["y"], "text": y.text}] if y.code else []
    return {
        **report,
        "verdict": "wrong",
        "kind": "forward",
        "findings": [said, *report["findings"]],
        "causes": [*cause, *report["causes"]],
    }


def judge_file(exercise: Exercise, path: Path, timeout: float = 60) -> Report:
    """Check a student's file, in a process that is stopped after ``timeout`` seconds."""
    name = exercise.op.__name__  # as reports call it
    names = {"stem": exercise.stem, "path": str(path.absolute()), "name": name}
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        answer, solution = Path(folder, "answer.py"), Path(folder, "solution.py")
        answer.write_text(ANSWER.format(**names), encoding="utf-8")
        solution.write_text(SOLUTION.format(**names), encoding="utf-8")
        with exercise.taught():
            return check_file(
                f"{answer}:{name}",
                exercise.shapes,
                timeout=timeout,
                reference=None if exercise.free else f"{solution}:{name}",
                allow=["numpy_se"],
            )


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
    return judge(exercise, exercise.spoiled(mistake))
