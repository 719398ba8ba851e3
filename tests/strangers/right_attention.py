"""Right attentions, as strangers write them."""

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


def softmax(s):
    """Softmax over the last axis; -inf is a mask."""
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_back(p, dp):
    """Its backward."""
    return p * (dp - (dp * p).sum(axis=-1, keepdims=True))


@right("B T D, B S D, B S E")
def scaled_dot_product(q, k, v):
    """The attention."""
    scale = 1 / np.sqrt(q.shape[-1])
    a = softmax(q @ k.transpose(0, 2, 1) * scale)

    def backward(dout):
        dv = a.transpose(0, 2, 1) @ dout
        ds = softmax_back(a, dout @ v.transpose(0, 2, 1)) * scale
        return ds @ k, ds.transpose(0, 2, 1) @ q, dv

    return a @ v, backward


right(
    given=lambda rng: (1e4 * rng.standard_normal((1, 3, 4)), *rng.standard_normal((2, 1, 5, 4))),
    title="attention of huge queries",
)(scaled_dot_product)
right(
    given=lambda rng: (np.zeros((1, 3, 4)), np.zeros((1, 5, 4)), np.ones((1, 5, 2))),
    title="attention of zeros",
)(scaled_dot_product)


@right("T D, T D, T E")
def causal(q, k, v):
    """Attention to the past alone."""
    T, d = q.shape
    s = np.einsum("td,sd->ts", q, k) / d**0.5
    s[np.triu_indices(T, 1)] = -np.inf
    a = softmax(s)

    def backward(dy):
        ds = softmax_back(a, np.einsum("te,se->ts", dy, v)) / d**0.5
        return (
            np.einsum("ts,sd->td", ds, k),
            np.einsum("ts,td->sd", ds, q),
            np.einsum("ts,te->se", a, dy),
        )

    return a @ v, backward


@right("T D, T D, T E")
def causal_by_loops(Q, K, V):
    """Causal attention, a query at a time."""
    weights = []
    out = np.zeros((len(Q), V.shape[1]))
    for t in range(len(Q)):
        s = K[: t + 1] @ Q[t] / np.sqrt(Q.shape[1])
        w = np.exp(s - s.max())
        weights.append(w / w.sum())
        out[t] = weights[t] @ V[: t + 1]

    def backward(dout):
        dQ, dK, dV = np.zeros(Q.shape), np.zeros(K.shape), np.zeros(V.shape)
        for t, w in enumerate(weights):
            dV[: t + 1] += np.outer(w, dout[t])
            dw = V[: t + 1] @ dout[t]
            ds = w * (dw - w @ dw) / np.sqrt(Q.shape[1])
            dQ[t] = ds @ K[: t + 1]
            dK[: t + 1] += np.outer(ds, Q[t])
        return [dQ, dK, dV]

    return out, backward


@right({"x": ("B", "T", 6), "Wq": (6, 6), "Wk": (6, 6), "Wv": (6, 6), "Wo": (6, 6)})
def multi_head(x, Wq, Wk, Wv, Wo, heads=2):
    """Self-attention with two heads, by transposes."""
    B, T, D = x.shape

    def split(m):
        return m.reshape(B, T, heads, D // heads).transpose(0, 2, 1, 3)

    def merge(m):
        return m.transpose(0, 2, 1, 3).reshape(B, T, D)

    q, k, v = split(x @ Wq), split(x @ Wk), split(x @ Wv)
    r = np.sqrt(D // heads)
    a = softmax(q @ k.swapaxes(-1, -2) / r)
    ctx = merge(a @ v)

    def backward(dy):
        dctx = split(dy @ Wo.T)
        ds = softmax_back(a, dctx @ v.swapaxes(-1, -2)) / r
        dq, dk, dv = merge(ds @ k), merge(ds.swapaxes(-1, -2) @ q), merge(a.swapaxes(-1, -2) @ dctx)
        dx = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
        dws = [np.tensordot(x, d, axes=([0, 1], [0, 1])) for d in (dq, dk, dv)]
        return dx, *dws, np.tensordot(ctx, dy, axes=([0, 1], [0, 1]))

    return ctx @ Wo, backward


@right("T D, H D E, H D E, H D F, H F D")
def causal_heads_by_einsum(x, Wq, Wk, Wv, Wo):
    """Causal heads, the weights having an axis of heads."""
    q, k, v = (np.einsum("td,hde->hte", x, W) for W in (Wq, Wk, Wv))
    r = 1 / np.sqrt(Wq.shape[2])
    mask = np.tril(np.ones((len(x), len(x)), bool))
    a = softmax(np.where(mask, np.einsum("hte,hse->hts", q, k) * r, -np.inf))
    z = np.einsum("hts,hsf->htf", a, v)

    def backward(dy):
        dWo = np.einsum("htf,td->hfd", z, dy)
        dz = np.einsum("td,hfd->htf", dy, Wo)
        ds = softmax_back(a, np.einsum("htf,hsf->hts", dz, v)) * r
        dq, dk = np.einsum("hts,hse->hte", ds, k), np.einsum("hts,hte->hse", ds, q)
        dv = np.einsum("hts,htf->hsf", a, dz)
        dx = sum(np.einsum("hte,hde->td", g, W) for g, W in ((dq, Wq), (dk, Wk), (dv, Wv)))
        return dx, *(np.einsum("td,hte->hde", x, g) for g in (dq, dk, dv)), dWo

    return np.einsum("htf,hfd->td", z, Wo), backward


@right(given=lambda rng: (*rng.standard_normal((3, 3, 4, 2)), np.array([4, 1, 2])))
def with_padding(q, k, v, lengths):
    """Attention to the true part of padded keys."""
    keep = np.arange(k.shape[1]) < lengths[:, None]
    s = np.where(keep[:, None, :], q @ k.swapaxes(1, 2), -np.inf)
    p = softmax(s)

    def backward(g):
        ds = softmax_back(p, g @ v.swapaxes(1, 2))
        return ds @ k, ds.swapaxes(1, 2) @ q, p.swapaxes(1, 2) @ g

    return p @ v, backward


@right("N D, N T E, D A, E A, A")
def additive(query, keys, Wq, Wk, v):
    """Bahdanau's attention."""
    h = np.tanh((query @ Wq)[:, None, :] + keys @ Wk)
    alpha = softmax(h @ v)
    context = np.einsum("nt,nte->ne", alpha, keys)

    def backward(dc):
        de = softmax_back(alpha, np.einsum("ne,nte->nt", dc, keys))
        dz = de[..., None] * v * (1 - h**2)
        dkeys = alpha[..., None] * dc[:, None, :] + dz @ Wk.T
        dq = dz.sum(1)
        dWk = np.einsum("nte,nta->ea", keys, dz)
        return dq @ Wq.T, dkeys, query.T @ dq, dWk, np.einsum("nt,nta->a", de, h)

    return context, backward


@right("N D, N T E, D E")
def luong(h, memory, W):
    """Luong's general attention, its context beside the state."""
    u = h @ W
    a = softmax((memory @ u[:, :, None])[:, :, 0])
    c = (a[:, None, :] @ memory)[:, 0]

    def backward(dy):
        dh, dc = dy[:, : h.shape[1]], dy[:, h.shape[1] :]
        ds = softmax_back(a, (memory @ dc[:, :, None])[:, :, 0])
        dm = a[:, :, None] * dc[:, None] + ds[:, :, None] * u[:, None]
        du = (ds[:, None] @ memory)[:, 0]
        return dh + du @ W.T, dm, h.T @ du

    return np.hstack([h, c]), backward


class AttentionPooling:
    """A weighted mean of steps, with a learned query."""

    query = None

    def forward(self, x):
        """Pool over axis 1."""
        self.x = x
        self.a = softmax(x.dot(self.query))
        return (self.a[:, :, None] * x).sum(axis=1)

    def backward(self, dy):
        """Set grad_query."""
        ds = softmax_back(self.a, (dy[:, None, :] * self.x).sum(-1))
        self.grad_query = np.tensordot(ds, self.x, 2)
        return self.a[:, :, None] * dy[:, None, :] + ds[:, :, None] * self.query


right("N T D, D", title="attention pooling class")(from_class(AttentionPooling, query="grad_query"))


@right("T D, S D, S E")
def linear_attention(q, k, v):
    """Attention without softmax, with features elu + 1."""

    def phi(z):
        return np.where(z > 0, z + 1, np.exp(np.minimum(z, 0)))

    def dphi(z):
        return np.where(z > 0, 1.0, np.exp(np.minimum(z, 0)))

    fq, fk = phi(q), phi(k)
    kv, ks = fk.T @ v, fk.sum(0)
    den = (fq @ ks + 1e-6)[:, None]
    y = fq @ kv / den

    def backward(dy):
        dnum = dy / den
        dden = -(dy * y).sum(1, keepdims=True) / den
        dfq = dnum @ kv.T + dden * ks
        dfk = v @ (fq.T @ dnum).T + (fq * dden).sum(0)
        return dfq * dphi(q), dfk * dphi(k), fk @ (fq.T @ dnum)

    return y, backward


def cosine_attention_forward(q, k, v, tau=5.0):
    """Attention by cosines with a fixed sharpness."""
    nq = np.sqrt((q**2).sum(1, keepdims=True) + 1e-4)
    nk = np.sqrt((k**2).sum(1, keepdims=True) + 1e-4)
    uq, uk = q / nq, k / nk
    a = softmax(tau * uq @ uk.T)
    return a @ v, (uq, uk, nq, nk, a, v, tau)


def cosine_attention_backward(dy, cache):
    """Backward of it."""
    uq, uk, nq, nk, a, v, tau = cache
    ds = tau * softmax_back(a, dy @ v.T)
    gq, gk = ds @ uk, ds.T @ uq
    dq = (gq - uq * (gq * uq).sum(1, keepdims=True)) / nq
    dk = (gk - uk * (gk * uk).sum(1, keepdims=True)) / nk
    return dq, dk, a.T @ dy


right("T D, S D, S E", title="cosine attention")(
    from_cache(cosine_attention_forward, cosine_attention_backward)
)


@right("N C H W, C K, C K")
def non_local(x, A, B):
    """Non-local block by dot products, over the number of places."""
    N, C, H, W = x.shape
    f = x.reshape(N, C, H * W).transpose(0, 2, 1)
    fa, fb = f @ A, f @ B
    s = fa @ fb.transpose(0, 2, 1) / (H * W)
    out = f + s @ f

    def backward(dy):
        d = dy.reshape(N, C, H * W).transpose(0, 2, 1)
        ds = d @ f.transpose(0, 2, 1) / (H * W)
        da, db = ds @ fb, ds.transpose(0, 2, 1) @ fa
        df = d + s.transpose(0, 2, 1) @ d + da @ A.T + db @ B.T
        dA, dB = np.einsum("npc,npk->ck", f, da), np.einsum("npc,npk->ck", f, db)
        return df.transpose(0, 2, 1).reshape(x.shape), dA, dB

    return out.transpose(0, 2, 1).reshape(x.shape), backward


@right("T D, T D, T E")
def windowed_with_slopes(q, k, v, window=3, slope=0.5):
    """Attention to near steps, less to the farther, as ALiBi has it."""
    far = np.abs(np.subtract.outer(np.arange(len(q)), np.arange(len(q))))
    s = q @ k.T - slope * far
    s[far >= window] = -np.inf
    p = softmax(s)

    def backward(dy):
        ds = softmax_back(p, dy @ v.T)
        return ds @ k, ds.T @ q, p.T @ dy

    return p @ v, backward


@right({"q": (4, "D"), "k": (4, "D"), "v": (4, "E"), "bias": (7,)})
def with_relative_bias(q, k, v, bias):
    """Attention with a bias learned for each offset, four steps long."""
    offset = np.arange(4)[:, None] - np.arange(4)[None, :] + 3
    p = softmax(q @ k.T / np.sqrt(q.shape[1]) + bias[offset])

    def backward(dy):
        ds = softmax_back(p, dy @ v.T)
        db = np.zeros(7)
        np.add.at(db, offset, ds)
        r = np.sqrt(q.shape[1])
        return ds @ k / r, ds.T @ q / r, p.T @ dy, db

    return p @ v, backward
