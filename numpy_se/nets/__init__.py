"""Layers with explicit parameters, and the nets that are made of them.

A layer holds settings and no arrays. Parameters and their gradients are plain dicts:

    params = net.init(rng)
    y, backward = net(params, x)                        # evaluation
    y, backward, after = net.train(params, x, rng)      # training: noise, statistics of the batch
    dx, grads = backward(dy)                            # grads has the names that are trained

layer.py     what every layer can do
layers.py    convolution, linear, batch norm, dropout, SE, and any operation as a layer
compose.py   layers one after the other, and side by side
models.py    the tiny net, and SE-ResNet
"""

from numpy_se.nets.compose import Both, Sequential, residual
from numpy_se.nets.layer import Layer, LayerBackward, Params, Step
from numpy_se.nets.layers import Apply, BatchNorm, Conv2d, Dropout, Linear, SqueezeExcite
from numpy_se.nets.models import named_net, se_resnet, tiny_net

__all__ = [
    "Apply",
    "BatchNorm",
    "Both",
    "Conv2d",
    "Dropout",
    "Layer",
    "LayerBackward",
    "Linear",
    "Params",
    "Sequential",
    "SqueezeExcite",
    "Step",
    "named_net",
    "residual",
    "se_resnet",
    "tiny_net",
]
