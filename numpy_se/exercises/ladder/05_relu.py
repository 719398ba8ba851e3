"""ReLU: what is positive passes.

    x (N, D)  ->  y (N, D)          y[i,j] = max(x[i,j], 0)

    y |      /
      |     /           x   -2    3   -1    4
      |    /            y    0    3    0    4
    --+---+------ x
          0

Give dx for dy. At x = 0, where there is no slope, any value between those of
the two sides is right.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 10
SHAPES = {"x": "N D"}
HINTS = (
    "x is -2 and grows by 0.01. What happens to y? And where x is 3?",
    "dx[i,j] = dy[i,j] where x[i,j] > 0, else 0",
    """
    y = np.maximum(x, 0)

    def backward(dy):
        return dy * (___ > ___)
    """,
)


def relu(x):
    y = np.maximum(x, 0)

    def backward(dy):
        dx = dy * (x > 0)
        return dx

    return y, backward


MISTAKES = (
    Mistake(
        "relu.mask-missing",
        "dy * (x > 0)",
        "dy.copy()",
        hint="x is -2 and grows by 0.01. Does y grow?",
        why="What was cut off in the forward pass has no way back.",
    ),
    Mistake(
        "relu.y-for-mask",
        "dy * (x > 0)",
        "dy * y",
        hint="Is the line steeper at x = 3 than at x = 1?",
        why="The slope is 1 for all positive x. y is the value, not the slope.",
    ),
    Mistake(
        "relu.mask-by-dy",
        "dy * (x > 0)",
        "np.maximum(dy, 0)",
        hint="What decides whether an entry passes: x, or what L wants of it?",
        why="The gate was set in the forward pass, by x. dy may have any sign.",
    ),
    Mistake(
        "relu.mask-inverted",
        "dy * (x > 0)",
        "dy * (x <= 0)",
        hint="Which entries of x does y still know?",
        why="The positive entries pass, so the gradient passes at these.",
    ),
    Mistake(
        "relu.forward.abs",
        "np.maximum(x, 0)",
        "np.abs(x)",
        hint="What should y be where x is -2?",
        why="The absolute value keeps negative numbers. ReLU drops them.",
    ),
)
