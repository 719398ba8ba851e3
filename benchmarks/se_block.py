"""Time the SE block, forward and backward, beside other people's, in float32.

    python benchmarks/se_block.py [--quick] [--growth] [--threads 1 2] [--json FILE] [--figure FILE]

Contenders: NumPy as it is written in courses; ``numpy_se.squeeze_excite``, the reference;
``numpy_se.fused.squeeze_excite`` on maps with channels first and channels last; PyTorch eager in
both layouts; ``torch.compile``; JAX jit. All use the same cores. The result of each, and all
gradients, are compared with float64 before it is timed.

The limit is what the cheapest block would need that only moves data: read x and write y, then read
dy and x and write dx. That is five moves, the time of ``np.copyto`` times 2.5. On a small map it
cannot be reached, as copying runs in the cache.

``tuned`` are the same contenders with glibc's allocator told to keep freed memory. Their ratio is
to the fused block with the same settings.

``--growth`` also measures how time grows with the batch, the channels, and the map. Needs NumPy;
torch and JAX for the comparison, matplotlib for the figure.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import bench
import numpy as np
from bench import Contender, Times

import numpy_se as se
from numpy_se.parallel import in_order, workers

Prepared = tuple[Callable[[], Any], Callable[[Any], float]]
Shape = tuple[int, int, int, int, int]  # N, C, H, W, and the reduction ratio r

SHAPES: list[Shape] = [
    (32, 64, 56, 56, 16),
    (32, 256, 28, 28, 16),
    (32, 512, 14, 14, 16),
    (32, 2048, 7, 7, 16),
    (128, 16, 28, 28, 4),
    (128, 32, 14, 14, 4),
]
QUICK: list[Shape] = [(8, 64, 14, 14, 16), (16, 16, 28, 28, 4)]
GROWTH: dict[str, list[Shape]] = {
    "batch": [(n, 64, 28, 28, 16) for n in (4, 8, 16, 32, 64, 128)],
    "channels": [(32, c, 28, 28, 16) for c in (16, 32, 64, 128, 256)],
    "pixels of a map": [(32, 64, side, side, 16) for side in (7, 14, 28, 56, 112)],
}
TOLERANCE = 1e-5  # largest error relative to the largest entry


def plain(x: Any, w1: Any, w2: Any, dy: Any) -> tuple[Any, ...]:
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
    wanted = plain(*(arg.astype(np.float64) for arg in args))
    return max(
        float(np.abs(result - want).max() / np.abs(want).max())
        for result, want in zip(results, wanted, strict=True)
    )


def prepare_plain(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)
    return lambda: plain(*args), lambda results: error(results, args)


def both_passes(op: Callable[..., Any], x: Any, w1: Any, w2: Any, dy: Any) -> tuple[Any, ...]:
    y, backward = op(x, w1, w2)
    return y, *backward(dy)


def prepare_reference(shape: Shape, threads: int) -> Prepared:
    args = arrays(shape)
    return lambda: both_passes(se.squeeze_excite, *args), lambda results: error(results, args)


def prepare_fused(shape: Shape, threads: int) -> Prepared:
    from numpy_se import fused  # not in other processes: it changes what the allocator keeps

    args = arrays(shape)

    def run() -> tuple[Any, ...]:
        with workers(threads):
            return both_passes(fused.squeeze_excite, *args)

    return run, lambda results: error(results, args)


def prepare_fused_channels_last(shape: Shape, threads: int) -> Prepared:
    from numpy_se import fused

    args = arrays(shape)
    x, w1, w2, dy = args
    last = [np.moveaxis(np.moveaxis(a, 1, 3).copy(), 3, 1) for a in (x, dy)]

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


def prepare_torch_channels_last(shape: Shape, threads: int) -> Prepared:
    return prepare_torch(shape, threads, "channels_last")


def prepare_torch_compile(shape: Shape, threads: int) -> Prepared:
    return prepare_torch(shape, threads, compiled=True)


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
CONTENDERS = [
    Contender(FUSED, prepare_fused, blas_threads=1),
    Contender("fused, channels last", prepare_fused_channels_last, blas_threads=1),
    Contender("reference", prepare_reference),
    Contender("plain NumPy", prepare_plain),
    Contender("PyTorch", prepare_torch, "torch"),
    Contender("PyTorch, channels last", prepare_torch_channels_last, "torch"),
    Contender("torch.compile", prepare_torch_compile, "torch"),
    Contender("JAX jit", prepare_jax, "jax"),
    Contender(LIMIT, prepare_limit, blas_threads=1),
]
TORCH_EAGER = ("PyTorch", "PyTorch, channels last")
GROWING = [c for c in CONTENDERS if c.title in (FUSED, "reference", "plain NumPy", "PyTorch")]
TUNED_PREFIX = "tuned "


def tuned(contender: Contender) -> Contender:
    """Give the same contender with an allocator that keeps freed memory."""
    return replace(contender, title=TUNED_PREFIX + contender.title, environment=bench.TUNED)


def rival(title: str) -> str:
    """Give the contender to which the ratio is taken: the fused block with the same allocator."""
    return TUNED_PREFIX + FUSED if title.startswith(TUNED_PREFIX) else FUSED


def with_faster_layout(times: dict[str, Times]) -> dict[str, Times]:
    """Put PyTorch's faster layout in the place of the two."""
    result = dict(times)
    for prefix in ("", TUNED_PREFIX):
        titles = [t for t in (f"{prefix}PyTorch", f"{prefix}PyTorch, channels last") if t in times]
        if titles:
            fastest = min((result.pop(title) for title in titles), key=lambda each: each.median)
            result[f"{prefix}PyTorch"] = fastest
    return result


def print_tables(shapes: list[Shape], results: list[dict[str, Times]], threads: int) -> None:
    """Print the ratios to the fused block, and its distance from the limit."""
    results = [with_faster_layout(times) for times in results]
    others = [title for title in results[0] if title not in (FUSED, LIMIT, TUNED_PREFIX + FUSED)]
    others = [title for title in others if all(title in times for times in results)]
    rows = []
    for shape, times in zip(shapes, results, strict=True):
        ratios = [bench.ratio(times[title], times[rival(title)]) for title in others]
        limit = bench.ratio(times[FUSED], times[LIMIT])
        rows.append([",".join(map(str, shape[:4])), times[FUSED].median * 1e3, limit, *ratios])
    means = [bench.geometric_mean(column) for column in list(zip(*rows, strict=True))[2:]]
    print(f"\n{threads} threads: time / time of the fused block. PyTorch in its faster layout.")
    header = ["shape", "fused, ms", "fused / limit", *others]
    print(bench.table(header, [*rows, ["geometric mean", "", *means]]))
    first = {title: times for title, times in results[0].items() if times.peak_bytes}
    peaks = [f"{title} {t.peak_bytes / 2**20:.0f}" for title, t in first.items()]  # type: ignore[operator]
    print(f"peak memory at {shapes[0][:4]}, above the arguments, MiB: {', '.join(peaks)}")


def draw(report: dict[str, Any], file: Path) -> None:
    """Draw times over the limit for each shape, and below it how time grows."""
    from matplotlib import pyplot as plt

    growth = report.get("growth", {})
    columns = max(len(report["runs"]), len(growth))
    figure, axes = plt.subplots(
        1 + bool(growth), columns, figsize=(5 * columns, 4 * (1 + bool(growth))), squeeze=False
    )
    for axis, run in zip(axes[0], report["runs"], strict=False):
        for title in run["results"][0]:
            if title == LIMIT or title.startswith(TUNED_PREFIX):
                continue
            ratios = [
                times[title]["median"] / times[LIMIT]["median"]
                for times in run["results"]
                if title in times
            ]
            axis.plot(ratios, "o-" if title == FUSED else "o--", label=title, alpha=0.8)
        axis.axhline(1, color="black", label="limit: five moves at the speed of a copy")
        axis.set_xticks(
            range(len(run["shapes"])), [f"{s[0]}x{s[1]}\n{s[2]}x{s[3]}" for s in run["shapes"]]
        )
        axis.set(title=f"{run['threads']} threads", ylabel="time / limit", yscale="log")
        axis.set_ylim(bottom=0.3)  # room for the legend
        axis.legend(fontsize=7, loc="lower center", ncols=2)
    for axis, (name, run) in zip(axes[-1], growth.items(), strict=False):
        place = {"batch": 0, "channels": 1}.get(name)
        size = [s[2] * s[3] if place is None else s[place] for s in run["shapes"]]
        for title in run["results"][0]:
            axis.plot(size, [t[title]["median"] * 1e3 for t in run["results"]], "o-", label=title)
        axis.set(xlabel=name, ylabel="ms, 1 thread", xscale="log", yscale="log")
        axis.set_xticks(size, size)
        axis.minorticks_off()
        axis.legend(fontsize=7)
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    figure.tight_layout()
    figure.savefig(file, dpi=150)


def record(shapes: list[Shape], results: list[dict[str, Times]], threads: int) -> dict[str, Any]:
    """Give what was measured as plain dicts, for JSON and the figure."""
    rows = [{title: asdict(t) | {"median": t.median} for title, t in r.items()} for r in results]
    return {"threads": threads, "shapes": shapes, "results": rows}


def main(argv: list[str] | None = None) -> None:
    """Measure, print the tables, write the files."""
    parser = argparse.ArgumentParser(description="Time the SE block beside other people's.")
    parser.add_argument("--quick", action="store_true", help="small shapes, 1 thread, 3 rounds")
    parser.add_argument("--growth", action="store_true", help="also time against size")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--rounds", type=int, default=15, help="default: 15")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="draw them into FILE")
    options = parser.parse_args(argv)
    shapes, rounds = (QUICK, 3) if options.quick else (SHAPES, options.rounds)
    contenders = [*CONTENDERS, *(tuned(c) for c in CONTENDERS if c.title in (FUSED, *TORCH_EAGER))]
    if options.quick:  # compiling takes longer than all the rest
        contenders = [c for c in CONTENDERS if c.title != "torch.compile"]

    report: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "runs": []}
    for threads in [1] if options.quick else options.threads:
        results = bench.compare(contenders, shapes, threads, rounds, TOLERANCE)
        print_tables(shapes, results, threads)
        report["runs"].append(record(shapes, results, threads))
    if options.growth:
        report["growth"] = {
            name: record(sizes, bench.compare(GROWING, sizes, 1, rounds, TOLERANCE), 1)
            for name, sizes in GROWTH.items()
        }
    if hasattr(os, "getloadavg"):
        report["load"] = os.getloadavg()
        print(f"load of the machine: {report['load'][0]:.1f}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    if options.figure:
        draw(report, options.figure)


if __name__ == "__main__":
    main()
