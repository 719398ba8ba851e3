"""Mistakes in activations: what people multiply ``dy`` with in place of the derivative."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.registry import Op, known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import hard_sigmoid, relu, sigmoid, silu, tanh

OPS: dict[str, tuple[Op, str]] = {
    "relu": (relu, "the ReLU"),
    "sigmoid": (sigmoid, "the sigmoid"),
    "tanh": (tanh, "tanh"),
    "hard-sigmoid": (hard_sigmoid, "the hard sigmoid"),
    "silu": (silu, "silu"),
}


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


# In place of the derivative: functions of x, y and s = sigmoid(x).
Derivative = Callable[[Array, Array, Array], Any]
DERIVATIVES: dict[str, dict[str, tuple[str, Derivative]]] = {
    "relu": {
        "mask-missing": ("the mask is missing", lambda x, y, s: 1),
        "mask-inverted": ("the mask is inverted", lambda x, y, s: x <= 0),
        "y-for-mask": ("{y} in place of the mask", lambda x, y, s: y),
        "x-for-mask": ("{x} in place of the mask", lambda x, y, s: x),
        "abs": (
            "the sign of {x} in place of the mask: the rule of abs",
            lambda x, y, s: np.sign(x),
        ),
        "mask-at-one": ("the mask is {x} > 1", lambda x, y, s: x > 1),
        "leaky": ("slope 0.01 for negative {x}: leaky", lambda x, y, s: np.where(x > 0, 1, 0.01)),
        "mask-of-sample-0": ("the mask of sample 0 is used for all", lambda x, y, s: x[:1] > 0),
    },
    "sigmoid": {
        "missing": ("the derivative of the sigmoid is missing", lambda x, y, s: 1),
        "1-y-missing": ("1 - {y} is missing", lambda x, y, s: y),
        "y-missing": ("{y} is missing", lambda x, y, s: 1 - y),
        "x-for-y": ("{x} (1 - {x}) in place of {y} (1 - {y})", lambda x, y, s: x * (1 - x)),
        "tanh": ("the rule of tanh, 1 - {y}^2", lambda x, y, s: 1 - y * y),
        "tanh-of-x": ("the rule of tanh, 1 - tanh({x})^2", lambda x, y, s: 1 - np.tanh(x) ** 2),
        "sign": ("the sign is wrong, {y} ({y} - 1)", lambda x, y, s: y * (y - 1)),
        "derivative-twice": (
            "the derivative of the sigmoid is applied twice",
            lambda x, y, s: (y * (1 - y)) ** 2,
        ),
        "sign-in-exp": (
            "the sign of {x} is wrong in exp",
            lambda x, y, s: np.exp(2 * x) * y * (1 - y),
        ),
        "1-plus-y": ("1 + {y} in place of 1 - {y}", lambda x, y, s: y * (1 + y)),
    },
    "tanh": {
        "missing": ("the derivative of tanh is missing", lambda x, y, s: 1),
        "not-squared": ("1 - {y} in place of 1 - {y}^2", lambda x, y, s: 1 - y),
        "abs-for-square": ("abs({y}) in place of {y}^2", lambda x, y, s: 1 - np.abs(y)),
        "doubled": ("{y}*2 in place of {y}^2", lambda x, y, s: 1 - 2 * y),
        "1-plus-y2": ("1 + {y}^2 in place of 1 - {y}^2", lambda x, y, s: 1 + y * y),
        "x-for-y": ("1 - {x}^2 in place of 1 - {y}^2", lambda x, y, s: 1 - x * x),
        "cosh": ("1/cosh({x}) in place of 1/cosh({x})^2", lambda x, y, s: 1 / np.cosh(x)),
        "sigmoid": ("the rule of the sigmoid, {y} (1 - {y})", lambda x, y, s: y * (1 - y)),
    },
    "hard-sigmoid": {
        "mask-missing": ("the mask is missing", lambda x, y, s: 1 / 6),
        "slope-missing": ("the slope 1/6 is missing", lambda x, y, s: np.abs(x) < 3),
        "missing": ("the slope 1/6 and the mask are missing", lambda x, y, s: 1),
        "slope": ("the slope 1/5 in place of 1/6", lambda x, y, s: (np.abs(x) < 3) / 5),
        "mask-inverted": ("the mask is inverted", lambda x, y, s: (np.abs(x) >= 3) / 6),
        "relu": (
            "the mask begins at {x} > 0, as that of ReLU or ReLU6",
            lambda x, y, s: (x > 0) / 6,
        ),
        "relu6": (
            "the mask is 0 < {x} < 6: it is not shifted",
            lambda x, y, s: ((x > 0) & (x < 6)) / 6,
        ),
        "sigmoid": ("the rule of the sigmoid, {y} (1 - {y})", lambda x, y, s: y * (1 - y)),
    },
    "silu": {
        "missing": ("the derivative of silu is missing", lambda x, y, s: 1),
        "sigmoid-alone": ("sigmoid({x}) alone: {x} s (1 - s) is missing", lambda x, y, s: s),
        "sigmoid-missing": ("{x} s (1 - s) alone: + s is missing", lambda x, y, s: y * (1 - s)),
        "x-missing": ("the factor {x} is missing: s + s (1 - s)", lambda x, y, s: s + s * (1 - s)),
        "1-s-missing": ("1 - s is missing: s + {x} s", lambda x, y, s: s + y),
        "s-missing": ("s is missing: s + {x} (1 - s)", lambda x, y, s: s + x * (1 - s)),
        "y-for-s": ("1 - {y} in place of 1 - s", lambda x, y, s: s + y * (1 - y)),
        "sign": ("the second sign is wrong: s - {x} s (1 - s)", lambda x, y, s: s - y * (1 - s)),
        "1-s-alone": ("the derivative of the sigmoid, s (1 - s)", lambda x, y, s: s * (1 - s)),
        "sigmoid": ("the rule of the sigmoid, {y} (1 - {y})", lambda x, y, s: y * (1 - y)),
        "relu": ("the mask of ReLU, {x} > 0", lambda x, y, s: x > 0),
    },
}


def _times(of: Op, derivative: Derivative) -> Callable[..., dict[int, Array]]:
    def wrong(args: tuple[Array], dy: Array) -> dict[int, Array]:
        x = args[0]
        return {0: dy * derivative(x, of(x)[0], logistic(x))}

    return wrong


def _without_dy(of: Op, args: tuple[Array], dy: Array) -> dict[int, Array]:
    return {0: of(args[0])[1](np.ones_like(dy))}


def _twice(of: Op, args: tuple[Array], dy: Array) -> dict[int, Array]:
    return {0: of(of(args[0])[0])[1](dy)}


for name, (op, title) in OPS.items():
    known(op)
    for code, (says, derivative) in DERIVATIVES[name].items():
        mistake(f"{name}.{code}", of=op, says=says)(_times(op, derivative))
    mistake(f"{name}.dy-ignored", of=op, says="d{y} is ignored: the derivative itself")(
        partial(_without_dy, op)
    )
    if op not in (relu, hard_sigmoid):  # whose slope is 1, or 1/6, the second time
        mistake(
            f"{name}.twice",
            of=op,
            says=f"its derivative is taken at {{y}}, not at {{x}}: {title} is applied twice",
        )(partial(_twice, op))

for code, says, rule in [
    ("mask-by-dy", "it is masked by the sign of d{y}", lambda x, dy: dy * (dy > 0)),
    (
        "mask-by-dy-too",
        "it is masked by the sign of d{y} too",
        lambda x, dy: dy * (dy > 0) * (x > 0),
    ),
]:
    mistake(f"relu.{code}", of=relu, says=says)(lambda args, dy, r=rule: {0: r(args[0], dy)})

for code, says, rule in [
    ("dy-for-y", "d{y} (1 - d{y}) in place of {y} (1 - {y})", lambda y, dy: dy * (1 - dy)),
    ("cross-entropy", "{y} - d{y}: the rule of the cross-entropy", lambda y, dy: y - dy),
]:
    mistake(f"sigmoid.{code}", of=sigmoid, says=says)(
        lambda args, dy, r=rule: {0: r(logistic(args[0]), dy)}
    )

# Wrong forward passes: functions of x in place of y.
FORMULAS: dict[str, dict[str, tuple[str, Callable[[Array], Array]]]] = {
    "relu": {
        "abs": ("abs in place of the ReLU", np.abs),
        "sign": ("min({x}, 0) in place of max({x}, 0)", lambda x: np.minimum(x, 0)),
        "leaky": ("slope 0.01 for negative {x}: a leaky ReLU", lambda x: np.maximum(x, 0.01 * x)),
    },
    "sigmoid": {
        "sign": ("the sign of {x} in exp is wrong", lambda x: logistic(-x)),
        "softmax": (
            "the softmax of each row in place of the sigmoid",
            lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
        ),
    },
    "tanh": {"half": ("tanh({x}/2): 2 sigmoid({x}) - 1", lambda x: np.tanh(x / 2))},
    "hard-sigmoid": {
        "slope": ("the slope 1/5 in place of 1/6", lambda x: np.clip(x / 5 + 0.5, 0, 1)),
        "not-clipped": ("it is not clipped", lambda x: x / 6 + 0.5),
        "offset": ("the offset 1/2 is missing", lambda x: np.clip(x / 6, 0, 1)),
    },
    "silu": {
        "sign": ("the sign of {x} in exp is wrong", lambda x: x * logistic(-x)),
        "gelu": ("sigmoid(1.702 {x}): about gelu", lambda x: x * logistic(1.702 * x)),
        "hard": ("{x} times the hard sigmoid of {x}", lambda x: x * hard_sigmoid(x)[0]),
    },
}


def _instead(of: str, code: str, says: str, formula: Callable[[Array], Array]) -> None:
    wrong_forward(f"{of}.forward.{code}", of=OPS[of][0], says=says)(lambda args: formula(args[0]))


def _output(*ops: Op) -> Callable[[Array], Array]:
    """Apply one operation after the other."""

    def formula(x: Array) -> Array:
        for op in ops:
            x = op(x)[0]
        return x

    return formula


for of, (op, own) in OPS.items():
    _instead(of, "missing", f"{own} is missing", lambda x: 1 * x)
    for code, (says, formula) in FORMULAS[of].items():
        _instead(of, code, says, formula)
    for name, (other, title) in OPS.items():
        if other is not op:
            _instead(of, name, f"{title} in place of {own}", _output(other))
        elif op is not relu:
            _instead(of, "twice", f"{own} is applied twice", _output(op, op))
