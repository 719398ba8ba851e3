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
    Mistake(
        "se-block.forward.clip",
        "s = 1 / (1 + np.exp(-(a @ w2.T)))",
        "s = np.clip(a @ w2.T, 0, 1)",
        hint="What is the slope of your gate far away from 0? Can it learn there?",
        why="A gate that is cut off at 0 and 1 is flat there, and no gradient passes.",
        says="the gate is cut off at 0 and 1, and no curve",
    ),
    Mistake(
        "se.squeeze:global-avg-pool.forward.maximum",
        "z = x.mean(axis=(2, 3))",
        "z = x.max(axis=(2, 3))",
        hint="How many pixels of a map have a say in your z?",
        why="The squeeze of SE is the mean of the map. The maximum is one pixel.",
    ),
    Mistake(
        "se.squeeze:global-avg-pool.forward.sum",
        "z = x.mean(axis=(2, 3))",
        "z = x.sum(axis=(2, 3))",
        hint="An image is twice as wide. What should happen to z?",
        why="A sum grows with the map. The mean does not.",
    ),
    Mistake(
        "se.relu:relu.forward.missing",
        "a = np.maximum(h, 0)",
        "a = h.copy()",
        hint="What stands between w1 and w2 in the picture?",
        why="Without ReLU, the two matrices are one, which a bottleneck makes worse.",
    ),
)
VARIANTS = {
    "gate": (
        (),
        (
            ("s = 1 / (1 + np.exp(-(a @ w2.T)))", "s = np.tanh(a @ w2.T)"),
            ("ds * s * (1 - s)", "ds * (1 - s**2)"),
            ("w2 --> sigmoid -->", "w2 --> tanh ----->"),
            ("The sigmoid has a slope, and it is at most 1/4.", "tanh has a slope: 1 - s*s."),
        ),
        (
            ("s = 1 / (1 + np.exp(-(a @ w2.T)))", "s = np.arctan(a @ w2.T)"),
            ("ds * s * (1 - s)", "ds * np.cos(s) ** 2"),
            ("w2 --> sigmoid -->", "w2 --> arctan --->"),
            ("The sigmoid has a slope, and it is at most 1/4.", "arctan has a slope."),
        ),
    ),
    "squeeze": (
        (),
        (
            ("x.mean(axis=(2, 3))", "(x * x).mean(axis=(2, 3))"),
            ("x.sum(axis=(2, 3))", "(x * x).sum(axis=(2, 3))"),
            ("share[:, :, None, None]", "2 * x * share[:, :, None, None]"),
            (" + dz[n,c] / (H*W)", " + 2 * x[n,c,h,w] * dz[n,c] / (H*W)"),
            ("and x decides the gates.", "and x decides the gates.\nmean is the mean of x * x."),
        ),
    ),
    "bias": (
        (),
        (
            ("w2 (C, R)  ->", "w2 (C, R), b2 (C,)  ->"),
            (
                "Give dx, dw1\nand dw2 for dy. All",
                "b2 is added\nto u. Give dx, dw1, dw2 and db2 for dy.\nAll",
            ),
            ('"w2": "C R"}', '"w2": "C R", "b2": "C"}'),
            ("se_block(x, w1, w2)", "se_block(x, w1, w2, b2)"),
            ("a @ w2.T", "a @ w2.T + b2"),
            ("dw2 = du.T @ a", "dw2 = du.T @ a\n        db2 = du.sum(axis=0)"),
            ("dw2 = ___", "dw2 = ___\n        db2 = ___"),
            ("return dx, dw1, dw2", "return dx, dw1, dw2, db2"),
        ),
    ),
    "layout": (
        (),
        (
            ("N C H W", "N H W C"),
            ("(N, C, H, W)", "(N, H, W, C)"),
            ("[n,c,h,w]", "[n,h,w,c]"),
            ("axis=(2, 3)", "axis=(1, 2)"),
            ("[:, :, None, None]", "[:, None, None, :]"),
            ("x[0, 0].size", "x[0, :, :, 0].size"),
        ),
    ),
}
