"""The mark of one answer: what is said of y and of each gradient, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from numpy_se.checker.judge import Report
from numpy_se.checker.words import listed, one_line, plural
from numpy_se.exercises import screen
from numpy_se.exercises.answer import answers_in, gaps_in
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.folder import variant_in
from numpy_se.exercises.grading.points import Points
from numpy_se.exercises.grading.submissions import Submission
from numpy_se.exercises.judging import LATE, PROMISES, breaks_promise, judge_file
from numpy_se.exercises.recognise import hints_for

MISSING = "not handed in"


@dataclass(frozen=True)
class Mark:
    """What an answer is worth.

    ``states`` are what is said of each part, ``worth`` its points; ``points`` is their sum, less
    what is taken off, and ``max_points`` the most there is. ``hints`` are what to think
    about, by the id of the cause. ``feedback`` is for the student, ``note`` for the teacher.
    """

    id: str
    exercise: str
    states: dict[str, str]
    worth: dict[str, float]
    points: float
    max_points: float
    causes: tuple[str, ...]
    hints: dict[str, str]
    note: str
    feedback: str


def mark(exercise: Exercise, own: Submission, points: Points, timeout: float) -> Mark:
    """Check the answer of a student, and mark it."""
    weights = points.of(exercise)
    most = sum(weights.values())
    paths = answers_in(exercise, own.files)
    if not paths:
        return failed(exercise, own, points, "; ".join([*own.notes, _nothing(exercise, own)]))
    path, *others = paths
    gaps = gaps_in(exercise, path)
    report = judge_file(
        exercise,
        path,
        timeout,
        points.seed,
        beside=[one for one in path.parent.iterdir() if one != path],
    )
    found = screen.marks(exercise, report, gaps)
    causes = screen.causes(report, found)
    notes = [*own.notes, *_notes(report, found, weights)]
    if exercise.varied and (name := variant_in(path)) not in (None, own.id):
        notes.append(f"the file has the variant of {one_line(str(name))}")
    if others:
        notes.append(f"taken from {path.name}; also in {listed(one.name for one in others)}")
    worth = worth_of(report, found, weights)
    total = sum(worth.values())
    broken = [one["text"] for one in report["findings"] if breaks_promise(one)]
    off = min(total, points.deduction) if broken else 0.0
    if off:
        notes = [note for note in notes if note != broken[0]]
        notes.append(f"{off:g} off: {broken[0]}")
    hints = hints_for(exercise, causes, gaps)
    told = [screen.table(found), screen.told(report, found), screen.thoughts(hints.values())]
    return Mark(
        own.id,
        exercise.name,
        {part: found[part] for part in weights},
        worth,
        total - off,
        most,
        tuple(dict.fromkeys(cause["id"] for cause in causes)),
        hints,
        "; ".join(notes),
        _feedback(exercise, total - off, most, told),
    )


def failed(exercise: Exercise, own: Submission, points: Points, note: str) -> Mark:
    """The mark where there is nothing to check, or no check: none of the points."""
    weights = points.of(exercise)
    most = sum(weights.values())
    states, none = dict.fromkeys(weights, MISSING), dict.fromkeys(weights, 0.0)
    feedback = _feedback(exercise, 0, most, [screen.wrapped(note)])
    return Mark(own.id, exercise.name, states, none, 0.0, most, (), {}, note, feedback)


def worth_of(
    report: Report, found: Mapping[str, str], weights: Mapping[str, float]
) -> dict[str, float]:
    """The points of each part, before anything is taken off."""
    counted = {screen.RIGHT, screen.TASK, *([screen.FITS] if _is_known(report) else [])}
    return {part: weight * (found[part] in counted) for part, weight in weights.items()}


def _nothing(exercise: Exercise, own: Submission) -> str:
    return f"no {listed(exercise.answers)} in {plural(len(own.files), 'file')}"


def _is_known(report: Report) -> bool:
    """Tell whether y is wrong in a way that is known, and depends on all that it should.

    Only then do gradients count that fit it. Those of ``y = x`` are no work.
    """
    return bool(report.get("known"))


def _notes(report: Report, found: Mapping[str, str], weights: Mapping[str, float]) -> list[str]:
    """What the teacher has to know, or to look at."""
    if report["kind"] not in ("checked", "forward"):
        return [str(report["headline"])]
    notes = []
    fits = [part for part in weights if found[part] == screen.FITS]
    if fits and not _is_known(report):
        most = sum(weights[part] for part in fits)
        notes.append(f"look: y is another function, and {listed(fits)} fit it (up to {most:g})")
    if found.get("y") == screen.OWN:
        notes.append("look: y is compared with nothing")
    if report.get("late"):
        notes.append(f"look: {LATE}")
    if unclear := [part for part in weights if found[part] == screen.UNDECIDED]:
        notes.append(f"look: {listed(unclear)} could not be decided")
    told = [one for one in report["findings"] if one["kind"] not in PROMISES]
    return notes + [one["text"] for one in told if one["subject"] == "backward"]


def _feedback(exercise: Exercise, points: float, of: float, told: Sequence[list[str]]) -> str:
    head = f"{exercise.number}  {exercise.title}: {points:g} of {of:g}"
    return "\n\n".join("\n".join(part) for part in ([head], *told) if part)
