"""Many runs: call a function with many settings, and keep each result as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.contract import in_short, kind_of
from numpy_se.files import write_text

FORBIDDEN = set('/\\:*?"<>|')  # in names of files, on one system or another
RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{k}" for port in ("com", "lpt") for k in range(10)),
}
LONGEST = 150  # bytes of a name


class SweepError(RuntimeError):
    """A job that cannot be run or failed, or a kept result that is damaged or of other settings."""


def sweep(
    function: Callable[..., Any],
    jobs: Mapping[str, Mapping[str, Any]],
    folder: Path | str,
    executor: Executor,
    *,
    common: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Give ``{name: function(**common, **settings)}`` for all ``jobs``, a dict of settings by name.

    The calls go through any ``concurrent.futures.Executor``: ``loky.get_reusable_executor()`` for
    processes on this machine, ``dask.distributed.Client(...).get_executor()`` for a cluster. Each
    result is written to ``folder``/<name>.json when it is there. So a sweep that was stopped goes
    on with the jobs that are left. Settings and results are what JSON can hold, NumPy scalars too;
    results are given as JSON holds them. ``common`` are arguments of all calls that need not be,
    such as a data set. A cluster gets them once for each worker as
    ``common={"images": client.scatter(images, broadcast=True)}``. Unless told otherwise, dask's
    workers give freed memory back at once, which takes several times as long: see
    ``benchmarks/sweep.py``. With ``progress``, shows a bar (needs tqdm).

    Raises SweepError, before any call, for a name that cannot be the name of a file everywhere, for
    settings that JSON cannot hold, and where ``folder`` has a result of other settings or of a
    function of another name under the name of a job. Raises it in the end when a job failed, or
    gave a result that JSON cannot hold; the results of the others are kept. What else decides the
    results, as ``common`` does, is not kept: another data set wants another folder.
    """
    if not hasattr(executor, "submit"):
        raise TypeError(f"sweep: executor is {in_short(executor)}; it wants one that can submit")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    inner = getattr(function, "func", function)  # of a partial
    title = str(getattr(inner, "__qualname__", type(inner).__name__))
    results: dict[str, Any] = {}
    _check_names(list(jobs))
    for name, settings in jobs.items():
        _check_settings(name, settings, common or {})
        if (path := folder / f"{name}.json").exists():
            results[name] = _load(path, title, settings)
    left = [name for name in jobs if name not in results]
    running = {executor.submit(function, **common or {}, **jobs[name]): name for name in left}
    failed: dict[str, Exception] = {}
    try:
        for future in (
            _shown(as_completed(running), len(left)) if progress else as_completed(running)
        ):
            name = running[future]
            try:
                results[name] = _save(folder / f"{name}.json", title, jobs[name], future.result())
            except Exception as problem:  # the job failed, JSON cannot hold it, or the disk is full
                failed[name] = problem
    finally:
        for future in running:  # after Ctrl-C, those that have not begun
            future.cancel()
    for name, error in failed.items():
        reason = str(error) or type(error).__name__
        raise SweepError(
            f"{len(failed)} of {len(jobs)} jobs failed, {name} by: {reason}"
        ) from error
    return {name: results[name] for name in jobs}


def _check_names(names: Sequence[object]) -> None:
    used: dict[str, str] = {}
    for name in names:
        said = f"a job is named {name!r}"
        if not (isinstance(name, str) and name.isprintable() and 0 < len(name.encode()) <= LONGEST):
            raise SweepError(f"{said}; it wants the name of a file, of up to {LONGEST} bytes")
        if name != name.strip(" .") or FORBIDDEN & set(name):
            wanted = (
                f"it wants no dot or space at its ends, and none of {' '.join(sorted(FORBIDDEN))}"
            )
            raise SweepError(f"{said}; {wanted}")
        if name.partition(".")[0].casefold() in RESERVED:
            raise SweepError(f"{said}, which names a device on some systems")
        if (other := used.setdefault(name.casefold(), name)) != name:
            raise SweepError(f"{said}, and one {other!r}: the same file on some systems")


def _check_settings(name: str, settings: object, common: Mapping[str, Any]) -> None:
    if not isinstance(settings, Mapping):
        raise SweepError(f"the settings of {name} are {in_short(settings)}; they want a dict")
    if both := settings.keys() & common.keys():
        raise SweepError(f"{min(both)} is in common, and in the settings of {name}")
    try:
        _as_json(dict(settings), sort_keys=True)
    except Exception as error:
        raise SweepError(f"the settings of {name} cannot be kept: {error}") from error


def _save(path: Path, title: str, settings: Mapping[str, Any], result: Any) -> Any:
    """Write a result, and give it as JSON holds it."""
    text = _as_json({"function": title, "settings": dict(settings), "result": result})
    write_text(path, text)
    return json.loads(text)["result"]


def _as_json(value: Any, sort_keys: bool = False) -> str:
    return json.dumps(value, indent=1, sort_keys=sort_keys, default=_as_number)


def _as_number(value: object) -> Any:
    """Turn a NumPy scalar into a number of Python."""
    if isinstance(value, np.generic) and not isinstance(number := value.item(), np.generic):
        return number
    raise TypeError(f"JSON cannot hold {kind_of(value)}")


def _load(path: Path, title: str, settings: Mapping[str, Any]) -> Any:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        made_by, there, result = kept["function"], kept["settings"], kept["result"]
        kept_text, text = (_as_json(side, sort_keys=True) for side in (there, dict(settings)))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        reason = "is damaged, or of another version"
        raise SweepError(f"{path} {reason}; remove it to run the job again") from error
    if kept_text != text:  # as texts, NaN is equal to NaN
        raise SweepError(f"{path} has the settings {there}, not {dict(settings)}; remove it")
    if made_by != title:
        raise SweepError(f"{path} is a result of {made_by}, not of {title}; remove it")
    return result


def _shown(items: Iterable[Any], total: int) -> Iterable[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        print("no progress bar, as tqdm is absent: pip install tqdm")
        return items
    bar: Iterable[Any] = tqdm(items, total=total, unit=" runs", disable=None)
    return bar
