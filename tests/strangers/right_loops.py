"""Right operations with loops: recurrences, solvers with implicit derivatives, scans."""

import numpy as np

from . import right


def rnn_arguments(rng):
    """Weights that neither explode nor vanish."""
    x, wx, wh = (rng.standard_normal(s) for s in [(3, 5, 4), (4, 6), (6, 6)])
    return x, 0.5 * wx, wh / np.sqrt(6), 0.1 * rng.standard_normal(6)


@right(given=rnn_arguments)
def elman_rnn(x, Wx, Wh, b):
    """All hidden states, and back-propagation through time."""
    N, T, _ = x.shape
    hs = [np.zeros((N, len(b)))]
    for t in range(T):
        hs.append(np.tanh(x[:, t] @ Wx + hs[-1] @ Wh + b))

    def backward(dh):
        dx, dWx, dWh, db = (np.zeros_like(a) for a in (x, Wx, Wh, b))
        carry = 0
        for t in reversed(range(T)):
            da = (dh[:, t] + carry) * (1 - hs[t + 1] ** 2)
            dx[:, t] = da @ Wx.T
            dWx += x[:, t].T @ da
            dWh += hs[t].T @ da
            db += da.sum(0)
            carry = da @ Wh.T
        return dx, dWx, dWh, db

    return np.stack(hs[1:], axis=1), backward


@right("N T D, D")
def learned_ema(x, theta):
    """h[t] = a h[t-1] + (1 - a) x[t] with a = sigmoid(theta)."""
    a = 1 / (1 + np.exp(-theta))
    h = np.zeros_like(x)
    prev = np.zeros_like(x[:, 0])
    for t in range(x.shape[1]):
        prev = h[:, t] = a * prev + (1 - a) * x[:, t]

    def backward(dh):
        dx, da = np.zeros_like(x), np.zeros_like(a)
        g = np.zeros_like(x[:, 0])
        for t in range(x.shape[1] - 1, -1, -1):
            g = g + dh[:, t]
            dx[:, t] = g * (1 - a)
            before = h[:, t - 1] if t > 0 else 0.0
            da += np.sum(g * (before - x[:, t]), axis=0)
            g = g * a
        return dx, da * a * (1 - a)

    return h, backward


@right("N D")
def cubic_root_newton(x):
    """Solves y + y^3 = x; the derivative is that of the implicit function."""
    y = np.cbrt(x) * 0.7
    for _ in range(60):
        y = y - (y**3 + y - x) / (3 * y**2 + 1)
    return y, lambda dy: dy / (3 * y**2 + 1)


@right({"logits": ("N", 5)})
def balanced_shift(logits):
    """The shift with which sigmoids of each row sum to half of their number, by bisection."""
    half = logits.shape[1] / 2
    lo = -logits.max(axis=1) - 1
    hi = -logits.min(axis=1) + 1
    for _ in range(80):
        mid = (lo + hi) / 2
        too_high = (1 / (1 + np.exp(-(logits + mid[:, None])))).sum(1) > half
        hi, lo = np.where(too_high, mid, hi), np.where(too_high, lo, mid)
    shift = (lo + hi) / 2

    def backward(ds):
        p = 1 / (1 + np.exp(-(logits + shift[:, None])))
        slope = p * (1 - p)
        return -ds[:, None] * slope / slope.sum(1, keepdims=True)

    return shift, backward


@right(given=lambda rng: (rng.uniform(0, 6, (4, 3)), rng.uniform(0.1, 0.6, (4, 1))))
def kepler(M, e):
    """Kepler's equation E = M + e sin E by a fixed point."""
    E = M.copy()
    for _ in range(150):
        E = M + e * np.sin(E)

    def backward(dE):
        dM = dE / (1 - e * np.cos(E))
        return dM, (dM * np.sin(E)).sum(axis=1, keepdims=True)

    return E, backward


@right(given=lambda rng: (rng.uniform(0.1, 20.0, 9),))
def lambert_w(z):
    """Solves w exp(w) = z for positive z."""
    w = np.log1p(z)
    for _ in range(40):
        ew = np.exp(w)
        w -= (w * ew - z) / (ew * (1 + w))
    return w, lambda dw: dw / (np.exp(w) * (1 + w))


@right(given=lambda rng: (rng.standard_normal((2, 5)), 0.3 * rng.standard_normal((5, 5))))
def deep_equilibrium(x, W):
    """Iterates z = tanh(z W + x) / 2; backward solves one linear system for each sample."""
    z = np.zeros_like(x)
    for _ in range(200):
        z = 0.5 * np.tanh(z @ W + x)

    def backward(dz):
        slope = 0.5 * (1 - (2 * z) ** 2)
        dx = np.empty_like(x)
        for n in range(len(x)):
            # u = dz + W (slope * u)
            u = np.linalg.solve(np.eye(len(W)) - W * slope[n], dz[n])
            dx[n] = slope[n] * u
        return dx, z.T @ dx

    return z, backward


@right({"u0": ("N",), "rate": ("N",)})
def logistic_growth_euler(u0, rate, dt=0.1, steps=4):
    """Explicit Euler for u' = tanh(rate) u (1 - u / 10)."""
    r = np.tanh(rate)
    us = [u0]
    for _ in range(steps):
        us.append(us[-1] + dt * r * us[-1] * (1 - us[-1] / 10))

    def backward(du):
        dr = np.zeros_like(r)
        g = du.copy()
        for u in us[-2::-1]:
            dr += g * dt * u * (1 - u / 10)
            g *= 1 + dt * r * (1 - u / 5)
        return g, dr * (1 - r * r)

    return us[-1], backward


@right("N, N")
def pendulum_trajectory(angle, speed, dt=0.05, steps=12):
    """Symplectic Euler; all positions come out."""
    q, p, path = angle, speed, []
    seen = []
    for _ in range(steps):
        seen.append(q)
        p = p - dt * np.sin(q)
        q = q + dt * p
        path.append(q)

    def backward(dpath):
        gq = gp = 0.0
        for k in range(steps - 1, -1, -1):
            gq = gq + dpath[k]
            gp = gp + dt * gq
            gq = gq - dt * np.cos(seen[k]) * gp
        return gq, gp

    return np.array(path), backward


@right("N, K")
def horner(x, coefs):
    """A polynomial, highest power first."""
    acc, partial = np.zeros_like(x), []
    for c in coefs:
        partial.append(acc)
        acc = acc * x + c

    def backward(dy):
        dx, dcoefs = np.zeros_like(x), np.zeros_like(coefs)
        g = dy.copy()
        for i in reversed(range(len(coefs))):
            dcoefs[i] = g.sum()
            dx += g * partial[i]
            g = g * x
        return dx, dcoefs

    return acc, backward


@right("N T")
def log_cum_sum_exp(x):
    """np.logaddexp.accumulate and its scan from the end."""
    y = np.logaddexp.accumulate(x, axis=1)

    def backward(dy):
        dx = np.zeros(x.shape)
        for t in range(x.shape[1]):
            dx[:, : t + 1] += dy[:, t : t + 1] * np.exp(x[:, : t + 1] - y[:, t : t + 1])
        return dx

    return y, backward


@right("N C")
def softmax_by_jacobian(x):
    """Sample by sample with the whole matrix."""
    out = np.zeros_like(x)
    for i, row in enumerate(x):
        e = np.exp(row - row.max())
        out[i] = e / e.sum()

    def backward(dout):
        dx = np.zeros_like(x)
        for i, p in enumerate(out):
            J = np.diag(p) - np.outer(p, p)
            dx[i] = J @ dout[i]
        return dx

    return out, backward


@right("A B")
def sinkhorn(scores, rounds=3):
    """Rows and columns normalised in turn, in logarithms."""

    def lse(z, axis):
        m = z.max(axis, keepdims=True)
        return m + np.log(np.exp(z - m).sum(axis, keepdims=True))

    z, tape = scores, []
    for _ in range(rounds):
        for axis in (1, 0):
            z = z - lse(z, axis)
            tape.append((axis, np.exp(z)))
    plan = np.exp(z)

    def backward(dplan):
        g = dplan * plan
        for axis, p in tape[::-1]:
            g = g - p * g.sum(axis=axis, keepdims=True)
        return g

    return plan, backward


@right({"x": ("N", 5)})
def babylonian_root(x):
    """sqrt(1 + x^2) by steps that are undone one by one."""
    a = 1 + x * x
    s, olds = a, []
    for _ in range(7):
        olds.append(s)
        s = 0.5 * (s + a / s)

    def backward(ds):
        g, da = ds, 0.0
        for old in reversed(olds):
            da = da + 0.5 * g / old
            g = 0.5 * g * (1 - a / old**2)
        return (da + g) * 2 * x

    return s, backward


@right("N")
def tridiagonal_smoother(b):
    """Thomas' algorithm for a constant symmetric matrix with 3 on the diagonal and -1 beside."""

    def thomas(rhs):
        n = len(rhs)
        c, d = np.zeros(n), np.zeros(n)
        for i in range(n):
            pivot = 3.0 + (c[i - 1] if i else 0.0)
            c[i] = -1.0 / pivot
            d[i] = (rhs[i] + (d[i - 1] if i else 0.0)) / pivot
        for i in range(n - 2, -1, -1):
            d[i] -= c[i] * d[i + 1]
        return d

    return thomas(b), thomas


@right("T S, S S")
def hmm_log_likelihood(emission, transition):
    """The forward algorithm in logarithms."""
    T = emission.shape[0]
    alpha = [emission[0]]
    for t in range(1, T):
        m = alpha[-1][:, None] + transition
        top = m.max(axis=0)
        alpha.append(np.log(np.exp(m - top).sum(axis=0)) + top + emission[t])
    total = np.logaddexp.reduce(alpha[-1])

    def backward(dy):
        demission, dtransition = np.zeros_like(emission), np.zeros_like(transition)
        g = dy * np.exp(alpha[-1] - total)
        for t in range(T - 1, 0, -1):
            demission[t] = g
            m = alpha[t - 1][:, None] + transition
            share = np.exp(m - (alpha[t] - emission[t])) * g
            dtransition += share
            g = share.sum(axis=1)
        demission[0] = g
        return demission, dtransition

    return total, backward
