"""Measure what each technique brings: the time with one undone, divided by the time with all.

    python benchmarks/techniques.py [--threads 1] [--json FILE] [--figure FILE]

Three works, in float32: the fused SE block on the six shapes of ``se_block.py``, the training step
of the tiny net (``training_step.py``), and that of SE-ResNet-20 (``resnet_step.py``). A technique
is undone in a process of its own, which does the same in a simpler way. The results of all are
compared with float64 before they are timed. ``--help`` lists all options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import bench
import chart
import numpy as np
import report
import resnet_step
import se_block
import textbook
import training_step
from bench import Contender, Prepared, Run, Times

from numpy_se import contract, fused, layout, nets, ops, se, train
from numpy_se.contract import op

EVERYTHING = "with all"


def undo(place: Any, name: str, simpler: Any) -> Callable[[], None]:
    """Give the function that puts ``simpler`` in the place of a technique, in its process."""
    getattr(place, name)  # else nothing would be undone
    return partial(setattr, place, name, simpler)


# The SE block


def sum_of_products(self: Any, a: Any, b: Any) -> Any:
    return (a * b).sum(axis=2)


def sum_over_rows(self: Any, rows: Any) -> Any:
    return rows.sum(axis=2)


WHOLE = 2**40  # bytes: more than any batch has
BLOCK = {
    "keep freed memory": undo(contract, "keep_freed_memory", lambda: None),
    "ds by einsum, not a product and a sum": undo(layout.ChannelsFirst, "dot", sum_of_products),
    "the mean by a product with ones, not sum": undo(layout.ChannelsFirst, "total", sum_over_rows),
    "a small ufunc buffer for rows of 512 and more": undo(
        fused.se, "_whole_rows", lambda rows: nullcontext()
    ),
    "fill and multiply in place for rows below 1500": undo(fused.se, "LONG", 0),
    "chunks of 8 MB, not the whole batch": undo(fused.se, "CHUNK", WHOLE),
}

# The step of the tiny net


@op("N C H W -> N C OH OW")
def pool_by_argmax(x: Any, *, size: int) -> Any:
    """Pool by the place of the maximum in each window, in the layout that the net has."""
    (n, c, h, w), oh, ow = x.shape, x.shape[2] // 2, x.shape[3] // 2
    inside = x.transpose(0, 2, 3, 1)[:, : 2 * oh, : 2 * ow].reshape(n, oh, 2, ow, 2, c)
    windows = inside.transpose(0, 1, 3, 2, 4, 5).reshape(n, oh, ow, 4, c)
    winner = windows.argmax(axis=3, keepdims=True)

    def backward(dy: Any) -> Any:
        dwindows = np.zeros_like(windows)
        np.put_along_axis(dwindows, winner, dy.transpose(0, 2, 3, 1)[:, :, :, None], axis=3)
        dx = np.zeros((n, h, w, c), dy.dtype)
        dinside = dwindows.reshape(n, oh, ow, 2, 2, c).transpose(0, 1, 3, 2, 4, 5)
        dx[:, : 2 * oh, : 2 * ow] = dinside.reshape(n, 2 * oh, 2 * ow, c)
        return dx.transpose(0, 3, 1, 2)

    return np.take_along_axis(windows, winner, axis=3)[:, :, :, 0].transpose(0, 3, 1, 2), backward


@op("N C H W -> N C OH OW")
def pool_by_masks(x: Any, *, size: int) -> Any:
    """Pool as ``ops.max_pool2d`` does, but write winners where a mask says so."""
    *_, h, w = x.shape
    places = [np.s_[:, :, i : h // 2 * 2 : 2, j : w // 2 * 2 : 2] for i in (0, 1) for j in (0, 1)]
    y = x[places[0]].copy("K")
    winner = np.zeros_like(y, np.uint8)
    for number, place in enumerate(places[1:], start=1):
        candidate = x[place].copy("K")
        won = candidate > y
        np.copyto(winner, number, where=won)
        np.copyto(y, candidate, where=won)

    def backward(dy: Any) -> Any:
        dx = np.zeros_like(x)
        for number, place in enumerate(places):
            np.copyto(dx[place], dy, where=winner == number)
        return dx

    return y, backward


@op("N C H W, F C KH KW, F -> N F OH OW")
def im2col_conv(x: Any, w: Any, b: Any, *, stride: int, padding: int, input_grad: bool) -> Any:
    y, backward = textbook.conv(x, w, b, stride, padding)
    return y, lambda dy: backward(dy, input_grad)


@op("... -> ...")
def relu_by_where(x: Any) -> Any:
    y, mask = np.maximum(x, np.zeros_like(x[:1])), x > 0
    return y, lambda dy: np.where(mask, dy, dy.dtype.type(0))


@op("... -> ...")
def relu_by_number(x: Any) -> Any:
    mask = x > 0
    return np.maximum(x, 0), lambda dy: dy * mask


def images_get_a_gradient() -> None:
    with_all = nets.tiny_net
    training_step.tiny_net = lambda ratio, input_grad=True: with_all(ratio)  # type: ignore[assignment]


def whole_kernel(canvas: Any, kh: int, kw: int, stride: int = 1) -> Any:
    """Copy the inputs of every output for the whole kernel: one array (N, OH*OW, KH*KW*C)."""
    n, h, w, c = canvas.shape
    oh, ow = (h - kh) // stride + 1, (w - kw) // stride + 1
    sn, sh, sw, sc = canvas.strides
    shape, strides = (n, oh, ow, kh, kw * c), (sn, stride * sh, stride * sw, sh, sc)
    return [ops.conv._overlapping(canvas, shape, strides).reshape(n, oh * ow, kh * kw * c)]


STEP = {
    "pooling by whole copies, not argmax over windows": undo(
        nets.models, "max_pool2d", pool_by_argmax
    ),
    "pooling by the maximum, not where a mask says so": undo(
        nets.models, "max_pool2d", pool_by_masks
    ),
    "convolution: channels last, kernel rows, not im2col": undo(nets.layers, "conv2d", im2col_conv),
    "a product for each kernel row, not for the whole kernel": undo(
        ops.conv, "_columns", whole_kernel
    ),
    "the whole kernel at once where there is one channel": undo(ops.conv, "FEW", 0),
    "ReLU backward by a product, not where": undo(nets.models, "relu", relu_by_where),
    "ReLU by the maximum with an array, not with 0": undo(nets.models, "relu", relu_by_number),
    "the fused SE block, not the reference": undo(fused, "squeeze_excite", se.squeeze_excite),
    "no gradient of the images": images_get_a_gradient,
    "parts of 64 images, not of 16": undo(train.loop, "MICROBATCH", 16),
    "parts of 64 images, not of 128": undo(train.loop, "MICROBATCH", 128),
}

# The step of SE-ResNet-20


@op("N C H W, C, C -> N C H W")
def reference_batch_norm(x: Any, gamma: Any, beta: Any, *, eps: float) -> Any:
    """Normalise as ``ops.batch_norm``, which keeps its statistics to itself: others stand in."""
    y, backward = ops.batch_norm(x, gamma, beta, eps=eps)
    return y, backward, gamma, beta


DEEP = {
    "batch norm in few passes, not the reference": undo(fused, "batch_norm", reference_batch_norm),
    "the fused SE block, not the reference": undo(fused, "squeeze_excite", se.squeeze_excite),
    "ReLU backward by a product, not where": undo(nets.models, "relu", relu_by_where),
    "a product for each kernel row, not for the whole kernel": undo(
        ops.conv, "_columns", whole_kernel
    ),
}


@dataclass(frozen=True)
class Work:
    """A work, its techniques, and the problems on which they are measured."""

    prepare: Callable[[Any, int], Prepared]
    techniques: dict[str, Callable[[], None]]
    problems: Sequence[Any]
    quick: Sequence[Any]
    tolerance: float


WORKS = {
    "the fused SE block": Work(
        se_block.prepare_fused, BLOCK, se_block.SHAPES, se_block.QUICK, se_block.TOLERANCE
    ),
    "a training step of the tiny net": Work(
        training_step.prepare_numpy_se,
        STEP,
        [training_step.PROBLEM],
        [training_step.QUICK],
        training_step.TOLERANCE,
    ),
    "a training step of SE-ResNet-20": Work(
        resnet_step.prepare_numpy_se,
        DEEP,
        resnet_step.PROBLEMS[:1],
        resnet_step.QUICK,
        resnet_step.TOLERANCE,
    ),
}


def prepare_without(work: str, technique: str, problem: Any, threads: int) -> Prepared:
    """Undo a technique in this process, and prepare the work."""
    WORKS[work].techniques[technique]()
    return WORKS[work].prepare(problem, threads)


def contenders(title: str) -> list[Contender]:
    """Give the work with all techniques, and without each of them."""
    work = WORKS[title]
    ways = {EVERYTHING: work.prepare}
    ways |= {undone: partial(prepare_without, title, undone) for undone in work.techniques}
    return [Contender(name, prepare, blas_threads=1) for name, prepare in ways.items()]


def gains(work: Work, results: Sequence[dict[str, Times]]) -> dict[str, list[float]]:
    """Give for each technique the time without it, divided by the time with all, by problem."""
    return {
        title: [bench.ratio(times[title], times[EVERYTHING]) for times in results]
        for title in work.techniques
        if all(title in times for times in results)
    }


def row(title: str, ratios: Sequence[float], problems: Sequence[Any]) -> list[Any]:
    """Give the mean of the ratios, and where there are more problems, the largest with its own."""
    most = int(np.argmax(ratios))
    where = [ratios[most], ",".join(map(str, problems[most]))] if len(problems) > 1 else []
    return [title, report.geometric_mean(ratios), *where]


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Measure what each technique brings.")
    runs, found = [], {}
    for title, work in WORKS.items():
        problems = work.quick if options.quick else work.problems
        for threads in options.threads:
            results = bench.compare(
                contenders(title), problems, threads, options.rounds, work.tolerance, work.quick[0]
            )
            here = f"{title}, {report.title_of(threads)}"
            found[here] = gains(work, results)
            print(f"\n{here}: time without / time with all\n")
            header = ["technique", "mean", "most", "at"][: 4 if len(problems) > 1 else 2]
            rows = [row(name, ratios, problems) for name, ratios in found[here].items()]
            print(report.table(header, rows))
            runs.append(Run(threads, problems, results, title))
    report.finish(runs, options.json)
    if options.figure:
        chart.techniques(found, options.figure)


if __name__ == "__main__":
    main()
