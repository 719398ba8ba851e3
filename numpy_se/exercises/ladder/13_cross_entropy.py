"""Cross-entropy: how much the labels surprise a net.

    logits (N, K), labels (N,)  ->  y, one number

    p = softmax of each row of logits
    y = - 1/N * sum over n of log p[n, labels[n]]

labels are whole numbers from 0 to K - 1, and have no gradient. Give dlogits for
dy, which is a number here. Nearly all of the formula cancels: what is left is
the difference of two simple things. Where p is 0 for a float, log p would be
-inf. So do not take the log of p: log p[n,k] is logits[n,k] - log(sum_j
exp(logits[n,j])), and all logits of a row may be moved by the same number.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 30
SHAPES = {"logits": "N K", "labels": "int N"}
HINTS = (
    "Let the net be right and sure: p is 1 at the label. What should still change?",
    "dlogits[n,k] = (p[n,k] - t[n,k]) / N * dy\nwhere t[n,k] is 1 for k = labels[n], else 0",
    """
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    y = -np.mean(log_p[rows, ___])

    def backward(dy):
        difference = np.exp(log_p)
        difference[rows, ___] -= ___
        return difference / ___ * dy
    """,
)


def cross_entropy(logits, labels):
    rows = np.arange(len(logits))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    y = -np.mean(log_p[rows, labels])

    def backward(dy):
        difference = np.exp(log_p)
        difference[rows, labels] -= 1
        dlogits = difference / len(logits) * dy
        return dlogits

    return y, backward


MISTAKES = (
    Mistake(
        "any.factor-too-large",
        "difference / len(logits) * dy",
        "difference * dy",
        hint="Take each sample twice: y stays. Which share in y is left to one of them?",
        why="y is a mean, so each sample has a share of 1/N.",
    ),
    Mistake(
        "any.dy-ignored",
        "difference / len(logits) * dy",
        "difference / len(logits)",
        hint="The loss is multiplied by 10 before it is used. Where do you see that?",
        why="dy is a number here, and often 1. It still is a factor.",
    ),
    Mistake(
        "softmax-cross-entropy.one-hot-missing",
        "        difference[rows, labels] -= 1\n",
        "",
        hint="Which entry of a row should grow? Is it the one your gradient raises?",
        why="The label has to be taken away: its logit should grow, not shrink.",
    ),
    Mistake(
        "cross-entropy.label-added",
        "difference[rows, labels] -= 1",
        "difference[rows, labels] += 1",
        hint="p is 1 at the label: nothing is left to learn. What is your gradient then?",
        why="The target is taken away from p, so that the difference is 0 when all is right.",
        says="the target is added to p, not taken away from it",
    ),
    Mistake(
        "any.sign",
        "difference / len(logits) * dy",
        "-difference / len(logits) * dy",
        hint="The logit of the label grows. Does the loss grow or shrink?",
        why="The gradient points uphill. It is the step of training that goes down.",
    ),
    Mistake(
        "softmax-cross-entropy.forward.sum",
        "-np.mean(log_p[rows, labels])",
        "-np.sum(log_p[rows, labels])",
        hint="Take each sample twice. Should y be another number?",
        why="A mean does not depend on how many samples there are.",
    ),
)
