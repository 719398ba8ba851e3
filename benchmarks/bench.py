"""Time contenders beside each other: each in a process of its own, woken in turn.

A contender prepares a problem once, checks its result, and then does the work whenever it is woken.
The order is drawn anew in every round. So a spell in which the machine is slow hits all of them,
and a ratio within a round can be trusted where the milliseconds cannot. Processes of their own keep
thread pools, allocators and settings of the environment apart.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.util
import multiprocessing
import os
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

# glibc gives large arrays back to the system when they are freed, and gets them anew, page by page,
# at the next call. These settings keep them.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
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
    return statistics.median(a / b for a, b in zip(of.seconds, to.seconds, strict=True))


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
            for _ in range(rounds):
                for title in random.sample(list(times), len(times)):
                    time.sleep(REST)
                    lines[title].send("run")
                    times[title].seconds.append(lines[title].recv())
            results.append(times)
    return results


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
            line.send(_timed(run))
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


def _timed(run: Callable[[], Any]) -> float:
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
