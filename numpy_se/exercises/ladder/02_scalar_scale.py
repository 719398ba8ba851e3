"""One number scales a whole array.

    x (N, D), a ()  ->  y (N, D)          y[i,j] = a * x[i,j]

        +-- * x[0,0] --> y[0,0]
    a --+-- * x[0,1] --> y[0,1]         a = 2,  x = [1 3]  ->  y = [2 6]
        +-- ...

L is a number that is made from y. You get dy[i,j] = dL/dy[i,j]: how much L
grows when y[i,j] grows by a little. Give dx = dL/dx and da = dL/da, each in the
shape of its argument: dx (N, D), and one number da.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 15
SHAPES = {"x": "N D", "a": ()}
HINTS = (
    "When a grows by 0.01, which entries of y change? Each by how much?",
    "dx[i,j] = a * dy[i,j]\nda      = sum over i and j of x[i,j] * dy[i,j]",
    """
    y = a * x

    def backward(dy):
        dx = ___ * dy
        da = np.sum(___)
        return dx, da
    """,
)


def scalar_scale(x, a):
    y = a * x

    def backward(dy):
        dx = a * dy
        da = np.sum(x * dy)
        return dx, da

    return y, backward


MISTAKES = (
    Mistake(
        "any.not-summed",
        "np.sum(x * dy)",
        "x * dy",
        hint="How many numbers is a? And how many is your da?",
        why="a is used by all entries, so its gradient is the sum of what they say.",
    ),
    Mistake(
        "multiply.a-missing",
        "np.sum(x * dy)",
        "np.sum(dy)",
        hint="Let x be 0. Does y change when a does?",
        why="Where x is large, a changes y much. Where x is 0, it changes nothing.",
    ),
    Mistake(
        "scalar-scale.sums-apart",
        "np.sum(x * dy)",
        "np.sum(x) * np.sum(dy)",
        hint="Is 1*2 + 3*4 the same as (1 + 3) * (2 + 4)?",
        why="Each entry of x belongs to its own dy. Pair them first, then add.",
        says="the sums of x and dy are multiplied, not their products summed",
    ),
    Mistake(
        "any.factor-too-small",
        "np.sum(x * dy)",
        "np.mean(x * dy)",
        hint="Let each entry be there twice. Does a change L as much as before?",
        why="What several uses of a number say is added. A mean would divide it.",
    ),
    Mistake(
        "any.dy-ignored",
        "np.sum(x * dy)",
        "np.sum(x)",
        hint="Let L not care about y at all: dy is 0. What is da then?",
        why="The sum of x is how the sum of y grows. How L grows with y is in dy.",
    ),
    Mistake(
        "multiply.b-missing",
        "dx = a * dy",
        "dx = dy.copy()",
        hint="a is 10, and x[0,0] grows by 1. By how much does y[0,0] grow?",
        why="A change of x comes out of the product a times as large.",
    ),
)
