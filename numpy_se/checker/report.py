"""What a gradient check found, for people, for tests and for programs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from numpy_se.checker.arguments import Arguments
from numpy_se.checker.diagnosis import Diagnosis, diagnose
from numpy_se.checker.sample import Sample, Wrong
from numpy_se.checker.slopes import Op, quiet

MOST_PRINTED = 300  # characters of a line that reproduces an error

Verdict = Literal["ok", "wrong", "inconclusive"]


@dataclass(frozen=True)
class GradientReport:
    """What ``gradcheck`` found.

    ``broken`` are promises of the contract that were not kept, ``wrong`` the gradients that are
    wrong. ``limits`` says what the given arguments cannot show. ``checked`` counts the slopes that
    were compared, of single entries or, for large arguments, along random directions, and
    ``at_kinks`` those of them at a kink, where any slope between the two sides passes.
    ``resolution`` is, for each gradient, the error of one entry below which it would not be seen.
    ``influence`` is False when y depends on no argument.

    The diagnosis is made when it is asked for: by ``diagnosis``, ``str``, or ``to_dict``.
    """

    broken: tuple[str, ...]
    wrong: tuple[Wrong, ...]
    limits: tuple[str, ...]
    checked: int
    at_kinks: int
    resolution: dict[str, float]
    influence: bool
    failing: tuple[Op, Sample, Arguments] | None = field(repr=False, default=None)

    @property
    def verdict(self) -> Verdict:
        if self.broken or self.wrong:
            return "wrong"
        return "ok" if self.checked > self.at_kinks and self.influence else "inconclusive"

    @property
    def ok(self) -> bool:
        """True when nothing is wrong, and there was something to see."""
        return self.verdict == "ok"

    @cached_property
    def diagnosis(self) -> Diagnosis | None:
        """The causes that the wrong gradients are consistent with; None when nothing is wrong."""
        if self.failing is None:
            return None
        with quiet():
            return diagnose(*self.failing)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.failing[2].names if self.failing else ()

    @cached_property
    def headline(self) -> str:
        """The first line of the report."""
        return self._lines[0]

    def __str__(self) -> str:
        return "\n".join(self._lines)

    @cached_property
    def _lines(self) -> list[str]:
        counts = f"{self.checked} slopes checked, {self.at_kinks} of them at kinks"
        notes = [f"  note: {limit}" for limit in self.limits]
        if self.verdict == "ok":
            finest = max(self.resolution.values(), default=0.0)
            seen = f"an error of {finest:.1g} in one entry would be seen"
            return [f"ok: all gradients agree with differences: {counts}; {seen}", *notes]
        if self.diagnosis is None:
            return [f"inconclusive: {counts}; choose other inputs", *notes]
        causes = [cause for cause in self.diagnosis.causes if cause.text or not self.broken]
        lines = [*map(str, causes), *self.broken]
        if self.resolution and not self.wrong:
            lines[0] = f"the gradients agree with differences, but {lines[0]}"
        if any("raises" in promise for promise in self.broken):
            lines = [*self.broken, *map(str, causes)]
        lines += [f"  {wrong}" for wrong in self.wrong if f"{wrong}." not in lines]
        wrong = {w.name for w in self.wrong}
        if right := [name for name in self.resolution if name not in wrong]:
            lines.append(f"  right: {', '.join(right)}")
        if self.reproduce:
            smallest = self.diagnosis.smallest.run.args
            shapes = [f"{n} {np.shape(a)}" for n, a in zip(self._names, smallest, strict=True)]
            lines.append(f"  smallest failing input: {', '.join(shapes)}")
            lines.append(f"  reproduce: {self.reproduce}")
        return [*lines, f"  {counts}", *notes]

    @property
    def reproduce(self) -> str:
        """One line of Python that shows the error at the smallest arguments found.

        It is "" when nothing is wrong, and when the arguments cannot be made small.
        """
        if self.failing is None or self.diagnosis is None:
            return ""
        title = getattr(self.failing[0], "__name__", "op")
        args = ", ".join(map(_literal, self.diagnosis.smallest.run.args))
        line = f"gradcheck({title if title.isidentifier() else 'op'}, {args})"
        return line if len(line) <= MOST_PRINTED else ""

    def raise_if_failed(self) -> None:
        """Raise GradientError, an AssertionError with this report, unless all is ok."""
        if not self.ok:
            raise GradientError(self)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain numbers, strings, lists and dicts, ready for JSON."""
        causes = self.diagnosis.causes if self.diagnosis else ()
        return {
            "verdict": self.verdict,
            "headline": self.headline,
            "broken": list(self.broken),
            "causes": [{"gradients": [f"d{n}" for n in c.names], "cause": c.text} for c in causes],
            "wrong": [
                {
                    "gradient": w.name,
                    "fact": w.fact,
                    "index": None if w.index is None else list(w.index),
                    "given": None if w.index is None else w.given,
                    "expected": None if w.index is None else w.expected,
                }
                for w in self.wrong
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


def _literal(a: Any) -> str:
    """An array as an expression of Python."""
    if not isinstance(a, np.ndarray):
        return repr(a)
    return f"np.array({a.tolist()})"
