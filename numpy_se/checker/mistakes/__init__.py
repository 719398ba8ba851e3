"""Mistakes that people make in one particular operation.

An operation is recognised by what its forward pass computes. Each mistake is written down with it,
as the wrong gradients, or the wrong output, that it leads to. The derivation of the right ones
stands with the operation.

registry.py     how a mistake is written down, and how an operation is recognised
chain.py        operations that are made of others
activations.py, linear.py, pooling.py, norm.py, conv.py, loss.py, block.py      what is known
"""

from numpy_se.checker.mistakes import activations, block, conv, linear, loss, norm, pooling
from numpy_se.checker.mistakes.chain import Chain
from numpy_se.checker.mistakes.registry import Layout, known, mistake, recognise, wrong_forward

__all__ = [
    "Chain",
    "Layout",
    "activations",
    "block",
    "conv",
    "known",
    "linear",
    "loss",
    "mistake",
    "norm",
    "pooling",
    "recognise",
    "wrong_forward",
]
