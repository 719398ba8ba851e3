"""The check of an answer, in a process of its own for a file."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from numpy_se.checker import GradientReport, gradcheck
from numpy_se.checker.adapt import Op
from numpy_se.checker.case import from_shapes
from numpy_se.checker.findings import Finding, Kind
from numpy_se.checker.judge import Unusable, check_hand_in, plain_finding, unusable
from numpy_se.checker.look import influences
from numpy_se.checker.reference import forward_difference
from numpy_se.checker.run import as_tuple, copies, float_names, is_float
from numpy_se.checker.slopes import quiet
from numpy_se.exercises.answer import Answer, targets_in
from numpy_se.exercises.exercise import Exercise
from numpy_se.exercises.stand_ins import measured, mended, protected

Report = dict[str, Any]
PROMISES = (Kind.CHANGES, Kind.SHARES, Kind.STATE, Kind.ANOTHER_Y)  # besides right numbers
CHANGED = "state.changed-in-place"
LATE = "the time was over before all was judged"


def judge(exercise: Exercise, op: Op, seed: int = 0) -> Report:
    """Check an operation as the answer to an exercise; give the report as a dict.

    It has what a report of ``check_file`` has, without "text" and "printed". The state of a
    gradient may also be "task": it is that of the solution, though y is another. Where y is wrong,
    a gradient is wrong only if its mistake is known, and "known" tells whether y is a known mistake
    and depends on all that it should. "late" is true where the time was over before all was judged;
    what is wrong is known then. What the forward pass raises comes through.
    """
    return _Check(exercise, op, seed).report()


class _Check:
    """The check of one answer; its steps go from what is most certain to what explains it."""

    def __init__(self, exercise: Exercise, op: Op, seed: int) -> None:
        self.exercise, self.shapes, self.seed = exercise, exercise.shapes, seed
        self.op: Op = Answer(exercise, op)

    def report(self) -> Report:
        exercise = self.exercise
        with exercise.taught():
            other, found, known = None, None, False
            if not exercise.free:
                other = forward_difference(self.op, exercise.op, self.shapes, self.seed)
            try:
                found = gradcheck(self.op, shapes=self.shapes, seed=self.seed)
                report = self.explained(found, measured(self.op) if other else exercise.op)
                if other:
                    report = _beside_the_task(report, self.of_the_task())
                    known = bool(other.finding.code) and not self.idle()
            except Unusable as end:
                if end.kind != "timeout" or not (found or other):
                    raise
                report = self.late(None if other else found)
        if exercise.maker:
            report["reproduce"] = ""  # a student cannot call what is made of the answer
        report = _renamed(report, exercise.words)
        if other is None:
            return {**report, "kind": "checked"}
        return _with_y({**report, "known": known}, other.finding)

    def places(self, names: Collection[str]) -> list[int]:
        return [k for k, name in enumerate(self.exercise.gradients) if name in names]

    def explained(self, found: GradientReport, right: Op) -> Report:
        """Add causes; go on behind a broken promise, and behind gradients that are wrong."""
        op, report = self.op, found.to_dict()
        if broken := list(filter(breaks_promise, report["findings"])):
            op, before = protected(op), report  # a check ends where a promise is broken
            report = gradcheck(op, shapes=self.shapes, seed=self.seed).to_dict()
            state = [c for c in before["causes"] if c["id"].startswith("state.")]
            rest = [f for f in report["findings"] if f not in broken]
            causes = _changed(broken, report) or report["causes"]
            report |= {
                "verdict": "wrong",
                "findings": [*broken, *rest],
                "causes": [*state, *causes],
            }
        if self.exercise.free:
            return report
        report = self.with_the_rest(op, right, report)
        if right is not self.exercise.op:  # y is another, and may have no slope at 0
            return report
        return self.at_zero(op, report)

    def late(self, found: GradientReport | None) -> Report:
        """What is known when the time is over: what is wrong. What seems right is not sure yet."""
        unknown = {title: {"state": "undecided"} for title in self.exercise.gradients}
        report = {**unusable("timeout", LATE), "gradients": unknown}
        if found:
            report = replace(found, find_causes=tuple, find_smallest=dict).to_dict()
            if report["verdict"] != "wrong":
                report["verdict"] = "inconclusive"
            for one in report["gradients"].values():
                one["state"] = "wrong" if one["state"] == "wrong" else "undecided"
        return {**report, "late": True}

    def with_the_rest(self, op: Op, right: Op, report: Report) -> Report:
        """Judge the gradients that are not wrong again, beside right ones.

        A check ends where something is wrong, and what is right up to there may be wrong at a kink
        or at another size.
        """
        wrong = {name for name, one in report["gradients"].items() if one["state"] == "wrong"}
        subjects = {f["subject"] for f in report["findings"] if not breaks_promise(f)}
        if not wrong or wrong.issuperset(report["gradients"]) or not wrong.issuperset(subjects):
            return report
        beside = mended(op, right, self.places(wrong))
        found = gradcheck(beside, shapes=self.shapes, seed=self.seed)
        rest = replace(found, find_smallest=dict).to_dict()  # the first report has such an input
        states = {name: one for name, one in rest["gradients"].items() if name not in wrong}
        more = [f for f in rest["findings"] if f["subject"] in states]
        causes = [c for c in rest["causes"] if states.keys() & c["gradients"]]
        return {
            **report,
            "gradients": report["gradients"] | states,
            "findings": [*report["findings"], *more],
            "causes": [*report["causes"], *causes],
            "limits": rest["limits"],
        }

    def of_the_task(self) -> Report:
        """The report of the solution with the gradients of the answer, for a y that is another."""
        places = range(len(self.exercise.gradients))
        beside = mended(self.exercise.op, protected(self.op), places)
        found = gradcheck(beside, shapes=self.shapes, seed=self.seed)
        return replace(found, find_smallest=dict).to_dict()

    def draw(self) -> tuple[tuple[Any, ...], np.random.Generator]:
        rng = np.random.default_rng(self.seed)
        return from_shapes(self.shapes, None, self.exercise.op).draw(rng), rng

    def idle(self) -> list[str]:
        """The arguments on which y does not depend, though that of the solution does."""
        args, rng = self.draw()
        with quiet():
            own, wanted = (
                list(influences(op, copies(args), rng)) for op in (self.op, self.exercise.op)
            )
        pairs = zip(float_names(tuple(self.shapes), args), own, wanted, strict=True)
        return [name for name, moves, should in pairs if should and not moves]

    def at_zero(self, op: Op, report: Report) -> Report:
        """Find gradients that are not finite where an argument is 0, and those of the solution are.

        There the sum behind a ReLU is 0, and h / h is no number.
        """
        args, rng = self.draw()
        found: dict[str, str] = {}
        for place, name in enumerate(self.shapes):
            if not is_float(args[place]):
                continue
            zeroed = tuple(0 * a if k == place else a for k, a in enumerate(args))
            try:
                with quiet():
                    y, backward = op(*copies(zeroed))
                    dy = rng.standard_normal(np.shape(y))
                    wanted = as_tuple(self.exercise.op(*copies(zeroed))[1](dy.copy()))
                    given = as_tuple(backward(dy.copy()))
                pairs = zip(self.exercise.gradients, given, wanted, strict=True)
                bad = [t for t, g, w in pairs if np.isfinite(w).all() > np.isfinite(g).all()]
            except Exception:  # the shapes or the domain of this answer are another matter
                continue
            for title in bad:
                if report["gradients"].get(title, {}).get("state") == "right":
                    found.setdefault(title, f"{title} is not finite where {name} is 0 everywhere")
        return report if not found else _not_finite(found, report)


def _renamed(report: Report, words: Mapping[str, str]) -> Report:
    """Say "ds" for "dy" in an exercise whose upstream gradient has this name, and the like."""
    if not words:
        return report
    pattern = re.compile(rf"\b({'|'.join(words)})\b")

    def told(one: Report) -> Report:
        return {**one, "text": pattern.sub(lambda found: words[found[0]], one["text"])}

    return {**report, **{key: list(map(told, report[key])) for key in ("findings", "causes")}}


def breaks_promise(finding: Mapping[str, Any]) -> bool:
    """Tell whether a finding is about what is promised besides right numbers.

    A backward that raises may only do so when it is called again.
    """
    raises = finding["kind"] == Kind.RAISES and finding["subject"] == "backward"
    return raises or finding["kind"] in PROMISES


def _not_finite(found: Mapping[str, str], report: Report) -> Report:
    texts = [(title, text, "any.nan-gradient") for title, text in found.items()]
    return {
        **report,
        "verdict": "wrong",
        "gradients": report["gradients"]
        | {t: {"state": "wrong", "causes": [c]} for t, _, c in texts},
        "findings": [
            *report["findings"],
            *(plain_finding(Finding(Kind.NOT_FINITE, title, text)) for title, text, _ in texts),
        ],
        "causes": [
            *report["causes"],
            *({"id": code, "gradients": [title], "text": text} for title, text, code in texts),
        ],
    }


def _beside_the_task(report: Report, task: Report) -> Report:
    """Where y is wrong, a gradient may be that of the solution, or fit the y that is there.

    If it is neither, it may follow from the wrong y alone. It is wrong where the mistake is known
    that was made in the gradient of the solution, and else not judged.
    """
    whole = all(one["subject"] != "backward" for one in task["findings"])
    changed = any(cause["id"] == CHANGED for cause in report["causes"])  # and no formula is known
    told = [c for c in task["causes"] if c["id"] != "unknown" and not changed]
    named = {title for cause in told for title in cause["gradients"]}
    states: dict[str, str] = {}
    for title, own in report["gradients"].items():
        of_task = task["gradients"].get(title, {}).get("state")
        if whole and of_task == "right":
            states[title] = "task"
        elif own["state"] != "wrong":
            states[title] = own["state"]
        else:
            states[title] = "wrong" if title in named else "undecided"
    wrong = {title for title, state in states.items() if state == "wrong"}
    causes = [
        {**cause, "gradients": [t for t in cause["gradients"] if states.get(t) != "task"]}
        for cause in report["causes"]
        if cause["id"].startswith("state.")
    ]
    causes += [cause for cause in told if wrong & {*cause["gradients"]}]
    findings = [f for f in report["findings"] if f["subject"] not in states or breaks_promise(f)]
    findings += [f for f in task["findings"] if f["subject"] in wrong]
    return {
        **report,
        "gradients": {title: {"state": state, "causes": []} for title, state in states.items()},
        "findings": list({str(f): f for f in findings}.values()),
        "causes": causes,
        "reproduce": "",
    }


def _changed(broken: Sequence[Report], report: Report) -> list[Report]:
    """Where an array is changed in place, what is computed from it after that may be wrong.

    Then nobody knows which formula was meant.
    """
    texts = [one["text"] for one in broken if one["kind"] == Kind.CHANGES]
    wrong = [name for name, one in report["gradients"].items() if one["state"] == "wrong"]
    if not texts or not wrong:
        return []
    text = f"{texts[0]}: what is computed after that may see the changed numbers, so mend it first"
    return [{"id": CHANGED, "gradients": wrong, "text": text}]


def _with_y(report: Report, y: Finding) -> Report:
    """Put a wrong y in front of what is known of the gradients."""
    cause = [{"id": y.code, "gradients": ["y"], "text": y.text}] if y.code else []
    return {
        **report,
        "verdict": "wrong",
        "kind": "forward",
        "findings": [plain_finding(y), *report["findings"]],
        "causes": [*cause, *report["causes"]],
    }


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
    report = check_hand_in(
        lambda: targets_in(exercise, path.absolute()),
        lambda op: judge(exercise, op, seed),
        exercise.shapes,
        timeout,
        maker=exercise.maker,
        allow=["numpy_se"] if exercise.gives_the_package else [],
        beside=beside,
    )
    if report["verdict"] == "unusable" and "from_class: " in report["headline"]:
        # Its advice is for those who call from_class.
        names = ", ".join(exercise.shapes)
        reason = report["headline"].partition("from_class: ")[2].partition("; for example")[0]
        wanted = f"it wants forward({names}) and backward(dy), and no sizes to be made"
        report["headline"] = f"unusable: the class cannot be used: {reason}; {wanted}"
    return report
