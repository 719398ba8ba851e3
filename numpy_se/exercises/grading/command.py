"""``python -m numpy_se.exercises grade``: a class is checked, and its marks are written."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from numpy_se.exercises.exercise import all_exercises, read_exercises
from numpy_se.exercises.grading import tables
from numpy_se.exercises.grading.feedback import write_feedback
from numpy_se.exercises.grading.hand_ins import hand_ins
from numpy_se.exercises.grading.mark import Mark
from numpy_se.exercises.grading.points import read_points


def grade(
    place: Path,
    only: Sequence[str] = (),
    *,
    points: Path | None = None,
    exercises: Path | None = None,
    pattern: str | None = None,
    variant: bool = False,
    jobs: int = 1,
    timeout: float = 20,
    csv: Path | None = None,
    feedback: Path | None = None,
) -> list[Mark]:
    """Mark all hand-ins in ``place``, print the tables, and write what is asked for.

    Raises ValueError, before the first student is marked, for what the teacher gave: a place, a
    pattern, points, an exercise whose solution is not right.
    """
    asked = chosen(only, exercises)
    worth = read_points(points, [*all_exercises(), *read_exercises(exercises)])
    for exercise in asked:
        _refuse_wrong_solution(exercise, worth.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workshop:
        students = hand_ins(place, Path(workshop), pattern)
        marks = list(_marks(asked, students, worth, jobs, timeout, exercises, variant))
    if csv:
        tables.write_csv(csv, marks)
    if feedback:
        write_feedback(feedback, marks)
    return marks
