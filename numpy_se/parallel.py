"""Several cores, and the chunks that they share: what fast operations have in common.

Each core gets one Python thread, as NumPy lets go of the GIL in its loops.

    with workers(2):
        y, backward = fused.squeeze_excite(x, w1, w2)
        dx, dw1, dw2 = backward(dy)

BLAS has threads of its own. Two kinds of threads wait for each other, so BLAS wants one here:
``with blas.one_blas_thread()``, or OPENBLAS_NUM_THREADS=1 in the environment before NumPy is
imported.
"""

from __future__ import annotations

import functools
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import TypeVar

from numpy_se.contract import Array, check_count

Item = TypeVar("Item")
Result = TypeVar("Result")

_workers: ContextVar[int] = ContextVar("workers", default=1)
_at_work: ContextVar[bool] = ContextVar("at_work", default=False)  # inside a worker


@contextmanager
def workers(count: int) -> Iterator[None]:
    """Let this block of code use ``count`` threads. Outside of any such block, there is one.

    What a worker calls has one thread, too, also in a block like this: the cores are taken.
    The number decides into how many chunks a batch is split, and sums over the batch are taken
    chunk by chunk in their order. So the same number gives the same bits, and another number the
    same up to rounding.
    Raises TypeError or ValueError unless ``count`` is a whole number of at least 1.
    """
    check_count("workers", "count", count, at_least=1)
    token = _workers.set(count)
    try:
        yield
    finally:
        _workers.reset(token)


def chunks(length: int, least: int) -> list[slice]:
    """Split ``length`` items into at least ``least`` parts, of sizes that differ by at most 1.

    The number of parts is a multiple of the workers, so that none waits for another. There are
    fewer parts where there are not enough items: each part holds at least one.
    """
    count = _count()
    parts = min(length, -(-least // count) * count)
    edges = [length * part // parts for part in range(parts + 1)]
    return [slice(*pair) for pair in itertools.pairwise(edges)]


def by_size(length: int, nbytes: int, chunk: int, small: int | None = None) -> list[slice]:
    """Split ``length`` items that take ``nbytes`` together into parts of at most ``chunk`` bytes.

    What takes at most ``small`` bytes, or one chunk unless given, is left whole: it is not worth
    the start of a thread.
    """
    whole = nbytes <= (chunk if small is None else small)
    return [slice(0, length)] if whole else chunks(length, -(-nbytes // chunk))


def in_order(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Give ``[function(item) for item in items]``, the calls shared out among the workers.

    The caller is one of them: of two workers, it takes every other item, and a thread the rest.
    Each call sees the context of the caller, for instance its ``np.errstate``, with one worker.
    An error in a call is raised when all workers have ended.
    """
    count = min(_count(), len(items))
    if count <= 1:
        return [function(item) for item in items]

    def share(worker: int) -> list[Result]:
        _at_work.set(True)  # in the copy of the context that this worker has
        return [function(item) for item in items[worker::count]]

    threads = _pool()
    futures = [threads.submit(copy_context().run, share, worker) for worker in range(1, count)]
    try:
        first = copy_context().run(share, 0)
    finally:
        wait(futures)  # they write into arrays of the caller
    shares = [first, *(future.result() for future in futures)]
    return [shares[place % count][place // count] for place in range(len(items))]


def _count() -> int:
    return 1 if _at_work.get() else _workers.get()


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay: starting them takes as long as a small block.

    There are as many as have ever been at work together. One more starts where none is idle.
    """
    return ThreadPoolExecutor(sys.maxsize, thread_name_prefix="numpy_se")


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not live on in a copy


def add_up(shares: Sequence[Sequence[Array]]) -> list[Array]:
    """Add up the arrays of all shares, place by place, in their order, into those of the first."""
    totals, *others = map(list, shares)
    for other in others:
        for place, array in enumerate(other):
            totals[place] += array
    return totals
