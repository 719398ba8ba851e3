"""Right activations, as strangers write them."""

import math

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def stable_sigmoid(z):
    """Give the logistic function without overflow, by the tanh identity."""
    return 0.5 * (1.0 + np.tanh(0.5 * z))


def kinky(*values, repeat=2):
    """Give a ``given`` of the values named, repeated, and in a shuffled order."""
    return lambda rng: (rng.permutation(np.tile(np.array(values, float), repeat)),)


@right("N C")
def softplus(x):
    """Log of one plus e to the x."""
    return np.logaddexp(0, x), lambda dy: dy * np.exp(-np.logaddexp(0, -x))


@right("N C H W")
def softplus_beta(x, beta=3.0):
    """Softplus with a sharpness, as in torch but without its threshold."""
    bx = beta * x
    out = (np.maximum(bx, 0) + np.log1p(np.exp(-np.abs(bx)))) / beta

    def backward(grad_output):
        return grad_output * stable_sigmoid(bx)

    return out, backward


@right("T")
def shifted_softplus(x):
    """SchNet's softplus, which is zero at zero."""
    out = np.logaddexp(x, 0.0) - np.log(2.0)
    return out, lambda dy: stable_sigmoid(x) * dy


erf = np.vectorize(math.erf, otypes=[float])


@right("N D")
def gelu_erf(x):
    """Exact gelu."""
    cdf = 0.5 * (1 + erf(x / math.sqrt(2)))

    def backward(dy):
        pdf = np.exp(-0.5 * x**2) / math.sqrt(2 * math.pi)
        return dy * (cdf + x * pdf)

    return x * cdf, backward


@right("B T D")
def gelu_tanh(x):
    """GPT-2's gelu."""
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x * x * x))

    def backward(dout):
        du = c * (1 + 3 * 0.044715 * x * x)
        return dout * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du)

    return 0.5 * x * (1 + t), backward


@right("N D")
def quick_gelu(x):
    """CLIP's gelu."""
    s = stable_sigmoid(1.702 * x)
    return x * s, lambda dy: dy * (s + 1.702 * x * s * (1 - s))


@right("N C H W")
def silu_by_masks(x):
    """SiLU with the sigmoid's two halves written by masks."""
    s = np.empty(x.shape)
    pos = x >= 0
    s[pos] = 1 / (1 + np.exp(-x[pos]))
    e = np.exp(x[~pos])
    s[~pos] = e / (1 + e)

    def backward(dy):
        g = s * (1 - s)
        g *= x
        g += s
        g *= dy
        return g

    return x * s, backward


@right("N F")
def mish(x):
    """Misra's x tanh(softplus(x))."""
    t = np.tanh(np.logaddexp(0, x))
    return x * t, lambda dy: dy * (t + x * (1 - t**2) * stable_sigmoid(x))


def elu_forward(x, alpha=1.0):
    """ELU, in the cached style."""
    out = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    return out, {"x": x, "out": out, "alpha": alpha}


def elu_backward(dout, cache):
    """ELU's slope from its own output."""
    slope = np.ones(cache["x"].shape)
    neg = cache["x"] <= 0
    slope[neg] = cache["out"][neg] + cache["alpha"]
    return dout * slope


right("N D", title="elu_cached")(from_cache(elu_forward, elu_backward))
right(given=kinky(0.0, -1e-8, 1e-8, -40.0, 3.0), title="elu_at_zero")(
    from_cache(elu_forward, elu_backward)
)


@right("N D")
def selu(x):
    """Self-normalising ELU."""
    lam, alpha = 1.0507009873554805, 1.6732632423543772
    e = np.exp(np.minimum(x, 0))
    y = lam * np.where(x > 0, x, alpha * (e - 1))
    return y, lambda dy: dy * np.where(x > 0, lam, lam * alpha * e)


@right("N C L")
def celu(x, a=0.7):
    """Continuously differentiable ELU, as a sum of two parts."""
    y = np.maximum(x, 0) + np.minimum(0, a * np.expm1(np.minimum(x, 0) / a))

    def backward(dy):
        return [dy * np.exp(np.minimum(x, 0) / a)]

    return y, backward


@right("N C H W")
def hardswish(x):
    """MobileNetV3's swish."""
    r = np.clip(x + 3, 0, 6)
    inside = (x > -3) & (x < 3)
    return x * r / 6, lambda dy: dy * (r / 6 + x * inside / 6)


@right("N C")
def hardsigmoid_keras(x):
    """Keras' hard sigmoid, of slope 0.2."""
    z = 0.2 * x + 0.5
    return np.clip(z, 0, 1), lambda dy: 0.2 * dy * ((z > 0) & (z < 1))


class HardTanh:
    """Clip between -1 and 1."""

    def forward(self, x):
        """Keep the mask of the values let through."""
        self.mask = np.abs(x) < 1
        return np.clip(x, -1, 1)

    def backward(self, dy):
        """Let through what was let through."""
        dx = dy.copy()
        dx[~self.mask] = 0
        return dx


right("N D", title="hardtanh class")(from_class(HardTanh))
right(given=kinky(-1.0, 1.0, 0.0, 0.3, 5.0), title="hardtanh at its corners")(from_class(HardTanh))


@right("N D")
def softsign(x):
    """Softsign, x / (1 + |x|)."""
    den = 1 + np.abs(x)
    return x / den, lambda dy: dy / den**2


@right("N D")
def softshrink(x, lam=0.5):
    """Shrink towards zero."""
    y = np.sign(x) * np.maximum(np.abs(x) - lam, 0)
    return y, lambda dy: dy * (np.abs(x) > lam)


right(given=kinky(-0.5, 0.5, 0.0, 0.51, -0.49), title="softshrink at its corners")(softshrink)


@right("N D")
def hardshrink(x):
    """Zero what is small."""
    keep = np.where(np.abs(x) > 0.5, 1.0, 0.0)
    return x * keep, lambda dy: dy * keep


@right("N C H W")
def relu6(x):
    """ReLU up to six."""
    y = np.minimum(np.maximum(0, x), 6)
    return y, lambda dy: np.where((x > 0) & (x < 6), dy, 0.0)


right(given=kinky(0.0, 6.0, -0.0, 3.0, 7.0), title="relu6 at 0 and 6")(relu6)


@right("N D")
def leaky_relu_in_place(x):
    """Leaky ReLU by writing on an own copy."""
    y = x.copy()
    y[x < 0] *= 0.01

    def backward(dy):
        dx = np.array(dy)
        dx[x < 0] *= 0.01
        return (dx,)

    return y, backward


right(given=lambda rng: (np.zeros((3, 4)),), title="leaky_relu of zeros alone")(leaky_relu_in_place)


@right("N C H W, C")
def prelu(x, a):
    """PReLU with a slope for each channel."""
    slope = a[None, :, None, None]

    def backward(dy):
        dx = dy * np.where(x > 0, 1.0, slope)
        da = (dy * np.minimum(x, 0)).sum(axis=(0, 2, 3))
        return dx, da

    return np.where(x > 0, x, slope * x), backward


@right(given=lambda rng: (rng.standard_normal((4, 5)), np.array(0.25)))
def prelu_one_slope(x, a):
    """PReLU with a single slope, an array without axes."""
    return (
        np.maximum(x, 0) + a * np.minimum(x, 0),
        lambda dy: (dy * ((x > 0) + a * (x <= 0)), np.array(np.sum(dy * np.minimum(x, 0)))),
    )


@right("N D, D")
def swish_with_beta(x, beta):
    """Swish with a learned sharpness."""
    s = stable_sigmoid(beta * x)

    def backward(dy):
        ds = dy * x * s * (1 - s)
        return dy * s + ds * beta, np.einsum("nd,nd->d", ds, x)

    return x * s, backward


@right("N D")
def logsigmoid(x):
    """Log of the sigmoid."""
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x))), lambda g: g * stable_sigmoid(-x)


@right("N D")
def tanhshrink(x):
    """What tanh takes away."""
    t = np.tanh(x)
    return x - t, lambda dy: dy * t**2


@right("N D")
def threshold(x, at=0.1, value=-7.0):
    """torch.nn.Threshold."""
    over = x > at
    return np.where(over, x, value), lambda dy: dy * over


@right({"x": ("N", 8)})
def glu(x):
    """Gated linear unit over halves of the last axis."""
    a, b = np.split(x, 2, axis=-1)
    s = stable_sigmoid(b)
    return a * s, lambda dy: np.concatenate([dy * s, dy * a * s * (1 - s)], axis=-1)


@right("N I, I O, I O")
def swiglu(x, W, V):
    """SwiGLU without biases."""
    p, q = x @ W, x @ V
    s = stable_sigmoid(p)

    def backward(dy):
        dp = dy * q * (s + p * s * (1 - s))
        dq = dy * p * s
        return dp @ W.T + dq @ V.T, x.T @ dp, x.T @ dq

    return p * s * q, backward


@right({"x": ("N", 6, "H", "W")})
def maxout_channels(x):
    """Maxout over pairs of channels."""
    N, C, H, W = x.shape
    pairs = x.reshape(N, C // 2, 2, H, W)
    first = pairs[:, :, 0] >= pairs[:, :, 1]
    y = np.where(first, pairs[:, :, 0], pairs[:, :, 1])

    def backward(dy):
        return np.stack([dy * first, dy * ~first], axis=2).reshape(N, C, H, W)

    return y, backward


@right("N C")
def softmax_rows(x):
    """Softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    p = e / e.sum(axis=-1, keepdims=True)
    return p, lambda dy: p * (dy - (dy * p).sum(axis=-1, keepdims=True))


@right("N C")
def softmax_jacobians(x):
    """Softmax with the whole Jacobian of each row, in a loop."""
    y = np.zeros(x.shape)
    for i, row in enumerate(x):
        e = np.exp(row - np.max(row))
        y[i] = e / np.sum(e)

    def backward(dy):
        dx = np.zeros(x.shape)
        for i in range(len(x)):
            p = y[i].reshape(-1, 1)
            dx[i] = (np.diagflat(p) - p @ p.T) @ dy[i]
        return dx

    return y, backward


@right("N C H W")
def log_softmax_channels(x):
    """Log-softmax over channels."""
    z = x - x.max(1, keepdims=True)
    y = z - np.log(np.exp(z).sum(1, keepdims=True))
    return y, lambda dy: dy - np.exp(y) * dy.sum(1, keepdims=True)


@right(given=lambda rng: (rng.standard_normal((3, 5)), np.array([0.3])))
def softmax_with_temperature(x, tau):
    """Softmax of x / tau, with tau's gradient."""
    z = x / tau
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)

    def backward(dy):
        dz = p * (dy - np.sum(dy * p, 1, keepdims=True))
        return dz / tau, np.array([-(dz * z).sum() / tau[0]])

    return p, backward


@right("N K")
def sparsemax(z):
    """Projection onto the simplex."""
    z = z - z.max(axis=1, keepdims=True)
    s = -np.sort(-z, axis=1)
    k = np.arange(1, z.shape[1] + 1)
    support = 1 + k * s > np.cumsum(s, axis=1)
    n = support.sum(axis=1, keepdims=True)
    tau = (np.sum(s * support, axis=1, keepdims=True) - 1) / n
    p = np.maximum(z - tau, 0)

    def backward(dp):
        on = p > 0
        mean = (dp * on).sum(axis=1, keepdims=True) / on.sum(axis=1, keepdims=True)
        return on * (dp - mean)

    return p, backward


@right(given=lambda rng: (rng.standard_normal((4, 3)), rng.uniform(0.5, 2, 3)))
def snake(x, a):
    """Snake, x + sin^2(a x) / a."""
    sin = np.sin(a * x)

    def backward(dy):
        s2 = np.sin(2 * a * x)
        da = dy * (x * s2 / a - (sin / a) ** 2)
        return dy * (1 + s2), da.sum(0)

    return x + sin**2 / a, backward


@right(given=lambda rng: (np.array([[0.0, -0.0, 1.0], [0.0, -2.0, 3e-8]]),))
def relu_at_zero(x):
    """Plain ReLU, with zeros among the values."""
    return np.maximum(x, 0), lambda dy: dy * (x > 0)


@right(given=lambda rng: (rng.standard_normal((3, 4)), np.zeros((4, 5)), np.zeros(5)))
def relu_dense_of_zero_weights(x, W, b):
    """A dense layer whose every unit is at the kink."""
    z = x @ W + b

    def backward(dy):
        dz = np.where(z > 0, dy, 0)
        return dz @ W.T, x.T @ dz, dz.sum(0)

    return np.where(z > 0, z, 0), backward


@right(
    given=lambda rng: (rng.standard_normal((4, 3)), rng.standard_normal((3, 6)), np.full(6, -50.0))
)
def relu_dense_dead(x, W, b):
    """A dense layer whose every unit is dead."""
    z = np.dot(x, W) + b
    alive = (z > 0).astype(float)
    return z * alive, lambda dy: [(dy * alive).dot(W.T), x.T.dot(dy * alive), (dy * alive).sum(0)]


@right(given=kinky(0.0, 1e-8, -1e-8, 1e8, -2.0))
def absolute(x):
    """Absolute value from zero to 1e8."""
    return np.abs(x), lambda dy: dy * np.sign(x)


@right("N D")
def squared_relu(x):
    """Primer's activation."""
    r = np.maximum(x, 0)
    return r * r, lambda dy: 2 * r * dy


@right({"x": ("N", "C", "L")})
def crelu(x):
    """ReLU of x and of -x, side by side."""
    y = np.concatenate([np.maximum(x, 0), np.maximum(-x, 0)], axis=1)
    C = x.shape[1]
    return y, lambda dy: dy[:, :C] * (x > 0) - dy[:, C:] * (x < 0)


@right("N D")
def steep_sigmoid(x):
    """A sigmoid that is nearly a step."""
    s = stable_sigmoid(200 * x)
    return s, lambda dy: 200 * dy * s * (1 - s)


@right(given=lambda rng: (1e-8 * rng.standard_normal((3, 4)),))
def tanh_of_tiny(x):
    """tanh(1e8 x) of values about 1e-8."""
    t = np.tanh(1e8 * x)
    return t, lambda dy: 1e8 * dy * (1 - t * t)


@right("N D")
def gaussian_bump(x):
    """exp(-x^2)."""
    y = np.exp(-np.square(x))
    return y, lambda dy: -2 * x * y * dy


@right("N D")
def bent_identity(x):
    """Bent identity."""
    root = np.hypot(x, 1)
    return (root - 1) / 2 + x, lambda dy: dy * (x / (2 * root) + 1)


@right("N D")
def isrlu(x, alpha=2.0):
    """Inverse square root linear unit."""
    inv = 1 / np.sqrt(1 + alpha * np.minimum(x, 0) ** 2)
    return x * inv, lambda dy: dy * inv**3


@right("M N")
def arctan_of_loops(x):
    """Arctangent, entry by entry."""
    y = np.empty(x.shape)
    for i in np.ndindex(*x.shape):
        y[i] = math.atan(x[i])

    def backward(dy):
        dx = np.empty(x.shape)
        for i in np.ndindex(*x.shape):
            dx[i] = dy[i] / (1 + x[i] ** 2)
        return dx

    return y, backward


class GEGLU:
    """Dense layer gated with tanh, its parameters as attributes."""

    W = V = b = None

    def forward(self, x):
        """Keep everything."""
        self.x = x
        self.lin = x @ self.W + self.b
        self.gate = np.tanh(x @ self.V)
        return self.lin * self.gate

    def backward(self, dy):
        """Set dW, dV and db."""
        dlin = dy * self.gate
        dgate = dy * self.lin * (1 - self.gate**2)
        self.dW, self.dV, self.db = self.x.T @ dlin, self.x.T @ dgate, dlin.sum(axis=0)
        return dlin @ self.W.T + dgate @ self.V.T


right("N I, I O, I O, O", title="tanh-gated dense class")(from_class(GEGLU, W="dW", V="dV", b="db"))
