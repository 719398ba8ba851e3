"""The public strategies, and property tests of gradients made with them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import whole_bank

import numpy_se as se
from numpy_se import strategies
from numpy_se.checker import GradientError

test_block = strategies.gradient_test(se.squeeze_excite, "N C H W, R C, C R", max_examples=8)
test_loss = strategies.gradient_test(se.softmax_cross_entropy, "N K, int N", max_examples=8)
test_pooling = strategies.gradient_test(se.max_pool2d, "N C H W", 8, H=(2, 4), W=(2, 4))


def test_a_property_test_fails_with_the_report() -> None:
    mutant = next(m for m in whole_bank() if m.op.__name__ == "db_averaged")
    with pytest.raises(GradientError, match=r"db is wrong.* it is x.shape\[0\] times too small"):
        strategies.gradient_test(mutant.op, mutant.shapes)()


@pytest.mark.parametrize("profile", ["default", "search", "ci"])
def test_a_profile_can_be_chosen(profile: str) -> None:
    """By the command line or the environment; only "search" draws other examples in each run."""
    chosen = settings.get_profile(profile)
    assert chosen.derandomize == (chosen.database is None) == (profile != "search")
    assert chosen.deadline is None
    assert (chosen.max_examples > 100) == (profile == "search")
    command = [sys.executable, "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--collect-only"]
    command += [str(Path(__file__).with_name("test_shapes.py"))]
    plain = {k: v for k, v in os.environ.items() if k not in ("CI", "HYPOTHESIS_PROFILE")}
    options, named = [], profile
    if profile == "search":  # the command line comes first
        options, named = [f"--hypothesis-profile={profile}"], "default"
    ran = subprocess.run(
        command + options,
        env=plain | {"HYPOTHESIS_PROFILE": named},
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"hypothesis profile {profile!r}" in ran.stdout


@given(x=strategies.image_batches(channels=3), w=strategies.matrices(rows=2), data=st.data())
def test_what_is_drawn(x: Any, w: Any, data: Any) -> None:
    assert x.shape[0] >= 2
    assert x.shape[1] == 3
    assert x.shape[2] != x.shape[3]
    assert w.shape[0] == 2
    np.testing.assert_array_equal(x * 8, np.round(x * 8))
    labels = data.draw(strategies.labels(len(x), 4))
    assert labels.shape == (len(x),)
    assert labels.min() >= 0
    assert labels.max() < 4
    restride, dtype = data.draw(strategies.layouts()), data.draw(strategies.dtypes())
    np.testing.assert_array_equal(restride(x.astype(dtype)), x)
    logits, classes = data.draw(strategies.arguments("N K, int N"))
    assert len(logits) == len(classes)
    assert classes.max() < logits.shape[1]
