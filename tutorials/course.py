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
from numpy_se.interrupt import hide_traces_of_ctrl_c

HERE = Path(__file__).parent
FIGURES = HERE / "figures"
RUNS = HERE / "runs"  # results of sweeps, a file for each run
RESULTS = HERE / "results"  # results of long studies, a file for each chapter
FIRST_STUDY = "09_mnist"
CHAPTER = Path(sys.argv[0]).stem if re.match(r"\d\d_\w+\.py$", Path(sys.argv[0]).name) else ""
OPTIONS = sys.argv[1:] if CHAPTER else []  # elsewhere, as in a notebook, they are not ours
# ``--quick`` or NUMPY_SE_QUICK=1: fewer and smaller runs, to see that a chapter works.
QUICK = "--quick" in OPTIONS or os.environ.get("NUMPY_SE_QUICK", "0") != "0"
# ``--long``: make the results of a chapter that are kept. Runs that are in RUNS are not made again.
LONG = "--long" in OPTIONS
# ``--again``: the same study with other seeds, which nobody has looked at either. Its results are
# kept apart, and tell whether the verdicts hold.
AGAIN = "--again" in OPTIONS
FIRST_SEED = 200 if AGAIN else 100

plt.style.use(HERE / "course.mplstyle")


def described(images: Images) -> str:
    """Say which images these are and how many, and not in which folder they lie."""
    return f"{images.name}, {len(images.train_images):,} + {len(images.test_images):,} images"


def keep(name: str, results: dict[str, Any]) -> None:
    """Write the results of a long study to results/<name>.json, with what made them.

    Those of the same study with other seeds go to results/again.
    """
    made = {
        "command": command(name),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "processor": platform.machine(),
    }
    text = json.dumps({"made": made, **results}, indent=1, allow_nan=False)
    numbers = r"\[[\s\d.,eE+-]+\]"  # each list of them in a line
    text = re.sub(numbers, lambda found: " ".join(found[0].split()), text)
    file = kept_in(name)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, text + "\n")


def kept(name: str, again: bool = AGAIN) -> dict[str, Any]:
    """Read the kept results of a long study, or of the same ``again`` with other seeds.

    Raises ValueError where the file is damaged, or was made by another command, and
    FileNotFoundError where there is none.
    """
    file = kept_in(name, again)
    try:
        results: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        made = results["made"]["command"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} has no results of a chapter: {error!r}") from error
    if made != command(name, again):
        raise ValueError(f"{file} was made by `{made}`, and not by `{command(name, again)}`")
    return results


def command(name: str, again: bool = AGAIN) -> str:
    """Give the command that makes the results of a long study."""
    return f"python tutorials/{name}.py --long" + " --again" * again


def kept_in(name: str, again: bool = AGAIN) -> Path:
    """Say where the results of a long study are kept."""
    return RESULTS / ("again" if again else "") / f"{name}.json"


def show(figure: Figure, name: str) -> None:
    """Write ``figure`` to figures/<name>.png, and show it where there is a screen.

    That of a study with other seeds goes to figures/again.
    """
    name = "again/" * AGAIN + f"{name}.png"
    file = FIGURES / name
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file)
    print(f"figure: {HERE.name}/{FIGURES.name}/{name}")
    if matplotlib.get_backend().lower() in backend_registry.list_builtin(BackendFilter.INTERACTIVE):
        plt.show()


if CHAPTER:
    hide_traces_of_ctrl_c()
if unknown := ", ".join(sorted(set(OPTIONS) - {"--quick", "--long", "--again"})):
    raise SystemExit(f"a chapter has the options --quick, --long and --again, and not {unknown}")
if QUICK and LONG:
    raise SystemExit("--long makes whole runs: leave it out, or --quick and NUMPY_SE_QUICK")
if (LONG or AGAIN) and CHAPTER < FIRST_STUDY:
    raise SystemExit(f"{CHAPTER} has no long study; {FIRST_STUDY} is the first chapter with one")
if AGAIN and not LONG and not kept_in(CHAPTER).exists():
    raise SystemExit(f"there are no results with other seeds; `{command(CHAPTER)}` makes them")
