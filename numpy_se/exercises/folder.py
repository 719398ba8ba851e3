"""The folder of a student: a file for each exercise, with the task and a stub, and no solution."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from numpy_se.exercises.exercise import Exercise, all_exercises
from numpy_se.files import write_text

FILE = '''\
"""{title}.

Exercise {number}, about {minutes} minutes.{variant}

{task}

{keep}
"""

import numpy as np


{stub}'''
VARIANT = "This is the variant of {}."
KEEP = "Change no array that you are given: make new ones."


def start(folder: Path, exercises: Sequence[Exercise] = (), variant_of: str | None = None) -> int:
    """Write the files that are not there yet; give their number."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = exercises or all_exercises()
    missing = [one for one in wanted if not (folder / one.file).exists()]
    for exercise in missing:
        write(exercise, folder, variant_of)
    return len(missing)


def reset(exercise: Exercise, folder: Path) -> Path | None:
    """Write the file of an exercise again; keep what was written there, and say where."""
    path = folder / exercise.file
    kept = path.with_suffix(".old.py")
    name = variant_in(path)
    changed = path.exists() and path.read_bytes() != text_of(exercise, name).encode()
    if changed:
        os.replace(path, kept)
    write(exercise, folder, name)
    return kept if changed else None


def write(exercise: Exercise, folder: Path, variant_of: str | None = None) -> None:
    """Write the task and what to begin with."""
    write_text(folder / exercise.file, text_of(exercise, variant_of))


def text_of(exercise: Exercise, variant_of: str | None = None) -> str:
    """The task and what to begin with."""
    if variant_of and (not variant_of.isprintable() or set("\\'\"") & set(variant_of)):
        raise ValueError(f"--variant {variant_of!r} wants an id of letters, without quotes")
    line = ""
    if variant_of is not None and exercise.has_variants:
        exercise, line = exercise.variant(variant_of), f" {VARIANT.format(variant_of)}"
    return FILE.format(
        title=exercise.title,
        number=exercise.number,
        minutes=exercise.minutes,
        variant=line,
        task=exercise.task,
        keep=KEEP,
        stub=exercise.stub,
    )


def variant_in(path: Path) -> str | None:
    """Whose variant a file says that it is."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None
    found = re.search(VARIANT.replace(".", r"\.").format("(.+)"), text)
    return found[1] if found else None


def is_begun(folder: Path) -> bool:
    """Tell whether there are files of exercises."""
    return any((folder / exercise.file).exists() for exercise in all_exercises())
