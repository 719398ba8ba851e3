"""A residual unit with SE.

    x (N, C, H, W), w1 (R, C), w2 (C, R)  ->  y (N, C, H, W)

         +---------------------------------------+
         |                                       v
    x ---+--> SE block (exercise 18) --> v --> [ + ] --> ReLU --> y

The unit adds to x what the block makes of it, and passes what is positive. Give
dx, dw1 and dw2 for dy. (In a real net there are convolutions before SE.)
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 30
SHAPES = {"x": "N C H W", "w1": "R C", "w2": "C R"}
HINTS = (
    "How many ways lead from x to y? Count them in the pictures of exercises 18\nand 20.",
    "do[n,c,h,w] = dy[n,c,h,w] where x + v > 0, else 0\n"
    "dx = do + s * do + dz / (H*W)       with ds = sum over h and w of x * do",
    """
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    gate = s[:, :, None, None]
    o = x + x * gate
    y = np.maximum(o, 0)

    def backward(dy):
        do = dy * ___
        ds = np.sum(___, axis=(2, 3))
        ...                               # du, dw2, dh, dw1, dz
        dx = ___ + ___ + ___
        return dx, dw1, dw2
    """,
)


def se_residual(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    gate = s[:, :, None, None]
    o = x + x * gate
    y = np.maximum(o, 0)

    def backward(dy):
        do = dy * (o > 0)
        ds = np.sum(x * do, axis=(2, 3))
        du = ds * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        share = dz[:, :, None, None] / x[0, 0].size
        dx = do + do * gate + share
        return dx, dw1, dw2

    return y, backward


MISTAKES = (
    Mistake(
        "residual-se-relu.addition-path",
        "do + do * gate + share",
        "do * gate + share",
        hint="Let the block give 0 for all x. Does y still change with x?",
        why="x is added as it is: that is the shortcut, and its gradient is do.",
    ),
    Mistake(
        "residual-se-relu.squeeze-path",
        "do + do * gate + share",
        "do + do * gate",
        hint="How many arrows leave x inside the SE block?",
        why="x also decides the gates: the squeeze path is missing.",
    ),
    Mistake(
        "residual-se-relu.outer-relu:relu.mask-missing",
        "do = dy * (o > 0)",
        "do = dy.copy()",
        hint="An entry of x + v is -2 and grows a little. Does y grow?",
        why="The last ReLU passes the gradient where its own input is positive.",
    ),
    Mistake(
        "residual-se-relu.addition-path+residual-se-relu.shortcut-added",
        "do + do * gate + share",
        "dy + do * gate + share",
        hint="Is the ReLU in front of the sum, or behind it?",
        why="The shortcut goes through the last ReLU, too.",
    ),
    Mistake(
        "residual-se-relu.relu:relu.mask-missing",
        "(du @ w2) * (h > 0)",
        "du @ w2",
        hint="h is negative and grows a little. Does a grow?",
        why="What ReLU cut off has no way back.",
    ),
)
