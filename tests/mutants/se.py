"""Wrong backwards of the whole Squeeze-and-Excitation block, and of its two parts."""

import numpy as np

from mutants import wrong
from numpy_se import global_max_pool, hard_sigmoid, tanh

BLOCK = "N C H W, R C, C R"
SQUARE_BLOCK = "N C H W, C C, C C"  # as with a reduction ratio of 1
BLOCK_WITH_BIASES = "N C H W, R C, C R, R, C"
TOO_SMALL_BY_N = r"(?<!\*)\bN times too small|averaged over N"


def forward_pass(x, w1, w2):
    """Compute all stages of the block: mean, bottleneck, gates, output."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    u = a @ w2.T
    s = 1 / (1 + np.exp(-u))
    return z, h, a, u, s, x * s[:, :, None, None]


# The two paths of x.


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"squeeze path is missing")
def gates_are_constants_for_x(x, w1, w2, b1, b2):
    """The squeeze path is missing: dx is s * dy, as if the gates did not depend on x."""
    z = x.mean(axis=(2, 3))
    a = np.maximum(z @ w1.T + b1, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        dx = dy * s[:, :, None, None]
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return dx, dh.T @ z, du.T @ a, dh.sum(axis=0), du.sum(axis=0)

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK, says=r"scale path is missing")
def scale_path_forgotten(x, w1, w2):
    """The gradient comes back through the gates only: the scale path s * dy is missing."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = (dy * x).sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        dx = np.zeros_like(x) + dz[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw1, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"squeeze path (counts twice|is 2 times too large)")
def squeeze_path_twice(x, w1, w2):
    """The squeeze path is added twice."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)
    N, C, H, W = x.shape

    def backward(dy):
        dx = dy * s[:, :, None, None]
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1).reshape(N, C, 1, 1) / (H * W)
        dx += dz
        return dx + dz, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"scale path (counts twice|is 2 times too large)")
def scale_path_twice(x, w1, w2):
    """The scale path is added twice."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        dscale = dy * s[:, :, None, None]
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dscale + (dh @ w1)[:, :, None, None] / x[0, 0].size
        dx += dscale
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"squeeze path has the wrong sign")
def squeeze_path_subtracted(x, w1, w2):
    """The squeeze path is subtracted, where it has to be added."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] - dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong(
    "squeeze_excite", BLOCK, says=r"(squeeze path is|in the squeeze:) (?<!\*)\bH\*W times too large"
)
def squeeze_path_without_the_mean(x, w1, w2):
    """The 1/(H*W) of the mean is missing in the squeeze path."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = np.sum(dy * x, axis=(2, 3))
        du = ds * s * (1 - s)
        da = du @ w2
        dh = da * (h > 0)
        dz = dh @ w1
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong(
    "squeeze_excite",
    BLOCK,
    says=r"squeeze path is W/H times the right one",
)
def squeeze_path_divided_by_the_height_squared(x, w1, w2):
    """All maps are taken for squares: the squeeze path is divided by H*H."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)
    H = x.shape[2]

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / H**2
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"one pixel")
def squeeze_path_to_one_pixel(x, w1, w2):
    """The squeeze path goes to the first pixel only, where every pixel gets its share."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        dx = dy * s[:, :, None, None]
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx[:, :, 0, 0] += dh @ w1 / (x.shape[2] * x.shape[3])
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong(
    "squeeze_excite",
    BLOCK,
    says=r"squeeze path .*(averaged over N|mixed over the batch)|in the squeeze: averaged over N",
)
def squeeze_path_averaged_over_the_batch(x, w1, w2):
    """All samples get the mean over the batch in the squeeze path."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1).mean(axis=0, keepdims=True) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"squeeze path .*(times s|factor s)\b|factor s too much")
def squeeze_path_times_the_gate(x, w1, w2):
    """The two paths are added before the gate: the squeeze path has a factor s too much."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return s[:, :, None, None] * (dy + dz), dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"squeeze path .*(times|factor) x\b|factor x too much")
def squeeze_path_times_x(x, w1, w2):
    """The squeeze path is multiplied by x: a factor x too much."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz * x, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"\bs is missing")
def scale_path_without_the_gate(x, w1, w2):
    """The scale path is dy, where it is s * dy."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy + (dh @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"dy is added|identity|shortcut|residual")
def shortcut_of_a_residual_block_left_in(x, w1, w2):
    """The gradient of a shortcut is in dx: dy is added, and the block has no shortcut."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / x[0, 0].size
        dx += dy
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"averaged over N|mixed over the batch")
def scale_path_by_the_mean_gate(x, w1, w2):
    """The gates are averaged over N in the scale path."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy * s.mean(axis=0)[:, None, None]
        dx += (dh @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"it is zero")
def dx_of_the_block_is_zero(x, w1, w2):
    """Only the weights get a gradient: nothing is passed on to x."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        return np.zeros_like(x), dh.T @ z, du.T @ a

    return y, backward


# The scale.


@wrong("squeeze_excite", BLOCK, says=r"(?<!\*)\bH\*W times too small")
def ds_of_the_block_is_a_mean(x, w1, w2):
    """The gate's gradient is a mean over the pixels, where it is a sum."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = np.mean(dy * x, axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"(?<!\*)\bH\*W times too small")
def mean_in_the_scale_and_none_in_the_squeeze(x, w1, w2):
    """The 1/(H*W) stands in ds and not in dz: dx is right, the weights' gradients are too small."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = np.mean(dy * x, axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dx = dy * s[:, :, None, None] + (dh @ w1)[:, :, None, None]
        return dx, dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"in the scale: x is missing|(?<!- )\bx is missing")
def ds_of_the_block_without_x(x, w1, w2):
    """The gate's gradient is the sum of dy: the factor x is missing."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = dy.sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"y in place of x")
def ds_of_the_block_from_y(x, w1, w2):
    """The gate's gradient is taken from the output y, where it needs the input x."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = np.einsum("nchw,nchw->nc", dy, y)
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"in the scale: dy is ignored|dy is ignored")
def ds_of_the_block_without_dy(x, w1, w2):
    """The gate's gradient is the sum of x, and dy is not used for it."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = x.sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"raises|not summed over (H|W)\b")
def ds_of_the_block_not_summed_over_columns(x, w1, w2):
    """The gate's gradient is summed over one axis only, and (N, C, W) does not fit to the gates."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = (dy * x).sum(axis=2)
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"summed over N too often")
def ds_of_the_block_summed_over_the_batch(x, w1, w2):
    """The gate's gradient is summed over the batch too, and used for every sample."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = (dy * x).sum(axis=(0, 2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = (dh @ w1) / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


# The sigmoid.


@wrong("squeeze_excite", BLOCK, says=r"derivative of the sigmoid is missing")
def gate_without_its_derivative(x, w1, w2):
    """The derivative of the sigmoid is missing: du is ds."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3))
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"1 - [ys] is missing")
def gate_without_one_minus_s(x, w1, w2):
    """The derivative of the sigmoid is taken as s: the factor 1 - s is missing."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong(
    "squeeze_excite", BLOCK, says=r"in the (sigmoid|gate): [ys] is missing|(?<!1 - )\by is missing"
)
def gate_without_s(x, w1, w2):
    """The derivative of the sigmoid is taken as 1 - s: the factor s is missing."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"[xu] \(1 - [xu]\) in place of [ys] \(1 - [ys]\)")
def gate_derivative_from_u(x, w1, w2):
    """The derivative of the sigmoid is taken from its input: u (1 - u)."""
    z, h, a, u, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * u * (1 - u)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"sigmoid is applied twice")
def gate_sigmoid_twice(x, w1, w2):
    """The derivative is a function of u, but is called with s: sigmoid is applied twice."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def sigmoid_prime(v):
        g = 1 / (1 + np.exp(-v))
        return g * (1 - g)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * sigmoid_prime(s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"rule of tanh")
def gate_by_the_rule_of_tanh(x, w1, w2):
    """The derivative of the sigmoid is taken as 1 - s^2, the rule of tanh."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * (1 - s**2)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"derivative of the sigmoid (counts|is applied) twice")
def gate_derivative_twice(x, w1, w2):
    """The derivative of the sigmoid is multiplied twice."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = (dy * x * (s * (1 - s))[:, :, None, None]).sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"in the gate: ds is ignored|dy is ignored")
def gate_without_ds(x, w1, w2):
    """The gradient of the sigmoid is s (1 - s): what came before it is dropped."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


# The ReLU.


@wrong("squeeze_excite", BLOCK, says=r"mask is missing")
def hidden_mask_forgotten(x, w1, w2):
    """The mask of the ReLU is missing: dh is da."""
    z, _, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        da = du @ w2
        dz = da @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], da.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"mask is missing")
def hidden_mask_forgotten_for_dw1_only(x, w1, w2):
    """The mask of the ReLU is missing in dw1, and right in dx."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        da = du @ w2
        dw1 = da.T @ z
        dz = (da * (h > 0)) @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"mask is missing")
def hidden_mask_forgotten_for_dx_only(x, w1, w2):
    """The mask of the ReLU is missing in the squeeze path of dx, and right in dw1."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        da = du @ w2
        dh = da * (h > 0)
        dz = da @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"masked by the sign of d[ay]")
def hidden_mask_from_da(x, w1, w2):
    """The ReLU is masked by the sign of its upstream gradient da, not by its input h."""
    z, _, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        da = du @ w2
        dh = np.maximum(da, 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", SQUARE_BLOCK, says=r"masked by (the sign of )?du\b|du in place of h")
def hidden_mask_from_du(x, w1, w2):
    """The mask of the ReLU is taken from the sign of du: with R = C the shapes agree."""
    z, _, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (du > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", SQUARE_BLOCK, says=r"masked by (the sign of )?u\b|\bu in place of h")
def hidden_mask_from_u(x, w1, w2):
    """The mask of the ReLU is taken from u, the input of the sigmoid: with R = C it fits."""
    z, _, a, u, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (u > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"mask is inverted")
def hidden_mask_inverted(x, w1, w2):
    """The mask of the ReLU is inverted: only the units that are off pass the gradient."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h <= 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"(y|a) in place of the mask")
def hidden_units_in_place_of_their_mask(x, w1, w2):
    """The gradient is multiplied by a, where it is multiplied by the mask a > 0."""
    z, _, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * a
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, legal=True)
def hidden_mask_with_slope_one_at_zero(x, w1, w2):
    """At exactly 0 the ReLU has slope 1: a legal choice."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h >= 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


# The linear layers.


@wrong("squeeze_excite", BLOCK, says=r"pre-activations|h in place of a")
def dw2_from_the_pre_activations(x, w1, w2):
    """The gradient of w2 is taken from h, the pre-activations, where it needs a = relu(h)."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw2 = du.T @ h
        dh = (du @ w2) * (a > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, dw2

    return y, backward


@wrong(
    "squeeze_excite",
    BLOCK,
    says=r"summed pooling|sum in place of the mean|(?<!\*)\bH\*W times too large",
)
def dw1_from_the_summed_pooling(x, w1, w2):
    """The gradient of w1 is taken from the sums of the channels, where it needs their means."""
    _, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ x.sum(axis=(2, 3))
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"s in place of z|gates in place of")
def dw1_from_the_gates(x, w1, w2):
    """The gradient of w1 is taken from the gates s, where it needs the squeezed channels z."""
    _, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ s, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"derivative of the sigmoid is missing")
def dw2_from_ds(x, w1, w2):
    """The gradient of w2 is taken from ds, before the derivative of the sigmoid; dx is right."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        ds = (dy * x).sum(axis=(2, 3))
        dw2 = ds.T @ a
        dh = ((ds * s * (1 - s)) @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"it is zero")
def weights_get_no_gradient(x, w1, w2):
    """The gradient of x is right in both paths, but those of the weights are zero."""
    _, h, _, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dz = ((du @ w2) * (h > 0)) @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, np.zeros_like(w1), np.zeros_like(w2)

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"it is zero")
def w1_gets_no_gradient(x, w1, w2):
    """The gradient of w1 is zero: the backward pass ends at the ReLU for the weights."""
    _, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw1, dw2 = np.zeros_like(w1), du.T @ a
        dz = ((du @ w2) * (h > 0)) @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=TOO_SMALL_BY_N)
def weights_averaged_over_the_batch(x, w1, w2):
    """The gradients of both weights are divided by N."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)
    N = len(x)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z / N, du.T @ a / N

    return y, backward


@wrong("squeeze_excite", BLOCK, says=TOO_SMALL_BY_N)
def w2_averaged_over_the_batch(x, w1, w2):
    """The gradient of w2 is divided by N, and that of w1 is right."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw2 = np.mean([np.outer(g, v) for g, v in zip(du, a, strict=True)], axis=0)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"only sample 0 counts")
def weights_from_the_first_sample(x, w1, w2):
    """The gradients of the weights are those of the first sample, not the sum over the batch."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, np.outer(dh[0], z[0]), np.outer(du[0], a[0])

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"transposed")
def both_weights_transposed(x, w1, w2):
    """Both gradients are transposed: (C, R) for w1 and (R, C) for w2."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], z.T @ dh, a.T @ du

    return y, backward


@wrong("squeeze_excite", SQUARE_BLOCK, says=r"transposed")
def dw2_of_a_square_block_transposed(x, w1, w2):
    """The gradient of w2 is transposed: with R = C its shape is right."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, a.T @ du

    return y, backward


@wrong(
    "squeeze_excite", SQUARE_BLOCK, says=r"second linear layer: w2 and its transpose are mixed up"
)
def da_by_w2_transposed(x, w1, w2):
    """The second linear layer goes back by w2.T, where it goes back by w2; dw2 is right."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2.T) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong(
    "squeeze_excite", SQUARE_BLOCK, says=r"first linear layer: w1 and its transpose are mixed up"
)
def dz_by_w1_transposed(x, w1, w2):
    """The first linear layer goes back by w1.T: only dx is wrong, the weights are right."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1.T / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"dw2 in place of w2|not linear in dy")
def da_by_dw2(x, w1, w2):
    """The gradient of the hidden units is computed with dw2, where it needs w2."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ dw2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, dw2

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"w2\.T in place of w1|w2 in place of w1")
def dz_by_the_wrong_weight(x, w1, w2):
    """The first linear layer goes back by w2.T, which has the shape of w1; only dx is wrong."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w2.T / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"wrong order|swapped")
def dw2_comes_before_dw1(x, w1, w2):
    """The gradients are returned in the order of the backward pass: (dx, dw2, dw1)."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], du.T @ a, dh.T @ z

    return y, backward


@wrong("squeeze_excite", BLOCK, says=r"weight decay")
def decay_of_both_weights_left_in(x, w1, w2):
    """A weight decay of 0.001 is in the gradients of both weights."""
    z, h, a, _, s, y = forward_pass(x, w1, w2)
    reg = 1e-3

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z + reg * w1, du.T @ a + reg * w2

    return y, backward


# The biases.


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"it is zero")
def biases_get_no_gradient(x, w1, w2, b1, b2):
    """The gradients of both biases are zero."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a, np.zeros_like(b1), np.zeros_like(b2)

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=TOO_SMALL_BY_N)
def biases_averaged_over_the_batch(x, w1, w2, b1, b2):
    """The gradients of the biases are means over the batch, where they are sums."""
    N, C, H, W = x.shape
    z = x.reshape(N, C, -1).mean(axis=2)
    h = z.dot(w1.T) + b1
    a = h.clip(min=0)
    s = 1 / (1 + np.exp(-a.dot(w2.T) - b2))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = du.dot(w2)
        dh[h <= 0] = 0
        dx = dy * s.reshape(N, C, 1, 1) + dh.dot(w1).reshape(N, C, 1, 1) / (H * W)
        return dx, dh.T.dot(z), du.T.dot(a), dh.mean(axis=0), du.mean(axis=0)

    return x * s.reshape(N, C, 1, 1), backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"not summed over N\b(?! H)")
def biases_not_summed(x, w1, w2, b1, b2):
    """The gradients of the biases are du and dh, not summed over the batch."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a, dh, du

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"db2 is taken before the gate")
def db2_from_ds(x, w1, w2, b1, b2):
    """The gradient of b2 is the sum of ds: the derivative of the sigmoid is missing in it."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        ds = (dy * x).sum(axis=(2, 3))
        du = ds * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a, dh.sum(axis=0), ds.sum(axis=0)

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"db1 is taken before the ReLU")
def db1_from_da(x, w1, w2, b1, b2):
    """The gradient of b1 is the sum of da: the mask of the ReLU is missing in it."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        da = du @ w2
        dh = da * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a, da.sum(axis=0), du.sum(axis=0)

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"wrong order|swapped")
def every_bias_follows_its_weight(x, w1, w2, b1, b2):
    """The gradients are returned as (dx, dw1, db1, dw2, db2): not in the order of the arguments."""
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = np.maximum(h, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, dh.sum(axis=0), du.T @ a, du.sum(axis=0)

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"mask .*(without|before) (the bias|b1)|b1 .*mask")
def mask_without_the_bias(x, w1, w2, b1, b2):
    """The ReLU is masked by w1 z > 0, before the bias b1 is added."""
    z = x.mean(axis=(2, 3))
    p = z @ w1.T
    a = np.maximum(p + b1, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (p > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dh.T @ z, du.T @ a, dh.sum(axis=0), du.sum(axis=0)

    return x * s[:, :, None, None], backward


# Another squeeze.


@wrong(
    "squeeze_excite",
    BLOCK,
    says=r"average in place of the maximum",
    options={"squeeze": global_max_pool},
)
def max_squeeze_by_the_rule_of_the_mean(x, w1, w2):
    """The squeeze is a maximum, but its gradient is spread evenly as for a mean."""
    z = x.max(axis=(2, 3))
    a = np.maximum(z @ w1.T, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dh.T @ z, du.T @ a

    return x * s[:, :, None, None], backward


# The parts: excite and excitation.


@wrong("excite", "N C, R C, C R", says=r"it is zero")
def excite_passes_nothing_on(z, w1, w2):
    """The weights get their gradients, but nothing is passed on to z."""
    a = np.maximum(z @ w1.T, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return np.zeros_like(z), dh.T @ z, du.T @ a

    return s, backward


@wrong("excite", "N C, R C, C R", says=r"mask is missing")
def excite_without_the_mask(z, w1, w2):
    """The mask of the ReLU is missing."""
    a = np.maximum(z @ w1.T, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T)))

    def backward(ds):
        du = ds * s * (1 - s)
        dh = du @ w2
        return dh @ w1, dh.T @ z, du.T @ a

    return s, backward


@wrong("excite", "N C, R C, C R, R, C", says=r"derivative of the sigmoid is missing")
def excite_without_the_derivative_of_the_gate(z, w1, w2, b1, b2):
    """The derivative of the sigmoid is missing in all five gradients."""
    a = np.maximum(z @ w1.T + b1, 0)
    s = 1 / (1 + np.exp(-(a @ w2.T + b2)))

    def backward(ds):
        dh = (ds @ w2) * (a > 0)
        return dh @ w1, dh.T @ z, ds.T @ a, dh.sum(axis=0), ds.sum(axis=0)

    return s, backward


@wrong("excite", "N C, R C, C R", says=r"rule of (the )?sigmoid", options={"gate": tanh})
def tanh_gate_by_the_rule_of_the_sigmoid(z, w1, w2):
    """The gate was changed to tanh in the forward pass only."""
    a = np.maximum(z @ w1.T, 0)
    s = np.tanh(a @ w2.T)

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return dh @ w1, dh.T @ z, du.T @ a

    return s, backward


@wrong("excite", "N C, R C, C R", says=r"rule of (the )?sigmoid", options={"gate": hard_sigmoid})
def hard_gate_by_the_rule_of_the_sigmoid(z, w1, w2):
    """The gate was changed to the hard sigmoid in the forward pass only."""
    a = np.maximum(z @ w1.T, 0)
    s = np.clip(a @ w2.T / 6 + 0.5, 0, 1)

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return dh @ w1, dh.T @ z, du.T @ a

    return s, backward


@wrong("excitation", BLOCK, says=r"(?<!\*)\bH\*W times too large")
def excitation_without_the_mean(x, w1, w2):
    """The gradient of the means is spread over the pixels without the 1/(H*W)."""
    z, _, a, _, s, _ = forward_pass(x, w1, w2)

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return np.ones_like(x) * (dh @ w1)[:, :, None, None], dh.T @ z, du.T @ a

    return s, backward


@wrong("excitation", BLOCK, says=r"not spread over H W")
def excitation_gives_dz(x, w1, w2):
    """The squeeze is forgotten on the way back: dz of (N, C) is returned for dx."""
    z, _, a, _, s, _ = forward_pass(x, w1, w2)

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        return dh @ w1, dh.T @ z, du.T @ a

    return s, backward


@wrong("excitation", BLOCK, says=r"s \* d[sy] (is added|too much)|scale path .*(too much|is added)")
def excitation_with_a_scale_path(x, w1, w2):
    """The gates alone have no scale path, but s * ds is added to dx as in the whole block."""
    z, _, a, _, s, _ = forward_pass(x, w1, w2)

    def backward(ds):
        du = ds * s * (1 - s)
        dh = (du @ w2) * (a > 0)
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return np.zeros_like(x) + (dz + s * ds)[:, :, None, None], dh.T @ z, du.T @ a

    return s, backward
