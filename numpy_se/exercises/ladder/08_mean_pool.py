"""Mean pooling: one number for each channel.

    x (N, C, H, W)  ->  y (N, C)

    x[n,c]   1  3  5
             3  0  6     ->   y[n,c] = 3          the mean over H and W

Every pixel has its share in the mean. Give dx (N, C, H, W) for dy (N, C).
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 15
SHAPES = {"x": "N C H W"}
HINTS = (
    "One pixel of six grows by 1. By how much does the mean grow?",
    "dx[n,c,h,w] = dy[n,c] / (H*W), the same for all h and w",
    """
    h, w = x.shape[2:]
    y = x.mean(axis=(2, 3))

    def backward(dy):
        share = dy / ___                            # (N, C)
        return np.zeros_like(x) + share[___]        # (N, C, H, W)
    """,
)


def mean_pool(x):
    h, w = x.shape[2:]
    y = x.mean(axis=(2, 3))

    def backward(dy):
        share = dy / (h * w)
        dx = np.zeros_like(x) + share[:, :, None, None]
        return dx

    return y, backward


MISTAKES = (
    Mistake(
        "any.factor-too-large",
        "dy / (h * w)",
        "dy",
        hint="One pixel of six grows by 1. By how much does the mean grow?",
        why="This is the gradient of a sum. In a mean each pixel has 1/(H*W).",
    ),
    Mistake(
        "any.factor",
        "dy / (h * w)",
        "dy / (h * h)",
        hint="How many pixels are in a map of 2 rows and 5 columns?",
        why="It is right on square maps only.",
    ),
    Mistake(
        "any.factor-too-small",
        "dy / (h * w)",
        "dy / x.size",
        hint="Over which axes is the mean taken? How many numbers are these?",
        why="x.size counts the samples and channels too.",
    ),
    Mistake(
        "global-avg-pool.maximum-divided",
        "np.zeros_like(x) + share[:, :, None, None]",
        "share[:, :, None, None] * (x == x.max(axis=(2, 3), keepdims=True))",
        hint="Which pixels change the mean? Only the largest one?",
        why="Each pixel is in the mean. Only a maximum has one winner.",
    ),
    Mistake(
        "any.not-spread",
        "np.zeros_like(x) + share[:, :, None, None]",
        "share[:, :, None, None].copy()",
        hint="What is the shape of x, and what is that of your dx?",
        why="A gradient has the shape of its array: a number for each pixel.",
    ),
    Mistake(
        "mean-pool.other-axes",
        "x.mean(axis=(2, 3))",
        "x.mean(axis=3).mean(axis=1)",
        hint="How many numbers should y have for one sample?",
        why="This keeps an axis of pixels, and mixes the channels.",
        says="the mean is taken over C and W",
    ),
)
