"""Words for messages: lists, counts, and exceptions in one line."""

from __future__ import annotations

import sysconfig
import traceback
from collections.abc import Iterable
from pathlib import Path

MOST_TEXT = 300  # characters of the text of an exception
PACKAGE = Path(__file__).parent.parent
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


def listed(words: Iterable[object], last: str = "and") -> str:
    """Write ``a, b and c``; ``last`` is the word before the last one."""
    *front, end = map(str, words)
    return f"{', '.join(front)} {last} {end}" if front else end


def plural(count: int, noun: str) -> str:
    """Write ``1 gradient`` or ``3 gradients``."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def escaped(text: str) -> str:
    r"""Write what is no printable character as ``\n``, ``\x1b``, ``\u202e``."""
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def one_line(text: str, most: int = MOST_TEXT) -> str:
    """Put a text into one line of at most ``most`` characters, control characters escaped."""
    line = escaped(" ".join(text.split()))
    return line if len(line) <= most else f"{line[: most - 3]}..."


def in_short(error: BaseException) -> str:
    """Write an exception in one line, with the last line of a user's file that it passed."""
    try:
        text = str(error)
    except Exception:  # a __str__ of the user's own
        text = "(its text cannot be made)"
    line = one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)
    lines = [
        (frame.lineno, Path(frame.filename).name)
        for frame in traceback.extract_tb(error.__traceback__)
        if _is_a_users(Path(frame.filename))
    ]
    return f"{line} (line {lines[-1][0]} of {one_line(lines[-1][1])})" if lines else line


def _is_a_users(file: Path) -> bool:
    ours = PACKAGE in file.parents or STANDARD_LIBRARY in file.parents
    return not ours and "site-packages" not in file.parts and file.is_file()
