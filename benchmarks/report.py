"""The command line of the benchmarks, and how they print and write what they measured."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench import TUNED_PREFIX, Run, Times, ratio, rival

from numpy_se.blas import kernel_hint, kernels
from numpy_se.files import write_text

QUICK_ROUNDS = 3
FIGURES = ".png", ".pdf", ".svg"
HEADING = "time / time of {0}; tuned ones / tuned {0}. PyTorch in its faster layout."
IDLE = 0.5  # the load of a machine that has nothing else to do


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Make the command line that all benchmarks have in common."""
    made = argparse.ArgumentParser(description=description)
    text = "small and short: to see that it runs, its numbers tell nothing"
    made.add_argument("--quick", action="store_true", help=text)
    made.add_argument("--rounds", type=positive, metavar="N", help=f"default: {rounds}")
    made.set_defaults(usual_rounds=rounds)
    return made


def options(
    description: str, *, growth: bool = False, figure: bool = True, rounds: int = 15
) -> argparse.Namespace:
    """Read the command line of a benchmark that has several numbers of threads and writes files."""
    made = parser(description, rounds)
    if growth:
        text = "also measure, with 1 thread, how time and memory grow with the size"
        made.add_argument("--growth", action="store_true", help=text)
    made.add_argument("--threads", type=positive, nargs="+", metavar="N", help="default: 1 2")
    made.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    if figure:
        made.add_argument("--figure", type=Path, metavar="FILE", help="draw them into FILE")
    return read(made)


def read(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the arguments, refuse what would fail after the measurement, and look at the load."""
    chosen = made.parse_args()
    threads = getattr(chosen, "threads", None)
    if chosen.quick and (chosen.rounds or threads):
        made.error("--quick has a number of rounds, and of threads, of its own")
    for name in ("json", "figure"):
        check_file(made, name, getattr(chosen, name, None))
    figure = getattr(chosen, "figure", None)
    if figure and figure.suffix not in FIGURES:
        made.error(f"--figure: {figure} wants a name that ends in {', '.join(FIGURES)}")
    if figure and not importlib.util.find_spec("matplotlib"):
        made.error("--figure needs matplotlib, of the extra tutorials")
    chosen.rounds = QUICK_ROUNDS if chosen.quick else chosen.rounds or chosen.usual_rounds
    chosen.threads = [1] if chosen.quick else threads or [1, 2]
    if chosen.quick:
        print("quick: it shows that the script runs; the numbers tell nothing")
    if hasattr(os, "getloadavg") and os.getloadavg()[0] > IDLE:
        load = os.getloadavg()[0]
        print(f"the load of the machine is {load:.1f}: other work makes the ratios unsure")
    return chosen


def check_file(made: argparse.ArgumentParser, name: str, file: Path | None) -> None:
    """Refuse a file that could not be written after the measurement."""
    if file and (file.is_dir() or not file.absolute().parent.is_dir()):
        made.error(f"--{name}: {file} is no file in a folder that is there")


def positive(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def finish(runs: Sequence[Run], file: Path | None) -> None:
    """Say which kernels BLAS ran and what they leave unused, and write the runs to ``file``."""
    own = ", ".join(kernels()) or "unknown"
    print(f"kernels of OpenBLAS: {own}")
    if hint := kernel_hint():
        print(hint)
    if file:
        machine = platform.processor() or platform.machine()
        report = {"machine": machine, "kernels": own, "runs": [asdict(run) for run in runs]}
        write_text(file, json.dumps(report, indent=2) + "\n")


def peaks(times: dict[str, Times]) -> str:
    """Say how much memory each contender takes above its arguments, in MiB."""
    known = {title: t.peak_bytes for title, t in times.items() if t.peak_bytes}
    return ", ".join(f"{title} {peak / 2**20:.0f}" for title, peak in known.items())


def print_ratios(
    problem: str,
    labels: Sequence[str],
    results: Sequence[dict[str, Times]],
    ours: str,
    limit: str,
    threads: int,
) -> None:
    """Print a row for each problem: our time, and the others' time divided by it."""
    others = [t for t in results[0] if t not in (ours, limit, TUNED_PREFIX + ours)]
    others = [title for title in others if all(title in times for times in results)]
    rows: list[list[Any]] = []
    for label, times in zip(labels, results, strict=True):
        ratios = [ratio(times[title], times[rival(title, ours)]) for title in others]
        rows.append([label, times[ours].median * 1e3, ratio(times[ours], times[limit]), *ratios])
    if len(rows) > 1:
        means = [geometric_mean(column) for column in list(zip(*rows, strict=True))[2:]]
        rows.append(["geometric mean", "", *means])
    print(f"\n{title_of(threads)}: {HEADING.format(ours)}\n")
    print(table([problem, f"{ours}, ms", f"{ours} / limit", *others], rows))
    print(f"\nmemory above the arguments at {labels[0]}, MiB: {peaks(results[0])}")


def print_gains(problem: str, labels: Sequence[str], runs: Sequence[Run], ours: str) -> None:
    """Print how many times as fast ours is with more threads than with those of the first run."""
    if len(runs) < 2:
        return
    first, *more = runs
    text = "how many times as fast, by medians that were measured one after the other"
    print(f"\n{ours}, beside {title_of(first.threads)}: {text}\n")
    rows = [
        [label, *(first.results[k][ours].median / run.results[k][ours].median for run in more)]
        for k, label in enumerate(labels)
    ]
    print(table([problem, *(title_of(run.threads) for run in more)], rows))


def title_of(threads: int) -> str:
    """Write a number of threads."""
    return f"{threads} thread{'s' * (threads > 1)}"


def geometric_mean(values: Sequence[float]) -> float:
    """Give the mean for ratios."""
    return statistics.geometric_mean(values)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay rows out as a table of Markdown, numbers with two decimals."""
    cells = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in [header, ["---"] * len(header), *cells])
