"""What the gates of a trained net do: their mean for each class, and how far classes differ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from numpy_se.contract import Array, IntArray
from numpy_se.data import Images, Pixels
from numpy_se.nets import Layer, LayerBackward, Sequential
from numpy_se.ops import channel_scale


def collect_gates(
    net: Sequential,
    params: Mapping[str, Array],
    data: Images,
    images: Pixels,
    batch: int = 500,
) -> dict[str, Array]:
    """Compute the gates (N, C) of every SE block for the images (N, C, H, W) of a data set."""
    parts = [
        net.gates(params, data.inputs(images[i : i + batch])) for i in range(0, len(images), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def replace_gates(net: Sequential, gates: Mapping[str, Array]) -> Sequential:
    """Build the same net, whose blocks give ``gates`` in place of their own, by their names.

    Gates (C,) hold for all images, and (N, C) for those of one batch. The parameters are those of
    ``net``. What it answers tells what the net loses without the gates of its own. Raises
    ValueError where the net has no such block.
    """
    for name, s in gates.items():
        net = net.replace(name, _GivenGates(net.find(name).names, s))
    return net


class _GivenGates(Layer):
    """Scale by given gates (C,) or (N, C). The arrays called ``names`` have no effect."""

    def __init__(self, names: tuple[str, ...], gates: Array) -> None:
        self._names, self.gates = names, gates

    @property
    def names(self) -> tuple[str, ...]:
        return self._names

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        s = np.ascontiguousarray(np.broadcast_to(self.gates, x.shape[:2]), x.dtype)
        y, back_scale = channel_scale(x, s)
        nothing = {name: np.zeros_like(array) for name, array in params.items()}
        return y, lambda dy: (back_scale(dy)[0], nothing)


def class_means(gates: Array, labels: IntArray) -> Array:
    """Compute the mean gates (K, C) of each of the classes 0 to K - 1 from gates (N, C).

    Raises ValueError when a class has no sample.
    """
    classes = range(int(labels.max()) + 1)
    if absent := set(classes) - set(labels.tolist()):
        raise ValueError(f"class_means: labels has no sample of class {min(absent)}")
    return np.stack([gates[labels == k].mean(axis=0) for k in classes])


def class_range(gates: Array, labels: IntArray) -> float:
    """Compute how far the mean gates of the classes lie apart: largest minus smallest.

    The mean over channels, from 0 (the lines of all classes coincide) to 1.
    """
    return float(np.ptp(class_means(gates, labels), axis=0).mean())


def class_separation(gates: Array, labels: IntArray) -> float:
    """Compute the share of the gates' variance that lies between the classes, from 0 to 1.

    Summed over channels: (variance of the class means, weighted by class size) / (variance of the
    gates). 0: all classes have the same mean gates. 1: the class decides the gates.
    """
    means = class_means(gates, labels)[labels]  # (N, C)
    total = float(gates.var(axis=0).sum())
    return float(means.var(axis=0).sum()) / total if total > 0 else 0.0
