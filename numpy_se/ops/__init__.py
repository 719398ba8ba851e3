"""The primitives: each gives ``y, backward``, with its derivation in the docstring."""

from numpy_se.ops.activations import hard_sigmoid, relu, sigmoid, silu, tanh
from numpy_se.ops.conv import conv2d
from numpy_se.ops.dense import flatten, linear
from numpy_se.ops.loss import softmax_cross_entropy
from numpy_se.ops.norm import batch_norm, batch_norm_inference
from numpy_se.ops.pooling import global_avg_pool, global_max_pool, max_pool2d
from numpy_se.ops.scale import add, channel_scale

__all__ = [
    "add",
    "batch_norm",
    "batch_norm_inference",
    "channel_scale",
    "conv2d",
    "flatten",
    "global_avg_pool",
    "global_max_pool",
    "hard_sigmoid",
    "linear",
    "max_pool2d",
    "relu",
    "sigmoid",
    "silu",
    "softmax_cross_entropy",
    "tanh",
]
