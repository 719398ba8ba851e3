"""Mistakes in activations: what people multiply ``dy`` with in place of the derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_se import ops
from numpy_se.contract import Array
from numpy_se.checker.mistakes.common import Mistakes

Rule = Callable[[Array], Array]


def relu_rules(x: Array, y: Array) -> dict[str, Rule]:
    """Return wrong gradients of ReLU."""
    return {
        "the mask is missing": lambda dy: dy,
        "it is masked by the sign of dy": lambda dy: np.where(dy > 0, dy, 0),
        "it is masked by the sign of dy too": lambda dy: np.where((x > 0) & (dy > 0), dy, 0),
        "the mask is inverted": lambda dy: np.where(x > 0, 0, dy),
        "it is the mask itself, without dy": lambda dy: np.where(x > 0, 1.0, 0),
        "y in place of the mask": lambda dy: y * dy,
        "x in place of the mask": lambda dy: x * dy,
        "the sign of x in place of the mask: the rule of abs": lambda dy: np.sign(x) * dy,
        "the mask is x > 1": lambda dy: np.where(x > 1, dy, 0),
        "slope 0.01 where x is negative: a leaky ReLU": lambda dy: np.where(x > 0, dy, 0.01 * dy),
        "the mask of sample 0 is used for all": lambda dy: np.where(x[:1] > 0, dy, 0),
    }


def sigmoid_rules(x: Array, y: Array) -> dict[str, Rule]:
    """Return wrong gradients of the sigmoid."""
    twice = ops.sigmoid(y)[0]
    return {
        "the derivative of the sigmoid is missing": lambda dy: dy,
        "1 - y is missing": lambda dy: dy * y,
        "y is missing": lambda dy: dy * (1 - y),
        "x (1 - x) in place of y (1 - y)": lambda dy: dy * x * (1 - x),
        "the sigmoid is applied twice": lambda dy: dy * twice * (1 - twice),
        "the rule of tanh, 1 - y^2": lambda dy: dy * (1 - y * y),
        "the rule of tanh, 1 - tanh(x)^2": lambda dy: dy * (1 - np.tanh(x) ** 2),
        "the sign is wrong, y (y - 1)": lambda dy: dy * y * (y - 1),
        "the derivative of the sigmoid is applied twice": lambda dy: dy * (y * (1 - y)) ** 2,
        "the sign of x is wrong in exp": lambda dy: dy * np.exp(2 * x) * y * (1 - y),
        "dy (1 - dy) in place of y (1 - y)": lambda dy: dy * (1 - dy),
        "y - dy: the rule of the cross-entropy": lambda dy: y - dy,
        "1 + y in place of 1 - y": lambda dy: dy * y * (1 + y),
        "dy is ignored": lambda dy: y * (1 - y),
    }


def tanh_rules(x: Array, y: Array) -> dict[str, Rule]:
    """Return wrong gradients of tanh."""
    return {
        "y*2 in place of y^2": lambda dy: dy * (1 - 2 * y),
        "1/cosh(x) in place of 1/cosh(x)^2": lambda dy: dy / np.cosh(x),
        "the derivative of tanh is missing": lambda dy: dy,
        "the rule of the sigmoid, y (1 - y)": lambda dy: dy * y * (1 - y),
        "1 - x^2 in place of 1 - y^2": lambda dy: dy * (1 - x * x),
        "1 - y in place of 1 - y^2": lambda dy: dy * (1 - y),
        "y is not squared": lambda dy: dy * (1 - np.abs(y)),
        "1 + y^2 in place of 1 - y^2": lambda dy: dy * (1 + y * y),
        "tanh is applied twice": lambda dy: dy * (1 - np.tanh(y) ** 2),
    }


def hard_sigmoid_rules(x: Array, y: Array) -> dict[str, Rule]:
    """Return wrong gradients of the hard sigmoid."""
    inside = np.abs(x) < 3
    return {
        "the mask is missing": lambda dy: dy / 6,
        "the slope 1/6 and the mask are missing": lambda dy: dy,
        "the mask is inverted": lambda dy: np.where(inside, 0, dy / 6),
        "the mask of ReLU, x > 0": lambda dy: np.where(x > 0, dy / 6, 0),
        "the rule of the sigmoid, y (1 - y)": lambda dy: dy * y * (1 - y),
        "the slope 1/5 in place of 1/6": lambda dy: np.where(inside, dy / 5, 0),
    }


RULES = {
    ops.relu: relu_rules,
    ops.sigmoid: sigmoid_rules,
    ops.tanh: tanh_rules,
    ops.hard_sigmoid: hard_sigmoid_rules,
}


def activation(op: Any, args: tuple[Array], dy: Array, sizes: Any) -> Mistakes:
    for cause, rule in RULES[op](args[0], op(args[0])[0]).items():
        yield cause, {0: rule(dy)}
