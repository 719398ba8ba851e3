"""What the chapters share: the quick mode, the look of the figures, and where they go."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import matplotlib
from matplotlib import pyplot as plt
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
RUNS = HERE / "runs"  # results of sweeps
# ``--quick`` or NUMPY_SE_QUICK=1: fewer and smaller runs, to see that a chapter works.
QUICK = "--quick" in sys.argv[1:] or os.environ.get("NUMPY_SE_QUICK", "0") != "0"

plt.style.use(HERE / "course.mplstyle")


def show(figure: Figure, name: str) -> None:
    """Write ``figure`` to figures/<name>.png, and show it where there is a screen."""
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png")
    print(f"figure: {FIGURES.name}/{name}.png")
    if matplotlib.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        plt.show()
