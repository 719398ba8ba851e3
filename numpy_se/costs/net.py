"""Count a net of ``numpy_se.nets``: parameters from its arrays, operations from its shapes."""

from __future__ import annotations

import numpy as np

from numpy_se.contract import check_count
from numpy_se.costs.layers import Cost
from numpy_se.nets import Conv2d, Layer, Linear, Sequential, SqueezeExcite


def count_net(net: Sequential, shape: tuple[int, ...]) -> dict[str, Cost]:
    """Count each layer of ``net`` for one sample of ``shape``, such as (1, 28, 28).

    A sample of ones is run through the net, and each layer sees the shape that it really gets.
    The costs have the names of the layers; those of an inner net are ``<net>.<layer>``. The sum is
    ``sum(costs.values(), Cost())``. Layers without parameters cost nothing.
    Raises TypeError for a layer with parameters that is of none of the kinds of ``numpy_se.nets``,
    and what the layers raise when the shape does not fit.
    """
    if not isinstance(net, Sequential):
        raise TypeError(f"count_net: net is a {type(net).__name__}; it wants a Sequential")
    if not isinstance(shape, tuple):
        raise TypeError(f"count_net: shape is {shape!r}; it wants a tuple such as (1, 28, 28)")
    for size in shape:
        check_count("count_net", "an entry of shape", size, at_least=1)
    costs: dict[str, Cost] = {}
    x = np.ones((1, *shape), np.float32)
    for name, layer in net.layers.items():
        params = layer.init(np.random.default_rng(0))
        y, _ = layer(params, x)
        if isinstance(layer, Sequential):
            inner = count_net(layer, x.shape[1:])
            costs |= {f"{name}.{key}": cost for key, cost in inner.items()}
        else:
            sizes = {key: array.size for key, array in params.items()}
            costs[name] = _layer_cost(name, layer, sizes, y.shape)
        x = y
    return costs


def _layer_cost(name: str, layer: Layer, sizes: dict[str, int], shape: tuple[int, ...]) -> Cost:
    """Count a layer with parameters of ``sizes`` that gives an output of ``shape`` (1, ...)."""
    if isinstance(layer, Conv2d | Linear):
        pixels = int(np.prod(shape[2:]))  # 1 where there is no map
        return Cost(weights=sizes["w"], biases=sizes.get("b", 0), macs=sizes["w"] * pixels)
    if isinstance(layer, SqueezeExcite):
        weights, entries = sizes["w1"] + sizes["w2"], int(np.prod(shape))
        return Cost(
            se_weights=weights,
            se_biases=sizes.get("b1", 0) + sizes.get("b2", 0),
            se_macs=weights,
            se_squeezes=entries,
            se_scales=entries,
        )
    if sizes:
        raise TypeError(
            f"count_net: layer {name} is a {type(layer).__name__} with parameters; "
            "it wants Conv2d, Linear, SqueezeExcite or Sequential"
        )
    return Cost()
