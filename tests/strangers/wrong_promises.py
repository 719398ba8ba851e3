"""Wrong operations: memory, state, types, counts and other promises that are broken."""

import numpy as np

from . import wrong


@wrong("N D", mistake="the backward multiplies dy in place, so that the caller's dy is changed")
def relu_in_place(x):
    mask = x > 0

    def backward(dy):
        dy *= mask
        return dy.copy()

    return x * mask, backward


@wrong("N D", mistake="the forward subtracts the mean from the caller's x in place")
def centring_in_place(x):
    x -= x.mean(axis=1, keepdims=True)
    return 2 * x, lambda dy: 2 * (dy - dy.mean(axis=1, keepdims=True))


@wrong("N D", mistake="the backward stores the derivative in the caller's x")
def sine_recycling_x(x):
    saved = x.copy()

    def backward(dy):
        np.cos(saved, out=x)
        return dy * x

    return np.sin(x), backward


@wrong("N D", mistake="the backward overwrites the output y that the caller holds")
def tanh_recycling_y(x):
    y = np.tanh(x)
    kept = y.copy()

    def backward(dy):
        np.subtract(1, kept**2, out=y)
        return dy * y

    return y, backward


@wrong("N C L", mistake="the gradient is a view of dy, it shares the caller's memory")
def flatten(x):
    return x.reshape(len(x), -1).copy(), lambda dy: dy.reshape(x.shape)


@wrong("N D", mistake="the gradient is a read-only broadcast view of dy")
def row_sums(x):
    return x.sum(axis=1), lambda dy: np.broadcast_to(dy[:, None], x.shape)


@wrong("N D, N D", mistake="the two gradients are one and the same array")
def plus(a, b):
    def backward(dy):
        g = dy.copy()
        return g, g

    return a + b, backward


@wrong("N D", mistake="the gradient is dy itself, not a copy of it")
def shift_by_one(x):
    return x + 1, lambda dy: dy


@wrong("N D", mistake="the output is a view of x, it shares the caller's memory")
def transpose_view(x):
    return x.T, lambda dy: dy.T.copy()


@wrong(
    "N I, I O",
    mistake="dw is added up over the calls of the backward and is never reset",
    says="state.adds-up",
)
class AccumulatingDense:
    def __new__(cls, x, w):
        self = super().__new__(cls)
        self.x, self.w = x, w
        self.dw = np.zeros_like(w)
        return x @ w, self.backward

    def backward(self, dy):
        self.dw += self.x.T @ dy
        return dy @ self.w.T, self.dw.copy()


_cache = {}


@wrong(
    "N D",
    mistake="the cache is shared, a later forward call overwrites what backward needs",
    says="state.overwritten",
)
def square_with_global_cache(x):
    _cache["x"] = x.copy()
    return x**2, lambda dy: 2 * dy * _cache["x"][: len(dy), : dy.shape[1]]


class _Exponential:
    def forward(self, x):
        self.y = np.exp(-(x**2))
        self.slope = -2 * x * self.y
        return self.y.copy(), self.backward

    def backward(self, dy):
        return np.resize(self.slope, dy.shape) * dy


_bell = _Exponential()


@wrong(
    "N D",
    mistake="one layer object keeps the slope of the most recent forward call only",
    says="state.overwritten",
)
def bell_curve(x):
    return _bell.forward(x)


@wrong(
    "N D",
    mistake="from the second call on, backward gives the gradient of the call before",
    says="state.previous-call",
)
def late_gradient(x):
    calls = []

    def backward(dy):
        calls.append(3 * dy)
        return calls[max(0, len(calls) - 2)].copy()

    return 3 * x, backward


@wrong(
    "N D",
    mistake="backward gives the gradient of the call before, at first zeros",
    grads="dx",
    says="any.zero state.called-again",
)
def delayed_by_one(x):
    buffer = [np.zeros_like(x)]

    def backward(dy):
        buffer.append(dy * np.cos(x))
        return buffer.pop(0)

    return np.sin(x), backward


@wrong(
    "N D",
    mistake="a second call of backward overwrites the array that the first one gave",
    says="state.gradients-reused",
)
def reused_buffer(x):
    out = np.empty_like(x)
    return 5 * x, lambda dy: np.multiply(dy, 5, out=out)


@wrong(
    "N D",
    mistake="backward multiplies the saved slope by dy in place, so only one call is right",
    says="state.called-again",
)
def spoiled_cache(x):
    slope = 1 - np.tanh(x) ** 2

    def backward(dy):
        nonlocal slope
        slope *= dy
        return slope.copy()

    return np.tanh(x), backward


@wrong("N D", mistake="backward takes x out of its cache, so that a second call raises")
def single_use(x):
    cache = {"x": x}

    def backward(dy):
        return 3 * cache.pop("x") ** 2 * dy

    return x**3, backward


@wrong("N D", mistake="the gradient is float32", grads="dx")
def single_precision(x):
    return 2 * x, lambda dy: (2 * dy).astype(np.float32)


@wrong("N I, I O", mistake="dw is computed and given in half precision", grads="dw")
def half_precision_weights(x, w):
    def backward(dy):
        dw = np.clip(x.T @ dy, -6e4, 6e4)
        return dy @ w.T, dw.astype(np.float16)

    return x @ w, backward


@wrong("N D", mistake="the gradient is complex, its real part is not taken", grads="dx")
def low_pass(x):
    n = x.shape[1]
    keep = np.minimum(np.arange(n), n - np.arange(n)) <= n / 4

    def smooth(z):
        return np.fft.ifft(np.fft.fft(z, axis=1) * keep, axis=1)

    return smooth(x).real.copy(), smooth


@wrong("N D", mistake="the gradient is an array of Python objects", grads="dx")
def object_gradient(x):
    return x * 4, lambda dy: (4 * dy).astype(object)


@wrong("N D", mistake="the gradient is truncated to integers", grads="dx")
def integer_gradient(x):
    return 7 * x, lambda dy: (7 * dy).astype(int)


@wrong("N I, I O", mistake="dw is an np.matrix in place of a plain array")
def matrix_gradient(x, w):
    return x @ w, lambda dy: (dy @ w.T, np.asmatrix(x.T @ dy))


@wrong("N D", mistake="the gradient is a masked array")
def masked_gradient(x):
    def backward(dy):
        return np.ma.masked_array(dy * (x > 0), mask=x <= 0)

    return np.maximum(x, 0), backward


@wrong("N D", mistake="the gradient is a record array with one field", grads="dx")
def record_gradient(x):
    def backward(dy):
        rec = np.zeros(x.shape, dtype=[("dx", float)])
        rec["dx"] = -dy
        return rec.view(np.recarray)

    return -x, backward


@wrong("N D", mistake="the gradient is a list of lists in place of an array")
def nested_list(x):
    return 0.5 * x, lambda dy: [[0.5 * g for g in row] for row in dy.tolist()]


@wrong("N I, I O", mistake="the gradients are given in a dict in place of a tuple")
def dictionary(x, w):
    return x @ w, lambda dy: {"x": dy @ w.T, "w": x.T @ dy}


@wrong("N I, I O, O", mistake="only two gradients are given, that of the bias is left out")
def bias_left_out(x, w, b):
    return x @ w + b, lambda dy: (dy @ w.T, x.T @ dy)


@wrong("N I, I O", mistake="a third gradient is given for an argument that does not exist")
def one_too_many(x, w):
    return x @ w, lambda dy: (dy @ w.T, x.T @ dy, dy.sum(axis=0))


@wrong("N D, N D", mistake="the gradient of the second argument is None", grads="db")
def none_for_target(a, b):
    return (a - b) ** 2, lambda dy: (2 * dy * (a - b), None)


@wrong("N D", mistake="backward returns nothing, its return is missing", grads="dx")
def no_return(x):
    def backward(dy):
        dx = 2 * dy * x  # noqa: F841

    return x**2, backward


@wrong(
    "N I, I O",
    mistake="the gradients are given in the order dw, dx",
    grads="dx dw",
    says="any.wrong-order",
)
def swapped_gradients(x, w):
    return x @ w, lambda dy: (x.T @ dy, dy @ w.T)


@wrong(
    "N D, N D, N D",
    mistake="the gradients of the first and third argument are swapped",
    grads="da dc",
    says="any.wrong-order",
)
def triple_product(a, b, c):
    return a * b * c, lambda dy: (dy * a * b, dy * a * c, dy * b * c)


@wrong(
    given=lambda rng: (1000 * rng.normal(size=(3, 4)),),
    mistake="exp(x) / (1 + exp(x)) is NaN for large x",
    grads="dx",
)
def softplus_overflow(x):
    def backward(dy):
        with np.errstate(over="ignore", invalid="ignore"):
            return dy * np.exp(x) / (1 + np.exp(x))

    return np.logaddexp(0, x), backward


@wrong(
    given=lambda rng: (np.linspace(-1, 1, 12).reshape(3, 4) * rng.uniform(900, 2000),),
    mistake="the softmax in the backward does not subtract the maximum, it is NaN for large x",
    grads="dx",
)
def log_sum_exp_overflow(x):
    m = x.max(axis=1, keepdims=True)
    y = m[:, 0] + np.log(np.exp(x - m).sum(axis=1))

    def backward(dy):
        with np.errstate(all="ignore"):
            e = np.exp(x)
            return dy[:, None] * e / e.sum(axis=1, keepdims=True)

    return y, backward


@wrong(
    given=lambda rng: (rng.normal(size=(3, 4)) * (np.indices((3, 4)).sum(axis=0) % 2),),
    mistake="x / x is used for 1 where x is 0, which gives NaN",
    grads="dx",
)
def cube_by_division(x):
    def backward(dy):
        with np.errstate(invalid="ignore"):
            return 3 * dy * x**3 / x

    return x**3, backward


@wrong(
    "N I, I O",
    mistake="backward raises, for it multiplies dy with a matrix of the wrong height",
    grads="",
)
def raising(x, w):
    def backward(dy):
        z = np.zeros((w.shape[1] + 1, 1))
        return dy @ z, x.T @ dy

    return x @ w, backward


@wrong("N D", mistake="backward raises a KeyError, the mask was never saved", grads="")
def forgotten_cache(x):
    cache = {}
    return np.maximum(x, 0), lambda dy: dy * cache["mask"]


@wrong("N D", mistake="the gradient is clipped to [-1, 1]", grads="dx", says="any.clipped")
def clipped_gradient(x):
    return 4 * x, lambda dy: np.clip(4 * dy, -1, 1)


@wrong(
    "N D",
    mistake="the gradient is scaled to the length 1, it is not linear in dy",
    grads="dx",
    says="any.normalised",
)
def normalised_gradient(x):
    def backward(dy):
        g = dy * np.cos(x)
        return g / (np.linalg.norm(g) + 1e-12)

    return np.sin(x), backward


@wrong(
    "N D",
    mistake="the modulus of dy is used, so that negative dy are wrong",
    grads="dx",
    says="any.dy-sign-lost",
)
def modulus_of_dy(x):
    return 1.5 * x, lambda dy: 1.5 * np.abs(dy)


@wrong(
    "N D",
    mistake="dy is ignored, the gradient is that of the sum of y",
    grads="dx",
    says="any.dy-ignored",
)
def ignores_dy(x):
    return np.sin(x), lambda dy: np.cos(x)


@wrong(
    "N I, I O",
    mistake="backward makes a step of gradient descent on the caller's w",
    says="state.called-again",
)
def learns_by_itself(x, w):
    def backward(dy):
        dx, dw = dy @ w.T, x.T @ dy
        w[...] -= 0.01 * dw
        return dx, dw

    return x @ w, backward


@wrong("N D", mistake="every forward call draws another mask, so that y is random")
def fresh_dropout(x):
    mask = np.random.default_rng().integers(0, 2, size=x.shape)
    return 2 * x * mask, lambda dy: 2 * dy * mask


@wrong(
    "N D",
    mistake="backward draws a mask of its own in place of the forward's",
    grads="dx",
    says="state.called-again",
)
def dropout_with_another_mask(x):
    rng = np.random.default_rng(7)
    mask = rng.random(x.shape) < 0.5
    return 2 * x * mask, lambda dy: 2 * dy * (rng.random(x.shape) < 0.5)


@wrong("N D", mistake="noise is added to the gradient", grads="dx", says="state.called-again")
def noisy_gradient(x):
    rng = np.random.default_rng()
    return 3 * x, lambda dy: 3 * dy + 0.1 * rng.normal(size=x.shape)


@wrong(
    "N D", mistake="two mistakes: dy is changed in place and the gradient is float32", grads="dx"
)
def careless_square(x):
    def backward(dy):
        dy *= 2 * x
        return dy.astype("f4")

    return x**2, backward
