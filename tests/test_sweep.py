"""Sweeps: every result is kept, nothing is done twice, and what does not fit is refused."""

import json
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_se.train import SweepError, sweep


class Here(Executor):
    """Runs each job at once, and remembers which."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def submit(self, function: Any, /, *args: Any, **settings: Any) -> Future[Any]:
        self.seen.append(settings)
        future: Future[Any] = Future()
        try:
            future.set_result(function(*args, **settings))
        except Exception as error:
            future.set_exception(error)
        return future


def halve(number: int) -> float:
    if number == 13:
        raise ArithmeticError("13 is not a good number")
    return number / 2


def jobs(*numbers: int) -> dict[str, dict[str, int]]:
    return {f"half of {number}": {"number": number} for number in numbers}


@given(numbers=st.lists(st.integers(20, 99), unique=True), workers=st.integers(1, 3))
def test_results_come_in_the_order_of_the_jobs(
    numbers: list[int], workers: int, tmp_path_factory: Any
) -> None:
    folder = tmp_path_factory.mktemp("sweep")
    with ThreadPoolExecutor(workers) as executor:
        results = sweep(halve, jobs(*numbers), folder, executor, progress=False)
    assert list(results.items()) == [(f"half of {n}", n / 2) for n in numbers]


def test_a_sweep_goes_on_with_what_is_left(tmp_path: Path, capsys: Any) -> None:
    sweep(halve, jobs(1, 2), tmp_path, Here())
    second = Here()
    results = sweep(halve, jobs(1, 2, 3), tmp_path, second)
    assert second.seen == [{"number": 3}]
    assert results == {"half of 1": 0.5, "half of 2": 1.0, "half of 3": 1.5}


def test_common_arguments_are_no_settings(tmp_path: Path) -> None:
    def scaled(number: int, by: Any) -> float:
        return float(by * number)

    results = sweep(scaled, jobs(3), tmp_path, Here(), common={"by": np.float32(4)})
    assert results == {"half of 3": 12.0}
    kept = json.loads((tmp_path / "half of 3.json").read_text())
    scale = scaled.__qualname__
    assert kept == {"function": scale, "settings": {"number": 3}, "result": 12.0}
    with pytest.raises(SweepError, match="number is in common, and in the settings of half of 3"):
        sweep(scaled, jobs(3), tmp_path, Here(), common={"number": 3})


def test_a_result_is_that_of_its_function(tmp_path: Path) -> None:
    sweep(halve, jobs(1), tmp_path, Here(), progress=False)
    with pytest.raises(SweepError, match=r"half of 1\.json is a result of halve, not of echo"):
        sweep(echo, jobs(1), tmp_path, Here(), progress=False)
    sweep(partial(halve), jobs(1), tmp_path, Here(), progress=False)
    with pytest.raises(TypeError, match="executor is 2; it wants one that can submit"):
        sweep(halve, jobs(2), tmp_path, 2)  # type: ignore[arg-type]


def test_a_failure_keeps_the_other_results(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"1 of 3 jobs failed, half of 13 by: 13 is not a good"):
        sweep(halve, jobs(1, 13, 2), tmp_path, Here(), progress=False)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["half of 1", "half of 2"]


def test_a_stop_keeps_what_is_finished_and_cancels_the_rest(tmp_path: Path) -> None:
    class Stopped(Here):
        waiting: Future[Any] = Future()

        def submit(self, function: Any, /, *args: Any, **settings: Any) -> Future[Any]:
            if settings == {"number": 2}:
                return self.waiting
            future = super().submit(function, *args, **settings)
            if settings == {"number": 3}:
                future = Future()
                future.set_exception(KeyboardInterrupt())
                future.exception = future.result  # type: ignore[method-assign]
            return future

    with pytest.raises(KeyboardInterrupt):
        sweep(halve, jobs(1, 2, 3), tmp_path, Stopped(), progress=False)
    assert Stopped.waiting.cancelled()


def test_results_of_other_settings_and_damaged_ones_are_refused(tmp_path: Path) -> None:
    sweep(halve, jobs(1), tmp_path, Here(), progress=False)
    with pytest.raises(SweepError, match=r"has the settings \{'number': 1\}, not \{'number': 2\}"):
        sweep(halve, {"half of 1": {"number": 2}}, tmp_path, Here(), progress=False)
    for text in ("{", "[]", '"settings"', "1" * 5000, "[" * 10**5, '{"settings": {"number": 1}}'):
        (tmp_path / "half of 1.json").write_text(text)
        with pytest.raises(SweepError, match="is damaged, or of another version; remove it"):
            sweep(halve, jobs(1), tmp_path, Here(), progress=False)


def echo(**settings: Any) -> Any:
    return settings


@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_a_sweep_that_goes_on_gives_the_same(value: Any, tmp_path_factory: Any) -> None:
    folder, job = tmp_path_factory.mktemp("sweep"), {"job": {"value": value}}
    first = sweep(echo, job, folder, Here(), progress=False)
    second = Here()
    again = sweep(echo, job, folder, second, progress=False)
    assert second.seen == []
    assert repr(first) == repr(again)  # also where there is a NaN


def test_numpy_scalars_are_saved(tmp_path: Path) -> None:
    settings = {"lr": np.float32(0.5), "seed": np.int64(3), "se": np.bool_(True)}
    for _ in range(2):
        results = sweep(echo, {"job": settings}, tmp_path, Here(), progress=False)
        assert results == {"job": {"lr": 0.5, "seed": 3, "se": True}}


def test_a_result_that_cannot_be_saved_is_a_failure_of_its_job(tmp_path: Path) -> None:
    bad = {1: np.ones(3), 2: {1j}, 3: np.longdouble(1), 4: {(1, 2): 3}, 5: "fine", 6: "\ud800"}
    with pytest.raises(SweepError, match=r"4 of 6 jobs failed, job \d by: "):
        sweep(
            lambda number: bad[number],
            {f"job {number}": {"number": number} for number in bad},
            tmp_path,
            Here(),
            progress=False,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["job 5.json", "job 6.json"]


@pytest.mark.parametrize(
    ("job", "words"),
    [
        ({"a/b": {}}, "a job is named 'a/b'; it wants no dot or space at its ends, and none of"),
        ({"..": {}}, "a job is named '..'; it wants no dot or space at its ends"),
        ({"a. ": {}}, "it wants no dot or space at its ends"),
        ({"a\\b": {}}, "it wants no dot or space at its ends, and none of"),
        ({"a\0": {}}, "it wants the name of a file, of up to 150 bytes"),
        ({"\N{LATIN SMALL LETTER E WITH ACUTE}" * 76: {}}, "of up to 150 bytes"),
        ({"Con.1": {}}, "a job is named 'Con.1', which names a device on some systems"),
        ({"Fine": {}}, "a job is named 'Fine', and one 'fine': the same file on some systems"),
        ({"": {}}, "a job is named ''; it wants the name of a file"),
        ({"a" * 151: {}}, "it wants the name of a file, of up to 150 bytes"),
        ({3: {}}, "a job is named 3; it wants the name of a file"),
        ({"a": 3}, "the settings of a are 3; they want a dict"),
        ({"a": {"x": np.ones(3)}}, "the settings of a cannot be kept: JSON cannot hold an ndarray"),
    ],
)
def test_jobs_that_cannot_be_are_refused_before_any_call(
    job: Any, words: str, tmp_path: Path
) -> None:
    here = Here()
    with pytest.raises(SweepError, match=words):
        sweep(echo, {"fine": {}, **job}, tmp_path, here, progress=False)
    assert here.seen == []
