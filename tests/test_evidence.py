"""What the course takes for evidence: intervals, verdicts with several kernels, corrections."""

import importlib.util
import json
import os
import platform
import shutil
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

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
evidence: Any = importlib.import_module("evidence")
sys.path.remove(str(TUTORIALS))
Claim = evidence.Claim


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Any:
    pytest.importorskip("matplotlib")
    monkeypatch.syspath_prepend(str(TUTORIALS))
    return importlib.import_module("findings")


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


def around(mean: float) -> Any:
    return mean + np.array([0.02, -0.02, 0.01, -0.01])


@pytest.mark.parametrize(
    ("means", "side"),
    [
        ((1.2, 1.3), "above"),
        ((0.7, 0.8), "below"),
        ((0.9, 1.1), None),  # both above 0, and the bar between them
        ((1.1, 0.9), None),
        ((1.0, 1.2), None),  # one kernel does not decide
        ((0.8, 1.0), None),
    ],
)
def test_both_kernels_decide_about_the_bar(means: tuple[float, float], side: str | None) -> None:
    values = dict(zip("ab", map(around, means), strict=True))
    for claimed in ("above", "below"):
        claim = Claim(values, claimed, bar=1.0, words=("yes", "no"))
        wanted = "undecided" if side is None else "yes" if side == claimed else "no"
        assert claim.verdict() == wanted
        if (means[0] - 1) * (means[1] - 1) < 0:
            assert claim.p_value() == 1
            assert claim.verdict(0.001) == "undecided"
    assert claim.above() == f"{(values['a'] > 1).sum()} and {(values['b'] > 1).sum()}"


@given(bar=st.floats(-3, 3), runs=st.integers(2, 30))
def test_runs_without_spread_decide_nothing(bar: float, runs: int) -> None:
    for value in (bar, bar + 1):
        assert Claim({"a": np.full(runs, value)}, bar=bar).verdict() == "undecided"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"values": {"a": [1.0], "b": [2.0]}}, "values has 1 runs"),
        ({"values": {"a": around(1.0), "b": around(1.0)[:3]}}, "shapes"),
        ({"values": {"a": 1.0}}, "shapes"),
        ({"values": {"a": np.ones((2, 2))}}, "shapes"),
        ({"values": {}}, "shapes"),
        ({"values": {"a": around(1.0), "b": [1.0, 2.0, np.nan, 1.5]}}, "wants finite numbers"),
        ({"values": {"a": around(1.0), "b": [1.0, 2.0, np.inf, 1.5]}}, "wants finite numbers"),
        ({"values": {"a": around(1.0)}, "bar": np.nan}, "bar is nan"),
        ({"values": {"a": around(1.0)}, "side": "Above"}, "side is 'Above'"),
    ],
)
def test_runs_that_cannot_be_judged_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Claim(**changes)


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
    assert list(evidence.holm(claims)) == list(claims)
    certain = {str(k): Known({"a": [1.0, 1.1]}, bar=0.4) for k in range(9)}
    assert set(evidence.holm(certain).values()) == {1.0}
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
    own = {evidence.SAME_CODE.get(kernel, kernel) for kernel in kernels()}
    x86 = platform.machine() in ("x86_64", "AMD64")
    if not x86 or own in (set(), {evidence.OTHER_KERNEL}):  # or there is another BLAS
        with pytest.raises(SystemExit, match="needs two kernels"):
            evidence.sweep_by_kernel(run, jobs, tmp_path)
        assert not list(tmp_path.iterdir())
        return
    found = evidence.sweep_by_kernel(run, jobs, tmp_path)
    assert len(found) == 2
    for kernel, results in found.items():
        assert results == {f"job {k}": [k, kernel] for k in range(2)}
        assert (tmp_path / kernel / "job 1.json").exists()


@pytest.mark.parametrize(("own", "here"), [("Haswell", "Haswell"), ("Zen", "Zen and Haswell")])
def test_one_kernel_is_seen_before_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str, here: str
) -> None:
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.syspath_prepend(str(TUTORIALS))
    monkeypatch.setattr(evidence, "kernels", lambda: [os.environ.get("OPENBLAS_CORETYPE", own)])
    with pytest.raises(SystemExit, match=f"two kernels of OpenBLAS; here is {here}"):
        evidence.sweep_by_kernel(lambda: 1, {"job": {}}, tmp_path)
    assert not list(tmp_path.iterdir())


def test_ctrl_c_ends_the_runs_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Executor:
        def submit(self, _: object) -> Any:
            return self

        def result(self) -> list[str]:
            return [next(names)]

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    names, executor, worker = iter(["one", "other"]), Executor(), Mock()
    monkeypatch.setattr(evidence, "get_reusable_executor", lambda env: executor)
    monkeypatch.setattr(evidence, "active_children", lambda: [worker])
    monkeypatch.setattr(evidence, "sweep", interrupted)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "first.json").touch()
    with pytest.raises(SystemExit, match="goes on where it was"):
        evidence.sweep_by_kernel(lambda: 1, {"first": {}, "second": {}}, tmp_path)
    worker.terminate.assert_called_once_with()
    assert capsys.readouterr().out == "one: 1 of 2 runs are there\n"


def test_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    first = {
        "wide": Claim({"a": around(1.2), "b": around(1.3) * 2}, bar=1.0, spread=0.01),
        "narrow": Claim({"a": around(0.5), "b": around(1.2)}, "below", 1.0, ("fewer", "more")),
    }
    again = first | {"narrow": Claim({"a": around(0.5), "b": around(0.6)}, "below", 1.0)}
    evidence.print_power(first)
    evidence.print_verdicts(first, again)
    heads, power, columns, wide, narrow = capsys.readouterr().out.splitlines()
    alone, corrected = (evidence.visible(0.01, 4, claims) for claims in (1, 2))
    assert heads.split() == ["seeds", "expected", "spread", "visible,", "alone", "corrected"]
    assert power.split() == ["wide", "4", "0.01", f"{alone:.2f}", f"{corrected:.2f}"]
    assert columns.split()[:4] == ["a", "b", "spread", "seen"]
    assert columns.split()[-3:] == ["p", "other", "seeds"]
    half, p = evidence.interval(around(1.2))[1], evidence.holm(first)["wide"]
    assert wide.split()[:4] == ["wide", "1.200", "±", f"{half:.3f}"]
    assert wide.split()[4:7] == ["2.600", "±", f"{2 * half:.3f}"]
    spread = np.std(2 * around(1.3), ddof=1)
    end = [">", "1.00", "supported", "supported", evidence.shown_p(p), "supported"]
    assert wide.split()[7:] == [f"{spread:.2f}", *end]
    assert narrow.split()[-6:] == ["<", "1.00", "undecided", "undecided", "1.00", "supported"]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (2e-5, "< 0.0001"),
        (0.0499, "0.0499"),
        (0.04996, "< 0.0500"),
        (0.05004, "0.0500"),
        (0.234, "0.23"),
    ],
)
def test_p_values_are_written_so_that_the_side_is_seen(p: float, text: str) -> None:
    assert evidence.shown_p(p) == text


def test_the_table_of_findings_is_that_of_the_kept_results(findings: Any) -> None:
    text = findings.README.read_text(encoding="utf-8")
    assert findings.BEGIN + findings.text() + findings.END in text
    assert findings.put_into(text, findings.text()) == text


@pytest.mark.parametrize(
    "page",
    [
        "",
        "{begin}",
        "{end}{begin}",
        "{begin}{end}{end}",
        "{begin}{end}{begin}",
        "{begin}{begin}{end}",
    ],
)
def test_a_page_without_its_marks_is_left_as_it_is(findings: Any, page: str) -> None:
    with pytest.raises(ValueError, match="wants one of each"):
        findings.put_into(page.format(begin=findings.BEGIN, end=findings.END), "new")


@pytest.mark.parametrize(
    ("chapter", "rule", "verdict"),
    [
        (9, "SE against 71 filters", "worse"),
        (9, "SE, rate 0.15, against rate 0.05", "better"),
        (9, "SE, rate 0.15, against 71 filters", "undecided"),
        (12, "SE removes most errors of: 71 filters", "supported"),
        (12, "the dynamic effect of all blocks is above a tenth of the errors", "supported"),
        (10, "4 the dynamic effect of all blocks is above a tenth of the errors", "not supported"),
        (10, "3 lines of block 3: training draws them apart", "supported"),
        (13, "Fashion-MNIST: SE helps at 8 layers", "undecided"),
        (13, "cued digits of MNIST: SE helps at 8 layers", "supported"),
        (13, "cued digits of MNIST: its gain grows from 8 to 20 layers", "not supported"),
    ],
)
def test_the_findings_in_short_agree_with_the_verdicts(
    findings: Any, chapter: int, rule: str, verdict: str
) -> None:
    """What stands above the table in words."""
    claims = findings.claims_of(chapter)
    assert evidence.verdicts(claims)[rule] == verdict
    assert chapter != 13 or verdict != "undecided" or claims[rule].above() == "0 and 0"
    if chapter in (again := findings.repeated()):
        assert evidence.verdicts(again[chapter])[rule] == verdict


def test_what_other_seeds_gave_is_counted(findings: Any) -> None:
    same = [("better", "better"), ("worse", "worse"), ("worse", "worse")]
    once = [("undecided", "worse"), ("better", "undecided")]
    counted = findings.stability([*same, ("better", "worse"), *once, *[("undecided",) * 2] * 4])
    assert counted == (
        "10 verdicts. Decided both times, on the same side: 3. On different sides: 1. Decided in "
        "one of the two: 2. In none: 4."
    )


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import what the chapters share, as a chapter with some options does."""
    pytest.importorskip("matplotlib")
    monkeypatch.delenv("NUMPY_SE_QUICK", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # a chapter sets its own

    def imported(*options: str, chapter: str = "15_more", folder: Path = TUTORIALS) -> Any:
        monkeypatch.setattr(sys, "argv", [str(folder / f"{chapter}.py"), *options])
        spec: Any = importlib.util.spec_from_file_location("course", folder / "course.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        monkeypatch.setattr(module, "RESULTS", tmp_path)
        return module

    return imported


def test_a_chapter_knows_its_options(course: Any) -> None:
    assert not any((course().QUICK, course().LONG, course().AGAIN))
    assert course("--quick").QUICK
    assert course("--long").FIRST_SEED == 100
    assert course("--long", "--again").FIRST_SEED == 200
    for options, message in {
        ("--long", "--agian"): "and not --agian",
        ("--quick", "--long"): "leave it out, or --quick",
        ("--again",): "15_more.py --long --again` makes them",
    }.items():
        with pytest.raises(SystemExit, match=message):
            course(*options)


@pytest.mark.parametrize("option", ["--long", "--again"])
def test_a_chapter_without_a_study_says_so(course: Any, option: str) -> None:
    with pytest.raises(SystemExit, match="01_squeeze has no long study"):
        course(option, chapter="01_squeeze")


def test_results_are_read_in_a_folder_of_any_name(course: Any, tmp_path: Path) -> None:
    for name in ("course.py", "course.mplstyle"):
        shutil.copy(TUTORIALS / name, tmp_path)
    copied = course(folder=tmp_path)
    copied.RESULTS = TUTORIALS / "results"
    assert copied.kept("09_mnist")["errors"]


def test_results_are_kept_apart_and_told_apart(course: Any, tmp_path: Path) -> None:
    first, again = course("--long"), course("--long", "--again")
    first.keep("15_more", {"errors": [[1.5, 2], [3, 4e-5]], "words": "[a   b]"})
    again.keep("15_more", {"errors": [5]})
    assert first.kept("15_more")["errors"] == [[1.5, 2], [3, 4e-5]]
    assert first.kept("15_more")["words"] == "[a   b]"
    assert "[ 1.5, 2 ]" in (tmp_path / "15_more.json").read_text()
    assert first.kept("15_more", again=True)["errors"] == [5]
    assert again.kept("15_more")["errors"] == [5]
    with pytest.raises(ValueError, match="not JSON compliant"):
        first.keep("15_more", {"errors": [float("nan")]})
    copied = (tmp_path / "15_more.json").read_text()
    (tmp_path / "again" / "15_more.json").write_text(copied)
    with pytest.raises(
        ValueError, match=r"and not by `python tutorials/15_more\.py --long --again`"
    ):
        again.kept("15_more")
    for damaged in (copied[:-9], "[]", "{}", json.dumps({"made": 1})):
        (tmp_path / "15_more.json").write_text(damaged)
        with pytest.raises(ValueError, match=r"15_more\.json has no results"):
            first.kept("15_more")
