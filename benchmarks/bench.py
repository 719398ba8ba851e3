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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.blas import kernel_hint
from numpy_se.parallel import in_order, workers

# glibc gives large arrays back to the system when they are freed, and gets them anew, page by page,
# at the next call. These settings keep them.
TUNED = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}
TUNED_PREFIX = "tuned "
EAGER, COMPILED, LAST = "PyTorch", "torch.compile", ", channels last"
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
    """Give the same contender with the AVX-512 kernels of OpenBLAS, where it leaves them unused."""
    if not kernel_hint():
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


@dataclass
class Run:
    """What was measured with one number of threads: for each problem, the times by title."""

    threads: int
    problems: Sequence[Any]
    results: Sequence[dict[str, Times]]
    work: str = ""


def rival(title: str, ours: str) -> str:
    """Give the contender to which the ratio is taken: ``ours``, with the same allocator."""
    return TUNED_PREFIX + ours if title.startswith(TUNED_PREFIX) else ours


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
            run()  # what is taken once, such as a compiler's memory, is not counted
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


def in_torch(prepare: Callable[..., Any], *, compiled: bool = False) -> list[Contender]:
    """Give PyTorch in both layouts, eager or compiled."""
    title = COMPILED if compiled else EAGER
    first = partial(prepare, compiled=True) if compiled else prepare
    last = partial(first, layout="channels_last")
    return [Contender(title, first, "torch"), Contender(title + LAST, last, "torch")]


def faster(times: dict[str, Times]) -> dict[str, Times]:
    """Keep PyTorch in its faster layout only; eager, compiled and tuned have one each."""
    result = dict(times)
    for title in [title for title in times if title.endswith(LAST)]:
        name = title.removesuffix(LAST)
        if name.removeprefix(TUNED_PREFIX) in (EAGER, COMPILED):
            last = result.pop(title)
            first = result.get(name, last)
            result[name] = min(first, last, key=lambda each: each.median)
    return result
