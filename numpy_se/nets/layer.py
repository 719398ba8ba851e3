"""What every layer can do. A net is a layer, too."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from numpy_se.contract import Array, in_short

Params: TypeAlias = dict[str, Array]
LayerBackward: TypeAlias = Callable[[Array], tuple[Array, Params]]


class Layer:
    """A layer with nothing to learn, until it says more."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the arrays in ``params`` that are trained."""
        return ()

    @property
    def statistics(self) -> tuple[str, ...]:
        """The names of those that follow the batches of training, and have no gradient."""
        return ()

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of arrays in ``params`` that the settings decide, and a net checks."""
        return {}

    @property
    def whole_batch(self) -> bool:
        """True if training wants all samples at once: where ``train`` is the layer's own."""
        return type(self).train is not Layer.train

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        """Draw the parameters, as arrays of ``dtype`` (np.float32 or np.float64)."""
        return {}

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        """Compute ``y, backward``; ``backward(dy)`` gives dx and the gradients of ``names``."""
        raise NotImplementedError

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        """Compute ``y, backward, seen`` in training.

        ``seen`` holds the statistics as they are when this batch has been seen.
        """
        return (*self(params, x), {})

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        """Go through the layers, one step after the other, and return ``y``."""
        y, _ = self(params, x)
        yield Step("", self, x, y)
        return y

    def counts(self, y: Array) -> dict[str, int]:
        """Count parameters and operations, by the names of ``costs.Cost``.

        ``y`` (1, ...) is the output for one sample. A layer with parameters must tell its own.
        """
        if self.names:
            raise TypeError(f"{type(self).__name__} has parameters; it wants a method counts")
        return {}


def check_rng(title: str, rng: object) -> None:
    """Refuse what is no generator of random numbers."""
    if not isinstance(rng, np.random.Generator):
        wanted = "it wants a generator, such as np.random.default_rng(0)"
        raise TypeError(f"{title}: rng is {in_short(rng)}; {wanted}")


def spelled(option: object) -> str:
    """Write an option of a layer as in code: a function by its name."""
    if isinstance(option, partial):
        named = (f"{name}={spelled(value)}" for name, value in option.keywords.items())
        return f"partial({', '.join([*map(spelled, (option.func, *option.args)), *named])})"
    return str(getattr(option, "__name__", repr(option)))


@dataclass(frozen=True)
class Step:
    """A layer at work: its name in the net, what came in and what went out, and its gates."""

    name: str
    layer: Layer
    x: Array
    y: Array
    gates: Array | None = None

    def below(self, name: str) -> Step:
        """The same, in a net where the layer around it is called ``name``."""
        return replace(self, name=f"{name}.{self.name}" if self.name else name)


def apply_op(
    layer: Layer, op: Callable[..., Any], params: Mapping[str, Array], x: Array, **options: Any
) -> tuple[Array, LayerBackward]:
    """Call ``op`` with the parameters of ``layer``, and name the gradients after them."""
    y, op_backward = op(x, *(params[name] for name in layer.names), **options)
    return y, named_gradients(layer, op_backward)


def named_gradients(layer: Layer, op_backward: Callable[[Array], Any]) -> LayerBackward:
    """Name the gradients of an operation after the parameters of ``layer``."""

    def backward(dy: Array) -> tuple[Array, Params]:
        gradients = op_backward(dy)
        dx, *dparams = gradients if isinstance(gradients, tuple) else (gradients,)
        return dx, dict(zip(layer.names, dparams, strict=True))

    return backward


def he_normal(
    shapes: Mapping[str, tuple[int, ...]], rng: np.random.Generator, dtype: type
) -> Params:
    """Draw weights (outputs, inputs, ...) that keep the size of what passes a ReLU; biases are 0.

    The variance is 2 / fan_in. Source: He et al., arXiv 1502.01852, eq. 10.
    """
    check_rng("init", rng)

    def draw(shape: tuple[int, ...]) -> Array:
        if len(shape) == 1:
            return np.zeros(shape, dtype)
        weights: Array = rng.standard_normal(shape) * math.sqrt(2 / math.prod(shape[1:]))
        return weights.astype(dtype)

    return {key: draw(shape) for key, shape in shapes.items()}
