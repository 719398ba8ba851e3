"""Update rules over dicts of arrays, and a learning-rate schedule.

    state = rule.init(params)
    params, state = rule.step(params, grads, state, lr)

``step`` steps what has a gradient, and hands on the rest of ``params``. It builds new dicts and
changes none that it gets, so that an interrupted run keeps the last whole step. Settings are taken
as Python floats: a NumPy float64 among them would turn float32 parameters into float64. One that is
no number raises TypeError, one out of its range ValueError. Weight decay applies to weights, that
is to arrays of two and more axes, not to biases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeAlias

import numpy as np

from numpy_se.contract import Array, check_number, typed

Arrays: TypeAlias = Mapping[str, Array]


class Rule(Protocol):
    """What every update rule can do."""

    def init(self, params: Arrays) -> dict[str, Array]:
        """Build the state of the first step, a dict of arrays."""

    def step(
        self, params: Arrays, grads: Arrays, state: Arrays, lr: float
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Compute the parameters and the state after one step with learning rate ``lr``."""


class _Settings:
    """The settings of a rule have names: a number alone may be taken for the learning rate."""

    def __new__(cls, *unnamed: object, **settings: object) -> Self:
        if unnamed or "lr" in settings:
            named = "its settings have names, such as weight_decay=1e-4"
            wanted = "parameters go into rule.init(params), lr into rule.step(..., lr)"
            raise TypeError(f"{cls.__name__}: {named}; {wanted}")
        return super().__new__(cls)


@dataclass(frozen=True, kw_only=True)
class SGD(_Settings):
    """Gradient descent with momentum.

        v <- momentum * v + grad + weight_decay * param
        param <- param - lr * v

    Source: Sutskever et al., ICML 2013, in the form of PyTorch's SGD.
    """

    momentum: float = 0.9
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_range("SGD", "momentum", self.momentum, below=1)
        _check_range("SGD", "weight_decay", self.weight_decay)

    def init(self, params: Arrays) -> dict[str, Array]:
        return {f"{key}.v": np.zeros_like(param) for key, param in params.items()}

    def step(
        self, params: Arrays, grads: Arrays, state: Arrays, lr: float
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        pairs = _pairs(params, grads, state, "v")
        lr, momentum, weight_decay = map(float, (lr, self.momentum, self.weight_decay))
        stepped, moved = dict(params), dict(state)
        for key, grad, param in pairs:
            decay = weight_decay if param.ndim > 1 else 0.0
            v = momentum * state[f"{key}.v"] + grad + decay * param
            moved[f"{key}.v"] = v
            stepped[key] = param - lr * v
        return stepped, moved


@dataclass(frozen=True, kw_only=True)
class Adam(_Settings):
    """Steps scaled by running moments of each entry's gradient, with decoupled weight decay.

        m <- beta1 * m + (1 - beta1) * grad             mean
        v <- beta2 * v + (1 - beta2) * grad^2           mean square
        param <- param - lr * (mhat / (sqrt(vhat) + eps) + weight_decay * param)

    mhat = m / (1 - beta1^t) and vhat = v / (1 - beta2^t) undo the start of m and v at zero.
    Source: Kingma and Ba, arXiv 1412.6980, Algorithm 1; Loshchilov and Hutter, arXiv 1711.05101.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        _check_range("Adam", "beta1", self.beta1, below=1)
        _check_range("Adam", "beta2", self.beta2, below=1)
        _check_range("Adam", "eps", self.eps)
        if self.eps == 0:
            raise ValueError("Adam: eps is 0; it wants more, as a gradient may be 0")
        _check_range("Adam", "weight_decay", self.weight_decay)

    def init(self, params: Arrays) -> dict[str, Array]:
        state: dict[str, Array] = {"t": np.zeros(())}
        for key, param in params.items():
            state |= {f"{key}.m": np.zeros_like(param), f"{key}.v": np.zeros_like(param)}
        return state

    def step(
        self, params: Arrays, grads: Arrays, state: Arrays, lr: float
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        pairs = _pairs(params, grads, state, "m", "v", alone="t")
        beta1, beta2, eps = map(float, (self.beta1, self.beta2, self.eps))
        lr, weight_decay, t = float(lr), float(self.weight_decay), float(state["t"]) + 1
        stepped, moved = dict(params), {**state, "t": np.array(t)}
        for key, grad, param in pairs:
            m = beta1 * state[f"{key}.m"] + (1 - beta1) * grad
            v = beta2 * state[f"{key}.v"] + (1 - beta2) * grad * grad
            moved |= {f"{key}.m": m, f"{key}.v": v}
            mhat, vhat = m / (1 - beta1**t), v / (1 - beta2**t)
            decay = weight_decay if param.ndim > 1 else 0.0
            stepped[key] = param - lr * (mhat / (np.sqrt(vhat) + eps) + decay * param)
        return stepped, moved


def one_cycle(step: int, steps: int, peak: float, warmup: float = 0.3) -> float:
    """Learning rate of step 0 <= ``step`` < ``steps``: up to ``peak``, then down to almost zero.

    A straight rise over the first ``warmup`` share of the steps, then half a cosine.
    Source: Smith and Topin, arXiv 1708.07120; the cosine in place of a straight fall is fastai's.
    """
    position = (step + 1) / (steps + 1)
    if position < warmup:
        return peak * position / warmup
    return peak * (1 + math.cos(math.pi * (position - warmup) / (1 - warmup))) / 2


def _pairs(
    params: Arrays, grads: Arrays, state: Arrays, *parts: str, alone: str = ""
) -> list[tuple[str, Array, Array]]:
    """Give each gradient with its parameter. One of another shape would be broadcast.

    The state must have ``parts`` for each of them, as "w.v", and what stands ``alone``.
    """
    if not isinstance(grads, Mapping):
        wanted = "it wants a dict: dx, grads = backward(dy)"
        raise TypeError(f"step: grads is {typed(grads)}; {wanted}")
    if unknown := grads.keys() - params.keys():
        there = ", ".join(params) or "none"
        raise ValueError(f"step: grads has {min(unknown)}; params has {there}")
    wanted_state = {f"{key}.{part}" for key in grads for part in parts} | ({alone} - {""})
    if not isinstance(state, Mapping) or wanted_state - state.keys():
        raise ValueError("step: state is not of this rule and these params; begin with rule.init")
    for key, grad in grads.items():
        if np.shape(grad) != (wanted := params[key].shape):
            raise ValueError(f"step: {key} in grads has shape {np.shape(grad)}; it wants {wanted}")
    return [(key, grad, params[key]) for key, grad in grads.items()]


def _check_range(title: str, name: str, value: float, below: float = math.inf) -> None:
    check_number(title, name, value)
    if not 0 <= value < below:
        limit = "" if below == math.inf else f", and below {below}"
        raise ValueError(f"{title}: {name} is {value}; it wants at least 0{limit}")
