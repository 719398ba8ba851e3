"""Wait for changes of files, with the package watchfiles or by a look every half second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

SECONDS = 0.5


def changes(folder: Path) -> Iterator[set[str]]:
    """Give the names of the Python files that have changed, each time that some have."""
    try:
        from watchfiles import watch
    except ImportError:
        yield from _polled(folder)
        return
    for changed in watch(folder, recursive=False, raise_interrupt=True):
        yield {Path(path).name for _, path in changed if path.endswith(".py")}


def _polled(folder: Path) -> Iterator[set[str]]:
    before = _times(folder)
    while True:
        time.sleep(SECONDS)
        after = _times(folder)
        if changed := {name for name, at in after.items() if before.get(name) != at}:
            yield changed
        before = after


def _times(folder: Path) -> dict[str, int]:
    times = {}
    for path in folder.glob("*.py"):
        try:
            times[path.name] = path.stat().st_mtime_ns
        except OSError:  # an editor has replaced it just now
            continue
    return times
