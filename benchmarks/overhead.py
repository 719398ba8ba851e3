"""Measure what SE blocks add to the time of a training step, here and elsewhere.

    python benchmarks/overhead.py [--json FILE] [--figure FILE]

Every contender of ``training_step.py`` takes a step of the tiny net with SE blocks and one of the
same net without them, in turn, in processes of their own. The table shows the time with SE divided
by the time without. The blocks add 9.7 % to the parameters and 1.3 % to the multiplications; what
they cost is passes over memory. ``--help`` lists all options.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import bench
import chart
import report
import training_step
from bench import Contender, Run

WITHOUT = " without SE"


def without_se(contender: Contender) -> Contender:
    """Give the same contender with the net without SE blocks."""
    prepare = functools.partial(_prepare_without_se, contender.prepare)
    return replace(contender, title=contender.title + WITHOUT, prepare=prepare)


def _prepare_without_se(prepare: Any, problem: training_step.Problem, threads: int) -> Any:
    return prepare((problem[0], None), threads)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Measure what SE blocks add to a training step.")
    problem = training_step.QUICK if options.quick else training_step.PROBLEM
    contenders = [training_step.NUMPY_SE, *training_step.OTHERS]
    if not options.quick:
        contenders += bench.with_avx512(training_step.NUMPY_SE)
        contenders += [*training_step.COMPILED, *map(bench.tuned, training_step.TORCH)]
    pairs = [each for c in contenders for each in (c, without_se(c))]
    runs = []
    for threads in options.threads:
        (times,) = bench.compare(
            pairs,
            [problem],
            threads,
            options.rounds,
            training_step.TOLERANCE,
            training_step.QUICK,
        )
        both = bench.faster({t: times[t] for t in times if t + WITHOUT in times})
        plain = bench.faster({t: times[t + WITHOUT] for t in times if t + WITHOUT in times})
        rows = [
            [t, both[t].median * 1e3, plain[t].median * 1e3, bench.ratio(both[t], plain[t])]
            for t in both
        ]
        print(f"\n{report.title_of(threads)}, batch {problem[0]}. PyTorch in its faster layout.\n")
        print(report.table(["", "with SE, ms", "without, ms", "with / without"], rows))
        runs.append(Run(threads, [problem, (problem[0], None)], [both, plain]))
    report.finish(runs, options.json)
    if options.figure:
        chart.overhead(runs, training_step.OURS, options.figure)


if __name__ == "__main__":
    main()
