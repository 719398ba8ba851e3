"""Time a sweep of training runs against the number of workers: processes here, and a dask cluster.

    python benchmarks/sweep.py [--workers 1 2] [--rounds 5] [--quick]

A sweep is eight trainings of SE-ResNet-8 on 250 random images. Each executor is started before it
is timed, and they take turns, in an order that is drawn anew in each round. All have to give the
same losses. Needs loky (the extra ``tutorials``); a LocalCluster is added where ``distributed`` is
installed (the extra ``cluster``). It is there twice: dask lets glibc give freed memory back at once
(its setting ``distributed.nanny.pre-spawn-environ``), and then every step maps its arrays anew.
"""

from __future__ import annotations

import contextlib
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import bench
import loky
import numpy as np
import report

from numpy_se.data import Images
from numpy_se.nets import se_resnet
from numpy_se.train import Options, sweep, train

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}


def one_run(images: Images, seed: int) -> list[float]:
    """Train a small net, and give its losses."""
    net, options = se_resnet(8, input_grad=False), Options(epochs=1, seed=seed)
    return list(map(float, train(net, images, options, progress=False).losses))


def random_images(count: int) -> Images:
    rng = np.random.default_rng(0)
    x, labels = rng.random((count + 10, 1, 28, 28), np.float32), np.arange(count + 10) % 10
    return Images.from_arrays(x[10:], labels[10:], x[:10], labels[:10])


def processes(stack: contextlib.ExitStack, workers: int, images: Images) -> tuple[Any, Any]:
    """Start processes on this machine; give the executor, and the images for a call."""
    executor = loky.ProcessPoolExecutor(workers, env=ONE_THREAD)
    stack.callback(executor.shutdown)
    return executor, images


def local_cluster(
    stack: contextlib.ExitStack, workers: int, images: Images, **environment: str
) -> tuple[Any, Any]:
    """Start a cluster on this machine; give the executor, and the images in all its workers."""
    import dask
    import distributed

    own = dask.config.get("distributed.nanny.pre-spawn-environ") | ONE_THREAD | environment
    with dask.config.set({"distributed.nanny.pre-spawn-environ": own}):
        cluster = distributed.LocalCluster(
            n_workers=workers, threads_per_worker=1, dashboard_address=":0"
        )
    client = distributed.Client(stack.enter_context(cluster))
    stack.enter_context(client)
    client.wait_for_workers(workers)
    return client.get_executor(), client.scatter(images, broadcast=True)


def main() -> None:
    """Measure, and print the table."""
    parser = report.parser("Time a sweep against the number of workers.", rounds=5)
    parser.add_argument(
        "--workers", type=report.positive, nargs="+", default=[1, 2], help="default: 1 2"
    )
    options = report.read(parser)
    images = random_images(64 if options.quick else 250)
    runs = 2 if options.quick else 8
    jobs = {f"seed {seed}": {"seed": seed} for seed in range(runs)}
    kinds: dict[str, Callable[..., tuple[Any, Any]]] = {"processes": processes}
    if importlib.util.find_spec("distributed"):
        kinds["LocalCluster"] = local_cluster
        kinds["LocalCluster, memory kept"] = partial(local_cluster, **bench.TUNED)
    else:
        print("LocalCluster is left out: distributed is not installed")

    with contextlib.ExitStack() as stack:
        started = {
            (kind, workers): start(stack, workers, images)
            for kind, start in kinds.items()
            for workers in options.workers
        }

        def results_of(way: tuple[str, int]) -> Any:
            executor, own = started[way]
            with tempfile.TemporaryDirectory() as folder:
                return sweep(
                    one_run, jobs, folder, executor, common={"images": own}, progress=False
                )

        wanted = results_of(next(iter(started)))
        for way in started:
            if results_of(way) != wanted:
                raise SystemExit(f"{way} gives other losses")

        def seconds_of(way: tuple[str, int]) -> float:
            begin = time.perf_counter()
            results_of(way)
            return time.perf_counter() - begin

        seconds = bench.in_turn({way: partial(seconds_of, way) for way in started}, options.rounds)
    first = seconds[next(iter(started))]
    rows = [
        [kind, workers, statistics.median(own), bench.median_ratio(first, own)]
        for (kind, workers), own in seconds.items()
    ]
    print(report.table(["executor", "workers", "seconds", "times as fast as the first"], rows))


if __name__ == "__main__":
    main()
