"""Layers with explicit parameters, and the tiny SE conv net that is made of them.

A layer holds settings and no arrays. Parameters and their gradients are plain dicts:

    params = net.init(rng)
    y, backward = net(params, x)
    dx, grads = backward(dy)        # grads has the keys of params
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

import numpy as np

from numpy_se.contract import Array, run_op
from numpy_se.fused import squeeze_excite
from numpy_se.ops import (
    add,
    conv2d,
    flatten,
    global_avg_pool,
    linear,
    max_pool2d,
    relu,
    sigmoid,
)
from numpy_se.se import UnaryOp, WidthRule, excitation, reduced_width

Params: TypeAlias = dict[str, Array]
LayerBackward: TypeAlias = Callable[[Array], tuple[Array, Params]]


class Layer(Protocol):
    """What every layer can do. A net is a layer too."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parameters."""

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        """Draw the parameters, as arrays of ``dtype`` (np.float32 or np.float64)."""

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        """Compute ``y, backward``; ``backward(dy)`` gives dx and the gradients of ``params``."""


@dataclass(frozen=True)
class Conv2d:
    """``conv2d`` from ``channels`` to ``filters`` channels. Parameters: w, b.

    With ``input_grad=False``, as the first layer on data, it gives None for dx and saves its time.
    """

    channels: int
    filters: int
    size: int = 3
    stride: int = 1
    padding: int = 1
    bias: bool = True
    input_grad: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return ("w", "b") if self.bias else ("w",)

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        shape = (self.filters, self.channels, self.size, self.size)
        arrays: tuple[Array, ...] = _he_normal(rng, shape, dtype), np.zeros(self.filters, dtype)
        return dict(zip(self.names, arrays, strict=False))

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        options = {"stride": self.stride, "padding": self.padding, "input_grad": self.input_grad}
        return _apply(self, conv2d, params, x, **options)


@dataclass(frozen=True)
class Linear:
    """``linear`` from ``inputs`` to ``outputs`` entries. Parameters: w, b."""

    inputs: int
    outputs: int
    bias: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        return ("w", "b") if self.bias else ("w",)

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        arrays: tuple[Array, ...] = (
            _he_normal(rng, (self.outputs, self.inputs), dtype),
            np.zeros(self.outputs, dtype),
        )
        return dict(zip(self.names, arrays, strict=False))

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return _apply(self, linear, params, x)


@dataclass(frozen=True)
class SqueezeExcite:
    """``squeeze_excite`` on ``channels`` channels. Parameters: w1, w2, and with ``bias`` b1, b2.

    The width of the bottleneck is ``reduced_width(channels, ratio, rule)``, which raises
    ValueError when no hidden unit is left.
    """

    channels: int
    ratio: float = 16
    rule: WidthRule = "paper"
    bias: bool = False
    squeeze: UnaryOp = global_avg_pool
    gate: UnaryOp = sigmoid

    def __post_init__(self) -> None:
        reduced_width(self.channels, self.ratio, self.rule)

    @property
    def names(self) -> tuple[str, ...]:
        return ("w1", "w2", "b1", "b2") if self.bias else ("w1", "w2")

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        width = reduced_width(self.channels, self.ratio, self.rule)
        arrays: tuple[Array, ...] = (
            _he_normal(rng, (width, self.channels), dtype),
            _he_normal(rng, (self.channels, width), dtype),
            np.zeros(width, dtype),
            np.zeros(self.channels, dtype),
        )
        return dict(zip(self.names, arrays, strict=False))

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return _apply(self, squeeze_excite, params, x, squeeze=self.squeeze, gate=self.gate)

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates s (N, C) that the layer gives to ``x`` (N, C, H, W)."""
        return excitation(x, **params, squeeze=self.squeeze, gate=self.gate)[0]


class Apply:
    """A layer without parameters, such as ``Apply(max_pool2d, size=2)``: op(x, size=2)."""

    names: tuple[str, ...] = ()

    def __init__(self, op: Callable[..., Any], **options: Any) -> None:
        self.op: UnaryOp = partial(op, **options)
        title = getattr(op, "__name__", repr(op))  # a partial has no name
        self.title = ", ".join([title, *(f"{k}={v!r}" for k, v in options.items())])

    def __repr__(self) -> str:
        return f"Apply({self.title})"

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return {}

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        y, op_backward = run_op("Apply: op", self.op, x)
        return y, lambda dy: (op_backward(dy), {})


class Sequential:
    """Layers one after the other, each with a name. Parameters: ``<name>.<parameter>``.

    net = Sequential(conv=Conv2d(1, 16), relu=Apply(relu), se=SqueezeExcite(16, ratio=4))
    net.init(rng)       # {"conv.w": ..., "conv.b": ..., "se.w1": ..., "se.w2": ...}
    """

    def __init__(self, **layers: Layer) -> None:
        if dotted := [name for name in layers if "." in name]:
            raise ValueError(f"Sequential: a layer is named {dotted[0]!r}; names want no dot")
        self.layers = layers

    def __repr__(self) -> str:
        lines = [
            f"{name}={layer!r},".replace("\n", "\n    ") for name, layer in self.layers.items()
        ]
        return "\n    ".join([f"{type(self).__name__}(", *lines]) + "\n)"

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{name}.{own}" for name, layer in self.layers.items() for own in layer.names)

    def after(self, place: str, **layers: Layer) -> Sequential:
        """Build the same net with more layers after the layer named ``place``.

        net.after("relu1", se1=SqueezeExcite(16)) puts an SE block into any net. Raises ValueError
        when there is no such layer, or when a name is taken.
        """
        if place not in self.layers:
            raise ValueError(f"after: place is {place!r}; it wants one of {', '.join(self.layers)}")
        if taken := self.layers.keys() & layers.keys():
            raise ValueError(f"after: the net has a layer {', '.join(sorted(taken))} already")
        grown: dict[str, Layer] = {}
        for name, layer in self.layers.items():
            grown |= {name: layer} | (layers if name == place else {})
        return type(self)(**grown)

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return {
            f"{name}.{key}": value
            for name, layer in self.layers.items()
            for key, value in layer.init(rng, dtype).items()
        }

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        self._check(params)
        layer_backwards = []
        for name, layer in self.layers.items():
            x, layer_backward = layer(self.own_params(params, name), x)
            layer_backwards.append((name, layer_backward))

        def backward(dy: Array) -> tuple[Array, Params]:
            grads: Params = {}
            for name, layer_backward in reversed(layer_backwards):
                dy, layer_grads = layer_backward(dy)
                grads |= {f"{name}.{key}": grad for key, grad in layer_grads.items()}
            return dy, {key: grads[key] for key in params}

        return x, backward

    def own_params(self, params: Mapping[str, Array], name: str) -> Params:
        """Pick the parameters of one layer, under the names that the layer uses."""
        return {own: params[f"{name}.{own}"] for own in self.layers[name].names}

    def gates(self, params: Mapping[str, Array], x: Array) -> dict[str, Array]:
        """Compute the gates (N, C) of every SE layer of the net, by its name, for a batch ``x``."""
        self._check(params)
        gates: dict[str, Array] = {}
        for name, layer in self.layers.items():
            own = self.own_params(params, name)
            if isinstance(layer, SqueezeExcite):
                gates[name] = layer.gates(own, x)
            elif isinstance(layer, Sequential):
                inner = layer.gates(own, x)
                gates |= {f"{name}.{key}": value for key, value in inner.items()}
            x, _ = layer(own, x)
        return gates

    def _check(self, params: Mapping[str, Array]) -> None:
        """Refuse parameters that are not those of the net."""
        if wrong := params.keys() ^ set(self.names):
            missing, unknown = wrong - params.keys(), wrong & params.keys()
            what = f"lacks {min(missing)}" if missing else f"has {min(unknown)}, which it must not"
            raise ValueError(f"params {what}; it wants {', '.join(self.names)}")


class Residual(Sequential):
    """A chain of layers whose input is added to its output: ``y = chain(x) + x``.

    An SE block as its last layer makes it the SE-ResNet module of the paper's Fig. 3. ``x`` feeds
    the chain and the sum, so its two gradients add. The chain must keep the shape of ``x``.
    """

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        branch, back_chain = super().__call__(params, x)
        y, back_add = add(branch, x)

        def backward(dy: Array) -> tuple[Array, Params]:
            dbranch, dskip = back_add(dy)
            dx, grads = back_chain(dbranch)
            return dx + dskip, grads

        return y, backward


def tiny_net(ratio: float | None = 4, classes: int = 10, *, input_grad: bool = True) -> Sequential:
    """Build a conv net for 28 x 28 digits: three stages of 16, 32 and 64 channels.

    Each stage is a 3x3 convolution, a ReLU, an SE block and 2x2 max pooling; a linear layer
    classifies. With ``ratio=None`` the same net without SE. With ``input_grad=False`` it does not
    compute the gradient of the images, which training has no use for: dx is None.
    Raises ValueError when a stage has fewer channels than ``ratio``.
    """
    net = Sequential(
        conv1=Conv2d(1, 16, input_grad=input_grad),  # (N, 16, 28, 28)
        relu1=Apply(relu),
        pool1=Apply(max_pool2d, size=2),  # (N, 16, 14, 14)
        conv2=Conv2d(16, 32),  # (N, 32, 14, 14)
        relu2=Apply(relu),
        pool2=Apply(max_pool2d, size=2),  # (N, 32, 7, 7)
        conv3=Conv2d(32, 64),  # (N, 64, 7, 7)
        relu3=Apply(relu),
        pool3=Apply(max_pool2d, size=2),  # (N, 64, 3, 3)
        flatten=Apply(flatten),  # (N, 576)
        classify=Linear(576, classes),  # (N, classes)
    )
    if ratio is not None:
        net = net.after("relu1", se1=SqueezeExcite(16, ratio))
        net = net.after("relu2", se2=SqueezeExcite(32, ratio))
        net = net.after("relu3", se3=SqueezeExcite(64, ratio))
    return net


def _apply(
    layer: Layer, op: Callable[..., Any], params: Mapping[str, Array], x: Array, **options: Any
) -> tuple[Array, LayerBackward]:
    """Call ``op`` with the parameters of ``layer``, and name the gradients after them."""
    y, op_backward = op(x, *(params[name] for name in layer.names), **options)

    def backward(dy: Array) -> tuple[Array, Params]:
        dx, *dparams = op_backward(dy)
        return dx, dict(zip(layer.names, dparams, strict=True))

    return y, backward


def _he_normal(rng: np.random.Generator, shape: tuple[int, ...], dtype: type) -> Array:
    """Draw weights (outputs, inputs, ...) that keep the size of what passes a ReLU.

    The variance is 2 / fan_in. Source: He et al., arXiv 1502.01852, eq. 10.
    """
    fan_in = int(np.prod(shape[1:]))
    weights: Array = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
    return weights.astype(dtype)
