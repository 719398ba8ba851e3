"""``python -m numpy_se.exercises grade``: the answers of a class are checked and marked."""

from __future__ import annotations

import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from numpy_se.checker.words import in_short
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.grading.mark import Mark, failed, mark
from numpy_se.exercises.grading.points import Points
from numpy_se.exercises.grading.submissions import Submission, submissions
from numpy_se.exercises.judging import judge_file

Task = tuple[Exercise, Submission, Points, float]


def grade(
    place: Path,
    exercises: Sequence[Exercise],
    points: Points | None = None,
    *,
    pattern: str | None = None,
    variant: bool = False,
    jobs: int = 1,
    timeout: float = 60,
    progress: Callable[[int, int], Any] = lambda done, count: None,
) -> list[Mark]:
    """Mark the hand-ins in ``place``, in ``jobs`` processes, each answer for ``timeout`` seconds.

    ``pattern`` finds the id of a student in the name of a file or folder, and ``variant`` says that
    each student has the variants of the own id. With more than one job, a script needs the usual
    ``if __name__ == "__main__":``. Raises ValueError, before the first student is marked, for what
    the teacher gave: an exercise whose own solution does not pass, a place without hand-ins, a
    pattern that does not read.
    """
    points = points or Points()
    for exercise in exercises:
        refuse_wrong_solution(exercise, points.seed)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workshop:
        tasks = [
            (exercise.variant(student.id) if variant else exercise, student, points, timeout)
            for student in submissions(place, Path(workshop), pattern)
            for exercise in exercises
        ]
        marks: list[Mark] = []
        for one in map(_mark, tasks) if jobs == 1 else _in_parallel(tasks, jobs):
            marks.append(one)
            progress(len(marks), len(tasks))
    return marks


def _mark(task: Task) -> Mark:
    try:
        return mark(*task)
    except Exception as error:  # one student is not the end of the class
        return failed(*task[:3], f"the check failed: {in_short(error)}")


def _in_parallel(tasks: Sequence[Task], jobs: int) -> Iterator[Mark]:
    """Mark in several processes.

    Where one of them is ended, its students are marked once more, each in a process of its own.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, spawn) as pool:
        try:
            for task, future in [(task, pool.submit(_mark, task)) for task in tasks]:
                try:
                    yield future.result()
                except BrokenProcessPool:
                    yield _alone(task)
        except BaseException:  # Ctrl-C: those that have not begun are not waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _alone(task: Task) -> Mark:
    try:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
            return other.submit(_mark, task).result()
    except BrokenProcessPool:
        return failed(*task[:3], "look: the process of the check was ended")


def refuse_wrong_solution(exercise: Exercise, seed: int) -> None:
    """Raise ValueError unless the solution passes as that of a student, and all mistakes read."""
    for mistake in exercise.mistakes:
        try:
            exercise.spoiled(mistake)
        except Exception as error:
            reason = in_short(error)
            raise ValueError(f"{exercise.file}: the mistake {mistake.id}: {reason}") from error
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, exercise.file)
        path.write_text(f"import numpy as np\n\n\n{exercise.solution}", encoding="utf-8")
        report = judge_file(exercise, path, seed=seed)
    if report["verdict"] != "ok":
        raise ValueError(f"{exercise.file}: the solution is not right: {report['headline']}")
