"""Wrong operations: elementary functions, statistics, losses and normalisations."""

import numpy as np

from . import wrong


def _positive(*shape):
    return lambda rng: (np.exp(0.7 * rng.normal(size=shape)),)


def _unit_interval(*shape):
    return lambda rng: (rng.uniform(0.05, 0.95, size=shape),)


def _normal(*shape):
    return lambda rng: (rng.normal(size=shape),)


def _sigmoid(z):
    return 0.5 + 0.5 * np.tanh(z / 2)


def _softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("N D", mistake="the inner derivative 2 x of log(1 + x^2) is missing", grads="dx")
def cauchy_penalty(x):
    return np.log1p(x * x), lambda dy: dy / (1 + x * x)


@wrong(
    given=_positive(3, 4),
    mistake="the derivative of log10 lacks 1/ln(10)",
    grads="dx",
    says="any.factor",
)
def decibel(x):
    return 10 * np.log10(x), lambda dy: 10 * dy / x


@wrong(
    "N D",
    mistake="the factor 1/2 of the derivative of the square root is missing",
    grads="dx",
    says="any.factor-too-large",
)
def smooth_modulus(x):
    y = np.sqrt(1 + x**2)
    return y, lambda dy: dy * 2 * x / y


@wrong(
    given=lambda rng: (rng.uniform(-0.9, 0.9, size=(3, 4)),),
    mistake="the square root of 1 - x^2 is missing",
    grads="dx",
)
def arc_sine(x):
    return np.arcsin(x), lambda dy: dy / (1 - x**2)


@wrong(
    given=lambda rng: (rng.uniform(-0.9, 0.9, size=5),),
    mistake="the minus sign of the derivative of the arc cosine is missing",
    grads="dc",
    says="any.sign",
)
def angle_from_cosine(c):
    return np.arccos(c), lambda dy: dy / np.sqrt((1 - c) * (1 + c))


@wrong(
    given=lambda rng: (np.exp(rng.normal(size=(3, 4))), rng.normal(size=(3, 4))),
    mistake="dp lacks the factor log x",
    grads="dp",
    says="any.value-for-derivative",
)
def power(x, p):
    y = x**p
    return y, lambda dy: (dy * p * x ** (p - 1), dy * y)


@wrong(
    given=lambda rng: (np.exp(rng.normal(size=(3, 4))), rng.normal(size=(3, 4))),
    mistake="dx lacks the factor p",
    grads="dx",
    says="any.value-missing",
)
def real_power(x, p):
    def backward(dy):
        dx = dy * np.power(x, p - 1)
        dp = dy * np.power(x, p) * np.log(x)
        return dx, dp

    return np.power(x, p), backward


@wrong(
    given=_positive(4, 3), mistake="1/x in place of 1/(1 + x)", grads="dx", says="log1p.one-missing"
)
def log_one_plus(x):
    return np.log1p(x), lambda dy: dy / x


@wrong(
    given=lambda rng: (rng.normal(size=(4, 3)),),
    mistake="exp(x) - 1 in place of exp(x): y itself is taken for the derivative",
    grads="dx",
    says="expm1.y",
)
def exp_minus_one(x):
    y = np.expm1(x)
    return y, lambda dy: dy * y


@wrong(
    given=_unit_interval(3, 4),
    mistake="the + 1 of d(p log p)/dp = log p + 1 is missing",
    grads="dp",
    says="any.difference-per-axis",
)
def entropy(p):
    return -(p * np.log(p)).sum(axis=1), lambda dy: -dy[:, None] * np.log(p)


@wrong(
    given=lambda rng: (rng.choice([-1.0, 1.0], size=(3, 4)) * rng.uniform(0.5, 2, size=(3, 4)),),
    mistake="the minus sign of -1/x^2 is missing",
    grads="dx",
    says="any.sign",
)
def reciprocal(x):
    y = 1 / x
    return y, lambda dy: dy * y * y


@wrong(
    "N D, N D",
    mistake="db is divided by the denominator once in place of twice",
    grads="db",
)
def safe_quotient(a, b):
    """Divide a by 1 + b^2."""
    q = 1 + b**2
    return a / q, lambda dy: (dy / q, -dy * a * 2 * b / q)


@wrong(
    given=_normal(4, 5),
    mistake="the forward divides by N, the backward by N - 1",
    grads="dx",
    says="any.factor",
)
def standard_deviation(x):
    c = x - x.mean(axis=1, keepdims=True)
    s = np.sqrt((c**2).mean(axis=1, keepdims=True))
    return s[:, 0], lambda dy: dy[:, None] * c / (s * (x.shape[1] - 1))


@wrong(
    given=_normal(4, 5),
    mistake="the gradient of the unbiased variance uses x in place of x minus its mean",
    grads="dx",
    says="any.difference-per-axis",
)
def unbiased_variance(x):
    n = x.shape[1]
    return x.var(axis=1, ddof=1), lambda dy: 2 * dy[:, None] * x / (n - 1)


@wrong(
    given=_positive(3, 4),
    mistake="the factor 1/N of the geometric mean is missing",
    grads="dx",
    says="any.factor-too-large",
)
def geometric_mean(x):
    g = np.exp(np.log(x).mean(axis=1))
    return g, lambda dy: (dy * g)[:, None] / x


@wrong(
    given=_positive(3, 4),
    mistake="the harmonic mean is not squared in the gradient",
    grads="dx",
    says="any.value-missing",
)
def harmonic_mean(x):
    n = x.shape[1]
    h = n / (1 / x).sum(axis=1)
    return h, lambda dy: (dy * h)[:, None] / (n * x**2)


@wrong(
    given=_unit_interval(3, 4),
    mistake="1/p - 1/(1 - p) in place of the sum of the two",
    grads="dp",
)
def logit(p):
    return np.log(p) - np.log1p(-p), lambda dy: dy * (1 / p - 1 / (1 - p))


@wrong(
    "N, N",
    mistake="the minus sign of the gradient for the second argument is missing",
    grads="dx",
    says="any.sign",
)
def polar_angle(y, x):
    r2 = x**2 + y**2
    return np.arctan2(y, x), lambda g: (g * x / r2, g * y / r2)


@wrong(
    "N D",
    mistake="x is taken for the output: x (1 - x) in place of y (1 - y)",
    grads="dx",
    says="sigmoid.x-for-y",
)
def sigmoid_of_input(x):
    return _sigmoid(x), lambda dy: dy * x * (1 - x)


@wrong("N D", mistake="1 - y in place of 1 - y^2", grads="dx", says="tanh.not-squared")
def hyperbolic_tangent(x):
    y = np.tanh(x)
    return y, lambda dy: dy * (1 - y)


@wrong(
    "N D",
    mistake="the second term x s (1 - s) of the product rule is missing",
    grads="dx",
    says="silu.sigmoid-alone",
)
def swish(x):
    s = _sigmoid(x)
    return x * s, lambda dy: dy * s


@wrong(
    "N D",
    mistake="the inner derivative lacks the part 3 a x^2 of the cubic term",
    grads="dx",
    says="gelu-tanh.cubic-term",
)
def gelu_by_tanh(x):
    c, a = np.sqrt(2 / np.pi), 0.044715
    t = np.tanh(c * (x + a * x**3))

    def backward(dy):
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * c)

    return 0.5 * x * (1 + t), backward


@wrong(
    "N D",
    mistake="the factor 1/beta of the forward is forgotten in the backward",
    grads="dx",
    says="any.factor",
)
def sharp_softplus(x):
    beta = 3.0
    return np.logaddexp(0, beta * x) / beta, lambda dy: dy * beta * _sigmoid(beta * x)


@wrong(
    "N C, int N",
    mistake="the 1/N of the mean over the batch is missing",
    grads="dz",
    says="any.factor-too-large",
)
def mean_cross_entropy(z, t):
    rows = np.arange(len(t))
    lse = np.logaddexp.reduce(z, axis=1)
    loss = np.array([np.mean(lse - z[rows, t])])

    def backward(dy):
        dz = _softmax(z)
        dz[rows, t] -= 1
        return dy[0] * dz

    return loss, backward


@wrong(
    "N C, int N",
    mistake="the 1 of the right class is not subtracted",
    grads="dz",
    says="cross-entropy.target-missing",
)
def nll_of_logits(z, t):
    lse = np.logaddexp.reduce(z, axis=1)
    return lse - z[np.arange(len(t)), t], lambda dy: dy[:, None] * _softmax(z)


@wrong(
    "N C",
    mistake="only the diagonal y (1 - y) of the softmax's Jacobian is used",
    grads="dz",
    says="softmax.diagonal-only",
)
def softmax_diagonal(z):
    y = _softmax(z)
    return y, lambda dy: dy * y * (1 - y)


@wrong(
    "N C",
    mistake="the softmax is not multiplied with the sum of dy",
    grads="dz",
    says="log-softmax.one-for-sum",
)
def log_softmax(z):
    y = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
    return y, lambda dy: dy - np.exp(y)


@wrong(
    given=_normal(4, 6),
    mistake="the part of the gradient that goes through the variance is missing",
    grads="dx",
    says="layer-norm.variance-path",
)
def layer_norm(x):
    sd = np.sqrt(x.var(axis=1, keepdims=True) + 1e-5)
    y = (x - x.mean(axis=1, keepdims=True)) / sd

    def backward(dy):
        return (dy - dy.mean(axis=1, keepdims=True)) / sd

    return y, backward


@wrong(
    given=_normal(6, 4),
    mistake="the part of the gradient that goes through the mean is missing",
    grads="dx",
    says="standardise.mean-path",
)
def batch_norm(x):
    sd = np.sqrt(x.var(axis=0) + 1e-5)
    y = (x - x.mean(axis=0)) / sd
    return y, lambda dy: (dy - y * (dy * y).mean(axis=0)) / sd


@wrong("N D", mistake="beyond delta the slope is 1 in place of delta", grads="dr")
def huber(r):
    delta = 0.5
    small = np.abs(r) <= delta
    y = np.where(small, 0.5 * r**2, delta * (np.abs(r) - delta / 2))
    return y, lambda dy: dy * np.where(small, r, np.sign(r))


@wrong(
    given=lambda rng: tuple(rng.normal(size=5) for _ in range(3)),
    mistake="the -1 that comes from -log sigma is missing",
    grads="dlog_sigma",
    says="any.shortcut-added",
)
def gaussian_log_density(x, mu, log_sigma):
    sigma = np.exp(log_sigma)
    z = (x - mu) / sigma
    y = -0.5 * z**2 - log_sigma - 0.5 * np.log(2 * np.pi)
    return y, lambda dy: (-dy * z / sigma, dy * z / sigma, dy * z**2)


@wrong(
    "N",
    mistake="the factor pi/180 of the change to radians is missing",
    grads="da",
    says="any.factor",
)
def sine_of_degrees(a):
    return np.sin(np.deg2rad(a)), lambda dy: dy * np.cos(np.deg2rad(a))


@wrong(
    "N D",
    mistake="the sign of x is missing in the derivative of |x|^1.5",
    grads="dx",
    says="any.signs",
)
def robust_power(x):
    return np.abs(x) ** 1.5, lambda dy: 1.5 * dy * np.sqrt(np.abs(x))


@wrong(
    "N D",
    mistake="the minus sign of the derivative of the cosine is missing",
    grads="dx",
    says="any.sign",
)
def cosine(x):
    return np.cos(x), lambda dy: dy * np.sin(x)


@wrong(
    "N D, N D",
    mistake="two mistakes: da lacks the sign and db the inner derivative 2",
    grads="da db",
    says="any.factor-too-small any.sign",
)
def damped_wave(a, b):
    """exp(-a^2) sin(2 b), as in a Gabor atom."""
    envelope, wave = np.exp(-(a**2)), np.sin(2 * b)

    def backward(dy):
        return dy * 2 * a * envelope * wave, dy * envelope * np.cos(2 * b)

    return envelope * wave, backward
