"""The check of a function in somebody's file, which may crash, print, exit, or never end."""

from __future__ import annotations

import importlib.util
import inspect
import json
import multiprocessing
import os
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_se.gradcheck import gradcheck
from numpy_se.gradcheck.styles import from_cache, from_class


def check_file(
    target: str, shapes: Mapping[str, Any], seed: int = 0, timeout: float = 60
) -> dict[str, Any]:
    """Check the function that ``target``, "FILE:FUNCTION", names; give the report as a dict.

    The file runs in a process of its own, which is stopped after ``timeout`` seconds, and what it
    prints is not shown. The dict is that of ``GradientReport.to_dict``, with the whole report under
    "text". Where the file cannot be checked, the verdict is "unusable", and the headline says why.
    The function runs with the rights of this process: it is stopped, but not locked in.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(sender, target, shapes, seed), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            return _unusable(f"it takes longer than {timeout:g} s; does a loop never end?")
        report: dict[str, Any] = json.loads(receiver.recv_bytes())
        return report
    except EOFError:
        process.join()
        return _unusable(f"it ends the Python process, with exit status {process.exitcode}")
    finally:
        process.kill()


def _check(sender: Any, target: str, shapes: Any, seed: int) -> None:
    path, _, names = target.rpartition(":")
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            found = gradcheck(_load(path, names, shapes), shapes=shapes, seed=seed)
            report = {**found.to_dict(), "text": str(found)}
        except (Exception, SystemExit) as error:
            report = _unusable(_in_short(error, path))
        sys.stdout.flush()
        printed.seek(0)
        if lines := sum(1 for _ in printed):
            report["text"] += f"\n  what the file prints is not shown ({lines} lines)"
    sender.send_bytes(json.dumps(report).encode())


def _load(path: str, names: str, shapes: dict[str, Any]) -> Any:
    """Import the file, and give what it defines as a function of the contract."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ValueError(f"{path or names!r} is no Python file; write FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(Path(path).parent))
    spec.loader.exec_module(module)
    for name in names.split(","):
        if not callable(getattr(module, name, None)):
            own = ", ".join(n for n, value in vars(module).items() if _defines(module, value))
            raise ValueError(f"{path} has no function {name!r}; it has {own or 'none'}")
    first, *rest = (getattr(module, name) for name in names.split(","))
    if rest:
        return from_cache(first, *rest)
    if inspect.isclass(first):
        return from_class(first, **{name: f"d{name}" for name in list(shapes)[1:]})
    return first


def _defines(module: Any, value: Any) -> bool:
    return callable(value) and getattr(value, "__module__", "") == module.__name__


def _in_short(error: BaseException, path: str) -> str:
    """An exception in one line, with the last line of the user's file that it passed."""
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).name == Path(path).name
    ]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f", line {lines[-1]} of {Path(path).name}" if lines else ""
    return f"{type(error).__name__}: {error}{where}"


def _unusable(reason: str) -> dict[str, Any]:
    headline = f"unusable: {reason}"
    return {"verdict": "unusable", "headline": headline, "text": headline}
