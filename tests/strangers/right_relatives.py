"""Right backwards of the attention blocks around SE, written from the papers."""

import numpy as np

from . import right


def sigmoid(t):
    return 1.0 / (1.0 + np.exp(-t))


def softmax(t, axis=-1):
    e = np.exp(t - t.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@right("N C H W, R C, C R")
def cse_nobias(x, w1, w2):
    _n, _c, h, w = x.shape
    z = x.mean(axis=(2, 3))
    a = z @ w1.T
    r = np.maximum(a, 0)
    s = sigmoid(r @ w2.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum(axis=(2, 3))
        dq = ds * s * (1 - s)
        dw2 = dq.T @ r
        da = (dq @ w2) * (a > 0)
        dw1 = da.T @ z
        dz = da @ w1
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / (h * w)
        return dx, dw1, dw2

    return y, backward


@right("N H W C, C R, R, R C, C")
def cse_channels_last(x, w1, b1, w2, b2):
    squeezed = np.einsum("nhwc->nc", x) / (x.shape[1] * x.shape[2])
    pre = squeezed @ w1 + b1
    hid = pre * (pre > 0)
    gate = 1 / (1 + np.exp(-(hid @ w2 + b2)))
    y = np.einsum("nhwc,nc->nhwc", x, gate)

    def backward(dy):
        dgate = np.einsum("nhwc,nhwc->nc", dy, x)
        dlogit = dgate * gate * (1 - gate)
        db2 = dlogit.sum(0)
        dw2 = np.einsum("nr,nc->rc", hid, dlogit)
        dpre = np.where(pre > 0, np.einsum("nc,rc->nr", dlogit, w2), 0.0)
        db1 = dpre.sum(0)
        dw1 = np.einsum("nc,nr->cr", squeezed, dpre)
        dsq = dpre @ w1.T
        dx = np.einsum("nhwc,nc->nhwc", dy, gate)
        dx = dx + dsq[:, None, None, :] / (x.shape[1] * x.shape[2])
        return dx, dw1, db1, dw2, db2

    return y, backward


@right("N C H W, C")
def sse_vector(x, w):
    q = np.tensordot(x, w, axes=([1], [0]))  # N H W
    s = sigmoid(q)
    y = x * s[:, None]

    def backward(dy):
        dq = (dy * x).sum(1) * s * (1 - s)
        dx = dy * s[:, None] + dq[:, None] * w.reshape(1, -1, 1, 1)
        dw = np.tensordot(dq, x, axes=([0, 1, 2], [0, 2, 3]))
        return dx, dw

    return y, backward


@right("N C H W, 1 C 1 1, 1")
def sse_conv1x1_bias(x, weight, bias):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    kernel = weight.reshape(C)
    logits = np.empty((N, H * W))
    for n in range(N):
        logits[n] = kernel @ flat[n] + bias[0]
    att = sigmoid(logits)
    y = (flat * att[:, None, :]).reshape(x.shape)

    def backward(dy):
        g = dy.reshape(N, C, H * W)
        dflat = np.zeros_like(flat)
        dk = np.zeros(C)
        db = 0.0
        for n in range(N):
            datt = (g[n] * flat[n]).sum(axis=0)
            dl = datt * att[n] * (1 - att[n])
            dflat[n] = g[n] * att[n] + np.outer(kernel, dl)
            dk += flat[n] @ dl
            db += dl.sum()
        return dflat.reshape(x.shape), dk.reshape(1, C, 1, 1), np.array([db])

    return y, backward


@right("N C H W, R C, R, C R, C, 1 C 1 1")
def scse_add(x, w1, b1, w2, b2, ws):
    hw = x.shape[2] * x.shape[3]
    # channel
    z = x.mean((2, 3))
    u = z @ w1.T + b1
    t = np.maximum(0, u)
    sc = sigmoid(t @ w2.T + b2)[:, :, None, None]
    # space
    ss = sigmoid((x * ws).sum(axis=1, keepdims=True))
    y = x * sc + x * ss

    def backward(dy):
        dsc = (dy * x).sum((2, 3), keepdims=True)
        dlog = (dsc * sc * (1 - sc))[:, :, 0, 0]
        dw2, db2 = dlog.T @ t, dlog.sum(0)
        du = dlog @ w2 * (u > 0)
        dw1, db1 = du.T @ z, du.sum(0)
        dz = du @ w1

        dss = (dy * x).sum(1, keepdims=True)
        dqs = dss * ss * (1 - ss)
        dws = (dqs * x).sum((0, 2, 3), keepdims=True)

        dx = dy * sc + dy * ss
        dx += dz[:, :, None, None] / hw
        dx += dqs * ws
        return dx, dw1, db1, dw2, db2, dws

    return y, backward


@right("N C H W, R C, C R, C")
def scse_elementwise_max(x, w1, w2, wsp):
    m = x.mean(axis=(-1, -2))
    hid = np.maximum(m.dot(w1.T), 0)
    gc = sigmoid(hid.dot(w2.T))
    gs = sigmoid(np.einsum("nchw,c->nhw", x, wsp))
    yc = x * gc[..., None, None]
    ys = x * gs[:, None, :, :]
    pick_c = yc >= ys
    y = np.where(pick_c, yc, ys)

    def backward(dy):
        dyc = np.where(pick_c, dy, 0)
        dys = np.where(pick_c, 0, dy)
        # cSE
        d = np.einsum("nchw,nchw->nc", dyc, x) * gc * (1 - gc)
        dw2 = d.T.dot(hid)
        dh = d.dot(w2)
        dh[hid <= 0] = 0
        dw1 = dh.T.dot(m)
        dx = dyc * gc[..., None, None] + dh.dot(w1)[..., None, None] / x[0, 0].size
        # sSE
        e = np.einsum("nchw,nchw->nhw", dys, x) * gs * (1 - gs)
        dwsp = np.einsum("nhw,nchw->c", e, x)
        dx = dx + dys * gs[:, None] + np.einsum("nhw,c->nchw", e, wsp)
        return dx, dw1, dw2, dwsp

    return y, backward


@right("N C H W, 3")
def eca_k3_loops(x, k):
    N, C, H, W = x.shape
    g = x.mean(axis=(2, 3))
    o = np.zeros((N, C))
    for c in range(C):
        for j in range(3):
            src = c + j - 1
            if 0 <= src < C:
                o[:, c] += k[j] * g[:, src]
    s = sigmoid(o)
    y = x * s.reshape(N, C, 1, 1)

    def backward(dy):
        do = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dg = np.zeros((N, C))
        dk = np.zeros(3)
        for c in range(C):
            for j in range(3):
                src = c + j - 1
                if 0 <= src < C:
                    dg[:, src] += k[j] * do[:, c]
                    dk[j] += (do[:, c] * g[:, src]).sum()
        dx = dy * s.reshape(N, C, 1, 1) + dg.reshape(N, C, 1, 1) / (H * W)
        return dx, dk

    return y, backward


@right("N H W C, 5")
def eca_k5_windows_nhwc(x, k):
    from numpy.lib.stride_tricks import sliding_window_view

    _n, h, w, _c = x.shape
    z = x.mean((1, 2))
    win = sliding_window_view(np.pad(z, ((0, 0), (2, 2))), 5, axis=1)  # n c 5
    s = sigmoid(win @ k)
    y = x * s[:, None, None, :]

    def backward(dy):
        dlog = (dy * x).sum((1, 2)) * s * (1 - s)
        dk = np.einsum("nck,nc->k", win, dlog)
        dwin = sliding_window_view(np.pad(dlog, ((0, 0), (2, 2))), 5, axis=1)
        dz = dwin @ k[::-1]
        dx = dy * s[:, None, None, :] + dz[:, None, None, :] / (h * w)
        return dx, dk

    return y, backward


@right("N C H W, 3")
def eca_circular_roll(x, k):
    p = x.mean(axis=(2, 3), keepdims=True)
    logits = sum(k[i] * np.roll(p, 1 - i, axis=1) for i in range(3))
    a = sigmoid(logits)
    y = x * a

    def backward(dy):
        dl = (dy * x).sum(axis=(2, 3), keepdims=True) * a * (1 - a)
        dk = np.array([(dl * np.roll(p, 1 - i, axis=1)).sum() for i in range(3)])
        dp = sum(k[i] * np.roll(dl, i - 1, axis=1) for i in range(3))
        return dy * a + dp / (x.shape[2] * x.shape[3]), dk

    return y, backward


@right("N C H W, R C, C R")
def cbam_channel(x, w0, w1):
    N, C, H, W = x.shape
    xf = x.reshape(N, C, -1)
    avg, idx = xf.mean(2), xf.argmax(2)
    mx = np.take_along_axis(xf, idx[:, :, None], 2)[:, :, 0]
    ha, hm = np.maximum(avg @ w0.T, 0), np.maximum(mx @ w0.T, 0)
    s = sigmoid(ha @ w1.T + hm @ w1.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dw1 = do.T @ (ha + hm)
        dh = do @ w1
        da, dm = dh * (ha > 0), dh * (hm > 0)
        dw0 = da.T @ avg + dm.T @ mx
        davg, dmx = da @ w0, dm @ w0
        dxf = dy.reshape(N, C, -1) * s[:, :, None] + davg[:, :, None] / (H * W)
        n, c = np.indices((N, C))
        dxf[n, c, idx] += dmx
        return dxf.reshape(x.shape), dw0, dw1

    return y, backward


@right("N C H W, 1 2 3 3, 1")
def cbam_spatial(x, w, b):
    N, C, H, W = x.shape
    f = np.stack([x.mean(1), x.max(1)], axis=1)
    fp = np.pad(f, ((0, 0), (0, 0), (1, 1), (1, 1)))
    o = np.full((N, H, W), b[0])
    for i in range(3):
        for j in range(3):
            o = o + np.einsum("nkhw,k->nhw", fp[:, :, i : i + H, j : j + W], w[0, :, i, j])
    s = sigmoid(o)[:, None]
    y = x * s

    def backward(dy):
        do = ((dy * x).sum(1, keepdims=True) * s * (1 - s))[:, 0]
        dw = np.zeros_like(w)
        dfp = np.zeros_like(fp)
        for i in range(3):
            for j in range(3):
                dw[0, :, i, j] = np.einsum("nhw,nkhw->k", do, fp[:, :, i : i + H, j : j + W])
                dfp[:, :, i : i + H, j : j + W] += do[:, None] * w[0, :, i, j][None, :, None, None]
        df = dfp[:, :, 1:-1, 1:-1]
        dx = dy * s + df[:, :1] / C
        mask = np.arange(C)[None, :, None, None] == x.argmax(1)[:, None]
        dx = dx + mask * df[:, 1:]
        return dx, dw, np.array([do.sum()])

    return y, backward


@right("N C H W, R C, C R, 2 3 3")
def cbam_both(x, w1, w2, k):
    N, C, H, W = x.shape
    xv = x.reshape(N, C, H * W)
    avg = xv.mean(-1)
    top = xv.argmax(-1)
    mx = xv.max(-1)
    both = np.concatenate([avg, mx])  # 2N x C
    hid = np.maximum(both @ w1.T, 0)
    o = hid @ w2.T
    mc = sigmoid(o[:N] + o[N:])[:, :, None, None]
    u = x * mc
    f = np.stack([u.mean(1), u.max(1)], 1)
    fp = np.pad(f, [(0, 0), (0, 0), (1, 1), (1, 1)])
    win = np.lib.stride_tricks.sliding_window_view(fp, (3, 3), axis=(2, 3))
    ms = sigmoid(np.einsum("nahwij,aij->nhw", win, k))[:, None]
    y = u * ms

    def backward(dy):
        # spatial part
        dl = (dy * u).sum(1) * (ms * (1 - ms))[:, 0]
        dk = np.einsum("nahwij,nhw->aij", win, dl)
        dlw = np.lib.stride_tricks.sliding_window_view(
            np.pad(dl, [(0, 0), (1, 1), (1, 1)]), (3, 3), axis=(1, 2)
        )
        df = np.einsum("nhwij,aij->nahw", dlw, k[:, ::-1, ::-1])
        du = dy * ms + df[:, 0:1] / C
        onehot = np.arange(C).reshape(1, C, 1, 1) == u.argmax(1)[:, None]
        du += onehot * df[:, 1:2]
        # channel part
        do = (du * x).sum((2, 3)) * (mc * (1 - mc))[:, :, 0, 0]
        do = np.concatenate([do, do])
        dw2 = do.T @ hid
        dhid = (do @ w2) * (hid > 0)
        dw1 = dhid.T @ both
        dboth = dhid @ w1
        dx = du * mc + dboth[:N, :, None, None] / (H * W)
        sel = np.arange(H * W) == top[:, :, None]
        dx += (sel * dboth[N:, :, None]).reshape(x.shape)
        return dx, dw1, dw2, dk

    return y, backward


@right("N C H W")
def ge_theta_minus_global(x):
    m = x.mean(axis=(2, 3), keepdims=True)
    s = sigmoid(m)
    y = x * s

    def backward(dy):
        hw = x.shape[2] * x.shape[3]
        return s * dy + s * (1 - s) * (dy * x).sum(axis=(2, 3), keepdims=True) / hw

    return y, backward


@right("N C H W")
def ge_theta_minus_extent2(x):
    N, C, H, W = x.shape
    oh, ow = (H - 1) // 2 + 1, (W - 1) // 2 + 1
    pooled = np.zeros((N, C, oh, ow))
    for i in range(oh):
        for j in range(ow):
            pooled[:, :, i, j] = x[
                :, :, max(2 * i - 1, 0) : 2 * i + 2, max(2 * j - 1, 0) : 2 * j + 2
            ].mean((2, 3))
    up = pooled.repeat(2, axis=2).repeat(2, axis=3)[:, :, :H, :W]
    s = sigmoid(up)
    y = x * s

    def backward(dy):
        dup = dy * x * s * (1 - s)
        dx = dy * s
        for i in range(oh):
            for j in range(ow):
                g = dup[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum((2, 3), keepdims=True)
                rows = slice(max(2 * i - 1, 0), min(2 * i + 2, H))
                cols = slice(max(2 * j - 1, 0), min(2 * j + 2, W))
                cnt = (rows.stop - rows.start) * (cols.stop - cols.start)
                dx[:, :, rows, cols] += g / cnt
        return dx

    return y, backward


@right("N C H W, C 3 3")
def ge_theta_depthwise(x, k):
    N, C, H, W = x.shape
    h2, w2 = (H + 1) // 2, (W + 1) // 2
    xp = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)))
    conv = np.zeros((N, C, h2, w2))
    for a in range(3):
        for b in range(3):
            conv += xp[:, :, a : a + 2 * h2 : 2, b : b + 2 * w2 : 2] * k[None, :, a, b, None, None]
    rows = np.arange(H) // 2
    cols = np.arange(W) // 2
    s = sigmoid(conv[:, :, rows][:, :, :, cols])
    y = x * s

    def backward(dy):
        dup = dy * x * s * (1 - s)
        dconv = np.zeros_like(conv)
        np.add.at(dconv, (slice(None), slice(None), rows[:, None], cols[None, :]), dup)
        dk = np.zeros_like(k)
        dxp = np.zeros_like(xp)
        for a in range(3):
            for b in range(3):
                dk[:, a, b] = (dconv * xp[:, :, a : a + 2 * h2 : 2, b : b + 2 * w2 : 2]).sum(
                    (0, 2, 3)
                )
                dxp[:, :, a : a + 2 * h2 : 2, b : b + 2 * w2 : 2] += (
                    dconv * k[None, :, a, b, None, None]
                )
        return dy * s + dxp[:, :, 1 : 1 + H, 1 : 1 + W], dk

    return y, backward


@right("N C H W, C C, C")
def ese_hard_sigmoid(x, w, b):
    pooled = x.mean((2, 3))
    logit = pooled @ w.T + b
    gate = np.clip(logit + 3, 0, 6) / 6
    y = x * gate[:, :, None, None]

    def backward(dy):
        dgate = (dy * x).sum((2, 3))
        dlogit = dgate * ((logit > -3) & (logit < 3)) / 6
        dpool = dlogit @ w
        dx = (
            dy * gate[:, :, None, None]
            + np.broadcast_to(dpool[:, :, None, None], x.shape) / x[0, 0].size
        )
        return dx, dlogit.T @ pooled, dlogit.sum(axis=0)

    return y, backward


@right("N C H W, C 2, C, C")
def srm_batchnorm(x, cfc, gamma, beta):
    N, _C, H, W = x.shape
    M = H * W
    mu = x.mean((2, 3))
    xc = x - mu[:, :, None, None]
    sd = np.sqrt((xc**2).mean((2, 3)) + 1e-5)
    z = mu * cfc[:, 0] + sd * cfc[:, 1]
    zm = z.mean(0)
    inv = 1 / np.sqrt(z.var(0) + 1e-5)
    zh = (z - zm) * inv
    g = sigmoid(gamma * zh + beta)
    y = x * g[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum((2, 3)) * g * (1 - g)
        dgamma = (dt * zh).sum(0)
        dbeta = dt.sum(0)
        dzh = dt * gamma
        dz = inv / N * (N * dzh - dzh.sum(0) - zh * (dzh * zh).sum(0))
        dcfc = np.stack([(dz * mu).sum(0), (dz * sd).sum(0)], axis=1)
        dmu = dz * cfc[:, 0]
        dsd = dz * cfc[:, 1]
        dx = dy * g[:, :, None, None] + dmu[:, :, None, None] / M
        dx += (dsd / sd)[:, :, None, None] * xc / M
        return dx, dcfc, dgamma, dbeta

    return y, backward


@right("N H W C, 2 C, C")
def srm_plain_nhwc(x, w, b):
    _n, h, wd, _c = x.shape
    mean = x.mean(axis=(1, 2), keepdims=True)
    std = np.sqrt(x.var(axis=(1, 2), keepdims=True, ddof=1) + 1e-8)
    a = sigmoid(w[0] * mean + w[1] * std + b)
    y = x * a

    def backward(dy):
        dt = np.sum(dy * x, axis=(1, 2), keepdims=True) * a * (1 - a)
        dw = np.stack([np.sum(dt * mean, axis=(0, 1, 2)), np.sum(dt * std, axis=(0, 1, 2))])
        db = np.sum(dt, axis=(0, 1, 2))
        dx = dy * a + dt * w[0] / (h * wd) + dt * w[1] * (x - mean) / ((h * wd - 1) * std)
        return dx, dw, db

    return y, backward


@right("N C H W, 1 C 1 1, 1 C 1 1, 1 C 1 1")
def gct_l2(x, alpha, gamma, beta):
    l2 = np.sqrt((x * x).sum((2, 3), keepdims=True) + 1e-5)
    e = alpha * l2
    r = 1 / np.sqrt((e * e).mean(1, keepdims=True) + 1e-5)
    nrm = e * r
    t = np.tanh(gamma * nrm + beta)
    y = x * (1 + t)

    def backward(dy):
        dpre = (dy * x).sum((2, 3), keepdims=True) * (1 - t**2)
        dbeta = dpre.sum(0, keepdims=True)
        dgamma = (dpre * nrm).sum(0, keepdims=True)
        dn = dpre * gamma
        de = dn * r - e * r**3 * (dn * e).mean(1, keepdims=True)
        dalpha = (de * l2).sum(0, keepdims=True)
        dx = dy * (1 + t) + de * alpha * x / l2
        return dx, dalpha, dgamma, dbeta

    return y, backward


@right("N C H W, C")
def attention_pool(x, wk):
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W)
    a = softmax(np.einsum("ncp,c->np", f, wk))
    y = np.einsum("ncp,np->nc", f, a)

    def backward(dy):
        da = np.einsum("nc,ncp->np", dy, f)
        dl = a * (da - (a * da).sum(1, keepdims=True))
        df = dy[:, :, None] * a[:, None, :] + wk[None, :, None] * dl[:, None, :]
        return df.reshape(x.shape), np.einsum("np,ncp->c", dl, f)

    return y, backward


@right("N C H W, 1 C, R C, R, R, C R")
def gcblock_layernorm(x, wk, w1, g, b, w2):
    N, C, H, W = x.shape
    X = x.reshape(N, C, H * W)
    A = softmax(wk @ X, axis=2)  # N 1 P
    ctx = (X @ A.transpose(0, 2, 1))[:, :, 0]  # N C
    t = ctx @ w1.T
    xm = t - t.mean(1, keepdims=True)
    rstd = 1 / np.sqrt((xm**2).mean(1, keepdims=True) + 1e-5)
    th = xm * rstd
    v = g * th + b
    r = np.maximum(v, 0)
    y = x + (r @ w2.T)[:, :, None, None]

    def backward(dy):
        dout = dy.sum((2, 3))
        dw2 = dout.T @ r
        dv = dout @ w2 * (v > 0)
        dg, db = (dv * th).sum(0), dv.sum(0)
        dth = dv * g
        dt = rstd * (dth - dth.mean(1, keepdims=True) - th * (dth * th).mean(1, keepdims=True))
        dw1 = dt.T @ ctx
        dctx = dt @ w1
        dA = dctx[:, None, :] @ X
        dL = A * (dA - (dA * A).sum(2, keepdims=True))
        dwk = np.einsum("nop,ncp->oc", dL, X)
        dX = dctx[:, :, None] * A + wk.T * dL
        return dy + dX.reshape(x.shape), dwk, dw1, dg, db, dw2

    return y, backward


@right("N H W C, C, C R, R C")
def gc_scale_nhwc(x, wk, w1, w2):
    n, h, w, c = x.shape
    f = x.reshape(n, h * w, c)
    a = softmax(f @ wk, axis=1)
    ctx = np.einsum("np,npc->nc", a, f)
    hid = np.maximum(ctx @ w1, 0)
    s = sigmoid(hid @ w2)
    y = x * s[:, None, None]

    def backward(dy):
        g = dy.reshape(n, h * w, c)
        dq = (g * f).sum(1) * s * (1 - s)
        dhid = dq @ w2.T * (hid > 0)
        dctx = dhid @ w1.T
        da = (dctx[:, None] * f).sum(-1)
        dl = a * da - a * (a * da).sum(1, keepdims=True)
        df = g * s[:, None] + a[:, :, None] * dctx[:, None] + dl[:, :, None] * wk
        return df.reshape(x.shape), (dl[:, :, None] * f).sum((0, 1)), ctx.T @ dhid, hid.T @ dq

    return y, backward


@right("N 4 H W, R 4, R, 8 R, 8")
def lc0_se(x, w1, b1, w2, b2):
    C = x.shape[1]
    pool = x.mean((2, 3))
    pre = pool @ w1.T + b1
    hid = np.maximum(pre, 0)
    out = hid @ w2.T + b2
    gate, bias = sigmoid(out[:, :C]), out[:, C:]
    y = x * gate[:, :, None, None] + bias[:, :, None, None]

    def backward(dy):
        dgate = (dy * x).sum((2, 3))
        dout = np.concatenate([dgate * gate * (1 - gate), dy.sum((2, 3))], axis=1)
        dw2, db2 = dout.T @ hid, dout.sum(0)
        dpre = (dout @ w2) * (pre > 0)
        dw1, db1 = dpre.T @ pool, dpre.sum(0)
        dx = dy * gate[:, :, None, None] + (dpre @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw1, db1, dw2, db2

    return y, backward


@right("N C H W, R C 1 1, R, C R 1 1, C")
def se_silu(x, fc1_w, fc1_b, fc2_w, fc2_b):
    k1, k2 = fc1_w[:, :, 0, 0], fc2_w[:, :, 0, 0]
    m = x.mean((2, 3))
    p = m @ k1.T + fc1_b
    sp = sigmoid(p)
    h = p * sp
    s = sigmoid(h @ k2.T + fc2_b)
    y = x * s[..., None, None]

    def backward(dy):
        dlog = (dy * x).sum((2, 3)) * s * (1 - s)
        dp = (dlog @ k2) * (sp * (1 + p * (1 - sp)))
        dm = dp @ k1
        dx = dy * s[..., None, None] + dm[..., None, None] / np.prod(x.shape[2:])
        return (
            dx,
            (dp.T @ m)[:, :, None, None],
            dp.sum(0),
            (dlog.T @ h)[:, :, None, None],
            dlog.sum(0),
        )

    return y, backward
