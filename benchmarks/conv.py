"""Time a convolution, forward and backward with all gradients, beside other people's, in float32.

    python benchmarks/conv.py [--json FILE] [--figure FILE]

Contenders: ``numpy_se.conv2d``; im2col as a course writes it (``textbook.py``); PyTorch eager in
both layouts; ``torch.compile``; JAX jit. All use the same cores. The results of each are compared
with float64 before it is timed. The layers are those of the tiny net with its batch of 128, and of
a ResNet. Maps are channels last for those who prefer it: ``numpy_se``, JAX, and one of PyTorch's.

The limit is the time of one matrix product with as many multiplications. The ratio of ``tuned``
contenders, whose allocator keeps freed memory, is to ``numpy_se`` with the same settings. AVX-512:
see ``training_step.py``. ``--help`` lists all options.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import bench
import chart
import numpy as np
import report
import textbook
from bench import Contender, Prepared, Run

import numpy_se as se
from numpy_se.parallel import workers

Layer = tuple[int, int, int, int, int, int]  # N, C, H = W, F, size of the kernel, stride

LAYERS: list[Layer] = [
    (128, 1, 28, 16, 3, 1),
    (128, 16, 14, 32, 3, 1),
    (128, 32, 7, 64, 3, 1),
    (16, 64, 56, 64, 3, 1),
    (16, 64, 56, 128, 3, 2),
    (16, 256, 14, 256, 3, 1),
    (16, 256, 14, 1024, 1, 1),
]
QUICK: list[Layer] = [(8, 16, 7, 32, 3, 2)]
TOLERANCE = 1e-4  # largest error relative to the largest entry


def arrays(layer: Layer) -> list[Any]:
    """Draw x, w, b and dy."""
    n, c, side, f, size, stride = layer
    out = (side + 2 * (size // 2) - size) // stride + 1
    rng = np.random.default_rng(0)
    shapes = [(n, c, side, side), (f, c, size, size), (f,), (n, f, out, out)]
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def plain(layer: Layer, x: Any, w: Any, b: Any, dy: Any) -> list[Any]:
    y, backward = textbook.conv(x, w, b, stride=layer[5], padding=layer[4] // 2)
    return [y, *backward(dy)]


def check(layer: Layer) -> Callable[[Any], float]:
    """Give the function that compares y, dx, dw and db with float64."""

    def error(results: Sequence[Any]) -> float:
        wanted = plain(layer, *(a.astype(np.float64) for a in arrays(layer)))
        return max(
            float(np.abs(np.asarray(result) - want).max() / np.abs(want).max())
            for result, want in zip(results, wanted, strict=True)
        )

    return error


def prepare_numpy_se(layer: Layer, threads: int) -> Prepared:
    x, w, b, dy = arrays(layer)
    x, dy = bench.channels_last(x), bench.channels_last(dy)

    def run() -> list[Any]:
        with workers(threads):
            y, backward = se.conv2d(x, w, b, stride=layer[5], padding=layer[4] // 2)
            return [y, *backward(dy)]

    return run, check(layer)


def prepare_textbook(layer: Layer, threads: int) -> Prepared:
    args = arrays(layer)
    return lambda: plain(layer, *args), check(layer)


def prepare_torch(
    layer: Layer, threads: int, layout: str = "contiguous_format", compiled: bool = False
) -> Prepared:
    import torch
    from torch.nn.functional import conv2d

    torch.set_num_threads(threads)
    memory_format = getattr(torch, layout)
    x, w, b, dy = map(torch.from_numpy, arrays(layer))
    x, w, dy = (a.contiguous(memory_format=memory_format) for a in (x, w, dy))
    inputs = [a.requires_grad_() for a in (x, w, b)]

    def conv(x: Any, w: Any, b: Any) -> Any:
        return conv2d(x, w, b, stride=layer[5], padding=layer[4] // 2)

    if compiled:
        torch._dynamo.reset()  # otherwise it makes a second, general version for a second layer
        conv = torch.compile(conv)

    def run() -> list[Any]:
        y = conv(*inputs)
        return [y.detach(), *torch.autograd.grad(y, inputs, dy)]

    if compiled:
        run()  # so that the memory of the compiler is not counted
    return run, check(layer)


def prepare_jax(layer: Layer, threads: int) -> Prepared:
    import jax

    _, _, _, _, size, stride = layer
    pad = [(size // 2, size // 2)] * 2

    def conv(x: Any, w: Any, b: Any) -> Any:
        return b + jax.lax.conv_general_dilated(
            x, w, (stride, stride), pad, dimension_numbers=("NHWC", "OIHW", "NHWC")
        )

    @jax.jit
    def both_passes(x: Any, w: Any, b: Any, dy: Any) -> Any:
        y, backward = jax.vjp(conv, x, w, b)
        return y, *backward(dy)

    x, w, b, dy = arrays(layer)
    inputs = [jax.device_put(a) for a in (x.transpose(0, 2, 3, 1), w, b, dy.transpose(0, 2, 3, 1))]
    compiled = both_passes.lower(*inputs).compile()
    error = check(layer)

    def run() -> Any:
        return jax.block_until_ready(compiled(*inputs))

    def error_of_maps(results: Any) -> float:
        y, dx, dw, db = map(np.asarray, results)
        return error([y.transpose(0, 3, 1, 2), dx.transpose(0, 3, 1, 2), dw, db])

    return run, error_of_maps


def prepare_limit(layer: Layer, threads: int) -> Prepared:
    """One product with as many multiplications as y, dx and dw."""
    _, c, _, _, size, _ = layer
    return bench.sgemm(3 * arrays(layer)[3].size * c * size**2, threads)


OURS = "numpy_se"
LIMIT = "limit"
NUMPY_SE = Contender(OURS, prepare_numpy_se, blas_threads=1)
TORCH = bench.in_torch(prepare_torch)
LIMITS = [Contender(LIMIT, prepare_limit, blas_threads=1)]
CONTENDERS = [
    NUMPY_SE,
    Contender("textbook NumPy", prepare_textbook),
    *TORCH,
    Contender("JAX jit", prepare_jax, "jax"),
    *LIMITS,
]
COMPILED = bench.in_torch(prepare_torch, compiled=True)


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Time a convolution beside other people's.")
    layers = QUICK if options.quick else LAYERS
    contenders = list(CONTENDERS)
    if not options.quick:
        contenders += [c for ours in (NUMPY_SE, *LIMITS) for c in bench.with_avx512(ours)]
        contenders += [*COMPILED, *map(bench.tuned, [NUMPY_SE, *TORCH])]
    runs = []
    for threads in options.threads:
        results = bench.compare(contenders, layers, threads, options.rounds, TOLERANCE, QUICK[0])
        results = [bench.faster(times) for times in results]
        labels = [f"{n}, {c}, {side} -> {f}, {k}x{k} / {s}" for n, c, side, f, k, s in layers]
        report.print_ratios("N, C, H -> F, kernel / stride", labels, results, OURS, LIMIT, threads)
        runs.append(Run(threads, layers, results))
    report.finish(runs, options.json)
    if options.figure:
        title = "A convolution, forward and backward"
        note = "dots: the layers; diamond: geometric mean; limit: sgemm, as many multiplications"
        chart.ratios(runs, OURS, LIMIT, title, note, options.figure)


if __name__ == "__main__":
    main()
