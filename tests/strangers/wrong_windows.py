"""Wrong operations: convolutions, pooling, padding, upsampling and running sums."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import wrong


def _causal(x, w):
    """Convolve causally; x is (N, C, L), w is (O, C, K). Also gives the padded x."""
    K, L = w.shape[2], x.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (K - 1, 0)))
    y = sum(np.einsum("ncl,oc->nol", xp[:, :, k : k + L], w[:, :, k]) for k in range(K))
    return xp, y


@wrong(
    "N C L, O C K",
    mistake="dx is convolved with the kernel not flipped",
    grads="dx",
)
def causal_conv_unflipped(x, w):
    xp, y = _causal(x, w)
    K, L = w.shape[2], x.shape[2]

    def backward(dy):
        dyp = np.pad(dy, ((0, 0), (0, 0), (0, K - 1)))
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for k in range(K):
            dx += np.einsum("nol,oc->ncl", dyp[:, :, k : k + L], w[:, :, k])
            dw[:, :, k] = np.einsum("nol,ncl->oc", dy, xp[:, :, k : k + L])
        return dx, dw

    return y, backward


@wrong(
    "N C L, O C K",
    mistake="dw takes the input one step too late (off by one in the padding)",
    grads="dw",
)
def causal_conv_off_by_one(x, w):
    _, y = _causal(x, w)
    K, L = w.shape[2], x.shape[2]

    def backward(dy):
        xp = np.pad(x, ((0, 0), (0, 0), (K, 0)))
        dxp, dw = np.zeros_like(xp), np.zeros_like(w)
        for k in range(K):
            dxp[:, :, k + 1 : k + 1 + L] += np.einsum("nol,oc->ncl", dy, w[:, :, k])
            dw[:, :, k] = np.einsum("nol,ncl->oc", dy, xp[:, :, k : k + L])
        return dxp[:, :, K:].copy(), dw

    return y, backward


def _image_and_kernel(rng):
    return rng.normal(size=(2, 3, 7, 6)), rng.normal(size=(4, 3, 3, 2))


def _conv2d(x, w, stride):
    kh, kw = w.shape[2:]
    win = sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("ncijkl,ockl->noij", win, w)


@wrong(
    given=_image_and_kernel,
    mistake="the loop over the output rows ends one too early, in dx and in dw",
    grads="dx dw",
    says="any.dy-left-out",
)
def conv2d_last_window_lost(x, w):
    kh, kw = w.shape[2:]
    y = _conv2d(x, w, 2)

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for i in range((x.shape[2] - kh) // 2):
            for j in range(dy.shape[3]):
                rows, cols = slice(2 * i, 2 * i + kh), slice(2 * j, 2 * j + kw)
                dx[:, :, rows, cols] += np.tensordot(dy[:, :, i, j], w, 1)
                dw += np.tensordot(dy[:, :, i, j].T, x[:, :, rows, cols], 1)
        return dx, dw

    return y, backward


@wrong(
    given=_image_and_kernel,
    mistake="overlapping windows overwrite each other in dx (= in place of +=)",
    grads="dx",
    says="conv2d.windows-overwritten",
)
def conv2d_overwrites(x, w):
    kh, kw = w.shape[2:]
    y = _conv2d(x, w, 1)

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for i, j in np.ndindex(*dy.shape[2:]):
            patch = x[:, :, i : i + kh, j : j + kw]
            dx[:, :, i : i + kh, j : j + kw] = np.einsum("no,ockl->nckl", dy[:, :, i, j], w)
            dw += np.einsum("no,nckl->ockl", dy[:, :, i, j], patch)
        return dx, dw

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 3, 5, 6)), rng.normal(size=(2, 3, 3, 3))),
    mistake="dx is cropped from the corner of the padded gradient, not from behind the padding",
    grads="dx",
    says="conv2d.not-cropped",
)
def conv2d_same_wrong_crop(x, w):
    H, W = x.shape[2:]
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    y = _conv2d(xp, w, 1)

    def backward(dy):
        dxp, dw = np.zeros_like(xp), np.empty_like(w)
        for i in range(3):
            for j in range(3):
                dxp[:, :, i : i + H, j : j + W] += np.einsum("nohw,oc->nchw", dy, w[:, :, i, j])
                dw[:, :, i, j] = np.einsum("nohw,nchw->oc", dy, xp[:, :, i : i + H, j : j + W])
        return dxp[:, :, :H, :W].copy(), dw

    return y, backward


@wrong(
    given=lambda rng: (
        rng.normal(size=(2, 3, 5, 4)),
        rng.normal(size=(2, 3, 2, 2)),
        rng.normal(size=2),
    ),
    mistake="db is the mean over the places of the image in place of the sum",
    grads="db",
    says="any.factor-too-small",
)
def conv2d_with_bias(x, w, b):
    y = _conv2d(x, w, 1) + b[:, None, None]

    def backward(dy):
        dyp = np.pad(dy, ((0, 0), (0, 0), (1, 1), (1, 1)))
        dx = _conv2d(dyp, w[:, :, ::-1, ::-1].swapaxes(0, 1), 1)
        dw = np.einsum("noij,ncijkl->ockl", dy, sliding_window_view(x, (2, 2), axis=(2, 3)))
        db = dy.mean(axis=(2, 3)).sum(axis=0)
        return dx, dw, db

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 11)), rng.normal(size=3)),
    mistake="the gradient for x is scattered without the dilation of 2",
    grads="dx",
)
def dilated_filter(x, w):
    n = x.shape[1] - 4
    y = sum(w[k] * x[:, 2 * k : 2 * k + n] for k in range(3))

    def backward(dy):
        dx = np.zeros_like(x)
        for k in range(3):
            dx[:, k : k + n] += w[k] * dy
        dw = np.array([np.sum(dy * x[:, 2 * k : 2 * k + n]) for k in range(3)])
        return dx, dw

    return y, backward


def _transposed(x, w):
    """Upsample by 2: y[2 t + k] += x[t] w[k]."""
    T, K = x.shape[1], len(w)
    y = np.zeros((len(x), 2 * (T - 1) + K))
    for t in range(T):
        y[:, 2 * t : 2 * t + K] += x[:, t, None] * w
    return y


@wrong(
    "N T, K",
    mistake="dx reads the windows of dy with stride 1 in place of stride 2",
    grads="dx",
)
def transposed_conv_stride(x, w):
    T, K = x.shape[1], len(w)

    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(T):
            dx[:, t] = dy[:, t : t + K] @ w
            dw += x[:, t] @ dy[:, 2 * t : 2 * t + K]
        return dx, dw

    return _transposed(x, w), backward


@wrong("N T, K", mistake="dw is assigned at each time step in place of added up", grads="dw")
def transposed_conv_assigned(x, w):
    def backward(dy):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for t in range(x.shape[1]):
            window = dy[:, 2 * t : 2 * t + len(w)]
            dx[:, t] = window @ w
            dw[:] = x[:, t] @ window
        return dx, dw

    return _transposed(x, w), backward


@wrong(
    "N C L, C K",
    mistake="every channel gets the weight gradient summed over all channels",
    grads="dw",
    says="any.summed",
)
def depthwise_conv(x, w):
    K, L = w.shape[1], x.shape[2]
    xp = np.pad(x, ((0, 0), (0, 0), (K - 1, 0)))
    win = sliding_window_view(xp, L, axis=2)  # (N, C, K, L)
    y = np.einsum("nckl,ck->ncl", win, w)

    def backward(dy):
        dxp = np.zeros_like(xp)
        for k in range(K):
            dxp[:, :, k : k + L] += dy * w[:, k, None]
        dw = np.zeros_like(w) + np.einsum("nckl,ncl->k", win, dy)
        return dxp[:, :, K - 1 :].copy(), dw

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 3, 2, 2))),
    mistake="the gradient of each group is written to the other group of input channels",
    grads="dx",
    says="any.entries-reordered",
)
def grouped_conv(x, w):
    """Two groups of two channels; w is (group, out, in, K)."""
    xg = x.reshape(2, 2, 2, 6)
    win = sliding_window_view(xg, 2, axis=3)
    y = np.einsum("ngclk,gock->ngol", win, w)

    def backward(dy):
        g = dy.reshape(2, 2, 3, 5)
        dxg = np.zeros_like(xg)
        for k in range(2):
            dxg[..., k : k + 5] += np.einsum("ngol,goc->ngcl", g, w[..., k])
        return dxg[:, ::-1].reshape(x.shape), np.einsum("ngclk,ngol->gock", win, g)

    return y.reshape(2, 6, 5), backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 4, 5, 4)), rng.normal(size=(2, 3, 2))),
    mistake="the volume kernel is flipped along two of its three axes only",
    grads="dv",
)
def conv3d(v, k):
    win = sliding_window_view(v, k.shape, axis=(1, 2, 3))
    y = np.einsum("nxyzabc,abc->nxyz", win, k)

    def backward(dy):
        pads = [(0, 0)] + [(s - 1, s - 1) for s in k.shape]
        wins = sliding_window_view(np.pad(dy, pads), k.shape, axis=(1, 2, 3))
        dv = np.einsum("nxyzabc,abc->nxyz", wins, k[:, ::-1, ::-1])
        return dv, np.einsum("nxyzabc,nxyz->abc", win, dy)

    return y, backward


def _even_image(rng):
    return (rng.normal(size=(2, 3, 4, 6)),)


@wrong(
    given=_even_image,
    mistake="the division by the 4 pixels of a window is missing",
    grads="dx",
    says="any.factor",
)
def average_pool(x):
    N, C, H, W = x.shape
    y = x.reshape(N, C, H // 2, 2, W // 2, 2).mean(axis=(3, 5))
    return y, lambda dy: dy.repeat(2, axis=2).repeat(2, axis=3)


@wrong(
    given=lambda rng: (rng.normal(size=(3, 9)),),
    mistake="the overlapping pooling windows overwrite each other (= in place of +=)",
    grads="dx",
    says="any.one-use",
)
def overlapping_average_pool(x):
    starts = range(0, x.shape[1] - 2, 2)
    y = np.stack([x[:, s : s + 3].mean(axis=1) for s in starts], axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for i, s in enumerate(starts):
            dx[:, s : s + 3] = dy[:, i : i + 1] / 3
        return dx

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 8)),),
    mistake="an element that is the maximum of several windows gets the gradient of the last only",
    grads="dx",
    says="any.one-use",
)
def sliding_max(x):
    win = sliding_window_view(x, 3, axis=1)
    where = win.argmax(axis=2) + np.arange(win.shape[1])

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[np.arange(len(x))[:, None], where] += dy
        return dx

    return win.max(axis=2), backward


@wrong(
    given=_even_image,
    mistake="row and column within the pooling window are swapped",
    grads="dx",
    says="max-pool2d.swapped",
)
def max_pool_swapped(x):
    N, C, H, W = x.shape
    tiles = x.reshape(N, C, H // 2, 2, W // 2, 2).transpose(0, 1, 2, 4, 3, 5)
    flat = tiles.reshape(N, C, H // 2, W // 2, 4)
    best = flat.argmax(axis=-1)

    def backward(dy):
        dx = np.zeros_like(x)
        for n, c, i, j in np.ndindex(*dy.shape):
            r, s = divmod(best[n, c, i, j], 2)
            dx[n, c, 2 * i + s, 2 * j + r] = dy[n, c, i, j]
        return dx

    return flat.max(axis=-1), backward


@wrong(
    "N C H W",
    mistake="only one of the four copies of each pixel gives its gradient",
    grads="dx",
    says="any.one-use",
)
def nearest_upsampling(x):
    return x.repeat(2, axis=2).repeat(2, axis=3), lambda dy: dy[:, :, ::2, ::2].copy()


@wrong("N L", mistake="the weights 1/4 and 3/4 are swapped in the backward", grads="dx")
def linear_upsampling(x):
    """Each sample gives two, a quarter towards its neighbours; the border is repeated."""
    p = np.pad(x, ((0, 0), (1, 1)), mode="edge")
    y = np.empty((len(x), 2 * x.shape[1]))
    y[:, ::2] = 0.75 * x + 0.25 * p[:, :-2]
    y[:, 1::2] = 0.75 * x + 0.25 * p[:, 2:]

    def backward(dy):
        even, odd = dy[:, ::2], dy[:, 1::2]
        dx = 0.25 * (even + odd)
        dx[:, :-1] += 0.75 * even[:, 1:]
        dx[:, 0] += 0.75 * even[:, 0]
        dx[:, 1:] += 0.75 * odd[:, :-1]
        dx[:, -1] += 0.75 * odd[:, -1]
        return dx

    return y, backward


@wrong(
    "N T",
    mistake="the running sum of the backward is not taken from the end",
    grads="dx",
    says="any.not-transposed",
)
def running_total(x):
    return np.cumsum(x, axis=1), lambda dy: np.cumsum(dy, axis=1)


@wrong(
    "N T",
    mistake="the reversed running sum leaves out the element itself (off by one)",
    grads="dx",
    says="any.shifted",
)
def running_total_exclusive(x):
    def backward(dy):
        tail = dy[:, ::-1].cumsum(axis=1)[:, ::-1]
        return tail - dy

    return x.cumsum(axis=1), backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 8, 3, 2)),),
    mistake="the two axes of the block are swapped when the pixels are gathered again",
    grads="dx",
    says="any.entries-reordered",
)
def pixel_shuffle(x):
    N, C, H, W = x.shape
    y = (
        x.reshape(N, C // 4, 2, 2, H, W)
        .transpose(0, 1, 4, 2, 5, 3)
        .reshape(N, C // 4, 2 * H, 2 * W)
    )

    def backward(dy):
        blocks = dy.reshape(N, C // 4, H, 2, W, 2)
        return blocks.transpose(0, 1, 5, 3, 2, 4).reshape(x.shape)

    return y, backward


@wrong(
    "N T",
    mistake="at the edges the gradient is divided by the full width 3, not by the window's count",
    grads="dx",
)
def moving_average(x):
    T = x.shape[1]
    spans = [(max(0, t - 1), min(T, t + 2)) for t in range(T)]
    y = np.stack([x[:, a:b].mean(axis=1) for a, b in spans], axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for t, (a, b) in enumerate(spans):
            dx[:, a:b] += dy[:, t : t + 1] / 3
        return dx

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 5, 4)),),
    mistake="the gradient of the reflected border is dropped by the crop",
    grads="dx",
)
def reflection_pad(x):
    y = np.pad(x, ((0, 0), (1, 1), (2, 2)), mode="reflect")
    return y, lambda dy: dy[:, 1:-1, 2:-2].copy()


@wrong(
    "N T",
    mistake="the gradient of the repeated border replaces that of the border in place of adding",
    grads="dx",
)
def edge_pad(x):
    y = np.pad(x, ((0, 0), (2, 2)), mode="edge")

    def backward(dy):
        dx = dy[:, 2:-2].copy()
        left, right = dy[:, :2].sum(axis=1), dy[:, -2:].sum(axis=1)
        if x.shape[1] == 1:
            dx[:, 0] = left + right
        else:
            dx[:, 0], dx[:, -1] = left, right
        return dx

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 10)),),
    mistake="the overlap-add of the frames starts each frame one sample too late",
    grads="dx",
    says="any.shifted",
)
def frames(x):
    hop, size = 2, 3
    starts = np.arange(0, x.shape[1] - size + 1, hop)
    index = starts[:, None] + np.arange(size)

    def backward(dy):
        dx = np.zeros_like(x)
        for i, s in enumerate(starts):
            dx[:, s + 1 : s + 1 + size] += dy[:, i]
        return dx

    return x[:, index], backward


@wrong(
    "N C H W",
    mistake="the mean over the image is divided by H twice, not by H W",
    grads="dx",
    says="any.factor",
)
def global_average_pool(x):
    H = x.shape[2]
    return x.mean(axis=(2, 3)), lambda dy: np.zeros_like(x) + dy[:, :, None, None] / (H * H)


@wrong(
    "N L, K",
    mistake="two mistakes: dx is cropped one sample too late, and dw is in reversed order",
    grads="dx dw",
    says="any.flipped",
)
def full_convolution(x, w):
    K, L = len(w), x.shape[1]
    y = np.array([np.convolve(row, w) for row in x])

    def backward(dy):
        dyp = np.pad(dy, ((0, 0), (0, 1)))
        dx = np.array([np.convolve(g, w[::-1])[K : K + L] for g in dyp])
        dw = sum(np.convolve(g, row[::-1])[L - 1 : L - 1 + K] for g, row in zip(dy, x, strict=True))
        return dx, dw[::-1].copy()

    return y, backward
