"""Update rules and the schedule, against their formulas and PyTorch."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from numpy_se.optim import SGD, Adam, one_cycle

RULES = [SGD(), SGD(momentum=0.0), SGD(weight_decay=0.1), Adam(), Adam(weight_decay=0.1)]


def descend(rule: Any, steps: int, lr: float = 0.1, seed: int = 0, dtype: Any = np.float64) -> Any:
    """Minimise sum (w - 3)^2 / 2 + sum (b + 1)^2 / 2, and return the parameters of every step."""
    rng = np.random.default_rng(seed)
    params = {"w": rng.standard_normal((2, 3)).astype(dtype), "b": np.zeros(2, dtype)}
    state = rule.init(params)
    path = [params]
    for _ in range(steps):
        grads = {"w": params["w"] - dtype(3), "b": params["b"] + dtype(1)}
        params, state = rule.step(params, grads, state, lr)
        path.append(params)
    return path


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_rules_find_the_minimum_and_decay_only_weights(rule: Any) -> None:
    last = descend(rule, 800)[-1]
    np.testing.assert_allclose(last["b"], -1, atol=1e-3)
    if rule.weight_decay:
        assert (last["w"] < 2.95).all()
    else:
        np.testing.assert_allclose(last["w"], 3, atol=1e-3)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_step_changes_nothing_that_it_gets(rule: Any) -> None:
    params = {"w": np.ones((2, 2)), "b": np.ones(2)}
    grads = {"w": np.full((2, 2), 2.0), "b": np.full(2, 3.0)}
    state = rule.init(params)
    for array in (*params.values(), *grads.values(), *state.values()):
        array.flags.writeable = False
    first, _ = rule.step(params, grads, state, 0.1)
    again, _ = rule.step(params, grads, state, 0.1)
    assert all((first[key] == again[key]).all() for key in first)
    assert list(first) == list(params)


NUMPY_RULES = [
    SGD(momentum=np.float64(0.9), weight_decay=np.float64(0.1)),
    Adam(beta1=np.float64(0.9), weight_decay=np.float64(1)),
]


@pytest.mark.parametrize("rule", RULES + NUMPY_RULES, ids=str)
def test_the_dtype_is_kept_whatever_the_dtype_of_the_settings(rule: Any) -> None:
    last = descend(rule, 3, lr=np.float64(0.1), dtype=np.float32)[-1]
    assert {a.dtype for a in last.values()} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: SGD(0.1), TypeError, r"SGD: its settings have names, .* lr into rule\.step"),
        (
            lambda: SGD({"w": np.ones(9)}, 0.05),
            TypeError,
            r"parameters go into rule\.init\(params\)",
        ),
        (lambda: Adam(lr=0.1), TypeError, r"Adam: its settings have names, .* lr into rule\.step"),
        (lambda: SGD(momentum="0.9"), TypeError, "SGD: momentum is '0.9'; it wants a number"),
        (
            lambda: SGD(momentum=2),
            ValueError,
            "SGD: momentum is 2; it wants at least 0, and below 1",
        ),
        (lambda: SGD(momentum=1.0), ValueError, "SGD: momentum is 1.0"),
        (lambda: SGD(weight_decay=-1), ValueError, "SGD: weight_decay is -1"),
        (lambda: SGD(momentum=float("nan")), ValueError, "SGD: momentum is nan"),
        (lambda: Adam(beta1=1.0), ValueError, "Adam: beta1 is 1.0; it wants at least 0, and below"),
        (lambda: Adam(eps=0), ValueError, "Adam: eps is 0; it wants more"),
        (lambda: Adam(beta2=1.0), ValueError, "Adam: beta2 is 1.0"),
        (lambda: Adam(eps=-1e-8), ValueError, "Adam: eps is -1e-08; it wants at least 0"),
        (lambda: Adam(weight_decay=-1), ValueError, "Adam: weight_decay is -1"),
    ],
)
def test_settings_out_of_their_range_are_refused(make: Any, error: Any, words: str) -> None:
    with pytest.raises(error, match=words):
        make()


W = {"w": np.ones((2, 3))}


@pytest.mark.parametrize("rule", [SGD(), Adam()], ids=str)
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"grads": (np.ones(3), W)},
            TypeError,
            r"grads is a tuple; it wants a dict: dx, grads = ba",
        ),
        ({"grads": {"b": np.ones(2)}}, ValueError, "step: grads has b; params has w"),
        (
            {"grads": {"w": np.ones((1, 2, 3))}},
            ValueError,
            r"w in grads has shape \(1, 2, 3\); it w",
        ),
        ({"params": {}}, ValueError, "step: grads has w; params has none"),
        ({"state": {}}, ValueError, "step: state is not of this rule and these params; begin with"),
        ({"state": None}, ValueError, "step: state is not of this rule"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    rule: Any, change: Any, error: Any, words: str
) -> None:
    given = {"params": W, "grads": W, "state": rule.init(W), "lr": 0.1}
    with pytest.raises(error, match=words):
        rule.step(**given | change)


@pytest.mark.parametrize("rule", RULES, ids=str)
@given(seed=seeds)
def test_parity_with_torch(rule: Any, seed: int) -> None:
    torch = pytest.importorskip("torch")
    path = descend(rule, 10, lr=0.05, seed=seed)
    w, b = (torch.tensor(path[0][key], requires_grad=True) for key in ("w", "b"))
    groups = [
        {"params": [w], "weight_decay": rule.weight_decay},
        {"params": [b], "weight_decay": 0.0},
    ]
    theirs = (
        torch.optim.SGD(groups, lr=0.05, momentum=rule.momentum)
        if isinstance(rule, SGD)
        else torch.optim.AdamW(groups, lr=0.05)
    )
    for params in path[1:]:
        theirs.zero_grad()
        (((w - 3) ** 2).sum() / 2 + ((b + 1) ** 2).sum() / 2).backward()
        theirs.step()
        np.testing.assert_allclose(params["w"], w.detach().numpy(), rtol=1e-9, atol=1e-10)
        np.testing.assert_allclose(params["b"], b.detach().numpy(), rtol=1e-9, atol=1e-10)


@given(steps=st.integers(1, 500), peak=st.floats(1e-4, 1))
def test_the_schedule_rises_and_falls_once_between_zero_and_its_peak(
    steps: int, peak: float
) -> None:
    rates = [one_cycle(step, steps, peak) for step in range(steps)]
    assert all(0 < rate <= peak for rate in rates)
    turns = np.flatnonzero(np.diff(np.sign(np.diff(rates))))
    assert len(turns) <= 1
    if steps > 100:
        assert max(rates) == pytest.approx(peak, rel=1e-3)
        assert rates[-1] < 0.01 * peak
        assert math.isclose(rates.index(max(rates)) / steps, 0.3, abs_tol=0.02)


def test_the_schedule_is_a_straight_rise_and_half_a_cosine() -> None:
    rates = {step: one_cycle(step, 99, peak=2.0, warmup=0.4) for step in (9, 19, 39, 69, 98)}
    want = {9: 0.5, 19: 1.0, 39: 2.0, 69: 1.0, 98: 1 - math.cos(math.pi / 60)}
    assert rates == pytest.approx(want)
    assert one_cycle(14, 99, 2.0) == pytest.approx(1.0)  # half of 30 %
