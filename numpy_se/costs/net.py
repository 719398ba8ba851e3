"""Count a net of ``numpy_se.nets``: each layer tells what it costs."""

from __future__ import annotations

import numpy as np

from numpy_se.contract import check_count, typed
from numpy_se.costs.layers import Cost
from numpy_se.nets import Sequential


def count_net(net: Sequential, shape: tuple[int, ...]) -> dict[str, Cost]:
    """Count each layer of ``net`` for one sample of ``shape``, such as (1, 28, 28).

    A sample of ones is run through the net, and each layer sees the shape that it really gets.
    The costs have the names of the layers; those of an inner net are ``<net>.<layer>``. The sum is
    ``sum(costs.values(), Cost())``. Layers without parameters cost nothing, but for blocks around
    SE such as Gather-Excite.
    Raises TypeError for a layer with parameters that does not tell its cost, and what the layers
    raise when the shape does not fit.
    """
    if not isinstance(net, Sequential):
        raise TypeError(f"count_net: net is {typed(net)}; it wants a Sequential")
    if not isinstance(shape, tuple):
        raise TypeError(f"count_net: shape is {shape!r}; it wants a tuple such as (1, 28, 28)")
    for size in shape:
        check_count("count_net", "an entry of shape", size, at_least=1)
    params = net.init(np.random.default_rng(0))
    steps = net.walk(params, np.ones((1, *shape), np.float32))
    return {step.name: Cost(**step.layer.counts(step.y)) for step in steps}
