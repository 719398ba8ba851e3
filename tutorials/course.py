"""What the chapters share: the quick mode, the look of figures, and kept results."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.backends import BackendFilter, backend_registry
from matplotlib.figure import Figure

from numpy_se.data import Images
from numpy_se.files import write_text

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
RUNS = HERE / "runs"  # results of sweeps, a file for each run
RESULTS = HERE / "results"  # results of long studies, a file for each chapter
# ``--quick`` or NUMPY_SE_QUICK=1: fewer and smaller runs, to see that a chapter works.
QUICK = "--quick" in sys.argv[1:] or os.environ.get("NUMPY_SE_QUICK", "0") != "0"
# ``--long``: make the kept results of a chapter anew.
LONG = "--long" in sys.argv[1:]
# ``--again``: the same study with other seeds, which nobody has looked at either. Its results are
# kept apart, and tell whether the verdicts hold.
AGAIN = "--again" in sys.argv[1:]
FIRST_SEED = 200 if AGAIN else 100

if QUICK and LONG:
    raise SystemExit("the kept results come from whole runs: leave out --quick, or --long")

plt.style.use(HERE / "course.mplstyle")


def described(images: Images) -> str:
    """Say which images these are and how many, and not in which folder they lie."""
    return f"{images.name}, {len(images.train_images):,} + {len(images.test_images):,} images"


def keep(name: str, results: dict[str, Any]) -> None:
    """Write the results of a long study to results/<name>.json, with what made them.

    Those of the same study with other seeds go to results/again.
    """
    made = {
        "command": f"python {HERE.name}/{name}.py --long" + " --again" * AGAIN,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": platform.machine(),
    }
    text = json.dumps({"made": made, **results}, indent=1)
    innermost = r"\[[^\[\]{}]+\]"  # lists of numbers: each in a line
    text = re.sub(innermost, lambda numbers: " ".join(numbers[0].split()), text)
    file = kept_in(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text + "\n")


def kept(name: str, again: bool = AGAIN) -> dict[str, Any]:
    """Read the kept results of a long study, or of the same ``again`` with other seeds."""
    results: dict[str, Any] = json.loads(kept_in(name, again).read_text(encoding="utf-8"))
    return results


def kept_in(name: str, again: bool = AGAIN) -> Path:
    """Say where the results of a long study are kept."""
    return RESULTS / ("again" if again else "") / f"{name}.json"


def show(figure: Figure, name: str) -> None:
    """Write ``figure`` to figures/<name>.png, and show it where there is a screen."""
    FIGURES.mkdir(exist_ok=True)
    figure.savefig(FIGURES / f"{name}.png")
    print(f"figure: {HERE.name}/{FIGURES.name}/{name}.png")
    if matplotlib.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        plt.show()
