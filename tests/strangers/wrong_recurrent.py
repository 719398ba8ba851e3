"""Wrong backwards of recurrent layers, through time."""

import numpy as np

from . import wrong


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def rnn_states(x, wx, wh, b, h0=None):
    """All states of a tanh RNN, with the initial state in front."""
    hs = [np.zeros((len(x), len(wh))) if h0 is None else h0]
    for i in range(x.shape[1]):
        hs.append(np.tanh(x[:, i] @ wx + hs[-1] @ wh + b))
    return hs


RNN = "N T D, D H, H H, H"


@wrong(RNN, mistake="dh is not carried to the step before.", grads="dx dwx dwh db")
def rnn_without_carry(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
        for i in reversed(range(x.shape[1])):
            da = dy[:, i] * (1 - hs[i + 1] ** 2)
            dx[:, i] = da @ wx.T
            dwx += x[:, i].T @ da
            dwh += hs[i].T @ da
            db += da.sum(0)
        return dx, dwx, dwh, db

    return np.stack(hs[1:], 1), backward


@wrong(
    RNN,
    mistake="The weight gradients are those of the first step only.",
    grads="dwx dwh db",
    says="any.zero",
)
def rnn_weights_overwritten(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        dx, dh = np.zeros_like(x), 0
        for i in reversed(range(x.shape[1])):
            da = (dy[:, i] + dh) * (1 - hs[i + 1] ** 2)
            dx[:, i] = da @ wx.T
            dwx, dwh, db = x[:, i].T @ da, hs[i].T @ da, da.sum(0)
            dh = da @ wh.T
        return dx, dwx, dwh, db

    return np.stack(hs[1:], 1), backward


@wrong(
    RNN,
    mistake="The carried dh replaces dy of all steps but the last.",
    grads="dx dwx dwh db",
    says="any.part-of-dy",
)
def rnn_only_last_step_counts(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
        dh = dy[:, -1]
        for i in reversed(range(x.shape[1])):
            da = dh * (1 - hs[i + 1] ** 2)
            dx[:, i] = da @ wx.T
            dwx += x[:, i].T @ da
            dwh += hs[i].T @ da
            db += da.sum(0)
            dh = da @ wh.T
        return dx, dwx, dwh, db

    return np.stack(hs[1:], 1), backward


def rnn_back(x, wx, wh, b, hs, dy, slope=None, carry=None, state=None):
    """Backward through time; the callers replace one part of it."""
    dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
    dh = np.zeros_like(hs[0])
    for i in reversed(range(x.shape[1])):
        d = dy[:, i] + dh
        da = d * (1 - hs[i + 1] ** 2) if slope is None else slope(d, i)
        dx[:, i] = da @ wx.T
        dwx += x[:, i].T @ da
        dwh += (hs[i] if state is None else state(i)).T @ da
        db += da.sum(0)
        dh = da @ wh.T if carry is None else carry(da, d, i)
    return dx, dwx, dwh, db, dh


@wrong(RNN, mistake="The tanh derivative is missing.", grads="dx dwx dwh db")
def rnn_without_tanh_derivative(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        return rnn_back(x, wx, wh, b, hs, dy, slope=lambda d, i: d)[:4]

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="The tanh derivative takes the state before the step.", grads="dx dwx dwh db")
def rnn_tanh_derivative_of_previous_state(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        return rnn_back(x, wx, wh, b, hs, dy, slope=lambda d, i: d * (1 - hs[i] ** 2))[:4]

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="The carry goes through the untransposed weight.", grads="dx dwx dwh db")
def rnn_carry_not_transposed(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        return rnn_back(x, wx, wh, b, hs, dy, carry=lambda da, d, i: da @ wh)[:4]

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="The carry leaves out the tanh derivative.", grads="dx dwx dwh db")
def rnn_carry_without_tanh_derivative(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        return rnn_back(x, wx, wh, b, hs, dy, carry=lambda da, d, i: d @ wh.T)[:4]

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="dwh uses the state after the step, not the one before.", grads="dwh")
def rnn_recurrent_weight_sees_new_state(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        return rnn_back(x, wx, wh, b, hs, dy, state=lambda i: hs[i + 1])[:4]

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="dwh is transposed.", grads="dwh", says="any.transposed")
def rnn_recurrent_weight_transposed(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        dx, dwx, dwh, db, _ = rnn_back(x, wx, wh, b, hs, dy)
        return dx, dwx, dwh.T.copy(), db

    return np.stack(hs[1:], 1), backward


@wrong(RNN, mistake="dx is in reversed order of time.", grads="dx", says="any.flipped")
def rnn_dx_in_reversed_time(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        das, dh = [], 0
        for i in reversed(range(x.shape[1])):
            das.append((dy[:, i] + dh) * (1 - hs[i + 1] ** 2))
            dh = das[-1] @ wh.T
        da = np.stack(das, 1)
        right = da[:, ::-1]
        dwx = np.einsum("ntd,nth->dh", x, right)
        dwh = np.einsum("nti,ntj->ij", np.stack(hs[:-1], 1), right)
        return da @ wx.T, dwx, dwh, right.sum((0, 1))

    return np.stack(hs[1:], 1), backward


@wrong(
    "N T D, D H, H H, H, N H",
    mistake="The initial state gets no gradient.",
    grads="dh0",
    says="any.zero",
)
def rnn_initial_state_forgotten(x, wx, wh, b, h0):
    hs = rnn_states(x, wx, wh, b, h0)

    def backward(dy):
        return *rnn_back(x, wx, wh, b, hs, dy)[:4], np.zeros_like(h0)

    return np.stack(hs[1:], 1), backward


@wrong("N T D, D H, H H, H, N H", mistake="dh0 stops before the recurrent weight.", grads="dh0")
def rnn_initial_state_before_weight(x, wx, wh, b, h0):
    hs = rnn_states(x, wx, wh, b, h0)

    def backward(dy):
        first = []

        def slope(d, i):
            first[:] = [d * (1 - hs[i + 1] ** 2)]
            return first[0]

        return *rnn_back(x, wx, wh, b, hs, dy, slope=slope)[:4], first[0].copy()

    return np.stack(hs[1:], 1), backward


def long_given(rng):
    return tuple(rng.normal(size=s) for s in ((2, 7, 3), (3, 4), (4, 4), (4,)))


@wrong(
    given=long_given,
    mistake="Backward stops after 3 steps, as truncated training would.",
    grads="dx dwx dwh db",
    says="any.entries-left-out",
)
def many_to_one_rnn_truncated(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
        dh, T = dy, x.shape[1]
        for i in range(T - 1, T - 4, -1):
            da = dh * (1 - hs[i + 1] ** 2)
            dx[:, i] = da @ wx.T
            dwx += x[:, i].T @ da
            dwh += hs[i].T @ da
            db += da.sum(0)
            dh = da @ wh.T
        return dx, dwx, dwh, db

    return hs[-1].copy(), backward


@wrong(
    given=long_given,
    mistake="dh is clipped to [-0.5, 0.5] between the steps.",
    grads="dx dwx dwh db",
    says="any.not-linear",
)
def rnn_with_clipped_carry(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)

    def backward(dy):
        def carry(da, d, i):
            return np.clip(da @ wh.T, -0.5, 0.5)

        return rnn_back(x, wx, wh, b, hs, dy, carry=carry)[:4]

    return np.stack(hs[1:], 1), backward


def lstm_given(rng):
    return tuple(rng.normal(size=s) for s in ((3, 4, 2), (2, 12), (3, 12), (12,)))


def lstm_forward(x, wx, wh, b):
    """Gates packed in the order i, f, g, o."""
    h = c = np.zeros((len(x), len(wh)))
    steps, ys = [], []
    for i in range(x.shape[1]):
        a = x[:, i] @ wx + h @ wh + b
        ai, af, ag, ao = np.split(a, 4, axis=1)
        gates = sigmoid(ai), sigmoid(af), np.tanh(ag), sigmoid(ao)
        c2 = gates[1] * c + gates[0] * gates[2]
        steps.append((h, c, *gates, np.tanh(c2)))
        c, h = c2, gates[3] * np.tanh(c2)
        ys.append(h)
    return np.stack(ys, 1), steps


def lstm_back(x, wx, wh, b, steps, dy, cell):
    """Loop over the steps; cell(dh, dc, step) returns the four gates' gradients and dc."""
    dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
    dh = dc = np.zeros_like(steps[0][0])
    for i in reversed(range(x.shape[1])):
        *gates, dc = cell(dy[:, i] + dh, dc, steps[i])
        da = np.concatenate(gates, axis=1)
        dx[:, i], dh = da @ wx.T, da @ wh.T
        dwx += x[:, i].T @ da
        dwh += steps[i][0].T @ da
        db += da.sum(0)
    return dx, dwx, dwh, db


def lstm_entry(name, mistake, grads="dx dwx dwh db"):
    """Enter an LSTM whose only own part is the cell's backward."""

    def enter(cell):
        def op(x, wx, wh, b):
            y, steps = lstm_forward(x, wx, wh, b)
            return y, lambda dy: lstm_back(x, wx, wh, b, steps, dy, cell)

        wrong(given=lstm_given, mistake=mistake, grads=grads, title=name)(op)
        return cell

    return enter


@lstm_entry("lstm_carry_without_forget_gate", "The cell's carry lacks the forget gate's factor.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o * (1 - tc**2)
    return (
        dc * g * i * (1 - i),
        dc * c * f * (1 - f),
        dc * i * (1 - g**2),
        dh * tc * o * (1 - o),
        dc,
    )


@lstm_entry("lstm_cell_not_carried", "The cell's gradient is not carried to the step before.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dh * o * (1 - tc**2)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tc
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


@lstm_entry("lstm_without_cell_tanh", "The tanh of the cell is not derived.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tc
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


@lstm_entry("lstm_input_and_forget_swapped", "The gradients of the gates i and f are swapped.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o * (1 - tc**2)
    dai, daf = dc * g * i * (1 - i), dc * c * f * (1 - f)
    return daf, dai, dc * i * (1 - g**2), dh * tc * o * (1 - o), dc * f


@lstm_entry("lstm_candidate_like_a_gate", "The candidate has a sigmoid's derivative, not tanh's.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o * (1 - tc**2)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tc
    return *(d * s * (1 - s) for d, s in ((di, i), (df, f), (dg, g), (do, o))), dc * f


@lstm_entry("lstm_forget_gate_sees_new_cell", "The forget gate's gradient uses the new cell.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o * (1 - tc**2)
    new = f * c + i * g
    return (
        dc * g * i * (1 - i),
        dc * new * f * (1 - f),
        dc * i * (1 - g**2),
        (dh * tc * o * (1 - o)),
        dc * f,
    )


@lstm_entry("lstm_output_gate_sees_raw_cell", "The output gate's gradient uses c, not tanh(c).")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    new = f * c + i * g
    dc = dc + dh * o * (1 - tc**2)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * new
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


@lstm_entry("lstm_output_path_to_cell_missing", "The cell gets no gradient through the output.")
def _(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tc
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


def right_cell(dh, dc, step):
    _h, c, i, f, g, o, tc = step
    dc = dc + dh * o * (1 - tc**2)
    di, df, dg, do = dc * g, dc * c, dc * i, dh * tc
    return di * i * (1 - i), df * f * (1 - f), dg * (1 - g * g), do * o * (1 - o), dc * f


@wrong(
    given=lstm_given,
    mistake="The bias's gradient is averaged over the batch.",
    grads="db",
    says="any.factor-too-small",
)
def lstm_bias_averaged(x, wx, wh, b):
    y, steps = lstm_forward(x, wx, wh, b)

    def backward(dy):
        *others, db = lstm_back(x, wx, wh, b, steps, dy, right_cell)
        return *others, db / len(x)

    return y, backward


GRU = "N D, N H, D H, D H, D H, H H, H H, H H"


def gru_step(x, h, wz, wr, wn, uz, ur, un):
    z, r = sigmoid(x @ wz + h @ uz), sigmoid(x @ wr + h @ ur)
    n = np.tanh(x @ wn + (r * h) @ un)
    return z * h + (1 - z) * n, z, r, n


def gru_grads(x, h, ws, us, parts, dy, **change):
    """Return all the gradients of a GRU step; ``change`` switches a part of it off or over."""
    _, z, r, n = parts
    dn = dy * (1 - z) * (1 - n**2)
    dz = dy * (h - n) * z * (1 - z) * change.get("z_sign", 1)
    drh = dn @ us[2].T
    dr = drh * h * r * (1 - r) * change.get("reset", 1)
    das = dz, dr, dn
    dx = sum(d @ w.T for d, w in zip(das, ws, strict=True))
    dh = dy * z * change.get("direct", 1) + drh * change.get("r", r)
    dh = dh + dz @ us[0].T + dr @ us[1].T
    ins = h, h, change.get("state", r * h)
    return dx, dh, *(x.T @ d for d in das), *(s.T @ d for s, d in zip(ins, das, strict=True))


@wrong(
    GRU,
    mistake="The update gate's gradient has the wrong sign.",
    grads="dx dh dwz duz",
    says="gru-cell.update-gate:sigmoid.sign",
)
def gru_update_gate_sign(x, h, wz, wr, wn, uz, ur, un):
    parts = gru_step(x, h, wz, wr, wn, uz, ur, un)
    ws, us = (wz, wr, wn), (uz, ur, un)
    return parts[0], lambda dy: gru_grads(x, h, ws, us, parts, dy, z_sign=-1)


@wrong(
    GRU,
    mistake="The reset gate gets no gradient.",
    grads="dx dh dwr dur",
    says="any.zero gru-cell.reset-input-path gru-cell.reset-state-path",
)
def gru_reset_gate_forgotten(x, h, wz, wr, wn, uz, ur, un):
    parts = gru_step(x, h, wz, wr, wn, uz, ur, un)
    ws, us = (wz, wr, wn), (uz, ur, un)
    return parts[0], lambda dy: gru_grads(x, h, ws, us, parts, dy, reset=0)


@wrong(
    GRU,
    mistake="The direct path z*dy to the old state is missing.",
    grads="dh",
    says="gru-cell.keeping-path",
)
def gru_without_direct_path(x, h, wz, wr, wn, uz, ur, un):
    parts = gru_step(x, h, wz, wr, wn, uz, ur, un)
    ws, us = (wz, wr, wn), (uz, ur, un)
    return parts[0], lambda dy: gru_grads(x, h, ws, us, parts, dy, direct=0)


@wrong(
    GRU,
    mistake="The factor r is missing on the candidate's way to the old state.",
    grads="dh",
    says="gru-cell.reset:multiply.a-missing",
)
def gru_candidate_path_without_reset(x, h, wz, wr, wn, uz, ur, un):
    parts = gru_step(x, h, wz, wr, wn, uz, ur, un)
    ws, us = (wz, wr, wn), (uz, ur, un)
    return parts[0], lambda dy: gru_grads(x, h, ws, us, parts, dy, r=1)


@wrong(
    GRU,
    mistake="The candidate's recurrent weight sees h in place of r*h.",
    grads="dun",
    says="gru-cell.candidate-state.h-for-rh",
)
def gru_candidate_weight_sees_raw_state(x, h, wz, wr, wn, uz, ur, un):
    parts = gru_step(x, h, wz, wr, wn, uz, ur, un)
    ws, us = (wz, wr, wn), (uz, ur, un)
    return parts[0], lambda dy: gru_grads(x, h, ws, us, parts, dy, state=h)


@wrong("N T D, D", mistake="The decay of the carried gradient is missing.", grads="dx da")
def moving_average_without_decay(x, a):
    k = sigmoid(a)
    hs = [np.zeros_like(x[:, 0])]
    for i in range(x.shape[1]):
        hs.append(k * hs[-1] + (1 - k) * x[:, i])

    def backward(dy):
        dx, dk, dh = np.zeros_like(x), np.zeros_like(a), 0
        for i in reversed(range(x.shape[1])):
            dh = dh + dy[:, i]
            dx[:, i] = (1 - k) * dh
            dk += (dh * (hs[i] - x[:, i])).sum(0)
        return dx, dk * k * (1 - k)

    return np.stack(hs[1:], 1), backward


@wrong("N T D, D", mistake="The decay's gradient counts the old state only, not -x.", grads="da")
def moving_average_decay_gradient_half(x, a):
    k = sigmoid(a)
    hs = [np.zeros_like(x[:, 0])]
    for i in range(x.shape[1]):
        hs.append(k * hs[-1] + (1 - k) * x[:, i])

    def backward(dy):
        dx, dk, dh = np.zeros_like(x), np.zeros_like(a), 0
        for i in range(x.shape[1] - 1, -1, -1):
            dh = dh * k + dy[:, i]
            dx[:, i] = (1 - k) * dh
            dk += np.einsum("nd,nd->d", dh, hs[i])
        return dx, dk * k * (1 - k)

    return np.stack(hs[1:], 1), backward


@wrong(
    "N T D, D, D", mistake="The state's gradient lacks the powers beyond the first.", grads="dx da"
)
def diagonal_ssm_one_step_memory(x, a, c):
    k = np.tanh(a)
    hs = [np.zeros_like(x[:, 0])]
    for i in range(x.shape[1]):
        hs.append(k * hs[-1] + x[:, i])
    H = np.stack(hs, 1)

    def backward(dy):
        g = dy * c
        d = g.copy()
        d[:, :-1] += k * g[:, 1:]
        da = (d * H[:, :-1]).sum((0, 1)) * (1 - k**2)
        return d, da, (dy * H[:, 1:]).sum((0, 1))

    return H[:, 1:] * c, backward


@wrong(
    "N T D, D",
    mistake="The cumulative sum is led back forwards in time.",
    grads="dx",
    says="any.not-transposed",
)
def cumulative_sum_backward_in_wrong_direction(x, w):
    c = np.cumsum(x, axis=1)
    return c * w, lambda dy: (np.cumsum(dy * w, axis=1), (dy * c).sum((0, 1)))


@wrong("N D, D D, D", mistake="The carry path 1 - t of the highway is missing in dx.", grads="dx")
def highway_without_carry_path(x, w, b):
    s = sigmoid(x @ w + b)
    h = np.tanh(x)

    def backward(dy):
        da = dy * (h - x) * s * (1 - s)
        return dy * s * (1 - h**2) + da @ w.T, x.T @ da, da.sum(0)

    return s * h + (1 - s) * x, backward


@wrong(
    "N T D, D H, H H, D H, H H",
    mistake="The reversed direction's dx is not turned round again.",
    grads="dx",
)
def bidirectional_rnn_not_turned_back(x, wf, uf, wb, ub):
    flipped = x[:, ::-1]
    zero = np.zeros(len(uf))
    fs, bs = rnn_states(x, wf, uf, zero), rnn_states(flipped, wb, ub, zero)

    def backward(dy):
        dxf, dwf, duf, *_ = rnn_back(x, wf, uf, zero, fs, dy)
        dxb, dwb, dub, *_ = rnn_back(flipped, wb, ub, zero, bs, dy[:, ::-1])
        return dxf + dxb, dwf, duf, dwb, dub

    return np.stack(fs[1:], 1) + np.stack(bs[1:], 1)[:, ::-1], backward


@wrong(RNN, mistake="The states are popped off the cache, so backward works once only.")
def rnn_popping_its_cache(x, wx, wh, b):
    hs = rnn_states(x, wx, wh, b)
    y = np.stack(hs[1:], 1)

    def backward(dy):
        dx, dwx, dwh, db = (np.zeros_like(m) for m in (x, wx, wh, b))
        dh = 0
        for i in reversed(range(x.shape[1])):
            da = (dy[:, i] + dh) * (1 - hs.pop() ** 2)
            dx[:, i], dh = da @ wx.T, da @ wh.T
            dwx += x[:, i].T @ da
            dwh += hs[-1].T @ da
            db += da.sum(0)
        return dx, dwx, dwh, db

    return y, backward
