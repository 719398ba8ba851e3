"""Batch norm: each column with mean 0 and deviation 1.

    x (N, D), gamma (D,), beta (D,)  ->  y (N, D)

    m[d] = mean of column d        v[d] = mean of (x[n,d] - m[d])^2 over n
    c    = (x - m) / sqrt(v + 1e-5)
    y    = gamma * c + beta

An entry of x is in y as itself, in the mean and in the deviation of its column.
Give dx, dgamma and dbeta for dy. (Add 1 to a column of x: y stays as it is. So
the sum of a column of dx must be 0.)
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 45
SHAPES = {"x": "N D", "gamma": "D", "beta": "D"}
HINTS = (
    "Multiply a column of x by 2: what happens to y? What does that say about the\nsum of dx * c?",
    "With dc = gamma * dy, and means over n for each column:\n"
    "dx = (dc - mean(dc) - c * mean(dc * c)) / sqrt(v + 1e-5)\n"
    "dgamma[d] = sum over n of dy[n,d] * c[n,d],  dbeta[d] = sum over n of dy[n,d]",
    """
    m, v = x.mean(axis=0), x.var(axis=0)
    scale = 1 / np.sqrt(v + 1e-5)
    c = (x - m) * scale
    y = gamma * c + beta

    def backward(dy):
        dc = ___
        dx = (dc - ___ - c * ___) * scale
        dgamma = ___
        dbeta = ___
        return dx, dgamma, dbeta
    """,
)


def batch_norm(x, gamma, beta):
    m, v = x.mean(axis=0), x.var(axis=0)
    scale = 1 / np.sqrt(v + 1e-5)
    c = (x - m) * scale
    y = gamma * c + beta

    def backward(dy):
        dc = gamma * dy
        dx = (dc - dc.mean(axis=0) - c * (dc * c).mean(axis=0)) * scale
        dgamma = np.sum(dy * c, axis=0)
        dbeta = np.sum(dy, axis=0)
        return dx, dgamma, dbeta

    return y, backward


MISTAKES = (
    Mistake(
        "batch-norm.statistics-as-constants",
        "(dc - dc.mean(axis=0) - c * (dc * c).mean(axis=0))",
        "dc",
        hint="One x of a column grows. Do the other y of the column stay?",
        why="x is also in the mean and in the deviation of its column.",
    ),
    Mistake(
        "batch-norm.variance-path.factor",
        " - c * (dc * c).mean(axis=0)",
        "",
        hint="Multiply a column of x by 2: y stays. What does your dx say?",
        why="The way through the deviation is missing.",
    ),
    Mistake(
        "batch-norm.mean-path.factor",
        "dc - dc.mean(axis=0) - c",
        "dc - c",
        hint="Add 1 to a column of x: y stays. What is the sum of your dx?",
        why="The way through the mean is missing.",
    ),
    Mistake(
        "batch-norm.dgamma.x-for-xhat",
        "np.sum(dy * c, axis=0)",
        "np.sum(dy * x, axis=0)",
        hint="What does gamma multiply: x as it is?",
        why="gamma scales the centred x, with deviation 1.",
    ),
    Mistake(
        "batch-norm.gamma-missing",
        "dc = gamma * dy",
        "dc = dy.copy()",
        hint="gamma is 0. Does x still change y?",
        why="What gamma does to c, it does to a change of c.",
    ),
)
