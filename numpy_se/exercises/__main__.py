"""The exercises at the shell: ``python -m numpy_se.exercises --help``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy_se.exercises.desk import Desk
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
        if options.run is None:
            return _start(Path(options.folder))
        if not is_begun(Path()):
            raise ValueError(f"there are no exercises here; write {COMMAND} start my_work")
        desk = Desk(Path(), options.timeout)
        passed = options.run(desk, options.exercise) if "exercise" in options else options.run(desk)
        return 0 if passed else 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _start(folder: Path) -> int:
    count = start(folder)
    print(f"{count} exercises are in {folder}. Go there, open the first file, and check it with")
    print(f"  {COMMAND}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Exercises: write gradients by hand, and be told which mistake it was.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--timeout", type=float, default=60, metavar="S", help="seconds of a check (60)"
    )
    parser.set_defaults(run=Desk.check)
    commands = parser.add_subparsers(metavar="COMMAND")
    begin = commands.add_parser("start", help="write the tasks, and what to begin with")
    begin.add_argument("folder")
    begin.set_defaults(run=None)
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
    return parser


if __name__ == "__main__":
    sys.exit(main())
