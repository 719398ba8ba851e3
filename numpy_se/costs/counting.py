"""Count a list of layers, and change its SE blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from numpy_se.contract import check_count
from numpy_se.costs.layers import Cost, Layer, SEBlock


def count(layers: Iterable[Layer]) -> Cost:
    """Add up what ``layers`` cost."""
    return sum((layer.cost for layer in layers), Cost())


def without_se(layers: Iterable[Layer]) -> list[Layer]:
    """Leave the SE blocks out: the plain network."""
    return [layer for layer in layers if not isinstance(layer, SEBlock)]


def change_se(layers: Iterable[Layer], **changes: Any) -> list[Layer]:
    """Give all SE blocks other settings, such as ``ratio=8`` or ``squeeze=False``.

    Raises TypeError for a name that is no field of ``SEBlock``, and what ``SEBlock`` raises.
    """
    return [replace(layer, **changes) if isinstance(layer, SEBlock) else layer for layer in layers]


def added_weights(stages: Iterable[tuple[int, int]], ratio: float = 16) -> float:
    """Compute the weights that SE adds by the paper's formula.

        2/r * sum_s N_s C_s^2                              eq. 5

    ``stages`` holds (N_s, C_s) for each stage s: its number of blocks and their output channels.
    The formula takes C / r for the width of the bottleneck, so it is exact where r divides C.
    Raises TypeError for what is no whole number, and ValueError for less than 1.
    """
    if not ratio >= 1:
        raise ValueError(f"added_weights: ratio is {ratio}; it wants at least 1")
    total = 0
    for blocks, channels in stages:
        check_count("added_weights", "a number of blocks", blocks, at_least=1)
        check_count("added_weights", "a number of channels", channels, at_least=1)
        total += blocks * channels**2
    return 2 * total / ratio


class Row(NamedTuple):
    """A line of a table: a model, its totals, and what SE adds to the model without it.

    The shares are fractions of the parameters and of the operations of the model without SE.
    """

    model: str
    parameters: int
    operations: int
    parameter_share: float
    operation_share: float


def table_rows(costs: Mapping[str, Cost]) -> list[Row]:
    """Compute a row for each cost, under its name: {"SE-ResNet-50": count(resnet(50))}.

    Raises ValueError when a model has no parameters or no operations besides its SE blocks.
    """
    rows = []
    for model, cost in costs.items():
        plain_parameters = cost.parameters - cost.se_parameters
        if not (plain_parameters and cost.macs):
            raise ValueError(
                f"table_rows: {model!r} has {plain_parameters} parameters and {cost.macs} "
                "operations without SE; it wants at least 1 of each"
            )
        shares = cost.se_parameters / plain_parameters, cost.se_operations / cost.macs
        rows.append(Row(model, cost.parameters, cost.operations, *shares))
    return rows
