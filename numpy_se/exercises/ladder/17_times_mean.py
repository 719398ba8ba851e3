"""A function that uses its input twice.

    x (N, D)  ->  y (N, D)          m[n]   = mean of row n of x
                                    y[n,d] = x[n,d] * m[n]
              +---------------+
              |               v
        x ----+--> mean --> [ * ] --> y

An entry of x changes y in two ways: as itself, and through the mean of its row.
Give dx for dy. The SE block is built like this.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"x": "N D"}
HINTS = (
    "x[0,0] grows. Which entries of y change? More than y[0,0]?",
    "dx[n,d] = m[n] * dy[n,d] + 1/D * sum over e of x[n,e] * dy[n,e]",
    """
    m = x.mean(axis=1, keepdims=True)
    y = x * m

    def backward(dy):
        dm = np.sum(___, axis=1, keepdims=True)
        return m * dy + ___ / ___
    """,
)


def times_mean(x):
    m = x.mean(axis=1, keepdims=True)
    y = x * m

    def backward(dy):
        dm = np.sum(x * dy, axis=1, keepdims=True)
        dx = m * dy + dm / x.shape[1]
        return dx

    return y, backward


MISTAKES = (
    Mistake(
        "mean-scale.mean-path",
        "m * dy + dm / x.shape[1]",
        "m * dy",
        hint="x[0,0] grows. Does y[0,1] stay as it is?",
        why="The mean grows too, and it is a factor of all entries of the row.",
    ),
    Mistake(
        "mean-scale.scale-path",
        "m * dy + dm / x.shape[1]",
        "np.zeros_like(x) + dm / x.shape[1]",
        hint="Let the mean be held fast. Does y still change with x?",
        why="x is also a factor itself.",
    ),
    Mistake(
        "mean-scale.mean-path.factor",
        "dm / x.shape[1]",
        "dm",
        hint="One entry of five grows by 1. By how much does the mean grow?",
        why="Each entry has the share 1/D in the mean.",
    ),
    Mistake(
        "mean-scale.scale:multiply.a-missing",
        "np.sum(x * dy, axis=1, keepdims=True)",
        "np.sum(dy, axis=1, keepdims=True)",
        hint="m grows, and x[0,0] is 0. Does y[0,0] grow?",
        why="m is multiplied with x, so a change of m comes out x times as large.",
    ),
    Mistake(
        "times-mean.not-summed",
        "np.sum(x * dy, axis=1, keepdims=True)",
        "x * dy",
        hint="m grows. How many entries of y change? And what is the shape of your dm?",
        why="All D entries of a row use m, and their shares are added.",
        says="the gradient of the mean is not summed over the row",
    ),
    Mistake(
        "times-mean.mean-of-dy",
        "dm / x.shape[1]",
        "m * dy.mean(axis=1, keepdims=True)",
        hint="m grows. By how much does y[n,d] grow: by m, or by something of its own?",
        why="A change of m comes out x[n,d] times as large, at each entry with its own x.",
        says="the way through the mean has m in place of x",
    ),
    Mistake(
        "times-mean.doubled",
        "m * dy + dm / x.shape[1]",
        "2 * m * dy",
        hint="x * x has the slope 2 x. Is the mean of x the same as x?",
        why="The two ways are not equal: the mean looks at the whole row.",
        says="the first way is counted twice, in place of the second one",
    ),
)
