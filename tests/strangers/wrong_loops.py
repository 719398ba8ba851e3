"""Wrong operations: recurrences, iterations, polynomials and work done block by block."""

import numpy as np

from . import wrong


def _sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def _rnn(x, U, V):
    h = [np.zeros(V.shape[0])]
    for row in x:
        h.append(np.tanh(row @ U + h[-1] @ V))
    return np.array(h)


def _small_rnn(rng):
    return rng.normal(size=(6, 3)), 0.5 * rng.normal(size=(3, 4)), 0.5 * rng.normal(size=(4, 4))


@wrong(
    given=_small_rnn,
    mistake="dU holds the step handled last only, for it is assigned in place of added up",
    grads="dU",
)
def rnn_overwritten(x, U, V):
    h = _rnn(x, U, V)

    def backward(dy):
        dx, dV = np.zeros_like(x), np.zeros_like(V)
        carry = np.zeros(len(V))
        for t in reversed(range(len(x))):
            da = (dy[t] + carry) * (1 - h[t + 1] ** 2)
            dx[t] = U @ da
            dU = np.outer(x[t], da)
            dV += np.outer(h[t], da)
            carry = V @ da
        return dx, dU, dV

    return h[1:].copy(), backward


@wrong(
    given=_small_rnn,
    mistake="no gradient is carried from a step to the one before it",
    grads="dx dU dV",
)
def rnn_without_carry(x, U, V):
    h = _rnn(x, U, V)

    def backward(dy):
        da = dy * (1 - h[1:] ** 2)
        return da @ U.T, x.T @ da, h[:-1].T @ da

    return h[1:].copy(), backward


@wrong(
    given=_small_rnn,
    mistake="the carried gradient goes through V in place of its transpose",
    grads="dx dU dV",
)
def rnn_carry_not_transposed(x, U, V):
    h = _rnn(x, U, V)

    def backward(dy):
        das = np.zeros_like(dy)
        carry = 0
        for t in reversed(range(len(x))):
            das[t] = (dy[t] + carry) * (1 - h[t + 1] ** 2)
            carry = das[t] @ V
        return das @ U.T, x.T @ das, h[:-1].T @ das

    return h[1:].copy(), backward


@wrong(
    given=_small_rnn,
    mistake="only the output of the last step gives a gradient, though all steps are put out",
    grads="dx dU dV",
    says="any.part-of-dy",
)
def rnn_last_step_only(x, U, V):
    h = _rnn(x, U, V)

    def backward(dy):
        das = np.zeros_like(dy)
        g = dy[-1]
        for t in reversed(range(len(x))):
            das[t] = g * (1 - h[t + 1] ** 2)
            g = V @ das[t]
        return das @ U.T, x.T @ das, h[:-1].T @ das

    return h[1:].copy(), backward


@wrong(
    given=lambda rng: (rng.normal(size=(7, 3)),),
    mistake="the gradient is cut after three steps back in time",
    grads="dx",
)
def truncated_memory(x):
    h = np.zeros_like(x)
    prev = 0
    for t, row in enumerate(x):
        prev = h[t] = row + 0.8 * prev

    def backward(dy):
        dx = np.zeros_like(x)
        for t in range(len(x)):
            for back in range(min(t, 3) + 1):
                dx[t - back] += 0.8**back * dy[t]
        return dx

    return h, backward


@wrong(
    "T D, D",
    mistake="da uses the state after the step in place of the state before it",
    grads="da",
)
def forget_gate_recurrence(x, a):
    """h[t] = sigmoid(a) h[t-1] + x[t]."""
    s = _sigmoid(a)
    h = np.zeros((len(x) + 1, len(a)))
    for t in range(len(x)):
        h[t + 1] = s * h[t] + x[t]

    def backward(dy):
        dx, ds = np.zeros_like(x), np.zeros_like(a)
        g = np.zeros_like(a)
        for t in range(len(x) - 1, -1, -1):
            g = dy[t] + s * g
            dx[t] = g
            ds += g * h[t + 1]
        return dx, ds * s * (1 - s)

    return h[1:].copy(), backward


@wrong(
    given=lambda rng: tuple(rng.normal(size=(5, 3)) for _ in range(3)),
    mistake="the cell's gradient is carried back without the forget gate",
    grads="df di dg",
)
def memory_cell(f, i, g):
    F, In, G = _sigmoid(f), _sigmoid(i), np.tanh(g)
    c = np.zeros((len(f) + 1, f.shape[1]))
    for t in range(len(f)):
        c[t + 1] = F[t] * c[t] + In[t] * G[t]

    def backward(dy):
        dc = dy[::-1].cumsum(axis=0)[::-1]
        df = dc * c[:-1] * F * (1 - F)
        return df, dc * G * In * (1 - In), dc * In * (1 - G**2)

    return c[1:].copy(), backward


@wrong(
    given=lambda rng: (rng.normal(size=(5, 3)), rng.normal(size=(5, 3))),
    mistake="the part -h of the update gate's gradient is missing",
    grads="dz",
)
def gated_update(z, u):
    """Move h towards u, h = (1 - s) h + s u with s = sigmoid(z)."""
    s = _sigmoid(z)
    hs = [np.zeros(z.shape[1])]
    for t in range(len(z)):
        hs.append((1 - s[t]) * hs[t] + s[t] * u[t])

    def backward(dy):
        dz, du = np.zeros_like(z), np.zeros_like(u)
        g = 0
        for t in reversed(range(len(z))):
            g = g + dy[t]
            du[t] = g * s[t]
            dz[t] = g * u[t] * s[t] * (1 - s[t])
            g = g * (1 - s[t])
        return dz, du

    return np.array(hs[1:]), backward


@wrong(
    "N T",
    mistake="the backward runs from the end as the forward does, in place of from the start",
    grads="dr",
    says="any.not-transposed",
)
def discounted_returns(r):
    def from_end(z):
        out, acc = np.zeros_like(z), 0
        for t in range(z.shape[1] - 1, -1, -1):
            acc = z[:, t] + 0.9 * acc
            out[:, t] = acc
        return out

    return from_end(r), from_end


@wrong(
    given=lambda rng: (rng.normal(size=(8, 2)),),
    mistake="the lag of two steps is off by one in the backward",
    grads="dx",
)
def lagged_feedback(x):
    """h[t] = x[t] + sin(h[t - 2])."""
    h = np.zeros_like(x)
    for t in range(len(x)):
        h[t] = x[t] + (np.sin(h[t - 2]) if t >= 2 else 0)

    def backward(dy):
        g = dy.copy()
        for t in range(len(x) - 1, 1, -1):
            g[t - 1] += g[t] * np.cos(h[t - 2])
        return g

    return h, backward


@wrong("N D", mistake="the + 1 in the derivative 3 z^2 + 1 of z^3 + z is missing", grads="dx")
def cubic_root_by_newton(x):
    """Solve z^3 + z = x."""
    z = np.cbrt(x) * (np.abs(x) > 1) + x * (np.abs(x) <= 1)
    for _ in range(40):
        z = z - (z**3 + z - x) / (3 * z**2 + 1)
    return z, lambda dy: dy / (3 * z**2 + 1e-12)


@wrong(
    "N D",
    mistake="only the last fixed-point step is differentiated, 1/(1 - g'(z)) is missing",
    grads="dx",
    says="any.derivative-missing",
)
def fixed_point(x):
    """Solve z = x + sin(z) / 2."""
    z = x.copy()
    for _ in range(70):
        z = x + 0.5 * np.sin(z)
    return z, lambda dy: dy.copy()


@wrong(
    "N, N",
    mistake="the implicit gradient for the eccentricity forgets 1/(1 - e cos E)",
    grads="dk",
)
def kepler(M, k):
    """Solve E = M + e sin E with e = sigmoid(k) / 2."""
    s = _sigmoid(k)
    e = 0.5 * s
    E = M.copy()
    for _ in range(70):
        E = M + e * np.sin(E)

    def backward(dE):
        dM = dE / (1 - e * np.cos(E))
        de = dE * np.sin(E)
        return dM, de * 0.5 * s * (1 - s)

    return E, backward


@wrong(
    given=lambda rng: (np.exp(rng.normal(size=5)),),
    mistake="the path from r to the next r through the division a / r is forgotten",
    grads="da",
)
def babylonian_root(a):
    r = [np.ones_like(a)]
    for _ in range(6):
        r.append(0.5 * (r[-1] + a / r[-1]))

    def backward(dy):
        da, g = np.zeros_like(a), dy.copy()
        for k in range(5, -1, -1):
            da += 0.5 * g / r[k]
            g = 0.5 * g
        return da

    return r[-1], backward


@wrong(
    given=lambda rng: (rng.normal(size=6), rng.normal(size=4)),
    mistake="the gradients of the coefficients come in reversed order",
    grads="dc",
    says="any.flipped",
)
def horner(x, c):
    """c[0] + c[1] x + c[2] x^2 + ..."""
    y, slope = np.zeros_like(x), np.zeros_like(x)
    for ck in c[::-1]:
        slope = slope * x + y
        y = y * x + ck

    def backward(dy):
        dc = np.array([np.sum(dy * x ** (len(c) - 1 - k)) for k in range(len(c))])
        return dy * slope, dc

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=6), rng.normal(size=5)),
    mistake="the factor k in the derivative k c[k] x^(k-1) is missing",
    grads="dx",
)
def power_series(x, c):
    powers = np.vander(x, len(c), increasing=True)

    def backward(dy):
        return dy * (powers[:, :-1] @ c[1:]), powers.T @ dy

    return powers @ c, backward


@wrong(
    "N D",
    mistake="from the seventh row on each row is multiplied with the row six before it",
    grads="dx",
)
def squares_in_blocks_of_six(x):
    def backward(dy):
        dx = np.empty_like(x)
        for start in range(0, len(x), 6):
            block = dy[start : start + 6]
            dx[start : start + 6] = 2 * block * x[: len(block)]
        return dx

    return x**2, backward


@wrong(
    given=lambda rng: (rng.normal(size=(10, 3)),),
    mistake="the last, incomplete block of rows gets no gradient",
    grads="dx",
    says="any.entries-left-out",
)
def incomplete_block(x):
    y = np.concatenate([np.sin(x[i : i + 4]) for i in range(0, len(x), 4)])

    def backward(dy):
        dx = np.zeros_like(x)
        for b in range(len(x) // 4):
            rows = slice(4 * b, 4 * b + 4)
            dx[rows] = dy[rows] * np.cos(x[rows])
        return dx

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(9, 3)), rng.normal(size=(3, 2))),
    mistake="dw of each chunk of 4 rows replaces that of the chunk before",
    grads="dw",
    says="any.one-use",
)
def chunked_dense(x, w):
    def backward(dy):
        dx = np.zeros_like(x)
        dw = np.zeros_like(w)
        for i in range(0, len(x), 4):
            dx[i : i + 4] = dy[i : i + 4] @ w.T
            dw[:] = x[i : i + 4].T @ dy[i : i + 4]
        return dx, dw

    return x @ w, backward


@wrong(
    given=lambda rng: (rng.normal(size=(9, 3)), rng.normal(size=(3, 2))),
    mistake="the last chunk of rows, which is not full, is dropped from dw",
    grads="dw",
    says="any.dy-left-out",
)
def microbatches(x, w):
    size = 4

    def backward(dy):
        full = len(x) // size
        xs = x[: full * size].reshape(full, size, -1)
        gs = dy[: full * size].reshape(full, size, -1)
        return dy @ w.T, np.einsum("kni,kno->io", xs, gs)

    return x @ w, backward


@wrong(
    given=lambda rng: (rng.normal(size=(2, 10)),),
    mistake="each block's weights are normalised within the block, not over the whole row",
    grads="dx",
)
def blockwise_log_sum_exp(x):
    y = np.full(len(x), -np.inf)
    for i in range(0, x.shape[1], 4):
        y = np.logaddexp(y, np.logaddexp.reduce(x[:, i : i + 4], axis=1))

    def backward(dy):
        dx = np.empty_like(x)
        for i in range(0, x.shape[1], 4):
            e = np.exp(x[:, i : i + 4] - x[:, i : i + 4].max(axis=1, keepdims=True))
            dx[:, i : i + 4] = dy[:, None] * e / e.sum(axis=1, keepdims=True)
        return dx

    return y, backward


@wrong(
    "N I, I O",
    mistake="blocks of 3 columns start at multiples of 4, so every fourth column of dw stays zero",
    grads="dw",
    says="any.entries-left-out",
)
def column_blocks(x, w):
    def backward(dy):
        dw = np.zeros_like(w)
        for j in range(0, w.shape[1], 4):
            dw[:, j : j + 3] = x.T @ dy[:, j : j + 3]
        return dy @ w.T, dw

    return x @ w, backward


@wrong(
    "N D",
    mistake="the derivative is taken at the final state in place of that of each step",
    grads="dx",
)
def euler_steps(x):
    h, steps = 0.2, 5
    z = x.copy()
    for _ in range(steps):
        z = z + h * np.sin(z)
    return z, lambda dy: dy * (1 + h * np.cos(z)) ** steps


@wrong(
    "N D",
    mistake="one Euler step too few is gone back",
    grads="dx",
)
def gradient_flow(x):
    path = [x]
    for _ in range(4):
        path.append(path[-1] - 0.3 * np.tanh(path[-1]))

    def backward(dy):
        g = dy.copy()
        for z in path[-2:0:-1]:
            g *= 1 - 0.3 * (1 - np.tanh(z) ** 2)
        return g

    return path[-1], backward


@wrong(
    given=lambda rng: (rng.normal(size=(4, 5)),),
    mistake="each factor gets the product of the factors before it, not of all others",
    grads="dx",
)
def row_product(x):
    def backward(dy):
        dx = np.empty_like(x)
        for j in range(x.shape[1]):
            dx[:, j] = dy * x[:, :j].prod(axis=1)
        return dx

    return x.prod(axis=1), backward


@wrong(
    given=lambda rng: (rng.normal(size=(4, 5)),),
    mistake="of each pair i < j only the first element gets a gradient",
    grads="dx",
)
def pair_sum(x):
    d = x.shape[1]
    y = np.zeros(len(x))
    for i in range(d):
        for j in range(i + 1, d):
            y += x[:, i] * x[:, j]

    def backward(dy):
        dx = np.zeros_like(x)
        for i in range(d):
            for j in range(i + 1, d):
                dx[:, i] += dy * x[:, j]
        return dx

    return y, backward
