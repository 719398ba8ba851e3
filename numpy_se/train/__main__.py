"""The command ``python -m numpy_se.train``."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from numpy_se.blas import kernel_hint
from numpy_se.data import DATASET_NAMES
from numpy_se.train.loop import DivergedError, train
from numpy_se.train.run import DEFAULTS, resume_run, start_run


def main(argv: Sequence[str] | None = None) -> int:
    """Train a net; return 0, or 1 after an error and 130 after Ctrl-C."""
    given = vars(_parser().parse_args(argv))
    out, resume = given.pop("out", None), given.pop("resume", None)
    run = None
    try:
        run = resume_run(resume, given) if resume else start_run({**DEFAULTS, **given}, out)
        print(f"data: {run.data}")
        print(run.title)
        if run.state.step == len(run.state.losses):
            print("the run is finished: nothing is left to train")
        elif hint := kernel_hint():
            print(f"speed: {hint}")
        state = train(run.net, run.data, run.options, state=run.state, save=run.save)
        run.write_results(state)
        try:
            run.draw_figures(state)
        except ImportError:
            print("no figures, as matplotlib is absent: pip install matplotlib")
        except Exception as error:  # matplotlib's own settings and fonts can fail in many ways
            print(f"no figures, as matplotlib failed: {error}")
        print(f"final test accuracy {100 * state.accuracies[-1]:.2f} % on {run.data.name}")
        chance = np.bincount(run.data.test_labels).max() / len(run.data.test_labels)
        if state.accuracies[-1] < chance + 0.1 * (1 - chance):
            print(
                f"the net has not learned (one answer for all is right in {100 * chance:.0f} %): "
                "lower --lr, or train longer"
            )
        if (run.folder / "gates.png").exists():
            print(f"next: open {run.folder / 'gates.png'}; tutorials/README.md tells what it shows")
        print(f"written to {run.folder}: {', '.join(sorted(p.name for p in run.folder.iterdir()))}")
    except KeyboardInterrupt:
        how = ""
        if run:
            resume_command = ["python", "-m", "numpy_se.train", "--resume", str(run.folder)]
            how = f"; go on with: {shlex.join(resume_command)}"
        print(f"\ninterrupted{how}", file=sys.stderr)
        return 130
    except (ValueError, OSError, MemoryError, DivergedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m numpy_se.train",
        description="Train a small conv net with SE blocks on small images.",
        argument_default=argparse.SUPPRESS,
    )
    parser.add_argument("--net", help="tiny, or a residual net: resnet8, resnet14, ... (tiny)")
    net = parser.add_mutually_exclusive_group()
    net.add_argument("--ratio", type=float, help="reduction ratio of the SE blocks (4)")
    net.add_argument(
        "--no-se", dest="ratio", action="store_const", const=None, help="the same net without SE"
    )
    parser.add_argument("--epochs", type=int, help="passes over the data (5, more on small data)")
    parser.add_argument("--batch-size", type=int, help=f"images a step ({DEFAULTS['batch_size']})")
    parser.add_argument("--lr", type=float, help=f"peak learning rate ({DEFAULTS['lr']})")
    parser.add_argument("--seed", type=int, help="seed of the weights and the image order (0)")
    parser.add_argument("--workers", type=int, help="threads that share the work (1)")
    parser.add_argument("--dataset", choices=DATASET_NAMES, help="which images (mnist)")
    parser.add_argument(
        "--data", metavar="PATH", help="folder of the files of the data set, or your own .npz file"
    )
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--out", type=Path, metavar="FOLDER", help="where results go (runs/1, ...)")
    place.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the run there")
    return parser


if __name__ == "__main__":
    sys.exit(main())
