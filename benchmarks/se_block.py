"""Time the SE block, forward and backward, beside other people's, in float32.

    python benchmarks/se_block.py [--growth] [--json FILE] [--figure FILE]

Contenders: textbook NumPy, as courses write it; ``numpy_se.squeeze_excite``, the reference;
``numpy_se.fused.squeeze_excite`` on maps with channels first and channels last; PyTorch eager in
both layouts; ``torch.compile``; JAX jit. All use the same cores. The result of each, and all
gradients, are compared with float64 before it is timed.

The limit is what the cheapest block would need that only moves data: read x and write y, then read
dy and x and write dx. That is five moves, the time of ``np.copyto`` times 2.5. On a small map it
cannot be reached, as copying runs in the cache.

``tuned`` are the same contenders with glibc's allocator told to keep freed memory. Their ratio is
to the fused block with the same settings.

``--growth`` also measures how time grows with the batch, the channels, and the map; its figure
stands beside the other one. ``--help`` lists all options. Needs NumPy; torch and JAX for the
comparison, matplotlib for the figure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import bench
import chart
import growth
import numpy as np
import report
from bench import Contender, Prepared, Run
from growth import Axis

import numpy_se as se
from numpy_se import fused
from numpy_se.parallel import in_order, workers

Shape = tuple[int, int, int, int, int]  # N, C, H, W, and the reduction ratio r

SHAPES: list[Shape] = [
    (32, 64, 56, 56, 16),
    (32, 256, 28, 28, 16),
    (32, 512, 14, 14, 16),
    (32, 2048, 7, 7, 16),
    (128, 16, 28, 28, 4),
    (128, 32, 14, 14, 4),
]
QUICK: list[Shape] = [(8, 64, 14, 14, 16)]
GROWTH = {
    "batch": Axis([(n, 64, 28, 28, 16) for n in (4, 8, 16, 32, 64, 128)], lambda s: s[0]),
    "channels": Axis([(32, c, 28, 28, 16) for c in (16, 32, 64, 128, 256)], lambda s: s[1]),
    "pixels of a map": Axis(
        [(32, 64, side, side, 16) for side in (7, 14, 28, 56, 112)], lambda s: s[2] * s[3]
    ),
}
QUICK_GROWTH = {"batch": Axis([(n, 16, 14, 14, 4) for n in (2, 4)], lambda s: s[0])}
TOLERANCE = 1e-5  # largest error relative to the largest entry


def entries(shape: Shape) -> int:
    """Count the entries of the batch of maps."""
    return prod(shape[:4])


def textbook(x: Any, w1: Any, w2: Any, dy: Any) -> tuple[Any, ...]:
    """Compute the block and its gradient as a course would write it."""
    pixels = x.shape[2] * x.shape[3]
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    y = x * s[:, :, None, None]

    ds = (dy * x).sum(axis=(2, 3))
    du = ds * s * (1 - s)
    dw2 = du.T @ a
    dh = (du @ w2) * (h > 0)
    dw1 = dh.T @ z
    dz = dh @ w1
    dx = dy * s[:, :, None, None] + dz[:, :, None, None] / pixels
    return y, dx, dw1, dw2


def arrays(shape: Shape) -> list[Any]:
    """Draw x, w1, w2 and dy."""
    n, c, h, w, r = shape
    rng = np.random.default_rng(0)
    w1, w2 = (rng.standard_normal(s, np.float32) for s in ((c // r, c), (c, c // r)))
    x, dy = (rng.standard_normal((n, c, h, w), np.float32) for _ in range(2))
    return [x, w1 / np.sqrt(np.float32(c)), w2 / np.sqrt(np.float32(c // r)), dy]


def error(results: Sequence[Any], args: list[Any]) -> float:
    """Give the largest error of y and the gradients, each relative to its largest entry."""
    wanted = textbook(*(arg.astype(np.float64) for arg in args))
    return max(
        float(np.abs(result - want).max() / np.abs(want).max())
        for result, want in zip(results, wanted, strict=True)
    )


def prepare_textbook(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)
    return lambda: textbook(*args), lambda results: error(results, args)


def both_passes(op: Callable[..., Any], x: Any, w1: Any, w2: Any, dy: Any) -> tuple[Any, ...]:
    y, backward = op(x, w1, w2)
    return y, *backward(dy)


def prepare_reference(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)
    return lambda: both_passes(se.squeeze_excite, *args), lambda results: error(results, args)


def prepare_fused(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)

    def run() -> tuple[Any, ...]:
        with workers(threads):
            return both_passes(fused.squeeze_excite, *args)

    return run, lambda results: error(results, args)


def prepare_fused_channels_last(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)
    x, w1, w2, dy = args
    last = [bench.channels_last(a) for a in (x, dy)]

    def run() -> tuple[Any, ...]:
        with workers(threads):
            return both_passes(fused.squeeze_excite, last[0], w1, w2, last[1])

    return run, lambda results: error(results, args)


def prepare_torch(
    shape: Shape, threads: int, layout: str = "contiguous_format", compiled: bool = False
) -> Prepared:
    import torch
    from torch.nn.functional import linear

    torch.set_num_threads(threads)
    args = arrays(shape)
    x, w1, w2, dy = map(torch.from_numpy, args)
    x, dy = (a.contiguous(memory_format=getattr(torch, layout)) for a in (x, dy))
    inputs = [a.requires_grad_() for a in (x, w1, w2)]

    def block(x: Any, w1: Any, w2: Any) -> Any:
        s = torch.sigmoid(linear(torch.relu(linear(x.mean((2, 3)), w1)), w2))
        return x * s[:, :, None, None]

    if compiled:
        torch._dynamo.reset()  # otherwise it makes a second, general version for a second shape
        block = torch.compile(block)

    def run() -> list[Any]:
        y = block(*inputs)
        return [y.detach(), *torch.autograd.grad(y, inputs, dy)]

    if compiled:
        run()  # so that the memory of the compiler is not counted
    return run, lambda results: error([result.numpy() for result in results], args)


def prepare_jax(shape: Shape, threads: int) -> Prepared:
    import jax

    def block(x: Any, w1: Any, w2: Any) -> Any:
        s = jax.nn.sigmoid(jax.nn.relu(x.mean((2, 3)) @ w1.T) @ w2.T)
        return x * s[:, :, None, None]

    @jax.jit
    def step(x: Any, w1: Any, w2: Any, dy: Any) -> Any:
        y, backward = jax.vjp(block, x, w1, w2)
        return y, *backward(dy)

    args = arrays(shape)
    inputs = [jax.device_put(a) for a in args]
    compiled = step.lower(*inputs).compile()

    def run() -> Any:
        return jax.block_until_ready(compiled(*inputs))

    return run, lambda results: error([np.asarray(result) for result in results], args)


def prepare_limit(shape: Shape, threads: int) -> Prepared:
    """Copy x and half of x more: five moves."""
    x = arrays(shape)[0].reshape(2 * threads, -1)
    y = np.empty_like(x)
    rows = [slice(i, i + 2) for i in range(0, 2 * threads, 2)]

    def copies(part: slice) -> None:
        for source in (x[part], x[part], x[part.start]):
            np.copyto(y[part] if source.ndim == 2 else y[part.start], source)

    def run() -> None:
        with workers(threads):
            in_order(copies, rows)

    return run, lambda _: float((x != y).any())


FUSED = "fused"
LIMIT = "limit"
OURS = [
    Contender(FUSED, prepare_fused, blas_threads=1),
    Contender("fused on channels last", prepare_fused_channels_last, blas_threads=1),
    Contender("reference", prepare_reference),
    Contender("textbook NumPy", prepare_textbook),
]
EAGER = bench.in_torch(prepare_torch)
JAX = Contender("JAX jit", prepare_jax, "jax")
COPIES = Contender(LIMIT, prepare_limit, blas_threads=1)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Time the SE block beside other people's.", growth=True)
    shapes = QUICK if options.quick else SHAPES
    contenders = [*OURS, *EAGER, JAX, COPIES]
    if not options.quick:
        compiled = bench.in_torch(prepare_torch, compiled=True)
        contenders += [*compiled, *map(bench.tuned, [OURS[0], *EAGER, JAX])]
    runs = []
    for threads in options.threads:
        results = bench.compare(contenders, shapes, threads, options.rounds, TOLERANCE, QUICK[0])
        results = [bench.faster(times) for times in results]
        labels = [", ".join(map(str, shape[:4])) for shape in shapes]
        report.print_ratios("N, C, H, W", labels, results, FUSED, LIMIT, threads)
        runs.append(Run(threads, shapes, results))
    report.print_gains("N, C, H, W", labels, runs, FUSED)
    axes = (QUICK_GROWTH if options.quick else GROWTH) if options.growth else {}
    growing = [OURS[0], *OURS[2:], *EAGER]
    speed = "GB", lambda shape: 5 * 4e-9 * entries(shape)  # five moves that cannot be avoided
    grown = growth.measure(growing, axes, options.rounds, TOLERANCE, FUSED, speed)
    report.finish([*runs, *grown.values()], options.json)
    if options.figure:
        dots = "dots: the six shapes; diamond: geometric mean; tuned: the allocator keeps memory"
        chart.ratios(runs, FUSED, LIMIT, "One SE block, forward and backward", dots, options.figure)
        if grown:
            title = "The fused SE block, forward and backward, 1 thread"
            name = options.figure.with_stem(options.figure.stem + "_growth")
            chart.growth(grown, axes, entries, FUSED, title, name)


if __name__ == "__main__":
    main()
