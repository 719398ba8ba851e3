"""Wrong backwards of attention blocks, by a third author who had the papers alone."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import wrong


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def relu(z):
    return np.maximum(z, 0)


@wrong(
    "N C H W, R C, C R",
    mistake="The squeeze path is missing in dx: only dy times the gate is returned.",
    grads="dx",
    says="se.squeeze-path",
)
def se_plain(x, w1, w2):
    p = x.mean(axis=(2, 3))
    z = p @ w1.T
    h = np.maximum(z, 0)
    s = 1 / (1 + np.exp(-(h @ w2.T)))
    y = x * s[:, :, None, None]

    def backward(dy):
        dx = dy * s[:, :, None, None]
        ds = (dy * x).sum(axis=(2, 3))
        dz2 = ds * s * (1 - s)
        dw2 = dz2.T @ h
        dh = dz2 @ w2
        dz = dh * (z > 0)
        dw1 = dz.T @ p
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N C H W, C R, R, R C, C",
    mistake="The gradient of the average pool is not divided by H*W in dfeat.",
    grads="dfeat",
    says="se.squeeze-path.factor",
)
def squeeze_excite_einsum(feat, W_down, b_down, W_up, b_up):
    _n, _c, height, width = feat.shape
    squeezed = np.einsum("nchw->nc", feat) / (height * width)
    pre = np.einsum("nc,cr->nr", squeezed, W_down) + b_down
    act = relu(pre)
    gate = sigmoid(np.einsum("nr,rc->nc", act, W_up) + b_up)
    out = np.einsum("nchw,nc->nchw", feat, gate)

    def backward(grad_out):
        d_gate = np.einsum("nchw,nchw->nc", grad_out, feat)
        d_logit = d_gate * gate * (1 - gate)
        d_W_up = np.einsum("nr,nc->rc", act, d_logit)
        d_b_up = np.einsum("nc->c", d_logit)
        d_act = np.einsum("nc,rc->nr", d_logit, W_up)
        d_pre = np.where(pre > 0, d_act, 0.0)
        d_W_down = np.einsum("nc,nr->cr", squeezed, d_pre)
        d_b_down = np.einsum("nr->r", d_pre)
        d_squeezed = np.einsum("nr,cr->nc", d_pre, W_down)
        d_feat = np.einsum("nchw,nc->nchw", grad_out, gate)
        d_feat = d_feat + d_squeezed[:, :, None, None]
        return d_feat, d_W_down, d_b_down, d_W_up, d_b_up

    return out, backward


@wrong(
    "N H W C, C R, R, R C, C",
    mistake="The ReLU mask tests the activated value h < 0, which never holds, so that nothing "
    "is masked.",
    grads="dx dWa dba",
    says="se.relu:relu.mask-missing",
)
def se_channels_last(x, Wa, ba, Wb, bb):
    avg = x.mean((1, 2))
    h = avg @ Wa + ba
    h = h * (h > 0)
    s = sigmoid(h @ Wb + bb)
    y = x * s[:, None, None, :]

    def backward(dy):
        area = x.shape[1] * x.shape[2]
        dlogit = (dy * x).sum((1, 2)) * (s - s**2)
        dWb = h.T @ dlogit
        dbb = dlogit.sum(0)
        dh = dlogit @ Wb.T
        dh[h < 0] = 0
        dWa = avg.T @ dh
        dba = dh.sum(0)
        davg = dh @ Wa.T / area
        dx = dy * s[:, None, None, :] + davg[:, None, None, :]
        return dx, dWa, dba, dWb, dbb

    return y, backward


@wrong(
    "N C H W, R C 1 1, R, C R 1 1, C",
    mistake="The sigmoid's derivative lacks the factor s: it is (1 - s) instead of s*(1 - s).",
    grads="dx dk1 db1 dk2 db2",
    says="se.gate:sigmoid.y-missing",
)
def se_conv1x1(x, k1, b1, k2, b2):
    def conv1x1(t, k, b):
        return np.tensordot(t, k[:, :, 0, 0], axes=(1, 1)).transpose(0, 3, 1, 2) + b.reshape(
            1, -1, 1, 1
        )

    u = x.mean(axis=(2, 3), keepdims=True)
    a = conv1x1(u, k1, b1)
    r = np.maximum(a, 0)
    s = sigmoid(conv1x1(r, k2, b2))
    y = x * s

    def backward(dy):
        hw = x.shape[2] * x.shape[3]
        ds = np.sum(dy * x, axis=(2, 3), keepdims=True)
        de = ds * (1 - s)
        dk2 = np.einsum("noij,ncij->oc", de, r)[:, :, None, None]
        db2 = de.sum(axis=(0, 2, 3))
        dr = np.einsum("noij,oc->ncij", de, k2[:, :, 0, 0])
        da = dr * (a > 0)
        dk1 = np.einsum("noij,ncij->oc", da, u)[:, :, None, None]
        db1 = da.sum(axis=(0, 2, 3))
        du = np.einsum("noij,oc->ncij", da, k1[:, :, 0, 0])
        dx = dy * s + du / hw
        return dx, dk1, db1, dk2, db2

    return y, backward


@wrong(
    "B C H W, R C, R, C R, C",
    mistake="The gradient of the second bias is averaged over the batch instead of summed.",
    grads="dbias2",
    says="any.factor-too-small",
)
def cse_loop_over_images(images, fc1, bias1, fc2, bias2):
    B, C, H, W = images.shape
    out = np.zeros_like(images)
    cache = []
    for i in range(B):
        pooled = images[i].reshape(C, -1).mean(axis=1)
        t = fc1.dot(pooled) + bias1
        hidden = np.maximum(t, 0)
        gate = sigmoid(fc2.dot(hidden) + bias2)
        out[i] = images[i] * gate[:, None, None]
        cache.append((pooled, t, hidden, gate))

    def backward(dout):
        dimages = np.zeros_like(images)
        dfc1, dfc2 = np.zeros_like(fc1), np.zeros_like(fc2)
        dbias1, dbias2 = np.zeros_like(bias1), np.zeros_like(bias2)
        for i in range(B):
            pooled, t, hidden, gate = cache[i]
            dgate = (dout[i] * images[i]).reshape(C, -1).sum(axis=1)
            dq = dgate * gate * (1 - gate)
            dfc2 += np.outer(dq, hidden)
            dbias2 += dq / B
            dt = fc2.T.dot(dq)
            dt[t <= 0] = 0
            dfc1 += np.outer(dt, pooled)
            dbias1 += dt
            dpooled = fc1.T.dot(dt)
            dimages[i] = dout[i] * gate[:, None, None]
            dimages[i] += dpooled[:, None, None] / (H * W)
        return dimages, dfc1, dbias1, dfc2, dbias2

    return out, backward


@wrong(
    "N C H W, R C, C R",
    mistake="The gradient of w_ex is taken with the pre-activation of the ReLU instead of its "
    "output.",
    grads="dw_ex",
    says="se.second-linear-layer.h-for-a",
)
def cse_flattened(x, w_sq, w_ex):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    m = flat.mean(-1)
    pre = m.dot(w_sq.T)
    post = relu(pre)
    g = sigmoid(post.dot(w_ex.T))
    y = (flat * g[..., None]).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(N, C, H * W)
        dg = np.sum(d * flat, -1)
        dv = dg * g * (1.0 - g)
        dw_ex = dv.T.dot(pre)
        dpre = dv.dot(w_ex) * (pre > 0)
        dw_sq = dpre.T.dot(m)
        dm = dpre.dot(w_sq)
        dflat = d * g[..., None] + dm[..., None] / (H * W)
        return dflat.reshape(x.shape), dw_sq, dw_ex

    return y, backward


@wrong(
    "N C H W, C",
    mistake="The gradient of the spatial gate sums dy over the channels without multiplying by x.",
    grads="dx dw",
    says="spatial-gate.scale:scale-pixels.x-missing",
)
def spatial_se(x, w):
    q = sigmoid((x * w[None, :, None, None]).sum(axis=1, keepdims=True))
    y = x * q

    def backward(dy):
        dq = dy.sum(axis=1, keepdims=True)
        dz = dq * q * (1 - q)
        dw = (dz * x).sum(axis=(0, 2, 3))
        dx = dy * q + dz * w[None, :, None, None]
        return dx, dw

    return y, backward


@wrong(
    "N H W C, C, ()",
    mistake="The sigmoid's derivative is missing: the gradient of the gate is used as that of its "
    "logit.",
    grads="dU dk db",
    says="spatial-gate.gate:sigmoid.missing",
)
def sse_channels_last(U, k, b):
    proj = U @ k + b
    gate = sigmoid(proj)
    out = U * gate[..., None]

    def backward(dout):
        dgate = (dout * U).sum(-1)
        dproj = dgate
        dk = np.tensordot(dproj, U, axes=([0, 1, 2], [0, 1, 2]))
        db = dproj.sum()
        dU = dout * gate[..., None] + dproj[..., None] * k
        return dU, dk, db

    return out, backward


@wrong(
    "N C H W, 1 C 1 1, 1",
    mistake="The gradient of the spatial gate is a mean over the channels instead of a sum.",
    grads="dx dweight dbias",
    says="spatial-gate.scale:scale-pixels.mean",
)
def sse_conv(x, weight, bias):
    n, c, _hh, _ww = x.shape
    xf = x.reshape(n, c, -1)
    wv = weight.reshape(c)
    a = sigmoid(np.einsum("c,ncp->np", wv, xf) + bias[0])
    y = (xf * a[:, None, :]).reshape(x.shape)

    def backward(grad):
        gf = grad.reshape(n, c, -1)
        da = np.mean(gf * xf, axis=1)
        dlogit = da * a * (1 - a)
        dweight = np.einsum("np,ncp->c", dlogit, xf).reshape(weight.shape)
        dbias = np.array([dlogit.sum()])
        dx = gf * a[:, None, :] + wv[None, :, None] * dlogit[:, None, :]
        return dx.reshape(x.shape), dweight, dbias

    return y, backward


@wrong(
    "N C H W, R C, C R, C",
    mistake="dx lacks the direct path through the spatial gate: dy is multiplied by the channel "
    "gate alone.",
    grads="dx",
    says="scse.pixel-scale-path",
)
def scse_sum(x, w1, w2, ws):
    pool = x.mean(axis=(2, 3))
    z1 = pool @ w1.T
    h1 = relu(z1)
    sc = sigmoid(h1 @ w2.T)[:, :, None, None]
    ss = sigmoid(np.einsum("nchw,c->nhw", x, ws))[:, None]
    y = x * sc + x * ss

    def backward(dy):
        g = dy * x
        dzc = g.sum(axis=(2, 3)) * (sc * (1 - sc))[:, :, 0, 0]
        dzs = g.sum(axis=1, keepdims=True) * ss * (1 - ss)
        dw2 = dzc.T @ h1
        dz1 = (dzc @ w2) * (z1 > 0)
        dw1 = dz1.T @ pool
        dws = (dzs * x).sum(axis=(0, 2, 3))
        dx = dy * sc
        dx += (dz1 @ w1)[:, :, None, None] / (x.shape[2] * x.shape[3])
        dx += dzs * ws[None, :, None, None]
        return dx, dw1, dw2, dws

    return y, backward


@wrong(
    "N C H W, R C, C R, C",
    mistake="The maximum of the two branches is not masked in the backward pass: both branches "
    "receive the whole dy.",
    grads="dx dW1 dW2 dws",
    says="scse-larger.larger:larger.both",
)
def scse_maxout(x, W1, W2, ws):
    mean = x.mean((2, 3))
    z = mean @ W1.T
    a = np.maximum(0, z)
    cgate = sigmoid(a @ W2.T)
    sgate = sigmoid(np.tensordot(x, ws, axes=([1], [0])))
    left = x * cgate[:, :, None, None]
    right = x * sgate[:, None, :, :]
    y = np.maximum(left, right)

    def backward(dy):
        dleft = dy
        dright = dy
        dx = dleft * cgate[:, :, None, None] + dright * sgate[:, None, :, :]
        dc = (dleft * x).sum((2, 3)) * cgate * (1 - cgate)
        dW2 = dc.T @ a
        dz = dc @ W2
        dz[z < 0] = 0
        dW1 = dz.T @ mean
        dx = dx + (dz @ W1)[:, :, None, None] / np.prod(x.shape[2:])
        dsp = (dright * x).sum(1) * sgate * (1 - sgate)
        dws = np.einsum("nhw,nchw->c", dsp, x)
        dx = dx + dsp[:, None] * ws.reshape(1, -1, 1, 1)
        return dx, dW1, dW2, dws

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C, C, ()",
    mistake="The spatial branch assigns dx instead of adding to it, so that the channel branch is "
    "lost from dx.",
    grads="dx",
    says="scse.squeeze-path+scse.channel-scale-path",
)
def scse_two_branches(x, fc1_w, fc1_b, fc2_w, fc2_b, conv_w, conv_b):
    N, C, H, W = x.shape
    # channel branch
    avg = x.sum(axis=(2, 3)) / (H * W)
    u = avg @ fc1_w.T + fc1_b
    v = relu(u)
    chn = sigmoid(v @ fc2_w.T + fc2_b)
    # spatial branch
    spa = sigmoid(np.einsum("nchw,c->nhw", x, conv_w) + conv_b)
    y = x * chn.reshape(N, C, 1, 1) + x * spa.reshape(N, 1, H, W)

    def backward(dy):
        # channel branch
        dchn = (dy * x).sum(axis=(2, 3))
        dlogit = dchn * chn * (1 - chn)
        dfc2_w = dlogit.T @ v
        dfc2_b = dlogit.sum(axis=0)
        du = (dlogit @ fc2_w) * (u > 0)
        dfc1_w = du.T @ avg
        dfc1_b = du.sum(axis=0)
        dx = dy * chn.reshape(N, C, 1, 1)
        dx += (du @ fc1_w).reshape(N, C, 1, 1) / (H * W)
        # spatial branch
        dspa = (dy * x).sum(axis=1)
        dmap = dspa * spa * (1 - spa)
        dconv_w = np.einsum("nhw,nchw->c", dmap, x)
        dconv_b = dmap.sum()
        dx = dy * spa.reshape(N, 1, H, W) + dmap[:, None] * conv_w.reshape(1, C, 1, 1)
        return dx, dfc1_w, dfc1_b, dfc2_w, dfc2_b, dconv_w, dconv_b

    return y, backward


@wrong(
    "N H W C, C R, R C, C",
    mistake="The product of both gates: the gradient of the channel gate forgets the factor of the "
    "spatial gate.",
    grads="dx dP dQ",
    says="gates-multiplied.pixel-scale:scale-pixels.s-missing",
)
def scse_product(x, P, Q, v):
    m = x.mean(axis=(1, 2))
    t = m @ P
    r = t.clip(min=0)
    c = sigmoid(r @ Q)[:, None, None, :]
    s = sigmoid(x @ v)[..., None]
    y = x * c * s

    def backward(dy):
        dc = (dy * x).sum(axis=(1, 2))
        ds = (dy * x * c).sum(axis=-1)
        c2, s2 = c[:, 0, 0, :], s[..., 0]
        dlc = dc * c2 * (1 - c2)
        dls = ds * s2 * (1 - s2)
        dQ = r.T @ dlc
        dt = (dlc @ Q.T) * (t > 0)
        dP = m.T @ dt
        dm = dt @ P.T
        dv = np.einsum("nhw,nhwc->c", dls, x)
        dx = dy * c * s + dls[..., None] * v
        dx = dx + dm[:, None, None, :] / (x.shape[1] * x.shape[2])
        return dx, dP, dQ, dv

    return y, backward


@wrong(
    "N C H W, R C, C R, 1 C",
    mistake="The average pool's gradient is divided by shape[1]*shape[2], which is C*H in this "
    "layout and not H*W.",
    grads="dinp",
    says="scse.squeeze-path.factor",
)
def scse_concurrent(inp, w_reduce, w_expand, w_spatial):
    z = np.mean(inp, axis=(-2, -1))
    a1 = z @ w_reduce.T
    a2 = np.where(a1 > 0, a1, 0)
    e = sigmoid(a2 @ w_expand.T)
    q = sigmoid(np.einsum("oc,nchw->nohw", w_spatial, inp))
    total = e[:, :, None, None] + q
    y = inp * total

    def backward(dy):
        dtotal = dy * inp
        de = dtotal.sum(axis=(-2, -1))
        dq = dtotal.sum(axis=1, keepdims=True)
        dpre_e = e * (1 - e) * de
        dpre_q = q * (1 - q) * dq
        dw_expand = dpre_e.T @ a2
        da1 = np.where(a1 > 0, dpre_e @ w_expand, 0)
        dw_reduce = da1.T @ z
        dz = da1 @ w_reduce
        dw_spatial = np.einsum("nohw,nchw->oc", dpre_q, inp)
        dinp = dy * total
        dinp += np.einsum("oc,nohw->nchw", w_spatial, dpre_q)
        dinp += dz[:, :, None, None] / (inp.shape[1] * inp.shape[2])
        return dinp, dw_reduce, dw_expand, dw_spatial

    return y, backward


@wrong(
    "N C H W, 3",
    mistake="The gradient of the pooled channels correlates with the kernel without flipping it.",
    grads="dx",
    says="eca.mix:correlate.flip",
)
def eca_loop(x, w):
    N, C, H, W = x.shape
    p = x.mean(axis=(2, 3))
    pp = np.pad(p, ((0, 0), (1, 1)))
    z = np.zeros((N, C))
    for j in range(3):
        z += w[j] * pp[:, j : j + C]
    s = sigmoid(z)
    y = x * s[:, :, None, None]

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw = np.zeros(3)
        for j in range(3):
            dw[j] = np.sum(dz * pp[:, j : j + C])
        dzp = np.pad(dz, ((0, 0), (1, 1)))
        dp = np.zeros((N, C))
        for j in range(3):
            dp += w[j] * dzp[:, j : j + C]
        dx = dy * s[:, :, None, None] + dp[:, :, None, None] / (H * W)
        return dx, dw

    return y, backward


@wrong(
    "N C H W, 3",
    mistake="The kernel's gradient uses np.roll, so that the channels wrap around the edges "
    "instead of meeting zero padding.",
    grads="dkernel",
    says="eca.mix:correlate.dw-circular",
)
def eca_shifted(feature, kernel):
    pooled = feature.mean((2, 3))
    before = np.zeros_like(pooled)
    before[:, 1:] = pooled[:, :-1]
    after = np.zeros_like(pooled)
    after[:, :-1] = pooled[:, 1:]
    attn = sigmoid(kernel[0] * before + kernel[1] * pooled + kernel[2] * after)
    out = feature * attn[:, :, None, None]

    def backward(dout):
        dlogit = np.einsum("nchw,nchw->nc", dout, feature) * attn * (1 - attn)
        dkernel = np.array([np.sum(dlogit * np.roll(pooled, 1 - j, axis=1)) for j in range(3)])
        dpooled = kernel[1] * dlogit
        dpooled[:, :-1] += kernel[0] * dlogit[:, 1:]
        dpooled[:, 1:] += kernel[2] * dlogit[:, :-1]
        area = feature.shape[2] * feature.shape[3]
        dfeature = dout * attn[:, :, None, None] + (dpooled / area)[:, :, None, None]
        return dfeature, dkernel

    return out, backward


@wrong(
    "N H W C, 5",
    mistake="The derivative of tanh (1 - s**2) is used for the sigmoid.",
    grads="dx dw",
    says="eca.gate:sigmoid.tanh",
)
def eca_k5_channels_last(x, w):
    n, hh, ww, c = x.shape
    k = len(w)
    half = k // 2
    g = x.mean(axis=(1, 2))
    win = sliding_window_view(np.pad(g, [(0, 0), (half, half)]), k, axis=1)
    s = sigmoid(win @ w)
    y = x * s[:, None, None, :]

    def backward(dy):
        ds = (dy * x).sum(axis=(1, 2))
        dz = ds * (1 - s**2)
        dw = np.einsum("nc,nck->k", dz, win)
        dgp = np.zeros((n, c + 2 * half))
        for i in range(c):
            dgp[:, i : i + k] += dz[:, i : i + 1] * w
        dg = dgp[:, half : half + c]
        dx = dy * s[:, None, None, :] + dg[:, None, None, :] / (hh * ww)
        return dx, dw

    return y, backward


@wrong(
    "N C H W, 1 1 3",
    mistake="The gradient of the kernel comes out reversed (taps in the opposite order).",
    grads="dconv",
    says="any.flipped",
)
def eca_conv1d(x, conv):
    taps = conv[0, 0]
    C = x.shape[1]
    avg = x.mean(axis=(2, 3))
    padded = np.pad(avg, ((0, 0), (1, 1)))
    logits = np.stack([np.correlate(row, taps, mode="valid") for row in padded])
    gate = sigmoid(logits)
    y = x * gate[:, :, None, None]

    def backward(dy):
        dlogits = (dy * x).sum(axis=(2, 3)) * gate * (1 - gate)
        dtaps = np.zeros(3)
        for row, d in zip(padded, dlogits, strict=False):
            dtaps += np.convolve(row, d[::-1], mode="valid")[::-1]
        davg = np.stack([np.convolve(d, taps, mode="full")[1 : 1 + C] for d in dlogits])
        dx = dy * gate[:, :, None, None]
        dx += davg[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dtaps.reshape(1, 1, 3)

    return y, backward


@wrong(
    "N C H W, 3",
    mistake="The gradient of the padded channels is cropped at the wrong offset: the first C "
    "entries are kept instead of those after the padding.",
    grads="dx",
    says="eca.mix:correlate.cropped-at-0",
)
def eca_padded(x, k):
    n, c = x.shape[:2]
    mean = x.reshape(n, c, -1).mean(axis=2)
    buf = np.zeros((n, c + 2))
    buf[:, 1 : c + 1] = mean
    z = k[0] * buf[:, :-2] + k[1] * buf[:, 1:-1] + k[2] * buf[:, 2:]
    a = sigmoid(z)
    y = x * a[..., None, None]

    def backward(dy):
        da = (dy * x).reshape(n, c, -1).sum(axis=2)
        dz = da * a * (1 - a)
        dk = np.array([(dz * buf[:, i : i + c]).sum() for i in range(3)])
        dbuf = np.zeros_like(buf)
        for i in range(3):
            dbuf[:, i : i + c] += k[i] * dz
        dmean = dbuf[:, :c]
        pix = x[0, 0].size
        dx = dy * a[..., None, None] + dmean[..., None, None] / pix
        return dx, dk

    return y, backward


@wrong(
    "N C H W, R C, C R",
    mistake="The weights of the shared MLP receive only the gradient of the average-pooled input; "
    "that of the max-pooled input is forgotten.",
    grads="dw1 dw2",
    says=(
        "cbam-channel.first-layer-of-the-maximum-path cbam-channel.second-layer-of-the-maximum-path"
    ),
)
def cbam_channel_gate(x, w1, w2):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, -1)
    pa = flat.mean(axis=2)
    idx = flat.argmax(axis=2)
    pm = np.take_along_axis(flat, idx[..., None], axis=2)[..., 0]
    za, zm = pa @ w1.T, pm @ w1.T
    ha, hm = relu(za), relu(zm)
    s = sigmoid(ha @ w2.T + hm @ w2.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        dflat = dy.reshape(N, C, -1)
        dz = (dflat * flat).sum(axis=2) * s * (1 - s)
        dh = dz @ w2
        dza, dzm = dh * (za > 0), dh * (zm > 0)
        dw2 = dz.T @ ha
        dw1 = dza.T @ pa
        dpa, dpm = dza @ w1, dzm @ w1
        dx = dflat * s[:, :, None] + dpa[:, :, None] / (H * W)
        n, c = np.ogrid[:N, :C]
        dx[n, c, idx] += dpm
        return dx.reshape(x.shape), dw1, dw2

    return y, backward


@wrong(
    "N C H W, C R, R, R C, C",
    mistake="The max pool's gradient is spread evenly over all positions instead of going to the "
    "position of the maximum.",
    grads="dF",
    says="cbam-channel.maximum:global-max-pool.average",
)
def cbam_channel_attention(F, W0, b0, W1, b1):
    avg = F.mean(axis=(2, 3))
    mx = F.max(axis=(2, 3))

    def mlp(v):
        pre = v @ W0 + b0
        act = relu(pre)
        return pre, act, act @ W1 + b1

    pre_a, act_a, out_a = mlp(avg)
    pre_m, act_m, out_m = mlp(mx)
    Mc = sigmoid(out_a + out_m)
    y = F * Mc[:, :, None, None]

    def backward(dy):
        hw = F.shape[2] * F.shape[3]
        dlogit = (dy * F).sum(axis=(2, 3)) * Mc * (1 - Mc)
        dW1 = act_a.T @ dlogit + act_m.T @ dlogit
        db1 = 2 * dlogit.sum(axis=0)
        dact = dlogit @ W1.T
        dpre_a = dact * (pre_a > 0)
        dpre_m = dact * (pre_m > 0)
        dW0 = avg.T @ dpre_a + mx.T @ dpre_m
        db0 = dpre_a.sum(axis=0) + dpre_m.sum(axis=0)
        davg = dpre_a @ W0.T
        dmx = dpre_m @ W0.T
        dF = dy * Mc[:, :, None, None]
        dF += np.ones_like(F) * davg[:, :, None, None] / hw
        dF += np.ones_like(F) * dmx[:, :, None, None] / hw
        return dF, dW0, db0, dW1, db1

    return y, backward


def _conv_same(maps, kernel):
    """(N, 2, H, W) with (2, k, k) -> (N, H, W), zero padding."""
    k = kernel.shape[-1]
    r = k // 2
    mp = np.pad(maps, ((0, 0), (0, 0), (r, r), (r, r)))
    win = sliding_window_view(mp, (k, k), axis=(2, 3))
    return np.einsum("nihwab,iab->nhw", win, kernel), win


def _conv_same_input_grad(dz, kernel):
    k = kernel.shape[-1]
    r = k // 2
    dzp = np.pad(dz, ((0, 0), (r, r), (r, r)))
    win = sliding_window_view(dzp, (k, k), axis=(1, 2))
    return np.einsum("nhwab,iab->nihw", win, kernel[:, ::-1, ::-1])


@wrong(
    "N C H W, 2 3 3",
    mistake="The gradient of the maximum over the channels goes to every channel instead of the "
    "largest one alone.",
    grads="dx",
    says="cbam-spatial.squeeze:max-mean.max-shared",
)
def cbam_spatial_gate(x, kernel):
    maps = np.stack([x.max(axis=1), x.mean(axis=1)], axis=1)
    z, win = _conv_same(maps, kernel)
    s = sigmoid(z)[:, None]
    y = x * s

    def backward(dy):
        ds = (dy * x).sum(axis=1)
        dz = ds * s[:, 0] * (1 - s[:, 0])
        dkernel = np.einsum("nhw,nihwab->iab", dz, win)
        dmaps = _conv_same_input_grad(dz, kernel)
        dmax, dmean = dmaps[:, :1], dmaps[:, 1:]
        dx = dy * s + dmax + dmean / x.shape[1]
        return dx, dkernel

    return y, backward


@wrong(
    "N C H W, 1 2 3 3, 1",
    mistake="The convolution's input gradient uses the kernel unflipped.",
    grads="dx",
    says="cbam-spatial.convolution:conv2d.not-turned",
)
def cbam_spatial_conv_loops(x, weight, bias):
    N, C, H, W = x.shape
    mean_map = x.mean(axis=1)
    max_map = x.max(axis=1)
    desc = np.stack((mean_map, max_map), axis=1)
    dpad = np.pad(desc, ((0, 0), (0, 0), (1, 1), (1, 1)))
    z = np.zeros((N, H, W)) + bias[0]
    for i in range(3):
        for j in range(3):
            for c in range(2):
                z += weight[0, c, i, j] * dpad[:, c, i : i + H, j : j + W]
    M = sigmoid(z)
    y = x * M[:, None]

    def backward(dy):
        dM = np.sum(dy * x, axis=1)
        dz = dM * M * (1 - M)
        dbias = np.array([dz.sum()])
        dweight = np.zeros_like(weight)
        zp = np.pad(dz, ((0, 0), (1, 1), (1, 1)))
        ddesc = np.zeros_like(desc)
        for i in range(3):
            for j in range(3):
                for c in range(2):
                    dweight[0, c, i, j] = np.sum(dz * dpad[:, c, i : i + H, j : j + W])
                    ddesc[:, c] += weight[0, c, i, j] * zp[:, i : i + H, j : j + W]
        dx = dy * M[:, None]
        dx += ddesc[:, 0:1] / C
        dx += ddesc[:, 1:2] * (x == max_map[:, None])
        return dx, dweight, dbias

    return y, backward


@wrong(
    "N H W C, 3 3 2, ()",
    mistake="The mean over the channels is not divided by C in the backward pass.",
    grads="dx",
    says="cbam-spatial.squeeze:channel-mean-max.mean-undivided",
)
def cbam_spatial_channels_last(x, k, b):
    _n, hh, ww, c = x.shape
    which = x.argmax(axis=-1)
    desc = np.stack([x.mean(-1), x.max(-1)], axis=-1)
    padded = np.pad(desc, ((0, 0), (1, 1), (1, 1), (0, 0)))
    z = b + sum(padded[:, i : i + hh, j : j + ww] @ k[i, j] for i in range(3) for j in range(3))
    gate = sigmoid(z)[..., None]
    y = x * gate

    def backward(dy):
        dz = ((dy * x).sum(-1, keepdims=True) * gate * (1 - gate))[..., 0]
        dpadded = np.zeros_like(padded)
        dk = np.empty_like(k)
        for i in range(3):
            for j in range(3):
                dk[i, j] = np.einsum("nhw,nhwd->d", dz, padded[:, i : i + hh, j : j + ww])
                dpadded[:, i : i + hh, j : j + ww] += dz[..., None] * k[i, j]
        ddesc = dpadded[:, 1:-1, 1:-1]
        onehot = np.eye(c)[which]
        dx = dy * gate + ddesc[..., :1] + ddesc[..., 1:] * onehot
        return dx, dk, dz.sum()

    return y, backward


@wrong(
    "N C H W, R C, C R, 2 3 3",
    mistake="The gradient of the spatial gate is taken with the original x instead of the "
    "channel-refined features the gate multiplied.",
    grads="dx dw1 dw2 dks",
    says="cbam.x-for-v",
)
def cbam_whole(x, w1, w2, ks):
    _N, C, H, W = x.shape
    # channel attention
    avg, mx = x.mean((2, 3)), x.max((2, 3))
    za, zm = avg @ w1.T, mx @ w1.T
    ha, hm = relu(za), relu(zm)
    mc = sigmoid((ha + hm) @ w2.T)[:, :, None, None]
    x1 = x * mc
    # spatial attention
    top = x1.max(1, keepdims=True)
    z, win = _conv_same(np.concatenate([x1.mean(1, keepdims=True), top], 1), ks)
    ms = sigmoid(z)[:, None]
    y = x1 * ms

    def backward(dy):
        dms = (dy * x).sum(1)
        dz = dms * (ms * (1 - ms))[:, 0]
        dks = np.einsum("nhw,nihwab->iab", dz, win)
        dmaps = _conv_same_input_grad(dz, ks)
        dx1 = dy * ms + dmaps[:, :1] / C + dmaps[:, 1:] * (x1 == top)

        dmc = (dx1 * x).sum((2, 3))
        dlogit = dmc * (mc * (1 - mc))[:, :, 0, 0]
        dw2 = dlogit.T @ (ha + hm)
        dh = dlogit @ w2
        dza, dzm = dh * (za > 0), dh * (zm > 0)
        dw1 = dza.T @ avg + dzm.T @ mx
        dx = dx1 * mc + (dza @ w1)[:, :, None, None] / (H * W)
        dx += (dzm @ w1)[:, :, None, None] * (x == mx[:, :, None, None])
        return dx, dw1, dw2, dks

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C, 2 3 3, ()",
    mistake="The gradient of the refined features lacks the paths through the spatial gate (the "
    "mean and maximum over the channels).",
    grads="dinp dfc1 dfc1_b dfc2 dfc2_b",
    says="cbam.pixel-squeeze-path",
)
def cbam_full_with_biases(inp, fc1, fc1_b, fc2, fc2_b, conv, conv_b):
    n, c, hh, ww = inp.shape
    p = np.stack([inp.mean((2, 3)), inp.max((2, 3))])  # 2, n, c
    u = p @ fc1.T + fc1_b
    v = relu(u)
    ca = sigmoid((v @ fc2.T + fc2_b).sum(0))
    refined = inp * ca[:, :, None, None]
    desc = np.stack([refined.max(1), refined.mean(1)], 1)
    z, win = _conv_same(desc, conv)
    sa = sigmoid(z + conv_b)
    out = refined * sa[:, None]

    def backward(dout):
        dsa = (dout * refined).sum(1) * sa * (1 - sa)
        dconv = np.einsum("nhw,nihwab->iab", dsa, win)
        dconv_b = dsa.sum()
        drefined = dout * sa[:, None]

        dca = (drefined * inp).sum((2, 3)) * ca * (1 - ca)
        dfc2 = np.einsum("nc,knr->cr", dca, v)
        dfc2_b = 2 * dca.sum(0)
        du = (dca @ fc2)[None] * (u > 0)
        dfc1 = np.einsum("knr,knc->rc", du, p)
        dfc1_b = du.sum((0, 1))
        dp = du @ fc1
        dinp = drefined * ca[:, :, None, None] + dp[0][:, :, None, None] / (hh * ww)
        flat = inp.reshape(n, c, -1)
        hot = np.zeros_like(flat)
        np.put_along_axis(hot, flat.argmax(-1)[..., None], dp[1][..., None], -1)
        dinp += hot.reshape(inp.shape)
        return dinp, dfc1, dfc1_b, dfc2, dfc2_b, dconv, dconv_b

    return out, backward


@wrong(
    "N C H W",
    mistake="The gradient of the global gate is not summed over the positions: each position only "
    "uses its own dy*x.",
    grads="dx",
    says="gather-excite-mean.pixel-sum",
)
def gather_excite_global(x):
    hw = x.shape[2] * x.shape[3]
    g = sigmoid(x.mean(axis=(2, 3), keepdims=True))
    y = x * g

    def backward(dy):
        dg = dy * x
        dx = dy * g + dg * g * (1 - g) / hw
        return (dx,)

    return y, backward


@wrong(
    "N C 4 6",
    mistake="The backward pass of the nearest-neighbour upsampling averages each block instead of "
    "summing it.",
    grads="dx",
    says="gather-excite-windows.repeat:repeat.mean",
)
def gather_excite_extent2(x):
    n, c, hh, ww = x.shape
    e = 2
    blocks = x.reshape(n, c, hh // e, e, ww // e, e)
    gathered = blocks.mean(axis=(3, 5))
    gate = sigmoid(gathered)
    up = gate.repeat(e, axis=2).repeat(e, axis=3)
    y = x * up

    def backward(dy):
        dup = dy * x
        dgate = dup.reshape(n, c, hh // e, e, ww // e, e).mean(axis=(3, 5))
        dgathered = dgate * gate * (1 - gate)
        spread = dgathered.repeat(e, axis=2).repeat(e, axis=3) / (e * e)
        dx = dy * up + spread
        return (dx,)

    return y, backward


@wrong(
    "N 4 4 C",
    mistake="The gradient of the upsampled gate keeps only the top-left entry of each block "
    "instead of the sum over the block.",
    grads="dfeat",
    says="gather-excite-windows.repeat:repeat.one-copy",
)
def ge_local_channels_last(feat):
    pooled = (feat[:, ::2, ::2] + feat[:, 1::2, ::2] + feat[:, ::2, 1::2] + feat[:, 1::2, 1::2]) / 4
    mask = 1 / (1 + np.exp(-pooled))
    big = np.kron(mask, np.ones((1, 2, 2, 1)))
    out = feat * big

    def backward(dout):
        dbig = dout * feat
        dmask = dbig[:, ::2, ::2]
        dpooled = dmask * mask * (1 - mask)
        dfeat = dout * big
        for i in (0, 1):
            for j in (0, 1):
                dfeat[:, i::2, j::2] += dpooled / 4
        return (dfeat,)

    return out, backward


@wrong(
    "N C 4 4, C 3 3",
    mistake="x is rebound to the output before the backward pass, so that the gate's gradient uses "
    "y in place of x.",
    grads="dx dk",
    says="gather-excite-convolution.scale:multiply.y-for-a",
)
def ge_depthwise_stride2(x, k):
    N, C, H, W = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    z = np.zeros((N, C, H // 2, W // 2))
    for i in range(3):
        for j in range(3):
            z += k[:, i, j][None, :, None, None] * xp[:, :, i : i + H : 2, j : j + W : 2]
    g = sigmoid(z)
    up = np.repeat(np.repeat(g, 2, axis=2), 2, axis=3)
    x = x * up

    def backward(dy):
        dup = dy * x
        dg = dup.reshape(N, C, H // 2, 2, W // 2, 2).sum(axis=(3, 5))
        dz = dg * g * (1 - g)
        dk = np.zeros_like(k)
        dxp = np.zeros_like(xp)
        for i in range(3):
            for j in range(3):
                dk[:, i, j] = (dz * xp[:, :, i : i + H : 2, j : j + W : 2]).sum(axis=(0, 2, 3))
                dxp[:, :, i : i + H : 2, j : j + W : 2] += k[:, i, j][None, :, None, None] * dz
        dx = dy * up + dxp[:, :, 1:-1, 1:-1]
        return dx, dk

    return x, backward


@wrong(
    "N C 4 5, C 4 5, C",
    mistake="The gradient of the depthwise kernel multiplies the batch sums of dz and x instead of "
    "summing their products over the batch.",
    grads="dw",
)
def ge_depthwise_global(x, w, b):
    z = np.einsum("nchw,chw->nc", x, w) + b
    s = sigmoid(z)
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = np.einsum("nchw,nchw->nc", dy, x)
        dz = ds * s * (1 - s)
        db = dz.sum(axis=0)
        dw = db[:, None, None] * x.sum(axis=0)
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] * w[None]
        return dx, dw, db

    return y, backward


@wrong(
    "N C H W, C C, C",
    mistake="The derivative of the hard sigmoid lacks the factor 1/6.",
    grads="dx dw db",
    says="channel-gate.gate:hard-sigmoid.slope-missing",
)
def ese_relu6(x, w, b):
    p = x.mean((2, 3))
    z = p @ w.T + b
    s = np.minimum(np.maximum(z + 3, 0), 6) / 6
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        dz = ds * ((z > -3) & (z < 3))
        dw = dz.T @ p
        db = dz.sum(0)
        dp = dz @ w
        dx = dy * s[:, :, None, None] + dp[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw, db

    return y, backward


@wrong(
    "N C H W, C C 1 1, C",
    mistake="The derivative of the logistic sigmoid, s*(1 - s), is used for the hard sigmoid.",
    grads="dX dfc_weight dfc_bias",
    says="channel-gate.gate:hard-sigmoid.sigmoid",
)
def effective_se_module(X, fc_weight, fc_bias):
    fw = fc_weight[:, :, 0, 0]
    pooled = np.average(X, axis=(2, 3))
    logit = np.einsum("oc,nc->no", fw, pooled) + fc_bias
    gate = np.clip(logit / 6 + 0.5, 0, 1)
    Y = X * gate[:, :, None, None]

    def backward(dY):
        dgate = np.einsum("nchw,nchw->nc", dY, X)
        dlogit = dgate * gate * (1 - gate)
        dfc_weight = np.einsum("no,nc->oc", dlogit, pooled)[:, :, None, None]
        dfc_bias = dlogit.sum(axis=0)
        dpooled = np.einsum("oc,no->nc", fw, dlogit)
        dX = dY * gate[:, :, None, None] + dpooled[:, :, None, None] / X[0, 0].size
        return dX, dfc_weight, dfc_bias

    return Y, backward


@wrong(
    "N H W C, C C, C",
    mistake="The gradient of the pooled features multiplies by the weight instead of its "
    "transpose.",
    grads="dx",
    says="channel-gate.linear-layer:dense.w-transposed",
)
def ese_channels_last(x, W, b):
    mu = x.mean(axis=(1, 2))
    t = mu @ W + b
    eta = np.clip((t + 3) / 6, 0, 1)
    y = x * eta[:, None, None, :]

    def backward(dy):
        dt = (dy * x).sum(axis=(1, 2)) / 6
        dt[np.abs(t) >= 3] = 0
        dW = mu.T @ dt
        db = dt.sum(axis=0)
        dmu = dt @ W
        dx = dy * eta[:, None, None, :]
        dx += dmu[:, None, None, :] / (x.shape[1] * x.shape[2])
        return dx, dW, db

    return y, backward


@wrong(
    "N C H W, C C",
    mistake="The gradient of the weight comes out transposed.",
    grads="dweight",
    says="any.transposed",
)
def ese_no_bias(x, weight):
    n, c, hh, ww = x.shape
    avg = x.reshape(n, c, hh * ww).mean(axis=-1)
    lin = avg @ weight.T
    a = np.clip(lin + 3, 0, 6) / 6
    y = x * a.reshape(n, c, 1, 1)

    def backward(dy):
        da = (dy * x).reshape(n, c, -1).sum(axis=-1)
        inside = np.logical_and(lin > -3, lin < 3)
        dlin = da * inside / 6
        dweight = avg.T @ dlin
        davg = dlin @ weight
        dx = dy * a.reshape(n, c, 1, 1) + davg.reshape(n, c, 1, 1) / (hh * ww)
        return dx, dweight

    return y, backward


@wrong(
    "N C H W, C C, C",
    mistake="The hard sigmoid's mask tests 0 < z < 6 on z itself, which has not been shifted by 3.",
    grads="dx dA dc",
    says="channel-gate.gate:hard-sigmoid.relu6",
)
def ese_vovnet(x, A, c):
    m = x.mean(axis=(2, 3))
    z = m.dot(A.T) + c
    h = np.clip(z + 3.0, 0.0, 6.0) / 6.0
    y = x * h[:, :, np.newaxis, np.newaxis]

    def backward(dy):
        dh = (dy * x).sum(axis=(2, 3))
        dz = np.where((z > 0) & (z < 6), dh / 6.0, 0.0)
        dA = dz.T.dot(m)
        dc = dz.sum(axis=0)
        dm = dz.dot(A)
        dx = dy * h[:, :, np.newaxis, np.newaxis]
        dx += (dm / (x.shape[2] * x.shape[3]))[:, :, np.newaxis, np.newaxis]
        return dx, dA, dc

    return y, backward


@wrong(
    "5 C H W, C 2, C, C",
    mistake="dx lacks the path through the standard deviation of the style pooling.",
    grads="dx",
    says="srm.deviation-path",
)
def srm_train(x, cfc, gamma, beta):
    _N, _C, H, W = x.shape
    eps = 1e-5
    mu = x.mean(axis=(2, 3))
    sd = np.sqrt(x.var(axis=(2, 3)) + eps)
    z = cfc[:, 0] * mu + cfc[:, 1] * sd
    zm = z.mean(axis=0)
    inv = 1 / np.sqrt(z.var(axis=0) + eps)
    zn = (z - zm) * inv
    g = sigmoid(gamma * zn + beta)
    y = x * g[:, :, None, None]

    def backward(dy):
        da = (dy * x).sum(axis=(2, 3)) * g * (1 - g)
        dgamma = (da * zn).sum(axis=0)
        dbeta = da.sum(axis=0)
        dzn = da * gamma
        dz = inv * (dzn - dzn.mean(axis=0) - zn * (dzn * zn).mean(axis=0))
        dcfc = np.stack([(dz * mu).sum(axis=0), (dz * sd).sum(axis=0)], axis=1)
        dmu = dz * cfc[:, 0]
        dx = dy * g[:, :, None, None] + dmu[:, :, None, None] / (H * W)
        return dx, dcfc, dgamma, dbeta

    return y, backward


@wrong(
    "5 C H W, C, C, C, C",
    mistake="The batch norm's mean and variance are treated as constants in the backward pass.",
    grads="dx dw_mean dw_std",
    says="srm-vectors.norm:batch-norm.statistics-as-constants",
)
def style_recalibration(x, w_mean, w_std, bn_weight, bn_bias):
    pix = x.shape[2] * x.shape[3]
    mean = x.mean(axis=(2, 3), keepdims=True)
    cent = x - mean
    std = np.sqrt((cent**2).mean(axis=(2, 3), keepdims=True) + 1e-5)
    m, d = mean[:, :, 0, 0], std[:, :, 0, 0]
    t = w_mean * m + w_std * d
    bmean, bvar = t.mean(0), t.var(0)
    that = (t - bmean) / np.sqrt(bvar + 1e-5)
    gate = sigmoid(bn_weight * that + bn_bias)
    y = x * gate[:, :, None, None]

    def backward(dy):
        dgate = np.einsum("nchw,nchw->nc", dy, x)
        dpre = dgate * gate * (1 - gate)
        dbn_weight = (dpre * that).sum(0)
        dbn_bias = dpre.sum(0)
        dt = dpre * bn_weight / np.sqrt(bvar + 1e-5)
        dw_mean = (dt * m).sum(0)
        dw_std = (dt * d).sum(0)
        dm, dd = dt * w_mean, dt * w_std
        dx = dy * gate[:, :, None, None]
        dx += dm[:, :, None, None] / pix
        dx += dd[:, :, None, None] * cent / (std * pix)
        return dx, dw_mean, dw_std, dbn_weight, dbn_bias

    return y, backward


@wrong(
    "N C H W, C 2, C",
    mistake="The derivative of the variance, 2*(x - mean)/(H*W), is used for that of the standard "
    "deviation.",
    grads="dx",
    says="style-gate.deviation:deviation.variance",
)
def srm_folded_norm(x, w, b):
    n, c, hh, ww = x.shape
    f = x.reshape(n, c, -1)
    mu = f.mean(-1)
    sigma = np.sqrt(f.var(-1) + 1e-6)
    style = np.stack([mu, sigma], axis=-1)
    g = sigmoid((style * w).sum(-1) + b)
    y = x * g[:, :, None, None]

    def backward(dy):
        d = dy.reshape(n, c, -1)
        dz = (d * f).sum(-1) * g * (1 - g)
        dw = (dz[..., None] * style).sum(0)
        db = dz.sum(0)
        dstyle = dz[..., None] * w
        dmu, dsigma = dstyle[..., 0], dstyle[..., 1]
        df = d * g[..., None]
        df = df + dmu[..., None] / (hh * ww)
        df = df + dsigma[..., None] * 2 * (f - mu[..., None]) / (hh * ww)
        return df.reshape(x.shape), dw, db

    return y, backward


@wrong(
    "N H W C, 2 C, C",
    mistake="The standard deviation is unbiased in the forward pass (H*W - 1), but its gradient "
    "divides by H*W.",
    grads="dx",
    says="style-gate.deviation:deviation.biased",
)
def srm_unbiased(x, cfc, bias):
    pixels = x.shape[1] * x.shape[2]
    mean = x.mean(axis=(1, 2))
    std = x.std(axis=(1, 2), ddof=1)
    a = sigmoid(mean * cfc[0] + std * cfc[1] + bias)
    y = x * a[:, None, None]

    def backward(dy):
        dz = (dy * x).sum(axis=(1, 2)) * a * (1 - a)
        dcfc = np.stack([np.sum(dz * mean, 0), np.sum(dz * std, 0)])
        dbias = dz.sum(0)
        dmean = dz * cfc[0]
        dstd = dz * cfc[1]
        dx = dy * a[:, None, None]
        dx = dx + dmean[:, None, None] / pixels
        dx = dx + (dstd / std)[:, None, None] * (x - mean[:, None, None]) / pixels
        return dx, dcfc, dbias

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake="The normaliser over the channels is treated as a constant.",
    grads="dx dalpha",
    says="gct.normalisation:rms-norm.sigma-constant",
)
def gct(x, alpha, gamma, beta):
    eps = 1e-5
    norm = np.sqrt((x**2).sum(axis=(2, 3)) + eps)
    s = alpha * norm
    rms = np.sqrt((s**2).mean(axis=1, keepdims=True) + eps)
    shat = s / rms
    t = np.tanh(gamma * shat + beta)
    y = x * (1 + t)[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum(axis=(2, 3))
        dz = dt * (1 - t**2)
        dgamma = (dz * shat).sum(axis=0)
        dbeta = dz.sum(axis=0)
        dshat = dz * gamma
        ds = dshat / rms
        dalpha = (ds * norm).sum(axis=0)
        dnorm = ds * alpha
        dx = dy * (1 + t)[:, :, None, None]
        dx += (dnorm / norm)[:, :, None, None] * x
        return dx, dalpha, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, 1 C 1 1, 1 C 1 1",
    mistake="The derivative of tanh is computed from the gate 1 + tanh instead of tanh.",
    grads="dx dalpha dgamma dbeta",
    says="gct.tanh-of-the-gate",
)
def gated_channel_transform(x, alpha, gamma, beta):
    eps = 1e-5
    c = x.shape[1]
    l2 = np.sqrt(np.sum(x * x, axis=(2, 3), keepdims=True) + eps)
    emb = l2 * alpha
    msq = np.mean(emb * emb, axis=1, keepdims=True) + eps
    normed = emb * msq**-0.5
    gate = 1.0 + np.tanh(normed * gamma + beta)
    out = x * gate

    def backward(dout):
        dgate = np.sum(dout * x, axis=(2, 3), keepdims=True)
        dpre = dgate * (1 - gate**2)
        dbeta = dpre.sum(axis=0, keepdims=True)
        dgamma = (dpre * normed).sum(axis=0, keepdims=True)
        dnormed = dpre * gamma
        dot = np.sum(dnormed * emb, axis=1, keepdims=True)
        demb = dnormed * msq**-0.5 - emb * dot * msq**-1.5 / c
        dalpha = (demb * l2).sum(axis=0, keepdims=True)
        dl2 = demb * alpha
        dx = dout * gate + dl2 * x / l2
        return dx, dalpha, dgamma, dbeta

    return out, backward


@wrong(
    "N H W C, C, C, C",
    mistake="A superfluous factor 2 in the gradient of the L2 norm: 2*x/norm instead of x/norm.",
    grads="dx",
    says="gct.length-path.factor",
)
def gct_channels_last(x, a, g, b):
    e = 1e-5
    C = x.shape[-1]
    nrm = np.sqrt(np.einsum("nhwc,nhwc->nc", x, x) + e)
    s = nrm * a
    r = 1 / np.sqrt(np.einsum("nc,nc->n", s, s) / C + e)
    sh = s * r[:, None]
    th = np.tanh(sh * g + b)
    y = x * (1 + th[:, None, None, :])

    def backward(dy):
        dth = np.einsum("nhwc,nhwc->nc", dy, x)
        du = dth * (1 - th * th)
        dg = np.einsum("nc,nc->c", du, sh)
        db = np.einsum("nc->c", du)
        dsh = du * g
        ds = dsh * r[:, None] - s * (np.einsum("nc,nc->n", dsh, s) * r**3 / C)[:, None]
        da = np.einsum("nc,nc->c", ds, nrm)
        dn = ds * a
        dx = dy * (1 + th[:, None, None, :]) + 2 * x * (dn / nrm)[:, None, None, :]
        return dx, da, dg, db

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake="The gradient of gamma uses the embedding before its normalisation.",
    grads="dgating_weight",
    says="gct.weighting.e-for-n",
)
def gct_named(x, embedding_weight, gating_weight, gating_bias):
    N, C = x.shape[:2]
    flat = x.reshape(N, C, -1)
    length = np.sqrt((flat**2).sum(axis=2) + 1e-6)
    emb = embedding_weight * length
    total = (emb**2).sum(axis=1, keepdims=True) + 1e-6
    scale = np.sqrt(C) / np.sqrt(total)
    hat = scale * emb
    th = np.tanh(gating_weight * hat + gating_bias)
    y = (flat + flat * th[:, :, None]).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(N, C, -1)
        dth = (d * flat).sum(axis=2)
        dpre = dth * (1 - th**2)
        dgating_bias = dpre.sum(axis=0)
        dgating_weight = (dpre * emb).sum(axis=0)
        dhat = dpre * gating_weight
        demb = scale * (dhat - emb * (dhat * emb).sum(axis=1, keepdims=True) / total)
        dembedding_weight = (demb * length).sum(axis=0)
        dlength = demb * embedding_weight
        dflat = d * (1 + th[:, :, None]) + flat * (dlength / length)[:, :, None]
        return dflat.reshape(x.shape), dembedding_weight, dgating_weight, dgating_bias

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake="The gradient of the absolute value in the L1 norm lacks the sign of x.",
    grads="dx",
)
def gct_l1_mode(x, alpha, gamma, beta):
    c = x.shape[1]
    size = np.abs(x).sum(axis=(2, 3))
    emb = size * alpha
    denom = np.abs(emb).mean(axis=1, keepdims=True) + 1e-5
    hat = emb / denom
    t = np.tanh(hat * gamma + beta)
    gate = (1 + t)[:, :, None, None]
    y = x * gate

    def backward(dy):
        dz = (dy * x).sum(axis=(2, 3)) * (1 - t**2)
        dbeta = dz.sum(axis=0)
        dgamma = (dz * hat).sum(axis=0)
        dhat = dz * gamma
        ddenom = -(dhat * emb).sum(axis=1, keepdims=True) / denom**2
        demb = dhat / denom + ddenom * np.sign(emb) / c
        dalpha = (demb * size).sum(axis=0)
        dsize = demb * alpha
        dx = dy * gate + np.ones_like(x) * dsize[:, :, None, None]
        return dx, dalpha, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, C, R C, C R",
    mistake="The softmax's gradient is a*da, without subtracting the sum of a*da over the "
    "positions.",
    grads="dx dwk",
    says="simple-context.softmax:softmax.sum-missing",
)
def gc_simple(x, wk, w1, w2):
    N, C, H, W = x.shape
    xf = x.reshape(N, C, H * W)
    lg = np.einsum("c,ncp->np", wk, xf)
    e = np.exp(lg - lg.max(axis=1, keepdims=True))
    a = e / e.sum(axis=1, keepdims=True)
    ctx = np.einsum("ncp,np->nc", xf, a)
    z = ctx @ w1.T
    h = relu(z)
    t = h @ w2.T
    y = x + t[:, :, None, None]

    def backward(dy):
        d = dy.reshape(N, C, H * W)
        dt = d.sum(axis=2)
        dw2 = dt.T @ h
        dz = (dt @ w2) * (z > 0)
        dw1 = dz.T @ ctx
        dctx = dz @ w1
        da = np.einsum("nc,ncp->np", dctx, xf)
        dlg = a * da
        dwk = np.einsum("np,ncp->c", dlg, xf)
        dxf = d + dctx[:, :, None] * a[:, None, :] + wk[None, :, None] * dlg[:, None, :]
        return dxf.reshape(x.shape), dwk, dw1, dw2

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, R C 1 1, R, C R 1 1, C",
    mistake="dx lacks the path through the attention logits (the key convolution).",
    grads="dx",
    says="simple-context.one-map-path",
)
def global_context_conv(x, conv_mask, conv1, bias1, conv2, bias2):
    _n, _c = x.shape[:2]
    k1, k2 = conv1[:, :, 0, 0], conv2[:, :, 0, 0]
    score = np.einsum("oc,nchw->nhw", conv_mask[:, :, 0, 0], x)
    score = score - score.max(axis=(1, 2), keepdims=True)
    prob = np.exp(score)
    prob = prob / prob.sum(axis=(1, 2), keepdims=True)
    context = np.einsum("nchw,nhw->nc", x, prob)
    u = context @ k1.T + bias1
    v = relu(u)
    add = v @ k2.T + bias2
    out = x + add[:, :, None, None]

    def backward(dout):
        dadd = dout.sum(axis=(2, 3))
        dconv2 = (dadd.T @ v)[:, :, None, None]
        dbias2 = dadd.sum(axis=0)
        du = (dadd @ k2) * (u > 0)
        dconv1 = (du.T @ context)[:, :, None, None]
        dbias1 = du.sum(axis=0)
        dcontext = du @ k1
        dprob = np.einsum("nc,nchw->nhw", dcontext, x)
        dscore = prob * (dprob - (prob * dprob).sum(axis=(1, 2), keepdims=True))
        dconv_mask = np.einsum("nhw,nchw->c", dscore, x).reshape(conv_mask.shape)
        dx = dout + dcontext[:, :, None, None] * prob[:, None]
        return dx, dconv_mask, dconv1, dbias1, dconv2, dbias2

    return out, backward


@wrong(
    "N C H W, C, R C, R, R, C R",
    mistake="The layer norm's mean and standard deviation are treated as constants in the backward "
    "pass.",
    grads="dx dwk dwv1",
    says="global-context.norm:layer-norm.sigma-constant",
)
def gc_layernorm(x, wk, wv1, ln_g, ln_b, wv2):
    n, c, _hh, _ww = x.shape
    f = x.reshape(n, c, -1)
    s = np.einsum("ncp,c->np", f, wk)
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    ctx = (f * a[:, None]).sum(-1)
    z = ctx @ wv1.T
    mean = z.mean(1, keepdims=True)
    sd = np.sqrt(z.var(1, keepdims=True) + 1e-5)
    zn = (z - mean) / sd
    q = zn * ln_g + ln_b
    h = relu(q)
    y = x + (h @ wv2.T)[:, :, None, None]

    def backward(dy):
        dout = dy.sum((2, 3))
        dwv2 = dout.T @ h
        dq = (dout @ wv2) * (q > 0)
        dln_g = (dq * zn).sum(0)
        dln_b = dq.sum(0)
        dz = dq * ln_g / sd
        dwv1 = dz.T @ ctx
        dctx = dz @ wv1
        da = np.einsum("nc,ncp->np", dctx, f)
        ds = a * (da - (a * da).sum(1, keepdims=True))
        dwk = np.einsum("np,ncp->c", ds, f)
        df = dctx[:, :, None] * a[:, None] + ds[:, None] * wk[:, None]
        return dy + df.reshape(x.shape), dwk, dwv1, dln_g, dln_b, dwv2

    return y, backward


@wrong(
    "N H W C, C, C R, R, R C, C",
    mistake="The gradient of the added context is the mean of dy over the positions instead of the "
    "sum.",
    grads="dx dk dU dc dV de",
    says="simple-context.shift.dt.factor",
)
def gc_channels_last(x, k, U, c, V, e):
    n, hh, ww, ch = x.shape
    X = x.reshape(n, hh * ww, ch)
    logits = X @ k
    w = np.exp(logits - logits.max(-1, keepdims=True))
    w = w / w.sum(-1, keepdims=True)
    g = np.einsum("np,npc->nc", w, X)
    pre = g @ U + c
    act = pre * (pre > 0)
    y = x + (act @ V + e)[:, None, None, :]

    def backward(dy):
        dadd = dy.mean(axis=(1, 2))
        dV = act.T @ dadd
        de = dadd.sum(0)
        dpre = dadd @ V.T * (pre > 0)
        dU = g.T @ dpre
        dc = dpre.sum(0)
        dg = dpre @ U.T
        dw = np.einsum("nc,npc->np", dg, X)
        dlogits = w * (dw - np.sum(w * dw, -1, keepdims=True))
        dk = np.einsum("np,npc->c", dlogits, X)
        dX = w[..., None] * dg[:, None, :] + dlogits[..., None] * k
        return dy + dX.reshape(x.shape), dk, dU, dc, dV, de

    return y, backward


@wrong(
    "N C H W, C, C C",
    mistake="dx lacks the identity path: dy itself is not added.",
    grads="dx",
    says="one-layer-context.shift-path",
)
def gc_simplified_nonlocal(x, w_key, w_value):
    n, c, _hh, _ww = x.shape
    flat = x.reshape(n, c, -1)
    ex = np.exp(np.tensordot(w_key, flat, axes=(0, 1)))
    att = ex / ex.sum(-1, keepdims=True)
    pooled = np.stack([flat[i] @ att[i] for i in range(n)])
    y = x + (pooled @ w_value.T).reshape(n, c, 1, 1)

    def backward(dy):
        dval = dy.reshape(n, c, -1).sum(-1)
        dw_value = dval.T @ pooled
        dpooled = dval @ w_value
        dflat = np.zeros_like(flat)
        dw_key = np.zeros_like(w_key)
        for i in range(n):
            datt = flat[i].T @ dpooled[i]
            dlog = att[i] * (datt - att[i] @ datt)
            dw_key += flat[i] @ dlog
            dflat[i] = np.outer(dpooled[i], att[i]) + np.outer(w_key, dlog)
        return dflat.reshape(x.shape), dw_key, dw_value

    return y, backward


@wrong(
    "N 4 H W, 3 4, 3, 8 3, 8",
    mistake="The halves for scale and bias are concatenated in the wrong order in the backward "
    "pass.",
    grads="dx dw1 db1 dw2 db2",
    says="scale-bias-se.halves-exchanged",
)
def lc0_se(x, w1, b1, w2, b2):
    C = x.shape[1]
    pool = x.mean(axis=(2, 3))
    z = pool @ w1.T + b1
    h = relu(z)
    o = h @ w2.T + b2
    gamma, beta = o[:, :C], o[:, C:]
    s = sigmoid(gamma)
    y = x * s[:, :, None, None] + beta[:, :, None, None]

    def backward(dy):
        dbeta = dy.sum(axis=(2, 3))
        dgamma = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        do = np.concatenate([dbeta, dgamma], axis=1)
        dw2 = do.T @ h
        db2 = do.sum(axis=0)
        dz = (do @ w2) * (z > 0)
        dw1 = dz.T @ pool
        db1 = dz.sum(axis=0)
        dpool = dz @ w1
        dx = dy * s[:, :, None, None] + dpool[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, C R, R, 2 R C, 2 C",
    mistake="The gradient of the added bias is the mean of dy over the board instead of the sum.",
    grads="dplanes dfc_in dfc_in_b dfc_out dfc_out_b",
    says="any.factor-per-axis",
)
def lczero_scale_and_bias(planes, fc_in, fc_in_b, fc_out, fc_out_b):
    area = planes.shape[2] * planes.shape[3]
    avg = planes.sum(axis=(2, 3)) / area
    pre = avg @ fc_in + fc_in_b
    act = np.maximum(pre, 0)
    both = np.einsum("nr,krc->knc", act, fc_out) + fc_out_b[:, None, :]
    scale = sigmoid(both[0])
    y = planes * scale[:, :, None, None] + both[1][:, :, None, None]

    def backward(dy):
        dboth = np.empty_like(both)
        dboth[0] = (dy * planes).sum(axis=(2, 3)) * scale * (1 - scale)
        dboth[1] = dy.mean(axis=(2, 3))
        dfc_out = np.einsum("nr,knc->krc", act, dboth)
        dfc_out_b = dboth.sum(axis=1)
        dact = np.einsum("knc,krc->nr", dboth, fc_out)
        dpre = dact * (pre > 0)
        dfc_in = avg.T @ dpre
        dfc_in_b = dpre.sum(axis=0)
        davg = dpre @ fc_in.T
        dplanes = dy * scale[:, :, None, None] + davg[:, :, None, None] / area
        return dplanes, dfc_in, dfc_in_b, dfc_out, dfc_out_b

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C, C R, C",
    mistake="The gradient of the hidden layer lacks the path through the additive bias branch.",
    grads="dx dw1 db1",
    says="scale-bias-se.bias-layer-path",
)
def leela_se_separate(x, w1, b1, wg, bg, wb, bb):
    m = x.mean((2, 3))
    u = m @ w1.T + b1
    h = relu(u)
    g = sigmoid(h @ wg.T + bg)
    add = h @ wb.T + bb
    y = g[:, :, None, None] * x + add[:, :, None, None]

    def backward(dy):
        dg = np.einsum("nchw,nchw->nc", dy, x) * g * (1 - g)
        dadd = np.einsum("nchw->nc", dy)
        dwg, dbg = dg.T @ h, dg.sum(0)
        dwb, dbb = dadd.T @ h, dadd.sum(0)
        dh = dg @ wg
        du = dh * (u > 0)
        dw1, db1 = du.T @ m, du.sum(0)
        dm = (du @ w1) / (x.shape[2] * x.shape[3])
        dx = g[:, :, None, None] * dy + dm[:, :, None, None]
        return dx, dw1, db1, dwg, dbg, dwb, dbb

    return y, backward


@wrong(
    "N 3 H W, N 3 H W, R 3, R, 6 R, 6",
    mistake="The gradient of the skip connection is dy without the mask of the final ReLU.",
    grads="dskip",
    says="scale-bias-se-shortcut-relu.dskip-too-early",
)
def lc0_residual_tail(x, skip, w1, b1, w2, b2):
    pool = x.mean(axis=(2, 3))
    z1 = pool @ w1.T + b1
    a1 = relu(z1)
    z2 = a1 @ w2.T + b2
    gam, bet = np.split(z2, 2, axis=1)
    sg = sigmoid(gam)
    pre = sg[:, :, None, None] * x + bet[:, :, None, None] + skip
    y = relu(pre)

    def backward(dy):
        dpre = dy * (pre > 0)
        dskip = dy
        dgam = (dpre * x).sum(axis=(2, 3)) * sg * (1 - sg)
        dbet = dpre.sum(axis=(2, 3))
        dz2 = np.hstack([dgam, dbet])
        dw2, db2 = dz2.T @ a1, dz2.sum(axis=0)
        dz1 = (dz2 @ w2) * (z1 > 0)
        dw1, db1 = dz1.T @ pool, dz1.sum(axis=0)
        dpool = dz1 @ w1 / (x.shape[2] * x.shape[3])
        dx = dpre * sg[:, :, None, None] + dpool[:, :, None, None]
        return dx, dskip, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The derivative of SiLU is taken as that of the sigmoid alone, sig*(1 - sig).",
    grads="dx dw_reduce db_reduce",
    says="se.inner-activation:silu.1-s-alone",
)
def efficientnet_se(x, w_reduce, b_reduce, w_expand, b_expand):
    p = x.mean(axis=(2, 3))
    z = p @ w_reduce.T + b_reduce
    sig = sigmoid(z)
    h = z * sig
    s = sigmoid(h @ w_expand.T + b_expand)
    y = x * s[:, :, None, None]

    def backward(dy):
        de = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw_expand = de.T @ h
        db_expand = de.sum(axis=0)
        dh = de @ w_expand
        dz = dh * sig * (1 - sig)
        dw_reduce = dz.T @ p
        db_reduce = dz.sum(axis=0)
        dp = dz @ w_reduce
        dx = dy * s[:, :, None, None] + dp[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw_reduce, db_reduce, dw_expand, db_expand

    return y, backward


@wrong(
    "N H W C, C R, R, R C, C",
    mistake="The derivative of SiLU is evaluated at its output instead of its input.",
    grads="dx dW1 db1",
    says="se.inner-activation:silu.twice",
)
def mbconv_se_swish(x, W1, b1, W2, b2):
    def swish(t):
        return t / (1 + np.exp(-t))

    def swish_grad(t):
        q = 1 / (1 + np.exp(-t))
        return q + t * q * (1 - q)

    sq = x.mean((1, 2))
    t1 = sq @ W1 + b1
    a1 = swish(t1)
    ex = sigmoid(a1 @ W2 + b2)
    y = x * ex[:, None, None, :]

    def backward(dy):
        dt2 = (dy * x).sum((1, 2)) * ex * (1 - ex)
        dW2, db2 = a1.T @ dt2, dt2.sum(0)
        da1 = dt2 @ W2.T
        dt1 = da1 * swish_grad(a1)
        dW1, db1 = sq.T @ dt1, dt1.sum(0)
        dsq = dt1 @ W1.T / (x.shape[1] * x.shape[2])
        dx = dy * ex[:, None, None, :] + dsq[:, None, None, :]
        return dx, dW1, db1, dW2, db2

    return y, backward


@wrong(
    "N C H W, R C 1 1, R, C R 1 1, C",
    mistake="The first bias sums the gradient of the activated value, before the derivative of "
    "SiLU.",
    grads="db1",
    says="se.db1-too-early",
)
def se_silu_conv(x, k1, b1, k2, b2):
    _n, c, hh, ww = x.shape
    r = len(b1)
    A, B = k1.reshape(r, c), k2.reshape(c, r)
    pooled = x.mean(axis=(2, 3))
    u = np.einsum("rc,nc->nr", A, pooled) + b1
    su = sigmoid(u)
    v = u * su
    gate = sigmoid(np.einsum("cr,nr->nc", B, v) + b2)
    y = np.einsum("nchw,nc->nchw", x, gate)

    def backward(dy):
        dlogit = np.einsum("nchw,nchw->nc", dy, x) * gate * (1 - gate)
        dk2 = np.einsum("nc,nr->cr", dlogit, v).reshape(k2.shape)
        db2 = dlogit.sum(axis=0)
        dv = np.einsum("nc,cr->nr", dlogit, B)
        du = dv * (su + v * (1 - su))
        dk1 = np.einsum("nr,nc->rc", du, pooled).reshape(k1.shape)
        db1 = dv.sum(axis=0)
        dpooled = np.einsum("nr,rc->nc", du, A)
        dx = dy * gate[:, :, None, None] + dpooled[:, :, None, None] / (hh * ww)
        return dx, dk1, db1, dk2, db2

    return y, backward


@wrong(
    "N C T, R C, C R",
    mistake="The gradient of the average over time is divided by the number of channels instead of "
    "the length.",
    grads="dseq",
    says="se.squeeze-path.factor",
)
def se_sequence(seq, w1, w2):
    avg = seq.mean(axis=-1)
    z = avg @ w1.T
    h = relu(z)
    s = sigmoid(h @ w2.T)
    y = seq * s[..., None]

    def backward(dy):
        ds = (dy * seq).sum(axis=-1)
        de = ds * s * (1 - s)
        dw2 = de.T @ h
        dz = (de @ w2) * (z > 0)
        dw1 = dz.T @ avg
        davg = dz @ w1
        dseq = dy * s[..., None] + davg[..., None] / seq.shape[1]
        return dseq, dw1, dw2

    return y, backward


@wrong(
    "N C D H W, R C, R, C R, C",
    mistake="The average pool's gradient is divided by H*W only; the depth is forgotten.",
    grads="dvol",
    says="se.squeeze-path.factor",
)
def se_volume(vol, w1, b1, w2, b2):
    N, C, _D, H, W = vol.shape
    sq = vol.mean(axis=(2, 3, 4))
    z1 = sq @ w1.T + b1
    a1 = np.maximum(z1, 0)
    s = sigmoid(a1 @ w2.T + b2)
    y = vol * s.reshape(N, C, 1, 1, 1)

    def backward(dy):
        ds = (dy * vol).sum(axis=(2, 3, 4))
        dz2 = ds * s * (1 - s)
        dw2, db2 = dz2.T @ a1, dz2.sum(axis=0)
        da1 = dz2 @ w2
        dz1 = np.where(z1 > 0, da1, 0)
        dw1, db1 = dz1.T @ sq, dz1.sum(axis=0)
        dsq = dz1 @ w1
        dvol = dy * s.reshape(N, C, 1, 1, 1) + dsq.reshape(N, C, 1, 1, 1) / (H * W)
        return dvol, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N D H W C, C R, R C",
    mistake="The sigmoid's derivative is evaluated at the gate instead of its logit: the sigmoid "
    "is applied twice.",
    grads="dx dP dQ",
    says="se.gate:sigmoid.twice",
)
def se_volume_channels_last(x, P, Q):
    def dsigmoid(t):
        return sigmoid(t) * (1 - sigmoid(t))

    voxels = x.shape[1] * x.shape[2] * x.shape[3]
    m = x.mean(axis=(1, 2, 3))
    u = m @ P
    v = relu(u)
    gate = sigmoid(v @ Q)
    y = np.einsum("ndhwc,nc->ndhwc", x, gate)

    def backward(dy):
        dgate = np.einsum("ndhwc,ndhwc->nc", dy, x)
        dlogit = dgate * dsigmoid(gate)
        dQ = v.T @ dlogit
        du = (dlogit @ Q.T) * (u > 0)
        dP = m.T @ du
        dm = du @ P.T
        dx = np.einsum("ndhwc,nc->ndhwc", dy, gate) + dm[:, None, None, None, :] / voxels
        return dx, dP, dQ

    return y, backward
