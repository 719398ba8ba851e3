"""A bias: one row is added to all rows.

    x (N, D), b (D,)  ->  y (N, D)          y[i,j] = x[i,j] + b[j]

    x   1  2  3        b  10 20 30        y  11 22 33
        4  5  6                              14 25 36

Give dx (N, D) and db (D,) for dy (N, D).
"""

from numpy_se.exercises import Mistake

MINUTES = 10
SHAPES = {"x": "N D", "b": "D"}
HINTS = (
    "b[0] grows by 1. Which entries of y grow?",
    "dx[i,j] = dy[i,j]\ndb[j]   = sum over i of dy[i,j]",
    """
    y = x + b

    def backward(dy):
        dx = ___
        db = dy.sum(axis=___)
        return dx, db
    """,
)


def bias(x, b):
    y = x + b

    def backward(dy):
        dx = dy.copy()
        db = dy.sum(axis=0)
        return dx, db

    return y, backward


MISTAKES = (
    Mistake(
        "any.not-summed",
        "dy.sum(axis=0)",
        "dy.copy()",
        hint="What is the shape of b, and what is that of your db?",
        why="All N rows use the same b. Its gradient is the sum over them.",
    ),
    Mistake(
        "any.wrong-axis",
        "dy.sum(axis=0)",
        "dy.sum(axis=1)",
        hint="One entry of b reaches a whole column of y. What do you add up?",
        why="axis=1 adds up a row. b[j] reaches the entries of column j.",
    ),
    Mistake(
        "any.factor-too-small",
        "dy.sum(axis=0)",
        "dy.mean(axis=0)",
        hint="Let each row be there twice. Does b change L as much as before?",
        why="The shares of the rows are added. If L is a mean, dy is small already.",
    ),
    Mistake(
        "any.part-of-dy",
        "dy.sum(axis=0)",
        "dy[0]",
        hint="Does b change the first row only?",
        why="Every row uses b, and each gives a share.",
    ),
    Mistake(
        "any.factor-value",
        "dx = dy.copy()",
        "dx = dy * x",
        hint="x[0,0] is 5 and grows by 1. By how much does y[0,0] grow?",
        why="In a sum, a change of x comes out as it is, whatever x is.",
    ),
)
