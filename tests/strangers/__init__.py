"""Operations as strangers write them: right ones that nobody may accuse, wrong ones to be caught.

They are written in styles, and about functions, that the package does not use itself. Each file
of the folder holds some operations of a kind.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Op = Callable[..., Any]
Given = Callable[[np.random.Generator], tuple[Any, ...]]


@dataclass(frozen=True)
class Stranger:
    """An operation, and how it is to be checked: with ``shapes``, or with ``given(rng)``.

    ``mistake`` says in a sentence what is wrong with it, "" where nothing is. ``grads`` names the
    gradients whose numbers, shape or dtype are wrong. ``says`` are the ids of causes that are true
    of it, as people found who read the code beside the report; no other may be given.
    """

    op: Op
    title: str
    shapes: str | Mapping[str, Any] | None
    given: Given | None
    mistake: str = ""
    grads: tuple[str, ...] = ()
    says: tuple[str, ...] = ()


STRANGERS: list[Stranger] = []


def right(
    shapes: str | Mapping[str, Any] | None = None, *, given: Given | None = None, title: str = ""
) -> Callable[[Op], Op]:
    """Enter a right operation."""
    return _enter(shapes, given, title)


def wrong(
    shapes: str | Mapping[str, Any] | None = None,
    *,
    mistake: str,
    grads: str = "",
    says: str = "",
    given: Given | None = None,
    title: str = "",
) -> Callable[[Op], Op]:
    """Enter a wrong operation. ``grads`` and ``says`` are words with spaces between."""
    return _enter(shapes, given, title, mistake, tuple(grads.split()), tuple(says.split()))


def _enter(shapes: Any, given: Any, title: str, *facts: Any) -> Callable[[Op], Op]:
    def enter(op: Op) -> Op:
        name = title or getattr(op, "__name__", type(op).__name__)
        STRANGERS.append(Stranger(op, name, shapes, given, *facts))
        return op

    return enter


def all_strangers() -> list[Stranger]:
    """Import every file of the folder, and return what is entered."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return STRANGERS
