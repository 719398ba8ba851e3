"""The memory of arrays that are freed and made anew in every step."""

from __future__ import annotations

import functools

import numpy as np


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep freed arrays for the next ones, from the first call on.

    It keeps up to twice the largest block (at most 32 MiB) that was ever mapped and freed. The rest
    goes back to the system, and is cleared and mapped anew, page by page, when the next arrays are
    written: that can take as long as an SE block. One large block, freed and never touched, lets
    glibc keep 64 MiB. With another C library, this has no effect, nor where a variable such as
    MALLOC_TRIM_THRESHOLD_ says how much glibc is to keep.
    """
    np.empty(2**25 - 2**16, np.uint8)
