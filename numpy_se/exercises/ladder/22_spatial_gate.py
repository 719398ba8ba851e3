"""A spatial gate: one gate for each pixel.

    x (N, C, H, W), w (C,)  ->  y (N, C, H, W)

    u[n,h,w] = sum over c of w[c] * x[n,c,h,w]        one map (N, H, W)
    y        = x * sigmoid(u)                         one gate for all channels

SE has a gate for each channel, from all pixels. This is the other way round: a
gate for each pixel, from all channels. Give dx and dw for dy.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 30
SHAPES = {"x": "N C H W", "w": "C"}
HINTS = (
    "A gate is shared by whom? So over which axis is ds a sum?",
    "ds[n,h,w]   = sum over c of x[n,c,h,w] * dy[n,c,h,w]\n"
    "du          = ds * s * (1 - s)\n"
    "dx[n,c,h,w] = s[n,h,w] * dy[n,c,h,w] + w[c] * du[n,h,w]\n"
    "dw[c]       = sum over n, h and w of x[n,c,h,w] * du[n,h,w]",
    """
    weights = w[:, None, None]
    u = np.sum(weights * x, axis=1, keepdims=True)
    s = 1 / (1 + np.exp(-u))
    y = x * s

    def backward(dy):
        ds = np.sum(___, axis=___, keepdims=True)
        du = ___
        dx = ___ + ___
        dw = np.sum(x * du, axis=___)
        return dx, dw
    """,
)


def spatial_gate(x, w):
    weights = w[:, None, None]
    u = np.sum(weights * x, axis=1, keepdims=True)
    s = 1 / (1 + np.exp(-u))
    y = x * s

    def backward(dy):
        ds = np.sum(x * dy, axis=1, keepdims=True)
        du = ds * s * (1 - s)
        dx = s * dy + weights * du
        dw = np.sum(x * du, axis=(0, 2, 3))
        return dx, dw

    return y, backward


MISTAKES = (
    Mistake(
        "spatial-gate.one-map-path",
        "s * dy + weights * du",
        "s * dy",
        hint="How many ways lead from x to y?",
        why="x also decides the gates.",
    ),
    Mistake(
        "spatial-gate.scale-path",
        "s * dy + weights * du",
        "weights * du",
        hint="Let the gates be held fast. Does y still change with x?",
        why="x is scaled, too.",
    ),
    Mistake(
        "spatial-gate.gate:sigmoid.missing",
        "du = ds * s * (1 - s)",
        "du = ds.copy()",
        hint="Between u and s there is a curve. How steep is it?",
        why="The sigmoid has a slope, and it is at most 1/4.",
    ),
    Mistake(
        "spatial-gate.scale:scale-pixels.mean",
        "np.sum(x * dy, axis=1, keepdims=True)",
        "np.mean(x * dy, axis=1, keepdims=True)",
        hint="Is a gate shared by the channels, or divided among them?",
        why="All C channels use the gate, and their shares are added.",
    ),
    Mistake(
        "spatial-gate.dw-too-early",
        "np.sum(x * du, axis=(0, 2, 3))",
        "np.sum(x * ds, axis=(0, 2, 3))",
        hint="What lies between w and the gate?",
        why="w makes u, so its gradient begins at du, not at ds.",
    ),
)
