"""Right normalisers, as strangers write them."""

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """Batch norm in the nine small steps of a well-known blog."""
    N = x.shape[0]
    mu = 1.0 / N * np.sum(x, axis=0)
    xmu = x - mu
    sq = xmu**2
    var = 1.0 / N * np.sum(sq, axis=0)
    sqrtvar = np.sqrt(var + eps)
    ivar = 1.0 / sqrtvar
    xhat = xmu * ivar
    gammax = gamma * xhat
    out = gammax + beta
    return out, (xhat, gamma, xmu, ivar, sqrtvar, var, eps)


def batchnorm_backward(dout, cache):
    """The same steps backwards."""
    xhat, gamma, xmu, ivar, sqrtvar, var, eps = cache
    N, D = dout.shape
    dbeta = np.sum(dout, axis=0)
    dgamma = np.sum(dout * xhat, axis=0)
    dxhat = dout * gamma
    divar = np.sum(dxhat * xmu, axis=0)
    dxmu1 = dxhat * ivar
    dsqrtvar = -1.0 / (sqrtvar**2) * divar
    dvar = 0.5 * 1.0 / np.sqrt(var + eps) * dsqrtvar
    dsq = 1.0 / N * np.ones((N, D)) * dvar
    dxmu2 = 2 * xmu * dsq
    dx1 = dxmu1 + dxmu2
    dmu = -1 * np.sum(dxmu1 + dxmu2, axis=0)
    dx2 = 1.0 / N * np.ones((N, D)) * dmu
    return dx1 + dx2, dgamma, dbeta


right("N D, D, D", title="batchnorm in many steps")(
    from_cache(batchnorm_forward, batchnorm_backward)
)


@right("N C H W, C, C")
def batchnorm_images(x, gamma, beta):
    """Batch norm of images in the short form."""
    ax = (0, 2, 3)
    g = gamma.reshape(1, -1, 1, 1)
    std = np.sqrt(x.var(axis=ax, keepdims=True) + 1e-3)
    xhat = (x - x.mean(axis=ax, keepdims=True)) / std

    def backward(dy):
        d = dy * g
        dx = d - d.mean(axis=ax, keepdims=True)
        dx -= xhat * (d * xhat).mean(axis=ax, keepdims=True)
        return dx / std, (dy * xhat).sum(axis=ax), dy.sum(axis=ax)

    return g * xhat + beta.reshape(1, -1, 1, 1), backward


@right(given=lambda rng: (rng.standard_normal((5, 4)), rng.standard_normal(4), np.ones(4)))
def batchnorm_of_test_time(x, gamma, beta):
    """Batch norm with running statistics, which are constants."""
    mean, var = np.array([0.5, -1, 0, 2]), np.array([1e-2, 1, 4, 100])
    xhat = (x - mean) / np.sqrt(var + 1e-8)

    def backward(dy):
        return dy * gamma / np.sqrt(var + 1e-8), np.sum(dy * xhat, 0), np.sum(dy, 0)

    return gamma * xhat + beta, backward


@right("N D, D, D")
def layernorm_by_loops(x, g, b):
    """Layer norm, a row at a time."""
    rows = []
    y = np.zeros(x.shape)
    for i in range(x.shape[0]):
        mu, sd = x[i].mean(), np.sqrt(x[i].var() + 1e-6)
        rows.append(((x[i] - mu) / sd, sd))
        y[i] = g * rows[i][0] + b

    def backward(dy):
        dx, dg, db = np.zeros(x.shape), np.zeros(g.shape), np.zeros(b.shape)
        for i, (h, sd) in enumerate(rows):
            dg += dy[i] * h
            db += dy[i]
            dh = dy[i] * g
            dx[i] = (dh - dh.mean() - h * np.dot(dh, h) / h.size) / sd
        return dx, dg, db

    return y, backward


@right("B T D, D")
def layernorm_without_bias(x, weight):
    """Layer norm of sequences, with einsum in its backward."""
    D = x.shape[-1]
    xc = x - x.mean(-1, keepdims=True)
    rstd = (np.einsum("btd,btd->bt", xc, xc) / D + 1e-5) ** -0.5
    n = np.einsum("btd,bt->btd", xc, rstd)

    def backward(dout):
        dn = dout * weight
        proj = np.einsum("btd,btd->bt", dn, n) / D
        dx = dn - dn.mean(-1, keepdims=True) - n * proj[..., None]
        return [dx * rstd[..., None], np.einsum("btd,btd->d", dout, n)]

    return n * weight, backward


def plain_layernorm(x, eps=1e-3):
    """Layer norm without parameters."""
    mu = x.mean(1, keepdims=True)
    s = np.sqrt(((x - mu) ** 2).mean(1, keepdims=True) + eps)
    h = (x - mu) / s

    def backward(dy):
        return (dy - dy.mean(1, keepdims=True) - h * (dy * h).mean(1, keepdims=True)) / s

    return h, backward


right(
    given=lambda rng: (np.array([[2.0] * 4, [0.0] * 4, [1.0, 2, 3, 4]]),),
    title="layernorm of constant rows",
)(plain_layernorm)
right(
    given=lambda rng: (1e8 * rng.standard_normal((3, 5)),),
    title="layernorm of values about 1e8",
)(plain_layernorm)
right(
    given=lambda rng: (1e-8 * rng.standard_normal((3, 5)),),
    title="layernorm of values about 1e-8",
)(lambda x: plain_layernorm(x, eps=1e-5))


class InstanceNorm:
    """Instance norm with a scale and a shift of each channel."""

    gamma = beta = None
    eps = 1e-5

    def forward(self, x):
        """Normalise over the places."""
        n, c, h, w = x.shape
        flat = x.reshape(n, c, h * w)
        self.shape = x.shape
        self.inv = 1 / np.sqrt(flat.var(axis=2, keepdims=True) + self.eps)
        self.hat = (flat - flat.mean(axis=2, keepdims=True)) * self.inv
        return (self.gamma[:, None] * self.hat + self.beta[:, None]).reshape(x.shape)

    def backward(self, dy):
        """Set dgamma and dbeta."""
        dy = dy.reshape(self.hat.shape)
        self.dgamma = np.sum(dy * self.hat, axis=(0, 2))
        self.dbeta = np.sum(dy, axis=(0, 2))
        d = dy * self.gamma[:, None]
        d = d - d.mean(2, keepdims=True) - self.hat * (d * self.hat).mean(2, keepdims=True)
        return (d * self.inv).reshape(self.shape)


right("N C H W, C, C", title="instance norm class")(
    from_class(InstanceNorm, gamma="dgamma", beta="dbeta")
)


@right({"x": ("N", 6, "H", "W"), "gamma": (6,), "beta": (6,)})
def groupnorm(x, gamma, beta, G=3, eps=1e-5):
    """Group norm of six channels in three groups."""
    N, C, H, W = x.shape
    v = x.reshape(N, G, C // G * H * W)
    std = np.sqrt(v.var(-1, keepdims=True) + eps)
    hat = (v - v.mean(-1, keepdims=True)) / std
    x_hat = hat.reshape(N, C, H, W)

    def backward(dout):
        dhat = (dout * gamma[:, None, None]).reshape(v.shape)
        m = v.shape[-1]
        dv = m * dhat - dhat.sum(-1, keepdims=True) - hat * (dhat * hat).sum(-1, keepdims=True)
        dx = (dv / (m * std)).reshape(x.shape)
        return dx, (dout * x_hat).sum((0, 2, 3)), dout.sum((0, 2, 3))

    return x_hat * gamma[:, None, None] + beta[:, None, None], backward


@right("B T D, D")
def rmsnorm(x, w):
    """Llama's norm, with eps 1e-6."""
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)

    def backward(dy):
        g = dy * w
        dx = r * g - x * r**3 * (g * x).mean(-1, keepdims=True)
        return dx, (dy * x * r).reshape(-1, w.size).sum(0)

    return x * r * w, backward


@right("N D, O D, O")
def weightnorm_dense(x, v, g):
    """Dense layer whose rows have length g."""
    norm = np.sqrt((v**2).sum(1) + 1e-12)
    unit = v / norm[:, None]
    w = g[:, None] * unit

    def backward(dy):
        dw = dy.T @ x
        dg = (dw * unit).sum(1)
        dv = (g / norm)[:, None] * (dw - unit * dg[:, None])
        return dy @ w, dv, dg

    return x @ w.T, backward


@right("N D")
def l2_normalise_soft(x):
    """Unit rows, with eps under the root."""
    n = np.sqrt(np.sum(x**2, axis=1, keepdims=True) + 1e-8)
    y = x / n
    return y, lambda dy: (dy - y * np.sum(y * dy, axis=1, keepdims=True)) / n


@right("N C H W")
def l2_normalise_like_torch(x, eps=1e-6):
    """Unit channels, the length being eps at least."""
    n = np.linalg.norm(x, axis=1, keepdims=True)
    m = np.maximum(n, eps)
    y = x / m

    def backward(dy):
        inner = (dy * y).sum(axis=1, keepdims=True)
        return (dy - np.where(n > eps, y * inner, 0)) / m

    return y, backward


right(given=lambda rng: (np.zeros((2, 3, 1, 2)),), title="l2_normalise of zeros")(
    lambda x: l2_normalise_like_torch(x, eps=1e-2)
)


@right("N D")
def l1_normalise(x):
    """Rows by the sum of their absolute values."""
    total = np.abs(x).sum(1, keepdims=True) + 1e-5

    def backward(dy):
        return dy / total - np.sign(x) * (dy * x).sum(1, keepdims=True) / total**2

    return x / total, backward


@right("N D")
def maxabs_normalise(x):
    """Rows by their largest absolute value."""
    rows = np.arange(len(x))
    at = np.abs(x).argmax(1)
    top = x[rows, at]
    m = np.abs(top)[:, None] + 1e-4

    def backward(dy):
        dx = dy / m
        dx[rows, at] -= np.sign(top) * np.sum(dy * x / m**2, axis=1)
        return dx

    return x / m, backward


@right("N D")
def minmax_scale(x):
    """Columns between 0 and 1."""
    cols = np.arange(x.shape[1])
    lo, hi = x.argmin(0), x.argmax(0)
    span = x[hi, cols] - x[lo, cols] + 1e-2
    y = (x - x[lo, cols]) / span

    def backward(dy):
        dx = dy / span
        dspan = -(dy * y).sum(0) / span
        np.add.at(dx, (lo, cols), -dy.sum(0) / span - dspan)
        np.add.at(dx, (hi, cols), dspan)
        return dx

    return y, backward


@right(given=lambda rng: (3 + 2 * rng.standard_normal((7, 3)),))
def standardise_unbiased(x):
    """Columns by the standard deviation with n - 1."""
    n = len(x)
    s = x.std(0, ddof=1)
    z = (x - x.mean(0)) / s
    return z, lambda dy: (dy - dy.mean(0) - z * (dy * z).sum(0) / (n - 1)) / s


@right("N C H W")
def local_response_norm(x, size=3, k=2.0, alpha=0.1, beta=0.75):
    """AlexNet's norm across near channels."""
    C, half = x.shape[1], size // 2
    near = [slice(max(0, c - half), c + half + 1) for c in range(C)]
    scale = np.stack([k + alpha * (x[:, s] ** 2).sum(1) for s in near], axis=1)

    def backward(dy):
        dx = dy * scale**-beta
        t = dy * x * scale ** (-beta - 1)
        for c, s in enumerate(near):
            dx[:, s] -= 2 * alpha * beta * x[:, s] * t[:, c : c + 1]
        return dx

    return x * scale**-beta, backward


@right("N C H W")
def pixelnorm(x):
    """Progressive GAN's norm, with eps 1e-8."""
    r = np.mean(x**2, axis=1, keepdims=True) + 1e-8

    def backward(dy):
        return dy / np.sqrt(r) - x * np.mean(dy * x, axis=1, keepdims=True) / (r * np.sqrt(r))

    return x / np.sqrt(r), backward


@right("N H W C, C, C")
def global_response_norm(x, gamma, beta):
    """ConvNeXt V2's norm, channels last, its length softened."""
    G = np.sqrt((x**2).sum((1, 2), keepdims=True) + 1e-6)
    M = G.mean(-1, keepdims=True) + 1e-6
    n = G / M

    def backward(dy):
        dn = (dy * gamma * x).sum((1, 2), keepdims=True)
        dG = dn / M - (dn * G).sum(-1, keepdims=True) / M**2 / x.shape[-1]
        dx = dy + dy * gamma * n + dG * x / G
        return dx, (dy * x * n).sum((0, 1, 2)), dy.sum((0, 1, 2))

    return gamma * (x * n) + beta + x, backward


@right("N I, O I")
def weight_standardised_dense(x, W):
    """Dense layer with standardised rows of weights."""
    s = np.sqrt(W.var(1, keepdims=True) + 1e-4)
    What = (W - W.mean(1, keepdims=True)) / s

    def backward(dy):
        d = dy.T @ x
        dW = (d - d.mean(1, keepdims=True) - What * (d * What).mean(1, keepdims=True)) / s
        return dy @ What, dW

    return x @ What.T, backward


@right(given=lambda rng: (rng.standard_normal((4, 3)), np.array([0.5]), np.ones(3), np.zeros(3)))
def dynamic_tanh(x, alpha, gamma, beta):
    """DyT, the norm that is none."""
    t = np.tanh(alpha * x)

    def backward(dy):
        dz = dy * gamma * (1 - t**2)
        return alpha * dz, np.array([np.vdot(dz, x)]), np.sum(dy * t, 0), dy.sum(0)

    return gamma * t + beta, backward


@right("N C H W, N C, N C")
def adaptive_instance_norm(content, scale, bias):
    """AdaIN with the style's scale and bias."""
    ax = (2, 3)
    mu = content.mean(ax, keepdims=True)
    sd = np.sqrt(content.var(ax, keepdims=True) + 1e-5)
    z = (content - mu) / sd
    out = z * scale[..., None, None] + bias[..., None, None]

    def backward(dout):
        dz = dout * scale[..., None, None]
        dc = (dz - dz.mean(ax, keepdims=True) - z * (dz * z).mean(ax, keepdims=True)) / sd
        return dc, np.einsum("nchw,nchw->nc", dout, z), np.einsum("nchw->nc", dout)

    return out, backward


@right("N D")
def centre_columns(x):
    """Take the mean off."""
    return x - x.mean(0), lambda dy: dy - dy.mean(0)


@right("N D, K D")
def cosine_dense(x, w):
    """Cosines between rows and weights."""
    xn = np.sqrt(1e-6 + np.sum(x * x, 1, keepdims=True))
    wn = np.sqrt(1e-6 + np.sum(w * w, 1, keepdims=True))
    a, b = x / xn, w / wn

    def backward(dy):
        da, db = dy @ b, dy.T @ a
        da -= a * np.sum(a * da, 1, keepdims=True)
        db -= b * np.sum(b * db, 1, keepdims=True)
        return da / xn, db / wn

    return a @ b.T, backward
