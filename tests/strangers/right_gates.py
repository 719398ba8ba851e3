"""Right backwards of attention blocks, by another author who had the papers alone."""

import numpy as np

from . import right


def sigmoid(v):
    return 0.5 * (1.0 + np.tanh(0.5 * v))


def relu(v):
    return np.maximum(v, 0)


@right("N C H W, R C, R, C R, C")
def se_max_squeeze(x, w1, b1, w2, b2):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    arg = flat.argmax(2)
    n, c = np.ogrid[:N, :C]
    z = flat[n, c, arg]
    h = z @ w1.T + b1
    a = relu(h)
    s = sigmoid(a @ w2.T + b2)
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dflat = (dy * s[:, :, None, None]).reshape(N, C, H * W)
        dflat[n, c, arg] += dh @ w1
        return dflat.reshape(x.shape), dh.T @ z, dh.sum(0), du.T @ a, du.sum(0)

    return y, backward


@right("N H W C, C R, R C, ()")
def se_temperature(x, w1, w2, log_temp):
    hw = x.shape[1] * x.shape[2]
    tau = 1 + log_temp**2
    z = x.mean(axis=(1, 2))
    h = z @ w1
    a = relu(h)
    u = a @ w2
    s = sigmoid(u / tau)
    y = x * s[:, None, None]

    def backward(dy):
        dv = (dy * x).sum((1, 2)) * s * (1 - s)
        du = dv / tau
        dtau = -(dv * u).sum() / tau**2
        dh = (du @ w2.T) * (h > 0)
        dx = dy * s[:, None, None] + (dh @ w1.T)[:, None, None] / hw
        return dx, z.T @ dh, a.T @ du, dtau * 2 * log_temp

    return y, backward


@right("N C H W, R C 1 1, R, C R 1 1, C")
def se_residual_branch(x, w1, b1, w2, b2):
    """Y = relu(x + se(x))."""
    _N, _C, H, W = x.shape
    A, B = w1[..., 0, 0], w2[..., 0, 0]
    z = x.mean(axis=(2, 3))
    h = z @ A.T + b1
    a = np.where(h > 0, h, 0)
    s = sigmoid(a @ B.T + b2)[..., None, None]
    total = x + x * s
    y = np.where(total > 0, total, 0)

    def backward(dy):
        d = dy * (total > 0)
        du = ((d * x).sum((2, 3), keepdims=True) * s * (1 - s))[..., 0, 0]
        dh = (du @ B) * (h > 0)
        dx = d * (1 + s) + (dh @ A)[..., None, None] / (H * W)
        return dx, (dh.T @ z)[..., None, None], dh.sum(0), (du.T @ a)[..., None, None], du.sum(0)

    return y, backward


@right("N C H W, N G, R C, R G, C R")
def se_with_condition(x, cond, w1, wc, w2):
    P = x.shape[2] * x.shape[3]
    z = np.einsum("nchw->nc", x) / P
    h = np.einsum("nc,rc->nr", z, w1) + np.einsum("ng,rg->nr", cond, wc)
    a = np.tanh(h)
    s = sigmoid(np.einsum("nr,cr->nc", a, w2))
    y = np.einsum("nchw,nc->nchw", x, s)

    def backward(dy):
        du = np.einsum("nchw,nchw->nc", dy, x) * s * (1 - s)
        dw2 = np.einsum("nc,nr->cr", du, a)
        dh = np.einsum("nc,cr->nr", du, w2) * (1 - a * a)
        dw1 = np.einsum("nr,nc->rc", dh, z)
        dwc = np.einsum("nr,ng->rg", dh, cond)
        dcond = np.einsum("nr,rg->ng", dh, wc)
        dz = np.einsum("nr,rc->nc", dh, w1) / P
        dx = np.einsum("nchw,nc->nchw", dy, s) + dz[:, :, None, None]
        return dx, dcond, dw1, dwc, dw2

    return y, backward


@right("N C H W, N C H W, R C, C R")
def se_gate_of_the_other(skip, signal, w1, w2):
    """The gates of the signal scale the skip connection."""
    P = skip.shape[2] * skip.shape[3]
    z = signal.mean((2, 3))
    h = z @ w1.T
    a = relu(h)
    s = sigmoid(a @ w2.T)
    y = skip * s[:, :, None, None] + signal

    def backward(dy):
        du = (dy * skip).sum((2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dsignal = dy + (dh @ w1)[:, :, None, None] / P
        return dy * s[:, :, None, None], dsignal, dh.T @ z, du.T @ a

    return y, backward


@right("N C H W, R C, R, C R, C")
def mobilenet_hard(x, w1, b1, w2, b2):
    N, C, H, W = x.shape
    z = x.reshape(N, C, -1).mean(-1)
    h = z @ w1.T + b1
    a = relu(h)
    u = a @ w2.T + b2
    s = np.minimum(np.maximum(u + 3, 0), 6) / 6
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        du = np.where((u > -3) & (u < 3), ds, 0) / 6
        dh = np.where(h > 0, du @ w2, 0)
        dx = dy * s[:, :, None, None] + np.expand_dims(dh @ w1, (2, 3)) / (H * W)
        return dx, dh.T @ z, dh.sum(0), du.T @ a, du.sum(0)

    return y, backward


@right("N C H W, R C, R, R, ()")
def sse_two_layers(x, w1, b1, w2, b2):
    h = np.einsum("nchw,rc->nrhw", x, w1) + b1[:, None, None]
    a = relu(h)
    q = sigmoid(np.einsum("nrhw,r->nhw", a, w2) + b2)
    y = x * q[:, None]

    def backward(dy):
        dv = (dy * x).sum(1) * q * (1 - q)
        dw2 = np.einsum("nhw,nrhw->r", dv, a)
        dh = dv[:, None] * w2[:, None, None] * (h > 0)
        dw1 = np.einsum("nrhw,nchw->rc", dh, x)
        dx = dy * q[:, None] + np.einsum("nrhw,rc->nchw", dh, w1)
        return dx, dw1, dh.sum((0, 2, 3)), dw2, dv.sum()

    return y, backward


@right("N C H W, C R, R C, C, ()")
def scse_maximum(x, wd, wu, ws, bs):
    P = x.shape[2] * x.shape[3]
    z = x.mean((2, 3))
    h = z @ wd
    a = relu(h)
    s = sigmoid(a @ wu)[:, :, None, None]
    q = sigmoid(np.einsum("nchw,c->nhw", x, ws) + bs)[:, None]
    left, rite = x * s, x * q
    y = np.maximum(left, rite)

    def backward(dy):
        dl = np.where(left > rite, dy, np.where(left == rite, dy / 2, 0))
        dr = dy - dl
        du = (dl * x).sum((2, 3)) * (s * (1 - s))[:, :, 0, 0]
        dwu = a.T @ du
        dh = (du @ wu.T) * (h > 0)
        dwd = z.T @ dh
        dv = (dr * x).sum(1, keepdims=True) * q * (1 - q)
        dws = (dv * x).sum((0, 2, 3))
        dx = dl * s + dr * q + dv * ws[:, None, None] + (dh @ wd.T)[:, :, None, None] / P
        return dx, dwd, dwu, dws, dv.sum()

    return y, backward


@right("N H W C, C R, R C, C")
def scse_concatenated(x, wd, wu, ws):
    _n, hh, ww, c = x.shape
    z = x.mean((1, 2))
    h = z @ wd
    a = relu(h)
    s = sigmoid(a @ wu)[:, None, None]
    q = sigmoid(x @ ws)[..., None]
    y = np.concatenate([x * s, x * q], axis=-1)

    def backward(dy):
        dc, dsp = dy[..., :c], dy[..., c:]
        du = ((dc * x).sum((1, 2), keepdims=True) * s * (1 - s))[:, 0, 0]
        dh = (du @ wu.T) * (h > 0)
        dv = (dsp * x).sum(-1, keepdims=True) * q * (1 - q)
        dx = dc * s + dsp * q + dv * ws + (dh @ wd.T)[:, None, None] / (hh * ww)
        return dx, z.T @ dh, a.T @ du, np.einsum("nhwi,nhwc->c", dv, x)

    return y, backward


@right("N H W C, 5, ()")
def eca_circular_bias(x, k, b):
    c = x.shape[-1]
    z = x.mean((1, 2))
    idx = (np.arange(c)[:, None] + np.arange(5) - 2) % c
    near = z[:, idx]
    s = sigmoid(near @ k + b)
    y = x * s[:, None, None]

    def backward(dy):
        du = (dy * x).sum((1, 2)) * s * (1 - s)
        dk = np.einsum("nc,nck->k", du, near)
        dzT = np.zeros((c, len(x)))
        np.add.at(dzT, idx, np.einsum("nc,k->ckn", du, k))
        dx = dy * s[:, None, None] + dzT.T[:, None, None] / (x.shape[1] * x.shape[2])
        return dx, dk, du.sum()

    return y, backward


@right("N C H W, 1 1 3")
def eca_mean_plus_max(x, w):
    _N, C, H, W = x.shape
    mx = x.max((2, 3))
    z = x.mean((2, 3)) + mx
    zp = np.pad(z, ((0, 0), (1, 1)))
    s = sigmoid(sum(w[0, 0, j] * zp[:, j : j + C] for j in range(3)))
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3)) * s * (1 - s)
        dw = np.array([[[(du * zp[:, j : j + C]).sum() for j in range(3)]]])
        dup = np.pad(du, ((0, 0), (1, 1)))
        dz = sum(w[0, 0, j] * dup[:, 2 - j : 2 - j + C] for j in range(3))
        hot = x == mx[:, :, None, None]
        hot = hot / hot.sum((2, 3), keepdims=True)
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] * (1 / (H * W) + hot)
        return dx, dw

    return y, backward


@right("N H W C, C R, R, R C, C")
def cbam_channel_loops(x, w1, b1, w2, b2):
    n, h, w, c = x.shape
    y = np.empty_like(x)
    kept = []
    for i in range(n):
        pix = x[i].reshape(-1, c)
        pools = [pix.mean(0), pix.max(0)]
        hidden = [p @ w1 + b1 for p in pools]
        s = sigmoid(sum(relu(t) @ w2 + b2 for t in hidden))
        y[i] = x[i] * s
        kept.append((pix, pools, hidden, s))

    def backward(dy):
        dx = np.zeros_like(x)
        dw1, db1, dw2, db2 = (np.zeros_like(v) for v in (w1, b1, w2, b2))
        for i, (pix, pools, hidden, s) in enumerate(kept):
            du = (dy[i] * x[i]).sum((0, 1)) * s * (1 - s)
            dpools = []
            for p, t in zip(pools, hidden, strict=False):
                dw2 += np.outer(relu(t), du)
                db2 += du
                dt = (w2 @ du) * (t > 0)
                dw1 += np.outer(p, dt)
                db1 += dt
                dpools.append(w1 @ dt)
            dpix = np.tile(dpools[0] / (h * w), (h * w, 1))
            dpix[pix.argmax(0), np.arange(c)] += dpools[1]
            dx[i] = dy[i] * s + dpix.reshape(h, w, c)
        return dx, dw1, db1, dw2, db2

    return y, backward


def _correlate(img, ker):
    """(N, M, H, W) with (M, k, k) to (N, H, W), border zero."""
    k = ker.shape[-1]
    p = k // 2
    pad = np.pad(img, ((0, 0), (0, 0), (p, p), (p, p)))
    win = np.lib.stride_tricks.sliding_window_view(pad, (k, k), axis=(2, 3))
    return np.einsum("nmhwij,mij->nhw", win, ker), win


def _correlate_back(du, win, ker):
    k = ker.shape[-1]
    p = k // 2
    dker = np.einsum("nhw,nmhwij->mij", du, win)
    pad = np.pad(du, ((0, 0), (p, p), (p, p)))
    dwin = np.lib.stride_tricks.sliding_window_view(pad, (k, k), axis=(1, 2))
    return np.einsum("nhwij,mij->nmhw", dwin, ker[:, ::-1, ::-1]), dker


@right("N C H W, 1 3 3 3, ()")
def spatial_three_maps(x, w, b):
    """Mean, maximum and minimum over the channels."""
    mx, mn = x.max(1), x.min(1)
    u, win = _correlate(np.stack([x.mean(1), mx, mn], 1), w[0])
    m = sigmoid(u + b)[:, None]
    y = x * m

    def backward(dy):
        du = ((dy * x).sum(1, keepdims=True) * m * (1 - m))[:, 0]
        dmaps, dw = _correlate_back(du, win, w[0])
        dx = dy * m + dmaps[:, :1] / x.shape[1]
        for extreme, d in ((mx, dmaps[:, 1:2]), (mn, dmaps[:, 2:])):
            hot = x == extreme[:, None]
            dx = dx + d * hot / hot.sum(1, keepdims=True)
        return dx, dw[None], du.sum()

    return y, backward


@right("N C H W, R C, C R, 2 5 5")
def cbam_whole(x, w1, w2, k):
    N, C, H, W = x.shape
    mx = x.max((2, 3))
    p = np.concatenate([x.mean((2, 3)), mx])
    h = p @ w1.T
    a = relu(h)
    s = sigmoid((a[:N] + a[N:]) @ w2.T)[:, :, None, None]
    f = x * s
    top = f.max(1, keepdims=True)
    u, win = _correlate(np.concatenate([f.mean(1, keepdims=True), top], 1), k)
    m = sigmoid(u)[:, None]
    y = f * m

    def backward(dy):
        du = (dy * f).sum(1) * (m * (1 - m))[:, 0]
        dmaps, dk = _correlate_back(du, win, k)
        hot = f == top
        df = dy * m + dmaps[:, :1] / C + dmaps[:, 1:] * hot / hot.sum(1, keepdims=True)
        dl = ((df * x).sum((2, 3), keepdims=True) * s * (1 - s))[:, :, 0, 0]
        dw2 = dl.T @ (a[:N] + a[N:])
        dh = np.tile(dl @ w2, (2, 1)) * (h > 0)
        dp = dh @ w1
        peak = x == mx[:, :, None, None]
        peak = peak / peak.sum((2, 3), keepdims=True)
        dx = df * s + dp[:N, :, None, None] / (H * W) + dp[N:, :, None, None] * peak
        return dx, dh.T @ p, dw2, dk

    return y, backward


@right("N C H W")
def ge_windows(x):
    H, W = x.shape[2:]
    e = 3
    A = (np.arange(H)[None] // e == np.arange(-(-H // e))[:, None]).astype(float)
    B = (np.arange(W)[None] // e == np.arange(-(-W // e))[:, None]).astype(float)
    Am, Bm = A / A.sum(1, keepdims=True), B / B.sum(1, keepdims=True)
    s = sigmoid(Am @ x @ Bm.T)
    up = A.T @ s @ B
    y = x * up

    def backward(dy):
        ds = A @ (dy * x) @ B.T
        return dy * up + Am.T @ (ds * s * (1 - s)) @ Bm

    return y, backward


@right("N C 4 6, C 4 6, C")
def ge_theta_plus_global(x, kernel, bias):
    """The gather is one depthwise convolution of the size of the map."""
    z = np.einsum("nchw,chw->nc", x, kernel) + bias
    s = sigmoid(z)[:, :, None, None]

    def backward(dy):
        dz = ((dy * x).sum((2, 3), keepdims=True) * s * (1 - s))[:, :, 0, 0]
        dx = dy * s + dz[:, :, None, None] * kernel
        return dx, np.einsum("nc,nchw->chw", dz, x), dz.sum(0)

    return x * s, backward


@right("N C H W, C C, C")
def ese_piecewise(x, w, b):
    """Keras' hard sigmoid, 0.2 u + 0.5."""
    P = x.shape[2] * x.shape[3]
    z = x.sum((2, 3)) / P
    t = 0.2 * (z @ w + b) + 0.5
    s = np.clip(t, 0, 1)

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        du = 0.2 * ds * ((t > 0) & (t < 1))
        dz = du @ w.T
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / P
        return dx, z.T @ du, du.sum(0)

    return x * s[:, :, None, None], backward


@right("N C H W, C 3, C")
def srm_three_styles(x, w, b):
    """Mean, deviation and mean square."""
    P = x.shape[2] * x.shape[3]
    mu = x.mean((2, 3), keepdims=True)
    sd = np.sqrt(((x - mu) ** 2).mean((2, 3), keepdims=True) + 1e-5)
    ms = (x**2).mean((2, 3), keepdims=True)
    t = np.stack([mu, sd, ms], -1)[:, :, 0, 0]
    s = sigmoid((t * w).sum(-1) + b)[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3), keepdims=True) * s * (1 - s)
        d = du[:, :, 0, 0]
        dw = (d[:, :, None] * t).sum(0)
        a, c, e = (w[:, j, None, None] for j in range(3))
        dx = dy * s + du / P * (a + c * (x - mu) / sd + 2 * e * x)
        return dx, dw, d.sum(0)

    return x * s, backward


@right("N C H W, C 2, C, C")
def srm_batch_norm(x, w, gamma, beta):
    N, C, H, W = x.shape
    f = x.reshape(N, C, -1)
    mu = f.mean(2)
    sd = np.sqrt(f.var(2) + 1e-5)
    z = mu * w[:, 0] + sd * w[:, 1]
    zc = z - z.mean(0)
    iv = (zc**2).mean(0) + 1e-5
    zh = zc / np.sqrt(iv)
    s = sigmoid(gamma * zh + beta)
    y = (f * s[..., None]).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(N, C, -1)
        dl = (d * f).sum(2) * s * (1 - s)
        dzh = dl * gamma
        dvar = (dzh * zc).sum(0) * -0.5 * iv**-1.5
        dzc = dzh / np.sqrt(iv) + 2 * zc * dvar / N
        dz = dzc - dzc.mean(0)
        dw = np.stack([(dz * mu).sum(0), (dz * sd).sum(0)], 1)
        dmu = dz * w[:, 0]
        dsd = dz * w[:, 1]
        df = d * s[..., None] + (dmu[..., None] + (dsd / sd)[..., None] * (f - mu[..., None])) / (
            H * W
        )
        return df.reshape(x.shape), dw, (dl * zh).sum(0), dl.sum(0)

    return y, backward


@right("N C H W, C, C, C")
def gct_l1(x, alpha, gamma, beta):
    """The embedding is the l1 norm, normalised by its mean."""
    eps = 1e-3
    C = x.shape[1]
    r = np.abs(x).sum((2, 3))
    e = alpha * r
    m = np.abs(e).mean(1, keepdims=True) + eps
    t = np.tanh(gamma * e / m + beta)
    y = x * (1 + t)[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3)) * (1 - t**2)
        dhat = du * gamma
        dm = -(dhat * e).sum(1, keepdims=True) / m**2
        de = dhat / m + dm * np.sign(e) / C
        dr = de * alpha
        dx = dy * (1 + t)[:, :, None, None] + dr[:, :, None, None] * np.sign(x)
        return dx, (de * r).sum(0), (du * e / m).sum(0), du.sum(0)

    return y, backward


@right("N C H W, C, R C, R, R, C R, C")
def gc_multiplied(x, wk, w1, g, b, w2, b2):
    N, C, _H, _W = x.shape
    f = x.reshape(N, C, -1)
    log = np.einsum("ncp,c->np", f, wk)
    a = np.exp(log - log.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    ctx = np.einsum("ncp,np->nc", f, a)
    t = ctx @ w1.T
    inv = 1 / np.sqrt(t.var(1, keepdims=True) + 1e-5)
    hat = (t - t.mean(1, keepdims=True)) * inv
    lin = hat * g + b
    r = relu(lin)
    s = sigmoid(r @ w2.T + b2)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dl = (do @ w2) * (lin > 0)
        dh = dl * g
        dt = inv * (dh - dh.mean(1, keepdims=True) - hat * (dh * hat).mean(1, keepdims=True))
        dctx = dt @ w1
        da = np.einsum("nc,ncp->np", dctx, f)
        dlog = a * (da - (a * da).sum(1, keepdims=True))
        df = dctx[:, :, None] * a[:, None] + dlog[:, None] * wk[:, None]
        dx = dy * s[:, :, None, None] + df.reshape(x.shape)
        dwk = np.einsum("np,ncp->c", dlog, f)
        return dx, dwk, dt.T @ ctx, (dl * hat).sum(0), dl.sum(0), do.T @ r, do.sum(0)

    return y, backward


@right("N C H W, N C H W, R C, R, 2 C R, 2 C")
def lc0_block_end(x, skip, w1, b1, w2, b2):
    _N, _C, H, W = x.shape
    z = x.mean((2, 3))
    h = z @ w1.T + b1
    a = relu(h)
    o = np.einsum("nr,kcr->knc", a, w2) + b2[:, None]
    s = sigmoid(o[0])
    total = x * s[:, :, None, None] + o[1][:, :, None, None] + skip
    y = relu(total)

    def backward(dy):
        d = dy * (total > 0)
        do = np.stack([(d * x).sum((2, 3)) * s * (1 - s), d.sum((2, 3))])
        dw2 = np.einsum("knc,nr->kcr", do, a)
        dh = np.einsum("knc,kcr->nr", do, w2) * (h > 0)
        dx = d * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / (H * W)
        return dx, d, dh.T @ z, dh.sum(0), dw2, do.sum(1)

    return y, backward


@right("N H W C, C R, R, R C, C")
def silu_nhwc(x, w1, b1, w2, b2):
    z = np.mean(x, (1, 2))
    h = z @ w1 + b1
    g = sigmoid(h)
    a = h * g
    s = sigmoid(a @ w2 + b2)

    def backward(dy):
        du = np.einsum("nhwc,nhwc->nc", dy, x) * (s - s**2)
        dh = (du @ w2.T) * (g + a * (1 - g))
        dx = dy * s[:, None, None] + (dh @ w1.T)[:, None, None] / (x.shape[1] * x.shape[2])
        return dx, z.T @ dh, dh.sum(0), a.T @ du, du.sum(0)

    return x * s[:, None, None], backward


@right("N C L, N L, R C, C R")
def seq_soft_mask(x, m, w1, w2):
    """The squeeze is a mean weighted by a soft mask, which is learned."""
    p = sigmoid(m)
    total = p.sum(1, keepdims=True)
    z = np.einsum("ncl,nl->nc", x, p) / total
    h = z @ w1.T
    a = relu(h)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(2) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1 / total
        dx = dy * s[:, :, None] + dz[:, :, None] * p[:, None]
        dp = np.einsum("nc,ncl->nl", dz, x) - (dz * z).sum(1, keepdims=True)
        return dx, dp * p * (1 - p), dh.T @ z, du.T @ a

    return x * s[:, :, None], backward


@right("N C D H W, R C, R, C R, C")
def volume_log_sum_exp(x, w1, b1, w2, b2):
    """The squeeze is a smooth maximum over the volume."""
    N, C = x.shape[:2]
    f = x.reshape(N, C, -1)
    top = f.max(2, keepdims=True)
    e = np.exp(f - top)
    tot = e.sum(2, keepdims=True)
    z = (top + np.log(tot) - np.log(f.shape[2]))[:, :, 0]
    h = z @ w1.T + b1
    a = relu(h)
    s = sigmoid(a @ w2.T + b2)
    y = (f * s[:, :, None]).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(f.shape)
        du = (d * f).sum(2) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        df = d * s[:, :, None] + (dh @ w1)[:, :, None] * e / tot
        return df.reshape(x.shape), dh.T @ z, dh.sum(0), du.T @ a, du.sum(0)

    return y, backward
