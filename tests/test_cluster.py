"""Sweeps on a real cluster of two worker processes: the results, and what a failure costs."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from numpy_se.data import Images
from numpy_se.nets import se_resnet
from numpy_se.train import Options, SweepError, sweep, train

distributed = pytest.importorskip("distributed")
loky = pytest.importorskip("loky")


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def digits() -> Images:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 1, 8, 9)), np.arange(60) % 3
    return Images.from_arrays(x[:40], y[:40], x[40:], y[40:])


def one_run(images: Any, seed: int, lr: float = 0.05) -> list[float]:
    """Train a small net, and give its losses."""
    net, options = (
        se_resnet(8, 2, 2, input_grad=False),
        Options(epochs=1, batch_size=8, seed=seed, lr=lr),
    )
    return list(map(float, train(net, images, options, progress=False).losses))


def killed_once(images: Any, seed: int, folder: str) -> list[float]:
    """As ``one_run``, in a worker that dies at the first try of seed 0."""
    tries = Path(folder, f"tries {seed}")
    tries.write_text(tries.read_text() + "." if tries.exists() else ".")
    if seed == 0 and tries.read_text() == ".":
        os.kill(os.getpid(), signal.SIGKILL)
    return one_run(images, seed)


def scattered(client: Any, data: Any) -> Any:
    """The data on both workers, under a key of its own: a test may not release that of another."""
    client.wait_for_workers(2)
    return client.scatter(data, broadcast=True, hash=False)


class Counted:
    """A data set that notes in a file each time that it is unpacked."""

    def __init__(self, images: Any, note: Path) -> None:
        self.images, self.note = images, note

    def __setstate__(self, state: Any) -> None:
        self.__dict__ |= state
        with self.note.open("a") as stream:
            stream.write(f"{os.getpid()}\n")


def on_counted(images: Counted, seed: int) -> list[float]:
    return one_run(images.images, seed)


SEEDS = {f"seed {seed}": {"seed": seed} for seed in range(4)}


def test_a_cluster_gives_the_bits_of_one_machine(client: Any, digits: Any, tmp_path: Path) -> None:
    there = sweep(
        one_run,
        SEEDS,
        tmp_path / "cluster",
        client.get_executor(),
        common={"images": scattered(client, digits)},
        progress=False,
    )
    here = sweep(
        one_run,
        SEEDS,
        tmp_path / "loky",
        loky.get_reusable_executor(max_workers=2),
        common={"images": digits},
        progress=False,
    )
    assert there == here
    assert all(np.isfinite(losses).all() for losses in here.values())


def test_a_worker_that_is_killed_costs_time_only(client: Any, digits: Any, tmp_path: Path) -> None:
    jobs = {name: {**own, "folder": str(tmp_path)} for name, own in SEEDS.items()}
    common = {"images": scattered(client, digits)}
    results = sweep(
        killed_once, jobs, tmp_path / "runs", client.get_executor(), common=common, progress=False
    )
    assert (tmp_path / "tries 0").read_text() == ".."
    assert results == {name: one_run(digits, **own) for name, own in SEEDS.items()}


def test_a_job_that_diverges_does_not_end_the_others(
    client: Any, digits: Any, tmp_path: Path
) -> None:
    jobs = {**SEEDS, "too fast": {"seed": 0, "lr": 1e38}}
    common = {"images": scattered(client, digits)}
    with pytest.raises(SweepError, match="1 of 5 jobs failed, too fast by: the loss is"):
        sweep(one_run, jobs, tmp_path, client.get_executor(), common=common, progress=False)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(SEEDS)


def test_the_data_travel_once_to_each_worker(client: Any, digits: Any, tmp_path: Path) -> None:
    note = tmp_path / "note"
    counted = scattered(client, Counted(digits, note))
    jobs = {f"seed {seed}": {"seed": seed} for seed in range(6)}
    executor = client.get_executor()
    sweep(on_counted, jobs, tmp_path / "runs", executor, common={"images": counted})
    unpacked = note.read_text().split()
    workers = client.run(os.getpid).values()
    assert all(unpacked.count(str(worker)) == 1 for worker in workers)
