"""What the course takes for evidence: intervals, verdicts with several kernels, corrections."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

from numpy_se.blas import kernels

stats: Any = pytest.importorskip("scipy.stats")
pytest.importorskip("loky")
TUTORIALS = Path(__file__).parent.parent / "tutorials"
sys.path.insert(0, str(TUTORIALS))
evidence: Any = pytest.importorskip("evidence")
sys.path.remove(str(TUTORIALS))
Claim = evidence.Claim


def drawn(seed: int, mean: float, runs: int, kernels: int = 2) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {f"kernel {k}": mean + rng.standard_normal(runs) for k in range(kernels)}


@pytest.mark.parametrize(("runs", "t"), [(2, 12.71), (5, 2.78), (20, 2.09), (30, 2.045)])
def test_the_interval_is_students(runs: int, t: float) -> None:
    values = np.random.default_rng(runs).standard_normal((runs, 3))
    mean, half = evidence.interval(values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    wanted = t * values.std(axis=0, ddof=1) / np.sqrt(runs)
    np.testing.assert_allclose(half, wanted, rtol=2e-3)
    with pytest.raises(ValueError, match="values has 1 runs"):
        evidence.interval(values[:1])


@given(seed=seeds, mean=st.floats(-2, 2), runs=st.integers(2, 12), bar=st.floats(-1, 1))
def test_a_verdict_says_on_which_side_both_intervals_lie(
    seed: int, mean: float, runs: int, bar: float
) -> None:
    values = drawn(seed, mean, runs)
    sides = set()
    for own in values.values():
        middle, half = evidence.interval(own)
        sides.add(
            "undecided" if abs(middle - bar) <= half else "above" if middle > bar else "below"
        )
    (side,) = sides if len(sides) == 1 else ("undecided",)
    claim = Claim(values, bar=bar, words=("above", "below"))
    assert claim.verdict() == side
    other = Claim(values, "below", bar, ("below", "above"))
    assert other.verdict() == side
    assert claim.runs == runs


def test_kernels_that_disagree_decide_nothing() -> None:
    values = {"a": np.array([1.0, 1.1, 0.9]), "b": np.array([-1.0, -1.1, -0.9])}
    assert Claim({"a": values["a"]}).verdict() == "supported"
    assert Claim({"b": values["b"]}).verdict() == "not supported"
    assert Claim(values).verdict() == "undecided"
    assert Claim(values).p_value() == 1


def test_values_that_are_all_the_bar_decide_nothing() -> None:
    assert Claim({"a": np.ones(4)}, bar=1.0).verdict() == "undecided"
    assert Claim({"a": np.ones(4)}, bar=0.5).verdict() == "supported"


@given(seed=seeds, mean=st.floats(-2, 2), runs=st.integers(2, 12))
def test_the_p_value_is_that_of_scipy(seed: int, mean: float, runs: int) -> None:
    (values,) = drawn(seed, mean, runs, 1).values()
    wanted = stats.ttest_1samp(values, 0.5).pvalue
    assert Claim({"a": values}, bar=0.5).p_value() == pytest.approx(wanted, rel=1e-6)


def test_holms_correction() -> None:
    """The example of three: 0.01, 0.02 and 0.04 become 0.03, 0.04 and 0.04."""

    class Known(Claim):
        def p_value(self) -> float:
            return float(self.bar)

    claims = {name: Known({"a": [1.0, 1.1]}, bar=p) for name, p in
              {"first": 0.04, "second": 0.01, "third": 0.02}.items()}  # fmt: skip
    assert evidence.holm(claims) == pytest.approx({"first": 0.04, "second": 0.03, "third": 0.04})
    many = {str(k): Known({"a": [1.0, 1.1]}, bar=0.02) for k in range(9)}
    assert list(evidence.holm(many).values()) == pytest.approx([0.18] * 9)
    assert set(evidence.verdicts(many).values()) == {"undecided"}


@pytest.mark.parametrize("claims", [1, 20])
@pytest.mark.parametrize("runs", [5, 20])
def test_what_is_visible_is_decided_in_8_of_10_studies(runs: int, claims: int) -> None:
    far = evidence.visible(1.0, runs, claims)
    studies = [Claim(drawn(seed, far, runs)) for seed in range(400)]
    decided = [c.verdict(min(1, claims * c.p_value())) == "supported" for c in studies]
    assert 0.76 < np.mean(decided) < 0.86  # 0.81, as the kernels drawn here share nothing
    nothing = [Claim(drawn(seed, 0.0, runs, 1)).verdict() != "undecided" for seed in range(400)]
    assert 0.02 < np.mean(nothing) < 0.09  # one of twenty


def test_a_sweep_runs_with_two_kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(TUTORIALS))  # for the processes of the sweep, too

    def run(k: int) -> list[Any]:
        return [k, ", ".join(kernels())]

    jobs = {f"job {k}": {"k": k} for k in range(2)}
    try:
        found = evidence.sweep_by_kernel(run, jobs, tmp_path)
    except SystemExit as reason:
        pytest.skip(str(reason))
    assert len(found) == 2
    for kernel, results in found.items():
        assert results == {f"job {k}": [k, kernel] for k in range(2)}
        assert (tmp_path / kernel / "job 1.json").exists()


def test_the_table_of_findings_is_that_of_the_kept_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(TUTORIALS))
    findings: Any = pytest.importorskip("findings")
    text = findings.README.read_text(encoding="utf-8")
    assert findings.BEGIN + findings.text() + findings.END in text


def test_what_other_seeds_gave_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(TUTORIALS))
    findings: Any = pytest.importorskip("findings")
    same = [("better", "better"), ("worse", "worse"), ("worse", "worse")]
    once = [("undecided", "worse"), ("better", "undecided")]
    counted = findings.stability([*same, ("better", "worse"), *once, *[("undecided",) * 2] * 4])
    assert counted == (
        "10 verdicts. Decided both times, on the same side: 3. On different sides: 1. Decided in "
        "one of the two: 2. In none: 4."
    )
