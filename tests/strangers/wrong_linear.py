"""Wrong operations: dense layers, scales, gates, mixtures and shared weights."""

import numpy as np

from . import wrong


def _sigmoid(z):
    return 0.5 * (np.tanh(0.5 * z) + 1)


@wrong(
    "N I, I O, O",
    mistake="db is the mean over the batch in place of the sum",
    grads="db",
    says="any.factor-too-small",
)
def dense_with_averaged_bias(x, w, b):
    def backward(dy):
        return dy @ w.T, x.T @ dy, dy.mean(axis=0)

    return x @ w + b, backward


@wrong(
    "N I, I O, O",
    mistake="db is summed over all axes and repeated for each output",
    grads="db",
    says="any.dy-mixed",
)
def dense_with_total_bias(x, w, b):
    return x @ w + b, lambda dy: (dy @ w.T, x.T @ dy, np.full_like(b, dy.sum()))


@wrong(
    "N I, O I, O",
    mistake="dW has the layout (I, O), the weights have (O, I)",
    grads="dW",
    says="any.transposed",
)
class TorchLinear:
    def __new__(cls, x, W, b):
        self = super().__new__(cls)
        self.cache = x, W
        return x @ W.T + b, self.backward

    def backward(self, dy):
        x, W = self.cache
        return dy @ W, x.T @ dy, dy.sum(0)


@wrong(
    "N I, I O",
    mistake="the scale 1/sqrt(I) of the forward is missing in dw",
    grads="dw",
    says="any.factor-too-large",
)
def scaled_dense(x, w):
    s = 1 / np.sqrt(x.shape[1])
    return s * (x @ w), lambda dy: (s * dy @ w.T, x.T @ dy)


@wrong(
    "N I, I O",
    mistake="weight decay is added to the gradient of the operation",
    grads="dw",
    says="any.weight-decay",
)
def dense_with_decay(x, w):
    return x @ w, lambda dy: (dy @ w.T, x.T @ dy + 0.1 * w)


@wrong(
    "N I, I O",
    mistake="dw is divided by the batch size, though y is no mean",
    grads="dw",
    says="any.factor-too-small",
)
def dense_batch_mean(x, w):
    return x @ w, lambda dy: (dy @ w.T, x.T @ dy / len(x))


@wrong(
    "N D, D, D",
    mistake="the gradient of the scale lacks the factor x",
    grads="dgamma",
    says="any.other-gradient",
)
def scale_and_shift(x, gamma, beta):
    y = gamma * x + beta
    return y, lambda dy: (dy * gamma, dy.sum(axis=0), dy.sum(axis=0))


@wrong(
    "N D, D, D",
    mistake="two mistakes: dbeta has the wrong sign and dx lacks gamma",
    grads="dx dbeta",
    says="any.derivative-missing any.sign",
)
def shift_then_scale(x, gamma, beta):
    c = x - beta
    return gamma * c, lambda dy: (dy.copy(), (dy * c).sum(0), (gamma * dy).sum(0))


@wrong(
    "N D, D D",
    mistake="the gradient of the skip connection is forgotten",
    grads="dx",
    says="residual.addition-path",
)
def residual(x, w):
    h = np.tanh(x @ w)

    def backward(dy):
        da = dy * (1 - h**2)
        return da @ w.T, x.T @ da

    return x + h, backward


@wrong(
    "N D, D D",
    mistake="the skip connection passes its gradient twice",
    grads="dx",
    says="any.shortcut-added",
)
def residual_twice(x, w):
    def backward(dy):
        dx = dy @ w.T
        dx += dy
        dx += dy
        return dx, x.T @ dy

    return x @ w + x, backward


@wrong("N D, N D", mistake="dgate lacks the derivative of the sigmoid", grads="dgate")
def gated(x, gate):
    s = _sigmoid(gate)
    return x * s, lambda dy: (dy * s, dy * x)


@wrong(
    "N D, N D",
    mistake="both factors get the gradient of the other one",
    grads="da db",
    says="any.wrong-order",
)
def elementwise_product(a, b):
    return a * b, lambda dy: (dy * a, dy * b)


@wrong(
    "N D, N D, N D",
    mistake="the part -b of the gradient for the mixing weight is missing",
    grads="dz",
)
def mixture(a, b, z):
    s = _sigmoid(z)
    y = s * a + (1 - s) * b
    return y, lambda dy: (dy * s, dy * (1 - s), dy * a * s * (1 - s))


@wrong(
    "N D, N D",
    mistake="db gets the weight 0.3 of a in place of its own 0.7",
    grads="db",
    says="any.factor",
)
def fixed_blend(a, b):
    return 0.3 * a + 0.7 * b, lambda dy: (0.3 * dy, (1 - 0.7) * dy)


@wrong("N I, I H", mistake="of the tied weights only the decoder's use is counted", grads="dw")
def tied_autoencoder(x, w):
    h = x @ w

    def backward(dy):
        return dy @ w @ w.T, dy.T @ h

    return h @ w.T, backward


@wrong(
    "N D, D D",
    mistake="the part of the second use of w is not transposed",
    grads="dw",
)
def tied_square(x, w):
    h = x @ w

    def backward(dy):
        dh = dy @ w
        return dh @ w.T, x.T @ dh + h.T @ dy

    return h @ w.T, backward


@wrong("N I, N I, I O", mistake="dw counts the first of the two branches only", grads="dw")
def siamese(a, b, w):
    y = a @ w - b @ w
    return y, lambda dy: (dy @ w.T, -dy @ w.T, a.T @ dy)


@wrong("N D, D D, D", mistake="db counts only the addition behind the product", grads="db")
def bias_used_twice(x, w, b):
    z = x + b

    def backward(dy):
        dz = dy @ w.T
        return dz, z.T @ dy, dy.sum(axis=0)

    return z @ w + b, backward


@wrong(
    "N I, I O, I R, R O",
    mistake="the scale alpha of the low-rank part is missing in dA",
    grads="dA",
    says="any.factor",
)
def low_rank_adapter(x, W, A, B):
    alpha = 0.25
    xa = x @ A

    def backward(dy):
        dx = dy @ W.T + alpha * dy @ B.T @ A.T
        return dx, x.T @ dy, x.T @ (dy @ B.T), alpha * xa.T @ dy

    return x @ W + alpha * xa @ B, backward


@wrong(
    "N D",
    mistake="the factor 1/keep of the kept values is missing in the backward",
    grads="dx",
    says="any.factor",
)
def dropout_fixed_mask(x):
    keep = 0.6
    mask = np.random.default_rng(3).random(x.shape) < keep
    mask[0] = True
    return x * mask / keep, lambda dy: dy * mask


@wrong(
    given=lambda rng: (rng.normal(size=(3, 6)),),
    mistake="the gradients of value and gate are put together in swapped order",
    grads="dx",
    says="any.entries-reordered",
)
def gated_linear_unit(x):
    a, b = np.hsplit(x, 2)
    s = _sigmoid(b)
    return a * s, lambda dy: np.hstack([dy * a * s * (1 - s), dy * s])


@wrong(
    "N I, I I, I",
    mistake="the mask of the ReLU is taken from x, not from x @ w + b",
    grads="dx dw db",
    says="dense-activation.activation.x-for-a",
)
def dense_relu(x, w, b):
    z = x @ w + b

    def backward(dy):
        g = dy * (x > 0)
        return g @ w.T, x.T @ g, g.sum(axis=0)

    return np.maximum(z, 0), backward


@wrong(
    "N D, N D",
    mistake="the gradient of the targets has the sign of that of the predictions",
    grads="dt",
    says="any.sign",
)
def squared_errors(p, t):
    e = p - t
    return e**2, lambda dy: (2 * dy * e, 2 * dy * e)


@wrong(
    "N D, N D",
    mistake="the mean over all elements is divided by the rows only",
    grads="dp dt",
    says="any.factor-too-large",
)
def mean_squared_error(p, t):
    e = p - t
    y = np.array([(e**2).mean()])

    def backward(dy):
        g = 2 * dy[0] * e / len(e)
        return g, -g

    return y, backward


@wrong(
    "N C L, N C",
    mistake="the scales differ per example, but their gradient is summed over the batch",
    grads="dg",
    says="any.summed",
)
def per_example_channel_scale(x, g):
    def backward(dy):
        dg = np.zeros_like(g) + (dy * x).sum(axis=(0, 2))
        return dy * g[:, :, None], dg

    return x * g[:, :, None], backward


@wrong("N I, I O", mistake="the pruned weights get a gradient", grads="dw", says="any.mask-missing")
def pruned_dense(x, w):
    mask = np.add.outer(np.arange(w.shape[0]), np.arange(w.shape[1])) % 3 != 0
    return x @ (w * mask), lambda dy: (dy @ (w * mask).T, x.T @ dy)


@wrong("N I, I O", mistake="the factor 2 w of the squared weights is missing", grads="dw")
def positive_weights(x, w):
    return x @ w**2, lambda dy: (dy @ (w**2).T, x.T @ dy)


@wrong(
    given=lambda rng: (rng.normal(size=(4, 3)), rng.normal(size=(5, 3, 2))),
    mistake="the 1/K of the mean over the members is missing in dw",
    grads="dw",
    says="any.factor-too-large",
)
def ensemble(x, w):
    K = len(w)
    y = np.einsum("ni,kio->no", x, w) / K

    def backward(dy):
        dx = np.einsum("no,kio->ni", dy, w) / K
        return dx, np.repeat((x.T @ dy)[None], K, axis=0)

    return y, backward


@wrong(
    "N K, N K D",
    mistake="the term -p sum(p dp) of the softmax's gradient is missing",
    grads="dlogits",
)
def softmax_mixture(logits, experts):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)

    def backward(dy):
        dp = np.einsum("nd,nkd->nk", dy, experts)
        return p * dp, p[:, :, None] * dy[:, None, :]

    return np.einsum("nk,nkd->nd", p, experts), backward


@wrong(
    "N I, I H, H O",
    mistake="the hidden gradient does not go through the tanh for dw1",
    grads="dw1",
    says="mlp.dw1-too-early",
)
def two_layers(x, w1, w2):
    h = np.tanh(x @ w1)

    def backward(dy):
        dh = dy @ w2.T
        da = dh * (1 - h**2)
        return da @ w1.T, x.T @ dh, h.T @ dy

    return h @ w2, backward


@wrong(
    "N I, I O, O",
    mistake="two mistakes: the ReLU is forgotten in dx, and db has the shape (1, O)",
    grads="dx db",
    says="any.axis-kept any.mask-missing",
)
def relu_then_dense(x, w, b):
    h = np.maximum(x, 0)

    def backward(dy):
        return dy @ w.T, h.T @ dy, dy.sum(axis=0, keepdims=True)

    return h @ w + b, backward
