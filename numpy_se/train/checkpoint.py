"""Save and load the state of a training run: one ``.npz`` file, written atomically, no pickles."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from numpy_se.contract import Array

FORMAT = "numpy_se checkpoint 2"


class CheckpointError(ValueError):
    """A checkpoint that is missing, damaged, or of another run than the one to go on with."""


@dataclass(frozen=True, eq=False)
class State:
    """All that a training run needs to go on.

    ``step`` counts the finished steps. ``losses`` holds the loss of every step of the whole run and
    ``accuracies`` the test accuracy after every epoch, NaN where the run has not been yet.
    ``rule_state`` belongs to the update rule.
    """

    step: int
    params: Mapping[str, Array]
    rule_state: Mapping[str, Array]
    losses: Array
    accuracies: Array


def write_atomically(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let ``write`` fill a file beside ``path``, then move it there: all of it or nothing."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with unfinished.open("wb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays to an ``.npz`` file, atomically. ``numpy.load`` reads it."""
    write_atomically(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def save_checkpoint(path: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write ``state`` and ``about`` (what JSON can hold: the settings and the data of the run)."""
    text = json.dumps({"format": FORMAT, **about})
    save_arrays(path, {"about": np.array(text), **_flat(state)})


def load_checkpoint(path: Path) -> tuple[State, dict[str, Any]]:
    """Read ``state, about`` as saved. Raises CheckpointError when the file is not whole."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        about = json.loads(str(arrays["about"]))
        version = about.pop("format")
        state = State(
            step=int(arrays["step"]),
            params=_below("params/", arrays),
            rule_state=_below("rule_state/", arrays),
            losses=arrays["losses"],
            accuracies=arrays["accuracies"],
        )
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist; give the folder of an earlier run"
        ) from error
    except Exception as error:  # wrong bytes can raise almost anything in zip, npy and JSON
        raise CheckpointError(f"{path} is damaged or no checkpoint; start a fresh run") from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has the format {version!r}; this version reads {FORMAT!r}")
    return state, about


def check_fits(path: Path, state: State, fresh: State) -> None:
    """Refuse a checkpoint that is not of the net and length of a fresh run, or is not filled in."""
    saved, wanted = (
        {k: (a.shape, a.dtype.name) for k, a in _flat(s).items()} for s in (state, fresh)
    )
    for key in [*wanted, *saved]:
        if saved.get(key) != wanted.get(key):
            there, here = (
                " ".join(map(str, side.get(key, ("absent",)))) for side in (saved, wanted)
            )
            raise CheckpointError(
                f"{path} is of another architecture: {key} is {there} there and {here} in this run"
            )
    steps_per_epoch = len(state.losses) // len(state.accuracies)
    for name, values, done in [
        ("losses", state.losses, state.step),
        ("accuracies", state.accuracies, state.step // steps_per_epoch),
    ]:
        if not 0 <= done <= len(values) or not np.isfinite(values[:done]).all():
            raise CheckpointError(f"{path} is damaged: {name} do not reach step {state.step}")


def _flat(state: State) -> dict[str, npt.NDArray[Any]]:
    return {
        "step": np.array(state.step),
        "losses": state.losses,
        "accuracies": state.accuracies,
        **{f"params/{key}": a for key, a in state.params.items()},
        **{f"rule_state/{key}": a for key, a in state.rule_state.items()},
    }


def _below(start: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}
