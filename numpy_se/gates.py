"""What the gates of a trained net do: how they vary, their mean for each class, and what is lost.

Gates are arrays (N, C), as ``Sequential.gates`` gives them for each block. What is computed of them
is float64: with float32, the deviation of equal gates is not 0.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from functools import partial

import numpy as np

from numpy_se.contract import Array, IntArray, check_count, typed
from numpy_se.data import Images, Pixels
from numpy_se.nets import Layer, LayerBackward, Params, Sequential, SqueezeExcite, Step
from numpy_se.ops import channel_scale


def collect_gates(
    net: Sequential,
    params: Mapping[str, Array],
    data: Images,
    images: Pixels,
    batch: int = 500,
) -> dict[str, Array]:
    """Compute the gates (N, C) of every SE block for the images (N, C, H, W) of a data set.

    The net sees ``batch`` of them at a time. Raises ValueError where there is no image.
    """
    check_count("collect_gates", "batch", batch, at_least=1)
    check_count("collect_gates", "the number of images", len(images), at_least=1)
    parts = [
        net.gates(params, data.inputs(images[i : i + batch])) for i in range(0, len(images), batch)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def replace_gates(net: Sequential, gates: Mapping[str, Array]) -> Sequential:
    """Build the same net, whose blocks give ``gates`` in place of their own, by their names.

    Gates (C,) hold for all images, and (N, C) for those of one batch. The parameters are those of
    ``net``. What it answers tells what the net loses without the gates of its own. Raises
    ValueError where the net has no such block, and TypeError where it is no SE block.
    """
    for name, s in gates.items():
        layer = net.find(name)
        block = layer.block if isinstance(layer, _GivenGates) else layer
        if not isinstance(block, SqueezeExcite):
            wanted = "it wants the name of an SE block"
            raise TypeError(f"replace_gates: {name} is {typed(block)}; {wanted}")
        net = net.replace(name, _GivenGates(block, s))
    return net


class _GivenGates(Layer):
    """Scale by given gates (C,) or (N, C). The parameters of the block have no effect."""

    def __init__(self, block: SqueezeExcite, gates: Array) -> None:
        if np.ndim(gates) not in (1, 2) or np.shape(gates)[-1] != block.channels:
            wanted = f"they want ({block.channels},) or (N, {block.channels})"
            raise ValueError(f"replace_gates: gates have shape {np.shape(gates)}; {wanted}")
        self.block, self.given = block, np.asarray(gates)

    @property
    def names(self) -> tuple[str, ...]:
        return self.block.names

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.block.shapes

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        return self.block.init(rng, dtype)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        s = self.gates(x)
        zeros = {name: partial(np.zeros, a.shape, a.dtype) for name, a in params.items()}

        def backward(dy: Array) -> tuple[Array, Params]:
            return channel_scale(dy, s)[0], {name: zero() for name, zero in zeros.items()}

        return channel_scale(x, s)[0], backward

    def gates(self, x: Array) -> Array:
        """Give the gates (N, C) of a batch."""
        samples = len(x)
        if self.given.ndim == 2 and len(self.given) != samples:
            raise ValueError(f"the gates are of {len(self.given)} images; x has {samples}")
        s = np.broadcast_to(self.given, (samples, self.block.channels))
        return np.ascontiguousarray(s, x.dtype)

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        y, _ = self(params, x)
        yield Step("", self, x, y, self.gates(x))
        return y

    def counts(self, y: Array) -> dict[str, int]:
        return self.block.counts(y)


def gate_deviation(gates: Array) -> Array:
    """Compute how far the gates (N, C) of each channel vary over the images: deviations (C,).

    All are 0 for a dead block, which gives every image the same gates.
    """
    deviation: Array = _float64(gates).std(axis=0)
    return deviation


def class_means(gates: Array, labels: IntArray) -> Array:
    """Compute the mean gates (K, C) of each of the classes 0 to K - 1 from gates (N, C).

    labels (N,) are whole numbers. Raises ValueError for other shapes, for a label below 0, and when
    a class has no sample; TypeError for labels that are no whole numbers.
    """
    gates, labels = _float64(gates), np.asarray(labels)
    if labels.shape != (len(gates),):
        raise ValueError(f"class_means: labels has shape {labels.shape}; it wants ({len(gates)},)")
    if labels.dtype.kind not in "iu":
        raise TypeError(f"class_means: labels is {labels.dtype}; it wants whole numbers")
    if labels.min() < 0:
        raise ValueError(f"class_means: labels has {labels.min()}; it wants 0, 1, 2, ...")
    classes = range(int(labels.max()) + 1)
    if absent := set(classes) - set(labels.tolist()):
        raise ValueError(f"class_means: labels has no sample of class {min(absent)}")
    return np.stack([gates[labels == k].mean(axis=0) for k in classes])


def class_range(gates: Array, labels: IntArray) -> float:
    """Compute how far the mean gates of the classes lie apart: largest minus smallest.

    The mean over channels: 0 where the lines of all classes coincide, and at most 1 for gates from
    0 to 1. Raises what ``class_means`` raises.
    """
    return float(np.ptp(class_means(gates, labels), axis=0).mean())


def class_separation(gates: Array, labels: IntArray) -> float:
    """Compute the share of the gates' variance that lies between the classes, from 0 to 1.

    Summed over channels: (variance of the class means, weighted by class size) / (variance of the
    gates). 0: all classes have the same mean gates. 1: the class decides the gates. It is 0 where
    the gates do not vary. Also known as the correlation ratio, squared. Raises what ``class_means``
    raises.
    """
    moving = np.ptp(_float64(gates), axis=0) > 0
    means = class_means(gates, labels)[labels][:, moving]  # (N, C)
    total = float(_float64(gates)[:, moving].var(axis=0).sum())
    return float(means.var(axis=0).sum()) / total if total > 0 else 0.0


def _float64(gates: Array) -> Array:
    """Gates as float64. Raises ValueError unless they are (N, C), with a sample."""
    if np.ndim(gates) != 2 or not np.size(gates):
        raise ValueError(f"gates have shape {np.shape(gates)}; they want (N, C), with N at least 1")
    return np.asarray(gates, np.float64)
