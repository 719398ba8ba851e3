"""Right operations with shapes of all kinds."""

import numpy as np

from . import right


@right({"a": (), "b": ()})
def two_numbers(a, b):
    """0-D in and out."""
    y = np.asarray(a * b + np.sin(a))
    return y, lambda dy: (np.asarray(dy * (b + np.cos(a))), np.asarray(dy * a))


@right("N D")
def mean_as_python_float(x):
    """The loss is a float of Python."""
    return float(x.mean()), lambda dy: np.full(x.shape, dy / x.size)


@right("N D, N D")
def mse_as_numpy_scalar(pred, target):
    """The loss is np.float64, and both have a gradient."""
    diff = pred - target
    loss = np.mean(np.square(diff))

    def backward(dy=1.0):
        g = 2 * dy * diff / diff.size
        return g, -g

    return loss, backward


@right("N")
def sum_as_0d_array(x):
    """np.array of a sum of cubes."""
    return np.array((x**3).sum()), lambda dy: 3 * dy * x**2


@right({"x": ("N", "D"), "s": (), "t": (1,)})
def scalar_gain_and_shift(x, s, t):
    """A number without axes and one with an axis of one."""

    def backward(dy):
        return dy * s, np.array(np.vdot(dy, x)), dy.sum().reshape(1)

    return s * x + t, backward


@right({"row": (1, "D"), "col": ("N", 1)})
def row_times_column(row, col):
    """Both are stretched."""
    y = row * col

    def backward(dy):
        drow = (dy * col).sum(axis=0, keepdims=True)
        dcol = (dy * row).sum(axis=1, keepdims=True)
        return drow, dcol

    return y, backward


def unbroadcast(g, shape):
    """Sum over the axes that were added or stretched."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] != 1)
    return g.sum(axis=stretched, keepdims=True)


@right({"x": ("C", 1, "W"), "y": ("N", 1, "H", 1)})
def broadcast_quotient(x, y):
    """Three axes against four, by a helper for all shapes."""
    denominator = 1 + y**2
    z = x / denominator

    def backward(dz):
        dx = unbroadcast(dz / denominator, x.shape)
        dy = unbroadcast(-dz * z / denominator * 2 * y, y.shape)
        return dx, dy

    return z, backward


@right("N C H W, C, C")
def channel_affine(x, gain, shift):
    """A vector for the channels of images."""
    y = x * gain[None, :, None, None] + shift.reshape(1, -1, 1, 1)

    def backward(dy):
        dgain = np.einsum("nchw,nchw->c", dy, x)
        return dy * gain[:, None, None], dgain, dy.sum((0, 2, 3))

    return y, backward


@right({"x": ("N", 5)})
def mean_of_five(x):
    """The five stands in the code."""
    y = (x[:, 0] + x[:, 1] + x[:, 2] + x[:, 3] + x[:, 4]) / 5
    return y, lambda dy: np.outer(dy, [0.2] * 5)


@right({"quat": ("N", 4), "vec": ("N", 3)})
def rotate_by_quaternion(quat, vec):
    """The usual v + 2 w (u x v) + 2 u x (u x v), without a norm of the quaternion."""
    w, u = quat[:, :1], quat[:, 1:]
    uv = np.cross(u, vec)
    out = vec + 2 * w * uv + 2 * np.cross(u, uv)

    def backward(g):
        dw = 2 * (g * uv).sum(1, keepdims=True)
        duv = 2 * w * g + 2 * np.cross(g, u)
        du = 2 * np.cross(uv, g) + np.cross(vec, duv)
        return np.hstack([dw, du]), g + np.cross(duv, u)

    return out, backward


@right("N T H D")
def merge_heads(x):
    """Heads and features become one axis, in front of time."""
    n, t, h, d = x.shape
    y = x.transpose(0, 2, 3, 1).reshape(n, h * d, t)
    return y.copy(), lambda g: g.reshape(n, h, d, t).transpose(0, 3, 1, 2).copy()


@right({"x": ("N", "D", 2, 3, "L")})
def volume_to_last(x):
    """Five axes, of which the second goes to the end."""
    y = np.moveaxis(x, 1, -1) ** 2
    return y, lambda dy: 2 * np.moveaxis(dy, -1, 1) * x


@right({"x": ("A", 2, "C", 3, "E"), "w": ("C",)})
def five_axes_sum(x, w):
    """A contraction of the middle axis of five."""
    y = np.einsum("abcde,c->abde", x, w)
    return y, lambda g: (np.einsum("abde,c->abcde", g, w), np.einsum("abcde,abde->c", x, g))


@right({"x": ("N", 1, "D", 1)})
def squeeze_all_ones(x):
    """Axes of size one go, and come back."""
    y = np.exp(x[:, 0, :, 0])
    return y, lambda dy: (dy * y)[:, None, :, None]


@right("N D")
def flatten_fortran(x):
    """In the order of columns."""
    return x.flatten(order="F"), lambda dy: dy.reshape(x.shape, order="F").copy()


@right(given=lambda rng: (np.maximum(rng.standard_normal((40, 60)), 0.0), rng.standard_normal(60)))
def relu_after_relu(x, b):
    """2,400 entries, half of which are zero; some are of no effect because of the shift."""
    pre = x * b
    return np.maximum(pre, 0.0), lambda dy: (dy * (pre > 0) * b, (dy * (pre > 0) * x).sum(axis=0))


@right(given=lambda rng: (np.maximum(rng.standard_normal((20, 5, 5, 5)), 0.0),))
def relu_of_relu_images(x):
    """2,500 entries; the derivative is 0 at 0."""
    return x * (x > 0), lambda dy: dy * (x > 0)


@right(given=lambda rng: (rng.integers(-2, 3, (30, 10)).astype(float),))
def absolute_of_integers(x):
    """Zeros among whole numbers; sign(0) is 0."""
    return np.abs(x), lambda dy: dy * np.sign(x)


@right(given=lambda rng: (rng.integers(0, 3, (6, 8)).astype(float),))
def row_max_with_ties(x):
    """The first maximum of a row."""
    best = x.argmax(axis=1)
    rows = np.arange(x.shape[0])

    def backward(dy):
        dx = np.zeros_like(x)
        dx[rows, best] = dy
        return dx

    return x[rows, best], backward


@right(given=lambda rng: (rng.standard_normal((3, 4)), 3))
def power_with_count(x, k):
    """The exponent is an integer and has no gradient."""
    return x**k, lambda dy: k * x ** (k - 1) * dy


@right({"x": ("N", "N"), "y": ("N",)})
def diagonal_plus(x, y):
    """The diagonal of a square matrix."""
    return np.diagonal(x) * y, lambda d: [np.diag(d * y), d * np.diagonal(x)]


@right("N T D, N S D, N S E")
def attention(q, k, v):
    """Softmax of scaled products over the keys."""
    scale = 1 / np.sqrt(q.shape[-1])
    s = q @ np.swapaxes(k, 1, 2) * scale
    a = np.exp(s - s.max(-1, keepdims=True))
    a /= a.sum(-1, keepdims=True)

    def backward(dout):
        da = dout @ np.swapaxes(v, 1, 2)
        ds = a * (da - (da * a).sum(-1, keepdims=True)) * scale
        return ds @ k, np.swapaxes(ds, 1, 2) @ q, np.swapaxes(a, 1, 2) @ dout

    return a @ v, backward
