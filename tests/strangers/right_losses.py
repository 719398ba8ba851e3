"""Right losses, as strangers write them."""

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def logsumexp(z, axis=-1):
    """Log of a sum of exponentials, shifted by the largest."""
    m = z.max(axis=axis, keepdims=True)
    return m + np.log(np.exp(z - m).sum(axis=axis, keepdims=True))


def sigmoid(z):
    """Logistic function without overflow."""
    return np.exp(-np.logaddexp(0, -z))


@right("N D, N D")
def mse_mean(pred, target):
    """Mean of squares."""
    diff = pred - target

    def backward(dloss):
        g = 2 * dloss * diff / diff.size
        return g, -g

    return np.mean(diff**2), backward


class SumOfSquares:
    """Half the sum of squares against a learned target."""

    target = None

    def forward(self, x):
        """Keep the difference."""
        self.d = x - self.target
        return 0.5 * np.sum(self.d * self.d)

    def backward(self, dy):
        """Set grad."""
        self.grad = -dy * self.d
        return dy * self.d


right("N D, N D", title="half sum of squares class")(from_class(SumOfSquares, target="grad"))


@right("N D, N D")
def l1_mean(pred, target):
    """Mean absolute error."""
    s = np.sign(pred - target) / pred.size
    return np.abs(pred - target).mean(), lambda g: (g * s, -g * s)


right(
    given=lambda rng: (np.array([[0.0, 1, 2], [3, 3, 3]]), np.array([[0.0, 1, 5], [3, -1, 3]])),
    title="l1_mean where some are equal",
)(l1_mean)


@right("N D, N D")
def huber_sum(pred, target, delta=0.8):
    """Huber with delta 0.8, summed."""
    r = pred - target
    a = np.abs(r)
    small = a <= delta
    loss = np.sum(np.where(small, 0.5 * r**2, delta * (a - 0.5 * delta)))

    def backward(dloss):
        dr = dloss * np.where(small, r, delta * np.sign(r))
        return dr, -dr

    return loss, backward


right(
    given=lambda rng: (np.array([0.8, -0.8, 0.0, 3, 1e8]), np.zeros(5)),
    title="huber_sum at its joints and at 1e8",
)(huber_sum)


@right("N D, N D")
def smooth_l1_of_each(x, y):
    """Smooth L1 without reduction."""
    z = x - y
    loss = np.where(np.abs(z) < 1, z * z / 2, np.abs(z) - 0.5)

    def backward(dout):
        dx = dout * np.clip(z, -1, 1)
        return [dx, -dx]

    return loss, backward


@right("N D, N D")
def bce_with_logits(z, t):
    """Binary cross entropy of logits, any number as target."""
    loss = (np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))).mean()
    return loss, lambda g: (g * (sigmoid(z) - t) / z.size, -g * z / z.size)


@right(given=lambda rng: (rng.uniform(0.05, 0.95, (4, 3)), rng.integers(0, 2, (4, 3))))
def bce_of_probabilities(p, y):
    """Binary cross entropy of probabilities, with integer targets."""
    loss = -np.mean(np.where(y == 1, np.log(p), np.log1p(-p)))
    return loss, lambda g: g * (p - y) / (p * (1 - p)) / p.size


@right(given=lambda rng: (1e4 * rng.standard_normal((4, 2)), rng.integers(0, 2, (4, 2))))
def bce_of_huge_logits(z, y):
    """Binary cross entropy, saturated."""
    s = np.where(y == 1, -1.0, 1.0)
    return np.logaddexp(0, s * z).sum(), lambda g: g * s * sigmoid(s * z)


@right("N C, int N")
def focal(x, labels, gamma=2.0):
    """Focal loss of one-against-all logits."""
    s = np.where(np.arange(x.shape[1]) == labels[:, None], 1.0, -1.0)
    logp = -np.logaddexp(0, -s * x)
    p, q = np.exp(logp), sigmoid(-s * x)

    def backward(dloss):
        dz = gamma * q**gamma * p * logp - q ** (gamma + 1)
        return dloss * s * dz / len(x)

    return -(q**gamma * logp).sum() / len(x), backward


@right("N, int N")
def hinge(score, label):
    """Hinge with the label's parity as side."""
    t = 2.0 * (label % 2) - 1
    m = 1 - t * score
    return np.maximum(0, m).mean(), lambda g: np.where(m > 0, -t * g / len(t), 0.0)


@right("N D, N D")
def squared_hinge(f, t):
    """Squared hinge, differentiable in both."""
    m = np.maximum(0, 1 - f * t)
    return np.sum(m * m), lambda g: (-2 * g * m * t, -2 * g * m * f)


@right("N C, int N")
def svm_loss(x, y):
    """Multiclass hinge, as taught."""
    n = x.shape[0]
    margins = np.maximum(0, x - x[np.arange(n), y][:, np.newaxis] + 1.0)
    margins[np.arange(n), y] = 0
    loss = np.sum(margins) / n

    def backward(dloss):
        dx = np.where(margins > 0, 1.0, 0.0)
        dx[np.arange(n), y] -= np.sum(margins > 0, axis=1)
        return dloss * dx / n

    return loss, backward


@right("N I, I C, int N")
def svm_loss_naive(x, W, y):
    """Multiclass hinge of a linear classifier in loops."""

    def backward(dloss):
        dW, dx = np.zeros(W.shape), np.zeros(x.shape)
        for i in range(len(x)):
            s = x[i] @ W
            for j in range(W.shape[1]):
                if j != y[i] % W.shape[1] and s[j] - s[y[i] % W.shape[1]] + 1 > 0:
                    dW[:, j] += dloss * x[i]
                    dW[:, y[i] % W.shape[1]] -= dloss * x[i]
                    dx[i] += dloss * (W[:, j] - W[:, y[i] % W.shape[1]])
        return dx, dW

    loss = 0.0
    for xi, k in zip(x, y % W.shape[1], strict=True):
        s = xi @ W
        loss += np.maximum(0, np.delete(s - s[k] + 1, k)).sum()
    return loss, backward


@right("N C, int N")
def crammer_singer(x, y):
    """Hinge of the worst wrong class alone."""
    rows = np.arange(len(x))
    m = x - x[rows, y][:, None] + 1
    m[rows, y] = 0
    worst = m.argmax(1)
    top = m[rows, worst]

    def backward(g):
        dx = np.zeros(x.shape)
        np.add.at(dx, (rows, worst), g)
        np.add.at(dx, (rows, y), -g)
        return dx

    return top.sum(), backward


def softmax_loss_forward(x, y):
    """Cross entropy with labels."""
    logp = x - logsumexp(x)
    return -logp[np.arange(len(y)), y].mean(), (np.exp(logp), y)


def softmax_loss_backward(dout, cache):
    """Softmax minus one-hot."""
    p, y = cache
    dx = p.copy()
    dx[np.arange(len(y)), y] -= 1
    return dx * dout / len(y)


right("N C, int N", title="softmax_loss in the cached style")(
    from_cache(softmax_loss_forward, softmax_loss_backward)
)
right(
    given=lambda rng: (np.array([[1e8, 0, -1e8], [3.0, 3, 3], [0, 800, 0]]), np.array([0, 1, 2])),
    title="softmax_loss of logits up to 1e8",
)(from_cache(softmax_loss_forward, softmax_loss_backward))


@right("N C, int N")
def nll_of_log_probabilities(logp, t):
    """NLL of what is taken for log-probabilities."""
    onehot = np.eye(logp.shape[1])[t]
    return -(onehot * logp).sum(1), lambda dy: -onehot * dy[:, None]


@right("N C, int N")
def label_smoothing(z, y, eps=0.1):
    """Cross entropy with smoothed labels, summed."""
    N, C = z.shape
    q = np.full((N, C), eps / C)
    q[np.arange(N), y] += 1 - eps
    lp = z - logsumexp(z)
    return -(q * lp).sum(), lambda g: g * (np.exp(lp) - q)


@right({"logits": ("N", 3, "H", "W")})
def segmentation_cross_entropy(logits, weights=(0.2, 1.0, 3.0)):
    """Weighted cross entropy of each place against classes in stripes."""
    N, C, H, W = logits.shape
    cls = np.broadcast_to(np.arange(W) % C, (N, H, W))
    w = np.array(weights)[cls]
    lp = logits - logsumexp(logits, axis=1)
    picked = np.take_along_axis(lp, cls[:, None], axis=1)[:, 0]

    def backward(g):
        onehot = np.moveaxis(np.eye(C)[cls], -1, 1)
        return g * (np.exp(lp) - onehot) * w[:, None] / w.sum()

    return -(w * picked).sum() / w.sum(), backward


@right("N C, N C")
def kl_of_logits(a, b):
    """KL(softmax a || softmax b), each row."""
    la, lb = a - logsumexp(a), b - logsumexp(b)
    p, q = np.exp(la), np.exp(lb)
    kl = np.sum(p * (la - lb), axis=1)

    def backward(dy):
        dy = dy[:, None]
        return dy * p * (la - lb - kl[:, None]), dy * (q - p)

    return kl, backward


@right(given=lambda rng: tuple(rng.dirichlet(np.full(4, 9.0), (2, 3))))
def kl_of_probabilities(p, q):
    """The sum of p log(p / q), each entry taken as free."""
    ratio = np.log(p) - np.log(q)
    return np.sum(p * ratio), lambda g: (g * (ratio + 1), -g * p / q)


@right("N C")
def entropy_of_softmax(z):
    """Mean entropy."""
    lp = z - logsumexp(z)
    p = np.exp(lp)
    H = -np.sum(p * lp, 1, keepdims=True)
    return H.mean(), lambda g: -g * p * (lp + H) / len(z)


@right("N D, N D, N D")
def triplet(a, p, n, margin=1.0):
    """Triplet loss of squared distances."""
    gap = ((a - p) ** 2).sum(1) - ((a - n) ** 2).sum(1) + margin
    on = (gap > 0)[:, None] / len(a)

    def backward(dloss):
        k = 2 * dloss * on
        return k * (n - p), k * (p - a), k * (a - n)

    return np.maximum(gap, 0).mean(), backward


@right(given=lambda rng: (*rng.standard_normal((2, 6, 3)), np.array([0, 1, 0, 1, 1, 0])))
def contrastive(u, v, same, margin=2.0):
    """Contrastive loss of distances, half of the pairs being alike."""
    diff = u - v
    d = np.sqrt((diff**2).sum(1))
    short = np.maximum(margin - d, 0)
    loss = np.where(same == 1, d**2, short**2).sum() / 2

    def backward(g):
        dd = np.where(same == 1, d, -short)
        du = g * (dd / d)[:, None] * diff
        return du, -du

    return loss, backward


@right("N D, N D")
def cosine_distance(a, b, eps=1e-6):
    """One minus the cosine, each row."""
    na = np.sqrt((a * a).sum(-1, keepdims=True) + eps)
    nb = np.sqrt((b * b).sum(-1, keepdims=True) + eps)
    ua, ub = a / na, b / nb
    c = (ua * ub).sum(-1, keepdims=True)

    def backward(dy):
        g = -dy[:, None]
        return g * (ub - c * ua) / na, g * (ua - c * ub) / nb

    return 1 - c[:, 0], backward


@right(given=lambda rng: (rng.standard_normal((4, 3)), rng.poisson(2.0, (4, 3))))
def poisson_nll(log_rate, count):
    """Poisson NLL with counts as integers."""
    rate = np.exp(log_rate)
    return np.mean(rate - count * log_rate), lambda g: g * (rate - count) / count.size


@right(given=lambda rng: tuple(rng.standard_normal((3, 5, 2))))
def gaussian_nll(mu, logvar, y):
    """Gaussian NLL with a learned variance."""
    iv = np.exp(-logvar)
    r = mu - y

    def backward(g):
        return g * r * iv, 0.5 * g * (1 - r**2 * iv), -g * r * iv

    return 0.5 * (logvar + r**2 * iv).sum(), backward


@right("N D, N D")
def log_cosh(p, t):
    """Log-cosh, without overflow."""
    d = p - t
    a = np.abs(d)
    loss = np.mean(a + np.log1p(np.exp(-2 * a)) - np.log(2))
    return loss, lambda g: (g * np.tanh(d) / d.size, -g * np.tanh(d) / d.size)


@right("N D, int N")
def soft_dice(z, y, smooth=1.0):
    """Dice of sigmoids against one-hot labels."""
    p = sigmoid(z)
    t = (np.arange(z.shape[1])[None, :] == y[:, None]).astype(np.float64)
    top = 2 * (p * t).sum() + smooth
    bottom = p.sum() + t.sum() + smooth

    def backward(g):
        dp = -(2 * t * bottom - top) / bottom**2
        return g * dp * p * (1 - p)

    return 1 - top / bottom, backward


@right(given=lambda rng: (rng.uniform(0, 1, (3, 6)), rng.uniform(0, 1, (3, 6))))
def tversky(p, t, alpha=0.3, beta=0.7):
    """Tversky index, with gradients of both."""
    tp = np.vdot(p, t)
    den = tp + alpha * np.vdot(p, 1 - t) + beta * np.vdot(1 - p, t) + 1e-6
    k = 1 - alpha - beta

    def backward(g):
        dp = t / den - tp / den**2 * (k * t + alpha)
        dt = p / den - tp / den**2 * (k * p + beta)
        return -g * dp, -g * dt

    return 1 - tp / den, backward


@right("N D, N D")
def pinball(pred, y, q=0.9):
    """Quantile loss."""
    e = y - pred
    slope = np.where(e > 0, q, np.where(e < 0, q - 1, 0.0))
    return np.maximum(q * e, (q - 1) * e).sum(), lambda g: (-g * slope, g * slope)


@right("N D, N D")
def charbonnier(x, y, eps=1e-3):
    """A root that is almost |x - y|."""
    r = np.hypot(x - y, eps)

    def backward(dy):
        d = dy * (x - y) / r
        return d, -d

    return r, backward


@right("N D, N D")
def info_nce(a, b, tau=0.5):
    """Contrastive loss of a batch against itself."""
    s = a @ b.T / tau
    lp = s - logsumexp(s, axis=1)

    def backward(g):
        ds = g * (np.exp(lp) - np.eye(len(a))) / (len(a) * tau)
        return ds @ b, ds.T @ a

    return -np.trace(lp) / len(a), backward


@right("N C H W")
def total_variation(x):
    """Sum of absolute differences between neighbours."""
    dh, dw = np.diff(x, axis=2), np.diff(x, axis=3)

    def backward(g):
        dx = np.zeros(x.shape)
        dx[:, :, 1:] += np.sign(dh)
        dx[:, :, :-1] -= np.sign(dh)
        dx[..., 1:] += np.sign(dw)
        dx[..., :-1] -= np.sign(dw)
        return g * dx

    return np.abs(dh).sum() + np.abs(dw).sum(), backward


right(given=lambda rng: (np.ones((1, 2, 3, 4)),), title="total_variation of a flat image")(
    total_variation
)


@right("N C, int N")
def brier(z, y):
    """Squared distance between softmax and one-hot."""
    p = np.exp(z - logsumexp(z))
    e = p - np.eye(z.shape[1])[y]

    def backward(g):
        dp = 2 * g * e
        return p * (dp - (dp * p).sum(1, keepdims=True))

    return (e**2).sum(), backward


@right("N D, K D, int N")
def centre_loss(x, centres, y):
    """Distance to the centre of the own class."""
    y = y % len(centres)
    d = x - centres[y]

    def backward(g):
        dc = np.zeros(centres.shape)
        np.add.at(dc, y, -g * d)
        return g * d, dc

    return 0.5 * (d**2).sum(), backward


@right("N, N, int N")
def margin_ranking(a, b, y):
    """One score should be above the other by a margin."""
    t = np.where(y % 2 == 0, 1.0, -1.0)
    v = 0.1 - t * (a - b)

    def backward(dy):
        da = -dy * t * (v > 0)
        return da, dy * t * (v > 0)

    return np.maximum(v, 0), backward
