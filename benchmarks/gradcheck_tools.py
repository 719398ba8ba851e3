"""Run the bank of wrong backwards (tests/mutants) through gradient checks: ours and others.

    python benchmarks/gradcheck_tools.py [--quick] [--seeds 10] [--json FILE]

The tools are ``torch.autograd.gradcheck``, also with ``fast_mode=True``, and
``jax.test_util.check_grads``, all in float64 and with their default tolerances. A NumPy operation
is wrapped as users of these tools would wrap it: in a ``torch.autograd.Function``, or in a
``jax.custom_vjp`` with ``jax.pure_callback``.

Each mutant of the bank is checked on Gaussian inputs, once for every seed. So is the right
operation, with the same options and the same inputs, to count false alarms. Any exception in a
tool counts as an alarm: a gradient of the wrong shape is an error in most tools. A legal mutant is
no mistake; it is not in the share of what was caught.

``numpy_se.checker`` runs twice: at the same inputs, and with inputs that it draws itself. A tool
that is not installed is left out. Needs NumPy, and torch and jax for the comparison.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import inspect
import io
import json
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import report

import numpy_se as se

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from mutants import Mutant, whole_bank

Op = Callable[..., Any]

SIZES = {"N": 2, "C": 3, "H": 4, "W": 5, "R": 2, "F": 3, "KH": 2, "KW": 3, "K": 3, "I": 3, "O": 4}
ANY_SHAPE = (2, 3, 4)  # for "..."


# The bank and its inputs.


def right_op(mutant: Mutant) -> Op:
    """Give the operation of numpy_se that the mutant is a wrong version of, with its options."""
    op = getattr(se, mutant.of)
    return lambda *args: op(*args, **mutant.options)


def inputs(mutant: Mutant, seed: int) -> list[Any]:
    """Draw the arguments of a mutant: Gaussian arrays, and labels below the number of classes."""
    rng = np.random.default_rng([seed, zlib.crc32(mutant.title.encode())])
    terms = [term.split() for term in mutant.shapes.split(",")]
    args: list[Any] = []
    for name, term in zip(
        inspect.signature(getattr(se, mutant.of)).parameters, terms, strict=False
    ):
        if term[0] == "int":
            classes = args[0].shape[-1]  # the labels belong to the logits before them
            args.append(rng.integers(0, classes, [SIZES[letter] for letter in term[1:]]))
        else:
            shape = ANY_SHAPE if term == ["..."] else tuple(SIZES[letter] for letter in term)
            array = rng.standard_normal(shape)
            args.append(np.abs(array) + 0.125 if name == "variance" else array)
    return args


def as_tuple(grads: Any) -> tuple[Any, ...]:
    """Give the gradients as a tuple, also when there is only one."""
    return grads if isinstance(grads, tuple) else (grads,)


def float_places(args: list[Any]) -> list[int]:
    """Give the positions of the arguments that have a gradient."""
    return [place for place, arg in enumerate(args) if arg.dtype.kind == "f"]


def over_floats(op: Op, args: list[Any]) -> Op:
    """Give the operation as a function of its float arrays alone; the labels are filled in."""
    places = float_places(args)

    def filled(*floats: Any) -> Any:
        full = list(args)
        for place, array in zip(places, floats, strict=True):
            full[place] = array
        return op(*full)

    return filled


# The tools. Each function says whether the tool raises an alarm:
# caught(op, args, shapes, seed) -> bool. The last two are for a tool that draws its own arguments.


def given_caught(op: Op, args: list[Any], shapes: str, seed: int) -> bool:
    """Check with ``numpy_se.checker`` at the same arguments as the other tools."""
    return se.gradcheck(op, *args, seed=seed).verdict == "wrong"


def drawn_caught(op: Op, args: list[Any], shapes: str, seed: int) -> bool:
    """Check with ``numpy_se.checker`` told the shapes: it draws the arguments."""
    return se.gradcheck(op, shapes=shapes, seed=seed).verdict == "wrong"


def torch_caught(op: Op, args: list[Any], shapes: str, seed: int, fast: bool = False) -> bool:
    """Check with ``torch.autograd.gradcheck``."""
    import torch

    places = float_places(args)
    of_floats = over_floats(op, args)

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *tensors: Any) -> Any:
            y, ctx.numpy_backward = of_floats(*(tensor.detach().numpy() for tensor in tensors))
            return torch.from_numpy(np.asarray(y))

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            grads = as_tuple(ctx.numpy_backward(dy.numpy()[()]))  # [()]: a scalar for a loss
            return tuple(g if g is None else torch.from_numpy(np.asarray(g)) for g in grads)

    tensors = tuple(torch.from_numpy(args[place]).requires_grad_() for place in places)
    try:
        return not torch.autograd.gradcheck(
            Wrapped.apply, tensors, raise_exception=False, fast_mode=fast
        )
    except Exception:
        return True


def torch_fast_caught(op: Op, args: list[Any], shapes: str, seed: int) -> bool:
    """Check with ``torch.autograd.gradcheck(..., fast_mode=True)``."""
    return torch_caught(op, args, shapes, seed, fast=True)


def jax_caught(op: Op, args: list[Any], shapes: str, seed: int) -> bool:
    """Check with ``jax.test_util.check_grads``. Arrays from JAX are read-only for the operation."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    floats = [args[place] for place in float_places(args)]
    of_floats = over_floats(op, args)
    shapes = tuple(jax.ShapeDtypeStruct(array.shape, array.dtype) for array in floats)
    y_shape = jax.ShapeDtypeStruct(of_floats(*(a.copy() for a in floats))[0].shape, np.float64)

    def run_forward(*arrays: Any) -> Any:
        return np.asarray(of_floats(*map(np.asarray, arrays))[0])

    def run_backward(dy: Any, *arrays: Any) -> Any:
        _, backward = of_floats(*map(np.asarray, arrays))
        return as_tuple(backward(np.asarray(dy)[()]))

    @jax.custom_vjp
    def wrapped(*arrays: Any) -> Any:
        return jax.pure_callback(run_forward, y_shape, *arrays)

    def forward(*arrays: Any) -> Any:
        return wrapped(*arrays), arrays

    def backward(arrays: Any, dy: Any) -> Any:
        return jax.pure_callback(run_backward, shapes, dy, *arrays)

    wrapped.defvjp(forward, backward)
    try:
        check_grads(wrapped, tuple(floats), order=1, modes=["rev"])
    except Exception:
        return True
    finally:
        jax.clear_caches()  # they hold on to every callback, about 3 MB each
    return False


@dataclass(frozen=True)
class Tool:
    """A row of the table: ``names`` says whether the tool's report names the mistake."""

    title: str
    package: str
    caught: Callable[[Op, list[Any], str, int], bool]
    names: str = "no"


TOOLS = [
    Tool("numpy_se gradcheck(op, x, ...)", "numpy_se", given_caught, names="yes"),
    Tool("numpy_se gradcheck(op, shapes=...)", "numpy_se", drawn_caught, names="yes"),
    Tool("torch gradcheck", "torch", torch_caught),
    Tool("torch gradcheck, fast mode", "torch", torch_fast_caught),
    Tool("jax check_grads", "jax", jax_caught),
]


# The comparison.


@dataclass
class Result:
    """What one tool found. A mutant is in ``missed`` with the number of seeds that missed it."""

    tool: str
    names: str
    runs: int = 0
    caught: int = 0
    clean_runs: int = 0
    false_alarms: int = 0
    legal_runs: int = 0
    legal_alarms: int = 0
    seconds: float = 0.0
    missed: dict[str, int] = field(default_factory=dict)
    alarmed: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep warnings and what the tools print on errors off the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        with np.errstate(all="ignore"):
            yield


def compare(tool: Tool, bank: list[Mutant], seeds: int) -> Result:
    """Run one tool over the whole bank, and over the right operations."""
    result = Result(tool.title, tool.names)
    start = time.perf_counter()
    for mutant in bank:
        for seed in range(seeds):
            with quiet():
                alarm = tool.caught(mutant.op, inputs(mutant, seed), mutant.shapes, seed)
                false_alarm = tool.caught(
                    right_op(mutant), inputs(mutant, seed), mutant.shapes, seed
                )
            if mutant.legal:
                result.legal_runs += 1
                result.legal_alarms += alarm
            else:
                result.runs += 1
                result.caught += alarm
                if not alarm:
                    result.missed[mutant.title] = result.missed.get(mutant.title, 0) + 1
            result.clean_runs += 1
            result.false_alarms += false_alarm
            if false_alarm:
                result.alarmed[mutant.of] = result.alarmed.get(mutant.of, 0) + 1
    result.seconds = time.perf_counter() - start
    return result


def print_table(results: list[Result]) -> None:
    """Print one row for each tool."""
    head = ("tool", "caught", "false alarms", "names the mistake", "seconds")
    rows = [
        (
            result.tool,
            f"{result.caught / result.runs:.1%} ({result.caught}/{result.runs})",
            f"{result.false_alarms}/{result.clean_runs}",
            result.names,
            f"{result.seconds:.0f}",
        )
        for result in results
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, tuple("-" * width for width in widths), *rows):
        print("| " + " | ".join(map(str.ljust, row, widths)) + " |")


def print_missed(result: Result, bank: list[Mutant], seeds: int) -> None:
    """List the mutants that one tool missed, with the share of seeds where it did."""
    print(f"\n{result.tool} misses {len(result.missed)} mutants (seeds missed / seeds):")
    for mutant in bank:
        if count := result.missed.get(mutant.title):
            family = mutant.op.__module__.removeprefix("mutants.")
            note = "   seen only where values tie" if mutant.only_at_ties else ""
            print(f"  {count:3d}/{seeds}  {family}: {mutant.title}{note}")
    for name, count in result.alarmed.items():
        print(f"  false alarms on {name}: {count}")


def main(argv: list[str] | None = None) -> None:
    """Compare the tools, print the table and what each tool misses."""
    parser = argparse.ArgumentParser(description="Run the bank of wrong backwards through tools.")
    parser.add_argument(
        "--seeds", type=report.positive, default=10, help="inputs for each mutant (10)"
    )
    parser.add_argument("--quick", action="store_true", help="one seed, every tenth mutant")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    options = parser.parse_args(argv)
    seeds = 1 if options.quick else options.seeds
    report.check_file(parser, "json", options.json)

    bank = whole_bank()[:: 10 if options.quick else 1]
    wrong = sum(not mutant.legal for mutant in bank)
    print(f"{wrong} wrong backwards and {len(bank) - wrong} legal ones, {seeds} seeds each\n")
    results = []
    for tool in TOOLS:
        if importlib.util.find_spec(tool.package) is None:
            print(f"{tool.title} is left out: {tool.package} is not installed")
        else:
            results.append(compare(tool, bank, seeds))
    if results:
        print_table(results)
    for result in results:
        print_missed(result, bank, seeds)
    if options.json:
        numbers = {
            "mutants": wrong,
            "legal": len(bank) - wrong,
            "seeds": seeds,
            "tools": [asdict(result) for result in results],
        }
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
