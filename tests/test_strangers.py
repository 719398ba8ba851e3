"""Operations of strangers: no right one is accused, every wrong one is seen, and no name is false.

Each run takes every sixteenth operation of a file, from another one on in the next file. All are
checked with ``--hypothesis-profile=search``, and by matrix.py at several seeds.
"""

from typing import Any

import pytest
from matrix import check_stranger, strangers_by_file
from strangers import Stranger
from strategies import SEARCH, some

from numpy_se import gradcheck
from numpy_se.checker.findings import NUMBERS

pytestmark = pytest.mark.slow

STEP = 28


def chosen(right: bool) -> list[Any]:
    """Some of the right or of the wrong operations, as parameters."""
    return [
        pytest.param(stranger, id=f"{file}-{stranger.title}")
        for number, (file, members) in enumerate(strangers_by_file().items())
        for stranger in some(members[0 if SEARCH else number % STEP :], STEP)
        if right == (not stranger.mistake)
    ]


@pytest.mark.parametrize("stranger", chosen(right=True))
def test_a_right_operation_is_not_accused(stranger: Stranger) -> None:
    report = check_stranger(stranger)
    assert report.verdict != "wrong", report


@pytest.mark.parametrize("stranger", chosen(right=False))
def test_a_wrong_operation_is_seen(stranger: Stranger) -> None:
    report = check_stranger(stranger)
    assert report.verdict == "wrong", stranger.mistake
    if stranger.grads:
        wrong = {f.subject for f in report.findings if f.kind in NUMBERS}
        assert wrong <= {*stranger.grads, "y", "backward"}
    ids = {cause.code for cause in report.causes if cause.code}
    assert ids <= set(stranger.says), report
    if report.smallest:
        again = gradcheck(stranger.op, *report.smallest.values())
        assert again.verdict == "wrong", report
        assert str(again)
