"""The folder of a student: a file for each exercise, with the task and a stub, and no solution."""

from __future__ import annotations

import os
from pathlib import Path

from numpy_se.exercises.exercise import Exercise, all_exercises

FILE = '''\
"""{title}.

Exercise {number}, about {minutes} minutes.

{task}
"""

import numpy as np


{stub}'''


def start(folder: Path) -> int:
    """Write the files that are not there yet; give their number."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [one for one in all_exercises() if not (folder / one.file).exists()]
    for exercise in missing:
        write(exercise, folder)
    return len(missing)


def reset(exercise: Exercise, folder: Path) -> Path | None:
    """Write the file of an exercise again; keep what was written there, and say where."""
    path = folder / exercise.file
    kept = path.with_suffix(".old.py")
    changed = path.exists() and path.read_bytes() != text_of(exercise).encode()
    if changed:
        os.replace(path, kept)
    write(exercise, folder)
    return kept if changed else None


def write(exercise: Exercise, folder: Path) -> None:
    """Write the task and what to begin with."""
    (folder / exercise.file).write_bytes(text_of(exercise).encode())


def text_of(exercise: Exercise) -> str:
    """The task and what to begin with."""
    return FILE.format(
        title=exercise.title,
        number=exercise.number,
        minutes=exercise.minutes,
        task=exercise.task,
        stub=exercise.stub,
    )


def is_begun(folder: Path) -> bool:
    """Tell whether there are files of exercises."""
    return any((folder / exercise.file).exists() for exercise in all_exercises())
