"""What a gradient check found, for people, for tests and for programs."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from numpy_se.checker.findings import NUMBERS, Cause, Finding, Kind
from numpy_se.checker.words import listed

MOST_PRINTED = 300  # characters of a line that reproduces an error

Verdict = Literal["ok", "wrong", "inconclusive"]
State = Literal["right", "wrong", "undecided"]


@dataclass(frozen=True, eq=False, repr=False)
class GradientReport:
    """What ``gradcheck`` found. ``repr`` and ``str`` are the text of the report.

    ``title`` is the operation, as text. ``findings`` are what is wrong. ``states`` says of each
    gradient, "dx" and so on, whether it is "right", "wrong" or "undecided" where it was compared;
    ``gradients`` also knows what was seen in the search for causes. ``limits`` says what
    was not or cannot be seen. ``checked`` counts the slopes that were compared, of single entries
    or, for large arguments, along random directions, and ``at_kinks`` those of them at a kink,
    where any slope between the two sides passes. ``resolution`` is, for each gradient, the error of
    one entry below which it would not be seen. ``influence`` is False when y depends on no
    argument.

    Causes are looked for when they are asked for: by ``causes``, ``str``, or ``to_dict``.
    """

    title: str
    findings: tuple[Finding, ...]
    states: dict[str, State]
    limits: tuple[str, ...]
    checked: int
    at_kinks: int
    resolution: dict[str, float]
    influence: bool
    find_causes: Callable[[], tuple[Cause, ...]] = tuple
    find_smallest: Callable[[], dict[str, Any]] = dict

    @property
    def verdict(self) -> Verdict:
        """Return "wrong", "ok", or "inconclusive" where something could not be decided."""
        if self.findings:
            return "wrong"
        decided = bool(self.states) and "undecided" not in self.states.values()
        return "ok" if decided and self.influence else "inconclusive"

    @property
    def ok(self) -> bool:
        """True when nothing is wrong, and there was something to see."""
        return self.verdict == "ok"

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings about the numbers of gradients."""
        return tuple(f for f in self.findings if f.kind in NUMBERS and f.kind is not Kind.ROUGH)

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """What the wrong gradients are consistent with; empty when nothing is wrong."""
        own = tuple(Cause(f.code, (f.subject,), f.text) for f in self.findings if f.code)
        return (*self.find_causes(), *own)

    @cached_property
    def gradients(self) -> dict[str, State]:
        """The state of each gradient, wrong also where a cause is known of it."""
        wrong = {subject for cause in self.causes for subject in cause.subjects}
        return {name: "wrong" if name in wrong else state for name, state in self.states.items()}

    @cached_property
    def smallest(self) -> dict[str, Any]:
        """The smallest arguments found at which the same thing is wrong, by name; or none."""
        return self.find_smallest()

    @property
    def headline(self) -> str:
        """What the report says first, in one line."""
        return " ".join(line for line in self._lines if not line.startswith(" "))

    def __str__(self) -> str:
        return "\n".join(self._lines)

    __repr__ = __str__

    @cached_property
    def _lines(self) -> list[str]:
        counts = f"{self.checked} slopes checked, {self.at_kinks} of them at kinks"
        notes = [f"  note: {limit}" for limit in self.limits]
        if self.verdict == "ok":
            finest = max(self.resolution.values(), default=0.0)
            seen = f"an error of {finest:.1g} in one entry would be seen"
            return [f"ok: all gradients agree with differences: {counts}; {seen}", *notes]
        if self.verdict == "inconclusive":
            unclear = [name for name, state in self.gradients.items() if state == "undecided"]
            what = f"{listed(unclear)} could not be decided here" if unclear else ""
            if not self.influence:
                what = "y depends on none of the arguments here"
            return [f"inconclusive: {what}: {counts}; choose other inputs", *notes]
        causes = [cause for cause in self.causes if not _own(cause, self)]
        if any(f.kind is Kind.STATE for f in self.findings):  # that is the cause of the rest
            causes = [cause for cause in causes if cause.code]
        numbers = [_cause_line(cause, self.wrong) for cause in causes]
        told = {subject for cause in causes for subject in cause.subjects}
        explained = {subject for cause in causes if cause.code for subject in cause.subjects}
        stated = any(f.kind is Kind.STATE for f in self.findings)
        numbers += [f"{f.text}." for f in self.wrong if f.subject not in told and not stated]
        promises = [f"{f.text}." for f in self.findings if f not in self.wrong]
        lines = numbers + promises
        if promises and not self.wrong and "undecided" not in self.gradients.values():
            lines[0] = f"the gradients agree with differences, but {lines[0]}"
        if any(f.kind is Kind.RAISES for f in self.findings):
            lines = promises + numbers
        told_whole = [
            f.subject for f in self.wrong if f.entry is None and f.subject not in explained
        ]
        lines += [f"  {f}" for f in self.wrong if f.subject not in told_whole]
        right = [name for name, state in self.gradients.items() if state == "right"]
        if right and self.wrong:
            lines.append(f"  right: {', '.join(right)}")
        if self.reproduce:
            arrays = {k: a for k, a in self.smallest.items() if isinstance(a, np.ndarray)}
            shapes = [f"{name} {a.shape}" for name, a in arrays.items()]
            lines.append(f"  smallest failing input found: {', '.join(shapes)}")
            lines.append(f"  reproduce: {self.reproduce}")
        return [*lines, f"  {counts}", *notes]

    @property
    def reproduce(self) -> str:
        """One line of Python that shows the error at the smallest arguments found.

        It is "" when nothing is wrong, and when the arguments cannot be made small.
        """
        if not self.smallest:
            return ""
        line = f"gradcheck({self.title}, {', '.join(map(_literal, self.smallest.values()))})"
        return line if len(line) <= MOST_PRINTED and _is_python(line) else ""

    def raise_if_failed(self) -> None:
        """Raise GradientError, an AssertionError with this report, unless all is ok."""
        if not self.ok:
            raise GradientError(self)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain numbers, strings, lists and dicts, ready for JSON."""
        ids: dict[str, list[str]] = {name: [] for name in self.gradients}
        for cause in self.causes:
            for subject in cause.subjects:
                ids.setdefault(subject, []).append(cause.code or "unknown")
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "gradients": {
                name: {"state": state, "causes": ids[name]}
                for name, state in self.gradients.items()
            },
            "findings": [
                {
                    "kind": f.kind.value,
                    "subject": f.subject,
                    "text": f.text,
                    "index": None if f.entry is None else list(f.entry.index),
                    "given": None if f.entry is None else f.entry.given,
                    "expected": None if f.entry is None else f.entry.expected,
                }
                for f in self.findings
            ],
            "causes": [
                {"id": c.code or "unknown", "gradients": list(c.subjects), "text": c.text}
                for c in self.causes
            ],
            "limits": list(self.limits),
            "checked": self.checked,
            "at_kinks": self.at_kinks,
            "resolution": self.resolution,
            "reproduce": self.reproduce,
        }


class GradientError(AssertionError):
    """A failed gradient check. Its text is the report, which is only made when somebody reads it.

    hypothesis runs a failing test many times to find a small example, and reads the last text only.
    """

    def __init__(self, report: GradientReport) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return str(self.report)


def _own(cause: Cause, report: GradientReport) -> bool:
    """Tell whether a cause is a finding that stands in the report by itself."""
    return any(cause.code and cause.code == f.code for f in report.findings)


def _cause_line(cause: Cause, wrong: Sequence[Finding]) -> str:
    what = f"{listed(cause.subjects)} {'are' if cause.subjects[1:] else 'is'} wrong"
    if cause.code:
        return f"{what}. Consistent with: {cause.text}."
    found = next(f for f in wrong if f.subject == cause.subjects[0])
    if found.kind in (Kind.TYPE, Kind.SHAPE, Kind.DTYPE, Kind.NOT_FINITE):
        return f"{found.text}."
    if found.entry is None:
        return f"{found.text}. Cause unknown: none of the mistakes known here fits."
    return f"{what}{cause.text}. Cause unknown: none of the mistakes known here fits."


def _literal(a: Any) -> str:
    """An array as an expression of Python."""
    if not isinstance(a, np.ndarray):
        return repr(a)
    return f"np.array({a.tolist()})"


def _is_python(line: str) -> bool:
    """Tell whether a line can be pasted: the ``repr`` of an option may be no expression."""
    try:
        ast.parse(line)
    except SyntaxError:
        return False
    return True
