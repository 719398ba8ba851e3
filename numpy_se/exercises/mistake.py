"""A mistake in an exercise: an edit that makes the solution wrong."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    """An edit of the solution: ``wrong`` stands in place of ``right``.

    ``id`` is what the checker calls it. ``hint`` is for those who made it: what to think about, and
    no formula. ``why`` is for those who have passed: why it is wrong. Where the checker does not
    know the mistake, ``says`` is how it is named, in words.
    """

    id: str
    right: str
    wrong: str
    hint: str
    why: str
    says: str = ""

    def made_in(self, source: str) -> str:
        """Make the edit. Raises ValueError unless ``right`` is there, and once."""
        if (count := source.count(self.right)) != 1:
            raise ValueError(f"{self.id}: {self.right!r} is there {count} times; it wants once")
        return source.replace(self.right, self.wrong)
