"""ECA: each gate from three channels.

    x (N, C, H, W), w (3,)  ->  y (N, C, H, W)

    z[n,c] = mean of channel c          (N, C)
    u[n,c] = w[0] z[n,c-1] + w[1] z[n,c] + w[2] z[n,c+1]
    y      = x * sigmoid(u)             as in exercise 18

      z    o   o   o   o   o
           +---+---+                  outside of the C channels, z is 0
      u        o

ECA (Wang et al., 2020) has three weights where SE has two matrices. Give dx and
dw for dy. A channel z[n,c] is in three of the u: which ones, and by which w?
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 35
SHAPES = {"x": "N C H W", "w": (3,)}
HINTS = (
    "z[n,2] grows. Which u grow, and which weight says by how much? Write it down\n"
    "for u[n,1], u[n,2] and u[n,3].",
    "dw[k]   = sum over n and c of du[n,c] * z[n,c+k-1]\n"
    "dz[n,c] = du[n,c+1] w[0] + du[n,c] w[1] + du[n,c-1] w[2]",
    """
    z = x.mean(axis=(2, 3))
    c = x.shape[1]
    wide = np.pad(z, ((0, 0), (1, 1)))
    near = np.stack([wide[:, k : k + c] for k in range(3)])      # (3, N, C)
    s = 1 / (1 + np.exp(-np.tensordot(w, near, 1)))
    y = x * s[:, :, None, None]

    def backward(dy):
        du = np.sum(___, axis=(2, 3)) * ___
        dw = np.sum(near * du, axis=___)
        wide = np.pad(du, ((0, 0), (1, 1)))
        dz = sum(w[k] * wide[:, ___ : ___ + c] for k in range(3))
        dx = ___ + ___
        return dx, dw
    """,
)


def eca(x, w):
    z = x.mean(axis=(2, 3))
    c = x.shape[1]
    wide = np.pad(z, ((0, 0), (1, 1)))
    near = np.stack([wide[:, k : k + c] for k in range(3)])
    s = 1 / (1 + np.exp(-np.tensordot(w, near, 1)))
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = np.sum(x * dy, axis=(2, 3))
        du = ds * s * (1 - s)
        dw = np.sum(near * du, axis=(1, 2))
        wide = np.pad(du, ((0, 0), (1, 1)))
        dz = sum(w[k] * wide[:, 2 - k : 2 - k + c] for k in range(3))
        share = dz / x[0, 0].size
        dx = dy * s[:, :, None, None] + share[:, :, None, None]
        return dx, dw

    return y, backward


MISTAKES = (
    Mistake(
        "eca.squeeze-path",
        "dy * s[:, :, None, None] + share[:, :, None, None]",
        "dy * s[:, :, None, None]",
        hint="How many ways lead from x to y?",
        why="x also decides the gates: the squeeze path is missing.",
    ),
    Mistake(
        "eca.mix:correlate.flip",
        "wide[:, 2 - k : 2 - k + c]",
        "wide[:, k : k + c]",
        hint="z[n,2] is in u[n,1]. By which weight: that of the left neighbour?",
        why="My left neighbour sees me on its right. On the way back, w is turned.",
    ),
    Mistake(
        "eca.gate:sigmoid.missing",
        "du = ds * s * (1 - s)",
        "du = ds.copy()",
        hint="Between u and s there is a curve. How steep is it?",
        why="The sigmoid has a slope, and it is at most 1/4.",
    ),
    Mistake(
        "any.factor-too-small",
        "np.sum(near * du, axis=(1, 2))",
        "np.mean(near * du, axis=(1, 2))",
        hint="How many channels use the same three weights?",
        why="All N*C entries of u use w, and their shares are added.",
    ),
    Mistake(
        "eca.squeeze-path.factor",
        "share = dz / x[0, 0].size",
        "share = dz",
        hint="One pixel of six grows by 1. By how much does z grow?",
        why="The squeeze is a mean: each pixel has the share 1/(H*W).",
    ),
)
