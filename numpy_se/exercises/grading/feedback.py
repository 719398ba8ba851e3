"""A text for each student: the same as on the screen of the exercises, and no solution."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from numpy_se.checker.words import escaped
from numpy_se.exercises.grading.mark import Mark
from numpy_se.files import write_text


def write_feedback(folder: Path, marks: Sequence[Mark]) -> None:
    """Write ``<id>.txt`` for each student; characters that a file name may not have become _."""
    folder.mkdir(parents=True, exist_ok=True)
    used: set[str] = set()
    for name in dict.fromkeys(mark.id for mark in marks):
        texts = [mark.feedback for mark in marks if mark.id == name]
        text = "\n\n\n".join([name, *texts]) + "\n"
        title = _file_name(name)
        while title.lower() in used:  # two ids that differ in such a character only
            title += "_"
        used.add(title.lower())
        lines = map(escaped, text.split("\n"))
        write_text(folder / f"{title}.txt", "\n".join(lines))


def _file_name(name: str) -> str:
    plain = re.sub(r"[^\w .-]", "_", name).strip(" .")[:100]
    return plain or "_"
