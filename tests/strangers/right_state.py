"""Right operations that keep something: classes, caches, buffers, memos, generators."""

import functools
from collections import namedtuple

import numpy as np

from numpy_se.checker import from_cache, from_class

from . import right


class Dense:
    """A layer with two parameters."""

    def forward(self, x):
        """Keep x."""
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy):
        """Set the gradients of the parameters, return that of x."""
        self.dW = self.x.T @ dy
        self.db = dy.sum(axis=0)
        return dy @ self.W.T


right("N I, I O, O", title="dense class")(from_class(Dense, W="dW", b="db"))


class LayerNorm:
    """Last axis, with gain and shift."""

    eps = 1e-5

    def forward(self, x):
        """Keep what is normalised."""
        mu = x.mean(-1, keepdims=True)
        var = ((x - mu) ** 2).mean(-1, keepdims=True)
        self.inv = 1 / np.sqrt(var + self.eps)
        self.xhat = (x - mu) * self.inv
        return self.gamma * self.xhat + self.beta

    def backward(self, dout):
        """The compact formula."""
        self.grad_gamma = np.sum(dout * self.xhat, axis=(0, 1))
        self.grad_beta = np.sum(dout, axis=(0, 1))
        g = dout * self.gamma
        centred = g - g.mean(-1, keepdims=True)
        return self.inv * (centred - self.xhat * (g * self.xhat).mean(-1, keepdims=True))


right("N T D, D, D", title="layer norm class")(
    from_class(LayerNorm, gamma="grad_gamma", beta="grad_beta")
)


class PReLU:
    """A slope for each channel; the mask is in place of the input."""

    def forward(self, x):
        """Keep the negative part only."""
        self.neg = np.minimum(x, 0)
        self.positive = x > 0
        return np.where(self.positive, x, self.slope * x)

    def backward(self, dy):
        """Zero belongs to the negative side."""
        self.slope_grad = (dy * self.neg).sum(axis=0)
        return np.where(self.positive, dy, self.slope * dy)


right("N D, D", title="prelu class")(from_class(PReLU, slope="slope_grad"))


class Swish:
    """No parameter at all."""

    def forward(self, x):
        """Multiply by the sigmoid."""
        self.x, self.s = x, 0.5 * (1 + np.tanh(x / 2))
        return x * self.s

    def backward(self, dy):
        """The rule for products."""
        return dy * self.s * (1 + self.x * (1 - self.s))


right("N C H W", title="swish class")(from_class(Swish))


class TwoLayers:
    """A network with a list of layers, each an object."""

    def forward(self, x):
        """Make the layers anew, since the parameters may have changed."""
        first, second = Dense(), Dense()
        first.W, first.b, second.W, second.b = self.w1, 0.1, self.w2, 0.0
        act = Swish()
        self.layers = [first, act, second]
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, grad):
        """Layer by layer."""
        for layer in reversed(self.layers):
            grad = layer.backward(grad)
        self.g1, self.g2 = self.layers[0].dW, self.layers[2].dW
        return grad


right("N I, I H, H O", title="two layers class")(from_class(TwoLayers, w1="g1", w2="g2"))


def affine_tanh_forward(x, w, b):
    """Return the output and a tuple."""
    out = np.tanh(x.dot(w) + b)
    return out, (x, w, out)


def affine_tanh_backward(dout, cache):
    """Unpack the tuple."""
    x, w, out = cache
    dz = dout * (1 - out**2)
    return dz.dot(w.T), x.T.dot(dz), np.sum(dz, axis=0)


right("N D, D M, M", title="affine tanh cache")(
    from_cache(affine_tanh_forward, affine_tanh_backward)
)


def batchnorm_forward(x, gamma, beta, eps=1e-5):
    """Return a dict for the backward pass."""
    cache = {"gamma": gamma, "mean": x.mean(axis=0)}
    cache["xc"] = x - cache["mean"]
    cache["std"] = np.sqrt((cache["xc"] ** 2).mean(axis=0) + eps)
    cache["xhat"] = cache["xc"] / cache["std"]
    return gamma * cache["xhat"] + beta, cache


def batchnorm_backward(dout, cache):
    """Step by step along the graph."""
    N = dout.shape[0]
    dxhat = dout * cache["gamma"]
    dstd = -np.sum(dxhat * cache["xc"], axis=0) / cache["std"] ** 2
    dvar = 0.5 * dstd / cache["std"]
    dxc = dxhat / cache["std"] + 2.0 / N * cache["xc"] * dvar
    dx = dxc - dxc.sum(axis=0) / N
    return dx, np.sum(dout * cache["xhat"], axis=0), dout.sum(axis=0)


right("N D, D, D", title="batchnorm dict cache")(from_cache(batchnorm_forward, batchnorm_backward))

Saved = namedtuple("Saved", "p onehot")


def focal_like_forward(logits, labels):
    """The sum of (1 - p)^2 at the labels."""
    e = np.exp(logits - logits.max(1, keepdims=True))
    saved = Saved(e / e.sum(1, keepdims=True), np.eye(logits.shape[1])[labels])
    return np.sum((1 - (saved.p * saved.onehot).sum(1)) ** 2), saved


def focal_like_backward(dout, saved):
    """A named tuple."""
    pt = (saved.p * saved.onehot).sum(1, keepdims=True)
    return -2 * dout * (1 - pt) * pt * (saved.onehot - saved.p)


right("N C, int N", title="focal namedtuple cache")(
    from_cache(focal_like_forward, focal_like_backward)
)

_buffers = {}


def buffer_for(name, shape):
    """One array for each name and shape, for ever."""
    if (name, shape) not in _buffers:
        _buffers[name, shape] = np.empty(shape)
    return _buffers[name, shape]


@right("N I, I O")
def matmul_into_buffer(x, w):
    """The output is overwritten by the next call."""
    y = np.matmul(x, w, out=buffer_for("mm", (x.shape[0], w.shape[1])))
    return y, lambda dy: (dy @ w.T, x.T @ dy)


@right("N D, D")
def tanh_with_out(x, scale):
    """Arithmetic in place in a buffer; what backward needs is its own."""
    buf = buffer_for("tanh", x.shape)
    np.multiply(x, scale, out=buf)
    np.tanh(buf, out=buf)
    kept = 1 - buf**2

    def backward(dy):
        work = buffer_for("work", x.shape)
        np.multiply(dy, kept, out=work)
        return work * scale, np.einsum("nd,nd->d", work, x)

    return buf, backward


@functools.lru_cache(maxsize=64)
def cosine_basis(n):
    """A constant matrix that is made once for each size."""
    m = np.cos(np.pi * np.outer(np.arange(n) + 0.5, np.arange(n)) / n)
    m.flags.writeable = False
    return m


@right("N T, T")
def weighted_cosines(x, gain):
    """A memoised basis."""
    basis = cosine_basis(x.shape[1])
    c = x @ basis

    def backward(dy):
        return (dy * gain) @ basis.T, (dy * c).sum(0)

    return c * gain, backward


def softplus_steps(x):
    """Yield the output, wait for dy, yield the gradient, again and again."""
    y = np.logaddexp(0, x)
    dy = yield y
    while True:
        dy = yield dy * np.exp(x - y)


@right("N D")
def softplus_generator(x):
    """A generator stops between forward and backward."""
    steps = softplus_steps(x)
    return next(steps), steps.send


def scale_shift_back(x, scale, dy, *, axis):
    """The backward of a scale and a shift for each column."""
    return dy * scale, np.sum(dy * x, axis=axis), np.sum(dy, axis=axis)


@right("N D, D, D")
def scale_shift_partial(x, scale, shift):
    """functools.partial as a closure."""
    return x * scale + shift, functools.partial(scale_shift_back, x, scale, axis=0)


class Chain:
    """A callable that is made of functions which return their own backward."""

    def __init__(self, *links):
        self.links = links

    def __call__(self, x):
        """Run, and collect the closures."""
        tape = []
        for link in self.links:
            x, back = link(x)
            tape.append(back)

        def backward(g):
            return functools.reduce(lambda g, back: back(g), reversed(tape), g)

        return x, backward


def sine(x):
    """The sine."""
    return np.sin(x), lambda g: g * np.cos(x)


def square(x):
    """x^2."""
    return x**2, lambda g: 2 * g * x


def centre(x):
    """Minus the mean of the row."""

    def remove(z):
        return z - z.mean(axis=1, keepdims=True)

    return remove(x), remove


right("N D", title="chain of closures")(Chain(square, centre, sine, centre))

running = {"mean": 0.0, "calls": 0}


@right("N D")
def centred_with_running_mean(x):
    """A running mean is kept for later, and does not enter the output."""
    mu = x.mean(axis=0)
    running["mean"] = 0.9 * running["mean"] + 0.1 * float(mu.mean())
    running["calls"] += 1
    return x - mu, lambda dy: dy - dy.mean(axis=0)


@right("N D")
def dropout_with_seed(x, keep=0.7):
    """The generator starts anew in each call."""
    rng = np.random.default_rng(42)
    mask = (rng.random(x.shape) < keep) / keep
    return x * mask, lambda dy: dy * mask
