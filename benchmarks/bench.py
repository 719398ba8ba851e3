"""Time contenders beside each other: each in processes of its own, woken in turn.

The result of a contender is checked in one process. In another, it prepares a problem once, and
then does the work whenever it is woken. The order is drawn anew in every round. So a spell in which
the machine is slow hits all of them, and a ratio within a round can be trusted where the
milliseconds cannot. Processes of their own keep thread pools, allocators and settings of the
environment apart.
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
READY = "ready"
REST = 0.003  # seconds until the threads of the contender before have gone to sleep
LEAST = 0.01  # seconds that a contender is timed for when it is woken


Prepared = tuple[Callable[[], Any], Callable[[Any], float]]  # run, and check


@dataclass(frozen=True)
class Contender:
    """``prepare(problem, threads)`` gives ``run`` and ``check``.

    ``run()`` does the work once. ``check(run())`` gives the largest relative error of its result.
    ``package`` has to be installed. ``blas_threads`` is the number of threads unless given.
    """

    title: str
    prepare: Callable[[Any, int], Prepared]
    package: str = "numpy"
    blas_threads: int | None = None
    environment: dict[str, str] = field(default_factory=dict)


def channels_last(a: Any) -> Any:
    """Lay (N, C, H, W) in memory with the channels last."""
    return np.moveaxis(np.moveaxis(a, 1, 3).copy(), 3, 1)


def sgemm(multiplications: int, threads: int) -> Prepared:
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
        want = shares.astype(np.float64) @ square
        return float(np.abs(products - want).max() / np.abs(want).max())

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
    small: Any,
) -> list[dict[str, Times]]:
    """Time every contender on every problem, and give for each problem the times by title.

    A contender is first checked in a process of its own, where its memory is measured, too, after
    a ``small`` problem, so that what a library takes once is not counted. It is timed in another
    process for each problem: arrays that were freed would change what glibc does with memory.
    A contender that is not installed, fails, or gives a result that is off by more than
    ``tolerance`` is left out with a note.
    """
    answers = []
    for contender in contenders:
        found = _checked(contender, problems, threads, tolerance, small)
        if isinstance(found, str):
            print(f"{contender.title} is left out with {threads} threads: {found}")
        else:
            answers.append((contender, found))
    results = []
    for place, problem in enumerate(problems):
        times: dict[str, Times] = {}
        turns = {}
        with contextlib.ExitStack() as stack:
            for contender, found in answers:
                line = stack.enter_context(_process(_time, contender, problem, threads))
                if (said := _answer(line)) != READY:
                    raise SystemExit(f"{contender.title}, {problem}: {said}")
                times[contender.title] = Times([], *found[place])
                turns[contender.title] = partial(_woken, contender.title, line)
            for title, seconds in in_turn(turns, rounds).items():
                times[title].seconds = seconds
        results.append(times)
    return results


def _checked(
    contender: Contender, problems: Sequence[Any], threads: int, tolerance: float, small: Any
) -> list[tuple[float, int | None]] | str:
    """Give the error and the memory for each problem, or say why there are none."""
    if not importlib.util.find_spec(contender.package):
        return f"{contender.package} is not installed"
    found = []
    with _process(_check, contender, small, threads) as line:
        for problem in problems:
            answer = _answer(line, problem)
            if isinstance(answer, str):
                return f"{problem}: {answer}"
            if not answer[0] <= tolerance:
                return f"{problem}: it is off by {answer[0]:.1e}"
            found.append(answer)
    return found


def in_turn(works: Mapping[Any, Callable[[], float]], rounds: int) -> dict[Any, list[float]]:
    """Let all works take turns, each of which gives its seconds; draw their order in each round."""
    seconds: dict[Any, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name in random.sample(list(works), len(works)):
            time.sleep(REST)
            seconds[name].append(works[name]())
    return seconds


def _woken(title: str, line: Connection) -> float:
    seconds = _answer(line, "run")
    if isinstance(seconds, str):
        raise SystemExit(f"{title}, while it was timed: {seconds}")
    return float(seconds)


def _answer(line: Connection, *messages: Any) -> Any:
    """Wait for what the process at the other end says; say so where it has ended."""
    try:
        for message in messages:
            line.send(message)
        return line.recv()
    except (EOFError, ConnectionError):
        return "its process has ended"


@contextlib.contextmanager
def _process(
    target: Callable[..., None], contender: Contender, problem: Any, threads: int
) -> Iterator[Connection]:
    blas = str(contender.blas_threads or threads)
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(contender, problem, threads, theirs))
    process.daemon = True
    with _environment(dict.fromkeys(names, blas) | contender.environment), _cores(threads):
        process.start()  # it inherits the variables, which are read at the import, and the cores
    theirs.close()  # else an end of the process would not be seen
    try:
        yield ours
    finally:
        ours.close()
        process.join(5)
        process.kill()


@contextlib.contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
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
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _check(contender: Contender, small: Any, threads: int, line: Connection) -> None:
    """Solve a small problem; then answer each that comes with the error, and with the memory."""
    try:
        contender.prepare(small, threads)[0]()
        while True:
            run, check = contender.prepare(line.recv(), threads)
            before = _reset_peak()
            result = run()
            peak = _peak() - before if before else None
            line.send((check(result), peak))
            del run, check, result
    except EOFError:  # nobody waits any more
        pass
    except Exception as error:  # whatever a framework raises where it does not work
        line.send(_said(error))


def _time(contender: Contender, problem: Any, threads: int, line: Connection) -> None:
    """Prepare a problem and say so; then solve it whenever "run" comes, and answer with seconds."""
    try:
        run, _ = contender.prepare(problem, threads)
        line.send(READY)
        while line.recv() == "run":
            line.send(timed(run))
    except EOFError:  # nobody waits any more
        pass
    except Exception as error:  # as above
        line.send(_said(error))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).splitlines()[:1])}"


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
