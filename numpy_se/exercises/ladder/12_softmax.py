"""Softmax: shares that add up to 1.

    x (N, K)  ->  y (N, K)          y[n,k] = exp(x[n,k]) / sum_j exp(x[n,j])

    x   0   0   0       y  1/3  1/3  1/3
        9   0   0          1.0  0.0  0.0    (about)

exp(1000) is too large for a float, so take the largest entry of the row from
all of them first: this changes no share. Give dx for dy. Each x[n,k] is in all
y of its row: it raises its own share and lowers the others.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 30
SHAPES = {"x": "N K"}
HINTS = (
    "Add the same number to a whole row of x. What happens to y? So what must the\n"
    "sum of a row of dx be?",
    "dy[n,j]/dx[n,k] is y[n,k] * (1 - y[n,k]) for j = k, else -y[n,j] * y[n,k]. So\n"
    "dx[n,k] = y[n,k] * (dy[n,k] - sum over j of y[n,j] * dy[n,j])",
    """
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=___, keepdims=True)

    def backward(dy):
        mean = np.sum(___ * dy, axis=1, keepdims=True)
        return y * (dy - ___)
    """,
)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    y = e / e.sum(axis=1, keepdims=True)

    def backward(dy):
        mean = np.sum(y * dy, axis=1, keepdims=True)
        dx = y * (dy - mean)
        return dx

    return y, backward


MISTAKES = (
    Mistake(
        "softmax.diagonal-only",
        "y * (dy - mean)",
        "y * (1 - y) * dy",
        hint="One x of a row grows. Do the other shares stay as they are?",
        why="That is y[k] with x[k] alone. x[k] also lowers all other shares.",
    ),
    Mistake(
        "softmax.sum-missing",
        "y * (dy - mean)",
        "y * dy",
        hint="Add 1 to a whole row of x: y stays. What is the sum of your dx?",
        why="The sum below the fraction grows too, and takes a part away.",
    ),
    Mistake(
        "softmax.plain-mean",
        "np.sum(y * dy, axis=1, keepdims=True)",
        "np.mean(dy, axis=1, keepdims=True)",
        hint="Is each entry of a row as important as the others?",
        why="It is a mean, but one with the shares y as its weights.",
        says="the plain mean of dy is taken away",
    ),
    Mistake(
        "softmax.sum-all",
        "np.sum(y * dy, axis=1, keepdims=True)",
        "np.sum(y * dy)",
        hint="Does one row of x change the shares of another row?",
        why="Each row has a sum of its own.",
    ),
    Mistake(
        "softmax.rows-together",
        "e.sum(axis=1, keepdims=True)",
        "e.sum()",
        hint="What do the shares of one row add up to?",
        why="The shares of each row add up to 1, not those of all rows.",
        says="the sum is taken over all rows",
    ),
)
