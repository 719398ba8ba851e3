"""The autograder for Gradescope: what it runs, and the results that it reads.

``write`` makes a folder with ``setup.sh`` and ``run_autograder``; its zip is what Gradescope asks
for. There, ``run_autograder`` runs this module, which marks one student. ``results.json`` has a
test for y and for each gradient.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy_se.checker.words import PACKAGE, escaped, in_short
from numpy_se.exercises import screen
from numpy_se.exercises.exercise import Exercise, all_exercises, find, read_exercises
from numpy_se.exercises.grading.grade import refuse_wrong_solution
from numpy_se.exercises.grading.mark import Mark, mark
from numpy_se.exercises.grading.points import Points, read_points
from numpy_se.exercises.grading.submissions import Submission, collect
from numpy_se.files import write_text

SETUP = """\
#!/usr/bin/env bash
set -e
apt-get update
apt-get install -y python3-pip
pip3 install uv
uv venv --python 3.12 /autograder/venv
uv pip install --python /autograder/venv/bin/python 'numpy>=2' nbformat
cd /autograder/source
/autograder/venv/bin/python -c 'import numpy_se.exercises.grading.gradescope'
"""
RUN = """\
#!/usr/bin/env bash
cd /autograder/source
/autograder/venv/bin/python -m numpy_se.exercises.grading.gradescope settings.json \\
    /autograder/submission /autograder/results/results.json
"""


def write(
    folder: Path, only: Sequence[str], points: Path | None, exercises: Path | None, timeout: float
) -> None:
    """Write the files of an autograder: its two scripts, this package, and what was asked for.

    Raises ValueError for exercises and points that do not read, before anything is written.
    """
    own = read_exercises(exercises) if exercises else ()
    asked = [find(name, own) for name in only]
    seed = read_points(points, [*own, *all_exercises()]).seed
    for exercise in asked:
        refuse_wrong_solution(exercise, seed)
    folder.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, folder / "numpy_se", ignore=ignored, dirs_exist_ok=True)
    if points:
        shutil.copyfile(points, folder / "points.toml")
    if exercises:
        shutil.copytree(exercises, folder / "exercises", ignore=ignored, dirs_exist_ok=True)
    there = {"points": bool(points), "exercises": bool(exercises)}
    settings = json.dumps({"only": list(only), "timeout": timeout, **there})
    for name, text in [("settings.json", settings), ("setup.sh", SETUP), ("run_autograder", RUN)]:
        write_text(folder / name, text)
        (folder / name).chmod(0o644 if name == "settings.json" else 0o755)


def main(arguments: Sequence[str]) -> None:
    """Mark the files in a folder. At the start, the results say that it did not finish."""
    settings, submission, results = map(Path, arguments)
    stored = json.loads(settings.read_text(encoding="utf-8"))
    folder = settings.parent
    own = read_exercises(folder / "exercises") if stored["exercises"] else ()
    asked = [find(name, own) for name in stored["only"]]
    known = [*own, *all_exercises()]
    points = read_points(folder / "points.toml" if stored["points"] else None, known)
    empty = [_test(one, part, most) for one in asked for part, most in points.of(one).items()]
    _write_results(results, empty, "The check did not finish.")
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as workshop:
            student = Submission("submission", Path(workshop, "files"))
            collect(submission, student)
            marks = [mark(exercise, student, points, stored["timeout"]) for exercise in asked]
    except Exception as error:  # the student reads it, and can tell the teacher
        _write_results(results, empty, f"The check failed: {in_short(error)}")
        raise
    tests = [test for pair in zip(asked, marks, strict=True) for test in _tests(*pair, points)]
    _write_results(results, tests, "\n\n\n".join(own.feedback for own in marks))


def _tests(exercise: Exercise, own: Mark, points: Points) -> list[dict[str, Any]]:
    """One test for each part. What is taken off is taken from the last ones that have points."""
    tests = [
        _test(exercise, part, most, own.worth[part], own.states[part])
        for part, most in points.of(exercise).items()
    ]
    off = sum(own.worth.values()) - own.points
    for test in reversed(tests):
        taken = min(off, test["score"])
        test["score"], off = test["score"] - taken, off - taken
        if taken:
            test["output"] += f"; {taken:g} off, see above"
    return tests


def _test(
    exercise: Exercise, part: str, most: float, score: float = 0.0, state: str = screen.OPEN
) -> dict[str, Any]:
    name = f"{exercise.number} {exercise.name}: {part}"
    return {"name": name, "score": score, "max_score": most, "output": state}


def _write_results(path: Path, tests: list[dict[str, Any]], text: str) -> None:
    output = "\n".join(escaped(line) for line in text.split("\n"))
    score = sum(test["score"] for test in tests)
    results = {"score": score, "output": output, "output_format": "text", "tests": tests}
    write_text(path, json.dumps({**results, "visibility": "visible"}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
