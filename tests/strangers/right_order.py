"""Right order statistics, as strangers write them; where there is a tie, the first wins."""

import itertools

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def with_ties(shape, levels=3):
    """Give an array of few levels, so that many values are equal."""
    return lambda rng: (rng.integers(0, levels, shape).astype(float),)


@right("N D")
def median_of_rows(x):
    """Median; of an even number, the mean of the two in the middle."""
    n = x.shape[1]
    mid = np.argsort(x, axis=1, kind="stable")[:, [(n - 1) // 2, n // 2]]
    y = np.take_along_axis(x, mid, axis=1).mean(axis=1)

    def backward(dy):
        dx = np.zeros(x.shape)
        for col in mid.T:
            dx[np.arange(len(x)), col] += 0.5 * dy
        return dx

    return y, backward


@right("N C H W")
def median_of_places(x):
    """The lower median over height and width, by argpartition."""
    N, C, H, W = x.shape
    flat = x.reshape(N, C, H * W)
    k = (H * W - 1) // 2
    at = np.argpartition(flat, k, axis=2)[:, :, k : k + 1]

    def backward(dy):
        dx = np.zeros((N, C, H * W))
        np.put_along_axis(dx, at, dy[:, :, None], axis=2)
        return dx.reshape(x.shape)

    return np.take_along_axis(flat, at, axis=2)[:, :, 0], backward


right(given=with_ties((2, 2, 3, 4)), title="median_of_places with ties")(median_of_places)


@right("N D")
def sort_ascending(x):
    """Sort, and send gradients back by the inverse permutation."""
    order = np.argsort(x, axis=-1, kind="stable")
    inverse = np.argsort(order, axis=-1)
    return np.take_along_axis(x, order, -1), lambda dy: np.take_along_axis(dy, inverse, -1)


def sort_descending_forward(x):
    """Sort columns from the largest."""
    idx = (-x).argsort(axis=0, kind="stable")
    return x[idx, np.arange(x.shape[1])], {"idx": idx}


def sort_descending_backward(dout, cache):
    """Scatter."""
    dx = np.empty_like(dout)
    dx[cache["idx"], np.arange(dout.shape[1])] = dout
    return dx


right("N D", title="sort_descending")(from_cache(sort_descending_forward, sort_descending_backward))
right(
    given=lambda rng: (rng.permutation(np.geomspace(1e-8, 1e8, 12)).reshape(6, 2),),
    title="sort_descending from 1e-8 to 1e8",
)(from_cache(sort_descending_forward, sort_descending_backward))


@right("N D")
def top_k_values(x, k=3):
    """The k largest of each row, or all if there are fewer."""
    at = np.argsort(-x, axis=1, kind="stable")[:, :k]
    rows = np.arange(len(x))[:, None]

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[rows, at] = dy
        return (dx,)

    return x[rows, at], backward


@right("N D")
def top_k_mask(x, k=2):
    """Keep the k largest of each row where they are; the rest is zero."""
    mask = np.zeros(x.shape)
    np.put_along_axis(mask, np.argsort(-x, axis=1, kind="stable")[:, :k], 1.0, axis=1)
    return x * mask, lambda dy: dy * mask


@right("N C L")
def top_k_mean(x, k=2):
    """Mean of the k largest steps."""
    k = min(k, x.shape[2])
    idx = np.argpartition(x, -k, axis=2)[:, :, -k:]

    def backward(dy):
        dx = np.zeros(x.shape)
        np.put_along_axis(dx, idx, np.repeat(dy[:, :, None] / k, k, axis=2), axis=2)
        return dx

    return np.take_along_axis(x, idx, axis=2).mean(axis=2), backward


@right({"x": ("N", "C", 6)})
def k_max_pooling(x):
    """The three largest of six steps, in their own order."""
    idx = np.sort(np.argsort(x, axis=2)[:, :, -3:], axis=2)
    n, c = np.ogrid[: x.shape[0], : x.shape[1]]
    n, c = n[..., None], c[..., None]

    def backward(dy):
        dx = np.zeros(x.shape)
        np.add.at(dx, (n, c, idx), dy)
        return dx

    return x[n, c, idx], backward


@right("N D")
def second_largest(x):
    """The second largest of each row, or the largest if it is alone."""
    at = [sorted(range(len(r)), key=lambda i, r=r: (-r[i], i))[:2][-1] for r in x]

    def backward(dy):
        dx = np.zeros(x.shape)
        for i, j in enumerate(at):
            dx[i, j] = dy[i]
        return dx

    return np.array([r[j] for r, j in zip(x, at, strict=True)]), backward


right(given=lambda rng: (np.array([[2.0, 2, 1], [0, 0, 0], [1, 3, 3]]),), title="second with ties")(
    second_largest
)


@right("N L")
def median_filter(x):
    """Median of three neighbours, the ends repeated."""
    L = x.shape[1]
    near = np.clip(np.arange(L)[:, None] + np.array([-1, 0, 1]), 0, L - 1)
    pick = np.argsort(x[:, near], axis=2, kind="stable")[:, :, 1]
    source = near[np.arange(L), pick]

    def backward(dy):
        dx = np.zeros(x.shape)
        np.add.at(dx, (np.arange(len(x))[:, None], source), dy)
        return dx

    return np.take_along_axis(x, source, axis=1), backward


right(given=with_ties((2, 9)), title="median_filter with ties")(median_filter)


@right({"x": ("N", 5, 7)})
def median_filter_of_images(x):
    """3 x 3 median in loops, without padding."""
    N, H, W = x.shape
    y = np.zeros((N, H - 2, W - 2))
    where = {}
    for n, i, j in itertools.product(range(N), range(H - 2), range(W - 2)):
        a, b = divmod(int(np.argsort(x[n, i : i + 3, j : j + 3], axis=None)[4]), 3)
        where[n, i, j] = (n, i + a, j + b)
        y[n, i, j] = x[n, i + a, j + b]

    def backward(dy):
        dx = np.zeros(x.shape)
        for out, src in where.items():
            dx[src] += dy[out]
        return dx

    return y, backward


@right("N D")
def quantile_of_columns(x, q=0.3):
    """Quantile with linear interpolation."""
    pos = q * (len(x) - 1)
    lo = int(np.floor(pos))
    hi, w = min(lo + 1, len(x) - 1), pos - lo
    order = np.argsort(x, axis=0, kind="stable")
    cols = np.arange(x.shape[1])

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[order[lo], cols] += (1 - w) * dy
        dx[order[hi], cols] += w * dy
        return dx

    return (1 - w) * x[order[lo], cols] + w * x[order[hi], cols], backward


@right("N D")
def interquartile_range(x):
    """Third minus first quartile of all values, by weights on the sorted."""
    n = x.size
    w = np.zeros(n)
    for q, sign in ((0.75, 1), (0.25, -1)):
        p = q * (n - 1)
        i = min(int(p), n - 1)
        w[i] += sign * (1 - (p - i))
        w[min(i + 1, n - 1)] += sign * (p - i)
    order = np.argsort(x, axis=None)
    back = np.zeros(n)
    back[order] = w
    return w @ x.ravel()[order], lambda dy: dy * back.reshape(x.shape)


@right("N D")
def max_shared_by_ties(x):
    """Largest of each row, its gradient shared by all that are equal."""
    y = x.max(axis=1)
    is_max = x == y[:, None]
    return y, lambda dy: is_max * (dy / is_max.sum(axis=1))[:, None]


right(given=with_ties((4, 5), levels=2), title="max_shared_by_ties with ties")(max_shared_by_ties)


@right(given=lambda rng: (np.zeros((3, 4)),))
def first_minimum_of_zeros(x):
    """Smallest of each column; of equals, the first."""
    at = np.argmin(x, axis=0)

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[at, range(x.shape[1])] = dy
        return dx

    return x[at, range(x.shape[1])], backward


@right("N C H W")
def smallest_of_all(x):
    """A single number."""
    at = np.unravel_index(x.argmin(), x.shape)

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[at] = dy
        return dx

    return x.min(), backward


@right("N C H W")
def global_max_pooling(x):
    """Largest place of each channel."""
    N, C, H, W = x.shape
    at = x.reshape(N * C, -1).argmax(1)
    y = x.reshape(N * C, -1)[np.arange(N * C), at].reshape(N, C, 1, 1)

    def backward(dy):
        dx = np.zeros((N * C, H * W))
        dx[np.arange(N * C), at] = dy.ravel()
        return dx.reshape(N, C, H, W)

    return y, backward


class MaxPool2x2:
    """Max pooling by reshaping, the first maximum of a window winning."""

    def forward(self, x):
        """Windows last."""
        n, c, h, w = x.shape
        self.shape = n, c, h // 2, w // 2
        win = x.reshape(n, c, h // 2, 2, w // 2, 2).transpose(0, 1, 2, 4, 3, 5)
        win = win.reshape(*self.shape, 4)
        self.arg = win.argmax(-1)
        return win.max(-1)

    def backward(self, dy):
        """One-hot windows, put back."""
        n, c, h, w = self.shape
        d = (np.arange(4) == self.arg[..., None]) * dy[..., None]
        d = d.reshape(n, c, h, w, 2, 2).transpose(0, 1, 2, 4, 3, 5)
        return d.reshape(n, c, 2 * h, 2 * w)


right({"x": ("N", "C", 4, 6)}, title="max pool class")(from_class(MaxPool2x2))
right(given=with_ties((2, 1, 4, 2), levels=2), title="max pool class with ties")(
    from_class(MaxPool2x2)
)


@right("N C H W")
def max_pool_overlapping(x, k=3, stride=2):
    """ResNet's pooling: windows of three, steps of two, padded with -inf."""
    N, C, H, W = x.shape
    xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    Ho, Wo = (H - 1) // stride + 1, (W - 1) // stride + 1
    y, arg = np.zeros((N, C, Ho, Wo)), np.zeros((N, C, Ho, Wo), int)
    for i in range(Ho):
        for j in range(Wo):
            win = xp[:, :, stride * i : stride * i + k, stride * j : stride * j + k]
            win = win.reshape(N, C, -1)
            arg[:, :, i, j] = win.argmax(-1)
            y[:, :, i, j] = win.max(-1)

    def backward(dy):
        dxp = np.zeros(xp.shape)
        n, c, i, j = np.indices(dy.shape)
        np.add.at(dxp, (n, c, stride * i + arg // k, stride * j + arg % k), dy)
        return dxp[:, :, 1:-1, 1:-1].copy()

    return y, backward


@right("N I, K I O, K O")
def maxout_dense(x, W, b):
    """Largest of K dense layers."""
    z = np.einsum("ni,kio->kno", x, W) + b[:, None]
    win = np.arange(len(W))[:, None, None] == z.argmax(0)

    def backward(dy):
        dz = win * dy
        return (
            np.einsum("kno,kio->ni", dz, W),
            np.einsum("kno,ni->kio", dz, x),
            np.einsum("kno->ko", dz),
        )

    return z.max(0), backward


@right("N D")
def spread(x):
    """Largest minus smallest of each row."""
    hi, lo = x.argmax(1), x.argmin(1)
    r = np.arange(len(x))

    def backward(dy):
        dx = np.zeros(x.shape)
        dx[r, hi] += dy
        dx[r, lo] -= dy
        return dx

    return np.ptp(x, axis=1), backward


@right({"x": (7, "D")})
def trimmed_mean(x):
    """Mean of the middle three of seven."""
    mid = x.argsort(0, kind="stable")[2:5]

    def backward(dy):
        dx = np.zeros(x.shape)
        np.put_along_axis(dx, mid, np.tile(dy / 3, (3, 1)), axis=0)
        return dx

    return np.take_along_axis(x, mid, 0).mean(0), backward


@right("N D")
def cumulative_max(x):
    """Running maximum along rows."""
    src = np.zeros(x.shape, int)
    for t in range(1, x.shape[1]):
        best = src[:, t - 1]
        src[:, t] = np.where(x[:, t] > x[np.arange(len(x)), best], t, best)

    def backward(dy):
        dx = np.zeros(x.shape)
        for t in range(x.shape[1]):
            np.add.at(dx, (np.arange(len(x)), src[:, t]), dy[:, t])
        return dx

    return np.maximum.accumulate(x, axis=1), backward


right(given=with_ties((3, 6)), title="cumulative_max with ties")(cumulative_max)


@right("N D, N D")
def larger_of_two(a, b):
    """Elementwise maximum; equals take half each."""
    wa = (a > b) + 0.5 * (a == b)
    return np.maximum(a, b), lambda dy: (dy * wa, dy * (1 - wa))


right(given=lambda rng: (np.zeros((2, 3)), np.zeros((2, 3))), title="larger_of_two, all zero")(
    larger_of_two
)


@right("N, N, N")
def middle_of_three(a, b, c):
    """Median of three arrays."""
    s = np.stack([a, b, c])
    at = s.argsort(axis=0, kind="stable")[1]
    return np.median(s, axis=0), lambda dy: [dy * (at == i) for i in range(3)]


@right("N D, D")
def ordered_weighted_average(x, w):
    """Weights go with ranks."""
    order = np.argsort(x, axis=1)
    s = np.take_along_axis(x, order, axis=1)

    def backward(dy):
        dx = np.zeros(x.shape)
        np.put_along_axis(dx, order, np.outer(dy, w), axis=1)
        return dx, dy @ s

    return s @ w, backward


@right({"x": ("N", "H", "W"), "se": (3, 3)})
def dilation(x, se):
    """Grey dilation with a learned structuring element."""
    H, W = x.shape[1:]
    xp = np.pad(x, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    stack = np.array([xp[:, a : a + H, b : b + W] + se[a, b] for a in range(3) for b in range(3)])
    arg = stack.argmax(0)

    def backward(dy):
        dxp, dse = np.zeros(xp.shape), np.zeros((3, 3))
        for a in range(3):
            for b in range(3):
                part = dy * (arg == 3 * a + b)
                dxp[:, a : a + H, b : b + W] += part
                dse[a, b] = part.sum()
        return dxp[:, 1:-1, 1:-1].copy(), dse

    return stack.max(0), backward


@right("N, N")
def wasserstein_of_samples(u, v):
    """Mean distance of equal ranks."""
    iu, iv = u.argsort(), v.argsort()
    d = u[iu] - v[iv]

    def backward(dy):
        du, dv = np.zeros(u.shape), np.zeros(v.shape)
        du[iu] = dy * np.sign(d) / d.size
        dv[iv] = -dy * np.sign(d) / d.size
        return du, dv

    return np.abs(d).mean(), backward


@right({"x": ("N", 5)})
def median_absolute_deviation(x):
    """Median distance to the median, of five."""
    r = np.arange(len(x))
    m = x.argsort(1)[:, 2]
    d = x - x[r, m][:, None]
    k = np.abs(d).argsort(1)[:, 2]

    def backward(dy):
        dx = np.zeros(x.shape)
        s = dy * np.sign(d[r, k])
        dx[r, k] += s
        dx[r, m] -= s
        return dx

    return np.abs(d)[r, k], backward


@right("N D, D, D")
def clip_by_learned_bounds(x, a, b):
    """Clip between two bounds, sorted at first."""
    lo, hi = np.minimum(a, b), np.maximum(a, b)
    under, over = x < lo, x > hi

    def backward(dy):
        dlo, dhi = (dy * under).sum(0), (dy * over).sum(0)
        first = a < b
        da, db = np.where(first, dlo, dhi), np.where(first, dhi, dlo)
        return dy * ~(under | over), da, db

    return np.clip(x, lo, hi), backward


@right({"x": ("N", "C", 6)})
def relu_then_max_pool(x):
    """ReLU, then pairs' maxima: dead pairs are equal at zero."""
    a = np.maximum(x, 0).reshape(*x.shape[:2], 3, 2)
    arg = a.argmax(-1)

    def backward(dy):
        da = np.zeros(a.shape)
        np.put_along_axis(da, arg[..., None], dy[..., None], -1)
        return da.reshape(x.shape) * (x > 0)

    return a.max(-1), backward


right(given=lambda rng: (np.zeros((2, 1, 6)),), title="relu_then_max_pool of zeros")(
    relu_then_max_pool
)
