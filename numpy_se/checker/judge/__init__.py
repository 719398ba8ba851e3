"""The judge of hand-ins: it checks files of strangers, which cannot reach the verdict.

check.py     check_file: copies a file, has it run, and writes the report; check_hand_in, for
             checks of other kinds
hand_in.py   a function in another process as an operation y, backward = op(x) like any other
process.py   that process, seen from here: requests, answers, time, and its end
wire.py      what crosses the pipe: JSON and .npy

In the process of the hand-in, there is nothing else of this package:

child.py     it holds the file and the closures, and answers
guard.py     what it gives up before the file runs
moves.py     whether backward works with differences
"""

from numpy_se.checker.judge.check import (
    Report,
    check_file,
    check_hand_in,
    plain_finding,
    unusable,
)
from numpy_se.checker.judge.process import Unusable

__all__ = ["Report", "Unusable", "check_file", "check_hand_in", "plain_finding", "unusable"]
