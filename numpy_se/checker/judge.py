"""The check of a function in somebody's file, which may crash, print, exit, or never end."""

from __future__ import annotations

import builtins
import contextlib
import json
import math
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from numpy_se.checker.check import gradcheck
from numpy_se.checker.findings import Finding
from numpy_se.checker.reference import forward_difference
from numpy_se.checker.shapes import Shapes, parse_shapes
from numpy_se.checker.slopes import Op
from numpy_se.checker.target import load, op_of, read_target
from numpy_se.checker.words import escaped, in_short
from numpy_se.contract import check_count

# The process that checks: it looks for modules where the one that starts it does.
PROCESS = """
import json, sys
path, *job = json.loads(sys.argv[1])
sys.path[:] = path
from numpy_se.checker.judge import write_report
write_report(*job)
"""
PHASES = {
    "load": "while the file was loaded",
    "reference": "while the reference was loaded",
    "check": "in the forward pass, or while gradients were checked",
    "cause": "while the cause was looked for",
}
VERDICTS = ("ok", "wrong", "inconclusive", "unusable")
MOST_LINES, MOST_PRINTED = 10, 1000  # of what the file prints
NO_INPUT = EOFError("EOF when reading a line")
REPORT, PHASE = "report.json", "phase"  # files of the process that checks

Report = dict[str, Any]


def check_file(
    target: str,
    shapes: Shapes,
    seed: int = 0,
    timeout: float = 60,
    reference: str | None = None,
) -> Report:
    """Check what ``target`` names, "FILE:FUNCTION"; give the report as a dict.

    A target may also be "FILE:FORWARD,BACKWARD" (``from_cache``), "FILE:CLASS" or
    "FILE:CLASS(4, 2)" with what its ``__init__`` takes (``from_class``). For a class, ``shapes``
    names the arguments of forward, then the parameters; the gradient of w is left in ``dw``.

    The file runs in a process of its own, which is stopped after ``timeout`` seconds, with all
    processes that it has started. The dict is that of ``GradientReport.to_dict``, with the whole
    report under "text", and under "printed" the last lines that the file prints. Where nothing can
    be checked, the verdict is "unusable", the headline says why, and "kind" what kind of reason it
    is: "file" (it does not load, or has no such function), "function" (the forward pass raises, or
    gives no ``y, backward``; shapes that do not fit), "timeout" or "exit".

    Differences are those of the function itself, so a backward that fits a wrong forward pass is
    "ok". ``reference``, a target again, names a function with the right ``y``: where they differ,
    the verdict is "wrong", the kind "forward", and the gradients are not checked. The function runs
    with the rights of this process: it is stopped, but not locked in.

    Raises ValueError and TypeError for ``shapes`` that do not read, a negative ``seed``, and a
    ``timeout`` that is not above 0.
    """
    plain = _plain(shapes)
    check_count("check_file", "seed", seed, at_least=0)
    if not timeout > 0:
        raise ValueError(f"check_file: timeout is {timeout}; it wants seconds above 0")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        job = json.dumps([sys.path, folder, target, plain, int(seed), reference])
        status, printed = _run([sys.executable, "-c", PROCESS, job], timeout)
        report = _outcome(Path(folder), status, timeout)
    report["printed"] = printed
    if printed:
        lines = "\n    ".join(["", *printed.split("\n")])
        report["text"] += f"\n  note: the file printed (last lines):{lines}"
    return report


def unusable(kind: str, reason: str) -> Report:
    """The report of a check that cannot be made."""
    headline = f"unusable: {reason}"
    return _report("unusable", kind, headline, headline)


def _report(verdict: str, kind: str, headline: str, text: str) -> Report:
    empty: Report = {"gradients": {}, "findings": [], "causes": [], "limits": []}
    none: Report = {"checked": 0, "at_kinks": 0, "resolution": {}, "reproduce": ""}
    return {"verdict": verdict, "kind": kind, "headline": headline, "text": text, **empty, **none}


def _plain(shapes: Shapes) -> dict[str, list[int | str]] | str:
    """Shapes as a dict with names, or, where they have none, as text. Both are ready for JSON."""
    terms = parse_shapes(shapes)
    if isinstance(shapes, Mapping) or "=" in "".join(shapes):
        return {name: ["int", *axes] if kind == "int" else [*axes] for name, kind, axes in terms}
    return shapes if isinstance(shapes, str) else shapes[0]


# The process that waits.


def _run(command: list[str], timeout: float) -> tuple[int | None, str]:
    """Run a command; give its exit status, None after ``timeout`` seconds, and its last lines."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None
    tail = bytearray()
    reader = threading.Thread(target=_keep_tail, args=(process.stdout, tail), daemon=True)
    reader.start()
    try:
        status: int | None = process.wait(timeout)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        _kill_group(process)
    reader.join(1)  # it lasts only where a process has left the group, and keeps the pipe
    if not reader.is_alive():
        process.stdout.close()
    return status, _last_lines(bytes(tail))


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _keep_tail(pipe: IO[bytes], tail: bytearray) -> None:
    """Read all that is printed, and keep the end: four bytes for each character, at most."""
    with contextlib.suppress(ValueError, OSError):
        while part := os.read(pipe.fileno(), 1 << 16):
            tail += part
            del tail[: -4 * MOST_PRINTED]


def _last_lines(printed: bytes) -> str:
    text = printed.decode(errors="replace").strip("\r\n")
    lines = [escaped(line) for line in re.split(r"\r?\n", text)[-MOST_LINES:]]
    return "\n".join(lines)[-MOST_PRINTED:]


def _outcome(folder: Path, status: int | None, timeout: float) -> Report:
    """The report that the process has left, or why there is none."""
    if (answer := folder / REPORT).exists():
        return _read_report(answer) or unusable("exit", "it damages the report of the check")
    phase = PHASES["load"]
    with contextlib.suppress(OSError, ValueError, KeyError):
        phase = PHASES[(folder / PHASE).read_text(encoding="utf-8")]
    if status is None:
        slow = "a slow function, or an endless loop"
        return unusable("timeout", f"it takes longer than {timeout:g} s, {phase}: {slow}")
    how = f"exit status {status}"
    with contextlib.suppress(ValueError):
        how = signal.Signals(-status).name if status < 0 else how
    return unusable("exit", f"it ends the Python process, with {how}, {phase}")


def _read_report(answer: Path) -> Report | None:
    """Read a report, None where it is none."""
    try:
        report = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(report, dict):
        return None
    wanted = _report("", "", "", "")
    whole = all(isinstance(report.get(key), type(value)) for key, value in wanted.items())
    return report if whole and report["verdict"] in VERDICTS else None


# The process that checks.


def write_report(folder: str, *job: Any) -> None:
    """Check, write the report, and end this process, whatever threads the file has started."""
    report = _check(Path(folder), *job)
    with contextlib.suppress(Exception):  # the file may have closed or replaced it
        sys.stdout.flush()
    part = Path(folder) / f"{REPORT}.part"
    part.write_text(json.dumps(_finite(report)), encoding="utf-8")
    os.replace(part, Path(folder) / REPORT)
    os._exit(0)


def _finite(value: Any) -> Any:
    """JSON has no infinity, and no nan: they become None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check(
    folder: Path,
    target: str,
    shapes: dict[str, list[int | str]] | str,
    seed: int,
    reference: str | None,
) -> Report:
    phase, failed = folder / PHASE, "file"
    builtins.input = _no_input
    try:
        phase.write_text("load")
        own = read_target(target)
        found = load(own)  # first, so that it imports the files beside it, and no others
        right = None
        if reference:
            phase.write_text("reference")
            right = _load_reference(reference, shapes)
            sys.argv[:] = [own.path]
        phase.write_text("check")
        failed = "function"
        op = op_of(found, own, shapes)
        if right and (finding := forward_difference(op, right, shapes, seed)):
            return _other_forward(finding)
        report = gradcheck(op, shapes=shapes, seed=seed)
        phase.write_text("cause")
        return {**report.to_dict(), "kind": "checked", "text": str(report)}
    except BaseException as error:  # also exit()
        return unusable(failed, _plainly(error))


def _load_reference(reference: str, shapes: dict[str, list[int | str]] | str) -> Op:
    try:
        target = read_target(reference)
        return op_of(load(target), target, shapes)
    except Exception as error:
        raise ValueError(f"the reference cannot be used: {in_short(error)}") from error


def _other_forward(finding: Finding) -> Report:
    headline = f"{finding.text.rstrip('.')}."
    report = _report("wrong", "forward", headline, f"{headline}\n  the gradients are not checked")
    what = {"kind": finding.kind.value, "subject": finding.subject, "text": finding.text}
    report["findings"] = [{**what, "index": None, "given": None, "expected": None}]
    if finding.code:
        report["causes"] = [{"id": finding.code, "gradients": ["y"], "text": finding.text}]
    return report


def _plainly(error: BaseException) -> str:
    """Say in one line what was raised; the type tells, not the text."""
    reason = in_short(error)
    if isinstance(error, SystemExit):
        return f"it calls exit(): {reason}"
    if error is NO_INPUT:
        return f"it asks for input, and there is none: {reason}"
    return reason


def _no_input(*prompt: Any) -> str:
    """Stand for ``input`` in this process."""
    raise NO_INPUT
