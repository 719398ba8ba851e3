"""The primitives: each gives ``y, backward``, with its derivation in the docstring."""

from numpy_se.ops.activations import hard_sigmoid, relu, sigmoid, silu, tanh
from numpy_se.ops.channels import channel_correlate, channel_mean_max, channel_normalise, one_map
from numpy_se.ops.conv import conv2d
from numpy_se.ops.dense import flatten, linear
from numpy_se.ops.depthwise import depthwise_conv2d
from numpy_se.ops.loss import softmax_cross_entropy
from numpy_se.ops.norm import batch_norm, batch_norm_inference
from numpy_se.ops.pooling import global_avg_pool, global_max_pool, max_pool2d
from numpy_se.ops.resample import avg_pool2d, resize_nearest
from numpy_se.ops.rows import layer_norm, softmax
from numpy_se.ops.scale import add, channel_scale, channel_shift, gated, pixel_scale
from numpy_se.ops.squeeze import global_l2_pool, global_std_pool, style_pool, weighted_pool

__all__ = [
    "add",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "channel_correlate",
    "channel_mean_max",
    "channel_normalise",
    "channel_scale",
    "channel_shift",
    "conv2d",
    "depthwise_conv2d",
    "flatten",
    "gated",
    "global_avg_pool",
    "global_l2_pool",
    "global_max_pool",
    "global_std_pool",
    "hard_sigmoid",
    "layer_norm",
    "linear",
    "max_pool2d",
    "one_map",
    "pixel_scale",
    "relu",
    "resize_nearest",
    "sigmoid",
    "silu",
    "softmax",
    "softmax_cross_entropy",
    "style_pool",
    "tanh",
    "weighted_pool",
]
