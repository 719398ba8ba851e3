"""The excitation, step by step.

    z (N, C)  -->  h = z w1^T   (N, R)          w1 (R, C)
                   a = relu(h)  (N, R)
                   u = a w2^T   (N, C)          w2 (C, R)
                   s = sigmoid(u)  (N, C)

The forward pass is given, and backward gets all of its values. Write one line
for each line above, the last one first:

    ds -> du -> da, dw2 -> dh -> dz, dw1

Use the values as they are: to see each gradient, the check adds numbers to h, a
and u on the way, so a is not quite relu(h). Each step needs the one before. So
the check tells the first wrong one, and does not judge what is behind it.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 25
SHAPES = {"u": "N C", "a": "N R", "w2": "C R", "h": "N R", "z": "N C", "w1": "R C"}
GIVEN = ("y",)
IN_STEPS = True
WORDS = {"dy": "ds"}
HINTS = (
    "Each step is an exercise that you have solved: which one is du? Which is dh?",
    "du[n,c] = ds[n,c] * s[n,c] * (1 - s[n,c])\n"
    "da = du w2,  dw2 = du^T a\n"
    "dh[n,r] = da[n,r] where h[n,r] > 0, else 0\n"
    "dz = dh w1,  dw1 = dh^T z",
    """
    du = ds * ___
    da = du @ ___
    dw2 = ___.T @ a
    dh = da * ___
    dz = dh @ ___
    dw1 = ___.T @ z
    """,
)
STUB = """
def excite_steps(ds, z, h, a, s, w1, w2):
    du = ...
    da = ...
    dw2 = ...
    dh = ...
    dz = ...
    dw1 = ...
    return du, da, dw2, dh, dz, dw1
"""


def excite_steps(ds, z, h, a, s, w1, w2):
    du = ds * s * (1 - s)
    da = du @ w2
    dw2 = du.T @ a
    dh = da * (h > 0)
    dz = dh @ w1
    dw1 = dh.T @ z
    return du, da, dw2, dh, dz, dw1


def judged(excite_steps):
    """The excitation, with something added to u, a and h: their gradients are du, da and dh."""

    def excite(u, a, w2, h, z, w1):
        hidden = z @ w1.T + h
        active = np.maximum(hidden, 0) + a
        s = 1 / (1 + np.exp(-(active @ w2.T + u)))

        def backward(ds):
            return excite_steps(ds, z, hidden, active, s, w1, w2)

        return s, backward

    return excite


MISTAKES = (
    Mistake(
        "excite-steps.mask-by-a",
        "da * (h > 0)",
        "da * (a > 0)",
        hint="The check adds numbers to a. Which of h and a tells what ReLU lets pass?",
        why="In the block, both masks are the same. Here a has more in it than relu(h).",
        says="the mask is that of a, and not of h",
    ),
    Mistake(
        "excite-steps.du-missing",
        "du = ds * s * (1 - s)",
        "du = ds.copy()",
        hint="Between u and s there is a curve. How steep is it?",
        why="The sigmoid has a slope, and it is at most 1/4.",
        says="the derivative of the sigmoid is missing",
    ),
    Mistake(
        "excite-steps.du-by-y",
        "du = ds * s * (1 - s)",
        "du = ds * s",
        hint="The gate is fully open, s is 1. Does s still change with u?",
        why="Where s is 1 the curve is flat: a factor is missing.",
        says="1 - s is missing",
    ),
    Mistake(
        "excite-steps.dh-missing",
        "dh = da * (h > 0)",
        "dh = da.copy()",
        hint="h is negative and grows a little. Does a grow?",
        why="What ReLU cut off has no way back.",
        says="the mask of the ReLU is missing",
    ),
    Mistake(
        "excite-steps.dh-by-value",
        "dh = da * (h > 0)",
        "dh = da * a",
        hint="Is the line of ReLU steeper at h = 3 than at h = 1?",
        why="a is the value of the ReLU, not its slope, which is 1.",
        says="a in place of the mask",
    ),
    Mistake(
        "excite-steps.dw2-by-h",
        "dw2 = du.T @ a",
        "dw2 = du.T @ h",
        hint="What was multiplied with w2 in the forward pass?",
        why="u is made from a. h did not get through the ReLU as it is.",
        says="h in place of a in dw2",
    ),
    Mistake(
        "excite-steps.dw1-by-da",
        "dw1 = dh.T @ z",
        "dw1 = da.T @ z",
        hint="w1 makes h. Which gradient belongs to h?",
        why="da belongs to a, which is on the other side of the ReLU.",
        says="da in place of dh in dw1",
    ),
)
