"""What each part of an answer is worth: ``points.toml``.

seed = 20261127       the random values of the checks; keep it to yourself
deduction = 0.5       for a function that changes what it is given, and the like (1)

[se_block]            an exercise; parts that are not named are worth 1
y = 2
dx = 3
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy_se.checker.words import listed
from numpy_se.exercises.exercise import Exercise


@dataclass(frozen=True)
class Points:
    """The points of each part, by the name of the exercise; else, each is worth 1."""

    seed: int = 0
    deduction: float = 1.0
    weights: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, exercise: Exercise) -> dict[str, float]:
        """The points of each part."""
        own = self.weights.get(exercise.name, {})
        return {part: float(own.get(part, 1)) for part in exercise.parts}


def read_points(path: Path | None, exercises: Collection[Exercise]) -> Points:
    """Read the file. Raises ValueError, with its name, for what does not read or is not known."""
    if path is None:
        return Points()
    try:
        stored = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{path}: it does not read: {error}") from error
    known = {exercise.name: exercise for exercise in exercises}
    weights: dict[str, dict[str, float]] = {}
    for name, value in stored.items():
        if name in ("seed", "deduction"):
            if name == "seed" and type(value) is not int:
                raise ValueError(f"{path}: seed is {value!r}; it wants a whole number")
            _check_at_least_0(path, name, value)
        elif name not in known:
            wanted = "it wants seed, deduction, or an exercise in brackets"
            raise ValueError(f"{path}: there is no exercise {name!r}; {wanted}")
        elif not isinstance(value, dict):
            raise ValueError(f"{path}: {name} is {value!r}; it wants [{name}] and the parts below")
        else:
            for part, points in value.items():
                if part not in known[name].parts:
                    wanted = listed(known[name].parts, "or")
                    raise ValueError(f"{path}: {name} has no part {part!r}; it wants {wanted}")
                _check_at_least_0(path, f"{name}.{part}", points)
            weights[name] = dict(value)
    return Points(stored.get("seed", 0), float(stored.get("deduction", 1)), weights)


def _check_at_least_0(path: Path, name: str, value: Any) -> None:
    if type(value) not in (int, float) or not 0 <= value < math.inf:
        raise ValueError(f"{path}: {name} is {value!r}; it wants a number of at least 0")
