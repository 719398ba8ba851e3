"""Chunks and threads: nothing is lost, the order is kept, and nothing leaks out."""

import multiprocessing
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpy_se.parallel import chunks, in_order, workers

counts = st.integers(1, 5)


def copied(test: Any) -> Any:
    """Mark a test that copies the process."""
    fork = "fork" in multiprocessing.get_all_start_methods()
    quiet = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
    return pytest.mark.skipif(not fork, reason="no process is copied here")(quiet(test))


def in_a_copy(function: Any) -> Any:
    """Call ``function`` in a copy of the process, which is ended if it never returns."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(function()))
    process.start()
    try:
        assert receiver.poll(10)
        return receiver.recv()
    finally:
        process.kill()


@given(length=st.integers(1, 40), least=st.integers(1, 50), count=counts)
def test_chunks_cover_all_items_once_and_evenly(length: int, least: int, count: int) -> None:
    with workers(count):
        parts = chunks(length, least)
    items = list(range(length))
    assert [item for part in parts for item in items[part]] == items
    sizes = [len(items[part]) for part in parts]
    assert 1 <= min(sizes) >= max(sizes) - 1
    assert len(parts) == length or len(parts) % count == 0
    assert len(parts) >= min(length, least)


@given(count=counts, items=st.lists(st.integers(), max_size=20))
def test_results_are_in_the_order_of_the_items(count: int, items: list[int]) -> None:
    with workers(count):
        assert in_order(lambda item: item + 1, items) == [item + 1 for item in items]


@pytest.mark.parametrize("count", [2, 4])
def test_threads_run_at_the_same_time(count: int) -> None:
    meeting = threading.Barrier(count, timeout=10)
    with workers(count):
        in_order(lambda _: meeting.wait(), range(count))  # fewer threads would wait in vain


def test_a_call_within_a_call_has_one_worker() -> None:
    """Otherwise, it would wait for threads that wait for it."""

    def names(_: int) -> list[str]:
        return in_order(lambda _: threading.current_thread().name, range(3))

    with workers(2):
        inner = in_order(names, range(4))
        outer = in_order(lambda _: threading.current_thread().name, range(4))
    assert [len(set(row)) for row in inner] == [1, 1, 1, 1]
    assert [name.startswith("numpy_se") for name in outer] == [False, True, False, True]


def ask_for_more(depth: int) -> list[str]:
    """The names of the threads of workers that ask for workers in turn."""
    if not depth:
        return [threading.current_thread().name]
    with workers(depth + 1):
        assert len(chunks(6, 1)) == (depth + 1 if depth == 3 else 1)
        shares = in_order(lambda _: ask_for_more(depth - 1), range(4))
    return [name for share in shares for name in share]


@copied
def test_a_worker_that_asks_for_workers_works_alone() -> None:
    names = in_a_copy(lambda: ask_for_more(3))
    assert len(names) == 4**3
    assert all(len(set(names[first : first + 16])) == 1 for first in range(0, 64, 16))


@pytest.mark.parametrize("count", [1, 2])
def test_errors_and_errstate_pass_through(count: int) -> None:
    with workers(count):
        with pytest.raises(ZeroDivisionError):
            in_order(lambda item: 1 / item, [1, 0, 2])
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            in_order(np.exp, [np.array([1e4])] * 3)


def add_one_to_three_numbers() -> list[int]:
    with workers(2):
        return in_order(lambda item: item + 1, range(3))


@copied
def test_a_copy_of_the_process_starts_threads_of_its_own() -> None:
    add_one_to_three_numbers()  # threads have started here, and do not live on in the copy
    assert in_a_copy(add_one_to_three_numbers) == [1, 2, 3]


def test_a_wrong_number_of_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="count is 0; it wants at least 1"), workers(0):
        pass
    with pytest.raises(TypeError, match="count is 'two'; it wants a whole"), workers("two"):  # type: ignore[arg-type]
        pass
