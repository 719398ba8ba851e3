"""Training: ``python -m numpy_se.train`` at the shell, ``train(net, data)`` in Python."""

from numpy_se.train.checkpoint import State
from numpy_se.train.loop import (
    DivergedError,
    Options,
    accuracy,
    initial_state,
    predict,
    train,
    training,
)
from numpy_se.train.sweeps import SweepError, sweep

__all__ = [
    "DivergedError",
    "Options",
    "State",
    "SweepError",
    "accuracy",
    "initial_state",
    "predict",
    "sweep",
    "train",
    "training",
]
