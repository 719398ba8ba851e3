"""What the mathematics says beyond finite differences: symmetries, sums, limits, conventions."""

from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import as_tuple, seeds

import numpy_se as se
from numpy_se import fused
from numpy_se.strategies import lattice

maps = st.tuples(*(st.integers(2, 4) for _ in range(4))).flatmap(lattice)


def normal(seed: int, *shapes: tuple[int, ...]) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape) for shape in shapes]


def block(seed: int, c: int = 4, r: int = 3) -> tuple[Any, list[Any], Any]:
    """Random x, [w1, w2, b1, b2] and dy of an SE block."""
    x, *weights, dy = normal(seed, (3, c, 5, 2), (r, c), (c, r), (r,), (c,), (3, c, 5, 2))
    return x, weights, dy


def two_weights(x: Any) -> list[Any]:
    return normal(1, (3, x.shape[1]), (x.shape[1], 3))


SAMPLE_WISE = {
    "global_avg_pool": se.global_avg_pool,
    "global_max_pool": se.global_max_pool,
    "max_pool2d": se.max_pool2d,
    "relu": se.relu,
    "sigmoid": se.sigmoid,
    "tanh": se.tanh,
    "hard_sigmoid": se.hard_sigmoid,
    "flatten": se.flatten,
    "conv2d": lambda x: partial(se.conv2d, padding=1)(x, normal(0, (3, x.shape[1], 2, 2))[0]),
    "squeeze_excite": lambda x: se.squeeze_excite(x, *two_weights(x)),
    "fused.squeeze_excite": lambda x: fused.squeeze_excite(x, *two_weights(x)),
}


@pytest.mark.parametrize("op", SAMPLE_WISE.values(), ids=SAMPLE_WISE)
@given(x=maps, seed=seeds)
def test_samples_do_not_mix(op: Any, x: Any, seed: int) -> None:
    """Permuting the samples permutes the output and dx."""
    order = np.random.default_rng(seed).permutation(len(x))
    y, backward = op(x)
    permuted_y, permuted_backward = op(x[order])
    np.testing.assert_allclose(permuted_y, y[order], rtol=1e-12, atol=1e-12)
    (dy,) = normal(seed, y.shape)
    dx, permuted_dx = as_tuple(backward(dy))[0], as_tuple(permuted_backward(dy[order]))[0]
    np.testing.assert_allclose(permuted_dx, dx[order], rtol=1e-12, atol=1e-12)


@given(seed=seeds)
def test_channels_of_the_block_can_be_relabelled(seed: int) -> None:
    """Permuting the channels of x, w1 and w2 together permutes y and all gradients alike."""
    x, (w1, w2, b1, b2), dy = block(seed)
    order = np.random.default_rng(seed).permutation(x.shape[1])
    y, backward = se.squeeze_excite(x, w1, w2, b1, b2)
    dx, dw1, dw2, db1, db2 = backward(dy)
    y_p, backward_p = se.squeeze_excite(x[:, order], w1[:, order], w2[order], b1, b2[order])
    wanted = (dx[:, order], dw1[:, order], dw2[order], db1, db2[order])
    np.testing.assert_allclose(y_p, y[:, order], rtol=1e-12, atol=1e-12)
    for grad, want in zip(backward_p(dy[:, order]), wanted, strict=True):
        np.testing.assert_allclose(grad, want, rtol=1e-10, atol=1e-12)


@given(seed=seeds)
def test_hidden_units_can_be_relabelled(seed: int) -> None:
    x, (w1, w2, b1, b2), _ = block(seed)
    order = np.random.default_rng(seed).permutation(len(w1))
    y = se.squeeze_excite(x, w1, w2, b1, b2)[0]
    relabelled = se.squeeze_excite(x, w1[order], w2[:, order], b1[order], b2)[0]
    np.testing.assert_allclose(relabelled, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("pool", [se.global_avg_pool, se.global_max_pool])
@given(x=maps, seed=seeds)
def test_global_pooling_conserves_the_gradients_sum(pool: Any, x: Any, seed: int) -> None:
    z, backward = pool(x)
    (dz,) = normal(seed, z.shape)
    np.testing.assert_allclose(backward(dz).sum(axis=(2, 3)), dz, rtol=1e-12, atol=1e-12)


@given(x=maps, seed=seeds)
def test_max_pooling_conserves_the_gradients_sum(x: Any, seed: int) -> None:
    y, backward = se.max_pool2d(x, size=2, stride=1)
    (dy,) = normal(seed, y.shape)
    total = backward(dy).sum(axis=(2, 3))
    np.testing.assert_allclose(total, dy.sum(axis=(2, 3)), rtol=1e-12, atol=1e-12)


@given(x=maps, seed=seeds)
def test_a_block_with_w2_zero_halves_its_input(x: Any, seed: int) -> None:
    w1, w2 = *normal(seed, (2, x.shape[1])), np.zeros((x.shape[1], 2))
    y, backward = se.squeeze_excite(x, w1, w2)
    np.testing.assert_array_equal(y, x / 2)
    (dy,) = normal(seed, x.shape)
    np.testing.assert_array_equal(backward(dy)[0], dy / 2)


@given(seed=seeds)
def test_the_block_is_its_three_parts(seed: int) -> None:
    """squeeze, excite and scale called by hand give the block, and their gradients its gradient."""
    x, weights, dy = block(seed)
    y, backward = se.squeeze_excite(x, *weights)
    z, back_squeeze = se.global_avg_pool(x)
    s, back_excite = se.excite(z, *weights)
    scaled, back_scale = se.channel_scale(x, s)
    np.testing.assert_array_equal(scaled, y)
    np.testing.assert_array_equal(se.excitation(x, *weights)[0], s)
    dx_scale, ds = back_scale(dy)
    dz, *dweights = back_excite(ds)
    grads = (dx_scale + back_squeeze(dz), *dweights)
    for grad, want in zip(backward(dy), grads, strict=True):
        np.testing.assert_allclose(grad, want, rtol=1e-12, atol=1e-14)


@given(seed=seeds)
def test_the_closed_form_of_the_input_gradient(seed: int) -> None:
    """The formula in the docstring of squeeze_excite, with einsum, for the bias-free block."""
    x, (w1, w2, _, _), dy = block(seed)
    dx = se.squeeze_excite(x, w1, w2)[1](dy)[0]
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    s = 1 / (1 + np.exp(-np.maximum(h, 0) @ w2.T))
    ds = np.einsum("nchw,nchw->nc", dy, x)
    squeeze_path = np.einsum("rc,nr,kr,nk->nc", w1, h > 0, w2, ds * s * (1 - s))
    want = s[:, :, None, None] * dy + squeeze_path[:, :, None, None] / (5 * 2)
    np.testing.assert_allclose(dx, want, rtol=1e-10, atol=1e-12)


def test_the_squeeze_path_is_not_zero() -> None:
    """Leaving it out would change dx by percents: the tests above could not miss it."""
    x, (w1, w2, _, _), dy = block(0)
    dx = se.squeeze_excite(x, w1, w2)[1](dy)[0]
    scale_path = dy * se.excitation(x, w1, w2)[0][:, :, None, None]
    assert np.linalg.norm(dx - scale_path) > 0.02 * np.linalg.norm(dx)


@given(seed=seeds, shift=st.floats(-50, 50))
def test_softmax_cross_entropy_ignores_a_shift_and_its_rows_sum_to_zero(
    seed: int, shift: float
) -> None:
    (logits,) = normal(seed, (5, 4))
    labels = np.random.default_rng(seed).integers(0, 4, 5)
    loss, backward = se.softmax_cross_entropy(logits, labels)
    shifted_loss, shifted_backward = se.softmax_cross_entropy(logits + shift, labels)
    dlogits = backward(1.0)
    assert shifted_loss == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(shifted_backward(1.0), dlogits, atol=1e-12)
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-15)
    assert (dlogits[np.arange(5), labels] < 0).all()


def test_cross_entropy_of_equal_logits_is_log_k() -> None:
    loss, _ = se.softmax_cross_entropy(np.full((3, 10), 1e4), np.array([0, 5, 9]))
    assert loss == pytest.approx(np.log(10))


def test_each_row_of_logits_has_a_maximum_of_its_own() -> None:
    """Taken off all rows, that of the second one would leave nothing of the first."""
    logits = np.array([[0.0, 0.0], [1000.0, 1000.0]])
    loss, backward = se.softmax_cross_entropy(logits, np.array([0, 0]))
    assert loss == pytest.approx(np.log(2))
    np.testing.assert_allclose(backward(1.0), [[-0.25, 0.25]] * 2)


@given(seed=seeds)
def test_batch_norm_normalises_and_its_gradient_has_no_mean_and_no_scale(seed: int) -> None:
    """The gradient is orthogonal to a shift and a scaling of its channel, as y ignores both."""
    x, gamma, beta, dy = normal(seed, (3, 2, 4, 5), (2,), (2,), (3, 2, 4, 5))
    y, backward = se.batch_norm(x, gamma, beta, eps=0.0)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), beta, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), np.abs(gamma), rtol=1e-10)
    dx = backward(dy)[0]
    np.testing.assert_allclose(dx.sum(axis=(0, 2, 3)), 0, atol=1e-10)
    np.testing.assert_allclose((dx * x).sum(axis=(0, 2, 3)), 0, atol=1e-10)


@given(seed=seeds)
def test_batch_norm_with_its_own_statistics_is_inference(seed: int) -> None:
    x, gamma, beta = normal(seed, (3, 2, 4, 5), (2,), (2,))
    mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    y = se.batch_norm_inference(x, gamma, beta, mean, variance)[0]
    np.testing.assert_allclose(y, se.batch_norm(x, gamma, beta)[0], rtol=1e-10, atol=1e-12)


def test_inference_takes_a_variance_of_zero() -> None:
    x, ones = np.full((1, 2, 1, 2), 3.0), np.ones(2)
    y, _ = se.batch_norm_inference(x, ones, ones, ones, 0 * ones)
    np.testing.assert_allclose(y, 1 + 2 / np.sqrt(1e-5))


@given(seed=seeds, stride=st.integers(1, 3), padding=st.integers(0, 3))
def test_conv2d_is_the_sum_in_its_docstring(seed: int, stride: int, padding: int) -> None:
    x, w, b = normal(seed, (2, 3, 5, 4), (4, 3, 3, 2), (4,))
    y = se.conv2d(x, w, b, stride=stride, padding=padding)[0]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    for p in range(y.shape[2]):
        for q in range(y.shape[3]):
            window = padded[:, :, p * stride : p * stride + 3, q * stride : q * stride + 2]
            want = np.einsum("ncij,fcij->nf", window, w) + b
            np.testing.assert_allclose(y[:, :, p, q], want, rtol=1e-10, atol=1e-10)
    assert y.shape[2:] == ((5 + 2 * padding - 3) // stride + 1, (4 + 2 * padding - 2) // stride + 1)


@pytest.mark.parametrize("side", [1, 3])
def test_a_stride_beyond_the_map_costs_nothing(side: int) -> None:
    """Only pixels of the one window get a gradient; the work grows with the kernel."""
    x, w = np.ones((2, 3, 5, 4)), np.random.default_rng(0).standard_normal((2, 3, side, side))
    y, backward = se.conv2d(x, w, stride=10**6)
    dx, _ = backward(np.ones_like(y))
    wanted = np.zeros_like(x)
    wanted[:, :, :side, :side] = w.sum(axis=0)
    np.testing.assert_allclose(dx, wanted, atol=1e-15)


def test_a_convolution_has_stride_1_and_no_padding_unless_told() -> None:
    x, w, dy = normal(0, (2, 3, 5, 4), (4, 3, 2, 2), (2, 4, 4, 3))
    y, backward = se.conv2d(x, w)
    same, same_backward = se.conv2d(x, w, stride=1, padding=0)
    np.testing.assert_array_equal(y, same)
    for grad, want in zip(backward(dy), same_backward(dy), strict=True):
        np.testing.assert_array_equal(grad, want)


@given(seed=seeds)
def test_a_1x1_convolution_on_1x1_maps_is_the_linear_layer(seed: int) -> None:
    x, w, b, dy = normal(seed, (3, 4), (2, 4), (2,), (3, 2))
    y, backward = se.linear(x, w, b)
    conv_y, conv_backward = se.conv2d(x[:, :, None, None], w[:, :, None, None], b)
    np.testing.assert_allclose(conv_y[:, :, 0, 0], y, rtol=1e-12)
    grads = conv_backward(dy[:, :, None, None])
    for grad, want in zip(grads, backward(dy), strict=True):
        np.testing.assert_allclose(grad.reshape(want.shape), want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_stable_for_every_finite_input(dtype: Any) -> None:
    largest = np.finfo(dtype).max
    x = np.array([-largest, -1e4, -100, -20, 0, 20, 100, 1e4, largest], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        y, backward = se.sigmoid(x)
        dx = backward(np.ones_like(x))
    assert y[0] == 0
    assert y[4] == 0.5
    assert y[-1] == 1
    assert y[3] == pytest.approx(np.exp(-20.0), rel=1e-6)  # full relative precision
    assert np.isfinite(dx).all()
    np.testing.assert_allclose(y + y[::-1], 1, rtol=1e-6)


@pytest.mark.parametrize("gate", [se.sigmoid, se.tanh, se.hard_sigmoid, se.relu])
def test_gates_have_no_warning_at_large_inputs(gate: Any) -> None:
    with np.errstate(over="raise", invalid="raise"):
        y, backward = gate(np.array([-1e4, 1e4], np.float32))
        assert np.isfinite(backward(y)).all()


@pytest.mark.parametrize(("gate", "closed"), [(se.sigmoid, 0), (se.hard_sigmoid, 0), (se.tanh, -1)])
def test_gates_are_closed_and_open_at_large_inputs(gate: Any, closed: int) -> None:
    y, backward = gate(np.array([-50.0, -20.0, 20.0, 50.0]))
    np.testing.assert_allclose(y, [closed, closed, 1, 1], atol=1e-8)
    np.testing.assert_allclose(backward(np.ones(4)), 0, atol=1e-8)


def test_relu_and_hard_sigmoid_pass_no_gradient_at_their_kinks() -> None:
    ones = np.ones(3)
    np.testing.assert_array_equal(se.relu(np.array([-1.0, 0.0, 1.0]))[1](ones), [0, 0, 1])
    np.testing.assert_array_equal(
        se.hard_sigmoid(np.array([-3.0, 0.0, 3.0]))[1](ones), [0, 1 / 6, 0]
    )


def test_max_pooling_sends_the_gradient_to_the_first_maximum() -> None:
    ties = np.ones((1, 1, 2, 4))
    first = np.zeros((1, 1, 2, 4))
    first[0, 0, 0, [0, 2]] = 1
    np.testing.assert_array_equal(se.max_pool2d(ties)[1](np.ones((1, 1, 1, 2))), first)
    first[0, 0, 0, 2] = 0
    np.testing.assert_array_equal(se.global_max_pool(ties)[1](np.ones((1, 1))), first)


def test_the_first_of_equal_channels_is_the_largest() -> None:
    x = np.ones((1, 3, 2, 2))
    _, backward = se.channel_mean_max(x)
    dx = backward(np.stack([np.zeros((1, 2, 2)), np.ones((1, 2, 2))], axis=1))
    np.testing.assert_array_equal(dx[0, :, 0, 0], [1, 0, 0])


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_softmax_has_no_overflow(size: float) -> None:
    x = np.array([[size, size + 1, size - 2]])
    y, _ = se.softmax(x)
    np.testing.assert_allclose(y, se.softmax(x - size)[0], rtol=1e-12)


@settings(max_examples=100)
@given(data=st.data(), stride=st.integers(1, 3), padding=st.integers(0, 3), seed=seeds)
def test_a_depthwise_convolution_is_one_of_each_channel_alone(
    data: st.DataObject, stride: int, padding: int, seed: int
) -> None:
    """Kernels may be as large as the padded map."""
    h, width = (data.draw(st.integers(1, 6)) for _ in range(2))
    kh, kw = (data.draw(st.integers(1, side + 2 * padding)) for side in (h, width))
    x, w = normal(seed, (2, 3, h, width), (3, kh, kw))
    y, backward = se.depthwise_conv2d(x, w, stride=stride, padding=padding)
    (dy,) = normal(seed + 1, y.shape)
    with mock.patch("numpy.empty", lambda *args: np.full(args[0], np.nan)):  # nothing is left out
        dx, dw = backward(dy)
    for c in range(3):
        own = slice(c, c + 1)
        want, back = se.conv2d(x[:, own], w[own, None], stride=stride, padding=padding)
        want_dx, want_dw = back(dy[:, own])
        np.testing.assert_allclose(y[:, own], want, atol=1e-12)
        np.testing.assert_allclose(dx[:, own], want_dx, atol=1e-12)
        np.testing.assert_allclose(dw[own], want_dw[:, 0], atol=1e-12)


def deviation(x: Any, **options: Any) -> tuple[Any, None]:
    return se.style_pool(x, **options)[0][:, :, 1], None


@pytest.mark.parametrize("pool", [se.global_l2_pool, se.global_std_pool, deviation])
def test_what_stands_below_a_root_is_1e_5_unless_told(pool: Any) -> None:
    zeros = np.zeros((2, 3, 4, 5))
    np.testing.assert_allclose(pool(zeros)[0], np.sqrt(1e-5), rtol=1e-12)
    x, e = normal(3, (2, 3, 4, 5), (2, 3))
    rows = [e, np.ones(3), np.zeros(3)]
    for op, args in ((pool, [x]), (se.channel_normalise, [e]), (se.layer_norm, rows)):
        np.testing.assert_array_equal(op(*args)[0], op(*args, eps=1e-5)[0])


def test_max_pooling_wider_than_a_byte_can_count() -> None:
    x = np.arange(2 * 17 * 18, dtype=float).reshape(1, 2, 17, 18)
    y, backward = se.max_pool2d(x, size=17)
    np.testing.assert_array_equal(y[0, :, 0, 0], x[0, :, 16, 16])
    assert backward(np.ones_like(y))[0, 1, 16, 16] == 1


@pytest.mark.parametrize(
    ("channels", "paper", "timm", "efficientnet"),
    [
        (8, None, 8, 1),
        (16, 1, 8, 1),
        (64, 4, 8, 4),
        (191, 11, 8, 11),
        (192, 12, 16, 12),
        (256, 16, 16, 16),
        (2048, 128, 128, 128),
    ],
)
def test_reduced_width_by_three_conventions(
    channels: int, paper: int | None, timm: int, efficientnet: int
) -> None:
    if paper is None:
        with pytest.raises(ValueError, match="8 channels at ratio 16 leave no hidden unit; choose"):
            se.reduced_width(channels, 16)
    else:
        assert se.reduced_width(channels) == paper  # 16 by default
    assert se.reduced_width(channels, 16, "timm") == timm
    assert se.reduced_width(channels, 16, "efficientnet") == efficientnet


@pytest.mark.parametrize(("channels", "width"), [(72, 24), (120, 32), (480, 120), (960, 240)])
def test_reduced_width_of_mobilenetv3(channels: int, width: int) -> None:
    """The widths of torchvision's mobilenet_v3_large; timm's rule gives 16 for the first."""
    assert se.reduced_width(channels, 4, "mobilenetv3") == width
    assert se.reduced_width(72, 4, "timm") == 16


def test_ninety_percent_are_enough_for_mobilenetv3() -> None:
    assert se.reduced_width(80, 9, "mobilenetv3") == 8  # 90 % of 80 / 9
    assert se.reduced_width(90, 10, "mobilenetv3") == 16


@given(channels=st.integers(1, 2048), data=st.data())
def test_every_width_has_a_ratio(channels: int, data: Any) -> None:
    width = data.draw(st.integers(1, channels))
    assert se.reduced_width(channels, channels / width) == width
    assert se.reduced_width(channels, np.float64(channels / width), "efficientnet") == width


def test_the_rounding_of_a_ratio_is_forgiven() -> None:
    assert se.reduced_width(5, 5 / 3) == 3
    assert se.reduced_width(10, 1 / 0.3) == 3
    assert se.reduced_width(100, 3) == 33
    assert se.reduced_width(272) == 17


def test_reduced_width_refuses_what_is_out_of_range() -> None:
    with pytest.raises(ValueError, match="channels is 0"):
        se.reduced_width(0)
    with pytest.raises(ValueError, match=r"ratio is 0\.5; it wants at least 1"):
        se.reduced_width(16, 0.5)
    with pytest.raises(ValueError, match="ratio is -2; it wants at least 1"):
        se.reduced_width(16, -2)
    with pytest.raises(TypeError, match="ratio is '16'; it wants a number"):
        se.reduced_width(64, "16")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="ratio is nan"):
        se.reduced_width(16, float("nan"))
    with pytest.raises(ValueError, match="rule is 'keras'; it wants one of paper, timm"):
        se.reduced_width(16, 4, "keras")  # type: ignore[arg-type]
