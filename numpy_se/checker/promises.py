"""What an operation promises besides right numbers: the guards that come before any difference."""

from __future__ import annotations

import contextlib
import sysconfig
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.contract import Array, kind_of, run_op
from numpy_se.checker.slopes import Op

ANOTHER_Y = "the op gives another y when it is called again with the same arguments"


@dataclass(frozen=True)
class Run:
    """One run of an operation at ``args``, with a random upstream gradient ``dy``.

    ``grads`` is what backward gave, one entry for each float argument or another number of them;
    it is empty where backward raised. ``broken`` says which promises were not kept, ``seconds``
    how long the forward pass takes.
    """

    args: tuple[Any, ...]
    y: Array
    dy: Array
    grads: tuple[Any, ...]
    broken: tuple[str, ...]
    seconds: float


def copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Copy the arrays among the arguments, for an operation that may change them."""
    return tuple(a.copy() if isinstance(a, np.ndarray) else a for a in args)


def is_float(a: Any) -> bool:
    """Tell whether an argument has a gradient. Labels, options and None have none."""
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def check_output(y: Any) -> None:
    """Refuse an output that is no array."""
    if not isinstance(y, np.ndarray | float):
        raise TypeError(f"gradcheck: y is {kind_of(y)}; it wants a NumPy array")


def repeats(op: Op, args: tuple[Any, ...], y: Any) -> bool:
    """Tell whether the operation gives ``y`` when it is called again."""
    return _close(np.array(y), op(*args)[0])


def run_backward(op: Op, args: tuple[Any, ...], dy: Array) -> tuple[Any, ...]:
    """Run forward and backward once, and give the gradients as a tuple."""
    y, backward = op(*copies(args))
    given = backward(dy.copy() if isinstance(y, np.ndarray) else np.float64(dy))
    return tuple(given) if isinstance(given, tuple | list) else (given,)


def run(op: Op, names: tuple[str, ...], args: tuple[Any, ...], rng: np.random.Generator) -> Run:
    """Run the operation forward and backward, several times, and note every broken promise.

    Raises TypeError when the operation gives no ``y, backward`` with a float64 ``y``, ValueError
    when ``y`` is not finite, and whatever the forward pass raises.
    """
    own = copies(args)
    start = time.perf_counter()
    y, backward = run_op("gradcheck: op", op, *own)
    seconds = time.perf_counter() - start
    check_output(y)
    if (dtype := np.asarray(y).dtype) != np.float64:
        raise TypeError(f"gradcheck: y is {dtype}; it wants float64, as the arguments are")
    if not np.isfinite(y).all():
        raise ValueError("gradcheck: y is not finite; choose other arguments")
    before, dy = np.array(y), np.asarray(rng.standard_normal(np.shape(y)))
    broken = [f"the op changes {n}" for n, a, b in zip(names, args, own, strict=True) if _new(a, b)]
    broken += [f"y shares memory with {n}" for n, a in zip(names, own, strict=True) if _share(y, a)]
    if not repeats(op, copies(args), before):
        broken.append(ANOTHER_Y)

    floats = [n for n, a in zip(names, args, strict=True) if is_float(a)]
    upstream = dy.copy() if isinstance(y, np.ndarray) else np.float64(dy)
    try:
        given = backward(upstream)
    except Exception as error:
        broken.append(f"backward raises {in_short(error)}")
        return Run(args, before, dy, (), tuple(broken), seconds)
    results = tuple(given) if isinstance(given, tuple | list) else (given,)
    grads = tuple(np.array(g) if isinstance(g, np.ndarray | np.floating) else g for g in results)
    if len(grads) != len(floats):
        what = f"{len(grads)} gradient{'s' * (len(grads) != 1)}"
        if not isinstance(given, tuple | list | np.ndarray | np.floating):
            what = kind_of(given)
        wanted = f"{len(floats)} gradient{'s' * (len(floats) != 1)}, for {', '.join(floats)}"
        broken.append(f"backward gives {what}; it wants {wanted}")
    broken += [
        f"backward changes {n}"
        for n, a, b in [("dy", dy, upstream), ("y", before, y), *zip(names, args, own, strict=True)]
        if _new(a, b) and f"the op changes {n}" not in broken
    ]
    titles = [f"d{n}" for n in floats] if len(grads) == len(floats) else ["a gradient"] * len(grads)
    kept = [("dy", upstream), ("y", y), *zip(names, own, strict=True)]
    for place, (title, g) in enumerate(zip(titles, results, strict=True)):
        others = kept + list(zip(titles[:place], results[:place], strict=True))
        broken += [f"{title} shares memory with {n}" for n, a in others if _share(g, a)]
    broken += _when_repeated(op, backward, args, dy, results, grads)
    return Run(args, before, dy, grads, tuple(broken), seconds)


def _when_repeated(
    op: Op,
    backward: Callable[..., Any],
    args: tuple[Any, ...],
    dy: Array,
    results: tuple[Any, ...],
    first: tuple[Any, ...],
) -> list[str]:
    """Call backward again, at once and behind another forward call. It must give the same."""

    def again(dy: Array) -> tuple[Any, ...]:
        given = backward(dy.copy() if dy.ndim else np.float64(dy))
        return tuple(given) if isinstance(given, tuple | list) else (given,)

    try:
        second = again(dy)
        again(-2 * dy)
        if any(_new(a, b) for a, b in zip(first, results, strict=True)):
            return ["backward writes into the gradients that its first call gave"]
        if not _all_close(first, second):
            doubled = tuple(2 * g if isinstance(g, np.ndarray) else g for g in first)
            return [
                "backward adds to the gradients of its first call"
                if any(
                    _close(a, b) and not _close(a, c)
                    for a, b, c in zip(second, doubled, first, strict=True)
                )
                else "backward gives other gradients when it is called again with the same dy"
            ]
        with contextlib.suppress(Exception):  # it may not take these arguments
            op(*(0.5 * np.flip(a) if is_float(a) else a for a in args))
        if not _all_close(first, again(dy)):
            return ["backward uses what a later forward call has overwritten"]
    except Exception as error:
        return [f"backward, called again, raises {in_short(error)}"]
    return []


def in_short(error: BaseException) -> str:
    """Write an exception in one line, with the last line of a user's file that it passed."""
    theirs = Path(__file__).parent.parent, Path(sysconfig.get_path("stdlib"))
    lines = [
        (frame.lineno, Path(frame.filename))
        for frame in traceback.extract_tb(error.__traceback__)
        if not any(folder in Path(frame.filename).parents for folder in theirs)
        and "site-packages" not in frame.filename
        and Path(frame.filename).is_file()
    ]
    where = f" (line {lines[-1][0]} of {lines[-1][1].name})" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def _new(a: Any, b: Any) -> bool:
    return isinstance(a, np.ndarray) and not np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _share(a: Any, b: Any) -> bool:
    both = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    return both and bool(np.shares_memory(a, b))


def _close(a: Any, b: Any) -> bool:
    """Equal but for the rounding of a sum in another order."""
    if not isinstance(a, np.ndarray) or a.dtype.kind != "f":
        return True
    if a.shape != np.shape(b):
        return False
    scale = np.abs(a[np.isfinite(a)]).max(initial=0)
    return bool(np.isclose(a, b, rtol=0, atol=1e-9 * scale, equal_nan=True).all())


def _all_close(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    return len(a) == len(b) and all(map(_close, a, b))
