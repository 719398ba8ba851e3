"""Wrong backwards of squeeze-and-excite blocks and their relatives."""

import numpy as np

from . import wrong


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def se_forward(x, w1, w2):
    """Squeeze and excite as in PyTorch: channels first, weights (out, in)."""
    s = x.mean(axis=(2, 3))
    a = s @ w1.T
    h = np.maximum(a, 0)
    g = sigmoid(h @ w2.T)
    return x * g[:, :, None, None], (s, a, h, g)


SE = "N C H W, R C, C R"


@wrong(SE, mistake="The squeeze path is missing in dx.", grads="dx", says="se.squeeze-path")
def se_block_without_squeeze_path(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        return dy * g[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The direct path through the scaling is missing in dx.",
    grads="dx",
    says="se.scale-path",
)
def se_block_without_scale_path(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = np.einsum("nchw,nchw->nc", dy, x) * g * (1 - g)
        da = np.where(a > 0, dz @ w2, 0)
        ds = da @ w1 / (x.shape[2] * x.shape[3])
        return np.ones_like(x) * ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The factor 1/(H*W) of the global mean is missing in dx.",
    grads="dx",
    says="se.squeeze-path.factor",
)
def se_block_without_mean_factor(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        return (dy * g[..., None, None] + (da @ w1)[..., None, None]), da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The squeeze gradient is divided by H*H in place of H*W.",
    grads="dx",
    says="se.squeeze-path.factor",
)
def se_block_assuming_square_maps(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)
    size = x.shape[2]

    def backward(dy):
        dgate = (dy * x).reshape(*g.shape, -1).sum(-1)
        dz = dgate * g * (1 - g)
        da = dz @ w2 * (a > 0)
        dx = dy * g[:, :, None, None] + (da @ w1 / size**2)[:, :, None, None]
        return dx, da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The derivative of the sigmoid is missing.",
    grads="dx dw1 dw2",
    says="se.gate:sigmoid.missing",
)
def se_block_without_sigmoid_derivative(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3))
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The sigmoid is applied a second time in its derivative.",
    grads="dx dw1 dw2",
    says="se.gate:sigmoid.twice",
)
def se_block_sigmoid_of_sigmoid(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def sigmoid_prime(z):
        return sigmoid(z) * (1 - sigmoid(z))

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * sigmoid_prime(g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(SE, mistake="The ReLU mask is missing.", grads="dx dw1", says="se.relu:relu.mask-missing")
def se_block_without_relu_mask(x, w1, w2):
    y, (s, _a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The ReLU mask is taken from the gradient and not the input.",
    grads="dx dw1",
    says="se.relu:relu.mask-by-dy",
)
def se_block_mask_of_gradient(x, w1, w2):
    y, (s, _a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        dh = dz @ w2
        da = dh * (dh > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The gate's gradient is a mean over space, not a sum.",
    grads="dx dw1 dw2",
    says="se.scale.ds.factor",
)
def se_block_gate_gradient_averaged(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).mean(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The gate's gradient uses the scaled output, not the input.",
    grads="dx dw1 dw2",
    says="se.scale:channel-scale.y-for-x",
)
def se_block_gate_gradient_from_output(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)
    out = y.copy()

    def backward(dy):
        dz = (dy * out).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The gradients of w1 and w2 are returned swapped.",
    grads="dw1 dw2",
    says="any.wrong-order",
)
def se_block_weights_swapped(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], dz.T @ h, da.T @ s

    return y, backward


@wrong(
    SE,
    mistake="dw1 is computed with the sums over space, not the means.",
    grads="dw1",
    says="any.factor-too-large",
)
def se_block_first_weight_sees_sums(x, w1, w2):
    y, (_, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        dw1 = np.einsum("nr,nchw->rc", da, x)
        return dy * g[:, :, None, None] + ds[:, :, None, None], dw1, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="dw2 is computed with the values before the ReLU.",
    grads="dw2",
    says="se.second-linear-layer.h-for-a",
)
def se_block_second_weight_sees_preactivation(x, w1, w2):
    y, (s, a, _, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ a

    return y, backward


@wrong(
    SE,
    mistake="The gates are averaged over the batch in dx.",
    grads="dx",
    says="se.scale:channel-scale.s-averaged-n",
)
def se_block_gates_averaged_over_batch(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        dx = dy * g.mean(axis=0)[:, None, None] + ds[:, :, None, None]
        return dx, da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="All samples get the squeeze gradient summed over the batch.",
    grads="dx",
    says="se.squeeze-path.summed",
)
def se_block_squeeze_gradient_summed_over_batch(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = (da @ w1).sum(axis=0) / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The gradient of the skip connection is missing in dx.",
    grads="dx",
    says="residual-se.addition-path",
)
def residual_se_block_without_skip(x, w1, w2):
    scaled, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return x + scaled, backward


@wrong(
    SE,
    mistake="The mask of the ReLU after the addition is missing.",
    grads="dx dw1 dw2",
    says="residual-se-relu.outer-relu:relu.mask-missing",
)
def residual_se_block_without_outer_mask(x, w1, w2):
    scaled, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * (1 + g[:, :, None, None]) + ds[:, :, None, None], da.T @ s, dz.T @ h

    return np.maximum(x + scaled, 0), backward


@wrong(
    SE,
    mistake="The weight gradients are divided by the batch size.",
    grads="dw1 dw2",
    says="any.factor-too-small",
)
def se_block_weight_gradients_averaged(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)
    N = len(x)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s / N, dz.T @ h / N

    return y, backward


@wrong(SE, mistake="The gradients are returned in float32.", grads="dx dw1 dw2")
def se_block_in_single_precision(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        dx = dy * g[:, :, None, None] + ds[:, :, None, None]
        return tuple(t.astype(np.float32) for t in (dx, da.T @ s, dz.T @ h))

    return y, backward


@wrong(
    SE,
    mistake="The squeeze gradient is added twice, and the ReLU mask is missing.",
    grads="dx dw1",
    says="se.relu:relu.mask-missing",
)
def se_block_with_two_mistakes(x, w1, w2):
    y, (s, _a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2
        dx = dy * g[:, :, None, None]
        for _ in range(2):
            dx += (da @ w1 / x[0, 0].size)[:, :, None, None]
        return dx, da.T @ s, dz.T @ h

    return y, backward


@wrong(SE, mistake="Backward multiplies the given dy by the gates in place.")
def se_block_overwriting_dy(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        dy *= g[:, :, None, None]
        return dy + (da @ w1 / x[0, 0].size)[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


class SEModule:
    """A module as in PyTorch, which keeps the last forward and adds up its gradients."""

    def __init__(self):
        self.cache = None

    def forward(self, x, w1, w2):
        y, cache = se_forward(x, w1, w2)
        self.cache = (x, w1, w2, *cache)
        return y

    def backward(self, dy):
        x, w1, w2, s, a, h, g = self.cache
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h


SHARED_MODULE = SEModule()


@wrong(
    SE,
    mistake="One cache serves all forwards, so a later forward spoils an earlier backward.",
    says="state.overwritten",
)
def se_module_shared_by_all_calls(x, w1, w2):
    return SHARED_MODULE.forward(x, w1, w2), SHARED_MODULE.backward


@wrong(
    SE,
    mistake="The weight gradients go on adding up when backward is called again.",
    says="state.adds-up",
)
def se_block_adding_up_weight_gradients(x, w1, w2):
    y, (s, a, h, g) = se_forward(x, w1, w2)
    total1, total2 = np.zeros_like(w1), np.zeros_like(w2)

    def backward(dy):
        nonlocal total1, total2
        dz = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        total1 = total1 + da.T @ s
        total2 = total2 + dz.T @ h
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], total1.copy(), total2.copy()

    return y, backward


def keras_forward(x, w1, b1, w2, b2):
    """Channels last, weights (in, out) and biases, as a Keras user writes it."""
    s = x.mean(axis=(1, 2))
    a = s @ w1 + b1
    h = np.maximum(a, 0)
    g = sigmoid(h @ w2 + b2)
    return x * g[:, None, None, :], (s, a, h, g)


KERAS = "N H W C, C R, R, R C, C"


@wrong(
    KERAS,
    mistake="The gradient of b2 is not summed over the batch.",
    grads="db2",
    says="any.not-summed",
)
def keras_se_bias_not_summed(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        da = (dz @ w2.T) * (a > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, da.sum(0), h.T @ dz, dz

    return y, backward


@wrong(
    KERAS,
    mistake="The bias gradients are means over the batch, not sums.",
    grads="db1 db2",
    says="any.factor-too-small",
)
def keras_se_biases_averaged(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        da = (dz @ w2.T) * (a > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, da.mean(0), h.T @ dz, dz.mean(0)

    return y, backward


@wrong(
    KERAS,
    mistake="The squeeze gradient is divided by W*C, as if channels-first.",
    grads="dx",
    says="se.squeeze-path.factor",
)
def keras_se_channels_first_size(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)
    area = x.shape[2] * x.shape[3]

    def backward(dy):
        dz = np.einsum("nhwc,nhwc->nc", dy, x) * g * (1 - g)
        da = np.einsum("nc,rc->nr", dz, w2) * (a > 0)
        ds = np.einsum("nr,cr->nc", da, w1) / area
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, da.sum(0), h.T @ dz, dz.sum(0)

    return y, backward


@wrong(
    KERAS,
    mistake="The weight gradients have PyTorch's layout (out, in).",
    grads="dw1 dw2",
    says="any.transposed",
)
def keras_se_weights_transposed(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        da = (dz @ w2.T) * (a > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, da.T @ s, da.sum(0), dz.T @ h, dz.sum(0)

    return y, backward


@wrong(
    KERAS,
    mistake="The gradient of b1 is taken before the ReLU mask.",
    grads="db1",
    says="se.db1-too-early",
)
def keras_se_bias_before_mask(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        dh = dz @ w2.T
        da = dh * (a > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, dh.sum(0), h.T @ dz, dz.sum(0)

    return y, backward


@wrong(
    KERAS,
    mistake="The ReLU mask forgets the bias b1.",
    grads="dx dw1 db1",
    says="se.mask-before-bias",
)
def keras_se_mask_without_bias(x, w1, b1, w2, b2):
    y, (s, _, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        da = (dz @ w2.T) * (s @ w1 > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, da.sum(0), h.T @ dz, dz.sum(0)

    return y, backward


@wrong(
    KERAS,
    mistake="Gradients of b1 and b2 miss: zeros are returned.",
    grads="db1 db2",
    says="any.zero",
)
def keras_se_biases_forgotten(x, w1, b1, w2, b2):
    y, (s, a, h, g) = keras_forward(x, w1, b1, w2, b2)

    def backward(dy):
        dz = np.sum(dy * x, axis=(1, 2)) * g * (1 - g)
        da = (dz @ w2.T) * (a > 0)
        ds = (da @ w1.T) / (x.shape[1] * x.shape[2])
        dx = dy * g[:, None, None, :] + ds[:, None, None, :]
        return dx, s.T @ da, np.zeros_like(b1), h.T @ dz, np.zeros_like(b2)

    return y, backward


@wrong(
    "N H W C, C R, R C",
    mistake="The derivative of SiLU lacks the term of the sigmoid's own derivative.",
    grads="dx dw1",
    says="se.inner-activation:silu.sigmoid-alone",
)
def efficientnet_se_silu(x, w1, w2):
    s = x.mean((1, 2))
    a = s @ w1
    sa = sigmoid(a)
    h = a * sa
    g = sigmoid(h @ w2)

    def backward(dy):
        dz = (dy * x).sum((1, 2)) * g * (1 - g)
        da = dz @ w2.T * sa
        ds = da @ w1.T / (x.shape[1] * x.shape[2])
        return dy * g[:, None, None] + ds[:, None, None], s.T @ da, h.T @ dz

    return x * g[:, None, None], backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The tanh derivative is 1 - tanh(h)^2 of the h that is a tanh already.",
    grads="dx dw1 db1",
)
def se_with_tanh_twice(x, w1, b1, w2, b2):
    N, C, H, W = x.shape
    s = x.reshape(N, C, -1).mean(-1)
    h = np.tanh(s @ w1.T + b1)
    g = sigmoid(h @ w2.T + b2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        da = dz @ w2 * (1 - np.tanh(h) ** 2)
        ds = da @ w1 / (H * W)
        dx = dy * g[:, :, None, None] + ds[:, :, None, None]
        return dx, da.T @ s, da.sum(0), dz.T @ h, dz.sum(0)

    return x * g[:, :, None, None], backward


def mobilenet_forward(x, w1, w2):
    s = x.mean((2, 3))
    a = s @ w1.T
    h = np.maximum(a, 0)
    z = h @ w2.T
    g = np.clip(z / 6 + 0.5, 0, 1)
    return x * g[:, :, None, None], (s, a, h, z, g)


@wrong(
    SE,
    mistake="The hard sigmoid's mask is missing where it is 0 or 1.",
    grads="dx dw1 dw2",
    says="se.gate:hard-sigmoid.mask-missing",
)
def mobilenet_se_without_clip_mask(x, w1, w2):
    y, (s, a, h, _, g) = mobilenet_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) / 6
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="The hard sigmoid's slope of 1/6 is missing.",
    grads="dx dw1 dw2",
    says="se.gate:hard-sigmoid.slope-missing",
)
def mobilenet_se_without_slope(x, w1, w2):
    y, (s, a, h, z, g) = mobilenet_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * (np.abs(z) < 3)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


@wrong(
    SE,
    mistake="A smooth sigmoid is derived where the gate is hard.",
    grads="dx dw1 dw2",
    says="se.gate:hard-sigmoid.sigmoid",
)
def mobilenet_se_smooth_derivative(x, w1, w2):
    y, (s, a, h, _, g) = mobilenet_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], da.T @ s, dz.T @ h

    return y, backward


def se_1d(x, w1, w2):
    s = x.mean(-1)
    a = s @ w1
    h = a * (a > 0)
    g = sigmoid(h @ w2)
    return s, a, h, g


SE1 = "N C L, C R, R C"


@wrong(
    SE1,
    mistake="The squeeze gradient is divided by N*L in place of L.",
    grads="dx",
    says="se.squeeze-path.factor",
)
def audio_se_divides_by_batch_too(x, w1, w2):
    s, a, h, g = se_1d(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum(-1) * g * (1 - g)
        da = dz @ w2.T * (a > 0)
        dx = dy * g[..., None] + (da @ w1.T / (x.shape[0] * x.shape[-1]))[..., None]
        return dx, s.T @ da, h.T @ dz

    return x * g[..., None], backward


@wrong(
    SE1,
    mistake="The loop over samples keeps the last one's weight gradients.",
    grads="dw1 dw2",
    says="any.part-of-dy",
)
def audio_se_loop_overwrites(x, w1, w2):
    s, a, h, g = se_1d(x, w1, w2)

    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(len(x)):
            dz = (dy[n] * x[n]).sum(-1) * g[n] * (1 - g[n])
            da = w2 @ dz * (a[n] > 0)
            dw1 = np.outer(s[n], da)
            dw2 = np.outer(h[n], dz)
            dx[n] = dy[n] * g[n][:, None] + (w1 @ da)[:, None] / x.shape[-1]
        return dx, dw1, dw2

    return x * g[..., None], backward


@wrong(
    SE1,
    mistake="The squeeze gradient reaches the first time step only.",
    grads="dx",
    says="se.squeeze-path.one-pixel",
)
def audio_se_squeeze_gradient_at_first_step(x, w1, w2):
    s, a, h, g = se_1d(x, w1, w2)

    def backward(dy):
        dz = np.einsum("ncl,ncl->nc", dy, x) * g * (1 - g)
        da = dz @ w2.T * (a > 0)
        dx = dy * g[..., None]
        dx[..., 0] += da @ w1.T / x.shape[-1]
        return dx, s.T @ da, h.T @ dz

    return x * g[..., None], backward


@wrong(
    SE1,
    mistake="The squeeze gradient of the max pooling is spread as a mean.",
    grads="dx",
    says="se.squeeze:global-max-pool.average",
)
def se_with_max_squeeze_spread_evenly(x, w1, w2):
    s = x.max(-1)
    a = s @ w1
    h = np.maximum(a, 0)
    g = sigmoid(h @ w2)

    def backward(dy):
        dz = (dy * x).sum(-1) * g * (1 - g)
        da = dz @ w2.T * (a > 0)
        dx = dy * g[..., None] + (da @ w1.T)[..., None] / x.shape[-1]
        return dx, s.T @ da, h.T @ dz

    return x * g[..., None], backward


SE3 = "N C D H W, R C, C R"


def volume_forward(x, w1, w2):
    s = x.mean((2, 3, 4))
    a = s @ w1.T
    h = np.maximum(a, 0)
    return s, a, h, sigmoid(h @ w2.T)


@wrong(
    SE3,
    mistake="The depth is forgotten in the mean's factor: 1/(H*W).",
    grads="dx",
    says="se.squeeze-path.factor",
)
def volume_se_factor_without_depth(x, w1, w2):
    s, a, h, g = volume_forward(x, w1, w2)
    g5 = g[:, :, None, None, None]

    def backward(dy):
        dz = (dy * x).sum((2, 3, 4)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / (x.shape[-1] * x.shape[-2])
        return dy * g5 + ds[:, :, None, None, None], da.T @ s, dz.T @ h

    return x * g5, backward


@wrong(
    SE3,
    mistake="Only the first slice counts in the gate's gradient.",
    grads="dx dw1 dw2",
    says="any.part-of-dy",
)
def volume_se_one_slice_only(x, w1, w2):
    s, a, h, g = volume_forward(x, w1, w2)
    g5 = g.reshape(*g.shape, 1, 1, 1)

    def backward(dy):
        dz = (dy * x)[:, :, 0].sum((-2, -1)) * g * (1 - g)
        da = dz @ w2 * (a > 0)
        ds = da @ w1 / x[0, 0].size
        return dy * g5 + ds.reshape(g5.shape), da.T @ s, dz.T @ h

    return x * g5, backward


@wrong(
    "N C H W, C C",
    mistake="ds goes back through w and not its transpose.",
    grads="dx",
    says="channel-gate.linear-layer:dense.w-transposed",
)
def square_gate_not_transposed(x, w):
    s = x.mean((2, 3))
    g = sigmoid(s @ w)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        ds = dz @ w / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], s.T @ dz

    return x * g[:, :, None, None], backward


@wrong(
    "N C H W, C C, C",
    mistake="The gradient of the square weight is transposed.",
    grads="dw",
    says="any.transposed",
)
def effective_se_weight_transposed(x, w, b):
    s = x.mean((2, 3))
    z = s @ w.T + b
    g = np.clip((z + 3) / 6, 0, 1)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * ((z > -3) & (z < 3)) / 6
        ds = dz @ w / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], s.T @ dz, dz.sum(0)

    return x * g[:, :, None, None], backward


@wrong(
    "N C H W, C C, C",
    mistake="The hard sigmoid's mask asks for 0 < z < 6 where -3 < z < 3 is right.",
    grads="dx dw db",
    says="channel-gate.gate:hard-sigmoid.relu6",
)
def effective_se_wrong_limits(x, w, b):
    s = x.mean((2, 3))
    z = s @ w.T + b
    g = np.clip(z + 3, 0, 6) / 6

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * ((z > 0) & (z < 6)) / 6
        ds = dz @ w / x[0, 0].size
        return dy * g[:, :, None, None] + ds[:, :, None, None], dz.T @ s, dz.sum(0)

    return x * g[:, :, None, None], backward


@wrong(
    "N C H W, C",
    mistake="The path through the spatial map is missing in dx.",
    grads="dx",
    says="spatial-gate.one-map-path",
)
def spatial_se_without_map_path(x, w):
    q = sigmoid(np.einsum("nchw,c->nhw", x, w))[:, None]

    def backward(dy):
        dz = (dy * x).sum(1, keepdims=True) * q * (1 - q)
        return dy * q, (dz * x).sum((0, 2, 3))

    return x * q, backward


@wrong(
    "N C H W, C",
    mistake="dw is a mean over batch and space, not a sum.",
    grads="dw",
    says="any.factor-too-small",
)
def spatial_se_weight_averaged(x, w):
    q = sigmoid(np.tensordot(x, w, axes=(1, 0)))[:, None]

    def backward(dy):
        dz = (dy * x).sum(1, keepdims=True) * q * (1 - q)
        return dy * q + dz * w[:, None, None], (dz * x).mean((0, 2, 3))

    return x * q, backward


@wrong(
    "N H W C, C",
    mistake="The map's gradient is not summed over the channels before it goes on.",
    grads="dx dw",
    says="spatial-gate.channel-sum",
)
def spatial_se_map_gradient_per_channel(x, w):
    q = sigmoid(x @ w)[..., None]

    def backward(dy):
        dz = dy * x * q * (1 - q)
        return dy * q + dz * w, np.einsum("nhwc,nhwc->c", dz, x)

    return x * q, backward


def scse_parts(x, w1, w2, v):
    y, (s, a, h, g) = se_forward(x, w1, w2)
    q = sigmoid(np.einsum("nchw,c->nhw", x, v))[:, None]
    return y, x * q, s, a, h, g, q


def scse_back(x, w1, w2, v, parts, dc, dq):
    """Gradients of both branches for their own upstream gradients dc and dq."""
    _, _, s, a, h, g, q = parts
    dz = (dc * x).sum((2, 3)) * g * (1 - g)
    da = dz @ w2 * (a > 0)
    dxc = dc * g[:, :, None, None] + (da @ w1 / x[0, 0].size)[:, :, None, None]
    dm = (dq * x).sum(1, keepdims=True) * q * (1 - q)
    dxs = dq * q + dm * v[:, None, None]
    return dxc, dxs, da.T @ s, dz.T @ h, (dm * x).sum((0, 2, 3))


@wrong(
    "N C H W, R C, C R, C",
    mistake="The spatial branch is missing in dx.",
    grads="dx",
    says="scse.one-map-path+scse.pixel-scale-path",
)
def scse_without_spatial_branch(x, w1, w2, v):
    parts = scse_parts(x, w1, w2, v)

    def backward(dy):
        dxc, _, dw1, dw2, dv = scse_back(x, w1, w2, v, parts, dy, dy)
        return dxc, dw1, dw2, dv

    return parts[0] + parts[1], backward


@wrong(
    "N C H W, R C, C R, C",
    mistake="Both branches get the whole gradient, though the larger one is the output.",
    grads="dx dw1 dw2 dv",
    says="scse-larger.larger:larger.both",
)
def scse_max_without_routing(x, w1, w2, v):
    parts = scse_parts(x, w1, w2, v)

    def backward(dy):
        dxc, dxs, dw1, dw2, dv = scse_back(x, w1, w2, v, parts, dy, dy)
        return dxc + dxs, dw1, dw2, dv

    return np.maximum(parts[0], parts[1]), backward


def eca_given(rng):
    return rng.normal(size=(3, 6, 2, 4)), rng.normal(size=3)


def eca_forward(x, k):
    """Efficient channel attention: a convolution of size 3 over the channels."""
    s = np.pad(x.mean((2, 3)), ((0, 0), (1, 1)))
    C = x.shape[1]
    g = sigmoid(sum(k[i] * s[:, i : i + C] for i in range(3)))
    return s, g, C


@wrong(
    given=eca_given,
    mistake="The kernel is not flipped on the way back.",
    grads="dx",
    says="eca.mix:correlate.flip",
)
def eca_kernel_not_flipped(x, k):
    s, g, C = eca_forward(x, k)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        padded = np.pad(dz, ((0, 0), (1, 1)))
        ds = sum(k[i] * padded[:, i : i + C] for i in range(3)) / x[0, 0].size
        dk = np.array([np.sum(dz * s[:, i : i + C]) for i in range(3)])
        return dy * g[:, :, None, None] + ds[:, :, None, None], dk

    return x * g[:, :, None, None], backward


@wrong(
    given=eca_given,
    mistake="The kernel's gradient comes in reverse order.",
    grads="dk",
    says="any.flipped",
)
def eca_kernel_gradient_reversed(x, k):
    s, g, C = eca_forward(x, k)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        ds = np.zeros_like(s)
        for i in range(3):
            ds[:, i : i + C] += k[i] * dz
        dk = np.array([np.sum(dz * s[:, i : i + C]) for i in (2, 1, 0)])
        return dy * g[:, :, None, None] + ds[:, 1:-1, None, None] / x[0, 0].size, dk

    return x * g[:, :, None, None], backward


@wrong(
    given=eca_given,
    mistake="Backward wraps round at the border, forward pads.",
    grads="dx",
    says="eca.mix:correlate.dz-circular",
)
def eca_circular_backward(x, k):
    s, g, C = eca_forward(x, k)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        ds = sum(k[i] * np.roll(dz, i - 1, axis=1) for i in range(3)) / x[0, 0].size
        dk = np.array([np.sum(dz * s[:, i : i + C]) for i in range(3)])
        return dy * g[:, :, None, None] + ds[:, :, None, None], dk

    return x * g[:, :, None, None], backward


def cbam_forward(x, w1, w2):
    """CBAM's channel attention: a shared MLP sees the mean and the maximum."""
    flat = x.reshape(*x.shape[:2], -1)
    pools = flat.mean(-1), flat.max(-1)
    pre = [p @ w1.T for p in pools]
    hidden = [np.maximum(a, 0) for a in pre]
    g = sigmoid(sum(h @ w2.T for h in hidden))
    where = flat == flat.max(-1, keepdims=True)
    return pools, pre, hidden, g, where.reshape(x.shape)


@wrong(
    SE,
    mistake="The path through the max pooling is missing in dx.",
    grads="dx",
    says="cbam-channel.maximum-path",
)
def cbam_channel_without_max_path(x, w1, w2):
    pools, pre, hidden, g, _ = cbam_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        das = [dz @ w2 * (a > 0) for a in pre]
        dx = dy * g[:, :, None, None] + (das[0] @ w1)[:, :, None, None] / x[0, 0].size
        dw1 = das[0].T @ pools[0] + das[1].T @ pools[1]
        return dx, dw1, dz.T @ (hidden[0] + hidden[1])

    return x * g[:, :, None, None], backward


@wrong(
    SE,
    mistake="The gradient of the maximum goes to all positions.",
    grads="dx",
    says="cbam-channel.maximum:global-max-pool.everywhere",
)
def cbam_channel_max_gradient_everywhere(x, w1, w2):
    pools, pre, hidden, g, _ = cbam_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        das = [dz @ w2 * (a > 0) for a in pre]
        dx = dy * g[:, :, None, None] + (das[0] @ w1)[:, :, None, None] / x[0, 0].size
        dx += (das[1] @ w1)[:, :, None, None]
        dw1 = sum(da.T @ p for da, p in zip(das, pools, strict=True))
        return dx, dw1, dz.T @ sum(hidden)

    return x * g[:, :, None, None], backward


@wrong(
    SE,
    mistake="The shared MLP's gradients come from the mean branch only.",
    grads="dw1 dw2",
    says="cbam-channel.first-layer-of-the-maximum-path "
    "cbam-channel.second-layer-of-the-maximum-path",
)
def cbam_channel_shared_weights_once(x, w1, w2):
    pools, pre, hidden, g, where = cbam_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        das = [dz @ w2 * (a > 0) for a in pre]
        dx = dy * g[:, :, None, None] + (das[0] @ w1)[:, :, None, None] / x[0, 0].size
        dx += where * (das[1] @ w1)[:, :, None, None]
        return dx, das[0].T @ pools[0], dz.T @ hidden[0]

    return x * g[:, :, None, None], backward


@wrong(
    SE,
    mistake="One ReLU mask, the mean branch's, serves both branches.",
    grads="dx dw1",
    says="cbam-channel.relu-of-the-maximum.ha-for-hm",
)
def cbam_channel_one_mask_for_both(x, w1, w2):
    pools, pre, hidden, g, where = cbam_forward(x, w1, w2)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        da = dz @ w2 * (pre[0] > 0)
        ds = (da @ w1)[:, :, None, None]
        dx = dy * g[:, :, None, None] + ds / x[0, 0].size + ds * where
        return dx, da.T @ (pools[0] + pools[1]), dz.T @ (hidden[0] + hidden[1])

    return x * g[:, :, None, None], backward


def cbam_spatial_given(rng):
    return rng.normal(size=(2, 5, 3, 4)), rng.normal(size=2)


@wrong(
    given=cbam_spatial_given,
    mistake="The factor 1/C of the mean over the channels is missing in dx.",
    grads="dx",
)
def cbam_spatial_without_mean_factor(x, w):
    avg, top = x.mean(1, keepdims=True), x.max(1, keepdims=True)
    m = sigmoid(w[0] * avg + w[1] * top)

    def backward(dy):
        dz = (dy * x).sum(1, keepdims=True) * m * (1 - m)
        dx = dy * m + w[0] * dz + w[1] * dz * (x == top)
        return dx, np.array([(dz * avg).sum(), (dz * top).sum()])

    return x * m, backward


@wrong(
    "N C H W",
    mistake="The gate's own path counts with the wrong sign in dx.",
    grads="dx",
    says="gather-excite-mean.gate:sigmoid.sign",
)
def gather_excite_minus_sign(x):
    g = sigmoid(x.mean((2, 3), keepdims=True))

    def backward(dy):
        dg = (dy * x).sum((2, 3), keepdims=True)
        return dy * g - dg * g * (1 - g) / x[0, 0].size

    return x * g, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 3, 4, 6)),),
    mistake="The gradient of a 2x2 mean reaches the block's upper left value only.",
    grads="dx",
)
def gather_excite_local_upper_left(x):
    N, C, H, W = x.shape

    def blocks(t):
        return t.reshape(N, C, H // 2, 2, W // 2, 2)

    g = sigmoid(blocks(x).mean((3, 5)))
    up = g.repeat(2, axis=2).repeat(2, axis=3)

    def backward(dy):
        dz = blocks(dy * x).sum((3, 5)) * g * (1 - g)
        dx = dy * up
        dx[:, :, ::2, ::2] += dz / 4
        return dx

    return x * up, backward


@wrong(
    "N C H W, C, C",
    mistake="The path through the standard deviation is missing in dx.",
    grads="dx",
    says="style-gate-vectors.deviation-path",
)
def style_recalibration_without_std_path(x, u, v):
    mu = x.mean((2, 3), keepdims=True)
    sd = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    u4, v4 = u[:, None, None], v[:, None, None]
    g = sigmoid(u4 * mu + v4 * sd)

    def backward(dy):
        dz = (dy * x).sum((2, 3), keepdims=True) * g * (1 - g)
        dx = dy * g + dz * u4 / x[0, 0].size
        return dx, (dz * mu).sum((0, 2, 3)), (dz * sd).sum((0, 2, 3))

    return x * g, backward


@wrong(
    "N C P, C, C R, R C",
    mistake="The softmax pooling is taken as constant in dx.",
    grads="dx",
    says="simple-context.one-map-path",
)
def global_context_constant_pooling(x, k, w1, w2):
    logits = np.einsum("ncp,c->np", x, k)
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    s = np.einsum("ncp,np->nc", x, p)
    h = np.maximum(s @ w1, 0)

    def backward(dy):
        dt = dy.sum(-1)
        dh = dt @ w2.T * (h > 0)
        ds = dh @ w1.T
        dp = np.einsum("nc,ncp->np", ds, x)
        dl = p * (dp - (p * dp).sum(1, keepdims=True))
        dx = dy + ds[:, :, None] * p[:, None, :]
        return dx, np.einsum("np,ncp->c", dl, x), s.T @ dh, h.T @ dt

    return x + (h @ w2)[:, :, None], backward


@wrong(
    "N C P, N C P, C C",
    mistake="The gradient of the skip input is dy itself, not a copy of it.",
)
def gated_skip_hands_out_dy(x, skip, w):
    s = x.mean(-1)
    g = sigmoid(s @ w)[..., None]

    def backward(dy):
        dz = (dy * x).sum(-1) * (g * (1 - g))[..., 0]
        dx = dy * g + (dz @ w.T)[..., None] / x.shape[-1]
        return dx, dy, s.T @ dz

    return x * g + skip, backward


@wrong(
    "N C P, C C",
    mistake="Forward scales the given x in place.",
)
def se_block_scaling_its_input(x, w):
    s = x.mean(-1)
    before = x.copy()
    g = sigmoid(s @ w)[..., None]
    x *= g

    def backward(dy):
        dz = (dy * before).sum(-1) * (g * (1 - g))[..., 0]
        return dy * g + (dz @ w.T)[..., None] / dy.shape[-1], s.T @ dz

    return x.copy(), backward


@wrong(
    "N C H W, C, C",
    mistake="The gate's gradient counts the plain mean, though the gate sees squares: 2x lacks.",
    grads="dx",
)
def energy_gate_without_square_rule(x, alpha, beta):
    e = (x**2).mean((2, 3))
    g = 1 + np.tanh(alpha * e + beta)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * (1 - (g - 1) ** 2)
        de = dz * alpha / x[0, 0].size
        dx = dy * g[:, :, None, None] + de[:, :, None, None]
        return dx, (dz * e).sum(0), dz.sum(0)

    return x * g[:, :, None, None], backward
