"""A block around SE as a layer: what all of them have in common."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, ClassVar

import numpy as np

from numpy_se.contract import Array, check_count
from numpy_se.nets.layer import Layer, LayerBackward, Params, Step, apply_op, he_normal


class Relative(Layer):
    """A block on ``channels`` channels, with the arrays of ``shapes``, in the order of its op.

    A subclass says which operations it is, ``block`` (x, ...) -> y and ``gates_op`` (x, ...) ->
    gates, as static methods, and what its ``shapes`` and its ``macs`` are. ``squeezes`` and
    ``scales`` count how often it adds up, and scales, all entries of the map. All that it adds to a
    net is counted in the fields of ``costs.Cost`` that begin with se: factors such as gamma among
    the weights, and what is added, such as beta, among the biases.
    """

    channels: int
    block: ClassVar[Callable[..., Any]]
    gates_op: ClassVar[Callable[..., Any]]
    squeezes: ClassVar[int] = 1
    scales: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_count(type(self).__name__, "channels", self.channels, at_least=1)
        dict(self.shapes)  # raises where a ratio or a size leaves nothing

    @property
    def options(self) -> dict[str, Any]:
        """The options of the operations."""
        return {}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shapes)

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return he_normal(self.shapes, rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        self.check_channels(x)
        return apply_op(self, self.block, params, x, **self.options)

    def gates(self, params: Mapping[str, Array], x: Array) -> Array:
        """Compute the gates that the layer gives to ``x`` (N, C, H, W)."""
        self.check_channels(x)
        gates: Array = self.gates_op(x, *(params[name] for name in self.names), **self.options)[0]
        return gates

    def check_channels(self, x: Array) -> None:
        """Raise ValueError for maps of another number of channels."""
        if np.ndim(x) == 4 and x.shape[1] != self.channels:
            got = f"x has {x.shape[1]} channels"
            raise ValueError(f"{type(self).__name__}: {got}; the layer wants {self.channels}")

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        gates = self.gates(params, x)
        y, _ = self(params, x)
        yield Step("", self, x, y, gates if gates.ndim == 2 else None)
        return y

    def macs(self, y: Array) -> int:
        """Count the multiplications of the gates for one sample: by default, one for a weight."""
        return sum(int(np.prod(shape)) for shape in self.shapes.values() if len(shape) > 1)

    def counts(self, y: Array) -> dict[str, int]:
        sizes = {name: int(np.prod(self.shapes[name])) for name in self.names}
        biases = sum(size for name, size in sizes.items() if name.startswith("b"))
        return {
            "se_weights": sum(sizes.values()) - biases,
            "se_biases": biases,
            "se_macs": self.macs(y),
            "se_squeezes": self.squeezes * y[0].size,
            "se_scales": self.scales * y[0].size,
        }
