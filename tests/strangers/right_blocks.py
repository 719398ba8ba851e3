"""Right relatives of squeeze-and-excitation, as strangers write them."""

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def sigmoid(z):
    """Logistic function by its two stable halves."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e))


@right("N C H W, R C, C R")
def se_with_silu(x, w1, w2):
    """SE with SiLU inside, as EfficientNet has it."""
    H, W = x.shape[2:]
    s = x.mean(axis=(2, 3))
    u = s @ w1.T
    su = sigmoid(u)
    h = u * su
    e = sigmoid(h @ w2.T)

    def backward(dy):
        dv = np.einsum("nchw,nchw->nc", dy, x) * e * (1 - e)
        du = dv @ w2 * (su + h * (1 - su))
        ds = du @ w1
        dx = dy * e[:, :, None, None] + ds[:, :, None, None] / (H * W)
        return dx, du.T @ s, dv.T @ h

    return x * e[:, :, None, None], backward


@right("N H W C, C R, R, R C, C")
def se_of_keras(inputs, kernel1, bias1, kernel2, bias2):
    """SE with channels last and Dense layers."""
    squeeze = np.mean(inputs, axis=(1, 2))
    pre = squeeze @ kernel1 + bias1
    hidden = np.maximum(pre, 0.0)
    gate = sigmoid(hidden @ kernel2 + bias2)
    scale = gate[:, np.newaxis, np.newaxis, :]

    def backward(grad):
        dlogit = np.sum(grad * inputs, axis=(1, 2)) * gate * (1 - gate)
        dpre = np.where(pre > 0, dlogit @ kernel2.T, 0)
        dsq = (dpre @ kernel1.T)[:, None, None, :] / np.prod(inputs.shape[1:3])
        return [
            grad * scale + dsq,
            squeeze.T @ dpre,
            dpre.sum(axis=0),
            hidden.T @ dlogit,
            dlogit.sum(axis=0),
        ]

    return inputs * scale, backward


right(
    given=lambda rng: (
        rng.standard_normal((2, 3, 2, 4)),
        *(np.zeros((4, 3)), np.zeros(3), np.zeros((3, 4)), np.zeros(4)),
    ),
    title="se_of_keras with zeros for weights",
)(se_of_keras)
right(
    given=lambda rng: (
        rng.standard_normal((2, 3, 2, 4)),
        *(rng.standard_normal((4, 2)), np.full(2, -9.0), np.ones((2, 4)), rng.standard_normal(4)),
    ),
    title="se_of_keras, its hidden units dead",
)(se_of_keras)


@right("N H W C, C R, R C")
def se_channels_last(x, A, B):
    """SE with channels last, by tensordot."""
    n, h, w, c = x.shape
    p = x.reshape(n, -1, c).mean(1)
    q = np.tensordot(p, A, axes=1)
    r = q * (q > 0)
    g = sigmoid(np.tensordot(r, B, axes=1))
    y = (x.reshape(n, -1, c) * g[:, None]).reshape(x.shape)

    def backward(dy):
        dg = (dy * x).reshape(n, -1, c).sum(1)
        dz = dg * (g - g * g)
        dq = np.tensordot(dz, B.T, axes=1) * (q > 0)
        dp = np.tensordot(dq, A.T, axes=1) / (h * w)
        dx = (dy.reshape(n, -1, c) * g[:, None] + dp[:, None]).reshape(x.shape)
        return dx, np.tensordot(p, dq, axes=(0, 0)), np.tensordot(r, dz, axes=(0, 0))

    return y, backward


@right("N C L, R C, C R")
def se_of_signals(x, w1, w2):
    """1-D SE."""
    s = x.sum(-1) / x.shape[-1]
    z = s @ w1.T
    a = np.clip(z, 0, None)
    g = sigmoid(a @ w2.T)[..., None]

    def backward(dy):
        dl = ((dy * x).sum(-1, keepdims=True) * g * (1 - g))[..., 0]
        dz = (dl @ w2) * (z > 0)
        dx = g * dy
        dx += (dz @ w1)[..., None] / x.shape[-1]
        return dx, dz.T @ s, dl.T @ a

    return x * g, backward


@right("N C D H W, R C, R, C R, C")
def se_of_volumes(x, w1, b1, w2, b2):
    """3-D SE with biases."""
    ax = (2, 3, 4)
    s = x.mean(axis=ax)
    z = s @ w1.T + b1
    a = np.where(z > 0, z, 0)
    g = sigmoid(a @ w2.T + b2)
    G = np.expand_dims(g, ax)

    def backward(dy):
        dl = (dy * x).sum(axis=ax) * g * (1 - g)
        dz = np.where(z > 0, dl @ w2, 0)
        ds = dz @ w1 * s.size / x.size
        return dy * G + np.expand_dims(ds, ax), dz.T @ s, dz.sum(0), dl.T @ a, dl.sum(0)

    return x * G, backward


class TorchSE:
    """SE with torch's Linear layouts and biases, as a class."""

    fc1_weight = fc1_bias = fc2_weight = fc2_bias = None

    def forward(self, x):
        """Squeeze, excite, scale."""
        self.x = x
        self.s = x.mean((2, 3))
        self.z = self.s @ self.fc1_weight.T + self.fc1_bias
        self.h = np.maximum(self.z, 0)
        self.e = sigmoid(self.h @ self.fc2_weight.T + self.fc2_bias)
        return x * self.e[:, :, None, None]

    def backward(self, dy):
        """Set the four gradients."""
        _, _, H, W = self.x.shape
        de = (dy * self.x).sum((2, 3)) * self.e * (1 - self.e)
        self.g2w, self.g2b = de.T @ self.h, de.sum(0)
        dz = de @ self.fc2_weight * (self.z > 0)
        self.g1w, self.g1b = dz.T @ self.s, dz.sum(0)
        dx = dy * self.e[:, :, None, None]
        return dx + (dz @ self.fc1_weight)[:, :, None, None] / H / W


right("N C H W, R C, R, C R, C", title="torch-like SE class")(
    from_class(TorchSE, fc1_weight="g1w", fc1_bias="g1b", fc2_weight="g2w", fc2_bias="g2b")
)


def conv_se_forward(x, k1, k2):
    """SE whose layers are 1 x 1 convolutions."""
    s = x.mean(axis=(2, 3), keepdims=True)
    z = np.einsum("ncij,rcij->nr", s, k1)
    a = np.maximum(z, 0)
    g = sigmoid(np.einsum("nr,crij->ncij", a, k2))
    return x * g, dict(x=x, s=s, z=z, a=a, g=g, k1=k1, k2=k2)


def conv_se_backward(dy, c):
    """Its backward."""
    dl = np.sum(dy * c["x"], axis=(2, 3), keepdims=True) * c["g"] * (1 - c["g"])
    da = np.einsum("ncij,crij->nr", dl, c["k2"])
    dz = da * (c["z"] > 0)
    ds = np.einsum("nr,rcij->ncij", dz, c["k1"])
    dx = dy * c["g"] + ds / (dy.shape[2] * dy.shape[3])
    dk1, dk2 = np.einsum("nr,ncij->rcij", dz, c["s"]), np.einsum("ncij,nr->crij", dl, c["a"])
    return dx, dk1, dk2


right({"x": ("N", "C", "H", "W"), "k1": ("R", "C", 1, 1), "k2": ("C", "R", 1, 1)}, title="conv SE")(
    from_cache(conv_se_forward, conv_se_backward)
)


@right("N C H W, R C, C R")
def se_by_loops(x, w1, w2):
    """SE, an image at a time."""
    y, tape = np.zeros(x.shape), []
    for n in range(len(x)):
        s = np.array([np.mean(ch) for ch in x[n]])
        h = np.maximum(w1 @ s, 0)
        e = sigmoid(w2 @ h)
        tape.append((s, h, e))
        for c in range(x.shape[1]):
            y[n, c] = x[n, c] * e[c]

    def backward(dy):
        dx, dw1, dw2 = np.zeros(x.shape), np.zeros(w1.shape), np.zeros(w2.shape)
        for n, (s, h, e) in enumerate(tape):
            dz = np.array([np.vdot(dy[n, c], x[n, c]) for c in range(len(e))]) * e * (1 - e)
            dw2 += np.outer(dz, h)
            dh = (w2.T @ dz) * (h > 0)
            dw1 += np.outer(dh, s)
            ds = w1.T @ dh
            for c in range(len(e)):
                dx[n, c] = dy[n, c] * e[c] + ds[c] / x[n, c].size
        return dx, dw1, dw2

    return y, backward


@right("N C H W, R C, C R")
def se_of_mobilenet(x, w1, w2):
    """SE with a hard sigmoid."""
    s = x.mean((-2, -1))
    h = np.maximum(s @ w1.T, 0)
    t = h @ w2.T / 6 + 0.5
    g = np.clip(t, 0, 1)[..., None, None]

    def backward(dy):
        dt = (dy * x).sum((-2, -1)) * ((t > 0) & (t < 1)) / 6
        dh = dt @ w2 * (h > 0)
        ds = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * g + ds[..., None, None], dh.T @ s, dt.T @ h

    return x * g, backward


@right("N C H W, R C, C R")
def se_by_maximum(x, w1, w2):
    """SE that squeezes by the maximum."""
    N, C, H, W = x.shape
    n, c = np.ogrid[:N, :C]
    i, j = np.unravel_index(x.reshape(N, C, -1).argmax(-1), (H, W))
    s = x[n, c, i, j]
    h = np.maximum(s @ w1.T, 0)
    g = sigmoid(h @ w2.T)

    def backward(dy):
        dg = (dy * x).sum((2, 3)) * g * (1 - g)
        dh = dg @ w2 * (h > 0)
        dx = dy * g[:, :, None, None]
        dx[n, c, i, j] += dh @ w1
        return dx, dh.T @ s, dg.T @ h

    return x * g[:, :, None, None], backward


right(
    given=lambda rng: (np.zeros((2, 3, 2, 2)), np.ones((2, 3)), rng.standard_normal((3, 2))),
    title="se_by_maximum of zeros",
)(se_by_maximum)


@right("N C H W, R C, C R")
def residual_se(x, w1, w2):
    """The input and its SE, with a leaky ReLU and a tanh gate."""
    s = x.mean((2, 3))
    z = s @ w1.T
    slope = np.where(z > 0, 1, 0.1)
    g = np.tanh(z * slope @ w2.T)[:, :, None, None]

    def backward(dy):
        dl = ((dy * x).sum((2, 3), keepdims=True) * (1 - g**2))[:, :, 0, 0]
        dz = dl @ w2 * slope
        ds = (dz @ w1)[:, :, None, None] / x[0, 0].size
        return dy + dy * g + ds, dz.T @ s, dl.T @ (z * slope)

    return x + x * g, backward


@right("N C H W, C C, C")
def effective_se(x, W, b):
    """eSE: one layer alone."""
    s = x.mean((2, 3))
    g = sigmoid(s @ W.T + b)[:, :, None, None]

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g[:, :, 0, 0] * (1 - g[:, :, 0, 0])
        dx = dy * g
        dx += (dz @ W / np.prod(x.shape[2:])).reshape(g.shape)
        return dx, dz.T @ s, dz.sum(0)

    return x * g, backward


@right({"x": ("N", "C", "H", "W"), "k": (3,)})
def eca(x, k):
    """ECA: a convolution over channels."""
    s = np.pad(x.mean((2, 3)), ((0, 0), (1, 1)))
    C = x.shape[1]
    windows = np.stack([s[:, i : i + C] for i in range(3)], axis=-1)
    g = sigmoid(windows @ k)

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        dk = np.einsum("nc,nck->k", dz, windows)
        ds = np.zeros(s.shape)
        for i in range(3):
            ds[:, i : i + C] += dz * k[i]
        dx = dy * g[..., None, None] + ds[:, 1:-1, None, None] / (x.shape[2] * x.shape[3])
        return dx, dk

    return x * g[..., None, None], backward


@right({"x": ("N", "H", "W", "C"), "k": (5,)})
def eca_channels_last(x, k):
    """ECA of width five with np.convolve, channels last."""
    s = x.mean((1, 2))
    z = np.array([np.convolve(np.pad(row, 2), k[::-1], "valid") for row in s])
    g = sigmoid(z)[:, None, None, :]

    def backward(dy):
        dz = ((dy * x).sum((1, 2), keepdims=True) * g * (1 - g))[:, 0, 0]
        ds = np.array([np.convolve(np.pad(row, 2), k, "valid") for row in dz])
        dk = sum(np.correlate(np.pad(a, 2), b, "valid") for a, b in zip(s, dz, strict=True))
        return dy * g + ds[:, None, None, :] / (x.shape[1] * x.shape[2]), dk

    return x * g, backward


@right("N C H W, R C, C R")
def cbam_channel(x, w1, w2):
    """CBAM's channel half: one network for mean and maximum."""
    N, C, H, W = x.shape
    flat = x.reshape(N, C, -1)
    top = flat.argmax(-1)[..., None]
    pooled = [flat.mean(-1), np.take_along_axis(flat, top, -1)[..., 0]]
    hidden = [np.maximum(p @ w1.T, 0) for p in pooled]
    g = sigmoid(sum(h @ w2.T for h in hidden))

    def backward(dy):
        dz = (dy * x).sum((2, 3)) * g * (1 - g)
        dh = [dz @ w2 * (h > 0) for h in hidden]
        davg, dmax = (d @ w1 for d in dh)
        dx = dy.reshape(N, C, -1) * g[..., None] + davg[..., None] / (H * W)
        dx[np.arange(N)[:, None], np.arange(C), top[..., 0]] += dmax
        dw1 = sum(d.T @ p for d, p in zip(dh, pooled, strict=True))
        return dx.reshape(x.shape), dw1, dz.T @ sum(hidden)

    return x * g[:, :, None, None], backward


@right({"x": ("N", "C", "H", "W"), "k": (2, 3, 3)})
def cbam_spatial(x, k):
    """CBAM's spatial half: mean and maximum over channels, then a 3 x 3 convolution."""
    N, C, H, W = x.shape
    arg = x.argmax(1)[:, None]
    m = np.concatenate([x.mean(1, keepdims=True), np.take_along_axis(x, arg, 1)], 1)
    mp = np.pad(m, ((0, 0), (0, 0), (1, 1), (1, 1)))
    z = np.zeros((N, H, W))
    for a, b in np.ndindex(3, 3):
        z += np.tensordot(mp[:, :, a : a + H, b : b + W], k[:, a, b], axes=(1, 0))
    g = sigmoid(z)[:, None]

    def backward(dy):
        dz = (dy * x).sum(1, keepdims=True) * g * (1 - g)
        dmp, dk = np.zeros(mp.shape), np.zeros(k.shape)
        for a, b in np.ndindex(3, 3):
            dk[:, a, b] = (mp[:, :, a : a + H, b : b + W] * dz).sum((0, 2, 3))
            dmp[:, :, a : a + H, b : b + W] += dz * k[None, :, a, b, None, None]
        dm = dmp[:, :, 1:-1, 1:-1]
        dx = dy * g + dm[:, :1] / C
        dx += (np.arange(C)[None, :, None, None] == arg) * dm[:, 1:]
        return dx, dk

    return x * g, backward


@right("N C H W, C")
def spatial_se(x, w):
    """sSE: a gate for each place."""
    q = sigmoid(np.tensordot(w, x, axes=(0, 1)))[:, None]

    def backward(dU):
        dz = (dU * x).sum(1, keepdims=True) * q * (1 - q)
        return dU * q + dz * w[:, None, None], (dz * x).sum((0, 2, 3))

    return x * q, backward


@right("N C H W, C C, C")
def scse_by_maximum(x, W, w):
    """The larger of a channel gate and a spatial gate."""
    s = x.mean((2, 3))
    gc = sigmoid(s @ W.T)[:, :, None, None]
    gs = sigmoid(np.einsum("nchw,c->nhw", x, w))[:, None]
    by_channel = x * gc >= x * gs

    def backward(dy):
        d1, d2 = dy * by_channel, dy * ~by_channel
        dzc = ((d1 * x).sum((2, 3), keepdims=True) * gc * (1 - gc))[:, :, 0, 0]
        dzs = (d2 * x).sum(1, keepdims=True) * gs * (1 - gs)
        dx = d1 * gc + d2 * gs + dzs * w[:, None, None]
        dx += (dzc @ W)[:, :, None, None] / x[0, 0].size
        return dx, dzc.T @ s, np.einsum("nchw,nhw->c", x, dzs[:, 0])

    return np.maximum(x * gc, x * gs), backward


@right("N C H W")
def gather_excite(x):
    """Gather-excite over everything, without parameters."""
    g = sigmoid(x.mean((2, 3), keepdims=True))
    return x * g, lambda dy: dy * g + (dy * x).mean((2, 3), keepdims=True) * g * (1 - g)


@right({"x": ("N", "C", 4, 6)})
def gather_excite_local(x):
    """Gather-excite of windows of two by two, its gates repeated."""
    n, c, h, w = x.shape
    v = x.reshape(n, c, h // 2, 2, w // 2, 2)
    g = sigmoid(v.mean(axis=(3, 5), keepdims=True))

    def backward(dy):
        d = dy.reshape(v.shape)
        dm = np.sum(d * v, axis=(3, 5), keepdims=True) * g * (1 - g)
        return (d * g + dm / 4).reshape(x.shape)

    return (v * g).reshape(x.shape), backward


@right("N C H W, C, C")
def style_recalibration(x, wm, ws):
    """SRM: a gate from mean and standard deviation."""
    mu = x.mean((2, 3), keepdims=True)
    sd = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    wm_, ws_ = wm[:, None, None], ws[:, None, None]
    g = sigmoid(mu * wm_ + sd * ws_)
    M = x.shape[2] * x.shape[3]

    def backward(dy):
        dz = (dy * x).sum((2, 3), keepdims=True) * g * (1 - g)
        dx = dy * g + dz * wm_ / M + dz * ws_ * (x - mu) / (M * sd)
        return dx, (dz * mu).sum((0, 2, 3)), (dz * sd).sum((0, 2, 3))

    return x * g, backward


@right("N C H W, C, C, C")
def gated_channel_transform(x, alpha, gamma, beta, eps=1e-5):
    """GCT: channels compete by their lengths, and the gate is 1 + tanh."""
    root = np.sqrt((x * x).sum((2, 3)) + eps)
    emb = root * alpha
    norm = np.sqrt((emb**2).mean(1, keepdims=True) + eps)
    t = np.tanh(emb * gamma / norm + beta)

    def backward(dy):
        du = (dy * x).sum((2, 3)) * (1 - t * t)
        dhat = du * gamma
        demb = dhat / norm - emb * (dhat * emb).mean(1, keepdims=True) / norm**3
        dx = dy * (1 + t)[..., None, None] + x * (demb * alpha / root)[..., None, None]
        return dx, (demb * root).sum(0), (du * emb / norm).sum(0), du.sum(0)

    return x * (1 + t)[..., None, None], backward


@right("N C H W")
def simam(x, lam=1e-2):
    """SimAM, without parameters; over the number of places."""
    mu = x.mean((2, 3), keepdims=True)
    d2 = (x - mu) ** 2
    den = 4 * (d2.mean((2, 3), keepdims=True) + lam)
    g = sigmoid(d2 / den + 0.5)

    def backward(dy):
        de = dy * x * g * (1 - g)
        dvar = -4 * (de * d2).sum((2, 3), keepdims=True) / den**2
        dc = 2 * (x - mu) * (de / den + dvar / x[0, 0].size)
        return dy * g + dc - dc.mean((2, 3), keepdims=True)

    return x * g, backward


@right("N C H W, C, C R, R C")
def global_context(x, wk, w1, w2):
    """GC block: places are pooled by a softmax, and the result is added."""
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W)
    s = np.einsum("ncp,c->np", f, wk)
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    ctx = np.einsum("ncp,np->nc", f, a)
    h = np.maximum(ctx @ w1, 0)
    out = f + (h @ w2)[:, :, None]

    def backward(dy):
        d = dy.reshape(N, C, -1)
        dt = d.sum(2)
        dh = dt @ w2.T * (h > 0)
        dctx = dh @ w1.T
        da = np.einsum("ncp,nc->np", f, dctx)
        ds = a * (da - (a * da).sum(1, keepdims=True))
        df = d + dctx[:, :, None] * a[:, None] + wk[:, None] * ds[:, None]
        return df.reshape(x.shape), np.einsum("ncp,np->c", f, ds), ctx.T @ dh, h.T @ dt

    return out.reshape(x.shape), backward


@right("N C H W, N C H W, R C, C R, C R")
def selective_kernel(a, b, w, va, vb):
    """SK's choice between two branches."""
    s = (a + b).mean((2, 3))
    z = np.maximum(s @ w.T, 0)
    p = sigmoid(z @ (va - vb).T)
    P = p[:, :, None, None]

    def backward(dy):
        dl = (dy * (a - b)).sum((2, 3)) * p * (1 - p)
        dz = dl @ (va - vb) * (z > 0)
        ds = (dz @ w)[:, :, None, None] / a[0, 0].size
        dv = dl.T @ z
        return dy * P + ds, dy * (1 - P) + ds, dz.T @ s, dv, -dv

    return P * a + (1 - P) * b, backward


@right("N C H W, R C, C R")
def se_with_softmax(x, w1, w2):
    """SE whose gates sum to the number of channels."""
    C = x.shape[1]
    s = x.mean((2, 3))
    h = np.maximum(s @ w1.T, 0)
    v = h @ w2.T
    p = np.exp(v - v.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    g = C * p[:, :, None, None]

    def backward(dy):
        dp = C * (dy * x).sum((2, 3))
        dv = p * (dp - (dp * p).sum(1, keepdims=True))
        dh = dv @ w2 * (h > 0)
        return dy * g + (dh @ w1)[:, :, None, None] / x[0, 0].size, dh.T @ s, dv.T @ h

    return x * g, backward


@right("N C H W, C C, C C")
def coordinate_gates(x, A, B):
    """Coordinate attention, light: gates of rows and of columns."""
    rows, cols = x.mean(3), x.mean(2)
    gr = sigmoid(np.einsum("dc,nch->ndh", A, rows))[:, :, :, None]
    gc = sigmoid(np.einsum("dc,ncw->ndw", B, cols))[:, :, None, :]

    def backward(dy):
        dzr = (dy * x * gc).sum(3) * (gr * (1 - gr))[..., 0]
        dzc = (dy * x * gr).sum(2) * (gc * (1 - gc))[:, :, 0]
        dx = dy * gr * gc
        dx += np.einsum("dc,ndh->nch", A, dzr)[..., None] / x.shape[3]
        dx += np.einsum("dc,ndw->ncw", B, dzc)[:, :, None] / x.shape[2]
        dA, dB = np.einsum("ndh,nch->dc", dzr, rows), np.einsum("ndw,ncw->dc", dzc, cols)
        return dx, dA, dB

    return x * gr * gc, backward


right(
    given=lambda rng: (
        1e3 * rng.standard_normal((2, 3, 2, 3)),
        1e3 * rng.standard_normal((2, 3)),
        rng.standard_normal((3, 2)),
    ),
    title="se_with_silu, saturated",
)(se_with_silu)
right(
    given=lambda rng: (
        1e-8 * rng.standard_normal((2, 3, 2, 3)),
        1e8 * rng.standard_normal((2, 3)),
        rng.standard_normal((3, 2)),
    ),
    title="se_of_mobilenet of values about 1e-8",
)(se_of_mobilenet)
