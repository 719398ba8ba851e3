"""The check of a function in somebody's file, which may crash, print, exit, lie, or never end."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy_se.checker.case import first_case, from_shapes
from numpy_se.checker.check import gradcheck
from numpy_se.checker.findings import Finding
from numpy_se.checker.judge.guard import DERIVE
from numpy_se.checker.judge.hand_in import HandIn
from numpy_se.checker.judge.process import Process, Unusable, package_folders
from numpy_se.checker.reference import OtherForward, forward_difference
from numpy_se.checker.shapes import Shapes, parse_shapes
from numpy_se.checker.slopes import quiet
from numpy_se.checker.target import WANTED, Target, read_target
from numpy_se.checker.words import PACKAGE, in_short, listed
from numpy_se.contract import check_count

Report = dict[str, Any]
MOST_SECONDS = 1_000_000
KEPT = ("LANG", "LC_ALL", "OPENBLAS_CORETYPE", "PATH", "SYSTEMROOT")  # variables of a hand-in


def check_file(
    target: str,
    shapes: Shapes,
    seed: int = 0,
    timeout: float = 60,
    reference: str | None = None,
    *,
    allow: Collection[str] = (),
    beside: Iterable[str | os.PathLike[str]] = (),
) -> Report:
    """Check what ``target`` names, "FILE:FUNCTION"; give the report as a dict.

    A target may also be "FILE:FORWARD,BACKWARD" (``from_cache``), "FILE:CLASS" or
    "FILE:CLASS(4, 2)" with what its ``__init__`` takes (``from_class``). For a class, ``shapes``
    names the arguments of forward, then the parameters; the gradient of w is left in ``dw``.

    The file is copied into an empty folder, with the files and folders ``beside`` it, and runs
    there in a process of its own, which answers "forward" and "backward" with numbers. The checker,
    the reference and the verdict are in other processes, and nothing that this one says is a
    verdict: a right answer is the only way to an "ok".
    The process may take ``timeout`` seconds, and ends with all that it has started. It may not
    import what computes derivatives by itself: torch, jax, tensorflow, autograd, mxnet, keras and
    numpy_se, unless ``allow`` names it. A backward that is seen to move single entries of its
    arguments, as differences do, is "inconclusive".

    What is not locked: the code runs with the rights of this process. It can use the network and
    files: the solution where it knows the place, on Linux also /proc, with the memory of this
    process. C code is not held back (``ctypes``). For hostile code, use a container.

    The dict is that of ``GradientReport.to_dict``, with the whole report under "text", and under
    "printed" the last lines that the file prints. Where nothing can be checked, the verdict is
    "unusable", the headline says why, and "kind" what kind of reason it is: "file" (it does not
    load, or has no such function), "function" (the forward pass raises, or gives no
    ``y, backward``; shapes that do not fit), "timeout", "exit", or "answer" (it is none).

    Differences are those of the function itself, so a backward that fits a wrong forward pass is
    "ok". ``reference``, a target again, names a function with the right ``y``, that of a file which
    is trusted. Then "gradients" has an entry "y", too. Where the two differ, the verdict is
    "wrong", the kind "forward", and the entry has "arguments" that show it. The gradients are
    still held against differences of the function's own ``y``.

    Raises ValueError and TypeError for ``shapes`` that do not read, a negative ``seed``, a
    ``timeout`` that is none, an unknown name in ``allow``, and a reference that fails.
    """
    plain = _plain(shapes)
    check_count("check_file", "seed", seed, at_least=0)
    if not 0 < timeout <= MOST_SECONDS:
        wanted = f"seconds above 0, up to {MOST_SECONDS}"
        raise ValueError(f"check_file: timeout is {timeout}; it wants {wanted}")
    if unknown := [name for name in allow if name not in DERIVE]:
        raise ValueError(f"check_file: allow has {unknown[0]!r}; it wants some of {listed(DERIVE)}")
    with contextlib.ExitStack() as stack:
        right = stack.enter_context(_reference(reference, plain, timeout)) if reference else None
        report = check_hand_in(
            lambda: [read_target(target)],
            lambda op: _check(op, right, plain, seed),
            shapes,
            timeout,
            allow=allow,
            beside=beside,
        )
    if report["printed"]:
        lines = "\n    ".join(["", *report["printed"].split("\n")])
        report["text"] += f"\n  note: the file printed (last lines):{lines}"
    return report


def check_hand_in(
    targets: Callable[[], Sequence[Target]],
    check: Callable[[HandIn], Report],
    shapes: Shapes,
    timeout: float,
    *,
    allow: Collection[str] = (),
    beside: Iterable[str | os.PathLike[str]] = (),
    maker: str = "",
) -> Report:
    """Give the report that ``check`` makes of a hand-in, or one that says why there is none.

    ``maker`` is the source of a function ``judged``, which makes one operation of what the targets
    name. It runs in the process of the hand-in; without it, there is one target, the operation.
    The report tells under "printed" what the file prints.
    """
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
        variables = {name: os.environ[name] for name in KEPT if name in os.environ}
        variables |= dict.fromkeys(("HOME", "TMPDIR"), folder)
        with _running(Process(folder, package_folders(), variables, timeout)) as process:
            try:
                own = _copied(targets(), beside, Path(folder))
                path = [str(PACKAGE.parent)] if "numpy_se" in allow else []
                job = _job(own, _plain(shapes), path, [*allow], timeout, maker)
                op = HandIn(process, _title(own[0]), job)
                process.phase = "check"
                report = check(op)
            except Unusable as end:
                report = unusable(end.kind, str(end))
            except Exception as error:
                report = unusable(
                    "file" if process.phase == "load" else "function", in_short(error)
                )
    return {**report, "printed": process.printed}


def unusable(kind: str, reason: str) -> Report:
    """The report of a check that cannot be made, or not be decided."""
    verdict = "inconclusive" if kind == "differences" else "unusable"
    headline = f"{verdict}: {reason}"
    empty: Report = {"gradients": {}, "findings": [], "causes": [], "limits": []}
    none: Report = {"checked": 0, "at_kinks": 0, "resolution": {}, "reproduce": ""}
    said = {"verdict": verdict, "kind": kind, "headline": headline, "text": headline}
    return {**said, **empty, **none}


def _plain(shapes: Shapes) -> dict[str, list[int | str]] | str:
    """Shapes as a dict with names, or, where they have none, as text. Both are ready for JSON."""
    terms = parse_shapes(shapes)
    if isinstance(shapes, Mapping) or "=" in "".join(shapes):
        return {name: ["int", *axes] if kind == "int" else [*axes] for name, kind, axes in terms}
    return shapes if isinstance(shapes, str) else shapes[0]


# The processes.


@contextlib.contextmanager
def _running(process: Process) -> Iterator[Process]:
    try:
        yield process
    finally:
        process.close()


@contextlib.contextmanager
def _reference(target: str, shapes: Any, timeout: float) -> Iterator[HandIn]:
    """The teacher's function, in a process where all is allowed; ValueError where it fails."""
    path = [*sys.path, str(PACKAGE.parent)]
    with _running(Process(os.getcwd(), path, os.environ, timeout)) as process:
        try:
            own = read_target(target)
            right = HandIn(process, _title(own), _job([own], shapes, [], None, timeout))
            process.phase = "check"
            with quiet():
                first_case(right, from_shapes(shapes, None, right))
        except (Exception, Unusable) as error:
            reason = str(error) if isinstance(error, Unusable) else in_short(error)
            raise ValueError(f"check_file: the reference cannot be used: {reason}") from error
        yield right


def _job(
    targets: Sequence[Target],
    shapes: Any,
    path: list[str],
    allow: list[str] | None,
    seconds: float,
    maker: str = "",
) -> dict[str, Any]:
    """What a process must know of its file; ``allow`` is None where all is allowed."""
    named = [repr(tuple(target)) for target in targets]
    job = {"targets": named, "shapes": shapes, "path": path, "maker": maker}
    return {**job, "allow": allow, "seconds": seconds}


def _title(target: Target) -> str:
    """How the operation is written."""
    names = ", ".join(target.names)
    return f"from_cache({names})" if target.names[1:] else names


def _copied(
    targets: Sequence[Target], beside: Iterable[str | os.PathLike[str]], folder: Path
) -> list[Target]:
    """Copy a file, and what is to lie beside it, into a folder."""
    file = Path(targets[0].path)
    if not file.is_file() or file.suffix != ".py":
        raise ValueError(f"{targets[0].path!r} is no Python file; {WANTED}")
    for path in (*map(Path, beside), file):
        _copy(path, folder / path.name)
    return [target._replace(path=str(folder / file.name)) for target in targets]


def _copy(path: Path, to: Path) -> None:
    """Copy files and folders, and no links: they lead elsewhere."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path.name!r} is a link, or no file; hand in the file itself")
    if path.is_file():
        shutil.copyfile(path, to)
        return
    to.mkdir()
    for one in path.iterdir():
        _copy(one, to / one.name)


# The verdict.


def _check(op: HandIn, right: HandIn | None, shapes: Any, seed: int) -> Report:
    other = forward_difference(op, right, shapes, seed) if right else None
    found = gradcheck(op, shapes=shapes, seed=seed)
    op.process.phase = "cause"
    report: Report = _finite({**found.to_dict(), "kind": "checked", "text": str(found)})
    if other:
        return _with_y(other, report)
    if right:
        report["gradients"] = {"y": {"state": "right", "causes": []}, **report["gradients"]}
    return report


def _with_y(other: OtherForward, report: Report) -> Report:
    """Put a wrong y in front of what is known of the gradients."""
    y = other.finding
    entry = {"state": "wrong", "causes": [y.code or "unknown"], "arguments": other.arguments}
    cause = [{"id": y.code, "gradients": ["y"], "text": y.text}] if y.code else []
    gradients = report["headline"]
    if report["verdict"] == "ok":
        gradients = "The gradients are those of this y."
    headline = f"{y.text.rstrip('.')}. {gradients}"
    own = report["text"].replace("\n", "\n  ")
    return {
        **report,
        "verdict": "wrong",
        "kind": "forward",
        "headline": headline,
        "text": f"{y.text.rstrip('.')}.\n  the gradients, beside differences of this y:\n  {own}",
        "gradients": {"y": entry, **report["gradients"]},
        "findings": [plain_finding(y), *report["findings"]],
        "causes": [*cause, *report["causes"]],
    }


def plain_finding(y: Finding) -> Report:
    """Give a finding that has no entry, as in a report."""
    what = {"kind": y.kind.value, "subject": y.subject, "text": y.text}
    return {**what, "index": None, "given": None, "expected": None}


def _finite(value: Any) -> Any:
    """JSON has no infinity, and no nan: they become None."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
