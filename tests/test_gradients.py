"""Every gradient against central differences, in float64."""

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import assume, event, given
from hypothesis import strategies as st
from strategies import arguments, fewer, gaussian_arguments, over_floats, seeds, some

import numpy_se as se
from numpy_se.checker import from_layer
from numpy_se.nets import Apply, Conv2d, Linear, Sequential, SqueezeExcite, residual


@pytest.mark.parametrize("case", some(CASES, 2), ids=lambda case: case.title)
@fewer
@given(data=st.data(), seed=seeds)
def test_at_kinks(case: Case, data: Any, seed: int) -> None:
    """On a lattice, zeros and ties are frequent. There, the gradient is one of the legal ones."""
    op, args = over_floats(case, data.draw(arguments(case)))
    report = se.gradcheck(op, *args, seed=seed)
    event("some entries at kinks" if report.at_kinks else "no kinks")
    assert report.verdict != "wrong", report


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
@fewer
@given(data=st.data(), seed=seeds)
def test_away_from_kinks(case: Case, data: Any, seed: int) -> None:
    """With Gaussian values, kinks are rarely hit: some entries must lie away from them."""
    op, args = over_floats(case, data.draw(gaussian_arguments(case)))
    report = se.gradcheck(op, *args, seed=seed)
    assume(report.influence)  # a closed gate lets nothing through
    assert report.ok, report


@fewer
@given(seed=seeds, ratio=st.sampled_from([None, 1, 2]), bias=st.booleans())
def test_gradients_of_a_whole_net(seed: int, ratio: Any, bias: bool) -> None:
    """All parameters and the input of a net with every kind of layer."""
    net = Sequential(
        conv=Conv2d(2, 3, size=3, stride=2, padding=1, bias=bias),
        relu=Apply(se.relu),
        residual=residual(
            Sequential(conv=Conv2d(3, 3, bias=bias), se=SqueezeExcite(3, 1, bias=bias))
        ),
        pool=Apply(se.max_pool2d, size=2, stride=1),
        flatten=Apply(se.flatten),
        classify=Linear(3 * 2 * 1, 4, bias=bias),
    )
    if ratio:
        net = net.after("relu", se=SqueezeExcite(3, ratio, bias=bias))
    rng = np.random.default_rng(seed)
    params = net.init(rng, np.float64)
    x = rng.standard_normal((2, 2, 5, 4))
    op, names = from_layer(net, params), ["x", *params]
    report = se.gradcheck(op, x, *params.values(), names=names, seed=seed)
    assert report.ok, report
