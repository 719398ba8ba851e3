"""Wrong backwards of attention blocks, by another author who had the papers alone."""

import numpy as np

from . import wrong


def sigmoid(v):
    return 0.5 * (1.0 + np.tanh(0.5 * v))


def relu(v):
    return np.maximum(v, 0)


# ------------------------------------------------------------------ SE / cSE


@wrong(
    "N H W C, C R, R, R C, C",
    mistake=(
        "In the squeeze path of dx the mean is taken for a sum: the division by H*W is missing."
    ),
    grads="dx",
    says="se.squeeze-path.factor",
)
def se_nhwc_dense(x, W1, b1, W2, b2):
    z = x.mean(axis=(1, 2))
    pre = z @ W1 + b1
    hid = relu(pre)
    s = sigmoid(hid @ W2 + b2)
    y = x * s[:, None, None, :]

    def backward(dy):
        ds = np.einsum("nhwc,nhwc->nc", dy, x)
        du = ds * s * (1 - s)
        dW2 = hid.T @ du
        db2 = du.sum(axis=0)
        dpre = (du @ W2.T) * (pre > 0)
        dW1 = z.T @ dpre
        db1 = dpre.sum(axis=0)
        dz = dpre @ W1.T
        dx = dy * s[:, None, None, :] + dz[:, None, None, :]
        return dx, dW1, db1, dW2, db2

    return y, backward


@wrong(
    "N C H W, R C 1 1, R, C R 1 1, C",
    mistake="The ReLU mask is taken of the first layer's output before its bias is added.",
    grads="dx dfc1_w dfc1_b",
    says="se.mask-before-bias",
)
def se_conv_weights(x, fc1_w, fc1_b, fc2_w, fc2_b):
    N, C, H, W = x.shape
    R = fc1_w.shape[0]
    pooled = x.reshape(N, C, -1).mean(-1)
    lin = pooled @ fc1_w.reshape(R, C).T
    act = relu(lin + fc1_b)
    logits = act @ fc2_w.reshape(C, R).T + fc2_b
    gate = sigmoid(logits).reshape(N, C, 1, 1)
    out = x * gate

    def backward(dout):
        dgate = (dout * x).sum(axis=(2, 3), keepdims=True)
        dlogits = (dgate * gate * (1 - gate)).reshape(N, C)
        dw2 = (dlogits.T @ act).reshape(C, R, 1, 1)
        db2 = dlogits.sum(0)
        dact = dlogits @ fc2_w.reshape(C, R)
        dlin = dact * (lin > 0)
        dw1 = (dlin.T @ pooled).reshape(R, C, 1, 1)
        db1 = dlin.sum(0)
        dpooled = dlin @ fc1_w.reshape(R, C)
        dx = dout * gate + dpooled.reshape(N, C, 1, 1) / (H * W)
        return dx, dw1, db1, dw2, db2

    return out, backward


@wrong(
    "C R, R C, N C H W",
    mistake=(
        "The sigmoid's derivative is u*(1-u) of the logits u, in place of s*(1-s) of the gates."
    ),
    grads="ddown dup dx",
    says="se.gate:sigmoid.x-for-y",
)
def se_args_reversed(down, up, x):
    H, W = x.shape[2:]
    z = np.einsum("nchw->nc", x) / (H * W)
    h = np.einsum("nc,cr->nr", z, down)
    a = np.where(h > 0, h, 0.0)
    u = np.einsum("nr,rc->nc", a, up)
    s = sigmoid(u)
    y = np.einsum("nchw,nc->nchw", x, s)

    def backward(g):
        ds = np.einsum("nchw,nchw->nc", g, x)
        du = ds * u * (1 - u)
        dup = np.einsum("nr,nc->rc", a, du)
        da = np.einsum("nc,rc->nr", du, up)
        dh = np.where(h > 0, da, 0.0)
        ddown = np.einsum("nc,nr->cr", z, dh)
        dz = np.einsum("nr,cr->nc", dh, down)
        dx = np.einsum("nchw,nc->nchw", g, s) + dz[:, :, None, None] / (H * W)
        return ddown, dup, dx

    return y, backward


@wrong(
    "N C H W, R C, C R",
    mistake="The scale path (dy times the gate) is missing in dx; only the squeeze path is there.",
    grads="dx",
    says="se.scale-path",
)
def se_sample_loop(x, w1, w2):
    n, c, h, w = x.shape
    y = np.zeros_like(x)
    saved = []
    for i in range(n):
        z = np.array([x[i, j].mean() for j in range(c)])
        hidden = w1 @ z
        a = relu(hidden)
        s = sigmoid(w2 @ a)
        for j in range(c):
            y[i, j] = x[i, j] * s[j]
        saved.append((z, hidden, a, s))

    def backward(dy):
        dx = np.zeros_like(x)
        dw1 = np.zeros_like(w1)
        dw2 = np.zeros_like(w2)
        for i in range(n):
            z, hidden, a, s = saved[i]
            ds = np.array([np.sum(dy[i, j] * x[i, j]) for j in range(c)])
            du = ds * s * (1 - s)
            dw2 += np.outer(du, a)
            dh = (w2.T @ du) * (hidden > 0)
            dw1 += np.outer(dh, z)
            dz = w1.T @ dh
            for j in range(c):
                dx[i, j] = dz[j] / (h * w)
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="dV is made with the hidden values before the ReLU in place of those after it.",
    grads="dV",
    says="se.second-linear-layer.h-for-a",
)
def cse_letters(x, U, a, V, b):
    _N, _C, H, W = x.shape
    m = x.mean((2, 3))
    p = m @ U.T + a
    q = p * (p > 0)
    g = sigmoid(q @ V.T + b)

    def backward(dy):
        dg = (dy * x).sum((2, 3))
        dlogit = dg * (g - g * g)
        dV = dlogit.T @ p
        db = dlogit.sum(0)
        dp = (dlogit @ V) * (p > 0)
        dU = dp.T @ m
        da = dp.sum(0)
        dm = dp @ U
        dx = dy * g[..., None, None] + np.broadcast_to(dm[..., None, None] / (H * W), x.shape)
        return dx, dU, da, dV, db

    return x * g[..., None, None], backward


# ------------------------------------------------------------------ sSE


@wrong(
    "N C H W, C",
    mistake="dw is a mean over the batch in place of the sum.",
    grads="dw",
    says="any.factor-too-small",
)
def sse_vector(x, w):
    q = sigmoid(np.tensordot(x, w, axes=(1, 0)))
    y = x * q[:, None]

    def backward(dy):
        dq = (dy * x).sum(axis=1)
        du = dq * q * (1 - q)
        dw = np.einsum("nhw,nchw->nc", du, x).mean(axis=0)
        dx = dy * q[:, None] + du[:, None] * w[None, :, None, None]
        return dx, dw

    return y, backward


@wrong(
    "N H W C, C, ()",
    mistake="The gradient of the map of gates is a mean over the channels in place of the sum.",
    grads="dfeature_map dkernel dbias",
    says="spatial-gate.scale:scale-pixels.mean",
)
def sse_nhwc_bias(feature_map, kernel, bias):
    logits = feature_map @ kernel + bias
    attn = sigmoid(logits)[..., np.newaxis]
    output = feature_map * attn

    def backward(grad):
        d_attn = np.mean(grad * feature_map, axis=-1, keepdims=True)
        d_logits = d_attn * attn * (1.0 - attn)
        d_kernel = np.sum(d_logits * feature_map, axis=(0, 1, 2))
        d_bias = np.sum(d_logits)
        d_feature = grad * attn + d_logits * kernel
        return d_feature, d_kernel, d_bias

    return output, backward


@wrong(
    "N C H W, 1 C 1 1, 1",
    mistake="The path of x through the spatial gate is missing in dx.",
    grads="dx",
    says="spatial-gate.one-map-path",
)
def sse_conv1x1(x, weight, bias):
    v = (x * weight).sum(axis=1, keepdims=True) + bias
    gate = sigmoid(v)
    y = gate * x

    def backward(dy):
        dgate = (dy * x).sum(axis=1, keepdims=True)
        dv = dgate * gate * (1 - gate)
        dweight = (dv * x).sum(axis=(0, 2, 3)).reshape(weight.shape)
        dbias = np.array([dv.sum()])
        dx = dy * gate
        return dx, dweight, dbias

    return y, backward


@wrong(
    "N C H W, C 1",
    mistake="x was overwritten by the scaled x, so the gate's gradient and dw use y in place of x.",
    grads="dinp dw",
    says="spatial-gate.scale:scale-pixels.y-for-x",
)
def sse_overwritten(inp, w):
    N, C, H, W = inp.shape
    x = inp.transpose(0, 2, 3, 1).reshape(-1, C)
    q = sigmoid(x @ w)
    x = x * q
    y = x.reshape(N, H, W, C).transpose(0, 3, 1, 2)

    def backward(dy):
        d = dy.transpose(0, 2, 3, 1).reshape(-1, C)
        dq = (d * x).sum(1, keepdims=True)
        du = dq * q * (1 - q)
        dw = x.T @ du
        dx = d * q + du @ w.T
        return dx.reshape(N, H, W, C).transpose(0, 3, 1, 2), dw

    return y, backward


# ------------------------------------------------------------------ scSE


@wrong(
    "N C H W, R C, C R, C",
    mistake=(
        "The sum of the two branches: dx lacks the scale path of the spatial branch (dy times q)."
    ),
    grads="dx",
    says="scse.pixel-scale-path",
)
def scse_add(x, w1, w2, ws):
    hw = x.shape[2] * x.shape[3]
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = relu(h)
    s = sigmoid(a @ w2.T)
    q = sigmoid(np.einsum("nchw,c->nhw", x, ws))
    y = x * s[:, :, None, None] + x * q[:, None, :, :]

    def backward(dy):
        t = dy * x
        du = t.sum(axis=(2, 3)) * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        dv = t.sum(axis=1) * q * (1 - q)
        dws = np.einsum("nhw,nchw->c", dv, x)
        dx = dy * s[:, :, None, None]
        dx = dx + dz[:, :, None, None] / hw
        dx = dx + dv[:, None] * ws[None, :, None, None]
        return dx, dw1, dw2, dws

    return y, backward


@wrong(
    "N C H W, R C, R, C R, C, 1 C 1 1, 1",
    mistake="At the elementwise maximum of the two branches, dy goes to both of them in full.",
    grads="dx dw1 db1 dw2 db2 dw3 db3",
    says="scse-larger.larger:larger.both",
)
def scse_max_both(x, w1, b1, w2, b2, w3, b3):
    _N, C, H, W = x.shape
    z = x.mean(axis=(2, 3))
    h = z @ w1.T + b1
    a = relu(h)
    s = sigmoid(a @ w2.T + b2)[:, :, None, None]
    q = sigmoid((x * w3).sum(1, keepdims=True) + b3)
    y = np.maximum(x * s, x * q)

    def backward(dy):
        d_chn = dy
        d_spa = dy
        du = ((d_chn * x).sum((2, 3), keepdims=True) * s * (1 - s))[:, :, 0, 0]
        dw2 = du.T @ a
        db2 = du.sum(0)
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        db1 = dh.sum(0)
        dz = dh @ w1 / (H * W)
        dv = (d_spa * x).sum(1, keepdims=True) * q * (1 - q)
        dw3 = (dv * x).sum((0, 2, 3)).reshape(1, C, 1, 1)
        db3 = dv.sum().reshape(1)
        dx = d_chn * s + d_spa * q + dz[:, :, None, None] + dv * w3
        return dx, dw1, db1, dw2, db2, dw3, db3

    return y, backward


@wrong(
    "N H W C, C R, R C, C",
    mistake=(
        "The maximum's mask compares the gates and not the scaled values: wrong where x is "
        "negative."
    ),
    grads="dx dw_down dw_up dw_spatial",
    says="scse-larger.larger-gate",
)
def scse_max_gate_mask(x, w_down, w_up, w_spatial):
    _n, hgt, wid, _c = x.shape
    avg = x.mean(axis=(1, 2))
    hid = avg @ w_down
    act = relu(hid)
    cg = sigmoid(act @ w_up)[:, None, None, :]
    sg = sigmoid(x @ w_spatial)[..., None]
    y = np.maximum(cg * x, sg * x)

    def backward(dy):
        pick = cg >= sg
        dc = np.where(pick, dy, 0.0)
        dsp = np.where(pick, 0.0, dy)
        dcg = (dc * x).sum(axis=(1, 2))
        g = cg[:, 0, 0, :]
        dlog = dcg * g * (1 - g)
        dw_up = act.T @ dlog
        dhid = (dlog @ w_up.T) * (hid > 0)
        dw_down = avg.T @ dhid
        davg = dhid @ w_down.T
        dmap = (dsp * x).sum(axis=-1, keepdims=True) * sg * (1 - sg)
        dw_spatial = (dmap * x).sum(axis=(0, 1, 2))
        dx = dc * cg + dsp * sg + dmap * w_spatial + davg[:, None, None, :] / (hgt * wid)
        return dx, dw_down, dw_up, dw_spatial

    return y, backward


@wrong(
    "N C H W, R C, C R, C, ()",
    mistake=(
        "The channel gate's gradient is made with q*x, as if it came after the spatial gate; "
        "they are added side by side."
    ),
    grads="dx dsqueeze_w dexcite_w",
    says="scse.channel-scale.p-for-x",
)
def scse_as_if_in_line(x, squeeze_w, excite_w, spatial_w, spatial_b):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    z = flat.mean(2)
    h = z @ squeeze_w.T
    s = sigmoid(relu(h) @ excite_w.T)
    q = sigmoid(np.einsum("c,ncp->np", spatial_w, flat) + spatial_b)
    x_c = flat * s[:, :, None]
    x_s = flat * q[:, None, :]
    y = (x_c + x_s).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(N, C, H * W)
        dq = np.einsum("ncp,ncp->np", d, flat)
        dv = dq * q * (1 - q)
        dspatial_w = np.einsum("np,ncp->c", dv, flat)
        dspatial_b = np.sum(dv)
        ds = np.einsum("ncp,ncp->nc", d, x_s)
        du = ds * s * (1 - s)
        dexcite = du.T @ relu(h)
        dh = (du @ excite_w) * (h > 0)
        dsqueeze = dh.T @ z
        dz = dh @ squeeze_w / (H * W)
        dflat = d * (s[:, :, None] + q[:, None, :]) + dz[:, :, None]
        dflat += dv[:, None, :] * spatial_w[None, :, None]
        return dflat.reshape(x.shape), dsqueeze, dexcite, dspatial_w, dspatial_b

    return y, backward


@wrong(
    "N C H W, R C, C R, C",
    mistake=(
        "Branches are multiplied, so x occurs twice in the product; dx counts only one of the "
        "two (factor 2 missing in the scale path)."
    ),
    grads="dx",
    says="scse-product.channel-scale-path",
)
def scse_product(x, w1, w2, k):
    P = x.shape[2] * x.shape[3]
    z = x.sum((2, 3)) / P
    h = z @ w1.T
    a = np.clip(h, 0, None)
    s = sigmoid(a @ w2.T)[:, :, None, None]
    q = sigmoid(np.einsum("nchw,c->nhw", x, k))[:, None]
    left = x * s
    right = x * q
    y = left * right

    def backward(dy):
        ds = (dy * right * x).sum((2, 3))
        dq = (dy * left * x).sum(1, keepdims=True)
        du = ds * (s * (1 - s))[:, :, 0, 0]
        dw2 = du.T @ a
        dh = du @ w2
        dh = np.where(h > 0, dh, 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        dv = dq * q * (1 - q)
        dk = (dv * x).sum((0, 2, 3))
        dx = dy * right * s
        dx += dv * k[:, None, None]
        dx += dz[:, :, None, None] / P
        return dx, dw1, dw2, dk

    return y, backward


# ------------------------------------------------------------------ ECA


@wrong(
    "N C H W, 3",
    mistake="The kernel is not flipped when du is sent back over the channels to dz.",
    grads="dx",
    says="eca.mix:correlate.flip",
)
def eca_zero_border(x, w):
    _N, C, H, W = x.shape
    z = x.mean(axis=(2, 3))
    zp = np.pad(z, ((0, 0), (1, 1)))
    u = w[0] * zp[:, :-2] + w[1] * zp[:, 1:-1] + w[2] * zp[:, 2:]
    s = sigmoid(u)
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw = np.array([(du * zp[:, k : k + C]).sum() for k in range(3)])
        dup = np.pad(du, ((0, 0), (1, 1)))
        dz = w[0] * dup[:, :-2] + w[1] * dup[:, 1:-1] + w[2] * dup[:, 2:]
        dx = dy * s[:, :, None, None] + dz[:, :, None, None] / (H * W)
        return dx, dw

    return y, backward


@wrong(
    "N H W C, 5",
    mistake=(
        "dz[:, idx] += ... with repeated indices keeps only one of the additions per channel; "
        "np.add.at is needed."
    ),
    grads="dx",
    says="eca-circular.mix:correlate-in-a-ring.overwritten",
)
def eca_circular_index(x, kernel):
    _n, h, w, c = x.shape
    k = len(kernel)
    z = x.mean(axis=(1, 2))
    idx = (np.arange(c)[:, None] + np.arange(k)[None, :] - k // 2) % c
    near = z[:, idx]
    s = sigmoid(near @ kernel)
    y = x * s[:, None, None, :]

    def backward(dy):
        ds = (dy * x).sum(axis=(1, 2))
        du = ds * s * (1 - s)
        dkernel = np.tensordot(du, near, axes=([0, 1], [0, 1]))
        dz = np.zeros_like(z)
        dz[:, idx] += du[:, :, None] * kernel
        return dy * s[:, None, None, :] + dz[:, None, None, :] / (h * w), dkernel

    return y, backward


@wrong(
    "N C H W, 1 1 3",
    mistake="dweight comes out in reversed order along the kernel.",
    grads="dweight",
    says="any.flipped",
)
def eca_conv1d_weight(x, weight):
    b, c, h, w = x.shape
    k = weight.shape[-1]
    pad = (k - 1) // 2
    pooled = x.mean((2, 3))
    padded = np.zeros((b, c + 2 * pad))
    padded[:, pad : pad + c] = pooled
    windows = np.lib.stride_tricks.sliding_window_view(padded, k, axis=1)
    logits = windows @ weight[0, 0]
    gate = sigmoid(logits)
    out = x * gate[:, :, None, None]

    def backward(grad_out):
        dlogits = (grad_out * x).sum((2, 3)) * gate * (1 - gate)
        dk = np.zeros(k)
        for j in range(k):
            dk[j] = np.sum(dlogits * padded[:, k - 1 - j : k - 1 - j + c])
        dpadded = np.zeros_like(padded)
        for j in range(k):
            dpadded[:, j : j + c] += dlogits * weight[0, 0, j]
        dpooled = dpadded[:, pad : pad + c]
        dx = grad_out * gate[:, :, None, None] + dpooled[:, :, None, None] / (h * w)
        return dx, dk.reshape(weight.shape)

    return out, backward


@wrong(
    "3, N C H W",
    mistake=(
        "The circular border: what reached the padding is cut off and not wrapped back to the "
        "other end."
    ),
    grads="dx",
    says="eca-circular.mix:correlate-in-a-ring.dz-zeros",
)
def eca_wrap_cropped(taps, x):
    C = x.shape[1]
    z = np.einsum("nchw->nc", x) / x[0, 0].size
    ring = np.concatenate([z[:, -1:], z, z[:, :1]], axis=1)
    u = sum(taps[i] * ring[:, i : i + C] for i in range(3))
    s = sigmoid(u)
    y = np.einsum("nchw,nc->nchw", x, s)

    def backward(dy):
        ds = np.einsum("nchw,nchw->nc", dy, x)
        du = s * (1 - s) * ds
        dtaps = np.stack([np.sum(du * ring[:, i : i + C]) for i in range(3)])
        dring = np.zeros_like(ring)
        for i in range(3):
            dring[:, i : i + C] += taps[i] * du
        dz = dring[:, 1:-1]
        dx = np.einsum("nchw,nc->nchw", dy, s) + dz[:, :, None, None] / x[0, 0].size
        return dtaps, dx

    return y, backward


@wrong(
    "N C H W, 3",
    mistake="The gate's gradient ds is a mean over the pixels in place of the sum.",
    grads="dx dw",
    says="eca-circular.scale.ds.factor",
)
def eca_roll(x, w):
    hw = x.shape[2] * x.shape[3]
    z = x.mean(axis=(2, 3), keepdims=True)
    shifted = [np.roll(z, 1, axis=1), z, np.roll(z, -1, axis=1)]
    s = sigmoid(w[0] * shifted[0] + w[1] * shifted[1] + w[2] * shifted[2])

    def backward(dy):
        ds = (dy * x).mean(axis=(2, 3), keepdims=True)
        du = ds * s * (1 - s)
        dw = np.array([np.sum(du * v) for v in shifted])
        dz = w[0] * np.roll(du, -1, axis=1) + w[1] * du + w[2] * np.roll(du, 1, axis=1)
        return dy * s + dz / hw, dw

    return x * s, backward


# ------------------------------------------------------------------ CBAM


@wrong(
    "N C H W, R C, R, C R, C",
    mistake=(
        "The shared bottleneck is used by the mean and by the maximum, but its gradients "
        "count the mean only."
    ),
    grads="dw1 db1 dw2 db2",
    says=(
        "cbam-channel.first-layer-of-the-maximum-path "
        "cbam-channel.second-layer-of-the-maximum-path "
        "any.factor-too-small"
    ),
)
def cbam_channel_shared_once(x, w1, b1, w2, b2):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, -1)
    avg = flat.mean(-1)
    arg = flat.argmax(-1)
    mx = np.take_along_axis(flat, arg[..., None], -1)[..., 0]
    ha, hm = avg @ w1.T + b1, mx @ w1.T + b1
    aa, am = relu(ha), relu(hm)
    s = sigmoid(aa @ w2.T + b2 + am @ w2.T + b2)
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3)) * s * (1 - s)
        da = du @ w2
        dha = da * (ha > 0)
        dhm = da * (hm > 0)
        dw2 = du.T @ aa
        db2 = du.sum(0)
        dw1 = dha.T @ avg
        db1 = dha.sum(0)
        dflat = np.repeat((dha @ w1)[..., None] / (H * W), H * W, axis=-1)
        dmax = np.zeros_like(flat)
        np.put_along_axis(dmax, arg[..., None], (dhm @ w1)[..., None], -1)
        dx = dy * s[:, :, None, None] + (dflat + dmax).reshape(x.shape)
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, C R, R C",
    mistake=(
        "The gradient of the global maximum is spread evenly over all H*W pixels, as for the mean."
    ),
    grads="dx",
    says="cbam-channel.maximum:global-max-pool.average",
)
def cbam_channel_max_as_mean(x, mlp_in, mlp_out):
    H, W = x.shape[-2:]
    pools = np.stack([x.mean((2, 3)), x.max((2, 3))])  # 2 N C
    pre = pools @ mlp_in
    post = relu(pre)
    s = sigmoid((post @ mlp_out).sum(0))
    y = x * s[..., None, None]

    def backward(dy):
        du = np.einsum("nchw,nchw->nc", dy, x) * s * (1 - s)
        dmlp_out = np.einsum("pnr,nc->rc", post, du)
        dpre = (du @ mlp_out.T)[None] * (pre > 0)
        dmlp_in = np.einsum("pnc,pnr->cr", pools, dpre)
        dpools = dpre @ mlp_in.T
        dx = dy * s[..., None, None]
        dx = dx + dpools[0][..., None, None] / (H * W)
        dx = dx + dpools[1][..., None, None] / (H * W)
        return dx, dmlp_in, dmlp_out

    return y, backward


@wrong(
    "N H W C, R C, R, C R",
    mistake="The ReLU mask of the mean's branch is used for the maximum's branch too.",
    grads="dx dw1 db1",
    says="cbam-channel.relu-of-the-maximum.ha-for-hm",
)
def cbam_channel_one_mask(x, w1, b1, w2):
    _n, h, w, _c = x.shape
    mean = x.mean(axis=(1, 2))
    peak = x.max(axis=(1, 2))
    where = x == peak[:, None, None, :]
    where = where / where.sum(axis=(1, 2), keepdims=True)
    h_mean = mean @ w1.T + b1
    h_peak = peak @ w1.T + b1
    a_mean, a_peak = relu(h_mean), relu(h_peak)
    s = sigmoid((a_mean + a_peak) @ w2.T)
    y = x * s[:, None, None, :]

    def backward(dy):
        ds = (dy * x).sum(axis=(1, 2))
        du = ds * s * (1 - s)
        dw2 = du.T @ (a_mean + a_peak)
        da = du @ w2
        mask = h_mean > 0
        dh_mean = da * mask
        dh_peak = da * mask
        dw1 = dh_mean.T @ mean + dh_peak.T @ peak
        db1 = (dh_mean + dh_peak).sum(axis=0)
        dmean = dh_mean @ w1
        dpeak = dh_peak @ w1
        dx = dy * s[:, None, None, :]
        dx = dx + dmean[:, None, None, :] / (h * w) + where * dpeak[:, None, None, :]
        return dx, dw1, db1, dw2

    return y, backward


@wrong(
    "N C H W, 1 2 3 3",
    mistake="The gradient of the mean over the channels is not divided by C.",
    grads="dx",
    says="cbam-spatial.squeeze:channel-mean-max.mean-undivided",
)
def cbam_spatial_oihw(x, weight):
    _N, _C, H, W = x.shape
    k = weight.shape[-1]
    p = k // 2
    top = x.argmax(axis=1)[:, None]
    maps = np.concatenate([x.mean(1, keepdims=True), np.take_along_axis(x, top, 1)], axis=1)
    padded = np.pad(maps, ((0, 0), (0, 0), (p, p), (p, p)))
    cols = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(2, 3))
    u = np.einsum("ncyxij,cij->nyx", cols, weight[0])
    m = sigmoid(u)[:, None]
    y = x * m

    def backward(dy):
        dm = (dy * x).sum(1, keepdims=True)
        du = (dm * m * (1 - m))[:, 0]
        dweight = np.einsum("nyx,ncyxij->cij", du, cols)[None]
        dpad = np.zeros_like(padded)
        for i in range(k):
            for j in range(k):
                dpad[:, :, i : i + H, j : j + W] += (
                    du[:, None] * weight[0, :, i, j][None, :, None, None]
                )
        dmaps = dpad[:, :, p : p + H, p : p + W]
        dmax = np.zeros_like(x)
        np.put_along_axis(dmax, top, dmaps[:, 1:], 1)
        dx = dy * m + dmaps[:, :1] + dmax
        return dx, dweight

    return y, backward


def _same_correlation(img, ker):
    """(N, H, W) with (k, k), zero border."""
    k = ker.shape[0]
    p = k // 2
    n, h, w = img.shape
    big = np.zeros((n, h + 2 * p, w + 2 * p))
    big[:, p : p + h, p : p + w] = img
    out = np.zeros((n, h, w))
    for i in range(k):
        for j in range(k):
            out += ker[i, j] * big[:, i : i + h, j : j + w]
    return out


def _kernel_grad(img, du, k):
    p = k // 2
    n, h, w = img.shape
    big = np.zeros((n, h + 2 * p, w + 2 * p))
    big[:, p : p + h, p : p + w] = img
    return np.array(
        [[(du * big[:, i : i + h, j : j + w]).sum() for j in range(k)] for i in range(k)]
    )


@wrong(
    "N C H W, 2 5 5, ()",
    mistake="The kernels are not rotated by 180 degrees on the way back to the two maps.",
    grads="dx",
    says="cbam-spatial.convolution:conv2d.not-turned",
)
def cbam_spatial_not_rotated(x, kernels, bias):
    avg_map = x.mean(axis=1)
    max_map = x.max(axis=1)
    att = sigmoid(
        _same_correlation(avg_map, kernels[0]) + _same_correlation(max_map, kernels[1]) + bias
    )

    def backward(dy):
        dlogit = (dy * x).sum(axis=1) * att * (1 - att)
        dk = np.stack([_kernel_grad(avg_map, dlogit, 5), _kernel_grad(max_map, dlogit, 5)])
        davg = _same_correlation(dlogit, kernels[0])
        dmax = _same_correlation(dlogit, kernels[1])
        hit = x == max_map[:, None]
        hit = hit / hit.sum(axis=1, keepdims=True)
        dx = dy * att[:, None] + davg[:, None] / x.shape[1] + hit * dmax[:, None]
        return dx, dk, dlogit.sum()

    return x * att[:, None], backward


@wrong(
    "N H W C, 3 3 2",
    mistake="In dkernel, the parts of the mean map and of the maximum map are swapped.",
    grads="dkernel",
    says="any.flipped",
)
def cbam_spatial_hwc(x, kernel):
    n, h, w, c = x.shape
    desc = np.stack([x.mean(-1), x.max(-1)], axis=-1)
    pad = np.pad(desc, ((0, 0), (1, 1), (1, 1), (0, 0)))
    logit = np.zeros((n, h, w))
    for i in range(3):
        for j in range(3):
            logit += pad[:, i : i + h, j : j + w, :] @ kernel[i, j]
    a = sigmoid(logit)[..., None]
    y = x * a

    def backward(dy):
        dl = ((dy * x).sum(-1, keepdims=True) * a * (1 - a))[..., 0]
        dker = np.zeros_like(kernel)
        dpad = np.zeros_like(pad)
        for i in range(3):
            for j in range(3):
                patch = pad[:, i : i + h, j : j + w, :]
                dker[i, j, 0] = (dl * patch[..., 1]).sum()
                dker[i, j, 1] = (dl * patch[..., 0]).sum()
                dpad[:, i : i + h, j : j + w, :] += dl[..., None] * kernel[i, j]
        dmean = dpad[:, 1:-1, 1:-1, 0]
        dmax = dpad[:, 1:-1, 1:-1, 1]
        first = np.eye(c)[x.argmax(-1)]
        dx = dy * a + dmean[..., None] / c + first * dmax[..., None]
        return dx, dker

    return y, backward


@wrong(
    "N C H W, R C, C R, 2 3 3",
    mistake=(
        "The channel gate's part of the backward starts from dy in place of the gradient of "
        "the spatial gate's input: the spatial gate's paths are left out."
    ),
    grads="dx dw1 dw2",
    says="cbam.channel-scale.dy-for-d",
)
def cbam_full_order(x, w1, w2, k):
    _N, _C, H, W = x.shape
    avg, mx = x.mean((2, 3)), x.max((2, 3))
    ha, hm = avg @ w1.T, mx @ w1.T
    s = sigmoid(relu(ha) @ w2.T + relu(hm) @ w2.T)
    x1 = x * s[:, :, None, None]
    pa, pm = x1.mean(1), x1.max(1)
    m = sigmoid(_same_correlation(pa, k[0]) + _same_correlation(pm, k[1]))
    y = x1 * m[:, None]

    def backward(dy):
        dv = (dy * x1).sum(1) * m * (1 - m)
        dk = np.stack([_kernel_grad(pa, dv, 3), _kernel_grad(pm, dv, 3)])
        dx1 = dy
        ds = (dx1 * x).sum((2, 3))
        du = ds * s * (1 - s)
        dw2 = du.T @ (relu(ha) + relu(hm))
        dha = (du @ w2) * (ha > 0)
        dhm = (du @ w2) * (hm > 0)
        dw1 = dha.T @ avg + dhm.T @ mx
        hot = x == mx[:, :, None, None]
        hot = hot / hot.sum((2, 3), keepdims=True)
        dx = dx1 * s[:, :, None, None]
        dx = dx + (dha @ w1)[:, :, None, None] / (H * W) + hot * (dhm @ w1)[:, :, None, None]
        return dx, dw1, dw2, dk

    return y, backward


@wrong(
    "N C H W, C R, R C, 1 2 3 3",
    mistake=(
        "The maximum over the channels is looked up in x, but it was taken of x times the "
        "channel gate."
    ),
    grads="dx dfc1 dfc2",
    says="cbam.pixel-squeeze.x-for-v",
)
def cbam_full_stale_argmax(x, fc1, fc2, conv):
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    where = flat.argmax(axis=2)
    avg = flat.mean(axis=2)
    mx = flat[np.arange(N)[:, None], np.arange(C)[None, :], where]
    h1, h2 = avg @ fc1, mx @ fc1
    s = sigmoid((relu(h1) + relu(h2)) @ fc2)
    f = x * s[:, :, None, None]
    a_map, m_map = f.mean(axis=1), f.max(axis=1)
    g = sigmoid(_same_correlation(a_map, conv[0, 0]) + _same_correlation(m_map, conv[0, 1]))
    y = f * g[:, None]

    def backward(dy):
        dv = (dy * f).sum(axis=1) * g * (1 - g)
        dconv = np.stack([_kernel_grad(a_map, dv, 3), _kernel_grad(m_map, dv, 3)])[None]
        da = _same_correlation(dv, conv[0, 0, ::-1, ::-1])
        dm = _same_correlation(dv, conv[0, 1, ::-1, ::-1])
        df = dy * g[:, None] + da[:, None] / C
        onehot = np.arange(C)[None, :, None, None] == x.argmax(axis=1)[:, None]
        df = df + onehot * dm[:, None]
        du = (df * x).sum(axis=(2, 3)) * s * (1 - s)
        dfc2 = (relu(h1) + relu(h2)).T @ du
        dh = du @ fc2.T
        dh1, dh2 = dh * (h1 > 0), dh * (h2 > 0)
        dfc1 = avg.T @ dh1 + mx.T @ dh2
        dx = df * s[:, :, None, None] + (dh1 @ fc1.T)[:, :, None, None] / (H * W)
        extra = np.zeros((N, C, H * W))
        extra[np.arange(N)[:, None], np.arange(C)[None, :], where] = dh2 @ fc1.T
        return dx + extra.reshape(x.shape), dfc1, dfc2, dconv

    return y, backward


# ------------------------------------------------------------------ Gather-Excite


def _block_mean(x, e):
    H, W = x.shape[2:]
    rows, cols = np.arange(0, H, e), np.arange(0, W, e)
    total = np.add.reduceat(np.add.reduceat(x, rows, axis=2), cols, axis=3)
    count = np.minimum(e, H - rows)[:, None] * np.minimum(e, W - cols)[None, :]
    return total / count, count


def _nearest(z, e, H, W):
    return z.repeat(e, axis=2).repeat(e, axis=3)[:, :, :H, :W]


@wrong(
    "N C H W",
    mistake=(
        "Upsampling repeats a gate over its window, so its gradient is the sum over the "
        "window; here the mean is taken."
    ),
    grads="dx",
    says="gather-excite-windows.repeat:repeat.mean",
)
def ge_local_mean_back(x):
    e = 2
    H, W = x.shape[2:]
    z, count = _block_mean(x, e)
    s = sigmoid(z)
    y = x * _nearest(s, e, H, W)

    def backward(dy):
        ds, _ = _block_mean(dy * x, e)
        dz = ds * s * (1 - s)
        dx = dy * _nearest(s, e, H, W) + _nearest(dz / count, e, H, W)
        return (dx,)

    return y, backward


@wrong(
    "N C H W",
    mistake=(
        "Windows cut off at the border hold fewer pixels, but the gradient of their mean is "
        "divided by the full e*e."
    ),
    grads="dx",
    says="gather-excite-windows.squeeze:window-mean.border",
)
def ge_local_border(x):
    extent = 3
    N, C, H, W = x.shape
    hh, ww = -(-H // extent), -(-W // extent)
    gate = np.zeros((N, C, hh, ww))
    for i in range(hh):
        for j in range(ww):
            win = x[:, :, i * extent : (i + 1) * extent, j * extent : (j + 1) * extent]
            gate[:, :, i, j] = sigmoid(win.mean(axis=(2, 3)))
    up = gate[:, :, np.arange(H) // extent][:, :, :, np.arange(W) // extent]
    y = up * x

    def backward(dy):
        dx = dy * up
        for i in range(hh):
            for j in range(ww):
                sl = np.s_[:, :, i * extent : (i + 1) * extent, j * extent : (j + 1) * extent]
                dg = (dy[sl] * x[sl]).sum(axis=(2, 3))
                g = gate[:, :, i, j]
                dmean = dg * g * (1 - g)
                dx[sl] += dmean[:, :, None, None] / extent**2
        return dx

    return y, backward


@wrong(
    "N H W C",
    mistake="The sigmoid's derivative is left out on the way from the gate to the mean.",
    grads="dfeat",
    says="gather-excite-mean.gate:sigmoid.missing",
)
def ge_global_nhwc(feat):
    gathered = feat.mean(axis=(1, 2), keepdims=True)
    gate = sigmoid(gathered)
    y = feat * gate

    def backward(dy):
        dgate = np.sum(dy * feat, axis=(1, 2), keepdims=True)
        dgathered = dgate
        n_pix = feat.shape[1] * feat.shape[2]
        dfeat = dy * gate + dgathered / n_pix * np.ones_like(feat)
        return dfeat

    return y, backward


@wrong(
    "N C H W, C, C",
    mistake="The gather path of dx lacks the factor of the per-channel weight gamma.",
    grads="dx",
    says="gather-excite-affine.weight:multiply.b-missing",
)
def ge_global_affine(x, gamma, beta):
    # GE with a depthwise 1x1 on the gathered value
    hw = x.shape[2] * x.shape[3]
    m = x.sum(axis=(2, 3)) / hw
    s = sigmoid(gamma * m + beta)
    y = s[:, :, None, None] * x

    def backward(dy):
        dt = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dgamma = (dt * m).sum(axis=0)
        dbeta = dt.sum(axis=0)
        dm = dt
        dx = s[:, :, None, None] * dy + dm[:, :, None, None] / hw
        return dx, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W",
    mistake=(
        "The forward repeats every gate over neighbouring pixels, the backward adds up pixels "
        "as if the map had been tiled."
    ),
    grads="dx",
    says="gather-excite-windows.repeat:repeat.tiled",
)
def ge_repeat_tile(x):
    _n, _c, h, w = x.shape
    e = 2
    rows = np.arange(h) // e
    cols = np.arange(w) // e
    hh, ww = rows[-1] + 1, cols[-1] + 1
    A = (rows[None, :] == np.arange(hh)[:, None]).astype(float)  # hh x h
    B = (cols[None, :] == np.arange(ww)[:, None]).astype(float)
    A_mean = A / A.sum(axis=1, keepdims=True)
    B_mean = B / B.sum(axis=1, keepdims=True)
    z = np.einsum("ih,nchw,jw->ncij", A_mean, x, B_mean)
    s = sigmoid(z)
    up = s[:, :, rows][:, :, :, cols]
    y = x * up

    def backward(dy):
        dup = dy * x
        ds = np.zeros_like(s)
        for i in range(h):
            for j in range(w):
                ds[:, :, i % hh, j % ww] += dup[:, :, i, j]
        dz = ds * s * (1 - s)
        return dy * up + np.einsum("ih,ncij,jw->nchw", A_mean, dz, B_mean)

    return y, backward


# ------------------------------------------------------------------ effective SE


@wrong(
    "N C H W, C C, C",
    mistake="The slope 1/6 of the hard sigmoid is missing.",
    grads="dx dw db",
    says="channel-gate.gate:hard-sigmoid.slope-missing",
)
def ese_slope(x, w, b):
    P = x.shape[2] * x.shape[3]
    z = x.mean((2, 3))
    u = z @ w.T + b
    s = np.clip(u / 6 + 0.5, 0, 1)
    y = x * s[:, :, None, None]

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        du = ds * ((u > -3) & (u < 3))
        dw = du.T @ z
        db = du.sum(0)
        dx = dy * s[:, :, None, None] + (du @ w)[:, :, None, None] / P
        return dx, dw, db

    return y, backward


@wrong(
    "N C H W, C C, C",
    mistake=(
        "The hard sigmoid's flat parts are not masked: the slope 1/6 is used where the gate "
        "is 0 or 1, too."
    ),
    grads="dx dfc db",
    says="channel-gate.gate:hard-sigmoid.mask-missing",
)
def ese_no_mask(x, fc, b):
    N, C, H, W = x.shape
    z = x.reshape(N, C, -1).mean(-1)
    u = np.einsum("nj,ij->ni", z, fc) + b
    gate = np.minimum(np.maximum(u + 3, 0), 6) / 6

    def backward(dy):
        dgate = np.einsum("nchw,nchw->nc", dy, x)
        du = dgate / 6
        dfc = np.einsum("ni,nj->ij", du, z)
        dz = np.einsum("ni,ij->nj", du, fc)
        dx = np.einsum("nchw,nc->nchw", dy, gate) + dz[..., None, None] / (H * W)
        return dx, dfc, du.sum(axis=0)

    return np.einsum("nchw,nc->nchw", x, gate), backward


@wrong(
    "N H W C, C C, C",
    mistake="dz is du times the weight matrix, which is not transposed.",
    grads="dx",
    says="channel-gate.linear-layer:dense.w-transposed",
)
def ese_not_transposed(x, W, bias):
    n, hh, ww, c = x.shape
    z = x.mean(axis=(1, 2))
    s = sigmoid(z @ W + bias)[:, None, None]
    y = s * x

    def backward(dy):
        du = ((dy * x).sum(axis=(1, 2), keepdims=True) * s * (1 - s)).reshape(n, c)
        dW = z.T @ du
        dz = du @ W
        dx = s * dy + (dz / (hh * ww))[:, None, None]
        return dx, dW, du.sum(axis=0)

    return y, backward


@wrong(
    "N C H W, C C 1 1",
    mistake=(
        "The mask of relu6(u+3) is taken of u in place of u+3: 0 < u < 6 in place of -3 < u < 3."
    ),
    grads="dx dconv",
    says="channel-gate.gate:hard-sigmoid.relu",
)
def ese_relu6_mask(x, conv):
    n, c, h, w = x.shape
    K = conv[:, :, 0, 0]
    z = x.mean((2, 3))
    u = z @ K.T
    s = np.clip(u + 3, 0, 6) / 6
    y = x * s.reshape(n, c, 1, 1)

    def backward(dy):
        ds = (dy * x).sum((2, 3))
        du = np.where((u > 0) & (u < 6), ds / 6, 0.0)
        dK = du.T @ z
        dz = du @ K
        dx = dy * s.reshape(n, c, 1, 1) + dz.reshape(n, c, 1, 1) / (h * w)
        return dx, dK[:, :, None, None]

    return y, backward


# ------------------------------------------------------------------ SRM


@wrong(
    "N C H W, C 2",
    mistake="The gradient of the standard deviation uses x where x minus its mean belongs.",
    grads="dx",
    says="style-gate.deviation:deviation.mean-missing",
)
def srm_not_centred(x, cfc):
    HW = x.shape[2] * x.shape[3]
    mu = x.mean(axis=(2, 3))
    sd = np.sqrt(x.var(axis=(2, 3)) + 1e-5)
    s = sigmoid(mu * cfc[:, 0] + sd * cfc[:, 1])
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dcfc = np.stack([(du * mu).sum(0), (du * sd).sum(0)], axis=1)
        dmu = du * cfc[:, 0]
        dsd = du * cfc[:, 1]
        dx = dy * s[:, :, None, None] + dmu[:, :, None, None] / HW
        dx += (dsd / sd / HW)[:, :, None, None] * x
        return dx, dcfc

    return y, backward


@wrong(
    "N C H W, C, C",
    mistake="The gradient of the standard deviation lacks the division by the standard deviation.",
    grads="dx",
    says="style-gate-vectors.deviation:deviation.root-missing",
)
def srm_two_vectors(x, w_mean, w_std):
    n, c, h, w = x.shape
    v = x.reshape(n, c, h * w)
    mean = v.mean(axis=2, keepdims=True)
    centred = v - mean
    std = np.sqrt((centred**2).mean(axis=2, keepdims=True) + 1e-6)
    g = sigmoid(w_mean[None, :, None] * mean + w_std[None, :, None] * std)
    y = (v * g).reshape(x.shape)

    def backward(dy):
        d = dy.reshape(n, c, h * w)
        dg = (d * v).sum(axis=2, keepdims=True)
        dlogit = dg * g * (1 - g)
        dw_mean = (dlogit * mean).sum(axis=(0, 2))
        dw_std = (dlogit * std).sum(axis=(0, 2))
        dmean = dlogit * w_mean[None, :, None]
        dstd = dlogit * w_std[None, :, None]
        dv = d * g + dmean / (h * w) + dstd * centred / (h * w)
        return dv.reshape(x.shape), dw_mean, dw_std

    return y, backward


@wrong(
    "2 C, N H W C",
    mistake="In dw, the row of the standard deviation is made with the variance.",
    grads="dw",
    says="style-gate.variance",
)
def srm_nhwc(w, x):
    pix = x.shape[1] * x.shape[2]
    mean = x.mean(axis=(1, 2), keepdims=True)
    var = ((x - mean) ** 2).mean(axis=(1, 2), keepdims=True)
    std = np.sqrt(var + 1e-5)
    s = sigmoid(w[0] * mean + w[1] * std)
    out = s * x

    def backward(dout):
        du = np.sum(dout * x, axis=(1, 2), keepdims=True) * s * (1 - s)
        dw = np.empty_like(w)
        dw[0] = np.sum(du * mean, axis=(0, 1, 2))
        dw[1] = np.sum(du * var, axis=(0, 1, 2))
        dx = s * dout + du * (w[0] + w[1] * (x - mean) / std) / pix
        return dw, dx

    return out, backward


@wrong(
    "N C H W, C 2, C, C",
    mistake="The batch norm's mean and variance are treated as constants on the way back.",
    grads="dx dw",
    says="srm.norm:batch-norm.statistics-as-constants",
)
def srm_bn_constant(x, w, gamma, beta):
    _N, _C, H, W = x.shape
    mu = x.mean((2, 3))
    sig = np.sqrt(x.var((2, 3)) + 1e-5)
    t = np.stack([mu, sig], -1)  # N C 2
    z = np.einsum("nck,ck->nc", t, w)
    m, v = z.mean(0), z.var(0)
    inv = 1 / np.sqrt(v + 1e-5)
    zh = (z - m) * inv
    g = sigmoid(gamma * zh + beta)
    y = x * g[:, :, None, None]

    def backward(dy):
        dlog = (dy * x).sum((2, 3)) * g * (1 - g)
        dgamma = (dlog * zh).sum(0)
        dbeta = dlog.sum(0)
        dz = dlog * gamma * inv
        dw = np.einsum("nc,nck->ck", dz, t)
        dt = dz[:, :, None] * w
        dx = dy * g[:, :, None, None]
        dx = dx + dt[:, :, 0, None, None] / (H * W)
        dx = dx + (dt[:, :, 1] / sig)[:, :, None, None] * (x - mu[:, :, None, None]) / (H * W)
        return dx, dw, dgamma, dbeta

    return y, backward


@wrong(
    "N C H W, C 2, C, C",
    mistake="dgamma of the batch norm is made with the values before normalisation.",
    grads="dgamma",
    says="srm.norm:batch-norm.dgamma.x-for-xhat",
)
def srm_bn_gamma(x, w, gamma, beta):
    _n, _c, h, wd = x.shape
    eps = 1e-5
    mean = x.mean(axis=(2, 3))
    std = np.sqrt(x.var(axis=(2, 3)) + eps)
    z = w[:, 0] * mean + w[:, 1] * std
    bm = z.mean(axis=0, keepdims=True)
    bs = np.sqrt(z.var(axis=0, keepdims=True) + eps)
    zn = (z - bm) / bs
    s = sigmoid(zn * gamma + beta)
    y = x * s[:, :, None, None]

    def backward(dy):
        dt = np.einsum("nchw,nchw->nc", dy, x) * s * (1 - s)
        dgamma = np.sum(dt * z, axis=0)
        dbeta = np.sum(dt, axis=0)
        dzn = dt * gamma
        dz = (dzn - dzn.mean(0, keepdims=True) - zn * (dzn * zn).mean(0, keepdims=True)) / bs
        dw = np.stack([(dz * mean).sum(0), (dz * std).sum(0)], axis=-1)
        dmean = (dz * w[:, 0])[:, :, None, None]
        dstd = (dz * w[:, 1] / std)[:, :, None, None]
        dx = dy * s[:, :, None, None] + (dmean + dstd * (x - mean[:, :, None, None])) / (h * wd)
        return dx, dw, dgamma, dbeta

    return y, backward


# ------------------------------------------------------------------ GCT


@wrong(
    "N C H W, C, C, C",
    mistake="The channel normaliser is treated as a constant in the gradient.",
    grads="dx dalpha",
    says="gct.normalisation:rms-norm.sigma-constant",
)
def gct_constant_norm(x, alpha, gamma, beta):
    eps = 1e-5
    nrm = np.sqrt((x**2).sum(axis=(2, 3)) + eps)
    emb = alpha * nrm
    scale = np.sqrt((emb**2).mean(axis=1, keepdims=True) + eps)
    hat = emb / scale
    th = np.tanh(gamma * hat + beta)
    gate = 1 + th
    y = x * gate[:, :, None, None]

    def backward(dy):
        dgate = (dy * x).sum(axis=(2, 3))
        dt = dgate * (1 - th**2)
        dgamma = (dt * hat).sum(axis=0)
        dbeta = dt.sum(axis=0)
        dhat = dt * gamma
        demb = dhat / scale
        dalpha = (demb * nrm).sum(axis=0)
        dnrm = demb * alpha
        dx = dy * gate[:, :, None, None] + (dnrm / nrm)[:, :, None, None] * x
        return dx, dalpha, dgamma, dbeta

    return y, backward


def _norm_back(demb, emb, scale):
    """Gradient of emb / sqrt(mean(emb**2) + eps) over axis 1."""
    hat = emb / scale
    return (demb - hat * (demb * hat).mean(axis=1, keepdims=True)) / scale


@wrong(
    "N C H W, 1 C 1 1, 1 C 1 1, 1 C 1 1",
    mistake="The tanh's derivative is 1 - gate**2, with the gate 1 + tanh in place of tanh itself.",
    grads="dx dalpha dgamma dbeta",
    says="gct.tanh-of-the-gate",
)
def gct_tanh_of_gate(x, alpha, gamma, beta):
    eps = 1e-5
    l2 = np.sqrt(np.sum(x * x, axis=(2, 3), keepdims=True) + eps)
    embedding = l2 * alpha
    norm = np.sqrt(np.mean(embedding**2, axis=1, keepdims=True) + eps)
    gate = 1.0 + np.tanh(embedding / norm * gamma + beta)
    y = x * gate

    def backward(dy):
        dgate = np.sum(dy * x, axis=(2, 3), keepdims=True)
        dpre = dgate * (1.0 - gate**2)
        dgamma = np.sum(dpre * embedding / norm, axis=0, keepdims=True)
        dbeta = np.sum(dpre, axis=0, keepdims=True)
        demb = _norm_back(dpre * gamma, embedding, norm)
        dalpha = np.sum(demb * l2, axis=0, keepdims=True)
        dx = dy * gate + demb * alpha / l2 * x
        return dx, dalpha, dgamma, dbeta

    return y, backward


@wrong(
    "N H W C, C, C, C",
    mistake="The gradient of the l2 norm is x in place of x divided by the norm.",
    grads="dx",
    says="gct.length:global-l2-pool.root-missing",
)
def gct_nhwc_norm(x, a, g, b):
    length = np.sqrt(np.einsum("nhwc,nhwc->nc", x, x) + 1e-4)
    e = a * length
    c = x.shape[-1]
    denom = np.sqrt((e * e).sum(1, keepdims=True) / c + 1e-4)
    n = e / denom
    t = np.tanh(g * n + b)
    y = x * (1 + t)[:, None, None]

    def backward(dy):
        dt = np.einsum("nhwc,nhwc->nc", dy, x)
        dpre = dt * (1 - t * t)
        dn = dpre * g
        de = dn / denom - e * (dn * e).sum(1, keepdims=True) / (c * denom**3)
        dlen = de * a
        dx = dy * (1 + t)[:, None, None] + dlen[:, None, None] * x
        return dx, (de * length).sum(0), (dpre * n).sum(0), dpre.sum(0)

    return y, backward


@wrong(
    "C, C, C, N C H W",
    mistake="dalpha is made with the embedding alpha*norm in place of the norm alone.",
    grads="dalpha",
    says="gct.embedding:multiply.y-for-a",
)
def gct_params_first(alpha, gamma, beta, x):
    N, C, _H, _W = x.shape
    r = np.sqrt(np.square(x.reshape(N, C, -1)).sum(-1) + 1e-5)
    lin = r * alpha
    d = np.sqrt(np.square(lin).mean(1, keepdims=True) + 1e-5)
    lh = lin / d
    t = np.tanh(lh * gamma + beta)
    y = x + x * t[:, :, None, None]

    def backward(dy):
        dt = (dy * x).sum((2, 3))
        du = dt * (1 - np.square(t))
        dgamma, dbeta = (du * lh).sum(0), du.sum(0)
        dl = _norm_back(du * gamma, lin, d)
        dalpha = (dl * lin).sum(0)
        dr = dl * alpha
        dx = dy * (1 + t)[:, :, None, None] + x * (dr / r)[:, :, None, None]
        return dalpha, dgamma, dbeta, dx

    return y, backward


@wrong(
    "N C H W, C, C, C",
    mistake=(
        "The scale path of dx uses tanh in place of the gate 1 + tanh: the identity is missing."
    ),
    grads="dx",
    says="gct.scale.v-for-s",
)
def gct_identity_lost(x, alpha, gamma, beta):
    eps = 1e-5
    k = x.shape[1]
    p = np.sqrt((x * x).sum((2, 3)) + eps)
    q = alpha * p
    rho = np.sqrt((q * q).sum(1) + eps)[:, None]
    v = np.sqrt(k) * q / rho
    t = np.tanh(gamma * v + beta)

    def backward(dy):
        dt = (dy * x).sum((2, 3)) * (1 - t * t)
        dv = dt * gamma
        dq = np.sqrt(k) * (dv / rho - q * (dv * q).sum(1)[:, None] / rho**3)
        dp = dq * alpha
        dx = dy * t[:, :, None, None] + (dp / p)[:, :, None, None] * x
        return dx, (dq * p).sum(0), (dt * v).sum(0), dt.sum(0)

    return x * (1 + t)[:, :, None, None], backward


# ------------------------------------------------------------------ Global context


def _softmax(v):
    e = np.exp(v - v.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def _ln(v, g, b, eps=1e-5):
    mu = v.mean(-1, keepdims=True)
    inv = 1 / np.sqrt(v.var(-1, keepdims=True) + eps)
    hat = (v - mu) * inv
    return hat * g + b, hat, inv


def _ln_back(do, hat, inv, g):
    dh = do * g
    return inv * (dh - dh.mean(-1, keepdims=True) - hat * (dh * hat).mean(-1, keepdims=True))


@wrong(
    "N C H W, C, R C, R, R, R, C R",
    mistake=(
        "The softmax's gradient has the diagonal a*da only; the subtraction of the weighted "
        "sum is missing."
    ),
    grads="dx dwk",
    says="global-context.softmax:softmax.sum-missing",
)
def gc_softmax_diagonal(x, wk, w1, b1, g, b, w2):
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W)
    a = _softmax(np.einsum("ncp,c->np", f, wk))
    ctx = np.einsum("ncp,np->nc", f, a)
    t = ctx @ w1.T + b1
    lin, hat, inv = _ln(t, g, b)
    r = relu(lin)
    y = x + (r @ w2.T)[:, :, None, None]

    def backward(dy):
        do = dy.sum((2, 3))
        dw2 = do.T @ r
        dl = (do @ w2) * (lin > 0)
        dg, db = (dl * hat).sum(0), dl.sum(0)
        dt = _ln_back(dl, hat, inv, g)
        dw1 = dt.T @ ctx
        dctx = dt @ w1
        da = np.einsum("nc,ncp->np", dctx, f)
        dlog = a * da
        dwk = np.einsum("np,ncp->c", dlog, f)
        df = dctx[:, :, None] * a[:, None, :] + dlog[:, None, :] * wk[None, :, None]
        return dy + df.reshape(x.shape), dwk, dw1, dt.sum(0), dg, db, dw2

    return y, backward


@wrong(
    "N C H W, C, R C, R, R, C R",
    mistake=(
        "The layer norm's mean and standard deviation are treated as constants in the gradient."
    ),
    grads="dx dkey dreduce",
    says="global-context.norm:layer-norm.sigma-constant",
)
def gc_layernorm_constant(x, key, reduce, ln_w, ln_b, expand):
    N, C, _H, _W = x.shape
    seq = x.reshape(N, C, -1).transpose(0, 2, 1)  # N P C
    score = seq @ key
    att = _softmax(score)
    context = (att[:, :, None] * seq).sum(1)
    pre = context @ reduce.T
    mean = pre.mean(1, keepdims=True)
    std = np.sqrt(pre.var(1, keepdims=True) + 1e-5)
    hat = (pre - mean) / std
    norm = hat * ln_w + ln_b
    act = relu(norm)
    out = x + (act @ expand.T).reshape(N, C, 1, 1)

    def backward(dout):
        dterm = dout.sum((2, 3))
        dexpand = dterm.T @ act
        dnorm = (dterm @ expand) * (norm > 0)
        dln_w = (dnorm * hat).sum(0)
        dln_b = dnorm.sum(0)
        dpre = dnorm * ln_w / std
        dreduce = dpre.T @ context
        dcontext = dpre @ reduce
        datt = (seq * dcontext[:, None, :]).sum(-1)
        dscore = att * (datt - (datt * att).sum(1, keepdims=True))
        dkey = (dscore[:, :, None] * seq).sum((0, 1))
        dseq = att[:, :, None] * dcontext[:, None, :] + dscore[:, :, None] * key
        dx = dout + dseq.transpose(0, 2, 1).reshape(x.shape)
        return dx, dkey, dreduce, dln_w, dln_b, dexpand

    return out, backward


@wrong(
    "N H W C, C, (), C R, R, R, R C",
    mistake=(
        "x is also the value that is averaged: that path (attention times the context's "
        "gradient) is missing in dx."
    ),
    grads="dx",
    says="global-context.pool-path",
)
def gc_nhwc_no_values(x, w_key, b_key, w_in, gain, shift, w_out):
    n, h, w, c = x.shape
    v = x.reshape(n, h * w, c)
    p = _softmax(v @ w_key + b_key)
    ctx = np.einsum("np,npc->nc", p, v)
    z = ctx @ w_in
    o, hat, inv = _ln(z, gain, shift)
    act = np.where(o > 0, o, 0)
    y = x + (act @ w_out)[:, None, None, :]

    def backward(dy):
        dt = dy.sum(axis=(1, 2))
        dw_out = act.T @ dt
        do = np.where(o > 0, dt @ w_out.T, 0)
        dgain = (do * hat).sum(0)
        dshift = do.sum(0)
        dz = _ln_back(do, hat, inv, gain)
        dw_in = ctx.T @ dz
        dctx = dz @ w_in.T
        dp = np.einsum("nc,npc->np", dctx, v)
        dlogit = p * (dp - np.einsum("np,np->n", p, dp)[:, None])
        dw_key = np.einsum("np,npc->c", dlogit, v)
        db_key = dlogit.sum()
        dv = dlogit[:, :, None] * w_key
        dx = dy + dv.reshape(x.shape)
        return dx, dw_key, db_key, dw_in, dgain, dshift, dw_out

    return y, backward


@wrong(
    "N C H W, 1 C 1 1, R C 1 1, R, R, C R 1 1",
    mistake=(
        "The term is added to every pixel; its gradient is a mean over the pixels in place of "
        "the sum."
    ),
    grads="dx dmask_w dw1 dln_g dln_b dw2",
    says="global-context.shift.dt.factor",
)
def gc_conv_weights(x, mask_w, w1, ln_g, ln_b, w2):
    N, C, H, W = x.shape
    R = w1.shape[0]
    A, B = w1.reshape(R, C), w2.reshape(C, R)
    logits = (x * mask_w).sum(1).reshape(N, H * W)
    att = _softmax(logits).reshape(N, 1, H, W)
    ctx = (x * att).sum((2, 3))
    t = ctx @ A.T
    lin, hat, inv = _ln(t, ln_g, ln_b)
    r = relu(lin)
    y = x + (r @ B.T).reshape(N, C, 1, 1)

    def backward(dy):
        dterm = dy.mean((2, 3))
        dB = dterm.T @ r
        dl = (dterm @ B) * (lin > 0)
        dg, db = (dl * hat).sum(0), dl.sum(0)
        dt = _ln_back(dl, hat, inv, ln_g)
        dA = dt.T @ ctx
        dctx = (dt @ A).reshape(N, C, 1, 1)
        datt = (dctx * x).sum(1, keepdims=True)
        dlog = att * (datt - (att * datt).sum((2, 3), keepdims=True))
        dmask = (dlog * x).sum((0, 2, 3)).reshape(mask_w.shape)
        dx = dy + dctx * att + dlog * mask_w
        return dx, dmask, dA.reshape(w1.shape), dg, db, dB.reshape(w2.shape)

    return y, backward


@wrong(
    "N C H W, C, R C, R, R, C R, C",
    mistake=(
        "In the softmax's gradient the plain mean of da over the pixels is subtracted, in "
        "place of the sum weighted by the attention."
    ),
    grads="dx dk",
    says="global-context.softmax:softmax.mean-for-sum",
)
def gc_softmax_mean(x, k, w1, g, b, w2, b2):
    N, C, _H, _W = x.shape
    f = x.reshape(N, C, -1)
    s = np.tensordot(f, k, axes=(1, 0))
    s = s - s.max(1, keepdims=True)
    a = np.exp(s)
    a = a / a.sum(1, keepdims=True)
    ctx = (f * a[:, None]).sum(2)
    t = ctx @ w1.T
    lin, hat, inv = _ln(t, g, b)
    r = relu(lin)
    y = x + (r @ w2.T + b2)[..., None, None]

    def backward(dy):
        do = dy.sum((2, 3))
        dw2, db2 = do.T @ r, do.sum(0)
        dl = (do @ w2) * (lin > 0)
        dg, db = (dl * hat).sum(0), dl.sum(0)
        dt = _ln_back(dl, hat, inv, g)
        dw1 = dt.T @ ctx
        dctx = dt @ w1
        da = (f * dctx[:, :, None]).sum(1)
        ds = a * (da - da.mean(1, keepdims=True))
        dk = (ds[:, None] * f).sum((0, 2))
        df = a[:, None] * dctx[:, :, None] + ds[:, None] * k[:, None]
        return dy + df.reshape(x.shape), dk, dw1, dg, db, dw2, db2

    return y, backward


# ------------------------------------------------------------------ Leela Chess Zero


@wrong(
    "N C H W, R C, R, 2 C R, 2 C",
    mistake=(
        "The halves of the gradient of the second layer's output are swapped: that of the "
        "bias stands first, but the forward reads the scale first."
    ),
    grads="dx dw1 db1 dw2 db2",
    says="scale-bias-se.halves-exchanged",
)
def lc0_swapped(x, w1, b1, w2, b2):
    _N, C, H, W = x.shape
    R = w1.shape[0]
    z = x.mean((2, 3))
    h = z @ w1.T + b1
    a = relu(h)
    out = a @ w2.reshape(2 * C, R).T + b2.reshape(-1)
    s = sigmoid(out[:, :C])
    t = out[:, C:]
    y = x * s[:, :, None, None] + t[:, :, None, None]

    def backward(dy):
        dscale = (dy * x).sum((2, 3)) * s * (1 - s)
        dshift = dy.sum((2, 3))
        dout = np.concatenate([dshift, dscale], axis=1)
        dw2 = (dout.T @ a).reshape(2, C, R)
        db2 = dout.sum(0).reshape(2, C)
        dh = (dout @ w2.reshape(2 * C, R)) * (h > 0)
        dw1 = dh.T @ z
        db1 = dh.sum(0)
        dx = dy * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / (H * W)
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C H W, C R, R C, R C",
    mistake=(
        "The added bias is not gated by a sigmoid, but its gradient is multiplied by a "
        "sigmoid's derivative too."
    ),
    grads="dx dw1 dwb",
    says="scale-bias-se.bias-through-the-gate",
)
def lc0_sigmoid_both(x, w1, ws, wb):
    hw = x.shape[2] * x.shape[3]
    z = x.mean((2, 3))
    h = z @ w1
    a = relu(h)
    g = sigmoid(a @ ws)
    bias = a @ wb
    y = x * g[..., None, None] + bias[..., None, None]

    def backward(dy):
        dsc = (dy * x).sum((2, 3)) * g * (1 - g)
        dbi = dy.sum((2, 3)) * g * (1 - g)
        dws = a.T @ dsc
        dwb = a.T @ dbi
        dh = (dsc @ ws.T + dbi @ wb.T) * (h > 0)
        dw1 = z.T @ dh
        dx = dy * g[..., None, None] + (dh @ w1.T)[..., None, None] / hw
        return dx, dw1, dws, dwb

    return y, backward


@wrong(
    "N H W C, C R, R, R C, C, R C, C",
    mistake="The path from the added bias back to the hidden layer is missing.",
    grads="dx dw_fc db_fc",
    says="scale-bias-se.bias-layer-path",
)
def lc0_nhwc_bias_path(x, w_fc, b_fc, w_gamma, b_gamma, w_beta, b_beta):
    _n, hh, ww, _c = x.shape
    pool = x.mean(axis=(1, 2))
    pre = pool @ w_fc + b_fc
    act = relu(pre)
    gamma = sigmoid(act @ w_gamma + b_gamma)
    beta = act @ w_beta + b_beta
    y = gamma[:, None, None] * x + beta[:, None, None]

    def backward(dy):
        dbeta = dy.sum(axis=(1, 2))
        dgamma = (dy * x).sum(axis=(1, 2))
        dlogit = dgamma * gamma * (1 - gamma)
        dw_gamma = act.T @ dlogit
        db_gamma = dlogit.sum(0)
        dw_beta = act.T @ dbeta
        db_beta = dbeta.sum(0)
        dact = dlogit @ w_gamma.T
        dpre = dact * (pre > 0)
        dw_fc = pool.T @ dpre
        db_fc = dpre.sum(0)
        dpool = dpre @ w_fc.T / (hh * ww)
        dx = gamma[:, None, None] * dy + dpool[:, None, None]
        return dx, dw_fc, db_fc, dw_gamma, db_gamma, dw_beta, db_beta

    return y, backward


@wrong(
    "N C H W, N C H W, R C, C R, C R",
    mistake=(
        "The mask of the last ReLU is that of the input x, not of the sum that the ReLU was "
        "taken of."
    ),
    grads="dx dskip dw1 dws dwt",
    says="scale-bias-se-shortcut-relu.outer-relu.x-for-r",
)
def lc0_residual_relu(x, skip, w1, ws, wt):
    P = x.shape[-1] * x.shape[-2]
    z = np.einsum("nchw->nc", x) / P
    h = np.einsum("nc,rc->nr", z, w1)
    a = relu(h)
    s = sigmoid(np.einsum("nr,cr->nc", a, ws))
    t = np.einsum("nr,cr->nc", a, wt)
    total = skip + s[:, :, None, None] * x + t[:, :, None, None]
    y = relu(total)

    def backward(dy):
        d = dy * (x > 0)
        dsl = np.einsum("nchw,nchw->nc", d, x) * s * (1 - s)
        dt = np.einsum("nchw->nc", d)
        dws = np.einsum("nc,nr->cr", dsl, a)
        dwt = np.einsum("nc,nr->cr", dt, a)
        da = np.einsum("nc,cr->nr", dsl, ws) + np.einsum("nc,cr->nr", dt, wt)
        dh = da * (h > 0)
        dw1 = np.einsum("nr,nc->rc", dh, z)
        dz = np.einsum("nr,rc->nc", dh, w1)
        dx = d * s[:, :, None, None] + dz[:, :, None, None] / P
        return dx, d, dw1, dws, dwt

    return y, backward


# ------------------------------------------------------------------ SE with SiLU


@wrong(
    "N C H W, R C, R, C R, C",
    mistake="The derivative of SiLU is the sigmoid alone; the term h*sig*(1-sig) is missing.",
    grads="dx dw1 db1",
    says="se.inner-activation:silu.sigmoid-alone",
)
def silu_se(x, w1, b1, w2, b2):
    hw = np.prod(x.shape[2:])
    z = x.mean((2, 3))
    h = z @ w1.T + b1
    sg = sigmoid(h)
    a = h * sg
    s = sigmoid(a @ w2.T + b2)
    y = x * s[:, :, None, None]

    def backward(dy):
        du = (dy * x).sum((2, 3)) * s * (1 - s)
        dw2, db2 = du.T @ a, du.sum(0)
        da = du @ w2
        dh = da * sg
        dw1, db1 = dh.T @ z, dh.sum(0)
        dx = dy * s[:, :, None, None] + (dh @ w1)[:, :, None, None] / hw
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N H W C, C R, R C",
    mistake="SiLU's derivative is evaluated at its output in place of its input.",
    grads="dx dreduce",
    says="se.inner-activation:silu.twice",
)
def mbconv_se_nhwc(x, reduce, expand):
    def swish_grad(v):
        sv = sigmoid(v)
        return sv * (1 + v * (1 - sv))

    area = x.shape[1] * x.shape[2]
    se = x.mean(axis=(1, 2))
    pre = se @ reduce
    mid = pre * sigmoid(pre)
    gate = sigmoid(mid @ expand)
    y = x * gate[:, None, None, :]

    def backward(dy):
        dgate = np.einsum("nhwc,nhwc->nc", dy, x)
        dlog = dgate * gate * (1 - gate)
        dexpand = mid.T @ dlog
        dmid = dlog @ expand.T
        dpre = dmid * swish_grad(mid)
        dreduce = se.T @ dpre
        dse = dpre @ reduce.T
        return dy * gate[:, None, None, :] + dse[:, None, None, :] / area, dreduce, dexpand

    return y, backward


@wrong(
    "N C H W, R C 1 1, R, C R 1 1, C",
    mistake="The hidden activation is SiLU, but the backward uses the 0/1 mask of ReLU.",
    grads="dx dw_r db_r",
    says="se.inner-activation:silu.relu",
)
def efficientnet_se(x, w_r, b_r, w_e, b_e):
    _N, _C, H, W = x.shape
    A, B = w_r[:, :, 0, 0], w_e[:, :, 0, 0]
    p = x.mean(axis=(2, 3))
    r = p @ A.T + b_r
    act = r * sigmoid(r)
    g = sigmoid(act @ B.T + b_e)
    y = x * g[:, :, None, None]

    def backward(dy):
        dg = np.sum(dy * x, axis=(2, 3))
        dl = dg * g * (1 - g)
        dB = dl.T @ act
        dr = (dl @ B) * (r > 0)
        dA = dr.T @ p
        dp = dr @ A
        dx = dy * g[:, :, None, None] + dp[:, :, None, None] / (H * W)
        return dx, dA[:, :, None, None], dr.sum(0), dB[:, :, None, None], dl.sum(0)

    return y, backward


# ------------------------------------------------------------------ sequences and volumes


def _valid(N, L):
    """Sample n is valid for its first L - n (at least 1) places."""
    lengths = np.maximum(1, L - np.arange(N))
    return (np.arange(L)[None, :] < lengths[:, None]).astype(float), lengths.astype(float)


@wrong(
    "N C L, R C, C R",
    mistake="The masked mean divides by the number of valid places; its gradient divides by L.",
    grads="dx",
)
def seq_se_length(x, w1, w2):
    N, _C, L = x.shape
    mask, lengths = _valid(N, L)
    z = (x * mask[:, None]).sum(2) / lengths[:, None]
    h = z @ w1.T
    a = relu(h)
    s = sigmoid(a @ w2.T)
    y = x * s[:, :, None]

    def backward(dy):
        du = (dy * x).sum(2) * s * (1 - s)
        dw2 = du.T @ a
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1
        dx = dy * s[:, :, None] + mask[:, None] * dz[:, :, None] / L
        return dx, dw1, dw2

    return y, backward


@wrong(
    "N L C, C R, R, R C, C",
    mistake=(
        "The squeeze path of dtokens_x reaches the padded places, too: the mask is missing there."
    ),
    grads="dtokens_x",
    says="any.mask-missing",
)
def seq_se_tokens(tokens_x, w1, b1, w2, b2):
    n, lin, _c = tokens_x.shape
    mask, length = _valid(n, lin)
    m = mask[:, :, None]
    z = np.einsum("nlc,nl->nc", tokens_x, mask) / length[:, None]
    pre = z @ w1 + b1
    act = relu(pre)
    s = sigmoid(act @ w2 + b2)[:, None, :]
    y = tokens_x * s * m

    def backward(dy):
        d = dy * m
        ds = (d * tokens_x).sum(1, keepdims=True)
        du = (ds * s * (1 - s))[:, 0]
        dw2, db2 = act.T @ du, du.sum(0)
        dpre = (du @ w2.T) * (pre > 0)
        dw1, db1 = z.T @ dpre, dpre.sum(0)
        dz = dpre @ w1.T / length[:, None]
        dx = d * s + dz[:, None, :]
        return dx, dw1, db1, dw2, db2

    return y, backward


@wrong(
    "N C D H W, R C, C R",
    mistake="The mean over a volume has D*H*W places; its gradient is divided by H*W only.",
    grads="dvol",
    says="se.squeeze-path.factor",
)
def volume_se(vol, w1, w2):
    _n, _c, _d, h, w = vol.shape
    z = vol.mean(axis=(2, 3, 4))
    pre = z @ w1.T
    hid = relu(pre)
    s = sigmoid(hid @ w2.T)
    g = s[:, :, None, None, None]

    def backward(dy):
        ds = (dy * vol).sum(axis=(2, 3, 4))
        du = ds * s * (1 - s)
        dw2 = du.T @ hid
        dpre = (du @ w2) * (pre > 0)
        dw1 = dpre.T @ z
        dz = dpre @ w1
        dvol = dy * g + dz[:, :, None, None, None] / (h * w)
        return dvol, dw1, dw2

    return vol * g, backward


@wrong(
    "N C L, R C, R, C R, C",
    mistake="The output is masked, but the gate's gradient sums dy*x over the padded places, too.",
    grads="dx dw1 db1 dw2 db2",
)
def seq_se_masked_output(x, w1, b1, w2, b2):
    N, _C, L = x.shape
    mask, length = _valid(N, L)
    mask = mask[:, None, :]
    z = (x * mask).sum(-1) / length[:, None]
    h = z @ w1.T + b1
    a = relu(h)
    s = sigmoid(a @ w2.T + b2)
    y = x * s[..., None] * mask

    def backward(dy):
        ds = (dy * x).sum(-1)
        du = ds * s * (1 - s)
        dw2 = du.T @ a
        db2 = du.sum(0)
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z
        db1 = dh.sum(0)
        dz = (dh @ w1) / length[:, None]
        dx = dy * s[..., None] * mask + dz[..., None] * mask
        return dx, dw1, db1, dw2, db2

    return y, backward
