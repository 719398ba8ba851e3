"""The check of an answer, in a process of its own for a file; and which mistakes were made."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.checker import gradcheck
from numpy_se.checker.adapt import Op
from numpy_se.checker.case import from_shapes
from numpy_se.checker.findings import Kind
from numpy_se.checker.judge import check_hand_in
from numpy_se.checker.look import influences
from numpy_se.checker.reference import forward_difference
from numpy_se.checker.run import as_tuple, copies, float_names, is_float
from numpy_se.checker.slopes import STEP, measure, quiet, unit_directions
from numpy_se.exercises.answer import Answer, targets_in
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.mistake import Mistake

Report = dict[str, Any]
PROMISES = (Kind.CHANGES, Kind.SHARES, Kind.STATE, Kind.ANOTHER_Y)  # besides right numbers


def judge(exercise: Exercise, op: Op, seed: int = 0) -> Report:
    """Check an operation as the answer to an exercise; give the report as a dict.

    It has what a report of ``check_file`` has, without "text" and "printed", and where y is wrong,
    under "known", whether it is a known mistake and depends on all that it should. What the forward
    pass raises comes through.
    """
    shapes, op = exercise.shapes, Answer(exercise, op)
    with exercise.taught():
        other = None if exercise.free else forward_difference(op, exercise.op, shapes, seed)
        report = gradcheck(op, shapes=shapes, seed=seed).to_dict()
        if broken := [one for one in report["findings"] if one["kind"] in PROMISES]:
            op, before = _protected(op), report  # a check ends where a promise is broken
            report = gradcheck(op, shapes=shapes, seed=seed).to_dict()
            report = {
                **report,
                "verdict": "wrong",
                "findings": [*broken, *(f for f in report["findings"] if f not in broken)],
                "causes": [
                    *(c for c in before["causes"] if c["id"].startswith("state.")),
                    *report["causes"],
                ],
            }
        if not exercise.free:
            right = _measured(op) if other else exercise.op
            report = _with_the_rest(exercise, op, right, report, seed)
    if exercise.maker:
        report["reproduce"] = ""  # a student cannot call what is made of the answer
    if other is None:
        return {**report, "kind": "checked"}
    y = other.finding
    said = {"kind": y.kind.value, "subject": "y", "text": y.text, "index": None}
    cause = [{"id": y.code, "gradients": ["y"], "text": y.text}] if y.code else []
    return {
        **report,
        "known": bool(y.code) and not _idle(exercise, op, seed),
        "verdict": "wrong",
        "kind": "forward",
        "findings": [said, *report["findings"]],
        "causes": [*cause, *report["causes"]],
    }


def _idle(exercise: Exercise, op: Op, seed: int) -> list[str]:
    """The arguments on which y does not depend, though that of the solution does."""
    rng = np.random.default_rng(seed)
    with quiet():
        args = from_shapes(exercise.shapes, None, exercise.op).draw(rng)
        own, wanted = (list(influences(one, copies(args), rng)) for one in (op, exercise.op))
    names = float_names(tuple(exercise.shapes), args)
    pairs = zip(names, own, wanted, strict=True)
    return [name for name, moves, should in pairs if should and not moves]


def _with_the_rest(exercise: Exercise, op: Op, right: Op, report: Report, seed: int) -> Report:
    """Judge the gradients that are not wrong again, beside right ones.

    A check ends where something is wrong, and what is right up to there may be wrong at a kink or
    at another size.
    """
    wrong = {name for name, one in report["gradients"].items() if one["state"] == "wrong"}
    subjects = {one["subject"] for one in report["findings"] if one["kind"] not in PROMISES}
    if not wrong or wrong.issuperset(report["gradients"]) or not wrong.issuperset(subjects):
        return report
    mended = _mended(exercise, op, right, wrong)
    found = gradcheck(mended, shapes=exercise.shapes, seed=seed)
    rest = replace(found, find_smallest=dict).to_dict()  # the first report has such an input
    states = {name: one for name, one in rest["gradients"].items() if name not in wrong}
    return {
        **report,
        "gradients": report["gradients"] | states,
        "findings": [*report["findings"], *(f for f in rest["findings"] if f["subject"] in states)],
        "causes": [
            *report["causes"],
            *(c for c in rest["causes"] if states.keys() & c["gradients"]),
        ],
        "limits": rest["limits"],
    }


def _protected(op: Op) -> Op:
    """The operation with copies of all that goes in and comes out, and no state between calls."""

    @wraps(op)
    def protected(*args: Any) -> Any:
        kept = copies(args)

        def backward(dy: Any) -> Any:
            _, own_backward = op(*copies(kept))
            grads = as_tuple(own_backward(*copies((dy,))))
            return tuple(np.array(g) if isinstance(g, np.ndarray) else g for g in grads)

        return np.array(op(*copies(args))[0]), backward

    protected.shares = lambda a, b: False  # type: ignore[attr-defined]
    return protected


def _measured(op: Op) -> Op:
    """The operation with differences as its gradients, for a y that is not that of the solution."""

    def measured(*args: Any) -> Any:
        def backward(dy: Any) -> tuple[Any, ...]:
            grads = []
            for place, arg in enumerate(args):
                if is_float(arg):
                    slopes = measure(op, args, place, unit_directions(arg), STEP)
                    grads.append((slopes.central[:-1] @ np.ravel(dy)).reshape(arg.shape))
            return tuple(grads)

        return None, backward

    return measured


def _mended(exercise: Exercise, op: Op, right: Op, wrong: Collection[str]) -> Op:
    """The operation with some gradients of the right one."""
    places = [k for k, name in enumerate(exercise.gradients) if name in wrong]

    @wraps(op)
    def mended(*args: Any) -> Any:
        y, own_backward = op(*args)

        def backward(dy: Any) -> tuple[Any, ...]:
            grads = list(as_tuple(own_backward(dy)))
            wanted = as_tuple(right(*args)[1](dy))
            for place in places:
                grads[place] = wanted[place]
            return tuple(grads)

        return y, backward

    mended.shares = getattr(op, "shares", np.shares_memory)  # type: ignore[attr-defined]
    return mended


def judge_file(
    exercise: Exercise,
    path: Path,
    timeout: float = 60,
    seed: int = 0,
    beside: Sequence[Path] = (),
) -> Report:
    """Check a student's file, in a process that is stopped after ``timeout`` seconds.

    ``beside`` are other files of the student. This package is out of reach, but where the exercise
    itself gives students something of it.
    """
    return check_hand_in(
        lambda: targets_in(exercise, path.absolute()),
        lambda op: judge(exercise, op, seed),
        exercise.shapes,
        timeout,
        maker=exercise.maker,
        allow=["numpy_se"] if exercise.gives_the_package else [],
        beside=beside,
    )


def recognised(
    exercise: Exercise, causes: Sequence[Report], gaps: Collection[str] = ()
) -> list[Mistake]:
    """The mistakes of which the checker says one of these causes. ``gaps`` are not written yet.

    "It is 2 times too large" is said of many mistakes. So an id is not enough: what is said of the
    solution with the mistake in it must be the same, and about the same gradients.
    """
    said = _said(causes, gaps)
    return [
        mistake
        for mistake in exercise.mistakes
        if any(mistake.id == code for code, *_ in said)
        if any(
            mistake.id == code and (code, *rest) in said
            for code, *rest in _said(report_of(exercise, mistake)["causes"], gaps)
        )
    ]


def _said(causes: Sequence[Report], gaps: Collection[str]) -> set[tuple[Any, ...]]:
    return {(c["id"], c["text"], frozenset(c["gradients"]).difference(gaps)) for c in causes}


@cache
def report_of(exercise: Exercise, mistake: Mistake) -> Report:
    """The report of the solution with a mistake in it."""
    return judge(exercise, exercise.spoiled(mistake))
