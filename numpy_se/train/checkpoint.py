"""Save and load the state of a training run: one ``.npz`` file, written atomically, no pickles.

What is loaded is not trusted. The headers of the arrays are compared with those of a fresh run
before any data is read, and a SHA-256 must be that of the settings and the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from numpy_se.contract import Array
from numpy_se.files import write_atomically

FORMAT = "numpy_se checkpoint 3"
LONGEST = 2**20  # bytes of the text about a run

Header: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]


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


def save_arrays(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write arrays to an ``.npz`` file, atomically. ``numpy.load`` reads it."""
    write_atomically(path, lambda stream: np.savez(stream, **arrays))  # type: ignore[arg-type]


def save_checkpoint(path: Path, state: State, about: Mapping[str, Any]) -> None:
    """Write ``state`` and ``about`` (what JSON can hold: the settings and the data of the run)."""
    arrays = _flat(state)
    text = json.dumps({"format": FORMAT, "digest": _digest(about, arrays), **about})
    save_arrays(path, {"about": np.array(text), **arrays})


def load_about(path: Path) -> dict[str, Any]:
    """Read ``about`` as saved, and nothing else. Raises CheckpointError when it is not whole."""
    with _open(path) as file:
        return _about(path, file)[0]


def load_state(path: Path, fresh: State) -> State:
    """Read the state as saved, in a run that begins with the state ``fresh``.

    Raises CheckpointError when the file is not whole, when it is not of the net and length of this
    run, and when it is not filled in.
    """
    with _open(path) as file:
        about, digest = _about(path, file)
        wanted = {key: (a.shape, a.dtype) for key, a in _flat(fresh).items()}
        _check_headers(path, _headers(file), wanted)
        arrays = {key: _read(file, key) for key in wanted}
        if _digest(about, arrays) != digest:
            raise ValueError("the data or the settings were changed")
    state = State(
        step=int(arrays["step"]),
        params=_below("params/", arrays),
        rule_state=_below("rule_state/", arrays),
        losses=arrays["losses"],
        accuracies=arrays["accuracies"],
    )
    _check_values(path, state)
    return state


@contextmanager
def _open(path: Path) -> Iterator[ZipFile]:
    try:
        with ZipFile(path) as file:
            yield file
    except CheckpointError:
        raise
    except FileNotFoundError as error:
        raise CheckpointError(
            f"{path} does not exist; give the folder of an earlier run"
        ) from error
    except Exception as error:  # wrong bytes can raise almost anything in zip, npy and JSON
        raise CheckpointError(f"{path} is damaged or no checkpoint; start a fresh run") from error


def _about(path: Path, file: ZipFile) -> tuple[dict[str, Any], str]:
    """Read what was saved beside the state, and the digest."""
    shape, dtype = _header(file, "about.npy")
    if shape or dtype.kind != "U" or dtype.itemsize > LONGEST:
        raise ValueError("this is no text about a run")
    about = json.loads(str(_read(file, "about")))
    version, digest = about.pop("format"), about.pop("digest", "")
    if version != FORMAT:
        raise CheckpointError(f"{path} has the format {version!r}; this version reads {FORMAT!r}")
    return about, digest


def _read(file: ZipFile, key: str) -> npt.NDArray[Any]:
    with file.open(f"{key}.npy") as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _header(file: ZipFile, name: str) -> Header:
    """Read the shape and the dtype of an array, and not its data."""
    with file.open(name) as stream:
        first = np.lib.format.read_magic(stream) == (1, 0)
        read = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def _headers(file: ZipFile) -> dict[str, Header]:
    headers = {name.removesuffix(".npy"): _header(file, name) for name in file.namelist()}
    del headers["about"]
    return headers


def _check_headers(path: Path, saved: Mapping[str, Header], wanted: Mapping[str, Header]) -> None:
    for key in [*wanted, *saved]:
        if saved.get(key) != wanted.get(key):
            there, here = (
                " ".join(map(str, side.get(key, ("absent",)))) for side in (saved, wanted)
            )
            raise CheckpointError(
                f"{path} is of another architecture: {key} is {there} there and {here} in this run"
            )


def _check_values(path: Path, state: State) -> None:
    """Refuse a state that is not filled in as far as its step says."""
    steps_per_epoch = len(state.losses) // len(state.accuracies)
    for name, values, done in [
        ("losses", state.losses, state.step),
        ("accuracies", state.accuracies, state.step // steps_per_epoch),
    ]:
        if not 0 <= done <= len(values) or not np.isfinite(values[:done]).all():
            raise CheckpointError(f"{path} is damaged: {name} do not reach step {state.step}")
    for key, a in _flat(state).items():
        if "/" in key and not np.isfinite(a).all():
            raise CheckpointError(f"{path} is damaged: {key} has entries that are not finite")


def _digest(about: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> str:
    """Compute the SHA-256 of the settings and of the data of all arrays, by their names."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for key in sorted(arrays):
        digest.update(key.encode() + arrays[key].tobytes())
    return digest.hexdigest()


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
