"""Sums over pixels in float32: as exact as in float64 up to a few roundings, in both layouts."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import as_tuple, seeds

import numpy_se as se
from numpy_se import fused
from numpy_se.nets import BatchNorm
from numpy_se.relatives import attention_pool
from numpy_se.strategies import layouts
from numpy_se.sums import pixel_dot, pixel_sum

ROUNDING = np.finfo(np.float32).eps / 2
LARGE = (2, 3, 190, 210)  # one sum over so many pixels, one after the other, is 50 roundings off


OPS = {
    "global_avg_pool": se.global_avg_pool,
    "channel_scale": lambda x: se.channel_scale(x, x[:, :, 0, 0]),
    "batch_norm": lambda x: se.batch_norm(x, x[0, :, 0, 0], x[0, :, 0, 1]),
    "batch_norm_inference": lambda x: se.batch_norm_inference(x, *x[0, :, 0, :3].T, x[0, :, 0, 4]),
    "squeeze_excite": lambda x: se.squeeze_excite(x, x[0, :, 0, :3], x[0, :, 1, :3]),
    "global_std_pool": se.global_std_pool,
    "style_pool": se.style_pool,
    "conv2d": lambda x: se.conv2d(x, x[:, :, :3, :3].copy(), x[0, 0, 0, :2]),
    "depthwise_conv2d": lambda x: se.depthwise_conv2d(x, x[0, :, :3, :3], padding=1),
    "fused.squeeze_excite": lambda x: fused.squeeze_excite(x, x[0, :, 0, :3], x[0, :, 1, :3]),
}


def channels_last(a: Any) -> Any:
    return np.moveaxis(np.moveaxis(a, 1, 3).copy(), 3, 1) if a.ndim == 4 else a


def backwards(a: Any) -> Any:
    return a[:, :, ::-1, ::-1].copy()[:, :, ::-1, ::-1] if a.ndim == 4 else a


@pytest.mark.parametrize("layout", [np.asarray, channels_last, backwards])
@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_sums_over_large_maps_are_exact_in_float32(op: Any, layout: Any) -> None:
    x = layout(np.random.default_rng(0).random(LARGE, np.float32))

    def results(x: Any) -> list[Any]:
        y, backward = op(x)
        return [y, *as_tuple(backward(y * y))]  # a dy for which no sum is near 0

    for ours, exact in zip(results(x), results(x.astype(np.float64)), strict=True):
        assert np.abs(ours - exact).max() < 24 * ROUNDING * np.abs(exact).max()


@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_a_mean_far_from_0_leaves_the_deviation_exact(layout: Any) -> None:
    x = layout(np.random.default_rng(0).standard_normal(LARGE, np.float32) + 1000)
    wide = x.astype(np.float64)
    for pool in (se.global_std_pool, se.style_pool):
        np.testing.assert_allclose(pool(x)[0], pool(wide)[0], rtol=1e-5)
    dz = np.array([[1.0, -2.0, 0.5], [-1.0, 1.5, 2.0]])
    w = np.array([1e-3, -2e-3, 5e-4])
    (_, dw), (_, exact) = (
        attention_pool(a, w.astype(a.dtype))[1](dz.astype(a.dtype)) for a in (x, wide)
    )
    assert np.abs(dw - exact).max() < 1e-3 * np.abs(exact).max()


@given(
    shape=st.tuples(*(st.sampled_from([1, 3, 7, 50]) for _ in range(4))),
    first=layouts(),
    second=layouts(),
    seed=seeds,
)
def test_sums_in_any_layout(shape: Any, first: Any, second: Any, seed: int) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, *shape))
    np.testing.assert_allclose(pixel_sum(first(a)), a.sum(axis=(2, 3)), atol=1e-10)
    np.testing.assert_allclose(pixel_dot(first(a), second(b)), (a * b).sum(axis=(2, 3)), atol=1e-10)


def test_statistics_of_a_large_batch_are_exact_in_float32() -> None:
    x = channels_last(np.random.default_rng(0).random(LARGE, np.float32))
    layer = BatchNorm(3, momentum=1)
    _, _, after = layer.train(layer.init(np.random.default_rng(0)), x, np.random.default_rng(0))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(after["mean"], exact.mean(axis=(0, 2, 3)), rtol=6 * ROUNDING)
    np.testing.assert_allclose(after["variance"], exact.var(axis=(0, 2, 3), ddof=1), rtol=1e-5)
