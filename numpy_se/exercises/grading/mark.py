"""The mark of one answer: what is said of y and of each gradient, and what it is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from numpy_se.checker.judge import Report
from numpy_se.checker.words import listed, plural
from numpy_se.exercises import screen
from numpy_se.exercises.answer import answers_in, gaps_in
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.grading.hand_ins import HandIn
from numpy_se.exercises.grading.points import Points
from numpy_se.exercises.judging import PROMISES, judge_file, recognised

MISSING = "not handed in"


@dataclass(frozen=True)
class Mark:
    """What an answer is worth. ``states`` are the words of the table, ``feedback`` is for the
    student, ``note`` for the teacher.
    """

    id: str
    exercise: str
    states: dict[str, str]
    points: float
    of: float
    causes: tuple[str, ...]
    note: str
    feedback: str


def mark(exercise: Exercise, own: HandIn, points: Points, timeout: float) -> Mark:
    """Check the answer of a student, and mark it."""
    paths = answers_in(exercise, own.files)
    weights = points.of(exercise)
    if not paths:
        notes = own.notes or [_nothing(exercise, own)]
        return _mark(exercise, own, dict.fromkeys(weights, MISSING), 0, weights, (), notes, [])
    path, *others = paths
    gaps = gaps_in(path)
    beside = [one for one in own.folder.iterdir() if one.name != path.name]
    report = judge_file(
        exercise,
        path,
        timeout,
        points.seed,
        beside=beside if path.parent == own.folder else [],
        allow=["numpy_se"] if "numpy_se" in exercise.maker else [],
    )
    states = screen.marks(exercise, report, gaps)
    causes = screen.causes(report, states)
    notes = [*own.notes, *_notes(report, states, weights)]
    if others:
        notes.append(f"taken from {path.name}; also in {listed(one.name for one in others)}")
    worth = _worth(report, states, weights)
    broken = [one["text"] for one in report["findings"] if one["kind"] in PROMISES]
    if broken and worth:
        notes.append(f"{points.deduction:g} off: {broken[0]}")
        worth = max(0.0, worth - points.deduction)
    told = [
        screen.table(states),
        screen.told(report, states),
        screen.thoughts(recognised(exercise, causes, gaps)),
        screen.notes(report),
    ]
    ids = tuple(dict.fromkeys(cause["id"] for cause in causes))
    return _mark(exercise, own, states, worth, weights, ids, notes, told)


def _nothing(exercise: Exercise, own: HandIn) -> str:
    if not own.files:
        return "no Python file"
    wanted = listed(exercise.answers)
    return f"no {wanted} in {plural(len(own.files), 'file')}, and no {exercise.file}"


def _worth(report: Report, states: dict[str, str], weights: dict[str, float]) -> float:
    """The points. A gradient that fits a wrong y counts where that y is a known mistake."""
    counted = {screen.RIGHT, screen.OWN}
    if _is_known(report):
        counted.add(screen.FITS)
    return sum(weight for part, weight in weights.items() if states[part] in counted)


def _is_known(report: Report) -> bool:
    """Tell whether y is wrong in a way that is known: no easier function in its place."""
    return any(cause["gradients"] == ["y"] for cause in report["causes"])


def _notes(report: Report, states: dict[str, str], weights: dict[str, float]) -> list[str]:
    """What the teacher has to know, or to look at."""
    if report["kind"] not in ("checked", "forward"):
        return [str(report["headline"])]
    notes = []
    fits = [part for part in weights if states[part] == screen.FITS]
    if fits and not _is_known(report):
        most = sum(weights[part] for part in fits)
        notes.append(f"look: y is another function, and {listed(fits)} fit it (up to {most:g})")
    if open_ := [part for part in weights if states[part] == screen.UNDECIDED]:
        notes.append(f"look: {listed(open_)} could not be decided")
    notes += [one["text"] for one in report["findings"] if one["kind"] == "raises"]
    return notes


def _mark(
    exercise: Exercise,
    own: HandIn,
    states: dict[str, str],
    worth: float,
    weights: dict[str, float],
    causes: tuple[str, ...],
    notes: Sequence[str],
    told: Sequence[list[str]],
) -> Mark:
    note = "; ".join(notes)
    head = f"{exercise.number}  {exercise.title}: {worth:g} of {sum(weights.values()):g}"
    said = [part for part in told if part] or [screen.wrapped(note)]
    feedback = "\n\n".join("\n".join(part) for part in [[head], *said])
    kept = {part: states[part] for part in weights}
    return Mark(own.id, exercise.name, kept, worth, sum(weights.values()), causes, note, feedback)
