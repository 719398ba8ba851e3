"""What the chapters share: the quick mode, the look of figures, where they go, and intervals."""

from __future__ import annotations

import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib import pyplot as plt
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure
from threadpoolctl import threadpool_info

from numpy_se.files import write_text

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
RUNS = HERE / "runs"  # results of sweeps, a file for each run
RESULTS = HERE / "results"  # results of long studies, a file for each chapter
# ``--quick`` or NUMPY_SE_QUICK=1: fewer and smaller runs, to see that a chapter works.
QUICK = "--quick" in sys.argv[1:] or os.environ.get("NUMPY_SE_QUICK", "0") != "0"
# ``--long``: make the kept results of a chapter anew.
LONG = "--long" in sys.argv[1:]

T95 = [12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26]  # Student's t for 2 to 10 runs

if QUICK and LONG:
    raise SystemExit("the kept results come from whole runs: leave out --quick, or --long")

plt.style.use(HERE / "course.mplstyle")


def interval(values: npt.ArrayLike) -> tuple[Any, Any]:
    """Give the mean over the runs (first axis), and half the width of its 95 % interval.

    Chapter 9 explains it. Raises ValueError unless there are 2 to 10 runs.
    """
    runs = len(np.asarray(values))
    if not 2 <= runs <= len(T95) + 1:
        raise ValueError(f"interval: values has {runs} runs; the table of t is for 2 to 10")
    half = T95[runs - 2] * np.std(values, axis=0, ddof=1) / np.sqrt(runs)
    return np.mean(values, axis=0), half


def verdict(
    mean: float,
    half: float,
    above: str = "supported",
    below: str = "not supported",
    bar: float = 0.0,
    kept: bool = False,
) -> str:
    """Say on which side of the bar the whole interval lies, if it lies on one.

    Quick mode decides nothing, but where the results are ``kept`` ones of whole runs.
    """
    if QUICK and not kept:
        return "quick: no result"
    return "undecided" if abs(mean - bar) <= half else above if mean > bar else below


def keep(name: str, results: dict[str, Any]) -> None:
    """Write the results of a long study to results/<name>.json, with what made them."""
    made = {
        "command": f"python {HERE.name}/{name}.py --long",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": platform.machine(),
        "blas": ", ".join(sorted({pool.get("architecture", "?") for pool in threadpool_info()})),
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"made": made, **results}, indent=1) + "\n"
    write_text(RESULTS / f"{name}.json", text)


def kept(name: str) -> dict[str, Any]:
    """Read the kept results of a long study."""
    results: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return results


def show(figure: Figure, name: str) -> None:
    """Write ``figure`` to figures/<name>.png, and show it where there is a screen."""
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png")
    print(f"figure: {HERE.name}/{FIGURES.name}/{name}.png")
    if matplotlib.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        plt.show()
