"""``python -m numpy_se.exercises grade``: a class is checked, and its marks are written."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from numpy_se.checker.words import in_short
from numpy_se.exercises.exercise import Exercise, find, read_exercises
from numpy_se.exercises.grading.hand_ins import HandIn, hand_ins
from numpy_se.exercises.grading.mark import Mark, mark
from numpy_se.exercises.grading.points import Points, read_points
from numpy_se.exercises.judging import judge


def grade(
    place: Path,
    only: Sequence[str],
    *,
    points: Path | None = None,
    exercises: Path | None = None,
    pattern: str | None = None,
    variant: bool = False,
    jobs: int = 1,
    timeout: float = 20,
    progress: Callable[[int, int], Any] = lambda done, count: None,
) -> list[Mark]:
    """Mark the hand-ins in ``place``, in the exercises that ``only`` names, in ``jobs`` processes.

    ``exercises`` is a folder with more of them, ``pattern`` finds the id of a student in the name
    of a file or folder, and ``variant`` says that each student has the variants of the own id.

    Raises ValueError, before the first student is marked, for what the teacher gave: a place
    without hand-ins, a pattern or points that do not read, an exercise that is not known, or whose
    own solution does not pass.
    """
    asked = asked_for(only, exercises)
    worth = read_points(points, asked)
    for exercise in asked:
        _refuse_wrong_solution(exercise, worth.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workshop:
        students = hand_ins(place, Path(workshop), pattern)
        work = [
            (exercise.variant(student.id) if variant else exercise, student)
            for student in students
            for exercise in asked
        ]
        run = partial(_mark, points=worth, timeout=timeout)
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            marks = []
            for one in pool.map(run, work):
                marks.append(one)
                progress(len(marks), len(work))
    return marks


def asked_for(only: Sequence[str], folder: Path | None) -> list[Exercise]:
    """The exercises of these names or numbers, those of a ``folder`` among them."""
    own = read_exercises(folder) if folder else ()
    return list(dict.fromkeys(find(one, own) for one in only))


def _mark(work: tuple[Exercise, HandIn], points: Points, timeout: float) -> Mark:
    return mark(*work, points, timeout)


def _refuse_wrong_solution(exercise: Exercise, seed: int) -> None:
    """Raise ValueError unless the solution of the teacher passes, and its stub is one."""
    try:
        report = judge(exercise, exercise.op, seed)
    except Exception as error:
        raise ValueError(
            f"{exercise.file}: the solution cannot be used: {in_short(error)}"
        ) from error
    if report["verdict"] != "ok":
        raise ValueError(f"{exercise.file}: the solution is not right: {report['headline']}")
