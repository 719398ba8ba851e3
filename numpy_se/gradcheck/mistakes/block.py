"""Mistakes in the SE block and its parts, stage by stage.

The backward of the block is a chain, and a mistake in one stage reaches all that come behind it.
So each mistake is made in its place and carried through the rest:

    dy -scale-> ds -gate-> du -linear 2-> da -ReLU-> dh -linear 1-> dz -squeeze-> dx
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

import numpy as np

from numpy_se import ops
from numpy_se.contract import Array
from numpy_se.gradcheck.claims import scaled
from numpy_se.gradcheck.mistakes.activations import RULES
from numpy_se.gradcheck.mistakes.common import RATES, Mistakes

Stage = Callable[..., Any]
FLOWS = {
    "scale": "ds",
    "gate": "du",
    "linear2": "da",
    "relu": "dh",
    "linear1": "dz",
    "squeeze": "the squeeze path",
}
TITLES = {
    "scale": "in the scale",
    "gate": "in the gate",
    "linear2": "in the second linear layer",
    "relu": "in the ReLU",
    "linear1": "in the first linear layer",
    "squeeze": "in the squeeze",
}


class Block:
    """``squeeze_excite``, ``excitation`` or ``excite``, with stages that can be replaced.

    ``part`` is the name of the operation. ``backward(dy, gate=wrong)`` gives the gradients with
    the stage ``gate`` replaced by ``wrong``.
    """

    def __init__(self, part: str, args: tuple[Any, ...], squeeze: Any, gate: Any) -> None:
        self.x, self.w1, self.w2, self.b1, self.b2 = (*args, None, None)[:5]
        self.part, self.gate = part, gate
        self.z, back_squeeze = (self.x, np.asarray) if part == "excite" else squeeze(self.x)
        none1, none2 = np.zeros(len(self.w1)), np.zeros(len(self.w2))
        self.h, back_linear1 = ops.linear(self.z, self.w1, none1 if self.b1 is None else self.b1)
        self.a, back_relu = ops.relu(self.h)
        self.u, back_linear2 = ops.linear(self.a, self.w2, none2 if self.b2 is None else self.b2)
        self.s, back_gate = gate(self.u)
        self.stages: dict[str, Stage] = {
            "scale": lambda ds: (0, ds),
            "gate": back_gate,
            "linear2": back_linear2,
            "relu": back_relu,
            "linear1": back_linear1,
            "squeeze": back_squeeze,
            "join": lambda scaled, squeezed: scaled + squeezed,
        }
        if part == "squeeze_excite":
            self.stages["scale"] = ops.channel_scale(self.x, self.s)[1]

    def backward(self, dy: Array, **replaced: Stage) -> tuple[Array, ...]:
        stage = {**self.stages, **replaced}
        dx, ds = stage["scale"](dy)
        du = self.du = stage["gate"](ds)
        da, dw2, db2 = stage["linear2"](du)
        dh = stage["relu"](da)
        dz, dw1, db1 = stage["linear1"](dh)
        dx = stage["join"](dx, stage["squeeze"](dz))
        biases = [db for b, db in ((self.b1, db1), (self.b2, db2)) if b is not None]
        return dx, dw1, dw2, *biases

    def mistakes(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, str, Stage]]:
        """Name single mistakes: a cause, the stage, and the wrong backward of the stage."""
        if self.part == "squeeze_excite":
            yield from self._of_paths(sizes)
        for key, cause, wrong in self._of_stages():
            yield f"{TITLES[key]}: {cause}", key, wrong
        for key in TITLES:
            for cause, wrong in self._of_flow(key, sizes):
                yield f"{TITLES[key]}: {cause}", key, wrong

    def _of_paths(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, str, Stage]]:
        yield (
            "the squeeze path is missing: x feeds both the gates and the product",
            "join",
            lambda scaled, squeezed: scaled,
        )
        yield (
            "the scale path is missing: x feeds both the gates and the product",
            "join",
            lambda scaled, squeezed: squeezed,
        )
        one = np.ones(())
        for cause, factor in scaled(sizes, one):
            yield f"the squeeze path {cause}", "join", lambda a, b, c=factor: a + c * b
            yield f"the scale path {cause}", "join", lambda a, b, c=factor: c * a + b
        gates = self.s[:, :, None, None]
        changes: dict[str, Stage] = {
            "the squeeze path is averaged over N": lambda b: b.mean(axis=0, keepdims=True),
            "the squeeze path is averaged over C": lambda b: b.mean(axis=1, keepdims=True),
            "the squeeze path has a factor s too much": lambda b: b * gates,
            "the squeeze path has a factor x too much": lambda b: b * self.x,
            "the squeeze path reaches one pixel only": lambda b: b * _corner(b),
            "the squeeze path reaches one pixel only, not divided": lambda b: (
                b * _corner(b) * b[0, 0].size
            ),
        }
        for cause, change in changes.items():
            yield cause, "join", lambda a, b, change=change: a + change(b)
        yield "dy is added: the shortcut of a residual block", "join", lambda a, b: (
            a + b + a / gates)  # fmt: skip
        yield "the two paths of x are multiplied", "join", lambda a, b: a * b
        yield "the two paths of x are averaged", "join", lambda a, b: (a + b) / 2

    def _of_stages(self) -> Iterator[tuple[str, str, Stage]]:
        x, z, h, a, s = self.x, self.z, self.h, self.a, self.s
        w1, w2, right = self.w1, self.w2, self.stages
        if self.part == "squeeze_excite":
            y, gates = x * s[:, :, None, None], s[:, :, None, None]
            mixed = gates.mean(axis=0)

            def scale(dx: Any = None, ds: Any = None) -> Stage:
                def wrong(dy: Array) -> tuple[Array, Array]:
                    right_dx, right_ds = right["scale"](dy)
                    return dx(dy) if dx else right_dx, ds(dy) if ds else right_ds

                return wrong

            yield "scale", "s is missing: the scale path is dy", scale(dx=lambda dy: 1 * dy)
            yield "scale", "x in place of s", scale(dx=lambda dy: x * dy)
            yield "scale", "s is averaged over N", scale(dx=lambda dy: mixed * dy)
            yield "scale", "x is missing in ds", scale(ds=lambda dy: dy.sum((2, 3)))
            yield "scale", "x is missing in ds, a mean of dy", scale(ds=lambda dy: dy.mean((2, 3)))
            yield "scale", "y in place of x in ds", scale(ds=lambda dy: (dy * y).sum((2, 3)))
            yield "scale", "dy is ignored in ds", scale(ds=lambda dy: x.sum((2, 3)))
            yield "scale", "dy is ignored in dx", scale(dx=lambda dy: gates + 0 * dy)
            yield "scale", "ds from z, not from x", scale(ds=lambda dy: dy.sum((2, 3)) * z)
        if self.gate in RULES:
            for cause, rule in RULES[self.gate](self.u, s).items():
                yield "gate", cause, rule
        for cause, rule in RULES[ops.relu](h, a).items():
            yield "relu", cause, rule
        if self.b1 is not None:
            without = h - self.b1
            yield "relu", "the mask is taken before b1 is added", lambda da: da * (without > 0)
        if h.shape == self.u.shape:
            yield "relu", "masked by u, the input of the gate", lambda da: da * (self.u > 0)
            yield "relu", "masked by the sign of du", lambda da: da * (self.du > 0)

        def linear(key: str, dx: Any = None, dw: Any = None) -> Stage:
            def wrong(dy: Array) -> tuple[Array, ...]:
                right_dx, right_dw, db = right[key](dy)
                return dx(dy) if dx else right_dx, dw(dy) if dw else right_dw, db

            return wrong

        yield "linear2", "dw2 from the pre-activations h, not from a = relu(h)", linear(
            "linear2", dw=lambda du: du.T @ h)  # fmt: skip
        yield "linear2", "w1.T in place of w2", linear("linear2", dx=lambda du: du @ w1.T)
        yield "linear2", "dw2 in place of w2", linear("linear2", dx=lambda du: du @ (du.T @ a))
        for rate in RATES:
            yield "linear2", "w2 was updated before it was used", linear(
                "linear2", dx=lambda du, rate=rate: du @ (w2 - rate * du.T @ a))  # fmt: skip
            yield "linear1", "w1 was updated before it was used", linear(
                "linear1", dx=lambda dh, rate=rate: dh @ (w1 - rate * dh.T @ z))  # fmt: skip
        if w1.shape[0] == w1.shape[1]:
            yield "linear2", "w2 is transposed", linear("linear2", dx=lambda du: du @ w2.T)
            yield "linear1", "w1 is transposed", linear("linear1", dx=lambda dh: dh @ w1.T)
        yield "linear1", "dw1 from s in place of z", linear("linear1", dw=lambda dh: dh.T @ s)
        yield "linear1", "w2.T in place of w1", linear("linear1", dx=lambda dh: dh @ w2.T)
        yield "linear1", "dw1 in place of w1", linear("linear1", dx=lambda dh: dh @ (dh.T @ z))
        if self.part == "excitation":
            spread = np.ones_like(x)
            yield "scale", "a scale path s * ds is added: the gates alone have none", (
                lambda ds: ((s * ds)[:, :, None, None] * spread, ds))  # fmt: skip
        if self.part != "excite":
            total, size = x.sum((2, 3)), x[0, 0].size
            yield "linear1", "dw1 from summed pooling: the sum of x in place of its mean", linear(
                "linear1", dw=lambda dh: dh.T @ total)  # fmt: skip
            best = x.reshape(*x.shape[:2], size).argmax(axis=2)
            first = (np.arange(size) == best[..., None]).reshape(x.shape)
            every = np.ones_like(x)
            rules = {
                "the rule of max pooling, the maximum in place of the average": first,
                "the rule of max pooling, and divided by H*W": first / size,
                "the rule of average pooling, the average in place of the maximum": every / size,
            }
            for cause, share in rules.items():
                yield "squeeze", cause, lambda dz, share=share: dz[:, :, None, None] * share

    def _of_flow(self, key: str, sizes: Mapping[str, int]) -> Iterator[tuple[str, Stage]]:
        """Name what can be wrong with all that a stage hands on."""
        right, flow = self.stages[key], FLOWS[key]

        def changed(change: Callable[[Array], Array]) -> Stage:
            def wrong(dy: Array) -> Any:
                result = right(dy)
                if key == "scale":
                    return result[0], change(result[1])
                if isinstance(result, tuple):
                    return change(result[0]), *result[1:]
                return change(result)

            return wrong

        for cause, factor in scaled(sizes, np.ones(())):
            if cause != "is zero":  # then each gradient behind it says so
                yield f"{flow} {cause}", changed(lambda d, c=factor: c * d)
        yield f"{flow} is averaged over N", changed(
            lambda d: d.mean(axis=0, keepdims=True) + 0 * d)  # fmt: skip
        yield f"{flow} is summed over N too often", changed(
            lambda d: d.sum(axis=0, keepdims=True) + 0 * d)  # fmt: skip
        yield f"{flow} is averaged over C", changed(
            lambda d: d.mean(axis=1, keepdims=True) + 0 * d)  # fmt: skip
        if key in ("gate", "relu"):
            yield "dy is ignored", lambda dy: right(np.ones_like(dy))


def _corner(a: Array) -> Array:
    corner = np.zeros_like(a)
    corner[:, :, 0, 0] = 1
    return corner


def block(
    part: str,
    args: tuple[Any, ...],
    dy: Array,
    sizes: Mapping[str, int],
    *,
    squeeze: Any,
    gate: Any,
) -> Mistakes:
    """Give the gradients of every single mistake, then of pairs of mistakes in two stages."""
    known = Block(part, args, squeeze, gate)
    single = list(known.mistakes(sizes))
    for cause, stage, wrong in single:
        yield cause, known.backward(dy, **{stage: wrong})
    local = [m for m in single if "times too" not in m[0] and "averaged" not in m[0]]
    for (cause1, stage1, wrong1), (cause2, stage2, wrong2) in combinations(local, 2):
        if stage1 != stage2:
            both = {stage1: wrong1, stage2: wrong2}
            yield f"two mistakes, {cause1}; and {cause2}", known.backward(dy, **both)
