"""A chain: two linear layers.

    x (N, I), w1 (R, I), w2 (O, R)  ->  y (N, O)

    x --> [ w1 ] --> h --> [ w2 ] --> y         h = x w1^T,  y = h w2^T
                 <--        <--
    dx <-- dw1       dh <-- dw2    dy

The way back is the way there, in the other order: from dy to dh and dw2, then
from dh to dx and dw1. Give dx, dw1 and dw2.
"""

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"x": "N I", "w1": "R I", "w2": "O R"}
HINTS = (
    "If you had dh, the gradient of h, what would be left to do? You did it in\nexercise 7.",
    "dh[n,r]  = sum over o of dy[n,o] * w2[o,r]\n"
    "dw2[o,r] = sum over n of dy[n,o] * h[n,r]\n"
    "dx[n,i]  = sum over r of dh[n,r] * w1[r,i]\n"
    "dw1[r,i] = sum over n of dh[n,r] * x[n,i]",
    """
    h = x @ w1.T
    y = h @ w2.T

    def backward(dy):
        dh = dy @ ___
        dw2 = dy.T @ ___
        dx = ___ @ w1
        dw1 = ___.T @ ___
        return dx, dw1, dw2
    """,
)


def two_linear(x, w1, w2):
    h = x @ w1.T
    y = h @ w2.T

    def backward(dy):
        dh = dy @ w2
        dw2 = dy.T @ h
        dx = dh @ w1
        dw1 = dh.T @ x
        return dx, dw1, dw2

    return y, backward


MISTAKES = (
    Mistake(
        "any.wrong-order",
        "return dx, dw1, dw2",
        "return dx, dw2, dw1",
        hint="In which order does the function take its arguments?",
        why="Gradients come in the order of the arguments, not of the way back.",
    ),
    Mistake(
        "two-linear.h-without-w1",
        "dw1 = dh.T @ x",
        "dw1 = h.T @ x",
        hint="If L does not care about y at all, what is your dw1?",
        why="h is the value. What dw1 wants is how L changes with h.",
        says="h in place of dh in dw1",
    ),
    Mistake(
        "two-linear.x-for-h",
        "dw2 = dy.T @ h",
        "dw2 = dy.T @ x",
        hint="What was multiplied with w2: x, or what the first layer gives?",
        why="The second layer sees h. It knows nothing of x.",
        says="x in place of h in dw2",
    ),
    Mistake(
        "two-linear.w2-updated",
        "dh = dy @ w2\n        dw2 = dy.T @ h\n",
        "dw2 = dy.T @ h\n        dh = dy @ (w2 - 0.1 * dw2)\n",
        hint="Which w2 made this y: the one before the step, or behind it?",
        why="All gradients are taken at the same place. The step comes last.",
        says="w2 was updated before dh was computed from it (learning rate 0.1)",
    ),
    Mistake(
        "any.factor-too-small",
        "dw1 = dh.T @ x",
        "dw1 = dh.T @ x / len(x)",
        hint="Which of your gradients are divided, and which are not?",
        why="The shares of the rows are added, in both layers.",
    ),
    Mistake(
        "two-linear.abs",
        "dh = dy @ w2",
        "dh = dy @ abs(w2)",
        hint="A weight is negative, and h grows. What does y do?",
        why="A negative weight turns the sign of a change.",
        says="the sign of w2 is lost in dh",
    ),
)
