"""Right operations on windows: convolutions, poolings, paddings, resampling, running sums."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import right


@right({"x": (2, "C", 7), "w": (3, "C", 4), "b": (3,)})
def conv1d_naive(x, w, b):
    """Four loops and no thought."""
    N, _, L = x.shape
    F, _, K = w.shape
    out = np.zeros((N, F, L - K + 1))
    for n in range(N):
        for f in range(F):
            for i in range(L - K + 1):
                out[n, f, i] = np.sum(x[n, :, i : i + K] * w[f]) + b[f]

    def backward(dout):
        dx, dw, db = np.zeros_like(x), np.zeros_like(w), np.zeros_like(b)
        for n in range(N):
            for f in range(F):
                for i in range(L - K + 1):
                    dx[n, :, i : i + K] += dout[n, f, i] * w[f]
                    dw[f] += dout[n, f, i] * x[n, :, i : i + K]
                    db[f] += dout[n, f, i]
        return dx, dw, db

    return out, backward


def im2col_indices(shape, kh, kw, pad, stride):
    """Indices as in the well known course."""
    _, C, H, W = shape
    oh, ow = (H + 2 * pad - kh) // stride + 1, (W + 2 * pad - kw) // stride + 1
    i0 = np.tile(np.repeat(np.arange(kh), kw), C)
    j0 = np.tile(np.arange(kw), kh * C)
    i1 = stride * np.repeat(np.arange(oh), ow)
    j1 = stride * np.tile(np.arange(ow), oh)
    k = np.repeat(np.arange(C), kh * kw)[:, None]
    return k, i0[:, None] + i1[None], j0[:, None] + j1[None], oh, ow


@right({"x": ("N", "C", "H", "W"), "weight": ("F", "C", 3, 3), "bias": ("F",)})
def conv2d_im2col(x, weight, bias, pad=1):
    """A same convolution as one product of matrices."""
    F, _, kh, kw = weight.shape
    k, i, j, oh, ow = im2col_indices(x.shape, kh, kw, pad, 1)
    xp = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    cols = xp[:, k, i, j]  # N, C*kh*kw, oh*ow
    Wr = weight.reshape(F, -1)
    y = (Wr @ cols + bias[:, None]).reshape(len(x), F, oh, ow)

    def backward(dy):
        d = dy.reshape(len(x), F, -1)
        dW = np.einsum("nfp,nkp->fk", d, cols).reshape(weight.shape)
        dxp = np.zeros(xp.shape)
        np.add.at(dxp, (slice(None), k, i, j), Wr.T @ d)
        return dxp[:, :, pad:-pad, pad:-pad].copy(), dW, d.sum(axis=(0, 2))

    return y, backward


@right({"x": ("N", "C", 8, 7), "w": ("F", "C", 3, 2)})
def conv2d_stride2(x, w, s=2):
    """Windows by sliding_window_view, contraction by einsum."""
    kh, kw = w.shape[2:]
    win = sliding_window_view(x, (kh, kw), axis=(2, 3))[:, :, ::s, ::s]
    y = np.einsum("nchwij,fcij->nfhw", win, w, optimize=True)
    oh, ow = y.shape[2:]

    def backward(dy):
        dw = np.tensordot(dy, win, axes=((0, 2, 3), (0, 2, 3)))
        dx = np.zeros_like(x)
        for i in range(kh):
            for j in range(kw):
                part = np.einsum("nfhw,fc->nchw", dy, w[:, :, i, j])
                dx[:, :, i : i + s * oh : s, j : j + s * ow : s] += part
        return dx, dw

    return y, backward


@right({"x": ("N", "T", "C"), "kernel": (3, "C", "D")})
def causal_dilated_conv(x, kernel, dilation=2):
    """A layer of WaveNet: time in the middle, zeros before the start."""
    taps = kernel.shape[0]
    T = x.shape[1]
    past = (taps - 1) * dilation
    padded = np.concatenate([np.zeros((x.shape[0], past, x.shape[2])), x], axis=1)
    y = sum(padded[:, k * dilation : k * dilation + T] @ kernel[k] for k in range(taps))

    def backward(dy):
        dpadded = np.zeros_like(padded)
        dkernel = np.empty_like(kernel)
        for k in range(taps):
            cut = slice(k * dilation, k * dilation + T)
            dpadded[:, cut] += dy @ kernel[k].T
            dkernel[k] = np.einsum("ntc,ntd->cd", padded[:, cut], dy)
        return np.ascontiguousarray(dpadded[:, past:]), dkernel

    return y, backward


@right({"vol": ("N", "C", 4, 5, 3), "w": ("F", "C", 2, 3, 2)})
def conv3d(vol, w):
    """A loop over the entries of the kernel."""
    kd, kh, kw = w.shape[2:]
    D, H, W = (a - b + 1 for a, b in zip(vol.shape[2:], w.shape[2:], strict=True))
    offsets = [(a, b, c) for a in range(kd) for b in range(kh) for c in range(kw)]
    y = np.zeros((len(vol), len(w), D, H, W))
    for a, b, c in offsets:
        crop = vol[:, :, a : a + D, b : b + H, c : c + W]
        y += np.einsum("ncdhw,fc->nfdhw", crop, w[:, :, a, b, c])

    def backward(dy):
        dvol, dw = np.zeros(vol.shape), np.zeros(w.shape)
        for a, b, c in offsets:
            crop = np.s_[:, :, a : a + D, b : b + H, c : c + W]
            dvol[crop] += np.einsum("nfdhw,fc->ncdhw", dy, w[:, :, a, b, c])
            dw[:, :, a, b, c] = np.einsum("nfdhw,ncdhw->fc", dy, vol[crop])
        return dvol, dw

    return y, backward


@right({"x": ("N", "I", "H", "W"), "w": ("I", "O", 3, 3)})
def conv_transpose2d(x, w, stride=2):
    """Each pixel stamps the kernel on the output."""
    n, _, h, wd = x.shape
    _, o, kh, kw = w.shape
    out = np.zeros((n, o, (h - 1) * stride + kh, (wd - 1) * stride + kw))
    for r in range(h):
        for c in range(wd):
            stamp = np.einsum("ni,ioab->noab", x[:, :, r, c], w)
            out[:, :, r * stride : r * stride + kh, c * stride : c * stride + kw] += stamp

    def backward(dout):
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for r in range(h):
            for c in range(wd):
                d = dout[:, :, r * stride : r * stride + kh, c * stride : c * stride + kw]
                dx[:, :, r, c] = np.einsum("noab,ioab->ni", d, w)
                dw += np.einsum("ni,noab->ioab", x[:, :, r, c], d)
        return dx, dw

    return out, backward


@right({"x": ("N", "C", "H", "W"), "w": ("C", 3, 3)})
def depthwise_conv(x, w):
    """One kernel for each channel, and as many pixels as before."""
    H, W = x.shape[2:]
    xp = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
    y = np.zeros_like(x)
    for i, j in np.ndindex(3, 3):
        y += w[None, :, i, j, None, None] * xp[:, :, i : i + H, j : j + W]

    def backward(dy):
        dyp = np.pad(dy, [(0, 0), (0, 0), (1, 1), (1, 1)])
        dx, dw = np.zeros_like(x), np.zeros_like(w)
        for i, j in np.ndindex(3, 3):
            dx += w[:, 2 - i, 2 - j][:, None, None] * dyp[:, :, i : i + H, j : j + W]
            dw[:, i, j] = np.sum(dy * xp[:, :, i : i + H, j : j + W], axis=(0, 2, 3))
        return dx, dw

    return y, backward


@right({"x": ("N", "C", 6, 4)})
def avgpool_reshape(x):
    """Means of blocks of 2 by 2."""
    n, c, h, w = x.shape
    y = x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
    return y, lambda dy: dy.repeat(2, axis=2).repeat(2, axis=3) / 4.0


@right({"x": ("N", "C", 7, 5)})
def maxpool_overlapping(x, k=3, s=2):
    """The first maximum of windows that overlap takes the gradient."""
    N, C, H, W = x.shape
    oh, ow = (H - k) // s + 1, (W - k) // s + 1
    y = np.empty((N, C, oh, ow))
    where = np.empty((N, C, oh, ow), dtype=int)
    for i in range(oh):
        for j in range(ow):
            flat = x[:, :, i * s : i * s + k, j * s : j * s + k].reshape(N, C, -1)
            where[:, :, i, j] = flat.argmax(axis=2)
            y[:, :, i, j] = flat.max(axis=2)

    def backward(dy):
        dx = np.zeros((N, C, H, W))
        for n, c, i, j in np.ndindex(*dy.shape):
            a, b = divmod(where[n, c, i, j], k)
            dx[n, c, i * s + a, j * s + b] += dy[n, c, i, j]
        return dx

    return y, backward


@right(
    given=lambda rng: (rng.standard_normal((2, 6, 3)), rng.standard_normal(3)),
    title="conv with reflected borders",
)
def conv_reflect(x, w):
    """A filter of three taps along the middle axis, without zeros at the borders."""
    T = x.shape[1]
    index = np.pad(np.arange(T), 1, mode="reflect")
    xp = x[:, index]
    y = w[0] * xp[:, :-2] + w[1] * xp[:, 1:-1] + w[2] * xp[:, 2:]

    def backward(dy):
        dxp = np.zeros(xp.shape)
        for k in range(3):
            dxp[:, k : k + T] += w[k] * dy
        dx = np.zeros(x.shape)
        np.add.at(dx, np.s_[:, index], dxp)
        return dx, np.array([np.vdot(dy, xp[:, k : k + T]) for k in range(3)])

    return y, backward


@right({"img": ("N", "H", "W"), "k": (3, 3)})
def circular_conv2d(img, k):
    """Borders that wrap around, by np.roll."""
    shifts = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    y = sum(k[i + 1, j + 1] * np.roll(img, (i, j), axis=(1, 2)) for i, j in shifts)

    def backward(dy):
        dimg = sum(k[i + 1, j + 1] * np.roll(dy, (-i, -j), axis=(1, 2)) for i, j in shifts)
        dk = np.zeros((3, 3))
        for i, j in shifts:
            dk[i + 1, j + 1] = np.sum(dy * np.roll(img, (i, j), axis=(1, 2)))
        return dimg, dk

    return y, backward


@right("N C H W")
def upsample_nearest(x):
    """Twice as high, three times as wide."""
    n, c, h, w = x.shape
    y = np.kron(x, np.ones((1, 1, 2, 3)))
    return y, lambda dy: dy.reshape(n, c, h, 2, w, 3).sum(axis=5).sum(axis=3)


def interpolation_matrix(n_in, n_out):
    """Linear interpolation with aligned corners, as a matrix."""
    M = np.zeros((n_out, n_in))
    for r, pos in enumerate(np.linspace(0, n_in - 1, n_out)):
        lo = min(int(pos), max(n_in - 2, 0))
        frac = pos - lo
        M[r, lo] += 1 - frac
        if frac > 0:
            M[r, lo + 1] += frac
    return M


@right("N C H W")
def upsample_bilinear(x):
    """Separable: a matrix for the rows and another for the columns."""
    h, w = x.shape[-2:]
    R, C = interpolation_matrix(h, 2 * h), interpolation_matrix(w, 2 * w)
    return R @ x @ C.T, lambda dy: R.T @ dy @ C


@right({"x": ("N", 12, "H", "W")})
def pixel_shuffle(x, r=2):
    """Depth to space."""
    n, c, h, w = x.shape
    y = x.reshape(n, c // r**2, r, r, h, w).transpose(0, 1, 4, 2, 5, 3)
    y = y.reshape(n, c // r**2, h * r, w * r)

    def backward(dy):
        dx = dy.reshape(n, c // r**2, h, r, w, r).transpose(0, 1, 3, 5, 2, 4)
        return dx.reshape(x.shape).copy()

    return y, backward


@right({"x": ("N", "C", 5, 6)})
def unfold(x, kh=2, kw=3):
    """All patches as columns, as torch.nn.functional.unfold."""
    N, C, H, W = x.shape
    oh, ow = H - kh + 1, W - kw + 1
    patches = [x[:, :, i : i + oh, j : j + ow] for i in range(kh) for j in range(kw)]
    cols = np.stack(patches, axis=2).reshape(N, C * kh * kw, oh * ow)

    def fold(dcols):
        d = dcols.reshape(N, C, kh, kw, oh, ow)
        dx = np.zeros_like(x)
        for i in range(kh):
            for j in range(kw):
                dx[:, :, i : i + oh, j : j + ow] += d[:, :, i, j]
        return dx

    return cols, fold


@right("N C H W")
def adaptive_avg_pool(x, out=3):
    """Windows with borders at floor(i H / out) and ceil((i + 1) H / out)."""
    H, W = x.shape[2:]

    def edges(size):
        return [(i * size // out, -((i + 1) * size // -out)) for i in range(out)]

    y = np.zeros((*x.shape[:2], out, out))
    for i, (top, bottom) in enumerate(edges(H)):
        for j, (left, right_) in enumerate(edges(W)):
            y[..., i, j] = x[..., top:bottom, left:right_].mean(axis=(-1, -2))

    def backward(dy):
        dx = np.zeros(x.shape)
        for i, (top, bottom) in enumerate(edges(H)):
            for j, (left, right_) in enumerate(edges(W)):
                area = (bottom - top) * (right_ - left)
                dx[..., top:bottom, left:right_] += dy[..., i, j, None, None] / area
        return dx

    return y, backward


@right({"fmap": ("N", "C", 4, 4)})
def spatial_pyramid(fmap):
    """Maxima of 1, 4 and 16 parts, one after the other."""
    N, C, H, W = fmap.shape
    levels, picks = [], []
    for bins in (1, 2, 4):
        b = fmap.reshape(N, C, bins, H // bins, bins, W // bins).transpose(0, 1, 2, 4, 3, 5)
        b = b.reshape(N, C * bins * bins, -1)
        picks.append(b.argmax(-1))
        levels.append(b.max(-1))

    def backward(dy):
        dfmap = np.zeros((N, C, H, W))
        start = 0
        for bins, pick in zip((1, 2, 4), picks, strict=True):
            stop = start + C * bins**2
            cell = np.zeros((N, C * bins**2, (H // bins) * (W // bins)))
            np.put_along_axis(cell, pick[..., None], dy[:, start:stop, None], axis=-1)
            cell = cell.reshape(N, C, bins, bins, H // bins, W // bins)
            dfmap += cell.transpose(0, 1, 2, 4, 3, 5).reshape(N, C, H, W)
            start = stop
        return dfmap

    return np.concatenate(levels, axis=1), backward


@right({"x": ("N", 10)})
def moving_average(x, k=4):
    """Differences of a running sum."""
    c = np.cumsum(np.pad(x, ((0, 0), (1, 0))), axis=1)
    y = (c[:, k:] - c[:, :-k]) / k

    def backward(dy):
        dx = np.zeros_like(x)
        for t in range(dy.shape[1]):
            dx[:, t : t + k] += dy[:, t : t + 1] / k
        return dx

    return y, backward


@right("N T D")
def running_sum(x):
    """The adjoint runs from the end."""
    return x.cumsum(axis=1), lambda dy: dy[:, ::-1].cumsum(axis=1)[:, ::-1].copy()


@right({"x": ("N", 6)})
def running_product(x):
    """A recurrence from the end, without a division."""
    y = np.cumprod(x, axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        carry = np.zeros(len(x))
        for t in range(x.shape[1] - 1, -1, -1):
            before = y[:, t - 1] if t else np.ones(len(x))
            after = x[:, t + 1] * carry if t + 1 < x.shape[1] else 0.0
            carry = dy[:, t] + after
            dx[:, t] = before * carry
        return dx

    return y, backward


@right({"u": ("N", 7, "D")})
def second_difference(u):
    """u[t+1] - 2 u[t] + u[t-1] inside."""

    def backward(dy):
        du = np.zeros(u.shape)
        du[:, 2:] += dy
        du[:, 1:-1] -= 2 * dy
        du[:, :-2] += dy
        return du

    return np.diff(u, n=2, axis=1), backward
