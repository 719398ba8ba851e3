"""The gates of a feature map: squeeze, then excite.

    x (N, C, H, W), w1 (R, C), w2 (C, R)  ->  y (N, C)

    x --> mean over H and W --> z --> w1 --> ReLU --> w2 --> sigmoid --> y
              (N, C)                  (N, R)          (N, C)

y has a gate between 0 and 1 for each channel. It depends on the means of all
channels. Give dx, dw1 and dw2 for dy: exercise 15, and exercise 8 behind it.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 25
SHAPES = {"x": "N C H W", "w1": "R C", "w2": "C R"}
WORDS = {"s": "y", "ds": "dy"}
HINTS = (
    "Draw the chain, and write below each arrow what comes back. Which of these\n"
    "steps have you written before?",
    "z[n,c] = 1/(H*W) * sum over h and w of x[n,c,h,w]\n"
    "dz[n,c] as in exercise 15\n"
    "dx[n,c,h,w] = dz[n,c] / (H*W)",
    """
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    y = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(dy):
        du = dy * ___
        dw2 = ___
        dh = (du @ w2) * ___
        dw1 = ___
        dz = ___
        dx = np.zeros_like(x) + ___
        return dx, dw1, dw2
    """,
)


def excitation(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    y = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(dy):
        du = dy * y * (1 - y)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        share = dz / x[0, 0].size
        dx = np.zeros_like(x) + share[:, :, None, None]
        return dx, dw1, dw2

    return y, backward


MISTAKES = (
    Mistake(
        "any.factor-too-large",
        "dz / x[0, 0].size",
        "dz",
        hint="One pixel of six grows by 1. By how much does z grow?",
        why="The squeeze is a mean: each pixel has the share 1/(H*W).",
    ),
    Mistake(
        "excitation.relu:relu.mask-missing",
        "(du @ w2) * (h > 0)",
        "du @ w2",
        hint="h is negative and grows a little. Does a grow?",
        why="What ReLU cut off has no way back.",
    ),
    Mistake(
        "excitation.gate:sigmoid.missing",
        "dy * y * (1 - y)",
        "dy.copy()",
        hint="Between u and y there is a curve. How steep is it?",
        why="The sigmoid has a slope, and it is at most 1/4.",
    ),
    Mistake(
        "any.factor-too-large",
        "dw1 = dh.T @ z",
        "dw1 = dh.T @ x.sum(axis=(2, 3))",
        hint="What was multiplied with w1 in the forward pass?",
        why="w1 meets the mean of a channel, not its sum.",
    ),
    Mistake(
        "excitation.second-linear-layer.h-for-a",
        "dw2 = du.T @ a",
        "dw2 = du.T @ h",
        hint="What was multiplied with w2 in the forward pass?",
        why="u is made from a. h did not get through the ReLU as it is.",
    ),
)
