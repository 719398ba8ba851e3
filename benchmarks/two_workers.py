"""Find out what holds two workers back: each kind of work on two threads, and in two processes.

    python benchmarks/two_workers.py [--rounds 15]

A work is done twice by one process, then once each by two threads of it, then once each by two
processes that know nothing of each other. The table shows how many times as fast the last two are,
medians of rounds whose order is drawn anew. Two processes share memory, the last cache and the
clock of the processor, and no lock; so what threads lose beside them is Python's lock, or the
allocator.
Works: matrix products that stay in the cache; copies within the cache, and within memory; a loop of
Python; the tiny net and SE-ResNet-20, loss and gradients, 64 images each.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import Connection
from typing import Any

import bench
import numpy as np
import report
import resnet_step
import training_step

from numpy_se.nets import tiny_net
from numpy_se.parallel import in_order, workers
from numpy_se.train.loop import loss_and_grads

LEAST = 0.03  # seconds that one turn takes


def products() -> Callable[[], Any]:
    a = np.random.default_rng(0).random((16, 196, 288), np.float32)
    return lambda: a @ a.swapaxes(1, 2)


def copies(nbytes: int) -> Callable[[], Any]:
    source, target = np.ones(nbytes // 4, np.float32), np.empty(nbytes // 4, np.float32)
    return lambda: np.copyto(target, source)


def python() -> Callable[[], Any]:
    return lambda: sum(i * i for i in range(10_000))


def step(net: Any, params: Any, images: Any, labels: Any) -> Callable[[], Any]:
    rng = np.random.default_rng(0)  # the net draws none
    return lambda: loss_and_grads(net, params, images, labels, rng)


WORKS: dict[str, Callable[[], Callable[[], Any]]] = {
    "matrix products": products,
    "copies of 256 KB": lambda: copies(2**18),
    "copies of 64 MB": lambda: copies(2**26),
    "a loop of Python": python,
    "tiny net": lambda: step(tiny_net(input_grad=False), *training_step.arrays((64, 4))),
    "SE-ResNet-20": lambda: step(*resnet_step.arrays(resnet_step.Problem(64))),
}


def serve(line: Connection) -> None:
    """Get orders and say when they are done: a work to prepare, or a number of threads and times.

    Each thread has a work of its own, as works write into arrays.
    """
    works: list[Callable[[], Any]] = []

    def times(count: int, work: Callable[[], Any]) -> None:
        for _ in range(count):
            work()

    while (order := line.recv()) is not None:
        if order in WORKS:
            works = [WORKS[order](), WORKS[order]()]
        else:
            threads, count = order
            with workers(threads):
                in_order(partial(times, count), works[:threads])
        line.send("done")


def seconds(lines: Sequence[Connection], order: Any) -> float:
    """Give the order to the processes at the other end, and wait until all have done it."""
    start = time.perf_counter()
    for line in lines:
        line.send(order)
    for line in lines:
        line.recv()
    return time.perf_counter() - start


def measure(name: str, lines: Sequence[Connection], rounds: int) -> list[Any]:
    """Give the row of a work."""
    first = lines[:1]
    seconds(lines, name)
    seconds(lines, (2, 1))  # warms the caches up
    count = 1
    while seconds(first, (1, count)) < LEAST:
        count *= 2
    ways = {"one": (first, (1, 2 * count)), "threads": (first, (2, count))}
    ways["processes"] = lines, (1, count)
    found = bench.in_turn({way: partial(seconds, *order) for way, order in ways.items()}, rounds)
    gains = (bench.median_ratio(found["one"], found[way]) for way in ("threads", "processes"))
    return [name, *gains]


def main() -> None:
    """Measure, and print the table."""
    options = report.read(report.parser("Find out what holds two workers back.", rounds=15))
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "1"))
    context = multiprocessing.get_context("spawn")  # it imports NumPy anew, with these settings
    pairs = [context.Pipe() for _ in range(2)]
    for _, theirs in pairs:
        context.Process(target=serve, args=(theirs,), daemon=True).start()
        theirs.close()  # else an end of the process would not be seen
    lines = [ours for ours, _ in pairs]
    rows = [measure(name, lines, options.rounds) for name in WORKS]
    for line in lines:
        line.send(None)
    lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"Python {sys.version.split()[0]}, {'with' if lock else 'without'} its lock")
    print(report.table(["work", "two threads", "two processes"], rows))


if __name__ == "__main__":
    main()
