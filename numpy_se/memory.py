"""The memory of arrays that are freed and made anew in every step."""

from __future__ import annotations

import functools
from contextlib import suppress

import numpy as np


@functools.cache
def keep_freed_memory() -> None:
    """Let glibc keep some 64 MiB of freed arrays for the next ones, from the first call on.

    Else they go back to the system. Then the next arrays are mapped and cleared, page by page, when
    they are written: that can take as long as an SE block. When a block of up to 32 MiB is freed,
    glibc keeps blocks of this size from then on, and twice as much free memory at the end of its
    heap. So one such block is allocated and freed; nothing is written into it. This holds for the
    whole process.

    Arrays above 32 MiB are mapped anew each time. There is no effect with another C library, nor
    where an environment variable such as MALLOC_TRIM_THRESHOLD_ sets these limits.
    """
    with suppress(MemoryError):  # where memory is limited, things are only slower
        np.empty(2**25 - 2**16, np.uint8)  # 32 MiB, and room for the head of the block
