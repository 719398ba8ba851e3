"""The exercises at the shell: ``python -m numpy_se.exercises --help``."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy_se.checker.judge.check import MOST_SECONDS
from numpy_se.checker.words import plural
from numpy_se.exercises import screen
from numpy_se.exercises.desk import Desk
from numpy_se.exercises.exercise import Exercise, all_exercises, find, read_exercises
from numpy_se.exercises.folder import is_begun, start
from numpy_se.exercises.screen import COMMAND

EPILOG = f"""
Begin with
  {COMMAND} start my_work
and go into that folder. Each file there is an exercise: write what is missing, then
  {COMMAND}
checks the first one that is not passed. Exit status: 0 passed, 1 not, 2 not possible.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command, and return the exit status."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # not every terminal can show every letter
        sys.stdout.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(argv)
    try:
        if options.run in (_start, _grade):
            return int(options.run(options))
        if not is_begun(Path()):
            raise ValueError(f"there are no exercises here; write {COMMAND} start my_work")
        desk = Desk(Path(), options.timeout or 60)
        passed = options.run(desk, options.exercise) if "exercise" in options else options.run(desk)
        return 0 if passed else 1
    except BrokenPipeError:  # as of "list | head -1"
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _start(options: argparse.Namespace) -> int:
    folder, own = Path(options.folder), _own_exercises(options)
    exercises = [find(name, own) for name in options.exercise] or own or all_exercises()
    count = start(folder, exercises, options.variant)
    print(f"{plural(count, 'exercise')} written to {folder}")
    if not own:
        print(f"Go there, open a file, and check it with\n  {COMMAND}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    """Mark a class, or write what Gradescope runs."""
    from numpy_se.exercises.grading import feedback, gradescope, tables
    from numpy_se.exercises.grading.grade import grade
    from numpy_se.exercises.grading.points import read_points

    timeout = options.limit or options.timeout or 60
    points = _path(options, "points")
    if options.gradescope:
        if options.variant or options.place:
            raise ValueError("--gradescope takes no hand-ins and no --variant: it knows no ids")
        own = _path(options, "exercises")
        gradescope.write(Path(options.gradescope), options.only, points, own, timeout)
        print(f"{options.gradescope} is ready: zip what is in it, and upload the zip")
        return 0
    if not options.place:
        raise ValueError("grade wants the folder of the hand-ins, before --only")
    csv, texts = _path(options, "csv"), _path(options, "feedback")
    for folder in (csv and csv.parent, texts and texts.parent):
        if folder and not folder.is_dir():
            raise ValueError(f"{str(folder)!r} is no folder")
    own_exercises = _own_exercises(options)
    exercises = list(dict.fromkeys(find(name, own_exercises) for name in options.only))
    marks = grade(
        Path(options.place),
        exercises,
        read_points(points, [*own_exercises, *all_exercises()]),
        pattern=options.id,
        variant=options.variant,
        jobs=options.jobs,
        timeout=timeout,
        progress=_progress if sys.stderr.isatty() else lambda done, count: None,
    )
    tabled = [tables.table(exercise, marks) for exercise in exercises]
    sums = [tables.totals(marks)] if exercises[1:] else []
    if csv:
        tables.write_csv(csv, marks)
    if texts:
        feedback.write_feedback(texts, marks)
    screen.show(*tabled, *sums, *(tables.tally(exercise, marks) for exercise in exercises))
    return 0


def _own_exercises(options: argparse.Namespace) -> tuple[Exercise, ...]:
    return read_exercises(Path(options.exercises)) if options.exercises else ()


def _path(options: argparse.Namespace, name: str) -> Path | None:
    value = getattr(options, name)
    return Path(value) if value else None


def _progress(done: int, count: int) -> None:
    print(f"\r{done} of {count}", end="\n" if done == count else "", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Exercises: write gradients by hand, and be told which mistake it was.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="seconds of a check (60)")
    parser.set_defaults(run=Desk.check)
    commands = parser.add_subparsers(metavar="COMMAND")
    begin = commands.add_parser("start", help="write the tasks, and what to begin with")
    begin.add_argument("folder")
    begin.add_argument("--exercises", metavar="FOLDER", help="those of this folder")
    begin.add_argument("--exercise", nargs="+", default=[], help="only these: numbers or names")
    begin.add_argument("--variant", metavar="ID", help="the variants of the student with this id")
    begin.set_defaults(run=_start)
    rows: list[tuple[str, Any, Any, str]] = [
        ("check", Desk.check, "?", "check an exercise: the first open one, as without a command"),
        ("watch", Desk.watch, 0, "check an exercise each time that its file changes"),
        ("hint", Desk.hint, "?", "give a hint, the next one each time"),
        ("list", Desk.overview, 0, "list all exercises"),
        ("reset", Desk.reset, None, "write the file of an exercise again, and keep the old one"),
        ("show", Desk.show, None, "show the solution; before it is passed, this is noted"),
    ]
    for name, run, many, words in rows:
        command = commands.add_parser(name, help=words)
        command.set_defaults(run=run)
        if many != 0:
            command.add_argument("exercise", nargs=many, help="its number or name")
    marking = commands.add_parser(
        "grade",
        help="mark the hand-ins of a class",
        description="Mark a folder of files, folders, zips or notebooks, one for each student.",
    )
    marking.add_argument("place", nargs="?", metavar="HANDED_IN", help="a folder, or its zip")
    add = marking.add_argument
    add("--only", nargs="+", required=True, metavar="EXERCISE", help="numbers or names")
    add("--points", metavar="FILE", help="a TOML file: what each part is worth, and the seed")
    add("--exercises", metavar="FOLDER", help="exercises of your own")
    add("--id", metavar="PATTERN", help="finds the id of a student in the name of a hand-in")
    add("--variant", action="store_true", help="each student has the variants of the id")
    add("--jobs", type=_at_least_1, default=1, metavar="N", help="processes (1)")
    add("--csv", metavar="FILE", help="write the marks for a spreadsheet")
    add("--feedback", metavar="FOLDER", help="write a text for each student")
    add("--gradescope", metavar="FOLDER", help="write an autograder in place of marking")
    add("--timeout", type=_seconds, dest="limit", metavar="S", help="for each answer (60)")
    marking.set_defaults(run=_grade)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= MOST_SECONDS:
        wanted = f"seconds above 0, up to {MOST_SECONDS}"
        raise argparse.ArgumentTypeError(f"it is {text!r}; it wants {wanted}")
    return seconds


def _at_least_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"it is {text!r}; it wants a whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
