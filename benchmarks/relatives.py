"""Time the attention blocks around SE, forward and backward, beside other people's, in float32.

    python benchmarks/relatives.py [--json FILE]

For each block: ``numpy_se``; NumPy as a course writes it (``textbook_relatives.py``); PyTorch
eager; ``tuned`` PyTorch, with glibc's allocator told to keep freed memory, beside ``numpy_se`` with
the same settings. All use the same cores. The results and all gradients are compared with float64
before they are timed. The table shows what a block adds to a net, too: its parameters, and its
operations beside those of the scaling alone. ``--help`` lists all options. Needs NumPy; torch for
the comparison.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import bench
import numpy as np
import report
import textbook_relatives as plain
from bench import Contender, Prepared, Run

import numpy_se as se
from numpy_se import fused
from numpy_se import relatives as re
from numpy_se.costs import count_net
from numpy_se.nets import Layer, Sequential, SqueezeExcite
from numpy_se.parallel import workers

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

Problem = tuple[str, tuple[int, int, int, int]]  # a block, and N, C, H, W

SHAPES = [(32, 64, 56, 56), (32, 256, 14, 14)]
QUICK = [(8, 64, 14, 13)]
TOLERANCE = 5e-4  # largest error relative to the largest entry; the norm of SRM divides by little


class Block(NamedTuple):
    """Our operation, its layer on C channels, and the name of its transcription in PyTorch."""

    op: Callable[..., Any]
    layer: Callable[[int], Layer]
    textbook: Callable[..., Any]
    torch: str
    options: dict[str, Any] = {}  # noqa: RUF012


BLOCKS: dict[str, Block] = {
    "SE": Block(se.squeeze_excite, SqueezeExcite, plain.se, "se"),
    "SE, fused": Block(fused.squeeze_excite, SqueezeExcite, plain.se, "se"),
    "ECA": Block(re.eca, partial(re.ECA, size=3), plain.eca, "eca", {"circular": False}),
    "sSE": Block(re.spatial_se, re.SpatialSE, plain.spatial_se, "spatial_se"),
    "scSE": Block(re.scse, partial(re.SCSE, ratio=16), plain.scse, "scse"),
    "CBAM": Block(re.cbam, re.CBAM, plain.cbam, "cbam"),
    "GE": Block(
        re.gather_excite, re.GatherExcite, plain.gather_excite, "gather_excite", {"extent": None}
    ),
    "GE, convolved": Block(
        re.gather_excite,
        partial(re.GatherExcite, stages=1),
        plain.gather_excite_convolution,
        "gather_excite",
    ),
    "eSE": Block(re.effective_se, re.EffectiveSE, plain.effective_se, "effective_se"),
    "SRM": Block(re.srm, re.SRM, plain.srm, "srm"),
    "GCT": Block(re.gct, re.GCT, plain.gct, "gct", {"eps": 1e-5}),
    "GC": Block(
        re.global_context, re.GlobalContext, plain.global_context, "global_context", {"gate": None}
    ),
    "scale and bias": Block(re.scale_bias_se, re.ScaleBiasSE, plain.scale_bias_se, "scale_bias_se"),
}


def arrays(problem: Problem) -> list[Any]:
    """Draw x, the weights in the order of the operation, and dy."""
    name, shape = problem
    layer, rng = BLOCKS[name].layer(shape[1]), np.random.default_rng(0)
    x, dy = (rng.standard_normal(shape, np.float32) for _ in range(2))
    names = [own for own in layer.names if (name, own) != ("sSE", "b")]
    shapes = [np.shape(layer.init(rng)[own]) for own in names]
    scales = [1 / np.sqrt(max(1, np.prod(own[1:]))) for own in shapes]
    weights = [
        (scale * rng.standard_normal(own)).astype(np.float32)
        for own, scale in zip(shapes, scales, strict=True)
    ]
    weights = [np.abs(w) if w.ndim == 1 else w for w in weights]  # biases that close no hidden unit
    return [x, *weights, dy]


def error(results: Sequence[Any], problem: Problem) -> float:
    """Give the largest error of y and the gradients, each relative to its largest entry."""
    wide = [a.astype(np.float64) for a in arrays(problem)]
    return max(
        float(np.abs(result - want).max() / np.abs(want).max())
        for result, want in zip(results, BLOCKS[problem[0]].textbook(*wide), strict=True)
    )


def prepare_ours(problem: Problem, threads: int) -> Prepared:
    block, (*args, dy) = BLOCKS[problem[0]], arrays(problem)

    def run() -> tuple[Any, ...]:
        with workers(threads):
            y, backward = block.op(*args, **block.options)
            gradients = backward(dy)
        return y, *(gradients if isinstance(gradients, tuple) else (gradients,))

    return run, lambda results: error(results, problem)


def prepare_textbook(problem: Problem, threads: int) -> Prepared:
    args = arrays(problem)
    return lambda: BLOCKS[problem[0]].textbook(*args), lambda results: error(results, problem)


def prepare_torch(problem: Problem, threads: int, layout: str = "contiguous_format") -> Prepared:
    import torch
    from torch_relatives import TORCH, channels, excite

    torch.set_num_threads(threads)
    own: dict[str, Any] = {"se": lambda x, *w: x * channels(excite(x.mean((2, 3)), *w))}
    block = BLOCKS[problem[0]]
    x, *weights, dy = map(torch.from_numpy, arrays(problem))
    x, dy = (a.contiguous(memory_format=getattr(torch, layout)) for a in (x, dy))
    inputs = [x, *weights]
    for a in inputs:
        a.requires_grad_()

    def run() -> list[Any]:
        y = {**TORCH, **own}[block.torch](*inputs, **block.options)
        return [y.detach(), *torch.autograd.grad(y, inputs, dy)]

    return run, lambda results: error([result.numpy() for result in results], problem)


OURS = Contender("numpy_se", prepare_ours, blas_threads=1)
TEXTBOOK = Contender("textbook NumPy", prepare_textbook)
EAGER = bench.in_torch(prepare_torch)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options(
        "Time the attention blocks around SE beside other people's.", figure=False, rounds=9
    )
    contenders = [OURS, TEXTBOOK, *EAGER]
    if not options.quick:
        contenders += map(bench.tuned, [OURS, *EAGER])
    runs = []
    for shape in QUICK if options.quick else SHAPES:
        blocks = list(BLOCKS)[:: 4 if options.quick else 1]
        problems: list[Problem] = [(name, shape) for name in blocks]
        for threads in options.threads:
            results = bench.compare(
                contenders, problems, threads, options.rounds, TOLERANCE, ("SE", QUICK[0])
            )
            results = [bench.faster(times) for times in results]
            where = f"N, C, H, W = {', '.join(map(str, shape))}, {report.title_of(threads)}"
            print(f"\n{where}: {report.HEADING.format(OURS.title)}\n")
            print(table(problems, results))
            runs.append(Run(threads, problems, results))
    report.finish(runs, options.json)


def table(problems: Sequence[Problem], results: Sequence[dict[str, bench.Times]]) -> str:
    """Lay out a row for each block: its cost, our time, and the others' time divided by it."""
    own = OURS.title
    others = [title for title in results[0] if title not in (own, bench.TUNED_PREFIX + own)]
    rows: list[list[Any]] = []
    for (name, (_, *size)), times in zip(problems, results, strict=True):
        cost = count_net(Sequential(gate=BLOCKS[name].layer(size[0])), tuple(size))["gate"]
        ratios = [bench.ratio(times[t], times[bench.rival(t, own)]) for t in others]
        scaling = cost.se_operations / np.prod(size)
        rows.append([name, cost.parameters, float(scaling), times[own].median * 1e3, *ratios])
    header = ["block", "parameters", "operations / value", f"{own}, ms", *others]
    return report.table(header, rows)


if __name__ == "__main__":
    main()
