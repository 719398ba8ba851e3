"""Wrong backwards of 2-D convolution, with their own plain forward pass."""

import numpy as np

from mutants import wrong

MANY_PIXELS = r"(OH ?\* ?OW|dy\.shape\[2\] ?\* ?dy\.shape\[3\])"


def _pad(x, padding):
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


def _forward(x, w, b=None, stride=1, padding=0):
    xp = _pad(x, padding)
    kh, kw = w.shape[2:]
    oh = (xp.shape[2] - kh) // stride + 1
    ow = (xp.shape[3] - kw) // stride + 1
    y = np.zeros((len(x), len(w), oh, ow))
    for p in range(oh):
        for q in range(ow):
            window = xp[:, :, p * stride : p * stride + kh, q * stride : q * stride + kw]
            y[:, :, p, q] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b[:, None, None]


def _dx(dy, x, w, stride=1, padding=0):
    kh, kw = w.shape[2:]
    dxp = np.zeros_like(_pad(x, padding))
    for p in range(dy.shape[2]):
        for q in range(dy.shape[3]):
            top, left = p * stride, q * stride
            dxp[:, :, top : top + kh, left : left + kw] += np.tensordot(dy[:, :, p, q], w, axes=1)
    return dxp[:, :, padding : padding + x.shape[2], padding : padding + x.shape[3]].copy()


def _dw(dy, x, w, stride=1, padding=0):
    xp = _pad(x, padding)
    oh, ow = dy.shape[2:]
    dw = np.zeros_like(w)
    for i in range(w.shape[2]):
        for j in range(w.shape[3]):
            seen = xp[:, :, i : i + stride * oh : stride, j : j + stride * ow : stride]
            dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
    return dw


def _db(dy):
    return dy.sum(axis=(0, 2, 3))


# The gradient of the input.


@wrong("conv2d", "N C H W, F C KH KW", says="kernel is not turned")
def full_correlation_with_the_kernel_as_it_is(x, w):
    """Dx is the full correlation of dy with w, and the kernel is not turned by 180 degrees."""
    kh, kw = w.shape[2:]

    def backward(dy):
        wide = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        return _forward(wide, w.swapaxes(0, 1)), _dw(dy, x, w)

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 2, "padding": 1},
    says="kernel is not turned",
)
def spreads_dy_with_strides_but_does_not_turn_the_kernel(x, w):
    """Dy is spread out for the stride as it should be, but the kernel is not turned."""
    kh, kw = w.shape[2:]
    h, wide = x.shape[2:]

    def backward(dy):
        n, f, oh, ow = dy.shape
        spread = np.zeros((n, f, h + 2 + kh - 1, wide + 2 + kw - 1))
        spread[:, :, kh - 1 : kh - 1 + 2 * oh : 2, kw - 1 : kw - 1 + 2 * ow : 2] = dy
        dxp = _forward(spread, w.swapaxes(0, 1))
        return dxp[:, :, 1:-1, 1:-1].copy(), _dw(dy, x, w, 2, 1)

    return _forward(x, w, None, 2, 1), backward


@wrong("conv2d", "N C H W, F C KH KW", says="kernel is not turned|flipped along")
def turns_the_kernel_along_one_axis_only(x, w):
    """The kernel is turned upside down, but left and right stay as they are."""
    kh, kw = w.shape[2:]

    def backward(dy):
        wide = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        return _forward(wide, w[:, :, ::-1, :].swapaxes(0, 1)), _dw(dy, x, w)

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, C C K K", says=r"axes (F|C|0).* swapped|channel axes|transposed")
def leaves_the_channel_axes_of_the_turned_kernel(x, w):
    """The kernel is turned, but its two channel axes are not swapped; F = C hides the shape."""
    k = w.shape[2]

    def backward(dy):
        wide = np.pad(dy, ((0, 0), (0, 0), (k - 1, k - 1), (k - 1, k - 1)))
        return _forward(wide, w[:, :, ::-1, ::-1]), _dw(dy, x, w)

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C K K", says=r"axes (K|2|i\b).* swapped|transposed")
def swaps_i_and_j_in_dx(x, w):
    """Tap (i, j) of dx takes the weight w[j, i]; the square kernel hides the shape."""
    k = w.shape[2]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dx = np.zeros_like(x)
        for i in range(k):
            for j in range(k):
                dx[:, :, i : i + oh, j : j + ow] += np.einsum("nfpq,fc->ncpq", dy, w[:, :, j, i])
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says=r"written with = where \+= is needed")
def overwrites_overlapping_windows_in_dx(x, w, b):
    """Neighbour windows share pixels; = keeps only what the last window gives."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                dx[:, :, p : p + kh, q : q + kw] = np.tensordot(dy[:, :, p, q], w, axes=1)
        return dx, _dw(dy, x, w), _db(dy)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"written with = where \+= is needed")
def adds_at_repeated_indices(x, w):
    """Im2col with dx[index] += ...: NumPy adds only once for an index that occurs twice."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        rows = np.arange(oh)[:, None, None, None] + np.arange(kh)[None, None, :, None]
        cols = np.arange(ow)[None, :, None, None] + np.arange(kw)[None, None, None, :]
        dx = np.zeros_like(x)
        dx[:, :, rows, cols] += np.einsum("nfpq,fcij->ncpqij", dy, w)
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    says=r"written with = where \+= is needed|only the last of F in dy counts",
)
def overwrites_the_filters_in_dx(x, w):
    """Every filter of a window overwrites the one before; only the last filter is left in dx."""
    n, f, kh, kw = len(x), len(w), *w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for m in range(n):
            for p in range(dy.shape[2]):
                for q in range(dy.shape[3]):
                    for k in range(f):
                        share = w[k] * dy[m, k, p, q]
                    dx[m, :, p : p + kh, q : q + kw] += share
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"padding": 1},
    says="off by one|shifted|padding is ignored",
)
def crops_dx_at_the_top_left_corner(x, w):
    """The padded dx is cut to H x W from its corner, so dx is shifted by one pixel."""
    kh, kw = w.shape[2:]
    h, wide = x.shape[2:]

    def backward(dy):
        dxp = np.zeros_like(_pad(x, 1))
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                dxp[:, :, p : p + kh, q : q + kw] += np.tensordot(dy[:, :, p, q], w, axes=1)
        return dxp[:, :, :h, :wide].copy(), _dw(dy, x, w, 1, 1)

    return _forward(x, w, None, 1, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW, F",
    options={"stride": 2, "padding": 1},
    says="off by one|shifted",
)
def crops_one_pixel_too_far(x, w, b):
    """The padding is cut off twice at the top and the left, and not at all at the other end."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dxp = np.zeros_like(_pad(x, 1))
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = np.s_[:, :, 2 * p : 2 * p + kh, 2 * q : 2 * q + kw]
                dxp[window] += np.tensordot(dy[:, :, p, q], w, axes=1)
        return dxp[:, :, 2:, 2:].copy(), _dw(dy, x, w, 2, 1), _db(dy)

    return _forward(x, w, b, 2, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"padding": 1},
    says="not cropped|padding is (ignored|kept|left on)|crop",
)
def returns_dx_with_its_padding(x, w):
    """The rows and columns of the padding are left on dx, which has the wrong shape."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dxp = np.zeros_like(_pad(x, 1))
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                dxp[:, :, p : p + kh, q : q + kw] += np.tensordot(dy[:, :, p, q], w, axes=1)
        return dxp, _dw(dy, x, w, 1, 1)

    return _forward(x, w, None, 1, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 2},
    says="stride is ignored",
)
def puts_dx_side_by_side_without_stride(x, w):
    """The windows of dx start at p, q and not at p*stride, q*stride."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                dx[:, :, p : p + kh, q : q + kw] += np.tensordot(dy[:, :, p, q], w, axes=1)
        return dx, _dw(dy, x, w, 2)

    return _forward(x, w, None, 2), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 2, "padding": 1},
    says="stride is ignored",
)
def strides_along_the_rows_only(x, w):
    """In dx the stride is written for the height and forgotten for the width."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dxp = np.zeros_like(_pad(x, 1))
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = np.s_[:, :, 2 * p : 2 * p + kh, q : q + kw]
                dxp[window] += np.tensordot(dy[:, :, p, q], w, axes=1)
        return dxp[:, :, 1:-1, 1:-1].copy(), _dw(dy, x, w, 2, 1)

    return _forward(x, w, None, 2, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 2, "padding": 1},
    says="stride is ignored|has shape|wrong shape",
)
def full_correlation_without_spreading_dy(x, w):
    """Dy is not spread out on zeros before the full correlation: dx comes out too small."""
    kh, kw = w.shape[2:]

    def backward(dy):
        wide = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kw - 1, kw - 1)))
        dxp = _forward(wide, w[:, :, ::-1, ::-1].swapaxes(0, 1))
        return dxp[:, :, 1:-1, 1:-1].copy(), _dw(dy, x, w, 2, 1)

    return _forward(x, w, None, 2, 1), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"tap .* is lost|(last|bottom) row.* lost")
def loses_the_last_row_of_taps_in_dx(x, w):
    """The loop over the kernel ends one row too early, so dx lacks the last row of taps."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dx = np.zeros_like(x)
        for i in range(kh - 1):
            for j in range(kw):
                dx[:, :, i : i + oh, j : j + ow] += np.einsum("nfpq,fc->ncpq", dy, w[:, :, i, j])
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"only the first of F in dy counts")
def sends_back_the_first_filter_only(x, w):
    """Dx takes w[0] and dy[:, 0]: the other filters send nothing back."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                share = dy[:, 0, p, q][:, None, None, None] * w[0]
                dx[:, :, p : p + kh, q : q + kw] += share
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


@wrong(
    "conv2d", "N C H W, F C KH KW, F", says=r"(?<![*\w])(F|w\.shape\[0\]|len\(w\)) times too small"
)
def averages_dx_over_the_filters(x, w, b):
    """Dx is the mean over the filters, where the sum is needed."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                shares = dy[:, :, p, q][:, :, None, None, None] * w
                dx[:, :, p : p + kh, q : q + kw] += shares.mean(axis=1)
        return dx, _dw(dy, x, w), _db(dy)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW", says="dy is ignored")
def sends_back_the_kernel_without_dy(x, w):
    """Each window of dx gets the sum of the kernels, whatever dy is."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx = np.zeros_like(x)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                dx[:, :, p : p + kh, q : q + kw] += w.sum(axis=0)
        return dx, _dw(dy, x, w)

    return _forward(x, w), backward


# The gradient of the kernel.


@wrong("conv2d", "N C H W, F C KH KW", says="flipped along")
def flips_dw(x, w):
    """Dw is computed right and then turned by 180 degrees, as in a true convolution."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, kh - 1 - i, kw - 1 - j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"flipped along (KW|axis 3|j\b|axis -1|the last axis)")
def mirrors_dw(x, w):
    """Left and right of dw are exchanged; top and bottom are right."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, kw - 1 - j : kw - 1 - j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C K K", says=r"axes (K|2|i\b).* swapped|transposed")
def swaps_i_and_j_in_dw(x, w):
    """Tap (i, j) is written to dw[j, i]; the square kernel hides the shape."""
    k = w.shape[2]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(k):
            for j in range(k):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, j, i] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"axes (K|2|i\b).* swapped|transposed")
def returns_dw_with_kw_before_kh(x, w):
    """Dw comes out as (F, C, KW, KH): for a kernel that is not square, the wrong shape."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w).swapaxes(2, 3).copy()

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"axes (F|C|0).* swapped|transposed")
def returns_dw_with_c_before_f(x, w):
    """The einsum ends in cf in place of fc, so dw has the axes (C, F, KH, KW)."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros((w.shape[1], w.shape[0], kh, kw))
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->cf", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, C C K K",
    options={"padding": 1},
    says=r"axes (F|C|0).* swapped|transposed",
)
def swaps_the_channels_of_a_square_dw(x, w):
    """The einsum ends in cf in place of fc, and F = C hides the shape."""
    k = w.shape[2]

    def backward(dy):
        xp = _pad(x, 1)
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(k):
            for j in range(k):
                seen = xp[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->cf", dy, seen)
        return _dx(dy, x, w, 1, 1), dw

    return _forward(x, w, None, 1, 1), backward


@wrong("conv2d", "N C H W, F C KH KW", options={"stride": 2}, says="stride is ignored")
def slides_over_x_without_stride_in_dw(x, w):
    """Dw takes neighbour pixels of x, where every second one belongs to an output."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w, 2), dw

    return _forward(x, w, None, 2), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 2, "padding": 1},
    says="stride is ignored",
)
def forgets_the_stride_in_both_gradients(x, w):
    """Dx and dw are both those of a convolution with stride 1."""
    kh, kw = w.shape[2:]

    def backward(dy):
        xp = _pad(x, 1)
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = np.s_[:, :, p : p + kh, q : q + kw]
                dxp[window] += np.tensordot(dy[:, :, p, q], w, axes=1)
                dw += np.tensordot(dy[:, :, p, q], xp[window], axes=([0], [0]))
        return dxp[:, :, 1:-1, 1:-1].copy(), dw

    return _forward(x, w, None, 2, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"padding": 1},
    says="padding is ignored|off by one|shifted",
)
def pads_x_at_one_end_for_dw(x, w):
    """For dw all the zeros are put below and to the right of x, so x is shifted."""
    kh, kw = w.shape[2:]

    def backward(dy):
        xp = np.pad(x, ((0, 0), (0, 0), (0, 2), (0, 2)))
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = xp[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w, 1, 1), dw

    return _forward(x, w, None, 1, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"padding": 1},
    says="padding is ignored",
)
def leaves_the_border_out_of_dw(x, w):
    """Dw skips the windows that reach into the padding, though part of them is real pixels."""
    kh, kw = w.shape[2:]
    h, wide = x.shape[2:]

    def backward(dy):
        dw = np.zeros_like(w)
        for p in range(1, h - kh + 2):
            for q in range(1, wide - kw + 2):
                window = x[:, :, p - 1 : p - 1 + kh, q - 1 : q - 1 + kw]
                dw += np.tensordot(dy[:, :, p, q], window, axes=([0], [0]))
        return _dx(dy, x, w, 1, 1), dw

    return _forward(x, w, None, 1, 1), backward


@wrong("conv2d", "N C H W, F C KH KW", options={"padding": 1}, says="raises|padding is ignored")
def takes_x_without_padding_and_crashes(x, w):
    """Dw slides over x itself, where the padded x is needed; the shapes do not fit."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = (dy[:, :, None] * seen[:, None]).sum(axis=(0, 3, 4))
        return _dx(dy, x, w, 1, 1), dw

    return _forward(x, w, None, 1, 1), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"tap .* is lost")
def loses_the_first_tap_of_dw(x, w):
    """The top left corner of every dw stays zero."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for tap in range(1, kh * kw):
            i, j = divmod(tap, kw)
            seen = x[:, :, i : i + oh, j : j + ow]
            dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW, F",
    options={"stride": 2, "padding": 1},
    says=r"tap .* is lost",
)
def loses_the_last_tap_of_dw(x, w, b):
    """The bottom right corner of every dw stays zero."""
    kh, kw = w.shape[2:]

    def backward(dy):
        xp = _pad(x, 1)
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for tap in range(kh * kw - 1):
            i, j = divmod(tap, kw)
            seen = xp[:, :, i : i + 2 * oh : 2, j : j + 2 * ow : 2]
            dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen)
        return _dx(dy, x, w, 2, 1), dw, _db(dy)

    return _forward(x, w, b, 2, 1), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    says=r"the last of OH in dy is left out",
)
def loses_the_last_row_of_outputs(x, w):
    """The loop over the outputs ends one row too early, for dx and for dw."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for p in range(dy.shape[2] - 1):
            for q in range(dy.shape[3]):
                window = np.s_[:, :, p : p + kh, q : q + kw]
                dx[window] += np.tensordot(dy[:, :, p, q], w, axes=1)
                dw += np.tensordot(dy[:, :, p, q], x[window], axes=([0], [0]))
        return dx, dw

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW, F",
    says=r"(?<![*\w])(N|x\.shape\[0\]|len\(x\)) times too small",
)
def averages_dw_over_the_batch(x, w, b):
    """Dw is the mean over the samples; the loss has its 1/N already in dy."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dw = np.zeros_like(w)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = x[:, :, p : p + kh, q : q + kw]
                dw += np.tensordot(dy[:, :, p, q], window, axes=([0], [0])) / len(x)
        return _dx(dy, x, w), dw, _db(dy)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW", says="only sample 0 counts")
def takes_dw_from_the_first_sample(x, w):
    """Dw is computed from x[0] and dy[0]; the rest of the batch is forgotten."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dw = np.zeros_like(w)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = x[0, :, p : p + kh, q : q + kw]
                dw += dy[0, :, p, q][:, None, None, None] * window
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    says=r"written with = where \+= is needed|only the last of N in dy counts",
)
def overwrites_dw_for_every_sample(x, w):
    """The loop over the samples writes dw with =, so only the last sample is left."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for m in range(len(x)):
            for i in range(kh):
                for j in range(kw):
                    seen = x[m, :, i : i + oh, j : j + ow]
                    dw[:, :, i, j] = np.einsum("fpq,cpq->fc", dy[m], seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"not summed over N")
def keeps_one_dw_for_each_sample(x, w):
    """Dw has the shape (N, F, C, KH, KW): the sum over the batch is missing."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros((len(x), *w.shape))
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, :, i, j] = np.einsum("nfpq,ncpq->nfc", dy, seen)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says=MANY_PIXELS + " times too small")
def averages_dw_over_the_outputs(x, w):
    """Dw is the mean over the output pixels, where the sum is needed."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, seen) / (oh * ow)
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says=r"(?<!N\*)(?<!\w)H ?\* ?W times too small")
def divides_dw_by_the_pixels_of_x(x, w, b):
    """Dw is divided by H*W, as if the kernel had been averaged over the map."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dw = np.zeros_like(w)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = x[:, :, p : p + kh, q : q + kw]
                dw += np.tensordot(dy[:, :, p, q], window, axes=([0], [0]))
        return _dx(dy, x, w), dw / (x.shape[2] * x.shape[3]), _db(dy)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW", says=r"only one pixel of dy counts")
def takes_dw_from_the_first_output(x, w):
    """Dw is that of output (0, 0) alone; the loop over the outputs is missing."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dw = np.tensordot(dy[:, :, 0, 0], x[:, :, :kh, :kw], axes=([0], [0]))
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says="it is zero")
def never_fills_dw(x, w):
    """Dw is allocated and returned, and nothing is ever written to it."""

    def backward(dy):
        return _dx(dy, x, w), np.zeros_like(w)

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says="the sign is wrong")
def subtracts_into_dw(x, w):
    """Dw is added up with -= in place of +=, as if it were the update already."""
    kh, kw = w.shape[2:]

    def backward(dy):
        dw = np.zeros_like(w)
        for p in range(dy.shape[2]):
            for q in range(dy.shape[3]):
                window = x[:, :, p : p + kh, q : q + kw]
                dw -= np.tensordot(dy[:, :, p, q], window, axes=([0], [0]))
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says="summed over C too often")
def sums_the_channels_of_x_in_dw(x, w):
    """Every channel of dw gets the sum over all channels of x."""
    kh, kw = w.shape[2:]

    def backward(dy):
        oh, ow = dy.shape[2:]
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = x[:, :, i : i + oh, j : j + ow].sum(axis=1)
                dw[:, :, i, j] = np.einsum("nfpq,npq->f", dy, seen)[:, None]
        return _dx(dy, x, w), dw

    return _forward(x, w), backward


@wrong("conv2d", "N C H W, F C KH KW", says="weight decay")
def hides_weight_decay_in_dw(x, w):
    """The gradient of an L2 penalty, 0.01 w, is added to dw, though y has no penalty."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w) + 0.01 * w

    return _forward(x, w), backward


# The gradient of the bias, and what is returned.


@wrong("conv2d", "N C H W, F C KH KW, F", says=r"not summed over .*(H|W|axes? 2|pixel)")
def sums_db_over_the_batch_only(x, w, b):
    """Db has the shape (F, OH, OW): the sum over the pixels is missing."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w), dy.sum(axis=0)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says="not summed over (N|axis 0|the batch)")
def sums_db_over_the_pixels_only(x, w, b):
    """Db has the shape (N, F): the sum over the batch is missing."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w), dy.sum(axis=(2, 3))

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says="axes of size 1 are kept|an axis of size 1 is kept")
def keeps_axes_of_size_1_in_db(x, w, b):
    """Db has the shape (1, F, 1, 1), because of keepdims=True."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w), dy.sum(axis=(0, 2, 3), keepdims=True)

    return _forward(x, w, b), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW, F",
    options={"stride": 2, "padding": 1},
    says=MANY_PIXELS + " times too small",
)
def averages_db_over_the_pixels(x, w, b):
    """Db is the sum over the batch of the mean over the pixels."""

    def backward(dy):
        return _dx(dy, x, w, 2, 1), _dw(dy, x, w, 2, 1), dy.mean(axis=(2, 3)).sum(axis=0)

    return _forward(x, w, b, 2, 1), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says=r"(gives|has|returns) 2 gradients|db is missing")
def forgets_to_return_db(x, w, b):
    """The bias was given, but backward returns dx and dw only."""

    def backward(dy):
        return _dx(dy, x, w), _dw(dy, x, w)

    return _forward(x, w, b), backward


@wrong("conv2d", "N C H W, F C KH KW, F", says="order|are exchanged|gradients are swapped")
def returns_db_before_dw(x, w, b):
    """The gradients come in the order dx, db, dw, which is not that of the arguments."""

    def backward(dy):
        return _dx(dy, x, w), _db(dy), _dw(dy, x, w)

    return _forward(x, w, b), backward


# Those that are wrong only for some sizes.


@wrong("conv2d", "N C H W, F C KH KW", says="raises|has shape|wrong shape")
def pads_dy_by_kh_on_all_sides(x, w):
    """The full correlation pads dy by KH - 1 along the width too: wrong where KW is not KH."""
    kh = w.shape[2]

    def backward(dy):
        wide = np.pad(dy, ((0, 0), (0, 0), (kh - 1, kh - 1), (kh - 1, kh - 1)))
        return _forward(wide, w[:, :, ::-1, ::-1].swapaxes(0, 1)), _dw(dy, x, w)

    return _forward(x, w), backward


@wrong(
    "conv2d",
    "N C H W, F C KH KW",
    options={"stride": 3, "padding": 1},
    says="has shape|wrong shape|left over",
)
def forgets_the_pixels_left_over_by_the_stride(x, w):
    """Rows and columns that fill no window are missing in dx, which comes out too small."""
    kh, kw = w.shape[2:]

    def backward(dy):
        n, f, oh, ow = dy.shape
        spread = np.zeros((n, f, 3 * (oh - 1) + 2 * kh - 1, 3 * (ow - 1) + 2 * kw - 1))
        spread[:, :, kh - 1 : kh + 3 * (oh - 1) : 3, kw - 1 : kw + 3 * (ow - 1) : 3] = dy
        dxp = _forward(spread, w[:, :, ::-1, ::-1].swapaxes(0, 1))
        return dxp[:, :, 1:-1, 1:-1].copy(), _dw(dy, x, w, 3, 1)

    return _forward(x, w, None, 3, 1), backward
