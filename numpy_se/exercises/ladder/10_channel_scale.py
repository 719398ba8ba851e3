"""Channel scale: each channel times its gate.

    x (N, C, H, W), s (N, C)  ->  y (N, C, H, W)

    y[n,c,h,w] = s[n,c] * x[n,c,h,w]

    channel 0    1  3       s 0.5        0.5 1.5
                 2  4     ------->       1.0 2.0
    channel 1    1  1       s 2.0        2.0 2.0
                 0  3     ------->       0.0 6.0

Give dx (N, C, H, W) and ds (N, C) for dy.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 15
SHAPES = {"x": "N C H W", "s": "N C"}
HINTS = (
    "One gate grows by 0.01. How many entries of y change?",
    "dx[n,c,h,w] = s[n,c] * dy[n,c,h,w]\n"
    "ds[n,c]     = sum over h and w of x[n,c,h,w] * dy[n,c,h,w]",
    """
    gate = s[:, :, None, None]
    y = gate * x

    def backward(dy):
        dx = ___ * dy
        ds = np.sum(___ * dy, axis=___)
        return dx, ds
    """,
)


def channel_scale(x, s):
    gate = s[:, :, None, None]
    y = gate * x

    def backward(dy):
        dx = gate * dy
        ds = np.sum(x * dy, axis=(2, 3))
        return dx, ds

    return y, backward


MISTAKES = (
    Mistake(
        "channel-scale.s-missing",
        "dx = gate * dy",
        "dx = dy.copy()",
        hint="A gate is 0: the channel is closed. What does a pixel change?",
        why="What the gate does to x, it does to a change of x.",
    ),
    Mistake(
        "channel-scale.x-missing",
        "np.sum(x * dy, axis=(2, 3))",
        "np.sum(dy, axis=(2, 3))",
        hint="A channel is 0 everywhere. What does its gate change?",
        why="A gate changes bright pixels more than dark ones: by x.",
    ),
    Mistake(
        "any.factor-too-small",
        "np.sum(x * dy, axis=(2, 3))",
        "np.mean(x * dy, axis=(2, 3))",
        hint="Is the gate shared by the pixels, or divided among them?",
        why="All H*W pixels use the gate, and their shares are added.",
    ),
    Mistake(
        "channel-scale.sums-multiplied",
        "np.sum(x * dy, axis=(2, 3))",
        "np.sum(x, axis=(2, 3)) * np.sum(dy, axis=(2, 3))",
        hint="Is 1*2 + 3*4 the same as (1 + 3) * (2 + 4)?",
        why="Each pixel is paired with its own dy, before anything is added.",
    ),
    Mistake(
        "channel-scale.y-for-x",
        "np.sum(x * dy, axis=(2, 3))",
        "np.sum(y * dy, axis=(2, 3))",
        hint="A gate is 0.001. Can a small step of it still change y much?",
        why="y has the gate in it already. Its slope in s does not.",
    ),
)
