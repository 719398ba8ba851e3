"""Attention: each row asks, and all rows answer.

    q (T, D), k (S, D), v (S, E)  ->  y (T, E)

    e = q k^T / sqrt(D)      (T, S)   how well question t fits to key s
    p = softmax of the rows  (T, S)   exercise 12
    y = p v                  (T, E)   a mean of the values, with the weights p

Give dq, dk and dv for dy. It is a chain of three steps that you know: a
product, a softmax, a product.
"""

import numpy as np

from numpy_se.exercises import Mistake

MINUTES = 40
SHAPES = {"q": "T D", "k": "S D", "v": "S E"}
HINTS = (
    "y = p v is a linear layer: what are dp and dv? Which exercise is the next\nstep?",
    "dp = dy v^T,  dv = p^T dy\n"
    "de[t,s] = p[t,s] * (dp[t,s] - sum over j of p[t,j] * dp[t,j])\n"
    "dq = de k / sqrt(D),  dk = de^T q / sqrt(D)",
    """
    root = np.sqrt(q.shape[1])
    e = q @ k.T / root
    p = np.exp(e - e.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    y = p @ v

    def backward(dy):
        dp = ___
        dv = ___
        de = p * (dp - ___)
        dq = ___ / root
        dk = ___ / root
        return dq, dk, dv
    """,
)


def attention(q, k, v):
    root = np.sqrt(q.shape[1])
    e = q @ k.T / root
    p = np.exp(e - e.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    y = p @ v

    def backward(dy):
        dp = dy @ v.T
        dv = p.T @ dy
        de = p * (dp - np.sum(p * dp, axis=1, keepdims=True))
        dq = de @ k / root
        dk = de.T @ q / root
        return dq, dk, dv

    return y, backward


MISTAKES = (
    Mistake(
        "attention.softmax:softmax.sum-missing",
        "p * (dp - np.sum(p * dp, axis=1, keepdims=True))",
        "p * dp",
        hint="Add 1 to a whole row of e: p stays. What is the sum of your de?",
        why="The shares of a row add up to 1: what one gains, the others lose.",
    ),
    Mistake(
        "attention.softmax:softmax.diagonal-only",
        "p * (dp - np.sum(p * dp, axis=1, keepdims=True))",
        "p * (1 - p) * dp",
        hint="One e of a row grows. Do the other shares stay as they are?",
        why="e[s] also lowers all other shares.",
    ),
    Mistake(
        "any.factor-too-large",
        "dq = de @ k / root",
        "dq = de @ k",
        hint="By which number is e divided? Does it matter for a change of q?",
        why="What is divided on the way there is divided on the way back.",
    ),
    Mistake(
        "attention.softmax:softmax.missing",
        "p * (dp - np.sum(p * dp, axis=1, keepdims=True))",
        "dp.copy()",
        hint="Which of the three steps do you leave out?",
        why="Between e and p there is a softmax.",
    ),
    Mistake(
        "any.factor-too-small",
        "dv = p.T @ dy",
        "dv = p.T @ dy / len(dy)",
        hint="How many questions does one value answer?",
        why="All T questions use the same values, and their shares are added.",
    ),
)
