"""Right operations of usual form at unusual scales."""

import numpy as np

from . import right


def normal(*shapes, scale=1.0, offset=0.0):
    """Arrays with a standard deviation and a mean, the same for each."""
    return lambda rng: tuple(offset + scale * rng.standard_normal(s) for s in shapes)


@right(given=normal((4, 3), scale=1e8))
def square_of_huge(x):
    """Outputs of 1e16."""
    return x**2, lambda dy: 2 * x * dy


@right(given=normal((4, 3), scale=1e-8))
def sine_of_tiny(x):
    """A line, in effect."""
    return np.sin(x), lambda dy: dy * np.cos(x)


@right(given=lambda rng: (1e-8 * rng.standard_normal((3, 4)), 1e8 * rng.standard_normal((4, 2))))
def tiny_times_huge(x, w):
    """Metres and nanometres."""
    return x @ w, lambda g: (g @ w.T, x.T @ g)


@right("N D")
def gain_of_a_million(x):
    """Micro-units."""
    return 1e6 * np.tanh(x), lambda dy: dy * 1e6 / np.cosh(x) ** 2


@right("N D")
def gain_of_a_billionth(x):
    """Very small outputs."""
    return 1e-9 * x * np.abs(x), lambda dy: 2e-9 * dy * np.abs(x)


@right("N D, D")
def offset_of_1e5(x, b):
    """A small change on a large constant."""
    return 1e5 + np.sin(x) + b, lambda dy: (dy * np.cos(x), dy.sum(axis=0))


@right(given=lambda rng: (rng.choice([-0.004, -0.001, 0.0, 0.0005, 0.003], (5, 3)),))
def steep_tanh(x):
    """A step of the width of a five-hundredth."""
    t = np.tanh(500.0 * x)
    return t, lambda dy: 500.0 * dy * (1 - t) * (1 + t)


@right(given=lambda rng: (rng.uniform(-0.3, 0.3, (4, 4)),))
def steep_exp(x):
    """exp(50 x)."""
    y = np.exp(50 * x)
    return y, lambda dy: 50 * y * dy


@right(given=lambda rng: (rng.uniform(0.01, 0.03, 7),))
def fast_sine(x):
    """A sine with a thousand radians for one unit."""
    return np.sin(1000 * x), lambda dy: 1000 * np.cos(1000 * x) * dy


@right(given=lambda rng: (rng.standard_normal(5), rng.standard_normal((5, 2))))
def hilbert_solve(scale, b):
    """A famous matrix with a condition of 5e5."""
    i = np.arange(5)
    Hinv = np.linalg.inv(1.0 / (i[:, None] + i + 1))
    x = Hinv @ (scale[:, None] * b)

    def backward(dx):
        d = Hinv.T @ dx
        return np.sum(d * b, axis=1), scale[:, None] * d

    return x, backward


@right(given=normal((8, 3), offset=1e5))
def batchnorm_of_large_offset(x, eps=1e-5):
    """The mean is 1e5 times as large as what is left."""
    mu = x.mean(axis=0)
    xc = x - mu
    std = np.sqrt((xc * xc).mean(axis=0) + eps)
    xhat = xc / std
    return xhat, lambda g: (g - g.mean(axis=0) - xhat * (g * xhat).mean(axis=0)) / std


@right("N D")
def normalise_rows_tiny_eps(x, eps=1e-12):
    """Rows of length one, but for an eps."""
    r = np.sqrt((x**2).sum(1, keepdims=True) + eps)
    y = x / r
    return y, lambda dy: (dy - y * (dy * y).sum(1, keepdims=True)) / r


@right(given=normal((5, 6), scale=1e-4))
def layernorm_of_tiny(x, eps=1e-12):
    """The variance is 1e-8, and eps far below."""
    xc = x - x.mean(axis=1, keepdims=True)
    inv = (np.mean(xc**2, axis=1, keepdims=True) + eps) ** -0.5
    y = xc * inv

    def backward(dy):
        inner = np.mean(dy * y, axis=1, keepdims=True)
        return inv * (dy - np.mean(dy, axis=1, keepdims=True) - y * inner)

    return y, backward


@right(given=normal((3, 6), offset=300.0))
def variance_by_moments(x):
    """E[x^2] - E[x]^2, with the cancellation that one is warned of."""
    m = x.mean(axis=1)
    v = (x**2).mean(axis=1) - m**2
    return v, lambda dv: 2 * dv[:, None] * (x - m[:, None]) / x.shape[1]


@right("N D")
def small_difference_of_roots(x):
    """sqrt(1e6 + x) - 1000, with ten digits left."""
    s = np.sqrt(1e6 + x)
    return s - 1000.0, lambda dy: 0.5 * dy / s


@right(given=normal((4, 5), scale=200.0))
def log_sum_exp_of_large(x):
    """Only the shift by the maximum saves it."""
    m = x.max(axis=1, keepdims=True)
    e = np.exp(x - m)
    total = e.sum(axis=1, keepdims=True)
    return (m + np.log(total))[:, 0], lambda dy: dy[:, None] * e / total


@right(given=lambda rng: (rng.standard_normal((6, 3)) * np.array([1e-6, 1.0, 1e6]),))
def columns_of_other_units(x):
    """Each column is divided by its unit."""
    units = np.array([1e-6, 1.0, 1e6])
    y = np.arctan(x / units)
    return y, lambda dy: dy / (1 + (x / units) ** 2) / units


@right({"x": ("N", "D"), "w": ("D",)})
def mixed_terms(x, w):
    """A parameter with a strong effect and one that hardly counts."""
    y = 1e4 * x + 1e-4 * w**3
    return y, lambda g: (1e4 * g, 3e-4 * w**2 * g.sum(0))


@right(given=lambda rng: (rng.uniform(200, 400, (3, 2)), rng.uniform(0.05, 0.2, 2)))
def arrhenius(temperature, energy):
    """Rates of a reaction in Kelvin and electron volts."""
    kT = 8.617e-5 * temperature
    rate = 1e6 * np.exp(-energy / kT)

    def backward(dr):
        common = dr * rate / kT
        return common * energy / temperature, -common.sum(axis=0)

    return rate, backward


@right("N D")
def sigmoid_two_branches(x):
    """With a temperature of a hundredth and no overflow."""
    z = x / 0.01
    e = np.exp(-np.abs(z))
    s = np.where(z >= 0, 1 / (1 + e), e / (1 + e))
    return s, lambda dy: dy * e / (1 + e) ** 2 / 0.01
