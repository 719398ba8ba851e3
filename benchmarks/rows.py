"""Measure what short rows cost: one number for each row, on maps of the same size in memory.

    python benchmarks/rows.py [--rounds 15]

The steps of the fused SE block that meet every value: x * s and y += shift, with a number for each
channel, and the sums over the pixels of x and of x * dy. They are done as the block does them, on
12.8 MB of float32, one channel after the other. The time is divided by that of the same step on the
longest rows, which hardly ever start anew. One thread, medians of rounds whose order is drawn anew.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import bench
import numpy as np
import report

from numpy_se.blas import one_blas_thread
from numpy_se.fused import se as fused_se
from numpy_se.layout import ChannelsFirst

ENTRIES = 32 * 512 * 14 * 14
LONGEST = 112**2
LENGTHS = [LONGEST, 56**2, 28**2, 14**2, 7**2]


def steps(length: int) -> dict[str, Callable[[], Any]]:
    """Prepare each step on rows of so many pixels."""
    channels = ENTRIES // length
    layout = ChannelsFirst(channels, 1, length)
    rng = np.random.default_rng(0)
    x, dy = rng.random((2, 1, channels, length), np.float32)
    s, out = layout.spread(rng.random((1, channels), np.float32)), np.zeros_like(x)

    def scale() -> None:
        with fused_se._whole_rows(out):
            fused_se._multiply(x, s, out)

    def shift() -> None:
        with fused_se._whole_rows(out):
            np.add(out, s, out=out)

    return {
        "x * s": scale,
        "y += shift": shift,
        "sum of x": lambda: layout.total(x),
        "sum of x * dy": lambda: layout.dot(x, dy),
    }


def main() -> None:
    """Measure, and print the table."""
    options = report.read(report.parser("Measure what short rows cost.", rounds=15))
    works = {
        (length, name): partial(bench.timed, run)
        for length in LENGTHS
        for name, run in steps(length).items()
    }
    with one_blas_thread():
        found = bench.in_turn(works, options.rounds)
    names = list(dict.fromkeys(name for _, name in works))
    rows = [[f"{LONGEST}, ms", *(1e3 * statistics.median(found[LONGEST, name]) for name in names)]]
    for n in LENGTHS[1:]:
        rows.append([n, *(bench.median_ratio(found[n, k], found[LONGEST, k]) for k in names)])
    print(report.table(["length of a row", *names], rows))


if __name__ == "__main__":
    main()
