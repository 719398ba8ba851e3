"""Time a training step of the tiny SE net beside other people's, in float32.

    python benchmarks/training_step.py [--json FILE] [--figure FILE]

A step is the loss of a batch of 128 digits, the gradients of all parameters, and an update by SGD
with momentum. All contenders compute the same operations, and none the gradient of the images. They
are ``numpy_se``; textbook NumPy, as courses write it; PyTorch eager in both layouts;
``torch.compile``; JAX jit. All use the same cores. The loss and the gradients of each are compared
with float64 before it is timed.

The limit is the time of one matrix product with as many multiplications as the step: the peak of
sgemm in NumPy. ``tuned`` are contenders with glibc's allocator told to keep freed memory. Where the
processor has AVX-512, ``numpy_se`` is also shown with the kernels of OpenBLAS that use it, which
NumPy does not take by itself on AMD processors; ``--help`` lists all options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import bench
import chart
import numpy as np
import report
import textbook
from bench import Contender, Prepared, Run

from numpy_se.nets import Layer, tiny_net
from numpy_se.optim import SGD
from numpy_se.parallel import workers
from numpy_se.train.loop import loss_and_grads

Problem = tuple[int, "float | None"]  # the batch size, and the ratio of the SE blocks or None

PROBLEM: Problem = (128, 4)
QUICK: Problem = (16, 4)
RULE = SGD(momentum=0.9)
LR = 0.0  # the work of an update, and the same parameters in the next round
TOLERANCE = 1e-4  # largest error relative to the largest entry
# Of one image: a product for y, one for dw, and one for dx but in the first layer.
MULTIPLICATIONS = 9 * (2 * 28**2 * 16 + 3 * 14**2 * 16 * 32 + 3 * 7**2 * 32 * 64) + 3 * 576 * 10


def arrays(problem: Problem) -> tuple[dict[str, Any], Any, Any]:
    """Draw parameters, images and labels."""
    batch, ratio = problem
    # Not every seed will do. The comparison fails where an entry lies so close to the kink of a
    # ReLU that float32 and float64 see it on different sides, or where all hidden units of a block
    # are negative for all images and their gradients zero.
    rng = np.random.default_rng(2)
    images = rng.standard_normal((batch, 1, 28, 28), np.float32)
    return tiny_net(ratio).init(rng), images, rng.integers(0, 10, batch)


def check(problem: Problem) -> Callable[[Any], float]:
    """Give the function that compares a loss and gradients with float64."""

    def error(result: Any) -> float:
        params, x, labels = arrays(problem)
        wide = {name: param.astype(np.float64) for name, param in params.items()}
        loss, wanted = textbook.step(wide, x.astype(np.float64), labels)
        errors = [abs(float(result[0]) - loss) / loss]
        for name, want in wanted.items():
            errors.append(np.abs(np.asarray(result[1][name]) - want).max() / np.abs(want).max())
        return float(max(errors))

    return error


def numpy_se_step(net: Layer, params: dict[str, Any], x: Any, labels: Any, threads: int) -> Any:
    """Give the step of a net of this package."""
    trained = {name: params[name] for name in net.names}
    state = RULE.init(trained)
    noise = np.random.default_rng(0)  # the net draws none

    def run() -> Any:
        with workers(threads):
            loss, grads, _ = loss_and_grads(net, params, x, labels, noise)
        RULE.step(trained, grads, state, LR)
        return loss, grads

    return run


def torch_step(
    logits_of: Callable[[Any, Any], Any],
    arrays: tuple[dict[str, Any], Any, Any],
    names: Iterable[str],
    threads: int,
    layout: str,
    compiled: bool,
) -> Callable[[], Any]:
    """Give the step of a net in PyTorch: parameters, images and labels, and the names it trains."""
    import torch

    torch.set_num_threads(threads)
    own, images, classes = arrays
    memory_format = getattr(torch, layout)

    def tensor(array: Any) -> Any:
        t = torch.from_numpy(array.copy())
        return t.contiguous(memory_format=memory_format) if t.ndim == 4 else t

    params = {name: tensor(array) for name, array in own.items()}
    trained = {name: params[name].requires_grad_() for name in names}
    x, labels = tensor(images), torch.from_numpy(classes)
    optimizer = torch.optim.SGD(trained.values(), lr=LR, momentum=RULE.momentum)

    def loss_of(params: Any, x: Any) -> Any:
        return torch.nn.functional.cross_entropy(logits_of(params, x), labels)

    if compiled:
        torch._dynamo.reset()  # otherwise it makes a second, general version for a second problem
        loss_of = torch.compile(loss_of)

    def run() -> Any:
        optimizer.zero_grad()
        loss = loss_of(params, x)
        loss.backward()
        optimizer.step()
        return loss.detach(), {name: own.grad for name, own in trained.items()}

    if compiled:
        run()  # so that the memory of the compiler is not counted
    return run


def prepare_numpy_se(problem: Problem, threads: int) -> Prepared:
    net = tiny_net(problem[1], input_grad=False)
    return numpy_se_step(net, *arrays(problem), threads), check(problem)


def prepare_textbook(problem: Problem, threads: int) -> Prepared:
    params, x, labels = arrays(problem)
    state = RULE.init(params)

    def run() -> Any:
        loss, grads = textbook.step(params, x, labels)
        RULE.step(params, grads, state, LR)
        return loss, grads

    return run, check(problem)


def prepare_torch(
    problem: Problem, threads: int, layout: str = "contiguous_format", compiled: bool = False
) -> Prepared:
    from torch.nn import functional as f

    def logits_of(params: Any, x: Any) -> Any:
        for stage in "123":
            x = f.relu(f.conv2d(x, params[f"conv{stage}.w"], params[f"conv{stage}.b"], padding=1))
            if f"se{stage}.w1" in params:
                z = f.relu(f.linear(x.mean((2, 3)), params[f"se{stage}.w1"]))
                s = f.linear(z, params[f"se{stage}.w2"]).sigmoid()
                x = x * s[:, :, None, None]
            x = f.max_pool2d(x, 2)
        return f.linear(x.flatten(1), params["classify.w"], params["classify.b"])

    drawn = arrays(problem)
    return torch_step(logits_of, drawn, drawn[0], threads, layout, compiled), check(problem)


def prepare_jax(problem: Problem, threads: int) -> Prepared:
    import jax
    from jax import numpy as jnp

    arrays_of_params, images, classes = arrays(problem)

    def loss_of(params: Any, x: Any, labels: Any) -> Any:
        for stage in "123":
            kernel = params[f"conv{stage}.w"].transpose(2, 3, 1, 0)
            x = jax.lax.conv_general_dilated(
                x, kernel, (1, 1), [(1, 1), (1, 1)], dimension_numbers=("NHWC", "HWIO", "NHWC")
            )
            x = jax.nn.relu(x + params[f"conv{stage}.b"])
            if f"se{stage}.w1" in params:
                z = jax.nn.relu(x.mean((1, 2)) @ params[f"se{stage}.w1"].T)
                x = x * jax.nn.sigmoid(z @ params[f"se{stage}.w2"].T)[:, None, None]
            n, h, w, c = x.shape
            x = x[:, : h // 2 * 2, : w // 2 * 2]  # faster than reduce_window
            x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
        flat = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        logits = flat @ params["classify.w"].T + params["classify.b"]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    @jax.jit
    def step(params: Any, velocity: Any, x: Any, labels: Any) -> Any:
        loss, grads = jax.value_and_grad(loss_of)(params, x, labels)
        velocity = {name: RULE.momentum * velocity[name] + grads[name] for name in params}
        return loss, grads, {name: params[name] - LR * velocity[name] for name in params}, velocity

    params = jax.device_put(arrays_of_params)
    velocity = jax.tree.map(jnp.zeros_like, params)
    inputs = params, velocity, *jax.device_put((images.transpose(0, 2, 3, 1), classes))
    compiled = step.lower(*inputs).compile()

    def run() -> Any:
        return jax.block_until_ready(compiled(*inputs))[:2]

    return run, check(problem)


def prepare_limit(problem: Problem, threads: int) -> Prepared:
    """One product with as many multiplications as the step."""
    return bench.sgemm(problem[0] * MULTIPLICATIONS, threads)


OURS = "numpy_se"
LIMIT = "limit"
NUMPY_SE = Contender(OURS, prepare_numpy_se, blas_threads=1)
TORCH = bench.in_torch(prepare_torch)
COMPILED = bench.in_torch(prepare_torch, compiled=True)
JAX = Contender("JAX jit", prepare_jax, "jax")
LIMITS = [Contender(LIMIT, prepare_limit, blas_threads=1)]
OTHERS = [Contender("textbook NumPy", prepare_textbook), *TORCH, JAX]


def main() -> None:
    """Measure, print the tables, write the files."""
    options = report.options("Time a training step of the tiny SE net beside other people's.")
    problem = QUICK if options.quick else PROBLEM
    contenders = [NUMPY_SE, *OTHERS, *LIMITS]
    if not options.quick:
        contenders += [c for ours in (NUMPY_SE, *LIMITS) for c in bench.with_avx512(ours)]
        contenders += [*COMPILED, *map(bench.tuned, [NUMPY_SE, *TORCH])]
    runs = []
    for threads in options.threads:
        results = bench.compare(contenders, [problem], threads, options.rounds, TOLERANCE, QUICK)
        results = [bench.faster(times) for times in results]
        report.print_ratios(
            "net", [f"tiny net, {problem[0]} images"], results, OURS, LIMIT, threads
        )
        runs.append(Run(threads, [problem], results))
    report.finish(runs, options.json)
    if options.figure:
        title = f"A training step of the tiny SE net, batch {problem[0]}"
        note = "limit: sgemm with as many multiplications; tuned: the allocator keeps memory"
        chart.ratios(runs, OURS, LIMIT, title, note, options.figure)


if __name__ == "__main__":
    main()
