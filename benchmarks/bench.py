"""Time contenders beside each other: each in a process of its own, woken in turn.

A contender prepares a problem once, checks its result, and then does the work whenever it is woken.
The order is drawn anew in every round. So a spell in which the machine is slow hits all of them,
and a ratio within a round can be trusted where the milliseconds cannot. Processes of their own keep
thread pools, allocators and settings of the environment apart.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import importlib.util
import json
import multiprocessing
import os
import platform
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.blas import has_avx512, kernel_hint
from numpy_se.parallel import in_order, workers

# glibc gives large arrays back to the system when they are freed, and gets them anew, page by page,
# at the next call. These settings keep them.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
TUNED_PREFIX = "tuned "
# NumPy's own OpenBLAS takes kernels without AVX-512 on AMD processors that have it. This variable
# makes it take those that are meant for Intel's.
AVX512 = {"OPENBLAS_CORETYPE": "SkylakeX"}
AVX512_SUFFIX = ", AVX-512"
REST = 0.003  # seconds until the threads of the contender before have gone to sleep
LEAST = 0.01  # seconds that a contender is timed for when it is woken


@dataclass(frozen=True)
class Contender:
    """``prepare(problem, threads)`` gives ``run`` and ``check``.

    ``run()`` does the work once. ``check(run())`` gives the largest relative error of its result.
    ``package`` has to be installed. ``blas_threads`` is the number of threads unless given.
    """

    title: str
    prepare: Callable[[Any, int], tuple[Callable[[], Any], Callable[[Any], float]]]
    package: str = "numpy"
    blas_threads: int | None = None
    environment: dict[str, str] = field(default_factory=dict)


def sgemm(multiplications: int, threads: int) -> tuple[Callable[[], Any], Callable[[Any], float]]:
    """Prepare one product with so many multiplications, a share of its rows for each thread.

    It is large enough for sgemm to run at its peak: a limit for what consists of products.
    """
    side = 1024
    rows = max(1, round(multiplications / side**2 / threads))
    rng = np.random.default_rng(0)
    shares = rng.standard_normal((threads, rows, side), np.float32)
    square = rng.standard_normal((side, side), np.float32)

    def run() -> Any:
        with workers(threads):
            return in_order(lambda share: share @ square, shares)

    def error(products: Any) -> float:
        want = shares[0].astype(np.float64) @ square
        return float(np.abs(products[0] - want).max() / np.abs(want).max())

    return run, error


def tuned(contender: Contender) -> Contender:
    """Give the same contender with an allocator that keeps freed memory."""
    environment = contender.environment | TUNED
    return replace(contender, title=TUNED_PREFIX + contender.title, environment=environment)


def with_avx512(contender: Contender) -> list[Contender]:
    """Give the same contender with the AVX-512 kernels of OpenBLAS, if this processor has them."""
    if not has_avx512():
        return []
    environment = contender.environment | AVX512
    return [replace(contender, title=contender.title + AVX512_SUFFIX, environment=environment)]


@dataclass
class Times:
    """What was measured of one contender on one problem: seconds for each round."""

    seconds: list[float]
    error: float
    peak_bytes: int | None

    @property
    def median(self) -> float:
        """The median of the rounds, in seconds."""
        return statistics.median(self.seconds)


def ratio(of: Times, to: Times) -> float:
    """Divide the times round by round, and take the median."""
    return median_ratio(of.seconds, to.seconds)


def median_ratio(of: Sequence[float], to: Sequence[float]) -> float:
    """Divide the seconds round by round, and take the median."""
    return statistics.median(a / b for a, b in zip(of, to, strict=True))


def compare(
    contenders: Sequence[Contender],
    problems: Sequence[Any],
    threads: int,
    rounds: int,
    tolerance: float,
) -> list[dict[str, Times]]:
    """Time every contender on every problem, and give for each problem the times by title.

    A contender that is not installed, fails, or gives a result that is off by more than
    ``tolerance`` is left out with a note.
    """
    here = [c for c in contenders if importlib.util.find_spec(c.package)]
    for contender in contenders:
        if contender not in here:
            print(f"{contender.title} is left out: {contender.package} is not installed")
    results = []
    with contextlib.ExitStack() as stack:
        lines = {c.title: stack.enter_context(_process(c, threads)) for c in here}
        for problem in problems:
            times = {}
            for title, line in list(lines.items()):
                line.send(problem)
                answer = line.recv()
                if isinstance(answer, str) or answer[0] > tolerance:
                    print(f"{title} is left out at {threads} threads, {problem}: {answer}")
                    del lines[title]
                else:
                    times[title] = Times([], *answer)
            turns = {title: partial(_woken, lines[title]) for title in times}
            for title, seconds in in_turn(turns, rounds).items():
                times[title].seconds = seconds
            results.append(times)
    return results


def in_turn(works: Mapping[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """Let all works take turns, each of which gives its seconds; draw their order in each round."""
    seconds: dict[Any, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name in random.sample(list(works), len(works)):
            time.sleep(REST)
            seconds[name].append(works[name]())
    return seconds


def _woken(line: Connection) -> float:
    line.send("run")
    seconds: float = line.recv()
    return seconds


@contextlib.contextmanager
def _process(contender: Contender, threads: int) -> Iterator[Connection]:
    blas = str(contender.blas_threads or threads)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(contender, threads, theirs), daemon=True)
    with _environment(dict.fromkeys(names, blas) | contender.environment), _cores(threads):
        process.start()  # it inherits the variables, which are read at the import, and the cores
    yield ours
    ours.close()
    process.join()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    yield
    os.environ.clear()
    os.environ.update(before)


@contextlib.contextmanager
def _cores(count: int) -> Iterator[None]:
    """Allow ``count`` cores: some libraries take all cores that they are allowed."""
    if not hasattr(os, "sched_setaffinity"):  # only on Linux
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-count:])
    yield
    os.sched_setaffinity(0, before)


def _serve(contender: Contender, threads: int, line: Connection) -> None:
    """Get a problem, answer with the error and the memory; then get "run", answer with seconds."""
    run: Callable[[], Any] = list
    while True:
        try:
            problem = line.recv()
        except EOFError:
            return
        if problem == "run":
            line.send(timed(run))
            continue
        try:
            run, check = contender.prepare(problem, threads)
            before = _reset_peak()
            result = run()
            peak = _peak() - before if before else None
            line.send((check(result), peak))
            del result, check
        except Exception as error:  # whatever a framework raises where it does not work
            line.send(f"{type(error).__name__}: {str(error).splitlines()[:1]}")


def timed(run: Callable[[], Any]) -> float:
    """Take the median of calls after one that warms the caches up."""
    run()
    seconds: list[float] = []
    while sum(seconds) < LEAST or len(seconds) < 3:
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def _reset_peak() -> int:
    """Start to measure the largest memory of this process anew; give it, 0 if not on Linux."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed before is not counted
        Path("/proc/self/clear_refs").write_text("5")
    except (AttributeError, OSError, TypeError):
        return 0
    return _peak()


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def faster(times: dict[str, Times], titles: Sequence[str], name: str) -> dict[str, Times]:
    """Put the fastest of the contenders ``titles`` in their place, as ``name``; tuned ones too."""
    result = dict(times)
    for prefix in ("", TUNED_PREFIX):
        here = [result.pop(prefix + title) for title in titles if prefix + title in times]
        if here:
            result[prefix + name] = min(here, key=lambda each: each.median)
    return result


def options(description: str, *flags: str) -> argparse.Namespace:
    """Read the command line that the benchmarks have in common; ``flags`` are further switches."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small, 1 thread, 3 rounds")
    for flag in flags:
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them into FILE")
    chosen = parser.parse_args()
    if chosen.quick:
        chosen.threads, chosen.rounds = [1], 3
    return chosen


def record(
    problems: Sequence[Any], results: Sequence[dict[str, Times]], threads: int
) -> dict[str, Any]:
    """Give what was measured as plain dicts, for JSON and the figure."""
    rows = [{title: asdict(t) | {"median": t.median} for title, t in r.items()} for r in results]
    return {"threads": threads, "problems": problems, "results": rows}


def finish(runs: list[dict[str, Any]], file: Path | None, **more: Any) -> None:
    """Print how busy the machine is and what its kernels leave unused, and write to ``file``."""
    report = {"machine": platform.processor() or platform.machine(), "runs": runs} | more
    if hasattr(os, "getloadavg"):
        report["load"] = os.getloadavg()
        print(f"load of the machine: {report['load'][0]:.1f}")
    if hint := kernel_hint():
        print(f"kernels: {hint}")
    if file:
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def peaks(times: dict[str, Times]) -> str:
    """Say how much memory each contender takes above its arguments, in MiB."""
    known = {title: t.peak_bytes for title, t in times.items() if t.peak_bytes}
    return ", ".join(f"{title} {peak / 2**20:.0f}" for title, peak in known.items())


def rival(title: str, ours: str) -> str:
    """Give the contender to which the ratio is taken: ``ours``, with the same allocator."""
    return TUNED_PREFIX + ours if title.startswith(TUNED_PREFIX) else ours


def print_ratios(
    problem: str, labels: Sequence[str], results: Sequence[dict[str, Times]], ours: str, limit: str
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
    print(table([problem, f"{ours}, ms", f"{ours} / limit", *others], rows))
    print(f"peak memory of the first row, above the arguments, MiB: {peaks(results[0])}")


def geometric_mean(values: Sequence[float]) -> float:
    """Give the mean for ratios."""
    return statistics.geometric_mean(values)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Lay rows out in columns for the terminal, numbers with two decimals."""
    cells = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [header, ["-" * width for width in widths], *cells]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )
