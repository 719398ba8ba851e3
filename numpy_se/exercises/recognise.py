"""Which mistakes of an exercise were made, and what to think about."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.judging import Report, judge
from numpy_se.exercises.mistake import Mistake
from numpy_se.exercises.questions import QUESTIONS


def hints_for(
    exercise: Exercise, causes: Sequence[Report], gaps: Collection[str] = ()
) -> dict[str, str]:
    """Give what to think about, by the id of the cause. ``gaps`` are not written yet.

    It is the hint of a mistake of this exercise, or a question that fits any function.
    """
    own = {mistake.id: mistake.hint for mistake in recognised(exercise, causes, gaps)}
    ids = dict.fromkeys(cause["id"] for cause in causes)
    general = {code: QUESTIONS[code] for code in ids if code in QUESTIONS and code not in own}
    return own | general


def recognised(
    exercise: Exercise, causes: Sequence[Report], gaps: Collection[str] = ()
) -> list[Mistake]:
    """The mistakes of which the checker says one of these causes.

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
