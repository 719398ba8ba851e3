"""Time a training step of SE-ResNet-20 beside PyTorch, in float32, with and without its SE blocks.

    python benchmarks/resnet_step.py [--growth] [--json FILE] [--figure FILE]

A step is the loss of a batch of 64 images (3, 28, 28), the gradients of all parameters, the
statistics of batch norm, and an update by SGD with momentum. Contenders are ``numpy_se``, PyTorch
eager in both layouts, and ``torch.compile``. The loss and the gradients of each are compared with
those of ``numpy_se`` in float64 before it is timed; tests hold these against PyTorch.

The limit is the time of one matrix product with as many multiplications as the step: the peak of
sgemm in NumPy.

``--growth`` also measures how time and memory grow with the batch, the width, the depth and the
map; its figure stands beside the other one. ``--help`` lists all options.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import bench
import chart
import growth
import numpy as np
import report
from bench import Contender, Prepared, Run
from growth import Axis
from training_step import LIMIT, OURS, numpy_se_step, torch_step

from numpy_se.costs import Cost, count_net
from numpy_se.nets import se_resnet
from numpy_se.train.loop import loss_and_grads

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))


class Problem(NamedTuple):
    """The batch, the net, and the sides of its images; without SE where ``ratio`` is None."""

    batch: int
    depth: int = 20
    ratio: int | None = 4
    width: int = 16
    side: int = 28

    @property
    def shape(self) -> tuple[int, int, int]:
        return 3, self.side, self.side


PROBLEMS = [Problem(64), Problem(64, ratio=None)]
QUICK = [Problem(8, depth=8)]
GROWTH = {
    "batch": Axis([Problem(n) for n in (4, 8, 16, 32, 64, 128)], lambda p: p.batch),
    "width": Axis([Problem(16, width=width) for width in (8, 16, 32, 64)], lambda p: p.width),
    "depth": Axis([Problem(16, depth=depth) for depth in (8, 14, 20, 32, 56)], lambda p: p.depth),
    "pixels of an image": Axis(
        [Problem(16, side=side) for side in (14, 20, 28, 40, 56)], lambda p: p.side**2
    ),
}
QUICK_GROWTH = {"batch": Axis([Problem(n, depth=8) for n in (2, 4)], lambda p: p.batch)}
TOLERANCE = 1e-2  # of the loss, and of the gradient: some of millions of entries lie at kinks


def arrays(problem: Problem) -> tuple[Any, dict[str, Any], Any, Any]:
    """Give the net, and draw parameters, images and labels."""
    n, depth, ratio, width, _ = problem
    net = se_resnet(depth, ratio, width, channels=problem.shape[0], input_grad=False)
    rng = np.random.default_rng(0)
    params, images = net.init(rng), rng.standard_normal((n, *problem.shape), np.float32)
    return net, params, images, rng.integers(0, 10, n)


def check(problem: Problem) -> Callable[[Any], float]:
    """Give the function that compares a loss and gradients with float64."""

    def length(gradients: dict[str, Any]) -> float:
        return float(np.linalg.norm([np.linalg.norm(each) for each in gradients.values()]))

    def error(result: Any) -> float:
        """Of all gradients as one vector: of millions of entries, some lie at kinks of ReLU."""
        net, params, x, labels = arrays(problem)
        wide = {name: param.astype(np.float64) for name, param in params.items()}
        loss, wanted, _ = loss_and_grads(
            net, wide, x.astype(np.float64), labels, np.random.default_rng(0)
        )
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
    with_se = problem.ratio is not None

    def logits_of(params: Any, x: Any) -> Any:
        return se_resnet_torch(params, x, problem.depth, with_se=with_se, training=True)

    step = torch_step(logits_of, tuple(drawn), net.names, threads, layout, compiled)
    return step, check(problem)


def multiplications(problem: Problem) -> int:
    """Count those of a step: for y, dw, and dx but of the images."""
    costs = count_net(arrays(problem)[0], problem.shape)
    return problem.batch * (3 * sum(costs.values(), Cost()).macs - costs["conv"].macs)


def prepare_limit(problem: Problem, threads: int) -> Prepared:
    """One product with as many multiplications as the step."""
    return bench.sgemm(multiplications(problem), threads)


NUMPY_SE = Contender(OURS, prepare_numpy_se, blas_threads=1)
TORCH = bench.in_torch(prepare_torch)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Time a training step of SE-ResNet-20 beside PyTorch.", growth=True)
    problems = QUICK if options.quick else PROBLEMS
    contenders = [NUMPY_SE, *TORCH, Contender(LIMIT, prepare_limit, blas_threads=1)]
    if not options.quick:
        contenders += bench.in_torch(prepare_torch, compiled=True)
    labels = [f"{'SE-' if p.ratio else ''}ResNet-{p.depth}, {p.batch} images" for p in problems]
    runs = []
    for threads in options.threads:
        results = bench.compare(contenders, problems, threads, options.rounds, TOLERANCE, QUICK[0])
        results = [bench.faster(times) for times in results]
        report.print_ratios("net", labels, results, OURS, LIMIT, threads)
        runs.append(Run(threads, problems, results))
    axes = (QUICK_GROWTH if options.quick else GROWTH) if options.growth else {}
    speed = "GFLOP", lambda problem: 2e-9 * multiplications(problem)  # a product and a sum each
    grown = growth.measure([NUMPY_SE, *TORCH], axes, options.rounds, TOLERANCE, OURS, speed)
    report.finish([*runs, *grown.values()], options.json)
    if options.figure:
        note = "limit: sgemm with as many multiplications"
        chart.ratios(runs, OURS, LIMIT, f"A training step of {labels[0]}", note, options.figure)
        if grown:
            title = "A training step of SE-ResNet, 1 thread"
            name = options.figure.with_stem(options.figure.stem + "_growth")
            chart.growth(grown, axes, multiplications, OURS, title, name)


if __name__ == "__main__":
    main()
