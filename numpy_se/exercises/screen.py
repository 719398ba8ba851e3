"""What a student reads: plain text of at most 80 columns, with colours on a terminal."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy_se.checker.findings import Kind
from numpy_se.checker.words import listed
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.judging import LATE, Report, breaks_promise
from numpy_se.exercises.progress import Progress

COLUMNS = 80
COMMAND = "python -m numpy_se.exercises"
RIGHT, WRONG, OPEN, GAP = "right", "WRONG", "not judged yet", "not written yet"
FITS, TASK = "fits your y", "right, but y is not"
UNDECIDED, OWN = "could not be decided here", "your own: compared with nothing"
COLOURS = {RIGHT: "32", WRONG: "31", "passed": "32"}


def head(exercise: Exercise, passed: int, of: int) -> str:
    """Name the exercise, and draw how many are passed."""
    title = f"{exercise.number}  {exercise.name.replace('_', ' ')}"
    bar = f"[{'#' * passed}{'.' * (of - passed)}] {passed} of {of}"
    return f"{title:<{COLUMNS - len(bar)}}{bar}"


def marks(exercise: Exercise, report: Report, gaps: set[str]) -> dict[str, str]:
    """Say of y and of each gradient what is known. ``gaps`` are the names that are still ``...``.

    In an exercise in steps, what is behind the first wrong one is not judged yet.
    """
    found = dict.fromkeys(["y", *exercise.gradients], OPEN)
    if report["kind"] in ("checked", "forward"):
        rough = any(one["kind"] == Kind.ROUGH for one in report["findings"])
        found["y"] = WRONG if any(map(_is_about_y, report["findings"])) else RIGHT
        states = {
            "right": RIGHT if found["y"] == RIGHT else FITS,
            "task": TASK,
            "wrong": WRONG,
            "undecided": UNDECIDED if rough or report["verdict"] == "inconclusive" else OPEN,
        }
        judged = {name for name in report["gradients"] if name in exercise.gradients}
        found |= {name: states[report["gradients"][name]["state"]] for name in judged}
    found |= dict.fromkeys([name for name in found if name in gaps], GAP)
    if exercise.free and found["y"] == RIGHT:
        found["y"] = OWN
    elif "y" not in exercise.parts and found["y"] == RIGHT:
        del found["y"]  # it is given
    rights = (RIGHT, TASK)
    if exercise.in_steps and (stops := [n for n, mark in found.items() if mark not in rights]):
        behind = [*found][[*found].index(stops[0]) + 1 :]
        found |= dict.fromkeys(behind, OPEN)
    return found


def _is_about_y(finding: Mapping[str, Any]) -> bool:
    """Tell whether a finding says that the numbers of y are wrong."""
    others = finding["kind"] == Kind.ROUGH or breaks_promise(finding)
    return finding["subject"] == "y" and not others


def table(found: Mapping[str, str]) -> list[str]:
    """Write the marks below each other."""
    width = max(map(len, found))
    return [f"  {name:<{width}}  {coloured(mark)}" for name, mark in found.items()]


def causes(report: Report, found: Mapping[str, str]) -> list[Report]:
    """The causes of what is shown."""
    hidden = _hidden(found)
    return [one for one in report.get("causes", ()) if not hidden.issuperset(one["gradients"])]


def told(report: Report, found: Mapping[str, str]) -> list[str]:
    """Say what is wrong, of all that is shown."""
    if report["kind"] not in ("checked", "forward"):
        return wrapped(report.get("headline", ""))
    findings = [one for one in report["findings"] if one["subject"] not in _hidden(found)]
    compared = {one["subject"] for one in findings if one["index"] is not None}
    texts = {one["text"] for one in findings}
    lines: list[str] = []
    named: set[str] = set()
    for cause in causes(report, found):
        unknown = cause["id"] == "unknown" and compared.issuperset(cause["gradients"])
        if unknown or (cause["id"] != "unknown" and cause["text"] not in texts):
            shown = [name for name in cause["gradients"] if name not in _hidden(found)]
            lines += wrapped(_about(cause, shown))
            named.update(cause["gradients"])
    for finding in findings:
        if finding["index"] is not None:
            lines += _entry(finding)
        elif finding["subject"] not in named and not _is_told(finding, report):
            lines += wrapped(finding["text"])
    wrong = any(mark == WRONG for name, mark in found.items() if name != "y")
    if wrong and report["reproduce"]:
        lines += wrapped(f"smallest input found: {report['reproduce']}")
    return lines


def thoughts(hints: Iterable[str]) -> list[str]:
    """What to think about."""
    return [line for hint in dict.fromkeys(hints) for line in wrapped(f"think: {hint}")]


def notes(report: Report) -> list[str]:
    """What could not be seen, unless all is well, and what the file prints."""
    limits = report["limits"] if report["verdict"] == "inconclusive" else []
    limits = [*limits, LATE] if report.get("late") else limits
    lines = [line for limit in limits for line in wrapped(f"note: {limit}")]
    if report.get("printed"):
        lines += ["  your file prints, at the end:", *indented(report["printed"])]
    return lines


def lessons(exercise: Exercise, report: Report) -> list[str]:
    """What is read after a success: why the common wrong ways are wrong, and the solution."""
    finest = max(report["resolution"].values(), default=0.0)
    lines = [f"  {coloured('passed')}"]
    first = "" if exercise.free else "y agrees with the solution to 5 digits. "
    lines += wrapped(
        f"{first}The gradients agree with differences of your own y: an error of {finest:.0e} in "
        "one entry would be seen."
    )
    lines += ["", "  Common wrong ways, and why they are wrong:"]
    for mistake in exercise.mistakes:
        lines += ["", *_code("wrong", mistake.wrong), *_code("right", mistake.right)]
        lines += wrapped(mistake.why)
    return [*lines, "", *solution(exercise)]


def solution(exercise: Exercise) -> list[str]:
    """One solution; there are others."""
    return ["  One solution:", "", *indented(exercise.solution.rstrip("\n"))]


def row(exercise: Exercise, own: Progress) -> str:
    """One line of the list of all exercises."""
    state = "passed" if own.passed else "open"
    state += ", seen" if own.seen else ""
    return f"{exercise.number:2}  {exercise.title:<48} {exercise.minutes:3} min  {state}"


def again(exercise: Exercise) -> list[str]:
    """What to do after a check that is not passed."""
    number = exercise.number
    return [
        "not passed",
        f"next: edit {exercise.file}, then  {COMMAND} check {number}",
        f"      or ask for a hint:  {COMMAND} hint {number}",
    ]


def onward(exercise: Exercise) -> list[str]:
    """What to do after a success."""
    return [
        f"next: {exercise.number}, {exercise.title} ({exercise.minutes} minutes)",
        f"      edit {exercise.file}, then  {COMMAND}",
    ]


def finished() -> list[str]:
    """What to say when nothing is open."""
    return ["All exercises are passed."]


def wrapped(text: str) -> list[str]:
    """Put a sentence into lines."""
    return textwrap.wrap(
        text, COLUMNS, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
    )


def indented(text: str, by: int = 6) -> list[str]:
    """Put lines of code or of output into their place."""
    return textwrap.indent(textwrap.dedent(text), by * " ").split("\n")


def _code(title: str, text: str) -> list[str]:
    """Write code behind a title."""
    first, *rest = textwrap.dedent(text).strip("\n").split("\n")
    return [
        f"    {title}  {first or '(this is left out)'}",
        *(f"           {line}" for line in rest),
    ]


def coloured(word: str) -> str:
    """Colour a word, on a terminal."""
    if word not in COLOURS or not sys.stdout.isatty() or "NO_COLOR" in os.environ:
        return word
    return f"\x1b[{COLOURS[word]}m{word}\x1b[0m"


def show(*parts: list[str]) -> None:
    """Print what there is, with an empty line between two parts."""
    print(*("\n".join(part) for part in parts if part), sep="\n\n", end="\n\n", flush=True)


def _hidden(found: Mapping[str, str]) -> set[str]:
    return {name for name, mark in found.items() if mark in (GAP, OPEN)}


def _is_told(finding: Mapping[str, Any], report: Report) -> bool:
    """Tell whether a cause begins with what a finding says."""
    return any(cause["text"].startswith(f"{finding['text']}:") for cause in report["causes"])


def _about(cause: Report, shown: Sequence[str]) -> str:
    what = listed(shown)
    if cause["id"] == "unknown":
        return f"{what}: wrong{cause['text']}; none of the mistakes known here fits"
    return f"{what}: consistent with: {cause['text']}"


def _entry(finding: Mapping[str, Any]) -> list[str]:
    at = ", ".join(map(str, finding["index"]))
    given, wanted = f"{finding['given']:.6g}", f"{finding['expected']:.6g}"
    name = finding["subject"]
    return wrapped(f"worst entry {name}[{at}]: yours {given}, differences give {wanted}")
