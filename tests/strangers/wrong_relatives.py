"""Wrong backwards of the attention blocks around SE, written from the papers."""

import numpy as np

from . import wrong


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


@wrong(
    "N C H W, R C, C R",
    mistake="The squeeze path is missing in dx.",
    grads="dx",
    says="se.squeeze-path",
)
def cse_without_squeeze_path(x, w1, w2):
    z = x.mean(axis=(2, 3))
    u = z @ w1.T
    h = np.maximum(u, 0)
    s = sigmoid(h @ w2.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = np.sum(dy * x, axis=(2, 3))
        dv = ds * s * (1 - s)
        dw2 = dv.T @ h
        du = (dv @ w2) * (u > 0)
        dw1 = du.T @ z
        dx = dy * s[:, :, None, None]
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N H W C, C R, R C",
    mistake="The gradient of the global mean is not divided by H*W.",
    grads="dx",
    says="se.squeeze-path.factor",
)
def cse_mean_not_divided(x, w1, w2):
    z = np.einsum("bhwc->bc", x) / (x.shape[1] * x.shape[2])
    u = z @ w1
    h = u * (u > 0)
    s = sigmoid(h @ w2)
    y = x * s[:, None, None, :]

    def backward(dy):
        dv = np.einsum("bhwc,bhwc->bc", dy, x) * s * (1 - s)
        dw2 = np.einsum("br,bc->rc", h, dv)
        du = np.einsum("bc,rc->br", dv, w2) * (u > 0)
        dw1 = np.einsum("bc,br->cr", z, du)
        dz = np.einsum("br,cr->bc", du, w1)
        dx = dy * s[:, None, None, :] + dz[:, None, None, :]
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The ReLU mask between the two layers is forgotten.",
    grads="dx dw1 db1",
    says="se.relu:relu.mask-missing",
)
def cse_relu_mask_forgotten(x, w1, b1, w2, b2):
    N, C, H, W = x.shape
    pooled = x.reshape(N, C, -1).mean(-1)
    hidden = np.maximum(0, pooled.dot(w1.T) + b1)
    gate = sigmoid(hidden.dot(w2.T) + b2)
    y = x * gate.reshape(N, C, 1, 1)

    def backward(dy):
        dgate = (dy * x).reshape(N, C, -1).sum(-1)
        dlogits = dgate * gate * (1 - gate)
        dw2 = dlogits.T.dot(hidden)
        db2 = dlogits.sum(axis=0)
        dhidden = dlogits.dot(w2)
        dw1 = dhidden.T.dot(pooled)
        db1 = dhidden.sum(axis=0)
        dpooled = dhidden.dot(w1)
        dx = dy * gate.reshape(N, C, 1, 1) + dpooled.reshape(N, C, 1, 1) / (H * W)
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, C R, R C",
    mistake="The ReLU mask is taken from the incoming gradient instead of the pre-activation.",
    grads="dx dw1",
    says="se.relu:relu.mask-by-dy",
)
def cse_relu_mask_of_gradient(x, w1, w2):
    hw = x.shape[2] * x.shape[3]
    sq = x.sum((2, 3)) / hw
    fc1 = sq @ w1
    act = np.where(fc1 > 0, fc1, 0)
    ex = sigmoid(act @ w2)[:, :, None, None]
    out = x * ex

    def backward(dout):
        dex = (dout * x).sum((2, 3), keepdims=True)
        dfc2 = (dex * ex * (1 - ex)).squeeze((2, 3))
        grad_w2 = act.T @ dfc2
        dact = dfc2 @ w2.T
        dfc1 = np.where(dact > 0, dact, 0)
        grad_w1 = sq.T @ dfc1
        dsq = dfc1 @ w1.T
        grad_x = dout * ex + dsq[:, :, None, None] / hw
        return grad_x, grad_w1, grad_w2

    return out, backward


@wrong(
    "N H W C, C R, R, R C, C",
    mistake="The derivative of the sigmoid is missing.",
    grads="dx dw1 db1 dw2 db2",
    says="se.gate:sigmoid.missing",
)
def cse_sigmoid_derivative_missing(x, w1, b1, w2, b2):
    z = x.mean((1, 2))
    p = z @ w1 + b1
    h = np.maximum(p, 0)
    s = sigmoid(h @ w2 + b2)
    y = x * s[:, None, None]

    def backward(dy):
        ds = (dy * x).sum((1, 2))
        dw2 = h.T @ ds
        db2 = ds.sum(0)
        dp = (ds @ w2.T) * (p > 0)
        dw1 = z.T @ dp
        db1 = dp.sum(0)
        dx = dy * s[:, None, None] + (dp @ w1.T)[:, None, None] / (x.shape[1] * x.shape[2])
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The bias gradients are averaged over the batch instead of summed.",
    grads="db1 db2",
    says="any.factor-too-small",
)
def cse_bias_gradients_averaged(x, w1, b1, w2, b2):
    _B, _C, H, W = x.shape
    s0 = np.mean(x, axis=(2, 3))
    s1 = np.einsum("bc,rc->br", s0, w1) + b1
    s2 = np.clip(s1, 0, None)
    s3 = np.einsum("br,cr->bc", s2, w2) + b2
    s4 = 1 / (1 + np.exp(-s3))
    y = np.einsum("bchw,bc->bchw", x, s4)

    def backward(dy):
        d4 = np.einsum("bchw,bchw->bc", dy, x)
        d3 = d4 * s4 * (1 - s4)
        db2 = d3.mean(axis=0)
        dw2 = np.einsum("bc,br->cr", d3, s2)
        d1 = np.einsum("bc,cr->br", d3, w2) * (s1 > 0)
        db1 = d1.mean(axis=0)
        dw1 = np.einsum("br,bc->rc", d1, s0)
        d0 = np.einsum("br,rc->bc", d1, w1)
        dx = np.einsum("bchw,bc->bchw", dy, s4) + np.broadcast_to(
            d0[:, :, None, None] / (H * W), x.shape
        )
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, C C, C C",
    mistake=(
        "The weights of the second layer are not transposed when the gradient goes back through it."
    ),
    grads="dx dw1",
    says="se.second-linear-layer:linear.w-transposed",
)
def cse_square_w2_not_transposed(x, w1, w2):
    area = x[0, 0].size
    z = x.mean(axis=(-2, -1))
    a = z @ w1.T
    h = np.maximum(a, 0)
    g = sigmoid(h @ w2.T)
    y = x * g[..., None, None]

    def backward(dy):
        db = (dy * x).sum(axis=(-2, -1)) * g * (1 - g)
        dw2 = db.T @ h
        da = (db @ w2.T) * (a > 0)
        dw1 = da.T @ z
        dz = da @ w1
        return dy * g[..., None, None] + dz[..., None, None] / area, dw1, dw2

    return y, backward


@wrong(
    "N C H W, C",
    mistake="The path through the spatial gate is missing in dx.",
    grads="dx",
    says="spatial-gate.one-map-path",
)
def sse_gate_path_missing(x, w):
    q = np.einsum("nchw,c->nhw", x, w)
    s = sigmoid(q)
    y = np.einsum("nchw,nhw->nchw", x, s)

    def backward(dy):
        ds = np.einsum("nchw,nchw->nhw", dy, x)
        dq = s * (1 - s) * ds
        dx = np.einsum("nchw,nhw->nchw", dy, s)
        dw = np.einsum("nhw,nchw->c", dq, x)
        return dx, dw

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, 1",
    mistake=(
        "The derivative of the sigmoid is evaluated on the pre-activation instead of on the output."
    ),
    grads="dx dweight dbias",
    says="spatial-gate.gate:sigmoid.x-for-y",
)
def sse_derivative_of_preactivation(x, weight, bias):
    q = (x * weight).sum(1, keepdims=True) + bias
    s = sigmoid(q)
    y = x * s

    def backward(dy):
        ds = (dy * x).sum(1, keepdims=True)
        dq = ds * q * (1 - q)
        dx = dy * s + dq * weight
        dweight = (dq * x).sum((0, 2, 3), keepdims=True)
        dbias = dq.sum(keepdims=True).reshape(1)
        return dx, dweight, dbias

    return y, backward


@wrong(
    "N H W C, C, 1",
    mistake="The sum over channels is forgotten when the gate's gradient goes back into x and w.",
    grads="dx dw",
    says="spatial-gate.channel-sum",
)
def sse_channel_sum_forgotten(x, w, b):
    s = sigmoid(x @ w + b[0])[..., None]
    y = x * s

    def backward(dy):
        dq = dy * x * s * (1 - s)  # gradient of the 1x1 conv
        dx = dy * s + dq * w
        dw = (dq * x).sum(axis=(0, 1, 2))
        db = np.array([dq.sum()])
        return dx, dw, db

    return y, backward


@wrong(
    "N C H W, R C, C R, C",
    mistake="The direct part of dx counts the channel gate twice and never the spatial gate.",
    grads="dx",
    says="scse.gates-exchanged",
)
def scse_channel_gate_twice(x, w1, w2, ws):
    N, C, H, W = x.shape
    z = x.mean((2, 3))
    a = z @ w1.T
    h = np.maximum(a, 0)
    gc = sigmoid(h @ w2.T)[:, :, None, None]
    gs = sigmoid(np.tensordot(ws, x, axes=(0, 1)))[:, None]
    cse = x * gc
    sse = x * gs
    y = cse + sse

    def backward(dy):
        # cSE branch
        dgc = (dy * x).sum((2, 3), keepdims=True) * gc * (1 - gc)
        dgc = dgc.reshape(N, C)
        dw2 = dgc.T @ h
        da = dgc @ w2
        da[a <= 0] = 0
        dw1 = da.T @ z
        dx_cse = dy * gc + (da @ w1).reshape(N, C, 1, 1) / (H * W)
        # sSE branch
        dgs = (dy * x).sum(1, keepdims=True) * gs * (1 - gs)
        dws = (dgs * x).sum((0, 2, 3))
        dx_sse = dy * gc + dgs * ws.reshape(1, C, 1, 1)
        return dx_cse + dx_sse, dw1, dw2, dws

    return y, backward


@wrong(
    "N C H W, R C, C R, 1 C 1 1",
    mistake="The elementwise maximum sends the whole gradient into both branches.",
    grads="dx dw1 dw2 dws",
    says="scse-larger.larger:larger.both",
)
def scse_max_feeds_both_branches(x, w1, w2, ws):
    hw = x.shape[2] * x.shape[3]
    z = x.mean(axis=(2, 3))
    h = np.maximum(z @ w1.T, 0)
    s = sigmoid(h @ w2.T)
    q = sigmoid((ws * x).sum(axis=1, keepdims=True))
    y = np.maximum(x * s[:, :, None, None], x * q)

    def backward(dy):
        dyx = dy * x
        dv = dyx.sum(axis=(2, 3)) * s * (1 - s)
        dw2 = dv.T @ h
        dh = (dv @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        dq = dyx.sum(axis=1, keepdims=True) * q * (1 - q)
        dws = (dq * x).sum(axis=(0, 2, 3), keepdims=True)
        dx = dy * s[:, :, None, None] + dy * q + dz[:, :, None, None] / hw + dq * ws
        return dx, dw1, dw2, dws

    return y, backward


@wrong(
    "N H W C, C R, R C, C",
    mistake="The masks of the elementwise maximum are exchanged between the two branches.",
    grads="dx dw1 dw2 dv",
    says="scse-larger.larger:larger.exchanged",
)
def scse_max_masks_exchanged(x, w1, w2, v):
    z = x.mean((1, 2))
    u = z @ w1
    r = np.maximum(u, 0)
    s = sigmoid(r @ w2)[:, None, None, :]
    t = sigmoid(x @ v)[..., None]
    a, b = x * s, x * t
    y = np.maximum(a, b)

    def backward(dy):
        da = dy * (a < b)
        db = dy * (a >= b)
        dl = (da * x * s * (1 - s)).sum((1, 2))
        du = dl @ w2.T * (u > 0)
        dp = (db * x).sum(-1, keepdims=True) * t * (1 - t)
        dx = da * s + db * t + dp * v
        dx = dx + (du @ w1.T)[:, None, None, :] / (x.shape[1] * x.shape[2])
        return dx, z.T @ du, r.T @ dl, (dp * x).sum((0, 1, 2))

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C, C",
    mistake=(
        "In the serial version (channel gate, then spatial gate) the spatial weight "
        "gradient uses x instead of the channel-gated map."
    ),
    grads="dws",
    says="scse-serial.x-for-v",
)
def scse_serial_wrong_input(x, w1, b1, w2, b2, ws):
    P = x.shape[2] * x.shape[3]
    z = x.mean((2, 3))
    h = np.maximum(z @ w1.T + b1, 0)
    s = sigmoid(h @ w2.T + b2)
    u = x * s[:, :, None, None]
    q = sigmoid(np.einsum("nchw,c->nhw", u, ws))
    y = u * q[:, None]

    def backward(dy):
        dq = np.einsum("nchw,nchw->nhw", dy, u) * q * (1 - q)
        dws = np.einsum("nhw,nchw->c", dq, x)
        du = dy * q[:, None] + np.einsum("nhw,c->nchw", dq, ws)
        ds = np.einsum("nchw,nchw->nc", du, x) * s * (1 - s)
        dw2, db2 = ds.T @ h, ds.sum(0)
        dh = (ds @ w2) * (h > 0)
        dw1, db1 = dh.T @ z, dh.sum(0)
        dx = du * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / P
        return dx, dw1, db1, dw2, db2, dws

    return y, backward


@wrong(
    "N C H W, 3",
    mistake=(
        "The kernel is not flipped when the gradient goes back through the convolution "
        "over channels."
    ),
    grads="dx",
    says="eca.mix:correlate.flip",
)
def eca_kernel_not_flipped(x, k):
    _N, C, H, W = x.shape

    def conv(v, kk):
        return np.stack([np.correlate(row, kk, mode="same") for row in v])

    z = x.mean((2, 3))
    s = sigmoid(conv(z, k))
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dz = conv(do, k)
        zp = np.pad(z, ((0, 0), (1, 1)))
        dk = np.array([(do * zp[:, j : j + C]).sum() for j in range(3)])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / (H * W)
        return dx, dk

    return y, backward


@wrong(
    "N C H W, 5",
    mistake="The gradient of the kernel comes out in reversed order.",
    grads="dk",
    says="any.flipped",
)
def eca_kernel_gradient_reversed(x, k):
    N, C, H, W = x.shape
    zp = np.zeros((N, C + 4))
    zp[:, 2:-2] = x.mean(axis=(2, 3))
    o = np.zeros((N, C))
    for j in range(5):
        o += k[j] * zp[:, j : j + C]
    s = sigmoid(o)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dk = np.zeros(5)
        dzp = np.zeros_like(zp)
        for j in range(5):
            dk[4 - j] = np.sum(do * zp[:, j : j + C])
            dzp[:, j : j + C] += k[j] * do
        dz = dzp[:, 2:-2]
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / (H * W)
        return dx, dk

    return y, backward


@wrong(
    "N H W C, 3",
    mistake="The forward pads with zeros but the backward wraps around with np.roll.",
    grads="dx dk",
    says="eca.mix:correlate.dw-circular eca.mix:correlate.dz-circular",
)
def eca_backward_wraps_around(x, k):
    _n, h, w, _c = x.shape
    z = x.mean((1, 2))
    zp = np.pad(z, ((0, 0), (1, 1)))
    s = sigmoid(k[0] * zp[:, :-2] + k[1] * zp[:, 1:-1] + k[2] * zp[:, 2:])
    y = x * s[:, None, None]

    def backward(dy):
        do = (dy * x).sum((1, 2)) * s * (1 - s)
        dk = np.array(
            [(do * np.roll(z, 1, 1)).sum(), (do * z).sum(), (do * np.roll(z, -1, 1)).sum()]
        )
        dz = k[0] * np.roll(do, -1, 1) + k[1] * do + k[2] * np.roll(do, 1, 1)
        dx = dy * s[:, None, None] + dz[:, None, None] / (h * w)
        return dx, dk

    return y, backward


@wrong(
    "N C H W, 3",
    mistake=(
        "The forward is circular but the backward drops what the two end channels get "
        "from around the ring."
    ),
    grads="dx",
    says="eca-circular.mix:correlate-in-a-ring.dz-zeros",
)
def eca_circular_border_dropped(x, k):
    _N, C, H, W = x.shape
    z = x.mean((2, 3))
    zc = np.concatenate([z[:, -1:], z, z[:, :1]], axis=1)
    win = np.stack([zc[:, j : j + C] for j in range(3)], axis=-1)
    s = sigmoid(win @ k)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dk = np.tensordot(do, win, axes=([0, 1], [0, 1]))
        dzc = np.zeros_like(zc)
        for j in range(3):
            dzc[:, j : j + C] += do * k[j]
        dz = dzc[:, 1:-1]
        return dy * s[:, :, None, None] + dz[:, :, None, None] / (H * W), dk

    return y, backward


@wrong(
    "N C H W, 5",
    mistake=(
        "In the circular version the gradient is rolled in the same direction as in the forward."
    ),
    grads="dx",
    says="eca-circular.mix:correlate-in-a-ring.flip",
)
def eca_circular_rolled_same_way(x, k):
    m = np.mean(x, axis=(2, 3), keepdims=True)
    shifts = [2, 1, 0, -1, -2]
    o = 0
    for kj, sh in zip(k, shifts, strict=False):
        o = o + kj * np.roll(m, sh, axis=1)
    s = sigmoid(o)
    y = x * s

    def backward(dy):
        do = np.sum(dy * x, axis=(2, 3), keepdims=True) * s * (1 - s)
        dm = 0
        dk = []
        for kj, sh in zip(k, shifts, strict=False):
            dm = dm + kj * np.roll(do, sh, axis=1)
            dk.append(np.sum(do * np.roll(m, sh, axis=1)))
        return dy * s + dm / (x.shape[2] * x.shape[3]), np.array(dk)

    return y, backward


@wrong(
    "N C H W, 3",
    mistake="The gradient of the mean is divided by C*H*W instead of H*W.",
    grads="dx",
    says="eca.squeeze-path.factor",
)
def eca_mean_divided_by_chw(x, w):
    _N, C, _H, _W = x.shape
    T = np.zeros((C, C))  # the convolution as a band matrix
    for j in range(3):
        T += w[j] * np.eye(C, k=j - 1)
    z = x.mean((2, 3))
    s = sigmoid(z @ T.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * (s - s * s)
        dT = do.T @ z
        dw = np.array([np.trace(dT, offset=j - 1) for j in range(3)])
        dz = do @ T
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / x[0].size
        return dx, dw

    return y, backward


@wrong(
    "N C H W, 5",
    mistake=(
        "The kernel gradient is computed from the gradient after the sigmoid instead of before it."
    ),
    grads="dk",
    says="eca.dw-too-early",
)
def eca_kernel_gradient_after_sigmoid(x, k):
    from numpy.lib.stride_tricks import sliding_window_view as swv

    pad = ((0, 0), (2, 2))
    z = x.mean((-1, -2))
    win = swv(np.pad(z, pad), 5, 1)
    s = sigmoid(np.einsum("ncj,j->nc", win, k))
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum((-1, -2))
        dk = np.einsum("ncj,nc->j", win, ds)
        do = ds * s * (1 - s)
        dz = np.einsum("ncj,j->nc", swv(np.pad(do, pad), 5, 1), k[::-1])
        return dy * s[:, :, None, None] + dz[:, :, None, None] / x[0, 0].size, dk

    return y, backward


@wrong(
    "N C H W, R C, C R",
    mistake="Only the mean half of the shared bottleneck is counted in dw1.",
    grads="dw1",
    says="cbam-channel.first-layer-of-the-maximum-path",
)
def cbam_channel_dw1_mean_half(x, w1, w2):
    _N, _C, H, W = x.shape
    avg = x.mean((2, 3))
    mx = x.max((2, 3))
    ha = np.maximum(avg @ w1.T, 0)
    hm = np.maximum(mx @ w1.T, 0)
    s = sigmoid((ha + hm) @ w2.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dw2 = do.T @ (ha + hm)
        dh = do @ w2
        dha = dh * (ha > 0)
        dhm = dh * (hm > 0)
        dw1 = dha.T @ avg
        davg = dha @ w1
        dmx = dhm @ w1
        is_max = x == mx[:, :, None, None]
        dx = (
            dy * s[:, :, None, None]
            + davg[:, :, None, None] / (H * W)
            + is_max * dmx[:, :, None, None]
        )
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N C H W, C R, R C",
    mistake="Only the max half of the hidden layer is counted in dw2.",
    grads="dw2",
    says="cbam-channel.second-layer-of-the-average-path",
)
def cbam_channel_dw2_max_half(x, w1, w2):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    arg = flat.argmax(-1)
    f = {"avg": flat.mean(-1), "max": flat.max(-1)}
    hid = {key: np.maximum(v @ w1, 0) for key, v in f.items()}
    s = sigmoid(sum(v @ w2 for v in hid.values()))
    y = x * s[..., None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dw1 = np.zeros_like(w1)
        df = {}
        for key in f:
            dw2 = hid[key].T @ do
            dh = (do @ w2.T) * (hid[key] > 0)
            dw1 += f[key].T @ dh
            df[key] = dh @ w1.T
        dflat = dy.reshape(N, C, -1) * s[..., None] + df["avg"][..., None] / (H * W)
        for n in range(N):
            for c in range(C):
                dflat[n, c, arg[n, c]] += df["max"][n, c]
        return dflat.reshape(x.shape), dw1, dw2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake=(
        "The gradient of the max pooling is spread over all pixels instead of going to the argmax."
    ),
    grads="dx",
    says="cbam-channel.maximum:global-max-pool.average",
)
def cbam_channel_max_spread(x, w1, b1, w2, b2):
    _N, _C, H, W = x.shape

    def mlp(v):
        h = np.maximum(v @ w1.T + b1, 0)
        return h, h @ w2.T + b2

    a, m = x.mean((2, 3)), x.max((2, 3))
    ha, oa = mlp(a)
    hm, om = mlp(m)
    s = sigmoid(oa + om)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        db2 = 2 * do.sum(0)
        dw2 = do.T @ ha + do.T @ hm
        da = (do @ w2) * (ha > 0)
        dm = (do @ w2) * (hm > 0)
        db1 = da.sum(0) + dm.sum(0)
        dw1 = da.T @ a + dm.T @ m
        dpool = da @ w1 + dm @ w1
        dx = dy * s[:, :, None, None] + dpool[:, :, None, None] / (H * W)
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, R C, C R",
    mistake="The ReLU mask of the mean branch is used for the max branch too.",
    grads="dx dw1",
    says="cbam-channel.relu-of-the-maximum.ha-for-hm",
)
def cbam_channel_mask_of_mean_branch(x, w1, w2):
    _n, _c, h, w = x.shape
    avg, mx = x.mean((2, 3)), x.max((2, 3))
    za, zm = avg @ w1.T, mx @ w1.T
    ra, rm = np.maximum(za, 0), np.maximum(zm, 0)
    att = sigmoid(ra @ w2.T + rm @ w2.T)
    y = att[:, :, None, None] * x

    def backward(dy):
        dlog = (dy * x).sum((2, 3)) * att * (1 - att)
        dw2 = dlog.T @ ra + dlog.T @ rm
        dz = (dlog @ w2) * (za > 0)
        dw1 = dz.T @ avg + dz.T @ mx
        dpool = dz @ w1
        mask = (x == mx[:, :, None, None]).astype(float)
        dx = att[:, :, None, None] * dy
        dx = dx + dpool[:, :, None, None] / (h * w) + dpool[:, :, None, None] * mask
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N H W C, C R, R, R C, C",
    mistake="The shared output bias is used by both branches but its gradient is counted once.",
    grads="db2",
    says="any.factor-too-small",
)
def cbam_channel_shared_bias_once(x, w1, b1, w2, b2):
    _n, h, w, _c = x.shape
    p = np.stack([x.mean((1, 2)), x.max((1, 2))])  # 2 n c
    t = np.maximum(p @ w1 + b1, 0)
    s = sigmoid((t @ w2 + b2).sum(0))
    y = x * s[:, None, None]

    def backward(dy):
        do = np.einsum("nhwc,nhwc->nc", dy, x) * s * (1 - s)
        db2 = do.sum(0)
        dw2 = np.einsum("knr,nc->rc", t, do)
        dt = (do @ w2.T) * (t > 0)
        db1 = dt.sum((0, 1))
        dw1 = np.einsum("knc,knr->cr", p, dt)
        dp = dt @ w1.T
        dx = dy * s[:, None, None] + dp[0][:, None, None] / (h * w)
        dx = dx + (x == p[1][:, None, None]) * dp[1][:, None, None]
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, 1 2 3 3",
    mistake="The spatial kernel is not rotated by 180 degrees on the way back.",
    grads="dx",
    says="cbam-spatial.convolution:conv2d.not-turned",
)
def cbam_spatial_kernel_not_rotated(x, w):
    _N, C, H, W = x.shape

    def correlate(img, ker):
        p = np.pad(img, ((0, 0), (1, 1), (1, 1)))
        return sum(ker[i, j] * p[:, i : i + H, j : j + W] for i in range(3) for j in range(3))

    avg, mx = x.mean(1), x.max(1)
    s = sigmoid(correlate(avg, w[0, 0]) + correlate(mx, w[0, 1]))
    y = x * s[:, None]

    def backward(dy):
        do = (dy * x).sum(1) * s * (1 - s)
        davg = correlate(do, w[0, 0])
        dmx = correlate(do, w[0, 1])
        dw = np.zeros_like(w)
        for q, img in enumerate((avg, mx)):
            p = np.pad(img, ((0, 0), (1, 1), (1, 1)))
            for i in range(3):
                for j in range(3):
                    dw[0, q, i, j] = (do * p[:, i : i + H, j : j + W]).sum()
        dx = dy * s[:, None] + davg[:, None] / C + dmx[:, None] * (x == mx[:, None])
        return dx, dw

    return y, backward


@wrong(
    "N C H W, 2 3 3, 1",
    mistake="The gradients of the mean map and of the max map are exchanged.",
    grads="dx",
    says="cbam-spatial.squeeze:channel-mean-max.exchanged",
)
def cbam_spatial_maps_exchanged(x, k, b):
    N, C, H, W = x.shape
    arg = x.argmax(1)
    f = np.stack([x.mean(1), x.max(1)], 1)
    fp = np.pad(f, ((0, 0), (0, 0), (1, 1), (1, 1)))
    cols = np.lib.stride_tricks.sliding_window_view(fp, (3, 3), axis=(2, 3))
    s = sigmoid(np.einsum("nqhwij,qij->nhw", cols, k) + b)
    y = x * s[:, None]

    def backward(dy):
        do = np.einsum("nchw,nchw->nhw", dy, x) * s * (1 - s)
        dk = np.einsum("nhw,nqhwij->qij", do, cols)
        dfp = np.zeros_like(fp)
        for i in range(3):
            for j in range(3):
                dfp[:, :, i : i + H, j : j + W] += np.einsum("nhw,q->nqhw", do, k[:, i, j])
        dmax, dmean = dfp[:, 0, 1:-1, 1:-1], dfp[:, 1, 1:-1, 1:-1]
        dx = dy * s[:, None] + dmean[:, None] / C
        n, h, w = np.ogrid[:N, :H, :W]
        dx[n, arg, h, w] += dmax
        return dx, dk, np.array([do.sum()])

    return y, backward


@wrong(
    "N H W C, 3 3 2",
    mistake="The mean over channels is not divided by C on the way back.",
    grads="dx",
    says="cbam-spatial.squeeze:channel-mean-max.mean-undivided",
)
def cbam_spatial_mean_not_divided(x, k):
    n, h, w, _c = x.shape
    mx = x.max(-1)
    f = np.stack([x.mean(-1), mx], -1)
    fp = np.pad(f, ((0, 0), (1, 1), (1, 1), (0, 0)))
    o = np.zeros((n, h, w))
    for i in range(3):
        for j in range(3):
            o += fp[:, i : i + h, j : j + w] @ k[i, j]
    s = sigmoid(o)[..., None]
    y = x * s

    def backward(dy):
        do = (dy * x).sum(-1, keepdims=True) * s * (1 - s)
        dk = np.zeros_like(k)
        dfp = np.zeros_like(fp)
        for i in range(3):
            for j in range(3):
                dk[i, j] = (do * fp[:, i : i + h, j : j + w]).sum((0, 1, 2))
                dfp[:, i : i + h, j : j + w] += do * k[i, j]
        df = dfp[:, 1:-1, 1:-1]
        dx = dy * s + df[..., :1] + df[..., 1:] * (x == mx[..., None])
        return dx, dk

    return y, backward


@wrong(
    "N C H W, 1 2 3 3",
    mistake="The kernel gradient treats the padding border as if the map were wrapped around.",
    grads="dw",
    says="cbam-spatial.convolution:conv2d.border-wrapped",
)
def cbam_spatial_kernel_gradient_wrapped(x, w):
    N, C, H, W = x.shape
    mean, top = x.mean(1), x.max(1)
    maps = np.stack((mean, top), axis=1)
    padded = np.pad(maps, [(0, 0), (0, 0), (1, 1), (1, 1)])
    logit = np.zeros((N, H, W))
    for i in range(H):
        for j in range(W):
            logit[:, i, j] = np.tensordot(padded[:, :, i : i + 3, j : j + 3], w[0], axes=3)
    s = sigmoid(logit)[:, None]
    y = x * s

    def backward(dy):
        d = (dy * x).sum(1) * s[:, 0] * (1 - s[:, 0])
        dw = np.zeros_like(w)
        dpad = np.zeros_like(padded)
        for i in range(H):
            for j in range(W):
                dpad[:, :, i : i + 3, j : j + 3] += d[:, i, j, None, None, None] * w
        for a in range(3):
            for b in range(3):
                shifted = np.roll(maps, (1 - a, 1 - b), axis=(2, 3))
                dw[0, :, a, b] = (d[:, None] * shifted).sum((0, 2, 3))
        dmap = dpad[:, :, 1:-1, 1:-1]
        dx = dy * s + dmap[:, :1] / C + np.where(x == top[:, None], dmap[:, 1:], 0)
        return dx, dw

    return y, backward


@wrong(
    "N C H W, R C, C R, 2 3 3",
    mistake=(
        "The spatial gate's gradient is formed with the original x instead of the "
        "channel-refined map."
    ),
    grads="dx dw1 dw2 dk",
    says="cbam.x-for-v",
)
def cbam_spatial_gate_from_original_x(x, w1, w2, k):
    _N, C, H, W = x.shape
    avg, mx = x.mean((2, 3)), x.max((2, 3))
    ha, hm = np.maximum(avg @ w1.T, 0), np.maximum(mx @ w1.T, 0)
    mc = sigmoid((ha + hm) @ w2.T)[:, :, None, None]
    u = x * mc
    f = np.pad(np.stack([u.mean(1), u.max(1)], 1), ((0, 0), (0, 0), (1, 1), (1, 1)))
    o = sum(
        (f[:, :, i : i + H, j : j + W] * k[:, i, j].reshape(1, 2, 1, 1)).sum(1, keepdims=True)
        for i in range(3)
        for j in range(3)
    )
    ms = sigmoid(o)
    y = u * ms

    def backward(dy):
        do = (dy * x).sum(1, keepdims=True) * ms * (1 - ms)
        dk = np.zeros_like(k)
        df = np.zeros_like(f)
        for i in range(3):
            for j in range(3):
                dk[:, i, j] = (do * f[:, :, i : i + H, j : j + W]).sum((0, 2, 3))
                df[:, :, i : i + H, j : j + W] += do * k[:, i, j].reshape(1, 2, 1, 1)
        df = df[:, :, 1:-1, 1:-1]
        du = dy * ms + df[:, :1] / C + df[:, 1:] * (u == u.max(1, keepdims=True))
        dl = (du * x).sum((2, 3)) * (mc * (1 - mc))[:, :, 0, 0]
        dw2 = dl.T @ (ha + hm)
        dh = dl @ w2
        da, dm = dh * (ha > 0), dh * (hm > 0)
        dw1 = da.T @ avg + dm.T @ mx
        dx = du * mc + (da @ w1)[:, :, None, None] / (H * W)
        dx = dx + (dm @ w1)[:, :, None, None] * (x == mx[:, :, None, None])
        return dx, dw1, dw2, dk

    return y, backward


@wrong(
    "N C H W, R C, C R, 1 2 3 3, 1",
    mistake=(
        "The spatial gate is taken as constant, so the channel part gets only dy times "
        "the spatial map."
    ),
    grads="dx dfc1 dfc2",
    says="cbam.pixel-squeeze-path",
)
def cbam_spatial_gate_constant_for_channel_part(x, fc1, fc2, conv_w, conv_b):
    _B, _C, H, W = x.shape
    pa, pm = x.mean(axis=(2, 3)), x.max(axis=(2, 3))
    a1, m1 = pa @ fc1.T, pm @ fc1.T
    a2, m2 = a1 * (a1 > 0), m1 * (m1 > 0)
    ca = sigmoid(a2 @ fc2.T + m2 @ fc2.T)
    xc = x * ca[:, :, None, None]
    st = np.concatenate([xc.mean(1, keepdims=True), xc.max(1, keepdims=True)], 1)
    win = np.lib.stride_tricks.sliding_window_view(
        np.pad(st, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3)
    )
    sa = sigmoid(np.einsum("bqhwij,oqij->bohw", win, conv_w) + conv_b)
    y = xc * sa

    def backward(dy):
        dsa = (dy * xc).sum(1, keepdims=True) * sa * (1 - sa)
        dconv_w = np.einsum("bohw,bqhwij->oqij", dsa, win)
        dconv_b = dsa.sum((0, 2, 3))
        dxc = dy * sa
        dca = (dxc * x).sum((2, 3)) * ca * (1 - ca)
        dfc2 = dca.T @ (a2 + m2)
        da1, dm1 = (dca @ fc2) * (a1 > 0), (dca @ fc2) * (m1 > 0)
        dfc1 = da1.T @ pa + dm1.T @ pm
        dx = dxc * ca[:, :, None, None]
        dx = dx + (da1 @ fc1)[:, :, None, None] / (H * W)
        dx = dx + (dm1 @ fc1)[:, :, None, None] * (x == pm[:, :, None, None])
        return dx, dfc1, dfc2, dconv_w, dconv_b

    return y, backward


@wrong(
    "N C H W",
    mistake="The direct path dy * gate is missing, only the gather path is returned.",
    grads="dx",
    says="gather-excite-mean.scale-path",
)
def ge_global_direct_path_missing(x):
    _N, _C, H, W = x.shape
    s = 1 / (1 + np.exp(-x.mean((2, 3), keepdims=True)))
    y = x * s

    def backward(dy):
        dm = (dy * x).sum((2, 3), keepdims=True) * s * (1 - s)
        return np.ones_like(x) * dm / (H * W)

    return y, backward


@wrong(
    "N H W C",
    mistake="The derivative of the sigmoid is applied twice.",
    grads="dx",
    says="gather-excite-mean.gate:sigmoid.derivative-twice",
)
def ge_global_sigmoid_derivative_twice(x):
    def dsigmoid(out):
        return out * (1 - out)

    m = x.mean(axis=(1, 2), keepdims=True)
    g = sigmoid(m)
    y = x * g

    def backward(dy):
        dg = (dy * x).sum(axis=(1, 2), keepdims=True) * dsigmoid(g)
        dm = dg * dsigmoid(g)
        return dy * g + dm / (x.shape[1] * x.shape[2])

    return y, backward


@wrong(
    "N C H W",
    mistake=(
        "The mean pooling is divided by 9 on the way back, also at the border where fewer"
        " pixels were counted."
    ),
    grads="dx",
    says="gather-excite.around:around.border",
)
def ge_extent2_border_divided_by_nine(x):
    N, C, H, W = x.shape
    h, w = (H - 1) // 2 + 1, (W - 1) // 2 + 1
    ones = np.pad(np.ones((H, W)), ((1, 2), (1, 2)))
    xp = np.pad(x, ((0, 0), (0, 0), (1, 2), (1, 2)))
    tot, cnt = 0, 0
    for i in range(3):
        for j in range(3):
            tot = tot + xp[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2]
            cnt = cnt + ones[i : i + 2 * h : 2, j : j + 2 * w : 2]
    m = tot / cnt
    s = sigmoid(np.repeat(np.repeat(m, 2, 2), 2, 3)[:, :, :H, :W])
    y = x * s

    def backward(dy):
        du = dy * x * s * (1 - s)
        du = np.pad(du, ((0, 0), (0, 0), (0, 2 * h - H), (0, 2 * w - W)))
        dm = du.reshape(N, C, h, 2, w, 2).sum((3, 5))
        dxp = np.zeros_like(xp)
        for i in range(3):
            for j in range(3):
                dxp[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2] += dm / 9.0
        return dy * s + dxp[:, :, 1 : H + 1, 1 : W + 1]

    return y, backward


@wrong(
    "N C H W",
    mistake=(
        "The backward of the nearest upsampling picks one pixel per block instead of "
        "summing the block."
    ),
    grads="dx",
    says="gather-excite.around:around.one-copy",
)
def ge_extent2_upsampling_picks_one(x):
    N, C, H, W = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    m = np.empty((N, C, h, w))
    for i in range(h):
        for j in range(w):
            m[:, :, i, j] = x[
                :, :, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2
            ].mean(axis=(2, 3))
    ri, ci = np.arange(H) // 2, np.arange(W) // 2
    s = sigmoid(m[:, :, ri[:, None], ci[None, :]])
    y = x * s

    def backward(dy):
        dgate = dy * x * s * (1 - s)
        dm = dgate[:, :, ::2, ::2]
        dx = dy * s
        for i in range(h):
            for j in range(w):
                patch = dx[:, :, max(0, 2 * i - 1) : 2 * i + 2, max(0, 2 * j - 1) : 2 * j + 2]
                patch += dm[:, :, i : i + 1, j : j + 1] / (patch.shape[2] * patch.shape[3])
        return dx

    return y, backward


@wrong(
    "N H W C",
    mistake=(
        "Where pooling windows overlap the last window overwrites the others (= instead of +=)."
    ),
    grads="dx",
    says="gather-excite.around:around.overwritten",
)
def ge_extent2_overlap_overwritten(x):
    _N, H, W, _C = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    windows = [
        [
            (
                slice(max(0, 2 * i - 1), min(H, 2 * i + 2)),
                slice(max(0, 2 * j - 1), min(W, 2 * j + 2)),
            )
            for j in range(w)
        ]
        for i in range(h)
    ]
    m = np.stack([np.stack([x[:, r, c].mean((1, 2)) for r, c in row], 1) for row in windows], 1)
    up = m.repeat(2, 1)[:, :H].repeat(2, 2)[:, :, :W]
    s = sigmoid(up)
    y = x * s

    def backward(dy):
        dup = dy * x * s * (1 - s)
        dpool = np.zeros_like(x)
        for i, row in enumerate(windows):
            for j, (r, c) in enumerate(row):
                g = dup[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum((1, 2), keepdims=True)
                n_valid = (r.stop - r.start) * (c.stop - c.start)
                dpool[:, r, c] = g / n_valid
        return dy * s + dpool

    return y, backward


@wrong(
    "N C H W, C 3 3",
    mistake=(
        "The depthwise kernel is flipped in the backward although the scatter already "
        "accounts for it."
    ),
    grads="dx",
    says="gather-excite-convolution.gather:gather.flipped",
)
def ge_depthwise_kernel_flipped(x, k):
    N, C, H, W = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    xp = np.zeros((N, C, 2 * h + 1, 2 * w + 1))
    xp[:, :, 1 : H + 1, 1 : W + 1] = x
    c = np.zeros((N, C, h, w))
    for i in range(h):
        for j in range(w):
            c[:, :, i, j] = (xp[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * k).sum((2, 3))
    s = sigmoid(c.repeat(2, 2).repeat(2, 3)[:, :, :H, :W])
    y = x * s

    def backward(dy):
        dup = dy * x * s * (1 - s)
        dxp = np.zeros_like(xp)
        dk = np.zeros_like(k)
        for i in range(h):
            for j in range(w):
                d = dup[:, :, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].sum((2, 3), keepdims=True)
                dk += (d * xp[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]).sum(0)
                dxp[:, :, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += d * k[:, ::-1, ::-1]
        return dy * s + dxp[:, :, 1 : H + 1, 1 : W + 1], dk

    return y, backward


@wrong(
    "N C H W, C 3 3",
    mistake="The kernel gradient reads the padded image one pixel off.",
    grads="dk",
    says="gather-excite-convolution.gather:gather.dw-shifted",
)
def ge_depthwise_kernel_gradient_shifted(x, k):
    _N, _C, H, W = x.shape
    h, w = (H + 1) // 2, (W + 1) // 2
    xp = np.pad(x, ((0, 0), (0, 0), (1, 3), (1, 3)))

    def view(a, i, j):
        return a[:, :, i : i + 2 * h : 2, j : j + 2 * w : 2]

    conv = sum(view(xp, i, j) * k[:, i, j][:, None, None] for i in range(3) for j in range(3))
    rows, columns = np.arange(H) // 2, np.arange(W) // 2
    s = sigmoid(conv[:, :, rows][..., columns])
    y = x * s

    def backward(dy):
        dup = dy * x * s * (1 - s)
        dconv = np.zeros_like(conv)
        for i in range(H):
            for j in range(W):
                dconv[:, :, i // 2, j // 2] += dup[:, :, i, j]
        dk = np.zeros_like(k)
        dxp = np.zeros_like(xp)
        for i in range(3):
            for j in range(3):
                dk[:, i, j] = (dconv * view(xp, i + 1, j + 1)).sum((0, 2, 3))
                view(dxp, i, j)[...] += dconv * k[:, i, j][:, None, None]
        return dy * s + dxp[:, :, 1 : 1 + H, 1 : 1 + W], dk

    return y, backward


@wrong(
    "N C H W, C C",
    mistake="The gradient of the square weight matrix is transposed.",
    grads="dw",
    says="any.transposed",
)
def ese_weight_gradient_transposed(x, w):
    H, W = x.shape[-2:]
    z = x.mean((2, 3))
    t = z @ w.T
    g = np.clip(t / 6 + 0.5, 0, 1)
    y = x * g[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum((2, 3)) * (np.abs(t) < 3) / 6
        dw = z.T @ dt
        dz = dt @ w
        return dy * g[:, :, None, None] + dz[:, :, None, None] / (H * W), dw

    return y, backward


@wrong(
    "N C H W, C C, C",
    mistake="The slope 1/6 of the hard sigmoid is forgotten.",
    grads="dx dw db",
    says="channel-gate.gate:hard-sigmoid.slope-missing",
)
def ese_hard_sigmoid_slope_forgotten(x, w, b):
    z = x.mean(axis=(2, 3), keepdims=True)
    t = np.einsum("oc,ncij->noij", w, z) + b[None, :, None, None]
    relu6 = np.minimum(np.maximum(t + 3, 0), 6)
    g = relu6 / 6
    y = x * g

    def backward(dy):
        dg = (dy * x).sum(axis=(2, 3), keepdims=True)
        dt = dg * ((relu6 > 0) & (relu6 < 6))
        dw = np.einsum("noij,ncij->oc", dt, z)
        db = dt.sum(axis=(0, 2, 3))
        dz = np.einsum("oc,noij->ncij", w, dt)
        return dy * g + dz / (x.shape[2] * x.shape[3]), dw, db

    return y, backward


@wrong(
    "N H W C, C C, C",
    mistake=(
        "The gradient flows through the flat ends of the hard sigmoid as if they were not clipped."
    ),
    grads="dx dw db",
)
def ese_clipped_ends_not_masked(x, w, b):
    _n, h, wd, _c = x.shape
    z = x.mean((1, 2))
    t = 4 * (z @ w) + 4 * b  # sharp gate
    g = np.clip(t / 6 + 0.5, 0.0, 1.0)
    y = x * g[:, None, None, :]

    def backward(dy):
        dt = (dy * x).sum((1, 2)) / 6
        dw = 4 * z.T @ dt
        db = 4 * dt.sum(0)
        dz = 4 * dt @ w.T
        return dy * g[:, None, None, :] + dz[:, None, None, :] / (h * wd), dw, db

    return y, backward


@wrong(
    "N C H W, C C 1 1, C",
    mistake="The smooth sigmoid's derivative s*(1-s) is used for the hard sigmoid.",
    grads="dx dweight dbias",
    says="channel-gate.gate:hard-sigmoid.sigmoid",
)
def ese_soft_derivative_for_hard_sigmoid(x, weight, bias):
    fc = weight[:, :, 0, 0]
    pool = x.mean((2, 3))
    lin = pool @ fc.T + bias
    s = np.maximum(0, np.minimum(1, (lin + 3) / 6))
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        dlin = ds * s * (1 - s)
        dweight = (dlin.T @ pool)[:, :, None, None]
        dbias = dlin.sum(0)
        dpool = dlin @ fc
        dx = dy * s[:, :, None, None] + dpool[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dweight, dbias

    return y, backward


@wrong(
    "N C H W, C 2, C, C",
    mistake="The batch norm statistics are taken as constant.",
    grads="dx dcfc",
    says="srm.norm:batch-norm.statistics-as-constants",
)
def srm_batch_statistics_constant(x, cfc, gamma, beta):
    M = x.shape[2] * x.shape[3]
    mu = x.mean((2, 3))
    sd = np.sqrt(x.var((2, 3)) + 1e-5)
    z = mu * cfc[:, 0] + sd * cfc[:, 1]
    istd = 1 / np.sqrt(z.var(0) + 1e-5)
    zh = (z - z.mean(0)) * istd
    g = sigmoid(zh * gamma + beta)
    y = x * g[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum((2, 3)) * g * (1 - g)
        dgamma, dbeta = (dt * zh).sum(0), dt.sum(0)
        dz = dt * gamma * istd
        dcfc = np.stack([(dz * mu).sum(0), (dz * sd).sum(0)], -1)
        dmu = (dz * cfc[:, 0])[:, :, None, None] / M
        dsd = (dz * cfc[:, 1] / sd)[:, :, None, None] * (x - mu[:, :, None, None]) / M
        return dy * g[:, :, None, None] + dmu + dsd, dcfc, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, C 2, C, C",
    mistake="The gradients of gamma and beta are returned in the wrong order.",
    grads="dgamma dbeta",
    says="any.wrong-order",
)
def srm_gamma_beta_exchanged(x, cfc, gamma, beta):
    N, C, H, W = x.shape
    u = np.stack([x.mean((2, 3)), np.sqrt(x.var((2, 3)) + 1e-5)], axis=2)  # N C 2
    z = np.einsum("nck,ck->nc", u, cfc)
    mean, var = z.mean(0), z.var(0)
    std = np.sqrt(var + 1e-5)
    zn = (z - mean) / std
    g = sigmoid(zn * gamma + beta)
    y = x * g.reshape(N, C, 1, 1)

    def backward(dy):
        d = np.einsum("nchw,nchw->nc", dy, x) * g * (1 - g)
        dgamma = np.sum(d * zn, axis=0)
        dbeta = np.sum(d, axis=0)
        dzn = d * gamma
        dvar = np.sum(dzn * (z - mean), axis=0) * -0.5 * std**-3
        dmean = -np.sum(dzn, axis=0) / std
        dz = dzn / std + dvar * 2 * (z - mean) / N + dmean / N
        dcfc = np.einsum("nc,nck->ck", dz, u)
        du = np.einsum("nc,ck->nck", dz, cfc)
        dx = dy * g.reshape(N, C, 1, 1) + du[:, :, 0, None, None] / (H * W)
        dx = dx + (x - u[:, :, 0, None, None]) * (du[:, :, 1] / u[:, :, 1])[:, :, None, None] / (
            H * W
        )
        return dx, dcfc, dbeta, dgamma

    return y, backward


@wrong(
    "N C H W, C 2, C",
    mistake="The standard deviation is taken as constant in dx.",
    grads="dx",
    says="style-gate.deviation-path",
)
def srm_std_constant(x, w, b):
    _n, _c, h, wd = x.shape
    mu = x.mean((2, 3))
    sigma = x.std((2, 3))
    a = sigmoid(w[:, 0] * mu + w[:, 1] * sigma + b)
    y = x * a[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum((2, 3)) * a * (1 - a)
        dw = np.empty_like(w)
        dw[:, 0] = (dt * mu).sum(0)
        dw[:, 1] = (dt * sigma).sum(0)
        dx = dy * a[:, :, None, None] + (dt * w[:, 0])[:, :, None, None] / (h * wd)
        return dx, dw, dt.sum(0)

    return y, backward


@wrong(
    "N H W C, C 2",
    mistake="The gradient of the standard deviation uses x instead of x minus its mean.",
    grads="dx",
    says="style-gate.deviation:deviation.mean-missing",
)
def srm_std_not_centred(x, cfc):
    n, h, w, c = x.shape
    P = h * w
    f = x.reshape(n, P, c)
    m = f.mean(1)
    sd = np.sqrt(((f - m[:, None]) ** 2).sum(1) / P + 1e-6)
    a = sigmoid(m * cfc[:, 0] + sd * cfc[:, 1])
    y = x * a[:, None, None]

    def backward(dy):
        df = dy.reshape(n, P, c)
        dl = (df * f).sum(1) * a * (1 - a)
        dcfc = np.stack(((dl * m).sum(0), (dl * sd).sum(0)), 1)
        dx = df * a[:, None]
        dx = dx + (dl * cfc[:, 0])[:, None] / P
        dx = dx + (dl * cfc[:, 1] / sd)[:, None] * f / P
        return dx.reshape(x.shape), dcfc

    return y, backward


@wrong(
    "N C H W, C 2, C, C",
    mistake=(
        "The gradient of the standard deviation is that of the variance, the factor "
        "1/(2*std) is missing."
    ),
    grads="dx",
    says="srm.deviation:deviation.variance",
)
def srm_variance_instead_of_std(x, cfc, gamma, beta):
    _N, C, H, W = x.shape
    P = H * W
    mean = x.mean((2, 3), keepdims=True)
    std = np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)
    z = cfc[:, 0].reshape(C, 1, 1) * mean + cfc[:, 1].reshape(C, 1, 1) * std
    zc = z - z.mean(0)
    inv = 1 / np.sqrt((zc**2).mean(0) + 1e-5)
    zh = zc * inv
    G = gamma.reshape(1, C, 1, 1)
    s = sigmoid(G * zh + beta.reshape(1, C, 1, 1))
    y = x * s

    def backward(dy):
        d = (dy * x).sum((2, 3), keepdims=True) * s * (1 - s)
        dgamma = (d * zh).sum((0, 2, 3))
        dbeta = d.sum((0, 2, 3))
        dzh = d * G
        dz = inv * (dzh - dzh.mean(0) - zh * (dzh * zh).mean(0))
        dcfc = np.concatenate([(dz * mean).sum((0, 2)), (dz * std).sum((0, 2))], axis=1)
        dmean = dz * cfc[:, 0].reshape(C, 1, 1)
        dstd = dz * cfc[:, 1].reshape(C, 1, 1)
        dx = dy * s + dmean / P + dstd * 2 * (x - mean) / P
        return dx, dcfc, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake="The normalisation over channels is taken as constant.",
    grads="dx dalpha",
    says="gct.normalisation:rms-norm.sigma-constant",
)
def gct_normalisation_constant(x, alpha, gamma, beta):
    eps = 1e-5
    norm = np.sqrt((x**2).sum((2, 3)) + eps)
    e = norm * alpha
    denom = np.sqrt((e**2).mean(1, keepdims=True) + eps)
    n = e / denom
    t = np.tanh(gamma * n + beta)
    y = x * (1 + t)[:, :, None, None]

    def backward(dy):
        dp = (dy * x).sum((2, 3)) * (1 - t * t)
        dgamma = (dp * n).sum(0)
        dbeta = dp.sum(0)
        de = dp * gamma / denom
        dalpha = (de * norm).sum(0)
        dx = dy * (1 + t)[:, :, None, None] + (de * alpha / norm)[:, :, None, None] * x
        return dx, dalpha, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, 1 C 1 1, 1 C 1 1",
    mistake="The derivative of tanh is missing.",
    grads="dx dalpha dgamma dbeta",
    says="gct.tanh:tanh.missing",
)
def gct_tanh_derivative_missing(x, alpha, gamma, beta):
    emb = np.sqrt(np.sum(x**2, axis=(2, 3), keepdims=True) + 1e-5)
    ea = emb * alpha
    inv = (np.mean(ea**2, axis=1, keepdims=True) + 1e-5) ** -0.5
    hat = ea * inv
    gate = 1.0 + np.tanh(hat * gamma + beta)
    y = x * gate

    def backward(dy):
        dpre = np.sum(dy * x, axis=(2, 3), keepdims=True)
        dbeta = dpre.sum(axis=0, keepdims=True)
        dgamma = (dpre * hat).sum(axis=0, keepdims=True)
        dhat = dpre * gamma
        dea = dhat * inv - ea * inv**3 * np.mean(dhat * ea, axis=1, keepdims=True)
        dalpha = (dea * emb).sum(axis=0, keepdims=True)
        demb = dea * alpha
        return dy * gate + demb * x / emb, dalpha, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake="The derivative of the L2 norm is x instead of x divided by the norm.",
    grads="dx",
    says="gct.length:global-l2-pool.root-missing",
)
def gct_l2_norm_not_divided(x, alpha, gamma, beta):
    N, C, _H, _W = x.shape
    X = x.reshape(N, C, -1)
    length = np.sqrt(np.einsum("ncp,ncp->nc", X, X) + 1e-5)
    e = alpha * length
    S = np.einsum("nc,nc->n", e, e) + 1e-5
    k = np.sqrt(C / S)[:, None]
    v = e * k
    t = np.tanh(gamma * v + beta)
    y = (X * (1 + t)[:, :, None]).reshape(x.shape)

    def backward(dy):
        D = dy.reshape(N, C, -1)
        dp = np.einsum("ncp,ncp->nc", D, X) * (1 - t**2)
        dv = dp * gamma
        de = k * dv - e * k / S[:, None] * (dv * e).sum(1, keepdims=True)
        dl = de * alpha
        dX = D * (1 + t)[:, :, None] + X * dl[:, :, None]
        return dX.reshape(x.shape), (de * length).sum(0), (dp * v).sum(0), dp.sum(0)

    return y, backward


@wrong(
    "N H W C, C, C, C",
    mistake="The factor alpha is forgotten on the way from the embedding back to x.",
    grads="dx",
    says="gct.embedding:multiply.b-missing",
)
def gct_alpha_forgotten_in_dx(x, alpha, gamma, beta):
    s = np.sqrt(np.square(x).sum((1, 2), keepdims=True) + 1e-5)
    e = alpha * s
    r = np.sqrt(np.square(e).mean(-1, keepdims=True) + 1e-5)
    n = e / r
    t = np.tanh(gamma * n + beta)
    y = x + x * t

    def backward(dy):
        du = (dy * x).sum((1, 2), keepdims=True) * (1 - t**2)
        dn = du * gamma
        dr = -(dn * e).sum(-1, keepdims=True) / r**2
        de = dn / r + dr * e / (r * x.shape[-1])
        dx = dy + dy * t + de * x / s

        def total(v):
            return v.sum((0, 1, 2))

        return dx, total(de * s), total(du * n), total(du)

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake=(
        "The second term of the channel normalisation's gradient is a sum over channels "
        "instead of a mean."
    ),
    grads="dx dalpha",
    says="gct.normalisation:rms-norm.path-sum",
)
def gct_channel_mean_without_c(x, alpha, gamma, beta):
    N, C, _H, _W = x.shape
    l2 = np.sqrt((x * x).sum((2, 3)) + 1e-5)
    e = alpha * l2
    r = 1 / np.sqrt((e * e).mean(1) + 1e-5)
    nrm = e * r[:, None]
    t = np.tanh(gamma * nrm + beta)
    y = x * (1 + t).reshape(N, C, 1, 1)

    def backward(dy):
        dpre = (dy * x).sum((2, 3)) * (1 - t**2)
        dn = dpre * gamma
        de = np.zeros_like(e)
        for i in range(N):
            de[i] = r[i] * dn[i] - r[i] ** 3 * e[i] * (dn[i] @ e[i])
        dx = dy * (1 + t).reshape(N, C, 1, 1) + x * (de * alpha / l2).reshape(N, C, 1, 1)
        return dx, (de * l2).sum(0), (dpre * nrm).sum(0), dpre.sum(0)

    return y, backward


@wrong(
    "N C H W, C",
    mistake=(
        "The softmax derivative keeps only the diagonal term a*da, the subtracted sum is missing."
    ),
    grads="dx dwk",
    says="attention-pool-map.softmax:softmax.sum-missing",
)
def attention_pool_softmax_diagonal_only(x, wk):
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W)
    a = softmax(np.tensordot(f, wk, axes=([1], [0])))
    y = (f * a[:, None]).sum(-1)

    def backward(dy):
        da = (f * dy[:, :, None]).sum(1)
        dl = a * da
        df = dy[:, :, None] * a[:, None] + dl[:, None] * wk[:, None]
        dwk = (dl[:, None] * f).sum((0, 2))
        return df.reshape(x.shape), dwk

    return y, backward


@wrong(
    "N H W C, C",
    mistake=(
        "The path through the attention weights is missing in dx, only the pooled values "
        "pass the gradient."
    ),
    grads="dx",
    says="attention-pool-map.one-map-path",
)
def attention_pool_values_only(x, wk):
    _n, _h, _w, _c = x.shape
    logits = x @ wk
    e = np.exp(logits - logits.max((1, 2), keepdims=True))
    a = e / e.sum((1, 2), keepdims=True)
    y = np.einsum("nhw,nhwc->nc", a, x)

    def backward(dy):
        da = np.einsum("nhwc,nc->nhw", x, dy)
        dlogits = a * (da - np.sum(a * da, axis=(1, 2), keepdims=True))
        dwk = np.einsum("nhw,nhwc->c", dlogits, x)
        dx = np.einsum("nhw,nc->nhwc", a, dy)
        return dx, dwk

    return y, backward


@wrong(
    "N C H W, C, R C, R, R, C R",
    mistake="The layer norm statistics are taken as constant.",
    grads="dx dwk dw1",
    says="global-context.norm:layer-norm.sigma-constant",
)
def gc_layernorm_constant(x, wk, w1, ln_w, ln_b, w2):
    N, C, _H, _W = x.shape
    f = x.reshape(N, C, -1)
    a = softmax(np.einsum("c,ncp->np", wk, f))
    ctx = np.einsum("ncp,np->nc", f, a)
    t = ctx @ w1.T
    mu, sd = t.mean(1, keepdims=True), np.sqrt(t.var(1, keepdims=True) + 1e-5)
    th = (t - mu) / sd
    v = th * ln_w + ln_b
    r = np.maximum(v, 0)
    y = x + (r @ w2.T)[:, :, None, None]

    def backward(dy):
        do = dy.sum((2, 3))
        dw2 = do.T @ r
        dv = (do @ w2) * (v > 0)
        dln_w, dln_b = (dv * th).sum(0), dv.sum(0)
        dt = dv * ln_w / sd
        dw1 = dt.T @ ctx
        dctx = dt @ w1
        da = np.einsum("nc,ncp->np", dctx, f)
        dl = a * (da - (a * da).sum(1, keepdims=True))
        dwk = np.einsum("np,ncp->c", dl, f)
        df = dctx[:, :, None] * a[:, None] + dl[:, None] * wk[:, None]
        return dy + df.reshape(x.shape), dwk, dw1, dln_w, dln_b, dw2

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, R C, R, R, R, C R, C",
    mistake="The residual connection is missing in dx.",
    grads="dx",
    says="global-context.shift-path",
)
def gc_residual_missing(x, wk, w1, b1, g, b, w2, b2):
    N, C, H, W = x.shape
    X = x.reshape(N, C, H * W)
    key = wk.reshape(1, C)
    A = softmax(key @ X)  # N 1 P
    ctx = np.matmul(X, A.swapaxes(1, 2)).squeeze(-1)
    t = ctx @ w1.T + b1
    d = t - t.mean(-1, keepdims=True)
    iv = (np.mean(d * d, -1, keepdims=True) + 1e-5) ** -0.5
    th = d * iv
    v = g * th + b
    r = v * (v > 0)
    o = r @ w2.T + b2
    y = x + o[:, :, None, None]

    def backward(dy):
        do = dy.sum((2, 3))
        dv = do @ w2 * (v > 0)
        dth = dv * g
        dt = iv * (dth - dth.mean(-1, keepdims=True) - th * (dth * th).mean(-1, keepdims=True))
        dctx = (dt @ w1)[:, :, None]
        dA = dctx.swapaxes(1, 2) @ X
        dL = A * (dA - (dA * A).sum(-1, keepdims=True))
        dX = dctx @ A + key.T @ dL
        dwk = (dL @ X.swapaxes(1, 2)).sum(0).reshape(wk.shape)
        return (
            dX.reshape(x.shape),
            dwk,
            dt.T @ ctx,
            dt.sum(0),
            (dv * th).sum(0),
            dv.sum(0),
            do.T @ r,
            do.sum(0),
        )

    return y, backward


@wrong(
    "N C H W, C, C C",
    mistake=(
        "The added context is one vector for all pixels, but its gradient is averaged "
        "over the pixels instead of summed."
    ),
    grads="dx dwk dwv",
    says="one-layer-context.shift.dt.factor",
)
def gc_simple_context_gradient_averaged(x, wk, wv):
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W)
    a = softmax(wk @ f)
    ctx = np.stack([f[n] @ a[n] for n in range(N)])
    y = x + (ctx @ wv.T)[:, :, None, None]

    def backward(dy):
        do = dy.mean(axis=(2, 3))
        dwv = do.T @ ctx
        dctx = do @ wv
        dwk = np.zeros_like(wk)
        dx = np.zeros_like(f)
        for n in range(N):
            da = dctx[n] @ f[n]
            dl = a[n] * (da - a[n] @ da)
            dwk += f[n] @ dl
            dx[n] = np.outer(dctx[n], a[n]) + np.outer(wk, dl)
        return dy + dx.reshape(x.shape), dwk, dwv

    return y, backward


@wrong(
    "N C H W, C, R C, C R",
    mistake=(
        "x is used three times (scaled, pooled, as keys) but dx leaves out the pooled values."
    ),
    grads="dx",
    says="simple-context.pool-path",
)
def gc_scale_pooled_values_missing(x, wk, w1, w2):
    N, C, _H, _W = x.shape
    xf = x.reshape(N, C, -1)
    a = softmax(np.einsum("ncp,c->np", xf, wk), axis=1)
    c = np.einsum("ncp,np->nc", xf, a)
    p = c @ w1.T
    h = np.maximum(p, 0)
    s = sigmoid(h @ w2.T)
    y = x * s[:, :, None, None]

    def backward(dy):
        g = dy.reshape(N, C, -1)
        ds = (g * xf).sum(2) * s * (1 - s)
        dw2 = ds.T @ h
        dp = (ds @ w2) * (p > 0)
        dw1 = dp.T @ c
        dc = dp @ w1
        da = np.einsum("nc,ncp->np", dc, xf)
        dl = a * (da - (da * a).sum(1, keepdims=True))
        dwk = np.einsum("np,ncp->c", dl, xf)
        dxf = g * s[:, :, None] + np.einsum("np,c->ncp", dl, wk)
        return dxf.reshape(x.shape), dwk, dw1, dw2

    return y, backward


@wrong(
    "N 4 H W, R 4, R, 8 R, 8",
    mistake=(
        "The two halves of the last layer are exchanged in the backward: the scale's "
        "gradient goes to the bias rows and the other way round."
    ),
    grads="dx dw1 db1 dw2 db2",
    says="scale-bias-se.halves-exchanged",
)
def lc0_halves_exchanged(x, w1, b1, w2, b2):
    _N, C, H, W = x.shape
    z = x.mean((2, 3))
    p = z @ w1.T + b1
    h = np.maximum(p, 0)
    o = h @ w2.T + b2
    g, b = sigmoid(o[:, :C]), o[:, C:]
    y = g[:, :, None, None] * x + b[:, :, None, None]

    def backward(dy):
        dg = (dy * x).sum((2, 3)) * g * (1 - g)
        db = dy.sum((2, 3))
        do = np.concatenate([db, dg], axis=1)
        dw2, db2 = do.T @ h, do.sum(0)
        dp = do @ w2 * (p > 0)
        dw1, db1 = dp.T @ z, dp.sum(0)
        dx = g[:, :, None, None] * dy + (dp @ w1)[:, :, None, None] / (H * W)
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N 3 H W, 3 R, R, R 6, 6",
    mistake="The sigmoid derivative is applied to the bias half too.",
    grads="dx dw1 db1 dw2 db2",
    says="scale-bias-se.bias-through-the-gate",
)
def lc0_sigmoid_derivative_on_both_halves(x, w1, b1, w2, b2):
    z = x.mean(axis=(2, 3))
    p = z @ w1 + b1
    h = np.where(p > 0, p, 0.0)
    o = h @ w2 + b2
    scale, shift = np.split(o, 2, axis=1)
    s = sigmoid(o)
    y = x * sigmoid(scale)[:, :, None, None] + shift[:, :, None, None]

    def backward(dy):
        do = np.hstack([(dy * x).sum((2, 3)), dy.sum((2, 3))])
        do = do * s * (1 - s)
        dw2 = h.T @ do
        db2 = do.sum(0)
        dp = (do @ w2.T) * (p > 0)
        dw1 = z.T @ dp
        db1 = dp.sum(0)
        dx = dy * s[:, :3, None, None] + (dp @ w1.T)[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N H W 4, 4 R, R, R 8, 8",
    mistake=(
        "The bias half of the last layer gets no part in the gradient that goes on to the"
        " first layer."
    ),
    grads="dx dw1 db1",
    says="scale-bias-se.bias-half-missing",
)
def lc0_bias_half_not_sent_back(x, w1, b1, w2, b2):
    _n, h, w, c = x.shape
    pool = x.mean((1, 2))
    pre = pool @ w1 + b1
    hid = np.maximum(pre, 0)
    out = hid @ w2 + b2
    gam = sigmoid(out[:, :c])
    y = x * gam[:, None, None] + out[:, None, None, c:]

    def backward(dy):
        dgam = np.einsum("nhwc,nhwc->nc", dy, x) * gam * (1 - gam)
        dbet = np.einsum("nhwc->nc", dy)
        dw2 = np.concatenate([hid.T @ dgam, hid.T @ dbet], axis=1)
        db2 = np.concatenate([dgam.sum(0), dbet.sum(0)])
        dpre = (dgam @ w2[:, :c].T) * (pre > 0)
        dx = dy * gam[:, None, None] + (dpre @ w1.T)[:, None, None] / (h * w)
        return dx, pool.T @ dpre, dpre.sum(0), dw2, db2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The derivative of SiLU is taken as the sigmoid alone, the second term is missing.",
    grads="dx dw1 db1",
    says="se.inner-activation:silu.sigmoid-alone",
)
def se_silu_second_term_missing(x, w1, b1, w2, b2):
    m = x.mean((2, 3))
    p = m @ w1.T + b1
    q = sigmoid(p)
    h = p * q
    s = sigmoid(h @ w2.T + b2)
    y = x * s[:, :, None, None]

    def backward(dy):
        do = (dy * x).sum((2, 3)) * s * (1 - s)
        dw2, db2 = do.T @ h, do.sum(0)
        dp = (do @ w2) * q
        dw1, db1 = dp.T @ m, dp.sum(0)
        dx = dy * s[:, :, None, None] + (dp @ w1)[:, :, None, None] / x[0, 0].size
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N H W C, C R, R C",
    mistake=(
        "The derivative of SiLU is evaluated with the activated value in the place of the"
        " pre-activation."
    ),
    grads="dx dw1",
    says="se.inner-activation:silu.twice",
)
def se_silu_derivative_of_activated_value(x, w1, w2):
    def silu(v):
        return v / (1 + np.exp(-v))

    def silu_grad(v):
        sg = 1 / (1 + np.exp(-v))
        return sg + v * sg * (1 - sg)

    z = x.mean((1, 2))
    h = silu(z @ w1)
    s = sigmoid(h @ w2)
    y = x * s[:, None, None, :]

    def backward(dy):
        do = (dy * x).sum((1, 2)) * s * (1 - s)
        dh = do @ w2.T
        dp = dh * silu_grad(h)
        dx = dy * s[:, None, None, :] + (dp @ w1.T)[:, None, None, :] / (x.shape[1] * x.shape[2])
        return dx, z.T @ dp, h.T @ do

    return y, backward
