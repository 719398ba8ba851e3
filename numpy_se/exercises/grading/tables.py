"""The marks of a class: the table, the tally of its mistakes, and a CSV file."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from numpy_se.checker.words import one_line
from numpy_se.exercises import screen
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.grading.mark import MISSING, Mark
from numpy_se.files import write_atomically

SHORT = {
    screen.RIGHT: "right",
    screen.WRONG: "WRONG",
    screen.FITS: "fits",
    screen.TASK: "task",
    screen.UNDECIDED: "look",
    screen.OPEN: "open",
    screen.GAP: "gap",
    MISSING: "-",
}
LEGEND = (
    "fits: right for the student's own y, which is wrong; task: right, though y is wrong; "
    "open: not judged; gap: not written; look: could not be decided"
)
MOST_ID = 30
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet computes


def table(exercise: Exercise, marks: Sequence[Mark]) -> list[str]:
    """The marks in one exercise, a line for each student."""
    own = [mark for mark in marks if mark.exercise == exercise.name]
    parts = list(dict.fromkeys(part for mark in own for part in mark.states))
    head = ["student", *parts, "points", "causes", "note"]
    rows = [
        [
            one_line(mark.id, MOST_ID),
            *(SHORT[mark.states[part]] if part in mark.states else "" for part in parts),
            f"{mark.points:g} of {mark.max_points:g}",
            " ".join(mark.causes),
            one_line(mark.note),
        ]
        for mark in own
    ]
    return [f"{exercise.number}  {exercise.title}", *_aligned([head, *rows]), "", LEGEND]


def totals(marks: Sequence[Mark]) -> list[str]:
    """The sum of each student over several exercises."""
    rows = [[one_line(name, MOST_ID), f"{own:g} of {of:g}"] for name, own, of in _totals(marks)]
    return ["all exercises", *_aligned([["student", "points"], *rows])]


def tally(exercise: Exercise, marks: Sequence[Mark]) -> list[str]:
    """How many students made each mistake in an exercise, and what to ask them."""
    own = [mark for mark in marks if mark.exercise == exercise.name]
    hints = {code: hint for mark in own for code, hint in mark.hints.items()}
    ids = Counter(code for mark in own for code in mark.causes)
    lines = [f"{'students':>8}  mistake in {exercise.number}"] if ids else []
    for code, count in sorted(ids.items(), key=lambda item: (-item[1], item[0])):
        name = "none that is known" if code == "unknown" else code
        lines.append(f"{count:8}  {name}")
        if code in hints:
            lines.append(f"{'':10}{hints[code]}")
    return lines


def write_csv(path: Path, marks: Sequence[Mark]) -> None:
    """Write the marks for a spreadsheet: a row for each answer, and the total of each student."""
    parts = list(dict.fromkeys(part for mark in marks for part in mark.states))
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(["id", "exercise", "points", "of", *parts, "causes", "note"])
    for mark in marks:
        states = [SHORT.get(mark.states.get(part, ""), "") for part in parts]
        cells = [mark.id, mark.exercise, f"{mark.points:g}", f"{mark.max_points:g}", *states]
        rows.writerow(map(_safe, [*cells, " ".join(mark.causes), mark.note]))
    if len({mark.exercise for mark in marks}) > 1:
        for name, points, of in _totals(marks):
            cells = [name, "total", f"{points:g}", f"{of:g}", *[""] * len(parts), "", ""]
            rows.writerow(map(_safe, cells))
    data = text.getvalue().encode("utf-8-sig")  # so that a spreadsheet reads all letters
    write_atomically(path, lambda stream: stream.write(data))


def _totals(marks: Sequence[Mark]) -> Iterator[tuple[str, float, float]]:
    for name in dict.fromkeys(mark.id for mark in marks):
        own = [mark for mark in marks if mark.id == name]
        yield name, sum(mark.points for mark in own), sum(mark.max_points for mark in own)


def _safe(cell: str) -> str:
    """A cell in one line that no spreadsheet takes for a formula."""
    line = one_line(cell)
    if line == SHORT[MISSING]:
        return line
    return f"'{line}" if line.startswith(FORMULA) else line


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
