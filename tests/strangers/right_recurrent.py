"""Right recurrent cells and short sequences, as strangers write them."""

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def sig(a):
    """Logistic function by tanh."""
    return 0.5 + 0.5 * np.tanh(a / 2)


def rnn_step_forward(x, prev_h, Wx, Wh, b):
    """One step of a tanh RNN."""
    next_h = np.tanh(x.dot(Wx) + prev_h.dot(Wh) + b)
    return next_h, (x, prev_h, Wx, Wh, next_h)


def rnn_step_backward(dnext_h, cache):
    """Its backward."""
    x, prev_h, Wx, Wh, next_h = cache
    dz = dnext_h * (1 - next_h**2)
    return dz.dot(Wx.T), dz.dot(Wh.T), x.T.dot(dz), prev_h.T.dot(dz), dz.sum(axis=0)


right("N D, N H, D H, H H, H", title="rnn step")(from_cache(rnn_step_forward, rnn_step_backward))


def rnn_forward(x, h0, Wx, Wh, b):
    """All steps, with a list of caches."""
    h, hs, caches = h0, [], []
    for t in range(x.shape[1]):
        h, cache = rnn_step_forward(x[:, t], h, Wx, Wh, b)
        hs.append(h)
        caches.append(cache)
    return np.stack(hs, axis=1), caches


def rnn_backward(dhs, caches):
    """All steps back, from the last."""
    N, T, H = dhs.shape
    D = caches[0][0].shape[1]
    dx, dh = np.zeros((N, T, D)), np.zeros((N, H))
    dWx, dWh, db = np.zeros((D, H)), np.zeros((H, H)), np.zeros(H)
    for t in reversed(range(T)):
        dx[:, t], dh, a, b, c = rnn_step_backward(dhs[:, t] + dh, caches[t])
        dWx += a
        dWh += b
        db += c
    return dx, dh, dWx, dWh, db


right("N T D, N H, D H, H H, H", title="rnn of a sequence")(from_cache(rnn_forward, rnn_backward))


class LastState:
    """Elman network that gives its last state, time first."""

    Wxh = Whh = bh = None

    def forward(self, xs):
        """Run from a zero state."""
        self.xs, self.hs = xs, {-1: np.zeros((xs.shape[1], self.bh.size))}
        for t in range(len(xs)):
            self.hs[t] = np.tanh(xs[t] @ self.Wxh + self.hs[t - 1] @ self.Whh + self.bh)
        return self.hs[len(xs) - 1].copy()

    def backward(self, dy):
        """Set the gradients anew."""
        self.dWxh, self.dWhh = np.zeros_like(self.Wxh), np.zeros_like(self.Whh)
        self.dbh = np.zeros_like(self.bh)
        dxs, dh = np.zeros_like(self.xs), dy
        for t in range(len(self.xs))[::-1]:
            draw = (1 - self.hs[t] * self.hs[t]) * dh
            self.dbh += draw.sum(0)
            self.dWxh += self.xs[t].T @ draw
            self.dWhh += self.hs[t - 1].T @ draw
            dxs[t] = draw @ self.Wxh.T
            dh = draw @ self.Whh.T
        return dxs


right("T N D, D H, H H, H", title="last state class")(
    from_class(LastState, Wxh="dWxh", Whh="dWhh", bh="dbh")
)


@right(given=lambda rng: (rng.standard_normal((5, 2, 3)), np.eye(4) * 0.9, 0.5 * np.ones((3, 4))))
def irnn(xs, W, U):
    """ReLU RNN that starts from a near-identity."""
    hs = [np.zeros((xs.shape[1], W.shape[0]))]
    for x in xs:
        hs.append(np.maximum(0, hs[-1] @ W + x @ U))

    def backward(dh):
        dxs, dW, dU = np.zeros(xs.shape), np.zeros(W.shape), np.zeros(U.shape)
        for t in range(len(xs), 0, -1):
            dz = dh * (hs[t] > 0)
            dxs[t - 1] = dz @ U.T
            dU += xs[t - 1].T @ dz
            dW += hs[t - 1].T @ dz
            dh = dz @ W.T
        return dxs, dW, dU

    return hs[-1].copy(), backward


def lstm_step(x, h, c, Wx, Wh, b):
    """One step of an LSTM with gates i, f, o, g."""
    a = x @ Wx + h @ Wh + b
    ai, af, ao, ag = np.split(a, 4, axis=1)
    i, f, o, g = sig(ai), sig(af), sig(ao), np.tanh(ag)
    c2 = f * c + i * g
    tc = np.tanh(c2)
    return o * tc, c2, (x, h, c, Wx, Wh, i, f, o, g, tc)


def lstm_step_back(dh, dc, cache):
    """Its backward."""
    x, h, c, Wx, Wh, i, f, o, g, tc = cache
    dc = dc + dh * o * (1 - tc**2)
    da = np.hstack(
        (dc * g * i * (1 - i), dc * c * f * (1 - f), dh * tc * o * (1 - o), dc * i * (1 - g * g))
    )
    return da @ Wx.T, da @ Wh.T, dc * f, x.T @ da, h.T @ da, da.sum(0)


THREE = {"Wx": ("D", 12), "Wh": (3, 12), "b": (12,)}


@right({"x": ("N", "D"), "h": ("N", 3), "c": ("N", 3), **THREE})
def lstm_cell(x, h, c, Wx, Wh, b):
    """LSTM cell that gives its state and its memory, stacked."""
    h2, c2, cache = lstm_step(x, h, c, Wx, Wh, b)
    return np.stack([h2, c2]), lambda dy: lstm_step_back(dy[0], dy[1], cache)


@right({"x": ("N", "T", "D"), **THREE})
def lstm_sequence(x, Wx, Wh, b):
    """LSTM over steps, from zeros."""
    N, T, D = x.shape
    h, c = np.zeros((N, 3)), np.zeros((N, 3))
    out, caches = np.zeros((N, T, 3)), []
    for t in range(T):
        h, c, cache = lstm_step(x[:, t], h, c, Wx, Wh, b)
        out[:, t] = h
        caches.append(cache)

    def backward(dout):
        dx = np.zeros((N, T, D))
        sums = [np.zeros(p.shape) for p in (Wx, Wh, b)]
        dh, dc = np.zeros((N, 3)), np.zeros((N, 3))
        for t in reversed(range(T)):
            dx[:, t], dh, dc, *gs = lstm_step_back(dout[:, t] + dh, dc, caches[t])
            for s, g in zip(sums, gs, strict=True):
                s += g
        return dx, *sums

    return out, backward


@right("N H, N H, N H, N H, H, H, H")
def peephole_gates(zi, zf, zo, c, pi, pf, po):
    """The part of a peephole LSTM after its products."""
    i, f = sig(zi + pi * c), sig(zf + pf * c)
    c2 = f * c + i
    o = sig(zo + po * c2)
    t = np.tanh(c2)

    def backward(dh):
        do = dh * t * o * (1 - o)
        dc2 = dh * o * (1 - t**2) + do * po
        df, di = dc2 * c * f * (1 - f), dc2 * i * (1 - i)
        dc = dc2 * f + df * pf + di * pi
        return di, df, do, dc, (di * c).sum(0), (df * c).sum(0), (do * c2).sum(0)

    return o * t, backward


@right({"x": ("N", "D"), "h": ("N", 2), "W": (6, "D"), "U": (6, 2), "b": (6,), "bh": (6,)})
def gru_cell_torch(x, h, W, U, b, bh):
    """PyTorch's GRU cell, its weights transposed and its biases double."""
    gi, gh = x @ W.T + b, h @ U.T + bh
    (ir, iz, i_n), (hr, hz, hn) = np.split(gi, 3, 1), np.split(gh, 3, 1)
    r, z = sig(ir + hr), sig(iz + hz)
    n = np.tanh(i_n + r * hn)

    def backward(dy):
        dn = dy * (1 - z) * (1 - n * n)
        dz = dy * (h - n) * z * (1 - z)
        dr = dn * hn * r * (1 - r)
        dgi = np.concatenate([dr, dz, dn], 1)
        dgh = np.concatenate([dr, dz, dn * r], 1)
        dh = dy * z + dgh @ U
        return dgi @ W, dh, dgi.T @ x, dgh.T @ h, dgi.sum(0), dgh.sum(0)

    return (1 - z) * n + z * h, backward


@right("T D, D H, D H, D H, H H, H H, H H")
def gru_sequence(xs, Wz, Wr, Wh, Uz, Ur, Uh):
    """The first GRU, a vector at a time, the reset before the product."""
    h, tape = np.zeros(Uz.shape[0]), []
    for x in xs:
        z, r = sig(x @ Wz + h @ Uz), sig(x @ Wr + h @ Ur)
        cand = np.tanh(x @ Wh + (r * h) @ Uh)
        tape.append({"x": x, "h": h, "z": z, "r": r, "cand": cand})
        h = z * h + (1 - z) * cand

    def backward(dy):
        dxs, dh = [], dy
        grads = [np.zeros(p.shape) for p in (Wz, Wr, Wh, Uz, Ur, Uh)]
        for s in reversed(tape):
            da = dh * (1 - s["z"]) * (1 - s["cand"] ** 2)
            drh = Uh @ da
            dz = dh * (s["h"] - s["cand"]) * s["z"] * (1 - s["z"])
            dr = drh * s["h"] * s["r"] * (1 - s["r"])
            lefts = [s["x"]] * 3 + [s["h"], s["h"], s["r"] * s["h"]]
            for g, left, d in zip(grads, lefts, [dz, dr, da] * 2, strict=True):
                g += np.outer(left, d)
            dxs.append(Wz @ dz + Wr @ dr + Wh @ da)
            dh = dh * s["z"] + drh * s["r"] + Uz @ dz + Ur @ dr
        return np.array(dxs[::-1]), *grads

    return h, backward


@right("N D, N H, D H, H H, D H, H H")
def minimal_gated_unit(x, h, Wf, Uf, Wh, Uh):
    """MGU, the GRU with one gate."""
    f = sig(x @ Wf + h @ Uf)
    fh = f * h
    n = np.tanh(x @ Wh + fh @ Uh)

    def backward(dy):
        dn = dy * f * (1 - n**2)
        dfh = dn @ Uh.T
        df = (dy * (n - h) + dfh * h) * f * (1 - f)
        dx = df @ Wf.T + dn @ Wh.T
        dh = dy * (1 - f) + dfh * f + df @ Uf.T
        return dx, dh, x.T @ df, h.T @ df, x.T @ dn, fh.T @ dn

    return (1 - f) * h + f * n, backward


@right("N T D, D H, H H, D H, H H")
def bidirectional(x, W, U, V, R):
    """Two tanh RNNs, one of them from the end."""

    def run(seq, A, B):
        h, hs = np.zeros((len(x), B.shape[0])), []
        for t in range(seq.shape[1]):
            h = np.tanh(seq[:, t] @ A + h @ B)
            hs.append(h)
        return np.stack(hs, 1)

    def run_back(dhs, hs, seq, A, B):
        dx, dA, dB = np.zeros(seq.shape), np.zeros(A.shape), np.zeros(B.shape)
        dh = 0.0
        for t in range(seq.shape[1] - 1, -1, -1):
            dz = (dhs[:, t] + dh) * (1 - hs[:, t] ** 2)
            dA += seq[:, t].T @ dz
            if t:
                dB += hs[:, t - 1].T @ dz
            dx[:, t], dh = dz @ A.T, dz @ B.T
        return dx, dA, dB

    there, back = run(x, W, U), run(x[:, ::-1], V, R)

    def backward(dy):
        d1, d2 = np.split(dy, 2, axis=2)
        dx1, dW, dU = run_back(d1, there, x, W, U)
        dx2, dV, dR = run_back(d2[:, ::-1], back, x[:, ::-1], V, R)
        return dx1 + dx2[:, ::-1], dW, dU, dV, dR

    return np.concatenate([there, back[:, ::-1]], axis=2), backward


@right("N T C, C")
def moving_average(x, logit):
    """Exponential moving average with a learned decay of each channel."""
    a = sig(logit)
    y = np.empty(x.shape)
    prev = np.zeros(x[:, 0].shape)
    for t in range(x.shape[1]):
        prev = a * prev + (1 - a) * x[:, t]
        y[:, t] = prev

    def backward(dy):
        dx, da, carry = np.empty(x.shape), np.zeros(a.shape), np.zeros(prev.shape)
        for t in reversed(range(x.shape[1])):
            carry = carry + dy[:, t]
            dx[:, t] = (1 - a) * carry
            before = y[:, t - 1] if t > 0 else 0
            da += (carry * (before - x[:, t])).sum(0)
            carry = carry * a
        return dx, da * a * (1 - a)

    return y, backward


@right("N T, K, K, K")
def diagonal_state_space(u, lam, B, C):
    """State space model with K states, as a convolution with its kernel."""
    T = u.shape[1]
    a = np.tanh(lam)
    p = np.arange(T)[:, None]
    powers = a**p
    kernel = powers @ (B * C)
    lag = np.subtract.outer(np.arange(T), np.arange(T))
    M = np.where(lag >= 0, kernel[np.maximum(lag, 0)], 0)

    def backward(dy):
        dM = dy.T @ u
        dk = np.array([np.trace(dM, -t) for t in range(T)])
        dBC = dk @ powers
        da = (dk[1:, None] * p[1:] * powers[:-1]).sum(0) * B * C
        return dy @ M, da * (1 - a**2), dBC * C, dBC * B

    return u @ M.T, backward


@right("T N H, T N H, T N H")
def qrnn_fo_pool(z, f, o):
    """QRNN's pooling, its gates already logits."""
    zt, ft, ot = np.tanh(z), sig(f), sig(o)
    c = np.zeros((len(z) + 1, *z.shape[1:]))
    for t in range(len(z)):
        c[t + 1] = ft[t] * c[t] + (1 - ft[t]) * zt[t]

    def backward(dh):
        dz, df = np.zeros(z.shape), np.zeros(f.shape)
        dc = np.zeros(z.shape[1:])
        for t in range(len(z) - 1, -1, -1):
            dc += dh[t] * ot[t]
            dz[t] = dc * (1 - ft[t])
            df[t] = dc * (c[t] - zt[t])
            dc *= ft[t]
        return [dz * (1 - zt**2), df * ft * (1 - ft), dh * c[1:] * ot * (1 - ot)]

    return ot * c[1:], backward


@right("N D, D D, D, D D, D")
def highway(x, W, b, Wt, bt):
    """Highway layer with a ReLU inside."""
    z = x @ W + b
    h, t = np.maximum(z, 0), sig(x @ Wt + bt)

    def backward(dy):
        dz = dy * t * (z > 0)
        dt = dy * (h - x) * t * (1 - t)
        dx = dy * (1 - t) + dz @ W.T + dt @ Wt.T
        return dx, x.T @ dz, dz.sum(0), x.T @ dt, dt.sum(0)

    return h * t + x * (1 - t), backward


@right({"W": (5, "H"), "U": ("H", "H")})
def rnn_of_tokens(W, U):
    """RNN over tokens that repeat, so that rows of the table add up."""
    tokens = np.array([[0, 3, 3, 1], [2, 0, 0, 0]])
    hs = [np.zeros((2, U.shape[0]))]
    for t in range(4):
        hs.append(np.tanh(W[tokens[:, t]] + hs[-1] @ U))

    def backward(dh):
        dW, dU = np.zeros(W.shape), np.zeros(U.shape)
        for t in (3, 2, 1, 0):
            dz = dh * (1 - hs[t + 1] ** 2)
            np.add.at(dW, tokens[:, t], dz)
            dU += hs[t].T @ dz
            dh = dz @ U.T
        return dW, dU

    return hs[4].copy(), backward


right(
    given=lambda rng: (
        1e3 * rng.standard_normal((2, 3, 4)),
        *(np.zeros((2, 5)), rng.standard_normal((4, 5)), np.eye(5), np.zeros(5)),
    ),
    title="saturated rnn",
)(from_cache(rnn_forward, rnn_backward))
