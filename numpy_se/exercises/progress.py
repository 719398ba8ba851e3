"""How far a student is: one JSON file in the folder of the answers, which may be lost."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numpy_se.files import write_text

FILE = "progress.json"


@dataclass
class Progress:
    """What was done with one exercise. ``met`` counts the mistakes that were named, by their id."""

    passed: bool = False
    seen: bool = False
    tries: int = 0
    hints: int = 0
    met: dict[str, int] = field(default_factory=dict)

    def meet(self, ids: list[str]) -> None:
        for code in ids:
            self.met[code] = self.met.get(code, 0) + 1


def load(folder: Path) -> dict[str, Progress]:
    """Read the progress in each exercise, by name. What does not read is as if it was not there."""
    try:
        stored = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return {str(name): _read(one) for name, one in stored.items()}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}


def save(folder: Path, progress: dict[str, Progress]) -> None:
    """Write it in one piece: a stop in the middle leaves the file as it was."""
    stored = {name: asdict(one) for name, one in progress.items()}
    write_text(folder / FILE, json.dumps(stored, indent=2) + "\n")


def _read(stored: Any) -> Progress:
    """Take what has the right type."""
    fresh = Progress()
    if not isinstance(stored, dict):
        return fresh
    for name, value in asdict(fresh).items():
        if type(stored.get(name)) is type(value):
            setattr(fresh, name, stored[name])
    fresh.met = {code: n for code, n in fresh.met.items() if type(n) is int}
    return fresh
