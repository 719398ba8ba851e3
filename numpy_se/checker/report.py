"""What a gradient check found, for people, for tests and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from numpy_se.checker.findings import Cause, Finding, Kind
from numpy_se.checker.look import Look
from numpy_se.checker.name import name_causes
from numpy_se.checker.shrink import smallest
from numpy_se.checker.slopes import Op, quiet
from numpy_se.checker.words import listed

MOST_PRINTED = 300  # characters of a line that reproduces an error

Verdict = Literal["ok", "wrong", "inconclusive"]
State = Literal["right", "wrong", "undecided"]


@dataclass(frozen=True, eq=False, repr=False)
class GradientReport:
    """What ``gradcheck`` found. ``repr`` and ``str`` are the text of the report.

    ``findings`` are what is wrong. ``gradients`` says of each gradient, "dx" and so on, whether it
    is "right", "wrong" or "undecided". ``limits`` says what was not or cannot be seen. ``checked``
    counts the slopes that were compared, of single entries or, for large arguments, along random
    directions, and ``at_kinks`` those of them at a kink, where any slope between the two sides
    passes. ``resolution`` is, for each gradient, the error of one entry below which it would not be
    seen. ``influence`` is False when y depends on no argument.

    Causes are looked for when they are asked for: by ``causes``, ``str``, or ``to_dict``.
    """

    op: Op
    findings: tuple[Finding, ...]
    gradients: dict[str, State]
    limits: tuple[str, ...]
    checked: int
    at_kinks: int
    resolution: dict[str, float]
    influence: bool
    failing: Look | None = field(default=None)

    @classmethod
    def of(
        cls, op: Op, looks: Sequence[Look], findings: Iterable[Finding], limits: Iterable[str]
    ) -> GradientReport:
        """Sum up looks; the last one is where the findings were made."""
        found = tuple(findings)
        resolution: dict[str, float] = {}
        decided: dict[str, int] = {}
        for one in looks:
            for name, error in one.resolution:
                resolution[name] = min(error, resolution.get(name, np.inf))
            counts = zip(one.names, one.checked, one.at_kinks, one.undecided, strict=False)
            for name, checked, kinks, undecided in counts:
                decided[name] = decided.get(name, 0) + max(0, checked - kinks - undecided)
        names = looks[-1].names if looks else ()
        wrong = {f.subject for f in found}
        rough = any(f.kind is Kind.ROUGH for f in found)
        states: dict[str, State] = {
            f"d{n}": "wrong"
            if f"d{n}" in wrong
            else "right"
            if decided.get(n) and not rough
            else "undecided"
            for n in names
        }
        return cls(
            op,
            found,
            states,
            tuple(limits),
            sum(sum(one.checked) for one in looks),
            sum(sum(one.at_kinks) for one in looks),
            resolution,
            any(len(one.silent) < len(one.names) for one in looks),
            looks[-1] if looks and looks[-1].findings else None,
        )

    @property
    def verdict(self) -> Verdict:
        """Return "wrong", "ok", or "inconclusive" where something could not be decided."""
        if self.findings:
            return "wrong"
        decided = bool(self.gradients) and "undecided" not in self.gradients.values()
        return "ok" if decided and self.influence else "inconclusive"

    @property
    def ok(self) -> bool:
        """True when nothing is wrong, and there was something to see."""
        return self.verdict == "ok"

    @property
    def wrong(self) -> tuple[Finding, ...]:
        """The findings about the numbers of gradients."""
        return self.failing.wrong if self.failing and not self._rough else ()

    @property
    def _rough(self) -> bool:
        return any(f.kind is Kind.ROUGH for f in self.findings)

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """What the wrong gradients are consistent with; empty when nothing is wrong."""
        own = tuple(Cause(f.code, (f.subject,), f.text) for f in self.findings if f.code)
        if self.failing is None or not self.wrong:
            return own
        with quiet():
            return (*name_causes(self.op, self.failing), *own)

    @cached_property
    def smallest(self) -> Look | None:
        """The smallest look found at which the same thing is wrong."""
        if self.failing is None:
            return None
        with quiet():
            return smallest(self.op, self.failing)

    @property
    def headline(self) -> str:
        """The first line of the report."""
        return self._lines[0]

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
            what = f"{listed(unclear)} could not be decided here: " if unclear else ""
            return [f"inconclusive: {what}{counts}; choose other inputs", *notes]
        numbers = [_cause_line(cause, self.wrong) for cause in self.causes if not _own(cause, self)]
        promises = [f"{f.text}." for f in self.findings if f not in self.wrong]
        lines = numbers + promises
        if promises and not numbers and "undecided" not in self.gradients.values():
            lines[0] = f"the gradients agree with differences, but {lines[0]}"
        if any(f.kind is Kind.RAISES for f in self.findings):
            lines = promises + numbers
        lines += [f"  {f}" for f in self.wrong if f"{f}." not in lines]
        right = [name for name, state in self.gradients.items() if state == "right"]
        if right and self.wrong:
            lines.append(f"  right: {', '.join(right)}")
        if self.reproduce and self.smallest:
            case, args = self.smallest.case, self.smallest.run.args
            shapes = [f"{n} {np.shape(a)}" for n, a in zip(case.names, args, strict=True)]
            lines.append(f"  smallest failing input: {', '.join(shapes)}")
            lines.append(f"  reproduce: {self.reproduce}")
        return [*lines, f"  {counts}", *notes]

    @property
    def reproduce(self) -> str:
        """One line of Python that shows the error at the smallest arguments found.

        It is "" when nothing is wrong, and when the arguments cannot be made small.
        """
        if self.smallest is None:
            return ""
        title = getattr(self.op, "__name__", "op")
        args = ", ".join(map(_literal, self.smallest.run.args))
        line = f"gradcheck({title if title.isidentifier() else 'op'}, {args})"
        return line if len(line) <= MOST_PRINTED else ""

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
