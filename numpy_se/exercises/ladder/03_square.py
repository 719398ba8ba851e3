"""The square of every entry.

    x (N, D)  ->  y (N, D)          y[i,j] = x[i,j]^2

    x    1   -2    3
    y    1    4    9

L is a number that is made from y. You get dy[i,j] = dL/dy[i,j]: how much L
grows when y[i,j] grows by a little. Give dx[i,j] = dL/dx[i,j].
"""

from numpy_se.exercises import Mistake

MINUTES = 10
SHAPES = {"x": "N D"}
HINTS = (
    "How much does 3^2 grow when 3 becomes 3.01? And (-2)^2, when\n-2 becomes -1.99?",
    "y = x * x has x twice, and each of them gives a share:\n"
    "dx[i,j] = x[i,j] * dy[i,j] + x[i,j] * dy[i,j]",
    """
    y = x**2

    def backward(dy):
        return ___ * x * ___
    """,
)


def square(x):
    y = x**2

    def backward(dy):
        return 2 * x * dy

    return y, backward


MISTAKES = (
    Mistake(
        "any.factor-too-small",
        "2 * x * dy",
        "x * dy",
        hint="How much does 3 * 3 grow when both of its 3 grow by 0.01?",
        why="x stands twice in x * x, and each of them gives x * dy.",
    ),
    Mistake(
        "any.dy-ignored",
        "2 * x * dy",
        "2 * x",
        hint="2 x is how y grows with x. And how does L grow with y?",
        why="This is dy/dx. The chain rule multiplies it with dL/dy, which is dy.",
    ),
    Mistake(
        "power.term-1.x-to-p-1-missing",
        "2 * x * dy",
        "2 * dy",
        hint="Is the parabola as steep at 3 as it is at 1?",
        why="The slope of x^2 is another one at each x.",
    ),
    Mistake(
        "power.exponent",
        "2 * x * dy",
        "2 * y * dy",
        hint="The slope of the parabola at -2 is negative. Is yours?",
        why="The slope depends on where x is, and y = x^2 has lost its sign.",
    ),
)
