"""Wrong backwards of attention, in its many forms."""

import numpy as np

from . import wrong


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def softmax(s):
    e = np.exp(s - s.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def softmax_back(da, a):
    return a * (da - (da * a).sum(axis=-1, keepdims=True))


def t(m):
    return np.swapaxes(m, -1, -2)


QKV = "N T D, N S D, N S E"
SAME = "N T D, N T D, N T D"


def attend(q, k, v):
    scale = 1 / np.sqrt(q.shape[-1])
    a = softmax(q @ t(k) * scale)
    return a, a @ v, scale


@wrong(
    QKV,
    mistake="The factor 1/sqrt(d) is missing in dq and dk.",
    grads="dq dk",
    says="attention.scores:scores.scale-missing",
)
def attention_without_scale(q, k, v):
    a, y, _ = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a)
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(
    QKV, mistake="The factor 1/sqrt(d) is missing in dk.", grads="dk", says="any.factor-too-large"
)
def attention_scale_in_dq_only(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(np.einsum("nte,nse->nts", dy, v), a)
        dq = np.einsum("nts,nsd->ntd", ds, k) * scale
        return dq, np.einsum("nts,ntd->nsd", ds, q), np.einsum("nts,nte->nse", a, dy)

    return y, backward


@wrong(
    QKV,
    mistake="The scale is 1/d on the way back, 1/sqrt(d) on the way there.",
    grads="dq dk",
    says="attention.scores:scores.scale-twice",
)
def attention_scaled_by_d(q, k, v):
    a, y, _ = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) / q.shape[-1]
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(
    QKV,
    mistake="Only the diagonal of the softmax Jacobian is used.",
    grads="dq dk",
    says="attention.softmax:softmax.diagonal-only",
)
def attention_diagonal_softmax(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = dy @ t(v) * a * (1 - a) * scale
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(
    QKV,
    mistake="The inner sum of the softmax runs over queries, not keys.",
    grads="dq dk",
    says="attention.softmax:softmax.sum-axis",
)
def attention_softmax_sum_over_queries(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        da = dy @ t(v)
        ds = a * (da - (da * a).sum(axis=1, keepdims=True)) * scale
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(
    QKV,
    mistake="The softmax is passed over: da is used as ds.",
    grads="dq dk",
    says="attention.softmax:softmax.missing",
)
def attention_without_softmax_backward(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = dy @ t(v) * scale
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(SAME, mistake="The gradients of k and v are swapped.", grads="dk dv", says="any.wrong-order")
def attention_keys_and_values_swapped(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        return ds @ k, t(a) @ dy, t(ds) @ q

    return y, backward


@wrong(
    SAME,
    mistake="The transpose of ds is missing in dk.",
    grads="dk",
    says="attention.scores:scores.dy-not-transposed",
)
def attention_dk_not_transposed(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        return ds @ k, ds @ q, t(a) @ dy

    return y, backward


@wrong(
    SAME,
    mistake="The transpose of the weights is missing in dv.",
    grads="dv",
    says="attention.mix:matmul.a-transposed",
)
def attention_dv_not_transposed(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        return ds @ k, t(ds) @ q, a @ dy

    return y, backward


@wrong(SAME, mistake="dq is computed with the values in place of the keys.", grads="dq")
def attention_dq_from_values(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        return ds @ v, t(ds) @ q, t(a) @ dy

    return y, backward


@wrong(
    "T D, S D, S E",
    mistake="The loop over queries overwrites dk and dv.",
    grads="dk dv",
    says="any.part-of-dy",
)
def attention_loop_over_queries(q, k, v):
    a, y, scale = attend(q, k, v)

    def backward(dy):
        dq = np.zeros_like(q)
        for i in range(len(q)):
            da = v @ dy[i]
            ds = a[i] * (da - a[i] @ da) * scale
            dq[i] = ds @ k
            dk = np.outer(ds, q[i])
            dv = np.outer(a[i], dy[i])
        return dq, dk, dv

    return y, backward


def causal_parts(q, k, v):
    scale = 1 / np.sqrt(q.shape[-1])
    s = q @ t(k) * scale
    future = np.triu(np.ones(s.shape[-2:], bool), 1)
    return softmax(np.where(future, -1e30, s)), softmax(s), future, scale


@wrong(
    SAME, mistake="The causal mask is ignored: weights are recomputed without.", grads="dq dk dv"
)
def causal_attention_recomputed_unmasked(q, k, v):
    a, free, _, scale = causal_parts(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), free) * scale
        return ds @ k, t(ds) @ q, t(free) @ dy

    return a @ v, backward


@wrong(SAME, mistake="The score gradients are masked by the transposed mask.", grads="dq dk")
def causal_attention_mask_upside_down(q, k, v):
    a, _, future, scale = causal_parts(q, k, v)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        ds = np.where(future.T, 0, ds)
        return ds @ k, t(ds) @ q, t(a) @ dy

    return a @ v, backward


@wrong(SAME, mistake="The diagonal of the causal weights is masked in backward.", grads="dq dk dv")
def causal_attention_off_by_one(q, k, v):
    a, _, _, scale = causal_parts(q, k, v)

    def backward(dy):
        b = np.tril(a, -1)
        ds = b * (dy @ t(v) - (dy @ t(v) * a).sum(-1, keepdims=True)) * scale
        return ds @ k, t(ds) @ q, t(b) @ dy

    return a @ v, backward


SELF = "N T D, D E, D E, D E"


def self_attend(x, wq, wk, wv):
    q, k, v = x @ wq, x @ wk, x @ wv
    a, y, scale = attend(q, k, v)

    def grads(dy):
        ds = softmax_back(dy @ t(v), a) * scale
        return ds @ k, t(ds) @ q, t(a) @ dy

    return y, grads


def weight_grad(x, d):
    return np.einsum("ntd,nte->de", x, d)


@wrong(
    SELF,
    mistake="The use of x as the values is forgotten in dx.",
    grads="dx",
    says="self-attention.value-path",
)
def self_attention_forgets_values(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        dq, dk, dv = grads(dy)
        dx = dq @ wq.T + dk @ wk.T
        return dx, weight_grad(x, dq), weight_grad(x, dk), weight_grad(x, dv)

    return y, backward


@wrong(
    SELF,
    mistake="The use of x as the keys is forgotten in dx.",
    grads="dx",
    says="self-attention.key-path",
)
def self_attention_forgets_keys(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        dq, dk, dv = grads(dy)
        dx = dq @ wq.T + dv @ wv.T
        return dx, weight_grad(x, dq), weight_grad(x, dk), weight_grad(x, dv)

    return y, backward


@wrong(
    SELF,
    mistake="The use of x as the queries is forgotten in dx.",
    grads="dx",
    says="self-attention.query-path",
)
def self_attention_forgets_queries(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        dq, dk, dv = grads(dy)
        dx = np.zeros_like(x)
        for d, w in ((dk, wk), (dv, wv)):
            dx += d @ w.T
        return dx, *(weight_grad(x, d) for d in (dq, dk, dv))

    return y, backward


@wrong(
    SELF,
    mistake="The weight gradients of queries and keys are swapped.",
    grads="dwq dwk",
    says="any.wrong-order",
)
def self_attention_weights_swapped(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        dq, dk, dv = grads(dy)
        dx = dq @ wq.T + dk @ wk.T + dv @ wv.T
        return dx, weight_grad(x, dk), weight_grad(x, dq), weight_grad(x, dv)

    return y, backward


@wrong(
    SELF,
    mistake="The weight gradients keep the batch axis.",
    grads="dwq dwk dwv",
    says="any.not-summed",
)
def self_attention_weights_per_sample(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        ds = grads(dy)
        dx = sum(d @ w.T for d, w in zip(ds, (wq, wk, wv), strict=True))
        return dx, *(t(x) @ d for d in ds)

    return y, backward


@wrong(
    "N T D, D D, D D, D D",
    mistake="The residual's gradient is missing in dx.",
    grads="dx",
    says="any.shortcut-missing",
)
def residual_self_attention_without_skip(x, wq, wk, wv):
    y, grads = self_attend(x, wq, wk, wv)

    def backward(dy):
        ds = grads(dy)
        dx = sum(d @ w.T for d, w in zip(ds, (wq, wk, wv), strict=True))
        return dx, *(weight_grad(x, d) for d in ds)

    return x + y, backward


@wrong("N T D, D D", mistake="x counts once in x W x^T: the right-hand x is forgotten.", grads="dx")
def bilinear_scores_one_side_only(x, w):
    s = x @ w @ t(x)

    def backward(dy):
        return dy @ x @ w.T, np.einsum("nti,nts,nsj->ij", x, dy, x)

    return s, backward


def heads_given(rng):
    return tuple(rng.normal(size=s) for s in ((2, 3, 4), (2, 5, 4), (2, 5, 4), (4, 4)))


def split(m):
    return m.reshape(*m.shape[:2], 2, -1).transpose(0, 2, 1, 3)


def merge(m):
    return m.transpose(0, 2, 1, 3).reshape(m.shape[0], m.shape[2], -1)


@wrong(
    given=heads_given,
    mistake="dy is reshaped to heads without the transposition of the axes.",
    grads="dq dk dv",
)
def multi_head_reshape_without_transpose(q, k, v, wo):
    Q, K, V = split(q), split(k), split(v)
    a, y, scale = attend(Q, K, V)
    merged = merge(y)

    def backward(dy):
        dh = (dy @ wo.T).reshape(y.shape)
        ds = softmax_back(dh @ t(V), a) * scale
        dwo = np.einsum("ntd,nte->de", merged, dy)
        return merge(ds @ K), merge(t(ds) @ Q), merge(t(a) @ dh), dwo

    return merged @ wo, backward


@wrong(
    given=heads_given,
    mistake="The scale uses the model's width, and not that of a head, in dq and dk.",
    grads="dq dk",
    says="any.factor",
)
def multi_head_scale_of_model_width(q, k, v, wo):
    Q, K, V = split(q), split(k), split(v)
    a, y, _ = attend(Q, K, V)
    merged = merge(y)

    def backward(dy):
        dh = split(dy @ wo.T)
        ds = softmax_back(dh @ t(V), a) / np.sqrt(q.shape[-1])
        dwo = np.tensordot(merged, dy, axes=((0, 1), (0, 1)))
        return merge(ds @ K), merge(t(ds) @ Q), merge(t(a) @ dh), dwo

    return merged @ wo, backward


@wrong(
    "N H T D, N S D, N S E",
    mistake="Shared keys get the first head's gradient.",
    grads="dk dv",
    says="any.part-of-dy",
)
def multi_query_attention_first_head_only(q, k, v):
    a, y, scale = attend(q, k[:, None], v[:, None])

    def backward(dy):
        ds = softmax_back(dy @ t(v)[:, None], a) * scale
        dk, dv = t(ds) @ q, t(a) @ dy
        return ds @ k[:, None], dk[:, 0].copy(), dv[:, 0].copy()

    return y, backward


@wrong(
    "N T D, N S D, N S E, T S",
    mistake="The position bias's gradient is a mean over the batch, not a sum.",
    grads="db",
    says="any.factor-too-small",
)
def attention_with_bias_averaged(q, k, v, b):
    scale = 1 / np.sqrt(q.shape[-1])
    a = softmax(q @ t(k) * scale + b)

    def backward(dy):
        ds = softmax_back(dy @ t(v), a)
        return scale * ds @ k, scale * t(ds) @ q, t(a) @ dy, ds.mean(0)

    return a @ v, backward


@wrong(
    "N T D, N S D, N S E, T S",
    mistake="The bias's gradient is multiplied by the scale, though it is added after it.",
    grads="db",
    says="any.factor-too-small",
)
def attention_with_bias_scaled(q, k, v, b):
    scale = 1 / np.sqrt(q.shape[-1])
    a = softmax(q @ t(k) * scale + b)

    def backward(dy):
        ds = scale * softmax_back(dy @ t(v), a)
        return ds @ k, t(ds) @ q, t(a) @ dy, ds.sum(0)

    return a @ v, backward


@wrong("T D, S D, D", mistake="The tanh derivative is missing.", grads="dq dk", says="any.zero")
def additive_attention_without_tanh_derivative(q, k, w):
    h = np.tanh(q[:, None] + k)
    a = softmax(h @ w)

    def backward(dy):
        ds = softmax_back(dy, a)
        dh = ds[..., None] * w
        return dh.sum(1), dh.sum(0), np.einsum("ts,tsd->d", ds, h)

    return a.copy(), backward


@wrong(
    "N T D, D",
    mistake="The path of x through the attention scores is missing.",
    grads="dx",
    says="attention-pool-map.one-map-path",
)
def attention_pooling_constant_scores(x, u):
    a = softmax(x @ u)

    def backward(dy):
        ds = softmax_back(np.einsum("nd,ntd->nt", dy, x), a)
        return a[..., None] * dy[:, None], np.einsum("nt,ntd->d", ds, x)

    return np.einsum("nt,ntd->nd", a, x), backward


def feature(x):
    return np.logaddexp(0, x) + 0.1


@wrong(QKV, mistake="The normaliser's path is missing in dq and dk.", grads="dq dk")
def linear_attention_constant_normaliser(q, k, v):
    fq, fk = feature(q), feature(k)
    kv = t(fk) @ v
    z = fq @ fk.sum(1)[..., None]

    def backward(dy):
        d = dy / z
        dfq = d @ t(kv)
        dkv = t(fq) @ d
        return dfq * sigmoid(q), v @ t(dkv) * sigmoid(k), fk @ dkv

    return fq @ kv / z, backward


@wrong("N T D, N S D, N S E", mistake="The sigmoid's derivative is missing.", grads="dq dk")
def sigmoid_attention_without_derivative(q, k, v):
    a = sigmoid(q @ t(k) / np.sqrt(q.shape[-1]))

    def backward(dy):
        ds = dy @ t(v) / np.sqrt(q.shape[-1])
        return ds @ k, t(ds) @ q, t(a) @ dy

    return a @ v, backward


class Attention:
    """Weights are kept in the class by accident."""

    cache = {}  # noqa: RUF012

    def __call__(self, q, k, v):
        a, y, scale = attend(q, k, v)
        self.cache.update(q=q, k=k, v=v, a=a, scale=scale)
        return y, self.backward

    def backward(self, dy):
        c = self.cache
        ds = softmax_back(dy @ t(c["v"]), c["a"]) * c["scale"]
        return ds @ c["k"], t(ds) @ c["q"], t(c["a"]) @ dy


@wrong(
    QKV,
    mistake="All attention layers share one cache, which a later forward overwrites.",
    says="state.overwritten",
)
def attention_layers_with_one_cache(q, k, v):
    return Attention()(q, k, v)
