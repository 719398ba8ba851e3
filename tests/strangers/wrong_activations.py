"""Wrong backwards of activation functions, softmaxes and gated units."""

import math

import numpy as np

from . import wrong


def sigmoid(z):
    return 0.5 * (1 + np.tanh(0.5 * z))


def softplus_of(z):
    return np.logaddexp(0, z)


def softmax_of(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


@wrong("N D", mistake="The derivative of softplus is tanh, not the sigmoid.", grads="dx")
def softplus_with_tanh_derivative(x):
    return np.logaddexp(0, x), lambda dy: dy * np.tanh(x)


@wrong(
    "N D",
    mistake="The factor x*pdf(x) of the exact GELU's derivative is missing.",
    grads="dx",
    says="gelu.term-2-missing",
)
def gelu_without_density_term(x):
    cdf = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))

    def backward(dy):
        return dy * cdf

    return x * cdf, backward


@wrong(
    "N D",
    mistake="The density in the GELU's derivative lacks 1/sqrt(2*pi).",
    grads="dx",
    says="gelu.phi-constant",
)
def gelu_density_not_normalised(x):
    cdf = 0.5 * (1 + np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)))
    return x * cdf, lambda dy: dy * (cdf + x * np.exp(-0.5 * x * x))


@wrong(
    "N D",
    mistake="The inner derivative of the tanh GELU lacks the factor 3 of the cube.",
    grads="dx",
    says="gelu-tanh.cube",
)
def gelu_tanh_without_three(x):
    c = np.sqrt(2 / np.pi)
    t = np.tanh(c * (x + 0.044715 * x**3))

    def backward(dy):
        inner = c * (1 + 0.044715 * x**2)
        return dy * (0.5 * (1 + t) + 0.5 * x * (1 - t**2) * inner)

    return 0.5 * x * (1 + t), backward


@wrong(
    "N C H W",
    mistake="The derivative of SiLU lacks the term of the sigmoid.",
    grads="dx",
    says="silu.sigmoid-missing",
)
def silu_product_rule_half(x):
    s = sigmoid(x)
    return x * s, lambda dy: dy * x * s * (1 - s)


@wrong(
    "N D",
    mistake="x is missing in the second term of SiLU's derivative.",
    grads="dx",
    says="silu.x-missing",
)
def silu_without_x(x):
    s = sigmoid(x)
    return x * s, lambda dy: dy * (s + s * (1 - s))


@wrong(
    "N D",
    mistake="The 1 - tanh^2 factor in Mish's derivative is missing.",
    grads="dx",
    says="mish.term-2.1-t-to-2-missing",
)
def mish_without_sech(x):
    t = np.tanh(softplus_of(x))
    return x * t, lambda dy: dy * (t + x * sigmoid(x))


@wrong(
    "N D",
    mistake="The sigmoid factor in Mish's derivative is missing.",
    grads="dx",
    says="mish.term-2.sigmoid-x-missing",
)
def mish_without_softplus_derivative(x):
    t = np.tanh(softplus_of(x))
    return x * t, lambda dy: dy * (t + x * (1 - t * t))


@wrong(
    "N D",
    mistake="ELU's derivative below 0 is the output without + alpha.",
    grads="dx",
    says="elu.y-below",
)
def elu_without_alpha(x, alpha=1.0):
    y = np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))
    slope = np.where(x > 0, 1, y)
    return y, lambda dy: dy * slope


@wrong(
    "N D",
    mistake="SELU's outer scale is missing in the negative part.",
    grads="dx",
    says="selu.term-2.scale-missing",
)
def selu_scale_forgotten_below_zero(x):
    alpha, scale = 1.6732632423543772, 1.0507009873554805

    def backward(dy):
        out = dy * scale
        neg = x <= 0
        out[neg] = dy[neg] * alpha * np.exp(x[neg])
        return out

    return scale * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), backward


@wrong(
    "N D",
    mistake="CELU's derivative below 0 has a further factor 1/alpha.",
    grads="dx",
    says="celu.divided-by-alpha",
)
def celu_with_alpha_twice(x):
    alpha = 0.5
    e = np.exp(np.minimum(x, 0) / alpha)
    return np.where(x > 0, x, alpha * (e - 1)), lambda dy: dy * np.where(x > 0, 1, e / alpha)


@wrong(
    "N C, C",
    mistake="The slope's gradient sums over the positive values.",
    grads="da",
    says="prelu.da.inverted",
)
def prelu_slope_gradient_of_positives(x, a):
    pos = x > 0

    def backward(dy):
        return dy * np.where(pos, 1, a), (dy * x * pos).sum(0)

    return np.where(pos, x, a * x), backward


@wrong(
    "N C H W, C",
    mistake="The slope's gradient keeps the batch axis.",
    grads="da",
    says="any.not-summed",
)
def prelu_slope_gradient_per_sample(x, a):
    slope = a[:, None, None]

    def backward(dy):
        return dy * np.where(x > 0, 1, slope), (dy * np.minimum(x, 0)).sum((2, 3))

    return np.where(x > 0, x, slope * x), backward


@wrong(
    "N D",
    mistake="The slope multiplies the positive side on the way back.",
    grads="dx",
    says="leaky-relu.inverted",
)
def leaky_relu_sides_swapped(x):
    return np.maximum(x, 0.1 * x), lambda dy: np.where(x > 0, 0.1 * dy, dy)


@wrong(
    "N D",
    mistake="The negative side's slope is missing: the mask is that of ReLU.",
    grads="dx",
    says="leaky-relu.term-2-missing",
)
def leaky_relu_with_relu_mask(x):
    return np.where(x >= 0, x, 0.2 * x), lambda dy: dy * (x > 0)


@wrong("N D", mistake="The derivative 1 above x = 3 is missing: the parabola goes on.", grads="dx")
def hardswish_without_upper_part(x):
    def backward(dy):
        return dy * np.where(x < -3, 0, (2 * x + 3) / 6)

    return x * np.clip(x + 3, 0, 6) / 6, backward


@wrong(
    "N D",
    mistake="Hardswish between the limits lacks the 2 in (2x + 3)/6.",
    grads="dx",
    says="hardswish.gate-alone",
)
def hardswish_without_two(x):
    def backward(dy):
        d = np.zeros_like(x)
        d[x >= 3] = 1
        mid = np.abs(x) < 3
        d[mid] = (x[mid] + 3) / 6
        return dy * d

    return x * np.clip(x + 3, 0, 6) / 6, backward


@wrong("N C H W", mistake="The upper mask at 6 is missing.", grads="dx", says="clip.upper-missing")
def relu6_without_upper_mask(x):
    return np.clip(x, 0, 6), lambda dy: dy * (x > 0)


@wrong(
    "N D",
    mistake="The mask of the lower limit -1 is missing.",
    grads="dx",
    says="clip.lower-missing",
)
def hardtanh_without_lower_mask(x):
    return np.clip(x, -1, 1), lambda dy: np.where(x < 1, dy, 0)


@wrong(
    "N D",
    mistake="The mask's limits are 2.5 in place of 3.",
    grads="dx",
    says="any.entries-left-out",
)
def hard_sigmoid_with_limits_of_keras(x):
    return np.clip(x / 6 + 0.5, 0, 1), lambda dy: dy / 6 * (np.abs(x) < 2.5)


@wrong(
    "N D",
    mistake="The mask has a margin: x > 1e-2 in place of x > 0.",
    grads="dx",
    says="any.entries-left-out",
)
def relu_with_margin(x):
    return np.maximum(x, 0), lambda dy: dy * (x > 1e-2)


@wrong("N D", mistake="The mask is of dy and not of x.", grads="dx", says="relu.mask-by-dy")
def relu_mask_of_upstream(x):
    return np.maximum(x, 0), lambda dy: np.maximum(dy, 0)


@wrong(
    "N D",
    mistake="The derivative is the output: the mask is not made binary.",
    grads="dx",
    says="relu.y-for-mask",
)
def relu_mask_not_binary(x):
    y = np.maximum(x, 0)
    cached = y.copy()
    return y, lambda dy: dy * cached


@wrong(
    "N D", mistake="The factor 2 of the square is missing.", grads="dx", says="any.factor-too-small"
)
def squared_relu_without_two(x):
    r = np.maximum(x, 0)
    return r * r, lambda dy: dy * r


@wrong("N D", mistake="The mask is open from 0 and not from the threshold 0.5.", grads="dx")
def thresholded_relu_mask_at_zero(x):
    return np.where(x > 0.5, x - 0.5, 0), lambda dy: dy * (x > 0)


@wrong(
    "N D",
    mistake="The mask is open on the positive side only.",
    grads="dx",
    says="softshrink.upper",
)
def softshrink_one_sided(x):
    lam = 0.5
    return np.sign(x) * np.maximum(np.abs(x) - lam, 0), lambda dy: dy * (x > lam)


@wrong(
    "N D",
    mistake="The denominator 1 + |x| is not squared.",
    grads="dx",
    says="softsign.square-missing",
)
def softsign_not_squared(x):
    den = 1 + np.abs(x)
    return x / den, lambda dy: dy / den


@wrong(
    "N D",
    mistake="The derivative is that of tanh, though the output is x - tanh(x).",
    grads="dx",
    says="tanhshrink.tanh-of-x",
)
def tanhshrink_with_tanh_derivative(x):
    t = np.tanh(x)
    return x - t, lambda dy: dy * (1 - t**2)


@wrong("N D", mistake="The square is missing in 1 - tanh^2.", grads="dx", says="tanh.not-squared")
def tanh_without_square(x):
    y = np.tanh(x)
    t = y.copy()
    return y, lambda dy: dy * (1 - t)


@wrong(
    "N D",
    mistake="The derivative x*(1-x) of the sigmoid is taken of the input.",
    grads="dx",
    says="sigmoid.x-for-y",
)
def sigmoid_derivative_of_input(x):
    return sigmoid(x), lambda dy: dy * x * (1 - x)


@wrong(
    "N D",
    mistake="The inner derivative lacks the factor x.",
    grads="dx",
    says="gaussian.term-1.x-missing",
)
def gaussian_activation_without_x(x):
    g = np.exp(-(x**2))
    return g.copy(), lambda dy: -2 * g * dy


@wrong(
    "N C, C",
    mistake="dbeta lacks one factor x: it is y*(1-s) in place of x*y*(1-s).",
    grads="dbeta",
    says="learned-swish.da.square-missing",
)
def swish_beta_gradient_lacks_x(x, beta):
    s = sigmoid(beta * x)

    def backward(dy):
        y = x * s
        return dy * (s + beta * y * (1 - s)), np.sum(dy * y * (1 - s), axis=0)

    return x * s, backward


@wrong(
    "N C, C",
    mistake="The inner factor beta is missing in dx.",
    grads="dx",
    says="learned-swish.dx.a-missing",
)
def swish_without_beta_in_dx(x, beta):
    s = sigmoid(beta * x)

    def backward(dy):
        ds = s * (1 - s)
        return dy * (s + x * ds), np.einsum("nc,nc->c", dy, x**2 * ds)

    return x * s, backward


@wrong("N C, C", mistake="The gradient of the frequency lacks the quotient's term.", grads="da")
def snake_frequency_gradient_without_quotient(x, a):
    k = np.exp(0.3 * np.tanh(a))
    dk_da = 0.3 * k * (1 - np.tanh(a) ** 2)

    def backward(dy):
        dk = (dy * x * np.sin(2 * k * x) / k).sum(0)
        return dy * (1 + np.sin(2 * k * x)), dk * dk_da

    return x + np.sin(k * x) ** 2 / k, backward


def halves(rng):
    return (rng.normal(size=(4, 6)),)


@wrong(
    given=halves,
    mistake="The gradients of the two halves are swapped.",
    grads="dx",
    says="any.entries-reordered",
)
def glu_halves_swapped(x):
    a, b = np.split(x, 2, axis=-1)
    s = sigmoid(b)

    def backward(dy):
        return np.concatenate([dy * a * s * (1 - s), dy * s], axis=-1)

    return a * s, backward


@wrong(
    given=halves,
    mistake="The gate's sigmoid derivative is taken at the value half.",
    grads="dx",
    says="glu-halves.gate.a-for-u",
)
def glu_derivative_at_wrong_half(x):
    a, b = np.split(x, 2, axis=-1)
    s = sigmoid(b)

    def backward(dy):
        da = dy * s
        db = dy * a * sigmoid(a) * (1 - sigmoid(a))
        return np.concatenate([da, db], axis=-1)

    return a * s, backward


@wrong(
    "N D, D F, D F",
    mistake="dx comes from the gate branch only.",
    grads="dx",
    says="glu.linear-path-path",
)
def swiglu_without_value_branch(x, w, v):
    a, b = x @ w, x @ v
    s = sigmoid(a)

    def backward(dy):
        da = dy * b * (s + a * s * (1 - s))
        db = dy * a * s
        return da @ w.T, x.T @ da, x.T @ db

    return a * s * b, backward


@wrong(
    "N D, D F, D F",
    mistake="The gradients of w and v are swapped.",
    grads="dw dv",
    says="any.wrong-order",
)
def geglu_tanh_weights_swapped(x, w, v):
    t = np.tanh(x @ w)
    b = x @ v

    def backward(dy):
        da, db = dy * b * (1 - t**2), dy * t
        return da @ w.T + db @ v.T, x.T @ db, x.T @ da

    return t * b, backward


@wrong(
    "N K",
    mistake="Only the diagonal p*(1-p) of the softmax Jacobian is used.",
    grads="dx",
    says="softmax.diagonal-only",
)
def softmax_with_diagonal_only(x):
    p = softmax_of(x)
    return p.copy(), lambda dy: dy * p * (1 - p)


@wrong(
    "N K",
    mistake="The inner sum of softmax runs over the batch axis.",
    grads="dx",
    says="softmax.sum-axis",
)
def softmax_inner_sum_over_batch(x):
    p = softmax_of(x)

    def backward(dy):
        return p * (dy - np.sum(dy * p, axis=0))

    return p.copy(), backward


@wrong(
    "N T K",
    mistake="The inner sum of softmax lacks the factor p.",
    grads="dx",
    says="softmax.sum-without-p",
)
def softmax_inner_sum_without_p(x):
    p = softmax_of(x)
    return p.copy(), lambda dy: p * (dy - dy.sum(-1, keepdims=True))


@wrong("N K", mistake="Softmax's Jacobian of the last row is used for all rows.", grads="dx")
def softmax_loop_with_last_jacobian(x):
    p = softmax_of(x)

    def backward(dy):
        for row in p:
            jac = np.diag(row) - np.outer(row, row)
        return dy @ jac

    return p.copy(), backward


@wrong(
    "N K",
    mistake="dy stands where its sum over the classes belongs.",
    grads="dx",
    says="log-softmax.dy-for-sum",
)
def log_softmax_without_sum(x):
    shifted = x - x.max(1, keepdims=True)
    y = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return y, lambda dy: dy - softmax_of(x) * dy


@wrong(
    "N K",
    mistake="The backward is that of softmax, not of log-softmax.",
    grads="dx",
    says="log-softmax.softmax",
)
def log_softmax_with_softmax_backward(x):
    p = softmax_of(x)
    m = x.max(-1, keepdims=True)

    def backward(dy):
        return p * (dy - (p * dy).sum(-1, keepdims=True))

    return x - m - np.log(np.exp(x - m).sum(-1, keepdims=True)), backward


@wrong(
    "N K",
    mistake="The gradient goes to the largest value only, as for a maximum.",
    grads="dx",
    says="logsumexp.max",
)
def logsumexp_as_maximum(x):
    m = x.max(-1)
    top = x == m[:, None]
    return m + np.log(np.exp(x - m[:, None]).sum(-1)), lambda dy: top * dy[:, None]


@wrong(
    "N K, N",
    mistake="The gradient of the log temperature has the wrong sign.",
    grads="dt",
    says="any.sign",
)
def softmax_temperature_sign(x, t):
    inv = np.exp(-np.tanh(t))[:, None]
    p = softmax_of(x * inv)

    def backward(dy):
        dz = p * (dy - (dy * p).sum(-1, keepdims=True))
        return dz * inv, (dz * x * inv).sum(-1) * (1 - np.tanh(t) ** 2)

    return p.copy(), backward


@wrong(
    "N D, N D",
    mistake="Both inputs get the whole gradient of the maximum.",
    grads="da db",
    says="any.derivative-missing larger.both",
)
def maxout_without_routing(a, b):
    return np.maximum(a, b), lambda dy: (dy.copy(), dy.copy())


@wrong(
    "N K",
    mistake="The gradient of the squashing norm is missing.",
    grads="dx",
    says="any.difference-per-axis",
)
def capsule_squash_with_constant_norm(x):
    sq = (x**2).sum(-1, keepdims=True)
    f = np.sqrt(sq + 1e-12) / (1 + sq)
    return x * f, lambda dy: dy * f


@wrong("N D", mistake="The gradient is returned in float32.", grads="dx")
def softplus_gradient_in_float32(x):
    return np.logaddexp(0, x), lambda dy: (dy * sigmoid(x)).astype("float32")


class Tanh:
    """A layer that keeps its output in the class and not in the object."""

    out = None

    def __call__(self, x):
        Tanh.out = np.tanh(x)
        return Tanh.out.copy(), lambda dy: dy * (1 - Tanh.out**2)


@wrong(
    "N D",
    mistake="The output is kept in the class, where a later forward overwrites it.",
    says="state.overwritten",
)
def tanh_layer_with_class_cache(x):
    return Tanh()(x)


@wrong("N D", mistake="Backward zeroes the closed places in the given dy itself.")
def relu_zeroing_dy(x):
    closed = x <= 0

    def backward(dy):
        dy[closed] = 0
        return dy.copy()

    return np.maximum(x, 0), backward
