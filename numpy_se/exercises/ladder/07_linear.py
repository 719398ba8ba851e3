"""A linear layer.

    x (N, I), w (O, I)  ->  y (N, O)          y = x w^T
                                              y[n,o] = sum_i x[n,i] * w[o,i]
          I              O
       +-----+         +---+
     N |  x  |  ->   N | y |        each row of w makes one column of y
       +-----+         +---+

Give dx (N, I) and dw (O, I) for dy (N, O). Look at the shapes: there is only
one way to multiply dy with w that gives (N, I).
"""

from numpy_se.exercises import Mistake

MINUTES = 20
SHAPES = {"x": "N I", "w": "O I"}
HINTS = (
    "x[0,0] grows by 1. Which entries of y change, each by how much?",
    "dx[n,i] = sum over o of dy[n,o] * w[o,i]\ndw[o,i] = sum over n of dy[n,o] * x[n,i]",
    """
    y = x @ w.T

    def backward(dy):
        dx = dy @ ___
        dw = ___.T @ ___
        return dx, dw
    """,
)


def linear(x, w):
    y = x @ w.T

    def backward(dy):
        dx = dy @ w
        dw = dy.T @ x
        return dx, dw

    return y, backward


MISTAKES = (
    Mistake(
        "any.transposed",
        "dy.T @ x",
        "x.T @ dy",
        hint="What is the shape of w, and what is that of your dw?",
        why="A gradient has the shape of its array. This is the transpose.",
    ),
    Mistake(
        "any.factor-too-small",
        "dy.T @ x",
        "dy.T @ x / len(x)",
        hint="Let each row be there twice. Does w change L as much as before?",
        why="Shares of the rows are added. If L is a mean, dy is small already.",
    ),
    Mistake(
        "linear.w-reshaped",
        "dy @ w",
        "dy @ w.reshape(w.shape[::-1]).T",
        hint="Write down w with numbers, and look where they are after your step.",
        why="reshape reads the numbers in their order and fills another shape.",
        says="w is reshaped where it should be transposed",
    ),
    Mistake(
        "linear.dw-for-w",
        "dx = dy @ w\n        dw = dy.T @ x",
        "dw = dy.T @ x\n        dx = dy @ dw",
        hint="From what is y made: from w, or from how L changes with w?",
        why="dx goes back through w. dw is how w should change.",
    ),
    Mistake(
        "any.dy-ignored",
        "dy.T @ x",
        "(0 * dy + 1).T @ x",
        hint="Let L not care about y at all: dy is 0. What is dw then?",
        why="Each share of x counts as much as L cares about its y.",
    ),
)
