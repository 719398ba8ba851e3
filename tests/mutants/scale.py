"""Wrong backwards of the product of a map with its gates, and of the residual sum."""

import numpy as np

from mutants import wrong

# The gradient of the gates.


@wrong("channel_scale", "N C H W, N C", says=r"(?<!\*)\bH\*W times too small")
def ds_is_a_mean(x, s):
    """The gate is shared by all pixels: its gradient is a sum, and here it is a mean."""

    def backward(dy):
        return dy * s[:, :, None, None], (dy * x).mean(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"(?<!\*)\bW times too small")
def ds_is_a_mean_over_columns(x, s):
    """The gate's gradient is summed over H, but averaged over W."""
    gates = s.reshape(*s.shape, 1, 1)

    def backward(dy):
        return dy * gates, (dy * x).sum(axis=2).mean(axis=2)

    return x * gates, backward


@wrong("channel_scale", "N C H W, N C", says=r"not summed over W\b")
def ds_summed_over_rows_only(x, s):
    """The gate's gradient is summed over H only: (N, C, W)."""

    def backward(dy):
        return dy * s[:, :, None, None], np.sum(dy * x, axis=2)

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"not summed over H\b(?! W)")
def ds_summed_over_columns_only(x, s):
    """The gate's gradient is summed over the last axis only: (N, C, H)."""

    def backward(dy):
        dx = dy * s[:, :, None, None]
        ds = np.sum(dy * x, axis=-1)
        return dx, ds

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"not summed over H W")
def ds_not_summed(x, s):
    """The gate's gradient is dy * x, not summed over the pixels."""

    def backward(dy):
        return dy * s[:, :, None, None], dy * x

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says="axes of size 1 are kept|an axis of size 1 is kept")
def ds_keeps_its_axes(x, s):
    """The gate's gradient is (N, C, 1, 1), where the gate is (N, C)."""
    s4 = s[:, :, np.newaxis, np.newaxis]

    def backward(dy):
        return dy * s4, np.sum(dy * x, axis=(2, 3), keepdims=True)

    return x * s4, backward


@wrong("channel_scale", "N C H W, N C", says=r"only one pixel of dy counts")
def ds_of_one_pixel(x, s):
    """The gate's gradient takes the first pixel only."""

    def backward(dy):
        return dy * s[:, :, None, None], dy[:, :, 0, 0] * x[:, :, 0, 0]

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"y in place of x")
def ds_from_y(x, s):
    """The gate's gradient is taken from y = s x, where it needs x: a factor s too much."""
    y = x * s[:, :, None, None]

    def backward(dy):
        return dy * s[:, :, None, None], (dy * y).sum(axis=(2, 3))

    return y, backward


@wrong("channel_scale", "N C H W, N C", says=r"\bx is missing")
def ds_without_x(x, s):
    """The gate's gradient is the sum of dy: the factor x is missing."""

    def backward(dy):
        return dy * s[:, :, None, None], dy.sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"dy is ignored")
def ds_without_dy(x, s):
    """The gate's gradient is the sum of x, and dy is not used."""

    def backward(dy):
        return dy * s[:, :, None, None], x.sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"summed over N too often")
def ds_summed_over_the_batch(x, s):
    """The gate's gradient is summed over the batch too: (C,) for gates of (N, C)."""

    def backward(dy):
        return np.einsum("nchw,nc->nchw", dy, s), np.einsum("nchw,nchw->c", dy, x)

    return np.einsum("nchw,nc->nchw", x, s), backward


@wrong("channel_scale", "N C H W, N C", says=r"summed over N too often")
def ds_the_same_for_all_samples(x, s):
    """All samples get the gate's gradient of the whole batch."""

    def backward(dy):
        ds = np.zeros_like(s) + (dy * x).sum(axis=(0, 2, 3))
        return dy * s[:, :, None, None], ds

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"summed over C too often")
def ds_the_same_for_all_channels(x, s):
    """The sum goes over the channels too: all gates of a sample get the same gradient."""

    def backward(dy):
        ds = np.ones_like(s) * (dy * x).reshape(len(x), -1).sum(axis=1, keepdims=True)
        return dy * s[:, :, None, None], ds

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"written with = where|only one pixel of dy counts")
def ds_overwritten_in_the_loop(x, s):
    """The loop over the pixels writes ds = where ds += is needed: the last pixel stays."""
    N, C, H, W = x.shape

    def backward(dy):
        dx, ds = np.zeros_like(x), np.zeros_like(s)
        for n in range(N):
            for c in range(C):
                for h in range(H):
                    for w in range(W):
                        dx[n, c, h, w] = dy[n, c, h, w] * s[n, c]
                        ds[n, c] = dy[n, c, h, w] * x[n, c, h, w]
        return dx, ds

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N N H W, N N", says=r"transposed|axes .*swapped")
def ds_transposed(x, s):
    """The axes of the gate's gradient are swapped, which is only possible for N = C."""

    def backward(dy):
        return dy * s[:, :, None, None], np.einsum("nchw,nchw->cn", dy, x)

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"sign is wrong")
def ds_with_a_minus(x, s):
    """The gate's gradient has the wrong sign."""

    def backward(dy):
        return dy * s[:, :, None, None], -(dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"it is zero")
def ds_is_zero(x, s):
    """The gates are taken for constants: their gradient is zero."""

    def backward(dy):
        return dy * s[:, :, None, None], np.zeros_like(s)

    return x * s[:, :, None, None], backward


@wrong(
    "channel_scale",
    "N C H W, N C",
    says=r"derivative of the sigmoid .*(too much|twice)|s \(1 - s\) too much|factor s \(1 - s\)",
)
def ds_with_the_derivative_of_the_sigmoid(x, s):
    """The gate's gradient has the factor s (1 - s), which belongs to the sigmoid."""

    def backward(dy):
        return dy * s[:, :, None, None], (dy * x).sum(axis=(2, 3)) * s * (1 - s)

    return x * s[:, :, None, None], backward


# The gradient of the map.


@wrong("channel_scale", "N C H W, N C", says=r"\bs is missing")
def dx_without_s(x, s):
    """The gradient of x is dy: the factor s is missing."""

    def backward(dy):
        return dy.copy(), (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"dy is ignored")
def dx_without_dy(x, s):
    """The gradient of x is the gate, and dy is not used."""

    def backward(dy):
        return np.ones_like(x) * s[:, :, None, None], (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"it is zero")
def dx_is_zero(x, s):
    """Only the gates get a gradient, and that of x is forgotten."""

    def backward(dy):
        return np.zeros_like(x), (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"averaged over N|mixed over the batch")
def dx_by_the_mean_gate(x, s):
    """The gates are averaged over N: all samples are scaled by the same gate on the way back."""
    y = x * s[:, :, None, None]
    gate = s.mean(axis=0)

    def backward(dy):
        return dy * gate[None, :, None, None], (dy * x).sum(axis=(2, 3))

    return y, backward


@wrong("channel_scale", "N C H W, N C", says=r"s of sample 0 is used for all")
def dx_by_the_gates_of_the_first_sample(x, s):
    """The gates of the first sample are used for the whole batch on the way back."""

    def backward(dy):
        return dy * s[0].reshape(1, -1, 1, 1), (dy * x).sum(axis=(2, 3))

    return x * s.reshape(*s.shape, 1, 1), backward


@wrong("channel_scale", "N C H W, N C", says=r"averaged over C|mixed over the channels")
def dx_by_the_mean_over_the_channels(x, s):
    """The gates are averaged over C: all channels are scaled alike on the way back."""

    def backward(dy):
        return dy * s.mean(axis=1)[:, None, None, None], (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"x in place of s")
def dx_from_x(x, s):
    """Both gradients are made of dy * x: dx has the factor x, where it needs s."""

    def backward(dy):
        g = dy * x
        return g, g.sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong(
    "channel_scale", "N C H W, N C", says=r"divided by s|1/s in place of s|s(\^|\*\*)2 times too"
)
def dx_divided_by_s(x, s):
    """The product with s is undone by a division, which is the inverse and not the gradient."""

    def backward(dy):
        return dy / s[:, :, None, None], (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"\bs (counts|is applied) twice|factor s too much")
def dx_by_s_twice(x, s):
    """The gradient of x is multiplied by the gate twice."""

    def backward(dy):
        return dy * s[:, :, None, None] ** 2, (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"(?<!\*)\bH\*W times too small")
def dx_divided_by_the_pixels(x, s):
    """The gradient of x is divided by H*W, as if the scale were a mean."""

    def backward(dy):
        return dy * s[:, :, None, None] / (x.shape[2] * x.shape[3]), (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C N C, N C", says=r"axes .*swapped|transposed")
def gates_land_on_the_pixels(x, s):
    """Two axes of size 1 are forgotten: for H = N and W = C, pixel (h, w) gets gate s[h, w]."""

    def backward(dy):
        return dy * s, (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"raises")
def gates_cannot_be_broadcast(x, s):
    """Two axes of size 1 are forgotten: (N, C, H, W) times (N, C) is not defined."""

    def backward(dy):
        return dy * s, (dy * x).sum(axis=(2, 3))

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"wrong order|swapped")
def ds_comes_before_dx(x, s):
    """The gradients are returned as (ds, dx), where the arguments are (x, s)."""

    def backward(dy):
        return (dy * x).sum(axis=(2, 3)), dy * s[:, :, None, None]

    return x * s[:, :, None, None], backward


@wrong("channel_scale", "N C H W, N C", says=r"1 gradient|bare|wants 2|gradient of s is missing")
def only_dx_returned(x, s):
    """Only the gradient of x is returned, and none of the gates."""

    def backward(dy):
        return dy * s[:, :, None, None]

    return x * s[:, :, None, None], backward


# The residual sum.


@wrong("add", "N C H W, N C H W", says=r"it is zero")
def skip_gets_nothing(x, skip):
    """The shortcut is forgotten on the way back: its gradient is zero."""

    def backward(dy):
        return dy.copy(), np.zeros_like(skip)

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"(?<![\w*.])2 times too small")
def both_get_one_half(x, skip):
    """The gradient is split: each path gets one half, where each gets all of dy."""

    def backward(dy):
        return dy / 2, dy / 2

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"(?<![\w*.])2 times too large")
def each_gets_the_sum_of_both(x, skip):
    """The gradients of the two paths are added here, and each path gets the sum."""

    def backward(dy):
        total = dy + dy
        return total, total.copy()

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"sign is wrong")
def skip_is_subtracted(x, skip):
    """The gradient of the shortcut has the minus of a difference."""

    def backward(dy):
        return dy.copy(), -dy

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"factor skip too much.*factor x too much")
def sum_by_the_product_rule(x, skip):
    """The gradients are those of the product x * skip."""

    def backward(dy):
        return dy * skip, dy * x

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"dy is ignored")
def sum_without_dy(x, skip):
    """The derivative of a sum is 1, and dy is not used."""
    return x + skip, lambda dy: (np.ones_like(x), np.ones_like(skip))


@wrong("add", "N C H W, N C H W", says=r"mask(ed)? .*(too much|sign of y|y > 0)|mask too much")
def sum_with_the_mask_of_the_next_relu(x, skip):
    """The gradient has the mask of the ReLU that follows: it is one too many."""
    y = x + skip

    def backward(dy):
        dy = dy * (y > 0)
        return dy, dy.copy()

    return y, backward


@wrong("add", "N C H W, N C H W", says=r"1 gradient|bare|wants 2|gradient of skip is missing")
def one_gradient_for_both(x, skip):
    """The two gradients are equal, so only one is returned."""

    def backward(dy):
        return dy.copy()

    return x + skip, backward


@wrong("add", "N C H W, N C H W", says=r"shares? memory")
def both_are_dy_itself(x, skip):
    """Both gradients are the array dy itself: who adds to one changes all three."""
    return x + skip, lambda dy: (dy, dy)


@wrong("add", "N C H W, N C H W", says=r"shares? memory")
def both_are_one_array(x, skip):
    """Both gradients are one array: who adds to the first changes the second."""

    def backward(dy):
        g = dy.copy()
        return g, g

    return x + skip, backward
