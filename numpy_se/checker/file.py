"""The check of a function in somebody's file, which may crash, print, exit, or never end."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy_se.checker import gradcheck
from numpy_se.checker.promises import in_short
from numpy_se.checker.reference import forward_difference
from numpy_se.checker.styles import from_cache, from_class

# The process that checks: it looks for modules where the one that starts it does.
PROCESS = """
import json, sys
path, *job = json.loads(sys.argv[1])
sys.path[:] = path
from numpy_se.checker.file import _write_report
_write_report(*job)
"""
PLAINLY = {"SystemExit": "it calls exit()", "EOFError": "it asks for input, and there is none"}


def check_file(
    target: str,
    shapes: Mapping[str, Any],
    seed: int = 0,
    timeout: float = 60,
    reference: str | None = None,
) -> dict[str, Any]:
    """Check the function that ``target``, "FILE:FUNCTION", names; give the report as a dict.

    The file runs in a process of its own, which is stopped after ``timeout`` seconds, and what it
    prints is not shown. The dict is that of ``GradientReport.to_dict``, with the whole report under
    "text". Where nothing can be checked, the verdict is "unusable", the headline says why, and
    "kind" what kind of reason it is: "file" (it does not load, or has no such function),
    "function" (the forward pass raises, or gives no ``y, backward``; shapes that do not fit),
    "timeout" or "exit".

    Differences are those of the function itself, so a backward that fits a wrong forward pass is
    "ok". ``reference``, "FILE:FUNCTION" again, names a function with the right ``y``: where they
    differ, the verdict is "wrong", the kind "forward", and the gradients are not checked.
    The function runs with the rights of this process: it is stopped, but not locked in.
    """
    with tempfile.TemporaryDirectory() as folder:
        answer, printed = Path(folder) / "report.json", Path(folder) / "printed"
        job = json.dumps([sys.path, str(answer), target, shapes, seed, reference])
        with printed.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", PROCESS, job],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
            try:
                process.wait(timeout)
            except subprocess.TimeoutExpired:
                reason = f"it takes longer than {timeout:g} s: a slow function, or an endless loop"
                return _unusable("timeout", reason)
            finally:
                process.kill()
                process.wait()
        if not answer.exists():
            reason = f"it ends the Python process, with exit status {process.returncode}"
            return _unusable("exit", reason)
        report: dict[str, Any] = json.loads(answer.read_text())
        if lines := printed.read_bytes().count(b"\n"):
            report["text"] += f"\n  note: what the file prints is not shown (lines: {lines})"
        return report


def _write_report(answer: str, *job: Any) -> None:
    """Check, write the report, and end this process, whatever threads the file has started."""
    report = _check(*job)
    with contextlib.suppress(Exception):  # the file may have closed or replaced it
        sys.stdout.flush()
    Path(f"{answer}.part").write_text(json.dumps(report))
    os.replace(f"{answer}.part", answer)
    os._exit(0)


def _check(target: str, shapes: Any, seed: int, reference: str | None) -> dict[str, Any]:
    try:
        op = _load(target, shapes)
        right = _load(reference, shapes) if reference else None
    except (Exception, SystemExit) as error:
        return _unusable("file", _plainly(error))
    try:
        if right and (difference := forward_difference(op, right, shapes, seed)):
            text = f"{difference}\n  the gradients are not checked"
            return _report("wrong", "forward", difference, text)
        found = gradcheck(op, shapes=shapes, seed=seed)
        return {**found.to_dict(), "kind": "checked", "text": str(found)}
    except (Exception, SystemExit) as error:
        return _unusable("function", _plainly(error))


def _plainly(error: BaseException) -> str:
    reason = in_short(error)
    return next((f"{words}: {reason}" for name, words in PLAINLY.items() if name in reason), reason)


def _load(target: str, shapes: dict[str, Any]) -> Any:
    """Import the file, and give what it defines as a function of the contract."""
    path, _, names = target.rpartition(":")
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
    return _report("unusable", kind, headline, headline)


def _report(verdict: str, kind: str, headline: str, text: str) -> dict[str, Any]:
    empty: dict[str, Any] = {"broken": [], "causes": [], "wrong": [], "limits": []}
    return {"verdict": verdict, "kind": kind, "headline": headline, "text": text, **empty}
