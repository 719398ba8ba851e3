"""Measure what short rows cost: one number for each row, on maps of the same size in memory.

    python benchmarks/rows.py [--rounds 15]

The steps of the fused SE block that meet every value: x * s and y += shift, with a number for each
channel, and the sums over the pixels of x and of x * dy. They are done as the block does them, on
12.8 MB of float32, one channel after the other. The time is divided by that of the same step on one
long row, where nothing starts anew. One thread, medians of rounds whose order is drawn anew.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections.abc import Callable
from typing import Any

import bench
import numpy as np

from numpy_se.blas import one_blas_thread
from numpy_se.fused import se as fused_se
from numpy_se.layout import ChannelsFirst

ENTRIES = 32 * 512 * 14 * 14
LENGTHS = [ENTRIES, 112**2, 56**2, 28**2, 14**2, 7**2]


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
    parser = argparse.ArgumentParser(description="Measure what short rows cost.")
    parser.add_argument("--quick", action="store_true", help="3 rounds")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    options = parser.parse_args()
    works = {(n, name): run for n in LENGTHS for name, run in steps(n).items()}
    found: dict[Any, list[float]] = {which: [] for which in works}
    with one_blas_thread():
        for _ in range(3 if options.quick else options.rounds):
            for which in random.sample(list(works), len(works)):
                found[which].append(bench.timed(works[which]))
    names = list(dict.fromkeys(name for _, name in works))

    def longer(n: int, name: str) -> float:
        pairs = zip(found[n, name], found[ENTRIES, name], strict=True)
        return statistics.median(a / b for a, b in pairs)

    rows = [["one row, ms", *(1e3 * statistics.median(found[ENTRIES, name]) for name in names)]]
    rows += [[f"rows of {n}", *(longer(n, name) for name in names)] for n in LENGTHS[1:]]
    print(bench.table(["time / time of one row", *names], rows))


if __name__ == "__main__":
    main()
