"""The check of a function in somebody's file, which may crash, print, exit, or never end."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_se.gradcheck import gradcheck
from numpy_se.gradcheck.promises import in_short
from numpy_se.gradcheck.styles import from_cache, from_class


def check_file(
    target: str, shapes: Mapping[str, Any], seed: int = 0, timeout: float = 60
) -> dict[str, Any]:
    """Check the function that ``target``, "FILE:FUNCTION", names; give the report as a dict.

    The file runs in a process of its own, which is stopped after ``timeout`` seconds, and what it
    prints is not shown. The dict is that of ``GradientReport.to_dict``, with the whole report under
    "text". Where nothing can be checked, the verdict is "unusable", the headline says why, and
    "kind" what kind of reason it is: "file" (it does not load, or has no such function),
    "function" (the forward pass raises, or gives no ``y, backward``; shapes that do not fit),
    "timeout" or "exit".
    The function runs with the rights of this process: it is stopped, but not locked in.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_check, args=(sender, target, shapes, seed), daemon=True)
    process.start()
    sender.close()
    try:
        if not receiver.poll(timeout):
            reason = f"it takes longer than {timeout:g} s: a slow function, or an endless loop"
            return _unusable("timeout", reason)
        report: dict[str, Any] = json.loads(receiver.recv_bytes())
        return report
    except EOFError:
        process.join()
        reason = f"it ends the Python process, with exit status {process.exitcode}"
        return _unusable("exit", reason)
    finally:
        process.kill()


def _check(sender: Any, target: str, shapes: Any, seed: int) -> None:
    path, _, names = target.rpartition(":")
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 1)
        os.dup2(printed.fileno(), 2)
        try:
            op = _load(path, names, shapes)
        except (Exception, SystemExit) as error:
            report = _unusable("file", in_short(error))
        else:
            try:
                found = gradcheck(op, shapes=shapes, seed=seed)
                report = {**found.to_dict(), "kind": "checked", "text": str(found)}
            except (Exception, SystemExit) as error:
                report = _unusable("function", in_short(error))
        with contextlib.suppress(Exception):  # the file may have closed or replaced it
            sys.stdout.flush()
        printed.seek(0)
        if lines := sum(1 for _ in printed):
            report["text"] += f"\n  note: the file prints {lines} lines, which are not shown"
    sender.send_bytes(json.dumps(report).encode())


def _load(path: str, names: str, shapes: dict[str, Any]) -> Any:
    """Import the file, and give what it defines as a function of the contract."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if not Path(path).is_file() or spec is None or spec.loader is None:
        raise ValueError(f"{path or names!r} is no Python file; write FILE.py:FUNCTION")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(Path(path).parent))  # behind all others, so that nothing is shadowed
    spec.loader.exec_module(module)
    if names.count(",") > 1:
        raise ValueError(f"{names!r} are too many names; write FUNCTION, or FORWARD,BACKWARD")
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


def _unusable(kind: str, reason: str) -> dict[str, Any]:
    headline = f"unusable: {reason}"
    empty: dict[str, Any] = {"broken": [], "causes": [], "wrong": [], "limits": []}
    return {"verdict": "unusable", "kind": kind, "headline": headline, "text": headline, **empty}
