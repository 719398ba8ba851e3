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


def test_threads_run_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=10)
    with workers(2):
        in_order(lambda _: meeting.wait(), range(2))  # one thread alone would wait in vain


def test_a_call_within_a_call_has_one_worker() -> None:
    """Otherwise, it would wait for threads that wait for it."""

    def names(_: int) -> list[str]:
        return in_order(lambda _: threading.current_thread().name, range(3))

    with workers(2):
        inner = in_order(names, range(4))
        outer = in_order(lambda _: threading.current_thread().name, range(4))
    assert [len(set(row)) for row in inner] == [1, 1, 1, 1]
    assert [name.startswith("numpy_se") for name in outer] == [False, True, False, True]


@pytest.mark.parametrize("count", [1, 2])
def test_errors_and_errstate_pass_through(count: int) -> None:
    with workers(count):
        with pytest.raises(ZeroDivisionError):
            in_order(lambda item: 1 / item, [1, 0, 2])
        with np.errstate(over="raise"), pytest.raises(FloatingPointError):
            in_order(np.exp, [np.array([1e4])] * 3)


def add_one_to_three_numbers(send: Any) -> None:
    with workers(2):
        send(in_order(lambda item: item + 1, range(3)))


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="no process is copied here"
)
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_copy_of_the_process_starts_threads_of_its_own() -> None:
    add_one_to_three_numbers(list)  # threads have started here, and do not live on in the copy
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=add_one_to_three_numbers, args=(sender.send,))
    process.start()
    try:
        assert receiver.poll(10)
        assert receiver.recv() == [1, 2, 3]
    finally:
        process.kill()


def test_a_wrong_number_of_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="count is 0; it wants at least 1"), workers(0):
        pass
    with pytest.raises(TypeError, match="count is 'two'; it wants a whole"), workers("two"):  # type: ignore[arg-type]
        pass
