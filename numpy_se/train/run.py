"""A run of the command: its settings, its folder, and the files that it leaves there."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import numpy_se
from numpy_se.costs import Cost, count_net
from numpy_se.data import SIGN_NAMES, DataError, Images, load_images, read_npz, read_signs
from numpy_se.figures import class_gates, learning_curves, sample_images
from numpy_se.files import write_atomically
from numpy_se.gates import collect_gates
from numpy_se.nets import Sequential, named_net
from numpy_se.train.checkpoint import (
    CheckpointError,
    State,
    load_about,
    load_state,
    save_arrays,
    save_checkpoint,
)
from numpy_se.train.loop import DEFAULT_OPTIONS, Options, initial_state

DEFAULTS: Mapping[str, Any] = {
    **asdict(DEFAULT_OPTIONS),
    "net": "tiny",
    "ratio": 4.0,
    "dataset": "mnist",
    "data": None,
}


@dataclass(frozen=True)
class Run:
    """What to train on what, from which state, and the folder where the files go."""

    settings: Mapping[str, Any]
    folder: Path
    net: Sequential
    data: Images
    options: Options
    state: State

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint must tell so that the run can go on."""
        data = self.data
        tells = {"data": data.name, "images": len(data.train_images), "sha256": data.sha256}
        return {"settings": dict(self.settings), **tells}

    @property
    def title(self) -> str:
        """The run in a few words: the data, the net and its size."""
        net, ratio = self.settings["net"], self.settings["ratio"]
        costs = count_net(self.net, self.data.shape)
        cost = sum(costs.values(), Cost())
        kind = "without SE" if ratio is None else f"SE with ratio {ratio:g}"
        in_se = f" ({cost.se_parameters:,} in SE)" if cost.se_parameters else ""
        return f"{self.data.name}: net {net}, {kind}, {cost.parameters:,} parameters{in_se}"

    def save(self, state: State) -> None:
        """Write the checkpoint."""
        save_checkpoint(self.folder / "checkpoint.npz", state, self.about)

    def write_results(self, state: State) -> None:
        """Write the parameters and the history."""
        steps_per_epoch = len(state.losses) // len(state.accuracies)
        history = {
            **self.about,
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "numpy_se": numpy_se.__version__,
            },
            "parameters": sum(state.params[name].size for name in self.net.names),
            "test_accuracy": state.accuracies.tolist(),
            "train_loss": state.losses.reshape(-1, steps_per_epoch).mean(axis=1).tolist(),
            "train_loss_of_every_step": state.losses.tolist(),
        }
        text = json.dumps(history, indent=1).encode()
        save_arrays(self.folder / "params.npz", state.params)
        write_atomically(self.folder / "history.json", lambda stream: stream.write(text))

    def draw_figures(self, state: State) -> None:
        """Draw the learning curves, some images, and the gates by class.

        The gates of cued digits are drawn by the sign of the image, which decides them. Raises
        ImportError when matplotlib is absent.
        """
        images, labels, classes = self.data.test_images, self.data.test_labels, self.data.classes
        figures = {
            "learning_curves.png": learning_curves(state.losses, state.accuracies, self.title),
            "images.png": sample_images(images, labels, classes, self.data.name),
        }
        if gates := collect_gates(self.net, state.params, self.data, images):
            if self.settings["dataset"] == "cued":
                labels, classes = read_signs(images), SIGN_NAMES
            tested, labels = np.unique(labels, return_inverse=True)
            tested_classes = [classes[k] for k in tested]
            figures["gates.png"] = class_gates(gates, labels, tested_classes, self.title)
        for name, figure in figures.items():
            write_atomically(self.folder / name, partial(figure.savefig, format="png", dpi=110))


def start_run(settings: Mapping[str, Any], folder: Path | None = None) -> Run:
    """Prepare a fresh run in ``folder``, which must be empty or absent; by default runs/1, 2, ...

    Raises ValueError for unusable settings, CheckpointError for a folder that is in use, DataError.
    """
    with _claimed(folder) as claimed:
        options, data, net = _build(settings)
        settings = {**settings, "epochs": options.epochs_for(len(data.train_images))}
        run = Run(settings, claimed, net, data, options, initial_state(net, data, options))
        run.save(run.state)
        return run


def resume_run(folder: Path, given: Mapping[str, Any]) -> Run:
    """Prepare to go on with the run in ``folder``.

    ``given`` holds settings that the user repeats; apart from the place of the data and the
    workers they must be those of the run. Raises CheckpointError when the checkpoint is damaged or
    of another run, DataError.
    """
    folder = folder.parent if folder.name == "checkpoint.npz" else folder
    path = folder / "checkpoint.npz"
    about = load_about(path)
    settings = about.get("settings")
    if not isinstance(settings, dict) or settings.keys() != DEFAULTS.keys():
        raise CheckpointError(f"{path} was not written by this command; start a fresh run")
    for name, value in given.items():
        if name not in ("data", "workers") and value != settings[name]:
            raise CheckpointError(
                f"{path} is of a run with {_as_option(name, settings[name])}, not with "
                f"{_as_option(name, value)}; leave the option out, or start a fresh run"
            )
    settings |= given
    try:
        options, data, net = _build(settings)
    except TypeError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    run = Run(settings, folder, net, data, options, initial_state(net, data, options))
    for name in ("images", "sha256"):
        if run.about[name] != about.get(name):
            raise CheckpointError(
                f"{path} was trained on other data: {name} is {about.get(name)} there "
                f"and {run.about[name]} here; name the right data with --data"
            )
    return replace(run, state=load_state(path, run.state))


def _build(settings: Mapping[str, Any]) -> tuple[Options, Images, Sequential]:
    options = Options(**{name: settings[name] for name in asdict(DEFAULT_OPTIONS)})
    data = _load(settings["dataset"], settings["data"])
    net = named_net(
        settings["net"], settings["ratio"], len(data.classes), data.shape, input_grad=False
    )
    return options, data, net


def _load(dataset: str, place: str | None) -> Images:
    """Load a data set from its folder, or the one that an .npz file holds."""
    if place is None or Path(place).suffix.lower() != ".npz":
        return load_images(dataset, place)
    if dataset != DEFAULTS["dataset"]:
        raise DataError(f"{place} holds images of its own: leave --dataset {dataset} out")
    return read_npz(place)


def _as_option(name: str, value: Any) -> str:
    return "--no-se" if name == "ratio" and value is None else f"--{name.replace('_', '-')} {value}"


@contextmanager
def _claimed(folder: Path | None) -> Iterator[Path]:
    """Take the folder for this run alone; by default the first of runs/1, runs/2, ... that is free.

    The claim is the file of the checkpoint, still empty. What was made is removed if the run cannot
    start. Raises CheckpointError for a folder in which something stands.
    """
    if folder and folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; name a folder for the results")
    folder, made = _make(folder) if folder else _make_numbered()
    claim = folder / "checkpoint.npz"
    in_use = CheckpointError(f"{folder} is in use; name another folder, or resume the run in it")
    try:
        claim.touch(exist_ok=False)  # of two runs, one succeeds
    except FileExistsError:
        raise in_use from None
    try:
        if len(list(folder.iterdir())) > 1:
            raise in_use
        yield folder
    except BaseException:
        claim.unlink()
        for place in made:
            with suppress(OSError):  # it is not empty
                place.rmdir()
        raise


def _make(folder: Path) -> tuple[Path, list[Path]]:
    """Create the folder, and list what was made for it, the innermost first."""
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return folder, absent


def _make_numbered() -> tuple[Path, list[Path]]:
    """Create the first of runs/1, runs/2, ... that nobody has."""
    number = 1
    while True:
        try:
            (folder := Path("runs", str(number))).mkdir(parents=True)
            return folder, [folder, folder.parent]
        except FileExistsError:
            number += 1
