"""The SE block.

    x (N, C, H, W), w1 (R, C), w2 (C, R)  ->  y (N, C, H, W)

         +--------------------------------------------+
         |                                            v
    x ---+--> mean --> w1 --> ReLU --> w2 --> sigmoid --> [ * ] --> y
               z       h       a       u        s

Each channel of x is scaled by its gate s, and x decides the gates. Give dx, dw1
and dw2 for dy. All parts are there from exercises 10, 16 and 17.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 40
SHAPES = {"x": "N C H W", "w1": "R C", "w2": "C R"}
HINTS = (
    "How many arrows leave x in the picture? How many gradients come back to it?",
    "ds[n,c] = sum over h and w of x[n,c,h,w] * dy[n,c,h,w]\n"
    "dz[n,c] from ds as in exercise 15\n"
    "dx[n,c,h,w] = s[n,c] * dy[n,c,h,w] + dz[n,c] / (H*W)",
    """
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = np.sum(___, axis=(2, 3))
        du = ___
        dw2 = ___
        dh = ___
        dw1 = ___
        dz = ___
        dx = ___ + ___
        return dx, dw1, dw2
    """,
)


def se_block(x, w1, w2):
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = np.sum(x * dy, axis=(2, 3))
        du = ds * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        share = dz / x[0, 0].size
        dx = s[:, :, None, None] * dy + share[:, :, None, None]
        return dx, dw1, dw2

    return y, backward


MISTAKES = (
    Mistake(
        "se.squeeze-path",
        "s[:, :, None, None] * dy + share[:, :, None, None]",
        "s[:, :, None, None] * dy",
        hint="How many arrows leave x in the picture?",
        why="x also decides the gates. The scale alone is one of two ways.",
    ),
    Mistake(
        "se.scale-path",
        "s[:, :, None, None] * dy + share[:, :, None, None]",
        "np.zeros_like(x) + share[:, :, None, None]",
        hint="Let the gates be held fast. Does y still change with x?",
        why="x is scaled too. The gates alone are one of two ways.",
    ),
    Mistake(
        "se.scale:channel-scale.dy-ignored",
        "np.sum(x * dy, axis=(2, 3))",
        "np.sum(x, axis=(2, 3))",
        hint="Let L not care about a channel of y: dy is 0 there. What is ds then?",
        why="How L changes with a gate depends on how much L cares about y.",
    ),
    Mistake(
        "se.scale.ds.factor",
        "np.sum(x * dy, axis=(2, 3))",
        "np.mean(x * dy, axis=(2, 3))",
        hint="Is a gate shared by the pixels, or divided among them?",
        why="All H*W pixels use the gate, and their shares are added.",
    ),
    Mistake(
        "se.relu:relu.mask-missing",
        "(du @ w2) * (h > 0)",
        "du @ w2",
        hint="h is negative and grows a little. Does a grow?",
        why="What ReLU cut off has no way back.",
    ),
    Mistake(
        "se.gate:sigmoid.missing",
        "du = ds * s * (1 - s)",
        "du = ds.copy()",
        hint="Between u and s there is a curve. How steep is it?",
        why="The sigmoid has a slope, and it is at most 1/4.",
    ),
    Mistake(
        "se.squeeze-path.factor",
        "dz / x[0, 0].size",
        "dz",
        hint="One pixel of six grows by 1. By how much does z grow?",
        why="The squeeze is a mean: each pixel has the share 1/(H*W).",
    ),
)
