"""What one layer costs: specifications of layers, without arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

from numpy_se.contract import check_count
from numpy_se.se import WidthRule, reduced_width


@dataclass(frozen=True)
class Cost:
    """Parameters, and operations for one sample. Costs add up: ``cost + cost``.

    The SE blocks have fields of their own, so that no number of the net around them contains them.
    """

    weights: int = 0  # of convolutions and fully connected layers
    biases: int = 0
    norms: int = 0  # gamma and beta of batch norm
    statistics: int = 0  # running means and variances of batch norm: not trained
    macs: int = 0  # multiply-accumulates of convolutions and fully connected layers
    se_weights: int = 0
    se_biases: int = 0
    se_macs: int = 0  # multiply-accumulates of the two layers of eq. 3, or what stands for them
    se_squeezes: int = 0  # additions of eq. 2, over the entries of the map
    se_scales: int = 0  # multiplications of eq. 4, or additions to each entry

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(Cost)))

    @property
    def parameters(self) -> int:
        """All that training updates: without the statistics."""
        return self.weights + self.biases + self.norms + self.se_parameters

    @property
    def se_parameters(self) -> int:
        """The parameters that the SE blocks add."""
        return self.se_weights + self.se_biases

    @property
    def operations(self) -> int:
        """The FLOPs of the paper's tables."""
        return self.macs + self.se_operations

    @property
    def se_operations(self) -> int:
        """The operations that the SE blocks add."""
        return self.se_macs + self.se_squeezes + self.se_scales


class Layer(Protocol):
    """Whatever knows its cost can stand in a list of layers."""

    @property
    def cost(self) -> Cost:
        """The parameters, and the operations for one sample."""


@dataclass(frozen=True)
class Conv:
    """A convolution from ``channels`` to ``filters`` channels, on a map of ``map_size`` (H, W).

        weights = filters * channels / groups * kernel^2
        macs    = weights * OH * OW,      OH = (H + 2*padding - kernel) // stride + 1

    Each of the ``groups`` sees its own part of the channels. With ``padding=None`` it is
    ``kernel // 2``: an odd kernel then keeps the map at stride 1 and halves it at stride 2.
    Raises TypeError for what is no whole number. Raises ValueError for a number that is too small,
    groups that do not divide the channels and the filters, or a kernel that does not fit.
    """

    channels: int
    filters: int
    kernel: int
    map_size: tuple[int, int]
    stride: int = 1
    groups: int = 1
    bias: bool = False
    padding: int | None = None

    def __post_init__(self) -> None:
        for name in ("channels", "filters", "kernel", "stride", "groups"):
            check_count("Conv", name, getattr(self, name), at_least=1)
        check_count("Conv", "padding", self._padding, at_least=0)
        _check_map_size("Conv", self.map_size)
        if self.channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"Conv: groups is {self.groups}; it wants a divisor of "
                f"channels ({self.channels}) and filters ({self.filters})"
            )
        if self.kernel > min(self.map_size) + 2 * self._padding:
            raise ValueError(
                f"Conv: kernel is {self.kernel}; it wants at most the side of the map "
                f"{self.map_size} with padding {self._padding}"
            )

    @property
    def _padding(self) -> int:
        return self.kernel // 2 if self.padding is None else self.padding

    @property
    def cost(self) -> Cost:
        weights = self.filters * self.channels // self.groups * self.kernel**2
        rows, columns = (
            (side + 2 * self._padding - self.kernel) // self.stride + 1 for side in self.map_size
        )
        return Cost(weights=weights, biases=self.filters * self.bias, macs=weights * rows * columns)


@dataclass(frozen=True)
class FullyConnected:
    """A linear layer from ``inputs`` to ``outputs`` entries: one operation for each weight.

    Raises TypeError for what is no whole number, and ValueError for less than 1.
    """

    inputs: int
    outputs: int
    bias: bool = True

    def __post_init__(self) -> None:
        check_count("FullyConnected", "inputs", self.inputs, at_least=1)
        check_count("FullyConnected", "outputs", self.outputs, at_least=1)

    @property
    def cost(self) -> Cost:
        weights = self.inputs * self.outputs
        return Cost(weights=weights, biases=self.outputs * self.bias, macs=weights)


@dataclass(frozen=True)
class BatchNorm:
    """Batch norm of ``channels`` channels: gamma, beta, running mean and running variance.

    Raises TypeError for what is no whole number, and ValueError for less than 1.
    """

    channels: int

    def __post_init__(self) -> None:
        check_count("BatchNorm", "channels", self.channels, at_least=1)

    @property
    def cost(self) -> Cost:
        return Cost(norms=2 * self.channels, statistics=2 * self.channels)


@dataclass(frozen=True)
class SEBlock:
    """An SE block on ``channels`` channels (C) and a map of ``map_size`` (H, W).

        se_weights = 2 C R            R = width, or else reduced_width(C, ratio, rule)
        se_biases  = R + C            with ``bias``; eq. 3 has none, the official models have them
        se_macs    = 2 C R            the two layers of eq. 3
        se_squeezes, se_scales = C H W

    With ``squeeze=False`` it is the NoSqueeze of Table 16: both layers work at every pixel, as 1x1
    convolutions. Then se_macs = 2 C R H W and se_squeezes = 0.
    ``stage`` says where the block stands, in the numbers of Table 13. It changes no count.
    Raises TypeError for what is no whole number. Raises ValueError for a number that is too small,
    or a ratio that leaves no hidden unit.
    """

    channels: int
    map_size: tuple[int, int]
    ratio: float = 16
    bias: bool = False
    rule: WidthRule = "paper"
    squeeze: bool = True
    stage: int | None = None
    width: int | None = None

    def __post_init__(self) -> None:
        _check_map_size("SEBlock", self.map_size)
        check_count("SEBlock", "channels", self.channels, at_least=1)
        check_count("SEBlock", "width", self._hidden(), at_least=1)

    def _hidden(self) -> int:
        if self.width is not None:
            return self.width
        return reduced_width(self.channels, self.ratio, self.rule)

    @property
    def cost(self) -> Cost:
        width = self._hidden()
        weights = 2 * self.channels * width
        pixels = self.map_size[0] * self.map_size[1]
        return Cost(
            se_weights=weights,
            se_biases=(width + self.channels) * self.bias,
            se_macs=weights * (1 if self.squeeze else pixels),
            se_squeezes=self.channels * pixels * self.squeeze,
            se_scales=self.channels * pixels,
        )


def _check_map_size(title: str, map_size: object) -> None:
    if not (isinstance(map_size, tuple) and len(map_size) == 2):
        raise TypeError(f"{title}: map_size is {map_size!r}; it wants (H, W)")
    for side in map_size:
        check_count(title, "a side of map_size", side, at_least=1)
