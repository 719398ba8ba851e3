"""Many runs: call a function with many settings, and keep each result as soon as it is there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import Any

from numpy_se.train.checkpoint import write_atomically


class SweepError(RuntimeError):
    """A job that failed, or a result in the folder that is damaged or of other settings."""


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
    on with the jobs that are left. Settings and results are what JSON can hold. ``common`` are
    arguments of all calls that need not be, such as a data set. A cluster gets them once for each
    worker as ``common={"images": client.scatter(images, broadcast=True)}``. With ``progress``,
    shows a bar (needs tqdm).

    Raises SweepError where ``folder`` has a result of other settings under the name of a job, and
    when a job fails; the results of the others are kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for name, settings in jobs.items():
        if (path := folder / f"{name}.json").exists():
            results[name] = _load(path, settings)
    left = [name for name in jobs if name not in results]
    running = {executor.submit(function, **common or {}, **jobs[name]): name for name in left}
    failed: dict[str, BaseException] = {}
    try:
        for future in (
            _shown(as_completed(running), len(left)) if progress else as_completed(running)
        ):
            name = running[future]
            if error := future.exception():
                failed[name] = error
                continue
            results[name] = future.result()
            _save(folder / f"{name}.json", jobs[name], results[name])
    finally:
        for future in running:  # after Ctrl-C, those that have not begun
            future.cancel()
    for name, error in failed.items():
        raise SweepError(f"{len(failed)} of {len(jobs)} jobs failed, {name} by: {error}") from error
    return {name: results[name] for name in jobs}


def _save(path: Path, settings: Mapping[str, Any], result: Any) -> None:
    text = json.dumps({"settings": dict(settings), "result": result}, indent=1)
    write_atomically(path, lambda stream: stream.write(text.encode()))


def _load(path: Path, settings: Mapping[str, Any]) -> Any:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        there, result = kept["settings"], kept["result"]
    except (ValueError, KeyError, TypeError) as error:
        raise SweepError(f"{path} is damaged; remove it to run the job again") from error
    if there != json.loads(json.dumps(dict(settings))):
        raise SweepError(f"{path} has the settings {there}, not {dict(settings)}; remove it")
    return result


def _shown(items: Iterable[Any], total: int) -> Iterable[Any]:
    try:
        from tqdm import tqdm
    except ImportError:
        print("no progress bar, as tqdm is absent: pip install tqdm")
        return items
    bar: Iterable[Any] = tqdm(items, total=total, unit=" runs", disable=None)
    return bar
