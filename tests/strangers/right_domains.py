"""Right operations that are defined on a part of the line only."""

import math

import numpy as np

from . import right


def positive(*shape):
    """Numbers between 0.1 and 4."""
    return lambda rng: (rng.uniform(0.1, 4.0, shape),)


def unit(*shape):
    """Numbers between 0 and 1."""
    return lambda rng: (rng.uniform(0.02, 0.98, shape),)


@right("N D")
def natural_log(x):
    """NaN for negative numbers."""
    return np.log(x), lambda dy: dy / x


@right("N C H W")
def square_root(x):
    """The derivative by the output."""
    y = np.sqrt(x)
    return y, lambda dy: 0.5 * dy / y


@right("N D")
def arc_sine(x):
    """Between -1 and 1."""
    return np.arcsin(x), lambda dy: dy / np.sqrt((1 - x) * (1 + x))


@right("N D")
def arc_cosh(x):
    """Above 1."""
    return np.arccosh(x), lambda dy: dy / (np.sqrt(x - 1) * np.sqrt(x + 1))


@right("N")
def logit(p):
    """Between 0 and 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.log(p) - np.log(1 - p)
    return y, lambda dy: dy / (p * (1 - p))


@right("N D, D")
def power_of_parameter(x, p):
    """x**p for positive x and any p."""
    y = np.power(x, p)
    return y, lambda dy: (dy * p * np.power(x, p - 1), np.sum(dy * y * np.log(x), axis=0))


@right("N D")
def log_one_plus(x):
    """Above -1."""
    return np.log1p(x), lambda dy: dy / (1 + x)


@right("N D")
def arc_tanh_scaled(x):
    """Between -2 and 2."""
    return np.arctanh(x / 2), lambda g: 0.5 * g / (1 - x * x / 4)


@right("N K")
def x_log_x(p):
    """Entropies of rows that need not sum to one."""
    logp = np.log(p)
    return -(p * logp).sum(axis=1), lambda dh: -dh[:, None] * (logp + 1)


@right(given=unit(6, 3))
def binary_entropy(p):
    """Bits."""
    q = 1 - p
    h = -(p * np.log2(p) + q * np.log2(q))
    return h, lambda dh: dh * (np.log2(q) - np.log2(p))


@right(given=lambda rng: (rng.dirichlet(np.ones(5), size=3), rng.dirichlet(np.ones(5), size=3)))
def kl_divergence(p, q):
    """Of distributions in rows, without a thought of the constraint."""
    ratio = np.log(p / q)

    def backward(d):
        d = d[:, None]
        return d * (ratio + 1), -d * p / q

    return np.sum(p * ratio, axis=1), backward


def digamma(x):
    """The recurrence up to 12, then Stirling."""
    result = 0.0
    while x < 12:
        result -= 1 / x
        x += 1
    f = 1 / (x * x)
    series = f * (1 / 12 - f * (1 / 120 - f * (1 / 252 - f * (1 / 240 - f / 132))))
    return result + math.log(x) - 0.5 / x - series


vlgamma, vdigamma = np.vectorize(math.lgamma), np.vectorize(digamma)


@right(given=lambda rng: (rng.uniform(0.2, 5, (3, 4)), rng.uniform(0.2, 5, (3, 4))))
def log_beta(a, b):
    """The logarithm of the beta function."""
    y = vlgamma(a) + vlgamma(b) - vlgamma(a + b)

    def backward(dy):
        common = vdigamma(a + b)
        return dy * (vdigamma(a) - common), dy * (vdigamma(b) - common)

    return y, backward


@right("N D")
def gelu_exact(x):
    """Times the normal distribution, by math.erf."""
    cdf = 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))
    pdf = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return x * cdf, lambda dy: dy * (cdf + x * pdf)


@right(given=lambda rng: (rng.choice([-1, 1], (4, 4)) * rng.uniform(0.3, 3, (4, 4)),))
def reciprocal(x):
    """On both sides of the pole."""
    r = np.reciprocal(x)
    return r, lambda dy: -dy * r * r


@right("N D")
def population_variance(x):
    """Rows may have one entry."""
    c = x - x.mean(1, keepdims=True)
    return x.var(axis=1), lambda dv: 2 * dv[:, None] * c / x.shape[1]


@right({"x": ("N", 5)})
def sample_std(x):
    """With n - 1."""
    s = x.std(axis=1, ddof=1, keepdims=True)
    return s, lambda ds: ds * (x - x.mean(1, keepdims=True)) / np.maximum(4 * s, 1e-300)


@right("N D")
def geometric_mean(x):
    """By logarithms."""
    g = np.exp(np.mean(np.log(x), axis=1))
    return g, lambda dg: (dg * g / x.shape[1])[:, None] / x


@right(given=positive(5, 4))
def harmonic_mean(x):
    """Four over the sum of reciprocals."""
    h = 4 / (1 / x).sum(axis=1, keepdims=True)
    return h, lambda dh: dh * h**2 / (4 * x**2)


@right({"x": ("N", "D"), "p": ()})
def generalised_mean_pool(x, p):
    """GeM with a parameter that is made positive by 1 + p^2."""
    q = 1 + p**2
    m = np.mean(x**q, axis=1)
    y = m ** (1 / q)

    def backward(dy):
        dm = dy * y / (q * m)
        dx = dm[:, None] * q * x ** (q - 1) / x.shape[1]
        dq = np.sum(dm * np.mean(x**q * np.log(x), axis=1)) - np.sum(dy * y * np.log(m)) / q**2
        return dx, np.asarray(dq * 2 * p)

    return y, backward


@right(given=lambda rng: (rng.uniform(1.05, 6, (3, 3)), rng.uniform(0.5, 3, 3)))
def log_in_base(x, base_minus):
    """The logarithm of log x in a base above 1."""
    lb = np.log1p(base_minus)
    y = np.log(np.log(x)) / lb

    def backward(dy):
        return dy / (lb * x * np.log(x)), -(dy * y / lb).sum(0) / (1 + base_minus)

    return y, backward


@right("N D, N D")
def half_circle(x, r):
    """sqrt(r^2 - x^2) inside of the circle."""
    h = np.sqrt((r - x) * (r + x))
    return h, lambda dh: [-dh * x / h, dh * r / h]


@right(given=lambda rng: (rng.standard_normal(8), rng.uniform(0.5, 2.0, 8), rng.standard_normal(8)))
def gaussian_nll(mu, sigma, target):
    """The mean of the negative log-likelihood; the target has a gradient as well."""
    z = (target - mu) / sigma
    loss = np.mean(np.log(sigma) + 0.5 * z**2)

    def backward(dloss):
        k = dloss / mu.size
        return -k * z / sigma, k * (1 - z**2) / sigma, k * z / sigma

    return loss, backward
