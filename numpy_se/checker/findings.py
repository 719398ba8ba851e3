"""What a check can find: data only. Nothing here computes, and no text is ever read again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kinds of findings."""

    RAISES = "raises"  # the forward pass at sizes that were asked for, or backward
    CHANGES = "changes"  # an argument, dy or y was changed in place
    SHARES = "shares"  # two arrays share memory
    ANOTHER_Y = "another-y"  # the forward pass does not repeat itself
    STATE = "state"  # backward does not repeat itself
    COUNT = "count"  # of gradients
    TYPE = "type"  # of a gradient
    SHAPE = "shape"
    DTYPE = "dtype"
    NOT_FINITE = "not-finite"
    VALUE = "value"  # the numbers of a gradient
    ROUGH = "rough"  # the forward pass is too rough for differences
    NONLINEAR = "nonlinear"  # in dy
    LAYOUT = "layout"  # other strides in memory give other numbers


class MistakeError(TypeError):
    """A registered mistake that does not give what a mistake must give."""


NUMBERS = (Kind.COUNT, Kind.TYPE, Kind.SHAPE, Kind.DTYPE, Kind.NOT_FINITE, Kind.VALUE, Kind.ROUGH)


@dataclass(frozen=True)
class Entry:
    """An entry of a gradient: what backward gives there, and what differences give."""

    index: tuple[int, ...]
    given: float
    expected: float


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. ``subject`` is "dx", "y", "backward", ...; ``text`` is for people.

    ``code`` is the id of the cause where the finding is its own cause.
    """

    kind: Kind
    subject: str
    text: str
    entry: Entry | None = None
    code: str = ""

    def __str__(self) -> str:
        if self.entry is None:
            return self.text
        at = ", ".join(map(str, self.entry.index))
        return (
            f"worst entry {self.subject}[{at}]: backward gives {self.entry.given:.9g}, "
            f"differences give {self.entry.expected:.9g}"
        )


@dataclass(frozen=True)
class Cause:
    """What the wrong gradients of ``subjects`` are consistent with.

    ``code`` is a stable id such as "se.squeeze-path"; it never depends on words. An empty code is
    an unknown cause; then ``text`` may say where the wrong entries are.
    """

    code: str
    subjects: tuple[str, ...]
    text: str
