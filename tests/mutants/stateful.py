"""Backwards that change what they were given, or that depend on other calls."""

import numpy as np

from mutants import wrong

# What was passed in is changed.


@wrong("relu", "...", says="changes dy")
def relu_writes_zeros_into_dy(x):
    """Dy itself is masked in place, and a copy of it is returned."""
    off = x <= 0

    def backward(dy):
        dy[off] = 0
        return dy.copy()

    return np.maximum(x, 0), backward


@wrong("sigmoid", "...", says="changes dy")
def sigmoid_multiplies_dy_in_place(x):
    """The product rule is built up with dy *= ..., in the array of the caller."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        dy *= y
        dy *= 1 - y
        return dy.copy()

    return y.copy(), backward


@wrong("global_avg_pool", "N C H W", says="changes dy")
def pooling_divides_dy_in_place(x):
    """Dy /= H*W saves a copy, and spoils the gradient of the caller."""

    def backward(dy):
        dy /= x.shape[2] * x.shape[3]
        return np.zeros_like(x) + dy[:, :, None, None]

    return x.mean(axis=(2, 3)), backward


@wrong("relu", "...", says="changes x")
def relu_clips_x_in_backward(x):
    """Backward sets the negative entries of x to zero to save the mask."""

    def backward(dy):
        np.maximum(x, 0, out=x)
        return dy * (x > 0)

    return np.maximum(x, 0), backward


@wrong("relu", "...", says="changes x|shares memory")
def relu_uses_x_as_the_gradient(x):
    """The gradient is written over x, and x is returned."""

    def backward(dy):
        np.multiply(dy, x > 0, out=x)
        return x

    return np.maximum(x, 0), backward


@wrong("relu", "...", says="changes x")
def relu_works_in_place(x):
    """Forward writes y over x, and backward finds the mask in what is left."""
    y = np.maximum(x, 0, out=x)

    def backward(dy):
        return dy * (x > 0)

    return y.copy(), backward


@wrong("linear", "N I, O I", says="changes w")
def linear_updates_its_weight(x, w):
    """Backward takes a step down on the weight, which is the work of the optimiser."""

    def backward(dy):
        dx, dw = dy @ w, dy.T @ x
        w[...] -= 0.1 * dw
        return dx, dw

    return x @ w.T, backward


@wrong("channel_scale", "N C H W, N C", says="changes x")
def scale_multiplies_x_in_place(x, s):
    """Backward computes dy x in the memory of x to save an array."""
    y = x * s[:, :, None, None]

    def backward(dy):
        dx = dy * s[:, :, None, None]
        np.multiply(x, dy, out=x)
        return dx, x.sum(axis=(2, 3))

    return y, backward


@wrong("softmax_cross_entropy", "N K, int N", says="changes labels|changes the labels")
def loss_shifts_its_labels(logits, labels):
    """Backward turns the labels into flat indices in place: a second use finds them changed."""
    n, k = logits.shape
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(n), labels]).mean()

    def backward(dloss):
        labels[...] += np.arange(n) * k
        dlogits = p.copy()
        dlogits.ravel()[labels % (n * k)] -= 1
        return dlogits * dloss / n

    return loss, backward


# What is kept between the two passes is lost, spoiled or shared by all calls.

CACHE = {}
STACK = []
BUFFERS = {}


@wrong("sigmoid", "...", says="later forward call")
def sigmoid_keeps_y_in_the_module(x):
    """Y is kept in a dictionary of the module, and the next forward pass overwrites it."""
    CACHE["y"] = 1 / (1 + np.exp(-x))

    def backward(dy):
        y = CACHE["y"]
        return dy * y * (1 - y)

    return CACHE["y"].copy(), backward


class _Linear:
    def forward(self, x, w):
        self.x, self.w = x, w
        return x @ w.T

    def backward(self, dy):
        return dy @ self.w, dy.T @ self.x


LAYER = _Linear()


@wrong("linear", "N I, O I", says="later forward call")
def linear_keeps_x_in_one_layer_object(x, w):
    """One layer object serves all calls: its x is that of the last forward pass."""
    return LAYER.forward(x, w), LAYER.backward


@wrong("relu", "...", says="later forward call")
def relu_keeps_its_mask_on_the_function(x):
    """The mask is an attribute of the function, and the next forward pass overwrites it."""
    relu_keeps_its_mask_on_the_function.mask = x > 0

    def backward(dy):
        return dy * relu_keeps_its_mask_on_the_function.mask

    return np.maximum(x, 0), backward


@wrong("linear", "N I, O I", says="later forward call")
def linear_pushes_x_on_a_stack(x, w):
    """X goes on a list, and every backward looks at the last one that was put there."""
    STACK.append(x)
    del STACK[:-1]

    def backward(dy):
        return dy @ w, dy.T @ STACK[-1]

    return x @ w.T, backward


@wrong("tanh", "...", says="changes y|second|called again|call of backward")
def tanh_spoils_the_y_that_it_kept(x):
    """Backward squares y in place: a second call starts from y^2."""
    y = np.tanh(x)

    def backward(dy):
        np.multiply(y, y, out=y)
        return dy * (1 - y)

    return y.copy(), backward


@wrong("sigmoid", "...", says="changes y|second|called again|call of backward")
def sigmoid_changes_the_y_that_it_gave(x):
    """Backward computes y (1 - y) in the memory of y, which the caller holds."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        np.multiply(y, 1 - y, out=y)
        return dy * y

    return y, backward


@wrong("softmax_cross_entropy", "N K, int N", says="second|called again|call of backward|adds to")
def loss_subtracts_the_one_hot_in_its_cache(logits, labels):
    """P[rows, labels] -= 1 changes the p that was kept: every call subtracts 1 more."""
    rows = np.arange(len(logits))
    exp = np.exp(logits - logits.max(axis=1, keepdims=True))
    p = exp / exp.sum(axis=1, keepdims=True)
    loss = -np.log(p[rows, labels]).mean()

    def backward(dloss):
        p[rows, labels] -= 1
        return p * dloss / len(p)

    return loss, backward


@wrong("linear", "N I, O I", says="second|called again|call of backward|raises")
def linear_frees_its_cache(x, w):
    """Backward takes x out of its cache, and a second call finds nothing and raises."""
    cache = [x]

    def backward(dy):
        return dy @ w, dy.T @ cache.pop()

    return x @ w.T, backward


@wrong("channel_scale", "N C H W, N C", says="second|called again|call of backward")
def scale_clears_its_cache(x, s):
    """Backward sets what it kept to zero, so a second call gives zero."""
    kept_x, kept_s = x.copy(), s[:, :, None, None].copy()

    def backward(dy):
        dx, ds = dy * kept_s, (dy * kept_x).sum(axis=(2, 3))
        kept_x.fill(0)
        kept_s.fill(0)
        return dx, ds

    return x * s[:, :, None, None], backward


# Gradients are added up over calls.


@wrong("linear", "N I, O I", says="adds to")
def linear_accumulates_dw_over_calls(x, w):
    """Dw is set to zero in forward only: a second backward adds to the first."""
    dw = np.zeros_like(w)

    def backward(dy):
        nonlocal dw
        dw = dw + dy.T @ x
        return dy @ w, dw.copy()

    return x @ w.T, backward


@wrong("conv2d", "N C H W, F C KH KW", says="adds to")
def conv_accumulates_dx_over_calls(x, w):
    """The array of dx is made once in forward, and every backward adds to it."""
    kh, kw = w.shape[2:]
    oh, ow = x.shape[2] - kh + 1, x.shape[3] - kw + 1
    y = np.zeros((len(x), len(w), oh, ow))
    for i in range(kh):
        for j in range(kw):
            seen = x[:, :, i : i + oh, j : j + ow]
            y += np.einsum("ncpq,fc->nfpq", seen, w[:, :, i, j])
    dx_sum = np.zeros_like(x)

    def backward(dy):
        dw = np.zeros_like(w)
        for i in range(kh):
            for j in range(kw):
                seen = np.s_[:, :, i : i + oh, j : j + ow]
                dx_sum[seen] += np.einsum("nfpq,fc->ncpq", dy, w[:, :, i, j])
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, x[seen])
        return dx_sum.copy(), dw

    return y, backward


# Results that share memory.


@wrong("flatten", "N C H W", says="shares memory")
def flatten_returns_a_view_of_dy(x):
    """Dx is dy seen in another shape: who changes one changes both."""

    def backward(dy):
        return dy.reshape(x.shape)

    return x.reshape(len(x), -1).copy(), backward


@wrong("flatten", "N C H W", says="shares memory")
def flatten_returns_a_view_of_x(x):
    """Y is x seen in another shape: who changes one changes both."""

    def backward(dy):
        return dy.reshape(x.shape).copy()

    return x.reshape(len(x), -1), backward


@wrong("add", "N C, N C", says="shares memory")
def add_returns_dy_itself(x, skip):
    """Both gradients are dy, the array of the caller."""

    def backward(dy):
        return dy, dy

    return x + skip, backward


@wrong("add", "N C, N C", says="shares? memory|same array")
def add_returns_one_array_twice(x, skip):
    """The two gradients are one array: who scales one scales both."""

    def backward(dy):
        dx = dy.copy()
        return dx, dx

    return x + skip, backward


@wrong(
    "linear",
    "N I, O I",
    says=r"writes into the gradients that its first call gave",
)
def linear_returns_one_buffer_from_every_call(x, w):
    """Dx and dw are written into the same arrays by every call, over those of the call before."""
    dx, dw = np.empty_like(x), np.empty_like(w)

    def backward(dy):
        np.matmul(dy, w, out=dx)
        np.matmul(dy.T, x, out=dw)
        return dx, dw

    return x @ w.T, backward


@wrong(
    "global_avg_pool",
    "N C H W",
    says=r"writes into the gradients that its first call gave",
)
def pooling_keeps_one_buffer_in_the_module(x):
    """Dx is kept by its shape in the module, and every call gives out the same array."""

    def backward(dy):
        dx = BUFFERS.setdefault(x.shape, np.empty(x.shape))
        dx[...] = dy[:, :, None, None] / (x.shape[2] * x.shape[3])
        return dx

    return x.mean(axis=(2, 3)), backward
