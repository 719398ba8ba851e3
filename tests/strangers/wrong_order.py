"""Wrong operations: maxima, sorting, quantiles, ranks and clipping."""

import numpy as np

from . import wrong


def _rows(*shape):
    return lambda rng: (rng.normal(size=shape),)


@wrong(
    given=_rows(4, 5),
    mistake="the gradient goes to the middle column of the unsorted row",
    grads="dx",
    says="any.entries-reordered",
)
def median_odd(x):
    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, x.shape[1] // 2] = dy
        return dx

    return np.median(x, axis=1), backward


@wrong(
    given=_rows(4, 6),
    mistake="for an even count the upper middle element gets all, in place of half and half",
    grads="dx",
)
def median_even(x):
    order = np.argsort(x, axis=1)
    upper = order[:, x.shape[1] // 2]

    def backward(dy):
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), upper] = dy
        return dx

    return np.median(x, axis=1), backward


@wrong(
    "N D",
    mistake="dy is indexed by the order in place of by its inverse",
    grads="dx",
    says="any.entries-reordered",
)
def sorted_rows(x):
    order = x.argsort(axis=1)
    y = np.take_along_axis(x, order, axis=1)
    return y, lambda dy: np.take_along_axis(dy, order, axis=1)


@wrong(
    "N",
    mistake="the gradient is not brought back to the order before sorting",
    grads="dv",
    says="any.derivative-missing",
)
def sorted_vector(v):
    return np.sort(v), lambda dy: dy.copy()


@wrong(
    given=_rows(3, 6),
    mistake="the gradients of the two largest go to the first two columns",
    grads="dx",
    says="any.entries-reordered",
)
def top_two(x):
    idx = np.argsort(-x, axis=1)[:, :2]

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, :2] = dy
        return dx

    return np.take_along_axis(x, idx, axis=1), backward


@wrong(
    "N D",
    mistake="the gradient of the maximum is given to the minimum",
    grads="dx",
    says="any.entries-reordered",
)
def row_maximum(x):
    loc = np.argmin(x, axis=1)

    def backward(dy):
        g = np.zeros_like(x)
        g[range(len(x)), loc] = dy
        return g

    return np.max(x, axis=1), backward


@wrong(
    "N D",
    mistake="the sign of the element of largest modulus is missing",
    grads="dx",
    says="any.factor-per-axis",
)
def max_norm(x):
    mag = np.abs(x)
    onehot = np.eye(x.shape[1])[mag.argmax(axis=1)]
    return mag.max(axis=1), lambda dy: dy[:, None] * onehot


@wrong(
    "N T",
    mistake="all ties get the full gradient, so that a repeated border pixel counts twice",
    grads="dx",
)
def max_filter_with_repeated_border(x):
    T = x.shape[1]
    p = np.pad(x, ((0, 0), (1, 1)), mode="edge")
    y = np.maximum(np.maximum(p[:, :-2], p[:, 1:-1]), p[:, 2:])

    def backward(dy):
        dp = np.zeros_like(p)
        for s in range(3):
            dp[:, s : s + T] += dy * (p[:, s : s + T] == y)
        dx = dp[:, 1:-1].copy()
        dx[:, 0] += dp[:, 0]
        dx[:, -1] += dp[:, -1]
        return dx

    return y, backward


@wrong(
    given=_rows(3, 5),
    mistake="both (i, j) and (j, i) are counted as the largest distance",
    grads="dx",
    says="any.factor-too-large",
)
def diameter(x):
    diff = x[:, :, None] - x[:, None, :]
    dist = np.abs(diff)
    y = dist.max(axis=(1, 2))

    def backward(dy):
        g = dy[:, None, None] * np.sign(diff) * (dist == y[:, None, None])
        return g.sum(axis=2) - g.sum(axis=1)

    return y, backward


@wrong(
    given=_rows(3, 5),
    mistake="the interpolation weights of the two neighbours are swapped",
    grads="dx",
    says="any.entries-reordered",
)
def quantile_30(x):
    pos = 0.3 * (x.shape[1] - 1)
    lo = int(pos)
    f = pos - lo
    order = np.argsort(x, axis=1)
    rows = np.arange(len(x))
    a, b = order[:, lo], order[:, lo + 1]

    def backward(dy):
        dx = np.zeros_like(x)
        dx[rows, a] = dy * f
        dx[rows, b] = dy * (1 - f)
        return dx

    return (1 - f) * x[rows, a] + f * x[rows, b], backward


@wrong(
    given=_rows(4, 5),
    mistake="the minimum gets its gradient with a plus in place of a minus",
    grads="dx",
    says="any.signs",
)
def spread(x):
    hi, lo = x.argmax(axis=1), x.argmin(axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(len(x)):
            dx[n, hi[n]] += dy[n]
            dx[n, lo[n]] += dy[n]
        return dx

    return np.ptp(x, axis=1), backward


@wrong(
    "N D, D",
    mistake="dx is in sorted order, it is not put back to where the values came from",
    grads="dx",
    says="any.entries-reordered",
)
def order_statistics(x, w):
    s = np.sort(x, axis=1)
    return s @ w, lambda dy: (np.outer(dy, w), s.T @ dy)


@wrong(
    given=_rows(3, 6),
    mistake="the gradient is divided by the count of all values, not of those kept",
    grads="dx",
    says="any.factor",
)
def trimmed_mean(x):
    keep = np.argsort(x, axis=1)[:, 1:-1]

    def backward(dy):
        dx = np.zeros_like(x)
        np.put_along_axis(dx, keep, dy[:, None] / x.shape[1], axis=1)
        return dx

    return np.take_along_axis(x, keep, axis=1).mean(axis=1), backward


@wrong(
    given=_rows(3, 4, 5),
    mistake="the flat index is unravelled with the sizes of the axes swapped",
    grads="dx",
    says="any.entries-reordered",
)
def image_maximum(x):
    N, H, W = x.shape
    flat = x.reshape(N, H * W)
    where = flat.argmax(axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        j, i = np.unravel_index(where, (W, H))
        dx[np.arange(N), i, j] = dy
        return dx

    return flat.max(axis=1), backward


@wrong(
    "N C, int N",
    mistake="the score of the right class gets no gradient",
    grads="ds",
    says="any.entries-left-out",
)
def hinge_loss(s, t):
    rows = np.arange(len(t))
    margin = s - s[rows, t][:, None] + 1
    margin[rows, t] = 0
    active = margin > 0
    return (margin * active).sum(axis=1), lambda dy: dy[:, None] * active


@wrong(
    "N D",
    mistake="the gradient also passes where the value was clipped",
    grads="dx",
    says="clip.missing",
)
def hard_tanh(x):
    return np.clip(x, -1, 1), lambda dy: dy.copy()


@wrong(
    "N D",
    mistake="values above the upper bound 6 let the gradient pass",
    grads="dx",
    says="clip.upper-missing",
)
def relu6(x):
    return np.minimum(np.maximum(x, 0), 6), lambda dy: dy * (x > 0)


@wrong(
    given=_rows(3, 6),
    mistake="each place keeps its gradient, though the running maximum came from before",
    grads="dx",
    says="any.one-use",
)
def running_maximum(x):
    y = np.maximum.accumulate(x, axis=1)
    return y, lambda dy: dy * (x == y)


@wrong(
    "N D, N D",
    mistake="db is masked where a is the larger, as da is",
    grads="db",
    says="any.other-gradient larger.mask-of-a larger.mask-of-b",
)
def larger_of_two(a, b):
    mask = a > b
    return np.maximum(a, b), lambda dy: (dy * mask, dy * mask)


@wrong(
    given=_rows(3, 5),
    mistake="the median that is subtracted is taken for a constant",
    grads="dx",
    says="any.entries-left-out",
)
def squared_deviation_from_median(x):
    dev = x - np.median(x, axis=1, keepdims=True)
    return (dev**2).mean(axis=1), lambda dy: 2 * dy[:, None] * dev / x.shape[1]


@wrong(
    given=_rows(3, 5),
    mistake="of each gap both neighbours get a plus, the lower one should get a minus",
    grads="dx",
)
def gaps(x):
    order = np.argsort(x, axis=1)
    y = np.diff(np.take_along_axis(x, order, axis=1), axis=1)

    def backward(dy):
        ds = np.zeros_like(x)
        ds[:, 1:] += dy
        ds[:, :-1] += dy
        dx = np.empty_like(x)
        np.put_along_axis(dx, order, ds, axis=1)
        return dx

    return y, backward


@wrong(
    "N D",
    mistake="the negative side passes with slope 1 in place of 0.1",
    grads="dx",
    says="leaky-relu.term-2.slope-missing",
)
def leaky_relu(x):
    return np.where(x > 0, x, 0.1 * x), lambda dy: np.where(x > 0, dy, dy)
