"""Work in chunks: neither their size nor the workers change results, and memory has a bound."""

import inspect
import re
import tracemalloc
import weakref
from contextlib import ExitStack
from typing import Any
from unittest import mock

import numpy as np
import pytest
from cases import PRIMITIVES, Case, fused_batch_norm
from hypothesis import given
from hypothesis import strategies as st
from strategies import arguments, as_tuple, fewer, seeds

import numpy_se as se
from numpy_se.fused import norm
from numpy_se.memory import keep_freed_memory
from numpy_se.ops import activations, channels, conv, depthwise, pooling, resample, squeeze
from numpy_se.parallel import workers

CHUNKED = (
    se.conv2d,
    se.max_pool2d,
    se.global_max_pool,
    se.channel_mean_max,
    se.global_std_pool,
    se.style_pool,
    se.depthwise_conv2d,
    se.avg_pool2d,
    se.resize_nearest,
    se.silu,
    fused_batch_norm,
)
MODULES = (activations, channels, conv, depthwise, norm, pooling, resample, squeeze)
SCRATCH = 2**22  # bytes that an operation may take beside what it gives and keeps
SIZES = {"N": 32, "C": 16, "H": 64, "W": 64, "F": 16, "KH": 3, "KW": 3, "I": 1024, "O": 1024}
SIZES |= {"1": 1, "K": 3}
MAP = (32, 16, 64, 64)  # 8 MiB of float32
# What an operation says that it keeps, apart from its arguments and y: bytes for each byte of x.
KEPT = {se.relu: 1 / 4, se.hard_sigmoid: 1 / 4, se.max_pool2d: 1 / 4}
KEPT |= {se.batch_norm: 1, fused_batch_norm: 1}
KEPT |= {se.channel_mean_max: 1 / 8, se.channel_correlate: 1, se.layer_norm: 1}


@pytest.mark.parametrize(
    "case", [case for case in PRIMITIVES if case.op in CHUNKED], ids=lambda case: case.title
)
@given(
    data=st.data(),
    count=st.integers(1, 3),
    chunk=st.sampled_from([1, 2**9]),
    few=st.sampled_from([1, conv.FEW]),
    seed=seeds,
)
def test_chunks_and_workers_change_nothing(
    case: Case, data: Any, count: int, chunk: int, few: int, seed: int
) -> None:
    args = data.draw(arguments(case))

    def results() -> list[Any]:
        y, backward = case(*args)
        return [y, *as_tuple(backward(np.random.default_rng(seed).standard_normal(y.shape)))]

    whole = results()
    with ExitStack() as stack:
        for module in MODULES:
            stack.enter_context(mock.patch.object(module, "CHUNK", chunk))
        stack.enter_context(mock.patch.multiple(conv, FEW=few, SMALL=0))
        stack.enter_context(workers(count))
        first, second = results(), results()
    for result, again, want in zip(first, second, whole, strict=True):
        np.testing.assert_array_equal(result, again)
        np.testing.assert_allclose(result, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("case", PRIMITIVES, ids=lambda case: case.title)
@fewer
@given(data=st.data())
def test_the_arguments_that_are_kept_are_those_that_the_docstring_names(
    case: Case, data: Any
) -> None:
    drawn = zip(inspect.signature(case.op).parameters, data.draw(arguments(case)), strict=False)
    args = {name: array.copy() for name, array in drawn if array is not None}
    living = {name: weakref.ref(array) for name, array in args.items()}
    _y, _backward = case.op(**args, **case.options)
    del args
    text = " ".join((case.op.__doc__ or "").split())
    kept = re.search(r"Keeps (.*?)(\. |\.$| of | for )", text)
    assert kept, "the docstring does not say what is kept"
    named = set(re.findall(r"``(\w+)``", kept[1])) & living.keys()
    assert {name for name, array in living.items() if array() is not None} == named


@mock.patch.object(conv, "CHUNK", SCRATCH // 4)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("case", PRIMITIVES, ids=lambda case: case.title)
def test_memory_is_the_results_and_little_more(
    case: Case, channels_last: bool, request: pytest.FixtureRequest
) -> None:
    if case.op is se.softmax_cross_entropy:
        pytest.skip("its arrays have a row for each sample and are small")
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        array = rng.random(shape, np.float32)
        last = channels_last and len(shape) == 4
        return np.moveaxis(np.moveaxis(array, 1, 3).copy(), 3, 1) if last else array

    terms = [term.split() for term in case.op.signature.split("->")[0].split(",")]
    args = [draw(*(MAP if t == ["..."] else (SIZES[axis] for axis in t))) for t in terms]
    x, keeps = args[0], KEPT.get(case.op, 0)
    keep_freed_memory()  # in a process, its first call asks for a block, once
    tracemalloc.start()
    request.addfinalizer(tracemalloc.stop)
    y, backward = case(*args)
    kept, peak = tracemalloc.get_traced_memory()
    assert kept < y.nbytes + keeps * x.nbytes + 2**16
    assert peak < y.nbytes + keeps * x.nbytes + SCRATCH
    dy = draw(*y.shape)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    grads = as_tuple(backward(dy))
    peak = tracemalloc.get_traced_memory()[1]
    assert peak < before + sum(grad.nbytes for grad in grads) + SCRATCH


@mock.patch.object(conv, "CHUNK", SCRATCH // 4)
@pytest.mark.parametrize(("channels", "filters"), [(2, 1), (1, 12), (12, 2)])
def test_a_large_kernel_on_few_channels_is_copied_in_chunks(
    channels: int, filters: int, request: pytest.FixtureRequest
) -> None:
    """The whole kernel is one product there, so each pixel is copied 49 times."""
    rng = np.random.default_rng(0)
    x = rng.random((32, channels, 64, 64), np.float32)
    w = rng.random((filters, channels, 7, 7), np.float32)
    keep_freed_memory()
    tracemalloc.start()
    request.addfinalizer(tracemalloc.stop)
    y, backward = se.conv2d(x, w, padding=3)
    assert tracemalloc.get_traced_memory()[1] < y.nbytes + SCRATCH
    dy = np.ones_like(y)
    before = tracemalloc.get_traced_memory()[0]
    tracemalloc.reset_peak()
    dx, dw = backward(dy)
    assert tracemalloc.get_traced_memory()[1] < before + dx.nbytes + dw.nbytes + SCRATCH
