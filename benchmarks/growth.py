"""Measure how time and memory grow with the size, for the benchmarks that have ``--growth``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import bench
import report
from bench import Contender, Run


@dataclass(frozen=True)
class Axis:
    """Problems that differ in one size."""

    problems: Sequence[Any]
    size: Callable[[Any], int]

    @property
    def sizes(self) -> list[int]:
        """The sizes of the problems."""
        return [self.size(problem) for problem in self.problems]


def measure(
    contenders: Sequence[Contender],
    axes: Mapping[str, Axis],
    rounds: int,
    tolerance: float,
    ours: str,
    speed: tuple[str, Callable[[Any], float]],
) -> dict[str, Run]:
    """Measure along each axis with one thread, and print a table for each.

    ``speed`` is a unit, and how much work of it a problem is, for the column work per second.
    """
    runs = {}
    unit, work = speed
    for name, axis in axes.items():
        results = bench.compare(contenders, axis.problems, 1, rounds, tolerance, axis.problems[0])
        results = [bench.faster(times) for times in results]
        others = [title for title in results[0] if title != ours]
        rows = []
        for problem, times in zip(axis.problems, results, strict=True):
            own = times[ours]
            memory = own.peak_bytes / 2**20 if own.peak_bytes else "unknown"
            ratios = [bench.ratio(times[title], own) for title in others if title in times]
            row = [own.median * 1e3, work(problem) / own.median, memory]
            rows.append([axis.size(problem), *row, *ratios])
        print(f"\ngrowth with the {name}, 1 thread: {ours}, and time / time of it\n")
        print(report.table([name, "ms", f"{unit}/s", "MiB", *others], rows))
        runs[name] = Run(1, axis.problems, results, work=f"growth with the {name}")
    return runs
