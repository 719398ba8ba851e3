"""The error of everything in this package, and how those of the system become it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


class DataError(ValueError):
    """A data set that is missing, damaged or not what its name says."""


@contextmanager
def system_errors(subject: object, doing: str) -> Iterator[None]:
    """Raise DataError, "<subject> cannot be <doing>: <reason>", for an OSError in the block."""
    try:
        yield
    except OSError as error:
        raise DataError(f"{subject} cannot be {doing}: {error.strerror or error}") from error
