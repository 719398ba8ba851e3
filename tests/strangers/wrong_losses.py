"""Wrong backwards of losses, with and without reduction."""

import numpy as np

from . import wrong


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def one_hot(labels, K):
    return np.eye(K)[labels]


PAIR = "N D, N D"


@wrong(PAIR, mistake="The factor 2 of the square is missing.", grads="dp dt", says="mse.factor")
def mse_without_two(p, t):
    r = p - t
    return np.mean(r**2), lambda dy: (dy * r / r.size, -dy * r / r.size)


@wrong(
    PAIR,
    mistake="The mean's factor is 1/N in place of 1/(N*D).",
    grads="dp dt",
    says="any.factor-too-large",
)
def mse_divided_by_batch_only(p, t):
    def backward(dy):
        d = 2 * dy * (p - t) / len(p)
        return d, -d

    return ((p - t) ** 2).mean(), backward


@wrong(
    PAIR,
    mistake="The loss is a mean, the gradient that of a sum.",
    grads="dp dt",
    says="any.factor-too-large",
)
def mse_gradient_of_sum(p, t):
    diff = p - t
    return np.square(diff).mean(), lambda dy: (dy * 2 * diff, dy * -2 * diff)


@wrong(
    PAIR, mistake="The gradient of the target lacks its minus sign.", grads="dt", says="any.sign"
)
def mse_target_without_minus(p, t):
    def backward(dy):
        d = 2 * (p - t) * dy / p.size
        return d, d.copy()

    return np.mean((p - t) ** 2), backward


@wrong(
    PAIR,
    mistake="The upstream gradient is ignored, as if it were 1.",
    grads="dp dt",
    says="any.dy-ignored",
)
def mse_ignoring_upstream(p, t):
    def backward(dy):
        d = 2 * (p - t) / p.size
        return d, -d

    return np.mean((p - t) ** 2), backward


@wrong(
    PAIR,
    mistake="Per-sample upstream gradients are replaced by their mean.",
    grads="dp dt",
    says="any.dy-mixed",
)
def mse_per_sample_mean_upstream(p, t):
    def backward(dy):
        d = 2 * (p - t) * np.mean(dy) / p.shape[1]
        return d, -d

    return np.mean((p - t) ** 2, axis=1), backward


@wrong(PAIR, mistake="The division by the root is missing.", grads="dp dt", says="any.factor-value")
def rmse_without_root_rule(p, t):
    def backward(dy):
        d = dy * (p - t) / p.size
        return d, -d

    return np.sqrt(np.mean((p - t) ** 2) + 1e-12), backward


@wrong(
    PAIR, mistake="The signs of both gradients are swapped.", grads="dp dt", says="any.wrong-order"
)
def mae_sign_flipped(p, t):
    s = np.sign(p - t)
    return np.abs(p - t).mean(), lambda dy: (-dy * s / s.size, dy * s / s.size)


@wrong(
    PAIR,
    mistake="The quadratic rule is used beyond delta too.",
    grads="dp dt",
    says="huber.quadratic",
)
def huber_quadratic_everywhere(p, t):
    r, delta = p - t, 0.5
    a = np.abs(r)
    loss = np.where(a <= delta, 0.5 * r**2, delta * (a - 0.5 * delta)).mean()
    return loss, lambda dy: (dy * r / r.size, -dy * r / r.size)


@wrong(
    PAIR,
    mistake="The linear part lacks the factor delta.",
    grads="dp dt",
    says="huber.delta-missing",
)
def huber_linear_part_without_delta(p, t):
    delta = 0.5
    r = p - t
    small = np.abs(r) <= delta

    def backward(dy):
        d = dy * np.where(small, r, np.sign(r)) / r.size
        return d, -d

    return np.where(small, 0.5 * r**2, delta * np.abs(r) - 0.5 * delta**2).mean(), backward


@wrong(PAIR, mistake="The quadratic part is not divided by beta.", grads="dp dt")
def smooth_l1_without_beta(p, t):
    beta = 0.4
    r = p - t
    a = np.abs(r)

    def backward(dy):
        d = dy[:, None] * np.where(a < beta, r, np.sign(r))
        return d, -d

    return np.where(a < beta, 0.5 * r * r / beta, a - 0.5 * beta).sum(1), backward


@wrong(PAIR, mistake="The derivative is the sign, though log-cosh has tanh.", grads="dp dt")
def log_cosh_with_sign(p, t):
    r = p - t

    def backward(dy):
        d = dy * np.sign(r) / r.size
        return d, -d

    return (np.logaddexp(r, -r) - np.log(2)).mean(), backward


@wrong(PAIR, mistake="The weights tau and 1 - tau of the two sides are swapped.", grads="dp dt")
def pinball_sides_swapped(p, t, tau=0.9):
    r = t - p

    def backward(dy):
        dr = dy * np.where(r > 0, 1 - tau, -tau)
        return -dr, dr

    return np.maximum(tau * r, (tau - 1) * r).sum(), backward


@wrong("N, N", mistake="The hinge's gradient has the wrong sign.", grads="ds", says="any.sign")
def hinge_sign(s, t):
    sign = np.where(np.arange(len(s)) % 2, 1.0, -1.0)
    m = 1 - sign * s + t**2

    def backward(dy):
        open_ = m > 0
        return dy * sign * open_ / len(s), dy * 2 * t * open_ / len(s)

    return np.maximum(m, 0).mean(), backward


@wrong("N K, int N", mistake="The right class's gradient is -1, not minus the count.", grads="ds")
def multiclass_hinge_without_count(s, y):
    rows = np.arange(len(y))
    margin = np.maximum(s - s[rows, y][:, None] + 1, 0)
    margin[rows, y] = 0
    mask = (margin > 0).astype(float)

    def backward(dy):
        d = mask.copy()
        d[rows, y] = -1
        return dy * d / len(y)

    return margin.sum() / len(y), backward


@wrong(
    "N K, int N",
    mistake="The right class gets no gradient at all.",
    grads="ds",
    says="any.entries-left-out",
)
def multiclass_hinge_right_class_forgotten(s, y):
    rows = np.arange(len(y))
    m = np.maximum(s - s[rows, y][:, None] + 1, 0)
    m[rows, y] = 0
    return m.sum(1), lambda dy: (m > 0) * dy[:, None]


@wrong(
    PAIR,
    mistake="The sigmoid's derivative is multiplied in a second time.",
    grads="dz",
    says="bce-logits.derivative-too",
)
def bce_with_logits_derivative_twice(z, t):
    s = sigmoid(z)

    def backward(dy):
        return dy * (s - t) * s * (1 - s) / z.size, -dy * z / z.size

    return (np.logaddexp(0, z) - t * z).mean(), backward


@wrong(
    PAIR,
    mistake="Logit and target are taken for a probability: z - t.",
    grads="dz",
    says="bce-logits.sigmoid-missing",
)
def bce_with_logits_without_sigmoid(z, t):
    def backward(dy):
        return dy * (z - t), -dy * z

    return np.sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))), backward


@wrong("N, int N", mistake="The weight of the positive class is missing.", grads="dz")
def weighted_bce_without_weight(z, y):
    t = (y > 0).astype(float)
    loss = 3 * t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z)
    return loss.sum(), lambda dy: dy * (sigmoid(z) - t)


@wrong(
    given=lambda rng: (rng.uniform(0.1, 0.9, (4, 3)), rng.integers(0, 2, (4, 3))),
    mistake="The part of the negative labels has a minus where a plus belongs.",
    grads="dp",
    says="bce.inner-sign",
)
def bce_of_probabilities_sign(p, y):
    loss = -np.where(y == 1, np.log(p), np.log(1 - p)).mean()
    return loss, lambda dy: -dy * np.where(y == 1, 1 / p, 1 / (1 - p)) / p.size


@wrong(
    "N K, int N",
    mistake="The gradient is not divided by the batch size.",
    grads="dz",
    says="any.factor-too-large",
)
def cross_entropy_not_averaged(z, y):
    lp = log_softmax(z)
    loss = -lp[np.arange(len(y)), y].mean()
    return loss, lambda dy: dy * (np.exp(lp) - one_hot(y, z.shape[1]))


@wrong(
    "N K, int N",
    mistake="The 1 is not subtracted at the label.",
    grads="dz",
    says="softmax-cross-entropy.one-hot-missing",
)
def cross_entropy_without_label(z, y):
    lp = log_softmax(z)
    return -np.mean(lp[np.arange(len(y)), y]), lambda dy: dy * np.exp(lp) / len(y)


@wrong(
    "N K, int N",
    mistake="The gradient is labels minus probabilities: wrong sign.",
    grads="dz",
    says="any.sign",
)
def cross_entropy_sign(z, y):
    lp = log_softmax(z)

    def backward(dy):
        d = -np.exp(lp)
        for i, k in enumerate(y):
            d[i, k] += 1
        return dy * d / len(y)

    return sum(-lp[i, k] for i, k in enumerate(y)) / len(y), backward


@wrong(
    "N K, int N",
    mistake="The softmax in backward is taken over the batch.",
    grads="dz",
    says="softmax-cross-entropy.wrong-axis",
)
def cross_entropy_softmax_over_batch(z, y):
    lp = log_softmax(z)

    def backward(dy):
        e = np.exp(z - z.max(0))
        d = e / e.sum(0)
        d[np.arange(len(y)), y] -= 1
        return dy * d / len(y)

    return -lp[np.arange(len(y)), y].mean(), backward


@wrong(
    "N K, int N",
    mistake="The gradient is that of the hard label, not the smooth.",
    grads="dz",
    says="cross-entropy.smoothing-missing",
)
def label_smoothing_with_hard_gradient(z, y):
    K, eps = z.shape[1], 0.2
    lp = log_softmax(z)
    q = (1 - eps) * one_hot(y, K) + eps / K
    return -(q * lp).sum(1), lambda dy: dy[:, None] * (np.exp(lp) - one_hot(y, K))


@wrong(
    "N K, int N",
    mistake="The derivative of the focusing factor is missing.",
    grads="dz",
    says="any.factor-per-axis",
)
def focal_loss_constant_factor(z, y):
    lp = log_softmax(z)
    rows = np.arange(len(y))
    f = (1 - np.exp(lp[rows, y])) ** 2

    def backward(dy):
        return dy * f[:, None] * (np.exp(lp) - one_hot(y, z.shape[1])) / len(y)

    return -(f * lp[rows, y]).mean(), backward


@wrong(
    "N K, int N, K",
    mistake="The class weights are missing in dz.",
    grads="dz",
    says="any.factor-per-axis",
)
def weighted_cross_entropy_without_weights(z, y, w):
    lp = log_softmax(z)
    picked = -lp[np.arange(len(y)), y]
    oh = one_hot(y, len(w))

    def backward(dy):
        return dy * (np.exp(lp) - oh), dy * (picked @ oh)

    return (w[y] * picked).sum(), backward


@wrong("N K, N K", mistake="da is p - q, which is right for the other direction.", grads="da")
def kl_gradient_of_other_direction(a, b):
    la, lb = log_softmax(a), log_softmax(b)
    p, q = np.exp(la), np.exp(lb)
    return (p * (la - lb)).sum(), lambda dy: (dy * (p - q), dy * (q - p))


@wrong(
    "N K, N K",
    mistake="The gradient of the soft targets' logits is missing: zeros.",
    grads="da",
    says="any.zero",
)
def kl_teacher_detached(a, b):
    la, lb = log_softmax(a), log_softmax(b)
    p = np.exp(la)
    kl = (p * (la - lb)).sum() / len(a)
    return kl, lambda dy: (np.zeros_like(a), dy * (np.exp(lb) - p) / len(a))


@wrong(
    "N K, int N", mistake="The temperature's factor 1/T is missing.", grads="dz", says="any.factor"
)
def cross_entropy_with_temperature_factor_lost(z, y, T=2.5):
    lp = log_softmax(z / T)
    loss = -lp[np.arange(len(y)), y].sum()
    return loss, lambda dy: dy * (np.exp(lp) - one_hot(y, z.shape[1]))


def norm_rows(x):
    return np.sqrt((x**2).sum(1, keepdims=True) + 1e-12)


@wrong(
    PAIR,
    mistake="The change of a's norm is missing in da.",
    grads="da",
    says="cosine-similarity.norms-constant",
)
def cosine_loss_without_projection(a, b):
    na, nb = norm_rows(a), norm_rows(b)
    u, v = a / na, b / nb
    c = (u * v).sum(1, keepdims=True)

    def backward(dy):
        d = -dy[:, None]
        return d * v / na, d * (u - c * v) / nb

    return 1 - c[:, 0], backward


@wrong(PAIR, mistake="The gradients of a and b are swapped.", grads="da db", says="any.wrong-order")
def cosine_loss_inputs_swapped(a, b):
    na, nb = norm_rows(a), norm_rows(b)
    u, v = a / na, b / nb
    c = (u * v).sum(1, keepdims=True)

    def backward(dy):
        da = (v - c * u) / na
        db = (u - c * v) / nb
        return -dy * db, -dy * da

    return np.sum(1 - c), backward


TRIPLET = "N D, N D, N D"


def triplet_parts(a, p, n):
    dp, dn = ((a - p) ** 2).sum(1), ((a - n) ** 2).sum(1)
    m = np.maximum(dp - dn + 1, 0)
    return m, (m > 0)[:, None]


@wrong(TRIPLET, mistake="The anchor's gradient lacks the part of the negative.", grads="da")
def triplet_anchor_without_negative(a, p, n):
    m, on = triplet_parts(a, p, n)

    def backward(dy):
        d = 2 * dy * on
        return d * (a - p), d * (p - a), d * (a - n)

    return m.sum(), backward


@wrong(
    TRIPLET,
    mistake="The mask of the triplets without loss is missing.",
    grads="da dp dn",
    says="any.mask-missing",
)
def triplet_without_mask(a, p, n):
    m, _ = triplet_parts(a, p, n)

    def backward(dy):
        d = 2 * dy[:, None]
        return d * (n - p), d * (p - a), d * (a - n)

    return m, backward


@wrong(
    TRIPLET, mistake="The negative's gradient has the positive's sign.", grads="dn", says="any.sign"
)
def triplet_negative_sign(a, p, n):
    m, on = triplet_parts(a, p, n)

    def backward(dy):
        w = 2 * dy * on / len(a)
        return w * (n - p), w * (p - a), w * (n - a)

    return m.mean(), backward


@wrong(PAIR, mistake="The loss over columns is missing in the gradients.", grads="da db")
def clip_loss_one_direction(a, b):
    s = a @ b.T
    rows, cols = log_softmax(s), log_softmax(s.T)

    def backward(dy):
        ds = dy * (np.exp(rows) - np.eye(len(s))) / len(s)
        return ds @ b, ds.T @ a

    return -(np.trace(rows) + np.trace(cols)) / len(s), backward


@wrong(PAIR, mistake="db is computed with ds where its transpose belongs.", grads="db")
def info_nce_not_transposed(a, b):
    s = a @ b.T
    lp = log_softmax(s)

    def backward(dy):
        ds = dy * (np.exp(lp) - np.eye(len(s)))
        return ds @ b, ds @ a

    return -np.trace(lp), backward


@wrong(PAIR, mistake="The term of the target, -t/rate, is missing in dz.", grads="dz")
def poisson_loss_without_target(z, t):
    def rate(u):
        return np.logaddexp(0, u)

    def backward(dy):
        r = rate(z) + 0.1
        return dy * sigmoid(z), -dy * np.log(r)

    r = rate(z) + 0.1
    return (r - t * np.log(r)).sum(), backward


@wrong(PAIR, mistake="The quotient rule's second term is missing in dz.", grads="dz")
def dice_without_quotient_rule(z, t):
    p = sigmoid(z)
    num, den = 2 * (p * t).sum(), p.sum() + (t**2).sum() + 1

    def backward(dy):
        dt = -dy * (2 * p / den - num * 2 * t / den**2)
        return -dy * 2 * t / den * p * (1 - p), dt

    return 1 - num / den, backward


@wrong("N D, N D, N D", mistake="The constant part 1/2 of the log variance is lost.", grads="dv")
def gaussian_nll_without_half(mu, v, t):
    s = 3 * np.tanh(v)
    r = t - mu
    e = np.exp(-s)

    def backward(dy):
        ds = -0.5 * r**2 * e
        dm = -r * e
        return dy * dm, dy * ds * 3 * (1 - np.tanh(v) ** 2), -dy * dm

    return 0.5 * np.sum(s + r**2 * e), backward


@wrong(
    "N, N",
    mistake="The lower score gets no gradient: only the first is counted.",
    grads="db",
    says="any.zero",
)
def ranking_loss_second_score_forgotten(a, b):
    d = a - b
    return np.logaddexp(0, -d).mean(), lambda dy: (
        -dy * sigmoid(-d) / d.size,
        np.zeros_like(b),
    )


@wrong(
    "D F", mistake="The factor 2 of the square is missing.", grads="dw", says="any.factor-too-small"
)
def weight_decay_without_two(w):
    return 0.01 * (w**2).sum(), lambda dy: dy * 0.01 * w


@wrong("H W", mistake="Only the right neighbours' part of the differences is counted.", grads="dx")
def smoothness_penalty_one_sided(x):
    d = np.diff(x, axis=1)

    def backward(dy):
        dx = np.zeros_like(x)
        dx[:, 1:] += 2 * d * dy
        return dx

    return (d**2).sum(), backward


@wrong("N K", mistake="The entropy's gradient is that for free p, without the softmax.", grads="dz")
def entropy_without_softmax_path(z):
    lp = log_softmax(z)
    return -(np.exp(lp) * lp).sum(), lambda dy: -dy * (lp + 1)


@wrong(
    PAIR, mistake="The gradient of p is returned for t too.", grads="dt", says="any.other-gradient"
)
def msle_target_like_prediction(p, t):
    u, v = np.arcsinh(p), np.arcsinh(t)

    def backward(dy):
        dp = 2 * dy * (u - v) / np.sqrt(1 + p**2)
        return dp, dp.copy()

    return ((u - v) ** 2).sum(), backward
