"""Wrong backwards found in public code, rewritten to y, backward = op(x), and variants of them.

A docstring that begins with "Variant" is of the same kind, but was not found itself.
"""

import numpy as np

from mutants import wrong

BLOCK = "N C H W, R C, C R"
BLOCK_WITH_BIASES = "N C H W, R C, C R, R, C"


def sigmoid(u):
    """Map every number to the interval from 0 to 1."""
    return 1 / (1 + np.exp(-u))


@wrong("squeeze_excite", BLOCK, says=r"squeeze path is missing")
def simplified(x, w1, w2):
    """Found in public code: "simplified", dx is s * dy and forgets the squeeze path."""
    batch, channels = x.shape[:2]
    squeeze = np.mean(x, axis=(2, 3))
    fc1 = np.dot(squeeze, w1.T)
    relu = np.maximum(0, fc1)
    fc2 = np.dot(relu, w2.T)
    scale = sigmoid(fc2)
    output = x * scale.reshape(batch, channels, 1, 1)

    def backward(grad_output):
        grad_x = grad_output * scale.reshape(batch, channels, 1, 1)  # simplified
        grad_scale = np.sum(grad_output * x, axis=(2, 3))
        grad_fc2 = grad_scale * scale * (1 - scale)
        grad_w2 = np.dot(grad_fc2.T, relu)
        grad_relu = np.dot(grad_fc2, w2)
        grad_fc1 = grad_relu * (fc1 > 0)
        grad_w1 = np.dot(grad_fc1.T, squeeze)
        return grad_x, grad_w1, grad_w2

    return output, backward


@wrong("squeeze_excite", BLOCK, says=r"it is zero|squeeze path is missing")
def approximate(x, w1, w2):
    """Found in public code: "approximate", dx is s * dy and the weights' gradients are zero."""
    s = sigmoid(np.maximum(x.mean(axis=(2, 3)) @ w1.T, 0) @ w2.T)[:, :, None, None]

    def backward(dy):
        return dy * s, np.zeros_like(w1), np.zeros_like(w2)

    return x * s, backward


@wrong("squeeze_excite", BLOCK_WITH_BIASES, says=r"it is zero|squeeze path is missing")
def approximate_with_biases(x, w1, w2, b1, b2):
    """Variant: dx is s * dy, and all four parameters get zero."""
    z = x.mean(axis=(2, 3))
    gate = sigmoid(np.maximum(z @ w1.T + b1, 0) @ w2.T + b2)[:, :, None, None]

    def backward(dy):
        grads = [np.zeros_like(p) for p in (w1, w2, b1, b2)]
        return dy * gate, *grads

    return x * gate, backward


@wrong("squeeze_excite", BLOCK, says=r"mask is missing|w2 .*updated|updated .*(before|too early)")
def weights_updated_first_and_no_mask(x, w1, w2):
    """Found in public code: the weights are updated before dz is made of them, and no mask."""
    lr = 0.01
    z = x.mean(axis=(2, 3))
    a = np.maximum(z @ w1.T, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        dx = dy * s[:, :, None, None]
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw2 = du.T @ a
        new_w2 = w2 - lr * dw2
        da = du @ new_w2  # and the ReLU is forgotten
        dw1 = da.T @ z
        new_w1 = w1 - lr * dw1
        dz = da @ new_w1 / (x.shape[2] * x.shape[3])
        return dx + dz[:, :, None, None], dw1, dw2

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK, says=r"w2 .*updated|updated .*(before|too early)|not linear in dy")
def w2_updated_first(x, w1, w2):
    """Variant: w2 is updated before the gradient is passed on through it."""
    lr = 0.1
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dw2 = du.T @ a
        updated = w2 - lr * dw2
        dh = (du @ updated) * (h > 0)
        dw1 = dh.T @ z
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK, says=r"w1 .*updated|updated .*(before|too early)|not linear in dy")
def w1_updated_first(x, w1, w2):
    """Variant: w1 is updated before dz is computed from it; only dx is wrong."""
    lr = 0.1
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dw1, dw2 = dh.T @ z, du.T @ a
        weight = w1 - lr * dw1
        dz = dh @ weight / (x.shape[2] * x.shape[3])
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return x * s[:, :, None, None], backward


@wrong("linear", "N I, O I, O", says=r"w .*updated|updated .*(before|too early)|not linear in dy")
def layer_updated_first(x, w, b):
    """Variant: the layer updates its weight first and computes dx from the new one."""
    lr = 0.1

    def backward(dy):
        dw = dy.T @ x
        db = dy.sum(axis=0)
        weight = w - lr * dw
        return dy @ weight, dw, db

    return x @ w.T + b, backward


@wrong("squeeze_excite", BLOCK, says=r"\bN(\*N|(\^|\*\*) ?2| squared) times too small")
def divided_by_the_batch_twice(x, w1, w2):
    """Found in public code: the weights' gradients are divided by N in two places."""
    N = x.shape[0]
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dw1 = dh.T @ z / N
        dw2 = du.T @ a / N
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        dx = dy * s[:, :, None, None] + dz[:, :, None, None]
        return dx, dw1 / N, dw2 / N

    return x * s[:, :, None, None], backward


@wrong("linear", "N I, O I", says=r"\bN(\*N|(\^|\*\*) ?2| squared) times too small")
def layer_divided_by_the_batch_twice(x, w):
    """Variant: the mean over the batch is taken, and then divided by N again."""
    batch_size = x.shape[0]

    def backward(dy):
        dw = (dy[:, :, None] * x[:, None, :]).mean(axis=0)
        return dy @ w, dw / batch_size

    return x @ w.T, backward


@wrong("squeeze_excite", BLOCK, says=r"changes (w[12]|x|an? (input|argument)|its)\b")
def steps_in_place(x, w1, w2):
    """Found in public code: backward changes the weights of the caller in place."""
    lr = 0.01
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dw1, dw2 = dh.T @ z, du.T @ a
        dz = dh @ w1 / (x.shape[2] * x.shape[3])
        w1[...] -= lr * dw1
        w2[...] -= lr * dw2
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return x * s[:, :, None, None], backward


@wrong("linear", "N I, O I, O", says=r"changes (w|b|x|an? (input|argument)|its)\b")
def layer_steps_in_place(x, w, b):
    """Variant: backward is also the step of the optimiser, and changes w and b."""
    learning_rate = 0.01

    def backward(dy):
        dx = dy @ w
        dw, db = dy.T @ x, dy.sum(axis=0)
        np.subtract(w, learning_rate * dw, out=w)
        np.subtract(b, learning_rate * db, out=b)
        return dx, dw, db

    return x @ w.T + b, backward


@wrong(
    "squeeze_excite",
    BLOCK,
    says=r"(second|next|later|another|other) .*call|called (again|twice)|changes .*between calls",
)
def steps_on_its_own_copy(x, w1, w2):
    """Variant: backward updates its own weights, so a second call differs."""
    lr = 0.1
    weights = {"w1": w1.copy(), "w2": w2.copy()}
    z = x.mean(axis=(2, 3))
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ weights["w2"]) * (h > 0)
        dw1, dw2 = dh.T @ z, du.T @ a
        dz = dh @ weights["w1"] / (x.shape[2] * x.shape[3])
        weights["w1"] = weights["w1"] - lr * dw1
        weights["w2"] = weights["w2"] - lr * dw2
        return dy * s[:, :, None, None] + dz[:, :, None, None], dw1, dw2

    return x * s[:, :, None, None], backward


@wrong("squeeze_excite", BLOCK, says=r"maximum in place of the (average|mean)|one pixel")
def mean_squeeze_by_the_rule_of_the_maximum(x, w1, w2):
    """Found in public code: the squeeze is a mean, but the backward of max pooling is called."""
    n, c, height, width = x.shape
    flat = x.reshape(n, c, height * width)
    z = flat.mean(axis=2)
    h = z @ w1.T
    a = np.maximum(h, 0)
    s = sigmoid(a @ w2.T)

    def backward(dy):
        du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
        dh = (du @ w2) * (h > 0)
        dz = dh @ w1
        spread = np.zeros_like(flat)
        np.put_along_axis(spread, flat.argmax(axis=2)[:, :, None], dz[:, :, None], axis=2)
        return dy * s[:, :, None, None] + spread.reshape(x.shape), dh.T @ z, du.T @ a

    return x * s[:, :, None, None], backward
