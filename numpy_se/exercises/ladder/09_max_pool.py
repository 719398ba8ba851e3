"""Max pooling: the largest value of each channel.

    x (N, C, H, W)  ->  y (N, C)

    x[n,c]   1  3  5
             3  0  6     ->   y[n,c] = 6          the largest of H*W pixels

Only the winner is in y. Give dx (N, C, H, W) for dy (N, C). Where pixels are
equal, one of them wins: which one, does not matter.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"x": "N C H W"}
HINTS = (
    "A pixel that is not the largest grows by a very little. What happens to y?",
    "dx[n,c,h,w] = dy[n,c] if (h, w) is the place of the winner, else 0",
    """
    n, c, h, w = x.shape
    pixels = x.reshape(n, c, h * w)
    winner = pixels.argmax(axis=___)                 # (N, C)
    y = pixels.max(axis=___)

    def backward(dy):
        mask = np.arange(h * w) == winner[___]       # (N, C, H*W)
        dx = mask * dy[___]
        return dx.reshape(___)
    """,
)


def max_pool(x):
    n, c, h, w = x.shape
    pixels = x.reshape(n, c, h * w)
    winner = pixels.argmax(axis=2)
    y = pixels.max(axis=2)

    def backward(dy):
        mask = np.arange(h * w) == winner[:, :, None]
        dx = mask * dy[:, :, None]
        return dx.reshape(x.shape)

    return y, backward


MISTAKES = (
    Mistake(
        "global-max-pool.everywhere",
        "dx = mask * dy[:, :, None]",
        "dx = np.ones_like(pixels) * dy[:, :, None]",
        hint="A pixel that is not the largest grows by a very little. Does y grow?",
        why="Only the winner is in y.",
    ),
    Mistake(
        "global-max-pool.average",
        "dx = mask * dy[:, :, None]",
        "dx = np.ones_like(pixels) * dy[:, :, None] / (h * w)",
        hint="That is a rule of another pooling. Which one?",
        why="It is the rule of the mean, where each pixel has a share.",
    ),
    Mistake(
        "global-max-pool.all-ties",
        "np.arange(h * w) == winner[:, :, None]",
        "pixels == y[:, :, None]",
        hint="Two pixels are both the largest, and both grow by 1. How much does y\n"
        "grow, and how much does your dx say?",
        why="Where two are equal, both get all of dy: together twice too much.",
    ),
    Mistake(
        "global-max-pool.y-for-mask",
        "dx = mask * dy[:, :, None]",
        "dx = mask * pixels * dy[:, :, None]",
        hint="The winner is 5 and grows by 1. By how much does y grow?",
        why="y is the winner itself: its slope is 1, however large it is.",
    ),
    Mistake(
        "global-max-pool.channel-0",
        "winner[:, :, None]",
        "winner[:, :1, None]",
        hint="Is the largest pixel of each channel at the same place?",
        why="Each channel has a winner of its own.",
    ),
)
