"""Mistakes that people make in one particular operation.

An operation is recognised by what its forward pass computes. Each mistake is written down with it,
as the wrong gradients, or the wrong output, that it leads to. The derivation of the right ones
stands with the operation.

registry.py     how a mistake is written down, and how an operation is recognised
chain.py        operations that are made of others
activations.py, linear.py, pooling.py, norm.py, conv.py, loss.py, block.py
                what is known about the operations of this package
unary.py, functions.py, softmax.py, losses.py, rows.py, pieces.py, composed.py, relatives.py
                what is known about others, which are written down here for the checker alone
"""

from numpy_se.checker.mistakes import activations, block, conv, linear, loss, norm, pooling

# isort: split
from numpy_se.checker.mistakes import functions, losses, rows, softmax

# isort: split
from numpy_se.checker.mistakes import composed, pieces, relatives
from numpy_se.checker.mistakes.chain import Chain
from numpy_se.checker.mistakes.registry import Layout, known, mistake, recognise, wrong_forward

__all__ = [
    "Chain",
    "Layout",
    "activations",
    "block",
    "composed",
    "conv",
    "functions",
    "known",
    "linear",
    "loss",
    "losses",
    "mistake",
    "norm",
    "pieces",
    "pooling",
    "recognise",
    "relatives",
    "rows",
    "softmax",
    "wrong_forward",
]
