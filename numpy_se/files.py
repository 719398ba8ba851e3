"""Files that are written as a whole, or not at all."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import IO


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then move it there: all of it or nothing.

    Files that a process of this machine began and could not finish are removed.
    """
    start = f".{path.name}.{platform.node()}."
    for left in path.parent.iterdir():
        pid = left.name.removeprefix(start)
        if left.name.startswith(start) and pid.isdecimal() and not _is_alive(int(pid)):
            left.unlink(missing_ok=True)
    unfinished = path.with_name(f"{start}{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text in UTF-8: all of it or nothing."""
    write_atomically(path, lambda stream: stream.write(text.encode()))


def _is_alive(pid: int) -> bool:
    if os.name != "posix":
        return True  # there, os.kill would end it
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it belongs to somebody else
    return True
