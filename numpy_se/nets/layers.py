"""The layers: convolution, linear, batch norm, dropout, SE, and any operation as a layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any, Never

import numpy as np

from numpy_se import fused
from numpy_se.contract import Array, check_count, check_number, check_op, in_short, op, run_op
from numpy_se.nets.layer import (
    Layer,
    LayerBackward,
    Params,
    Step,
    apply_op,
    check_rng,
    he_normal,
    named_gradients,
    spelled,
)
from numpy_se.ops import (
    batch_norm_inference,
    channel_scale,
    conv2d,
    global_avg_pool,
    linear,
    relu,
    sigmoid,
)
from numpy_se.se import UnaryOp, WidthRule, excitation, reduced_width


@dataclass(frozen=True)
class Conv2d(Layer):
    """``conv2d`` from ``channels`` to ``filters`` channels. Parameters: w, b.

    By default ``padding`` is ``size // 2``: with an odd size and stride 1, a map keeps its sides.
    With ``input_grad=False``, as the first layer on data, it gives None for dx and saves its time.
    """

    channels: int
    filters: int
    size: int = 3
    stride: int = 1
    padding: int | None = None
    bias: bool = True
    input_grad: bool = True

    def __post_init__(self) -> None:
        for name in ("channels", "filters", "size", "stride"):
            check_count("Conv2d", name, getattr(self, name), at_least=1)
        if self.padding is not None:
            without = "; without one, a map keeps its sides"
            check_count("Conv2d", "padding", self.padding, at_least=0, hint=without)

    @property
    def names(self) -> tuple[str, ...]:
        return ("w", "b") if self.bias else ("w",)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        w = self.filters, self.channels, self.size, self.size
        return dict(zip(self.names, (w, (self.filters,)), strict=False))

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return he_normal(self.shapes, rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        padding = self.size // 2 if self.padding is None else self.padding
        options = {"stride": self.stride, "padding": padding, "input_grad": self.input_grad}
        return apply_op(self, conv2d, params, x, **options)

    def counts(self, y: Array) -> dict[str, int]:
        weights = self.filters * self.channels * self.size**2
        pixels = y[0, 0].size
        return {"weights": weights, "biases": self.filters * self.bias, "macs": weights * pixels}


@dataclass(frozen=True)
class Linear(Layer):
    """``linear`` from ``inputs`` to ``outputs`` entries. Parameters: w, b."""

    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_count("Linear", "inputs", self.inputs, at_least=1)
        check_count("Linear", "outputs", self.outputs, at_least=1)

    @property
    def names(self) -> tuple[str, ...]:
        return ("w", "b") if self.bias else ("w",)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        w, b = (self.outputs, self.inputs), (self.outputs,)
        return dict(zip(self.names, (w, b), strict=False))

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return he_normal(self.shapes, rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return apply_op(self, linear, params, x)

    def counts(self, y: Array) -> dict[str, int]:
        weights = self.inputs * self.outputs
        return {"weights": weights, "biases": self.outputs * self.bias, "macs": weights}


@dataclass(frozen=True)
class BatchNorm(Layer):
    """Batch norm of ``channels`` channels. Parameters: gamma, beta; statistics: mean, variance.

    Training normalises by the batch (``batch_norm``), and moves the statistics:

        mean     <- (1 - momentum) * mean     + momentum * m[c]
        variance <- (1 - momentum) * variance + momentum * v[c] * M / (M - 1)

    The second one is the unbiased variance of the M = N*H*W values of a channel. Evaluation
    normalises by the statistics (``batch_norm_inference``). Both are as in PyTorch's BatchNorm2d.
    """

    channels: int
    momentum: float = 0.1
    eps: float = 1e-5
    names = ("gamma", "beta")
    statistics = ("mean", "variance")

    def __post_init__(self) -> None:
        check_count("BatchNorm", "channels", self.channels, at_least=1)
        check_number("BatchNorm", "momentum", self.momentum)
        if not 0 < self.momentum <= 1:
            wanted = "it wants more than 0, and at most 1"
            raise ValueError(f"BatchNorm: momentum is {self.momentum}; {wanted}")
        check_number("BatchNorm", "eps", self.eps)
        if not 0 <= self.eps < math.inf:
            raise ValueError(f"BatchNorm: eps is {self.eps}; it wants a number of at least 0")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys((*self.names, *self.statistics), (self.channels,))

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        start = {"gamma": 1, "beta": 0, "mean": 0, "variance": 1}
        return {key: np.full(self.channels, value, dtype) for key, value in start.items()}

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        arrays = (params[name] for name in (*self.names, *self.statistics))
        y, op_backward = batch_norm_inference(x, *arrays, eps=self.eps)

        def backward(dy: Array) -> tuple[Array, Params]:
            dx, dgamma, dbeta, *_ = op_backward(dy)  # the statistics are not trained
            return dx, {"gamma": dgamma, "beta": dbeta}

        return y, backward

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        gamma, beta = params["gamma"], params["beta"]
        y, backward, mean, variance = fused.batch_norm(x, gamma, beta, eps=self.eps)
        count = x[:, 0].size
        batch: Params = {"mean": mean, "variance": variance * (count / (count - 1))}
        share = x.dtype.type(self.momentum)
        seen: Params = {
            key: (1 - share) * params[key] + share * value for key, value in batch.items()
        }
        return y, named_gradients(self, backward), seen

    def counts(self, y: Array) -> dict[str, int]:
        return {"norms": 2 * self.channels, "statistics": 2 * self.channels}


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, set a share ``rate`` of the entries to 0, at random, and scale the others.

        y = x * mask / (1 - rate)        so that the mean of y is x
        dx = dy * mask / (1 - rate)

    In evaluation it is the identity. Source: Srivastava et al., JMLR 15 (2014), 1929-1958.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        check_number("Dropout", "rate", self.rate)
        if not 0 <= self.rate < 1:
            raise ValueError(f"Dropout: rate is {self.rate}; it wants at least 0, and less than 1")

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        y, backward = _dropped(x, True, 0.0)
        return y, lambda dy: (backward(dy), {})

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        check_rng("Dropout", rng)
        keep = rng.random(np.shape(x), np.float32) >= self.rate
        y, backward = _dropped(x, keep, self.rate)
        return y, lambda dy: (backward(dy), {}), {}


@op("... -> ...")
def _dropped(x: Array, keep: Any, rate: float) -> tuple[Array, Callable[[Array], Array]]:
    """Set what is not kept to 0, and enlarge the rest. Keeps one byte for each entry of ``x``."""
    factor = 1 / x.dtype.type(1 - rate)
    return x * keep * factor, lambda dy: dy * keep * factor


@dataclass(frozen=True)
class SqueezeExcite(Layer):
    """``squeeze_excite`` on ``channels`` channels. Parameters: w1, w2, and with ``bias`` b1, b2.

    The bottleneck has ``width`` hidden units; by default it is ``reduced_width(channels, ratio,
    rule)``, which raises ValueError when no hidden unit is left.
    """

    channels: int
    ratio: float = 16
    rule: WidthRule = "paper"
    bias: bool = False
    squeeze: UnaryOp = global_avg_pool
    gate: UnaryOp = sigmoid
    width: int | None = None
    activation: UnaryOp = relu

    def __post_init__(self) -> None:
        check_count("SqueezeExcite", "channels", self.channels, at_least=1)
        check_count("SqueezeExcite", "width", self.hidden, at_least=1)
        for name, own in self.options.items():
            check_op(f"SqueezeExcite: {name}", own)

    def __repr__(self) -> str:
        options = (f"{f.name}={spelled(getattr(self, f.name))}" for f in fields(self))
        return f"SqueezeExcite({', '.join(options)})"

    @cached_property
    def hidden(self) -> int:
        """The number of hidden units R."""
        if self.width is not None:
            return self.width
        return reduced_width(self.channels, self.ratio, self.rule)

    @property
    def options(self) -> dict[str, Any]:
        """The operations of which the block is made."""
        return {"squeeze": self.squeeze, "activation": self.activation, "gate": self.gate}

    @property
    def names(self) -> tuple[str, ...]:
        return ("w1", "w2", "b1", "b2") if self.bias else ("w1", "w2")

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        c, r = self.channels, self.hidden
        return dict(zip(self.names, ((r, c), (c, r), (r,), (c,)), strict=False))

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return he_normal(self.shapes, rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return apply_op(self, fused.squeeze_excite, params, x, **self.options)

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates s (N, C) that the layer gives to ``x`` (N, C, H, W)."""
        return excitation(x, *(params[name] for name in self.names), **self.options)[0]

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        gates = self.gates(params, x)
        y, _ = channel_scale(x, gates)
        yield Step("", self, x, y, gates)
        return y

    def counts(self, y: Array) -> dict[str, int]:
        weights = 2 * self.channels * self.hidden
        return {
            "se_weights": weights,
            "se_biases": (self.hidden + self.channels) * self.bias,
            "se_macs": weights,
            "se_squeezes": y[0].size,
            "se_scales": y[0].size,
        }


class Apply(Layer):
    """A layer without parameters, such as ``Apply(max_pool2d, size=2)``: op(x, size=2)."""

    def __init__(self, op: Callable[..., Any], /, *unnamed: Never, **options: Any) -> None:
        check_op("Apply: op", op)
        if unnamed:
            example = f"Apply({spelled(op)}, size=2)"
            raise TypeError(f"Apply: {in_short(unnamed[0])} has no name; write {example}")
        self.op: UnaryOp = partial(op, **options)
        self.title = ", ".join([spelled(op), *(f"{k}={spelled(v)}" for k, v in options.items())])

    def __repr__(self) -> str:
        return f"Apply({self.title})"

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        y, op_backward = run_op("Apply: op", self.op, x)
        return y, lambda dy: (op_backward(dy), {})
