"""A bank of wrong backwards, of the kinds that people write, each with the name of its mistake."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Mutant:
    """A wrong operation: ``says`` is a pattern that a correct name of its mistake matches.

    ``of`` names the right operation, and ``options`` its options. ``shapes`` are the axes of the
    arguments. A ``legal`` one follows another convention at kinks, and is no mistake. One
    ``only_at_ties`` is wrong only where values are equal.
    """

    op: Callable[..., Any]
    of: str
    shapes: str
    says: str
    options: dict[str, Any] = field(default_factory=dict)
    legal: bool = False
    only_at_ties: bool = False

    @property
    def title(self) -> str:
        return f"{self.of}-{self.op.__name__}"


BANK: list[Mutant] = []


def wrong(
    of: str, shapes: str, *, says: str = "", **hints: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Put the decorated function into the bank."""

    def enter(op: Callable[..., Any]) -> Callable[..., Any]:
        BANK.append(Mutant(op, of, shapes, says, **hints))
        return op

    return enter


def whole_bank() -> list[Mutant]:
    """Import every file of the folder, and return the bank."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return BANK
