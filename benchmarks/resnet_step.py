"""Time a training step of SE-ResNet-20 beside PyTorch, in float32, with and without its SE blocks.

    python benchmarks/resnet_step.py [--json FILE] [--figure FILE]

A step is the loss of a batch of 64 images (3, 28, 28), the gradients of all parameters, the
statistics of batch norm, and an update by SGD with momentum. Contenders are ``numpy_se``, PyTorch
eager in both layouts, and ``torch.compile``. The loss and the gradients of each are compared with
those of ``numpy_se`` in float64 before it is timed; tests hold these against PyTorch.

The limit is the time of one matrix product with as many multiplications as the step: the peak of
sgemm in NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import bench
import chart
import numpy as np
from bench import Contender
from training_step import LIMIT, OURS, Prepared, numpy_se_step, torch_step

from numpy_se.costs import Cost, count_net
from numpy_se.nets import se_resnet
from numpy_se.train.loop import loss_and_grads

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

Problem = tuple[int, int, "int | None"]  # batch, depth, and the ratio of the SE blocks or None

PROBLEMS: list[Problem] = [(64, 20, 4), (64, 20, None)]
QUICK: list[Problem] = [(8, 8, 4)]
SHAPE = 3, 28, 28
TOLERANCE = 1e-2  # of the loss, and of the length of the gradient


def arrays(problem: Problem) -> tuple[Any, dict[str, Any], Any, Any]:
    """Give the net, and draw parameters, images and labels."""
    batch, depth, ratio = problem
    net = se_resnet(depth, ratio, channels=SHAPE[0], input_grad=False)
    rng = np.random.default_rng(0)
    params, images = net.init(rng), rng.standard_normal((batch, *SHAPE), np.float32)
    return net, params, images, rng.integers(0, 10, batch)


def check(problem: Problem) -> Callable[[Any], float]:
    """Give the function that compares a loss and gradients with float64."""
    net, params, x, labels = arrays(problem)
    wide = {name: param.astype(np.float64) for name, param in params.items()}
    loss, wanted, _ = loss_and_grads(
        net, wide, x.astype(np.float64), labels, np.random.default_rng(0)
    )

    def length(gradients: dict[str, Any]) -> float:
        return float(np.linalg.norm([np.linalg.norm(each) for each in gradients.values()]))

    def error(result: Any) -> float:
        """Of all gradients as one vector: of millions of entries, some lie at kinks of ReLU."""
        off = {name: np.asarray(result[1][name]) - want for name, want in wanted.items()}
        return max(abs(float(result[0]) - loss) / loss, length(off) / length(wanted))

    return error


def prepare_numpy_se(problem: Problem, threads: int) -> Prepared:
    return numpy_se_step(*arrays(problem), threads), check(problem)


def prepare_torch(
    problem: Problem, threads: int, layout: str = "contiguous_format", compiled: bool = False
) -> Prepared:
    from se_resnet_torch import se_resnet_torch

    net, *drawn = arrays(problem)
    _, depth, ratio = problem

    def logits_of(params: Any, x: Any) -> Any:
        return se_resnet_torch(params, x, depth, with_se=ratio is not None, training=True)

    step = torch_step(logits_of, tuple(drawn), net.names, threads, layout, compiled)
    return step, check(problem)


def prepare_limit(problem: Problem, threads: int) -> Prepared:
    """One product with as many multiplications as the step: for y, dw, and dx but of the images."""
    net = arrays(problem)[0]
    costs = count_net(net, SHAPE)
    forward = sum(costs.values(), Cost()).macs
    return bench.sgemm(problem[0] * (3 * forward - costs["conv"].macs), threads)


TORCH = {
    "PyTorch": prepare_torch,
    "PyTorch, channels last": partial(prepare_torch, layout="channels_last"),
}
COMPILED = partial(prepare_torch, layout="channels_last", compiled=True)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = bench.options("Time a training step of SE-ResNet-20 beside PyTorch.")
    problems = QUICK if options.quick else PROBLEMS
    contenders = [
        Contender(OURS, prepare_numpy_se, blas_threads=1),
        *(Contender(title, prepare, "torch") for title, prepare in TORCH.items()),
        Contender(LIMIT, prepare_limit, blas_threads=1),
    ]
    if not options.quick:
        contenders += [Contender("torch.compile", COMPILED, "torch")]
    labels = [f"{'SE-' if ratio else ''}ResNet-{depth}, {n} images" for n, depth, ratio in problems]
    runs = []
    for threads in options.threads:
        results = bench.compare(contenders, problems, threads, options.rounds, TOLERANCE)
        results = [bench.faster(times, list(TORCH), "PyTorch") for times in results]
        print(f"\n{threads} threads: time / time of {OURS}. PyTorch in its faster layout.")
        bench.print_ratios("net", labels, results, OURS, LIMIT)
        runs.append(bench.record(problems, results, threads))
    bench.finish(runs, options.json)
    if options.figure:
        note = "limit: sgemm with as many multiplications"
        chart.ratios(runs, OURS, LIMIT, f"A training step of {labels[0]}", note, options.figure)


if __name__ == "__main__":
    main()
