"""A stable sigmoid.

    x (N, D)  ->  y (N, D)          y[i,j] = 1 / (1 + exp(-x[i,j]))

    1 |          ____
      |        /
      |      /            x   -1000     0     1000
      |____/              y       0    1/2       1
    0 +------+------ x
             0

y must be right for 1000 and for -1000, too. exp(1000) is too large for a float:
it is inf, and inf / inf is nan. That cannot happen where exp only gets numbers
of at most 0. Then give dx for dy: y is all that it needs.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"x": "N D"}
HINTS = (
    "Where is the curve steepest? Where is it flat? Which product of two numbers\n"
    "that you have in y is like that?",
    "With e = exp(-abs(x)): y = 1 / (1 + e) for x >= 0, and e / (1 + e) for x < 0.\n"
    "dy/dx = exp(-x) / (1 + exp(-x))^2, and exp(-x) / (1 + exp(-x)) = 1 - y. So\n"
    "dx[i,j] = y[i,j] * (1 - y[i,j]) * dy[i,j]",
    """
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, ___, e) / (1 + e)

    def backward(dy):
        return y * ___ * dy
    """,
)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    y = np.where(x >= 0, 1, e) / (1 + e)

    def backward(dy):
        dx = y * (1 - y) * dy
        return dx

    return y, backward


MISTAKES = (
    Mistake(
        "sigmoid.1-y-missing",
        "y * (1 - y) * dy",
        "y * dy",
        hint="How steep is the curve far to the right?",
        why="Where y is 1 the curve is flat. y alone would give the slope 1 there.",
    ),
    Mistake(
        "sigmoid.x-for-y",
        "y * (1 - y) * dy",
        "x * (1 - x) * dy",
        hint="How steep is the curve at x = 10, and what do you give there?",
        why="The rule is written with the value of the sigmoid, not with x.",
    ),
    Mistake(
        "sigmoid.missing",
        "y * (1 - y) * dy",
        "dy.copy()",
        hint="A sigmoid squeezes all numbers into 0 to 1. How much of a step is left?",
        why="The curve is never steeper than 1/4.",
    ),
    Mistake(
        "sigmoid.tanh",
        "y * (1 - y) * dy",
        "(1 - y**2) * dy",
        hint="How steep is the curve far to the left, where y is 0?",
        why="1 - y^2 is the slope of tanh, which goes from -1 to 1.",
    ),
    Mistake(
        "sigmoid.forward.sign",
        "x >= 0, 1, e",
        "x >= 0, e, 1",
        hint="Which way does the curve go when x grows?",
        why="The two cases are swapped, which gives the sigmoid of -x.",
    ),
    Mistake(
        "any.nan-y",
        "np.where(x >= 0, 1, e) / (1 + e)",
        "np.exp(x) / (1 + np.exp(x))",
        hint="What is exp(1000) for a float? And that, divided by itself?",
        why="For large x this is inf / inf. exp of a negative number is never inf.",
    ),
)
