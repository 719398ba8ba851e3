"""Mistakes in the SE block and its parts, stage by stage.

The backward of the block is a chain, and a mistake in one stage reaches all that come behind it.
So each mistake is made in its place and carried through the rest:

    dy -scale-> ds -gate-> du -linear 2-> da -ReLU-> dh -linear 1-> dz -squeeze-> dx
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np

from numpy_se import ops
from numpy_se.contract import Array
from numpy_se.checker.claims import scaled
from numpy_se.checker.mistakes.activations import RULES
from numpy_se.checker.mistakes.common import RATES, Mistakes

Stage: TypeAlias = Callable[..., Any]
Replaced: TypeAlias = tuple[str, str, Stage]  # a cause, the stage, and what is put in its place

STAGES = {  # where each is, and what it hands on
    "scale": ("in the scale", "ds"),
    "gate": ("in the gate", "du"),
    "linear2": ("in the second linear layer", "da"),
    "relu": ("in the ReLU", "dh"),
    "linear1": ("in the first linear layer", "dz"),
    "squeeze": ("in the squeeze", "the squeeze path"),
}


def block(
    part: str,
    args: tuple[Any, ...],
    dy: Array,
    sizes: Mapping[str, int],
    *,
    squeeze: Any,
    gate: Any,
) -> Mistakes:
    """Give the wrong gradients of single mistakes, then of pairs of them in two stages.

    ``part`` is "squeeze_excite", "excitation" or "excite".
    """
    known = _Block(part, args, squeeze, gate)
    single = list(known.mistakes(sizes))
    for cause, stage, wrong in single:
        yield cause, known.backward(dy, **{stage: wrong})
    local = [m for m in single if " times too " not in m[0] and "averaged" not in m[0]]
    for (cause1, stage1, wrong1), (cause2, stage2, wrong2) in combinations(local, 2):
        if stage1 != stage2:
            both = {stage1: wrong1, stage2: wrong2}
            yield f"two mistakes: {cause1}, and {cause2}", known.backward(dy, **both)


class _Block:
    """The block or a part of it, with stages of the backward that can be replaced."""

    def __init__(self, part: str, args: tuple[Any, ...], squeeze: Any, gate: Any) -> None:
        self.part, self.gate = part, gate
        self.x, self.w1, self.w2, self.b1, self.b2 = (*args, None, None)[:5]
        self.z, back_squeeze = (self.x, np.asarray) if part == "excite" else squeeze(self.x)
        b1 = np.zeros(len(self.w1)) if self.b1 is None else self.b1
        b2 = np.zeros(len(self.w2)) if self.b2 is None else self.b2
        self.h, back_linear1 = ops.linear(self.z, self.w1, b1)
        self.a, back_relu = ops.relu(self.h)
        self.u, back_linear2 = ops.linear(self.a, self.w2, b2)
        self.s, back_gate = gate(self.u)
        self.ds, self.du, self.da = self.s, self.u, self.a  # until a backward sets them
        self.stages: dict[str, Stage] = {
            "scale": lambda ds: (0, ds),
            "gate": back_gate,
            "linear2": back_linear2,
            "relu": back_relu,
            "linear1": back_linear1,
            "squeeze": back_squeeze,
            "sum": lambda scaled, squeezed: scaled + squeezed,
        }
        if part == "squeeze_excite":
            self.stages["scale"] = ops.channel_scale(self.x, self.s)[1]

    def backward(self, dy: Array, **replaced: Stage) -> dict[int, Array]:
        """Compute all gradients, by the number of their argument."""
        stage = {**self.stages, **replaced}
        dx, self.ds = stage["scale"](dy)
        self.du = stage["gate"](self.ds)
        self.da, dw2, db2 = stage["linear2"](self.du)
        dh = stage["relu"](self.da)
        dz, dw1, db1 = stage["linear1"](dh)
        dx = stage["sum"](dx, stage["squeeze"](dz))
        biases = [db for b, db in ((self.b1, db1), (self.b2, db2)) if b is not None]
        return dict(enumerate((dx, dw1, dw2, *biases)))

    def mistakes(self, sizes: Mapping[str, int]) -> Iterator[Replaced]:
        if self.part == "squeeze_excite":
            yield from self._in_the_sum(sizes)
        for stage, local in (
            ("scale", self._in_the_scale()),
            ("gate", RULES.get(self.gate, lambda u, s: {})(self.u, self.s)),
            ("linear2", self._in_linear2()),
            ("relu", self._in_the_relu()),
            ("linear1", self._in_linear1()),
            ("squeeze", self._in_the_squeeze()),
        ):
            for cause, wrong in local.items():
                yield f"{STAGES[stage][0]}: {cause}", stage, wrong
        for stage in STAGES:
            yield from self._handed_on(stage, sizes)

    def _in_the_sum(self, sizes: Mapping[str, int]) -> Iterator[Replaced]:
        """Mistakes where the two paths of x come together."""
        twice = "x feeds both the gates and the product"
        for cause, factor in scaled(sizes, np.ones(())):
            what = f"is missing: {twice}" if cause == "is zero" else cause
            yield f"the squeeze path {what}", "sum", lambda a, b, c=factor: a + c * b
            yield f"the scale path {what}", "sum", lambda a, b, c=factor: c * a + b
        gates, corner = self.s[:, :, None, None], np.zeros_like(self.x)
        corner[:, :, 0, 0] = 1
        factors = {
            "has a factor s too much": gates,
            "has a factor x too much": self.x,
            "reaches one pixel only": corner,
            "reaches one pixel only, and is not divided": corner * self.x[0, 0].size,
        }
        for cause, value in factors.items():
            yield f"the squeeze path {cause}", "sum", lambda a, b, v=value: a + v * b
        for axis, letter in ((0, "N"), (1, "C")):
            yield (
                f"the squeeze path is averaged over {letter}",
                "sum",
                lambda a, b, axis=axis: a + b.mean(axis=axis, keepdims=True),
            )
        shortcut = "dy is added: the shortcut of a residual block"
        yield shortcut, "sum", lambda a, b: a + b + a / gates
        yield "the two paths of x are multiplied", "sum", lambda a, b: a * b

    def _in_the_scale(self) -> dict[str, Stage]:
        if self.part == "excite":
            return {}
        x, s, gates = self.x, self.s, self.s[:, :, None, None]
        if self.part == "excitation":
            spread = np.ones_like(x)
            cause = "a scale path s * ds is added: the gates alone have none"
            return {cause: lambda ds: ((s * ds)[:, :, None, None] * spread, ds)}
        right, mixed = self.stages["scale"], gates.mean(axis=0)

        def wrong_dx(rule: Stage) -> Stage:
            return lambda dy: (rule(dy), right(dy)[1])

        def wrong_ds(rule: Stage) -> Stage:
            return lambda dy: (right(dy)[0], rule(dy))

        return {
            "s is missing: the scale path is dy": wrong_dx(lambda dy: 1 * dy),
            "x in place of s": wrong_dx(lambda dy: x * dy),
            "s is averaged over N": wrong_dx(lambda dy: mixed * dy),
            "dy is ignored in dx": wrong_dx(lambda dy: gates + 0 * dy),
            "x is missing in ds": wrong_ds(lambda dy: dy.sum((2, 3))),
            "x is missing in ds, a mean of dy": wrong_ds(lambda dy: dy.mean((2, 3))),
            "y in place of x in ds": wrong_ds(lambda dy: (dy * gates * x).sum((2, 3))),
            "z in place of x in ds": wrong_ds(lambda dy: dy.sum((2, 3)) * self.z),
            "dy is ignored in ds": wrong_ds(lambda dy: x.sum((2, 3))),
        }

    def _in_linear2(self) -> dict[str, Stage]:
        w1, w2, a, right = self.w1, self.w2, self.a, self.stages["linear2"]
        rules = {
            "w1.T in place of w2": lambda du: du @ w1.T,
            "dw2 in place of w2": lambda du: du @ (du.T @ a),
        }
        if w2.shape[0] == w2.shape[1]:
            rules["w2 is transposed"] = lambda du: du @ w2.T
        found = {cause: _handing_on(right, rule) for cause, rule in rules.items()}
        for rate in RATES:
            cause = f"w2 was updated before it was used (learning rate {rate:g})"
            found[cause] = _handing_on(right, lambda du, r=rate: du @ (w2 - r * du.T @ a))
        found["db2 is taken before the gate: the sum of ds"] = lambda du: (
            *right(du)[:2],
            self.ds.sum(axis=0),
        )
        cause = "dw2 from the pre-activations h, not from a = relu(h)"
        found[cause] = _with_dw(right, lambda du: du.T @ self.h)
        return found

    def _in_the_relu(self) -> dict[str, Stage]:
        found: dict[str, Stage] = {**RULES[ops.relu](self.h, self.a)}
        if self.b1 is not None:
            early = self.h - self.b1
            found["the mask is taken before b1 is added"] = lambda da: da * (early > 0)
        if self.h.shape == self.u.shape:
            found["masked by u, the input of the gate"] = lambda da: da * (self.u > 0)
            found["masked by the sign of du"] = lambda da: da * (self.du > 0)
        return found

    def _in_linear1(self) -> dict[str, Stage]:
        w1, w2, z, right = self.w1, self.w2, self.z, self.stages["linear1"]
        rules = {
            "w2.T in place of w1": lambda dh: dh @ w2.T,
            "dw1 in place of w1": lambda dh: dh @ (dh.T @ z),
        }
        if w1.shape[0] == w1.shape[1]:
            rules["w1 is transposed"] = lambda dh: dh @ w1.T
        found = {cause: _handing_on(right, rule) for cause, rule in rules.items()}
        for rate in RATES:
            cause = f"w1 was updated before it was used (learning rate {rate:g})"
            found[cause] = _handing_on(right, lambda dh, r=rate: dh @ (w1 - r * dh.T @ z))
        found["db1 is taken before the ReLU: the sum of da"] = lambda dh: (
            *right(dh)[:2],
            self.da.sum(axis=0),
        )
        found["dw1 from s in place of z"] = _with_dw(right, lambda dh: dh.T @ self.s)
        if self.part != "excite":
            cause = "dw1 from summed pooling: the sum of x in place of its mean"
            found[cause] = _with_dw(right, lambda dh: dh.T @ self.x.sum((2, 3)))
        return found

    def _in_the_squeeze(self) -> dict[str, Stage]:
        if self.part == "excite":
            return {}
        size = self.x[0, 0].size
        best = self.x.reshape(*self.x.shape[:2], size).argmax(axis=2)
        first = (np.arange(size) == best[..., None]).reshape(self.x.shape)
        shares = {
            "the maximum in place of the average: the rule of max pooling": first,
            "the rule of max pooling, and divided by H*W": first / size,
            "the average in place of the maximum": np.ones_like(self.x) / size,
        }
        return {
            cause: lambda dz, share=share: dz[:, :, None, None] * share
            for cause, share in shares.items()
        }

    def _handed_on(self, stage: str, sizes: Mapping[str, int]) -> Iterator[Replaced]:
        """What can be wrong with all that a stage hands on."""
        right, (where, flow) = self.stages[stage], STAGES[stage]

        def changed(change: Stage) -> Stage:
            def wrong(dy: Array) -> Any:
                result = right(dy)
                if stage == "scale":
                    return result[0], change(result[1])
                return (change(result[0]), *result[1:]) if "linear" in stage else change(result)

            return wrong

        for cause, factor in scaled(sizes, np.ones(())):
            if cause != "is zero":  # then each gradient behind it says so
                yield f"{where}: {flow} {cause}", stage, changed(lambda d, c=factor: c * d)
        mixes: dict[str, Stage] = {
            "averaged over N": lambda d: d.mean(axis=0, keepdims=True) + 0 * d,
            "averaged over C": lambda d: d.mean(axis=1, keepdims=True) + 0 * d,
            "summed over N too often": lambda d: d.sum(axis=0, keepdims=True) + 0 * d,
        }
        for cause, mix in mixes.items():
            yield f"{where}: {flow} is {cause}", stage, changed(mix)


def _handing_on(linear: Stage, rule: Stage) -> Stage:
    """The backward of a linear layer with another gradient of its input."""
    return lambda dy: (rule(dy), *linear(dy)[1:])


def _with_dw(linear: Stage, rule: Stage) -> Stage:
    """The backward of a linear layer with another gradient of its weight."""

    def wrong(dy: Array) -> tuple[Array, Array, Array]:
        dx, _, db = linear(dy)
        return dx, rule(dy), db

    return wrong
