"""Wrong backwards of the linear layer y = x w^T + b."""

import numpy as np

from mutants import wrong

# The layer without a bias.


@wrong("linear", "N I, I I", says=r"transposed")
def dw_of_a_square_layer_transposed(x, w):
    """The weight's gradient is x.T dy: for a square w the shape is right, the entries are not."""

    def backward(dy):
        return dy @ w, x.T @ dy

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"transposed")
def dw_transposed(x, w):
    """The weight's gradient is (I, O), where the weight is (O, I)."""

    def backward(dy):
        dx = dy @ w
        dw = np.dot(x.T, dy)
        return dx, dw

    return np.dot(x, w.T), backward


@wrong("linear", "N I, I I", says=r"w and its transpose are mixed up in dx")
def dx_by_w_transposed(x, w):
    """The forward pass used w.T and so does the backward pass: right in shape for a square w."""

    def backward(dy):
        return dy @ w.T, dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"raises|transposed")
def dx_by_w_transposed_crashes(x, w):
    """The same transposed w in a layer that is not square: the product is not defined."""

    def backward(dy):
        return dy @ w.T, dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"(?<!\*)\bN times too small|averaged over N")
def dw_averaged(x, w):
    """The weight's gradient is divided by N, which the loss has done already."""
    m = x.shape[0]

    def backward(dy):
        dw = (1 / m) * dy.T @ x
        dx = dy @ w
        return dx, dw

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"(?<!\*)\bN times too small")
def dx_averaged(x, w):
    """The gradient of x is divided by N, but every sample has its own."""

    def backward(dy):
        return dy @ w / len(x), dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"(?<![\w*.])2 times too large")
def dw_twice(x, w):
    """The 2 of a squared error is in the weight's gradient."""

    def backward(dy):
        return dy @ w, 2 * dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"dy is ignored")
def dx_without_dy(x, w):
    """The gradient of x is the column sums of w, and dy is not used."""

    def backward(dy):
        return np.ones((len(x), len(w))) @ w, dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"dy is ignored")
def dw_without_dy(x, w):
    """Every row of the weight's gradient is the sum of x, and dy is not used."""

    def backward(dy):
        return dy @ w, np.tile(x.sum(axis=0), (w.shape[0], 1))

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"only sample 0 counts")
def dw_of_the_first_sample(x, w):
    """The weight's gradient is written for one sample, and the batch has N."""

    def backward(dy):
        return dy @ w, np.outer(dy[0], x[0])

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"written with = where|only the last of N in dy counts")
def dw_overwritten_in_the_loop(x, w):
    """The loop over the samples writes dw = where dw += is needed: the last one stays."""

    def backward(dy):
        dx = np.zeros_like(x)
        for n in range(len(x)):
            dx[n] = w.T @ dy[n]
            dw = dy[n][:, None] * x[n][None, :]
        return dx, dw

    return np.stack([w @ row for row in x]), backward


@wrong("linear", "N I, O I", says=r"sample 0 is left out")
def dw_loses_the_first_sample(x, w):
    """The loop over the samples begins at 1, where it has to begin at 0."""

    def backward(dy):
        dw = np.zeros_like(w)
        for n in range(1, len(x)):
            dw += np.outer(dy[n], x[n])
        return dy @ w, dw

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"weight decay")
def weight_decay_left_in(x, w):
    """The term of a weight decay is in the gradient of the layer."""

    def backward(dy):
        return dy @ w, dy.T @ x + 0.1 * w

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"weight decay")
def small_weight_decay_left_in(x, w):
    """A weight decay of 5e-4 is in the gradient: small, but it is not this layer's."""
    reg = 5e-4

    def backward(dy):
        dw = dy.T.dot(x)
        dw += reg * w
        return dy.dot(w), dw

    return x.dot(w.T), backward


@wrong("linear", "N I, O I", says=r"it is zero")
def dx_forgotten(x, w):
    """The layer is taken for the first one of the net: no gradient is passed on to x."""

    def backward(dy):
        return np.zeros_like(x), dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"it is zero")
def dw_never_filled(x, w):
    """The weight's gradient is set to zeros and then never filled."""

    def backward(dy):
        dw = np.zeros(w.shape)
        return dy @ w, dw

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"wrong order|swapped")
def dw_comes_before_dx(x, w):
    """The gradients are returned as (dw, dx), where the arguments are (x, w)."""

    def backward(dy):
        dx = dy @ w
        dw = dy.T @ x
        return dw, dx

    return x @ w.T, backward


@wrong("linear", "I I, I I", says=r"wrong order|swapped")
def dw_comes_before_dx_in_equal_shapes(x, w):
    """The gradients are returned as (dw, dx): for N = I = O both have the same shape."""
    return x @ w.T, lambda dy: (dy.T @ x, dy @ w)


@wrong("linear", "N I, I I", says=r"y in place of x")
def dw_from_the_output(x, w):
    """The weight's gradient is taken from the output y of the layer, not from its input x."""
    y = x @ w.T

    def backward(dy):
        return dy @ w, dy.T @ y

    return y, backward


@wrong("linear", "N I, O I", says=r"sign is wrong")
def dw_is_already_the_step_down(x, w):
    """The weight's gradient has the minus of gradient descent."""

    def backward(dy):
        return dy @ w, -(dy.T @ x)

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"(?<![\w*.])100 times too small|learning rate|0\.01")
def learning_rate_left_in(x, w):
    """The weight's gradient is already multiplied by a learning rate of 0.01."""
    lr = 0.01

    def backward(dy):
        return dy @ w, lr * np.einsum("no,ni->oi", dy, x)

    return np.einsum("ni,oi->no", x, w), backward


@wrong("linear", "N I, O I", says=r"averaged over N|mixed over the batch")
def dx_is_the_mean_over_the_batch(x, w):
    """All samples get the same gradient: the mean over the batch."""

    def backward(dy):
        dx = np.ones((len(x), 1)) @ (dy.mean(axis=0, keepdims=True) @ w)
        return dx, dy.T @ x

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"not summed over N\b(?! H)")
def dw_not_summed(x, w):
    """The weight's gradient has one matrix for each sample, (N, O, I)."""

    def backward(dy):
        return dy @ w, dy[:, :, None] * x[:, None, :]

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"clipped|not linear in dy")
def gradient_clipped(x, w):
    """The entries of the weight's gradient are clipped to -1 ... 1, which the optimiser may do."""

    def backward(dy):
        return dy @ w, np.clip(dy.T @ x, -1, 1)

    return x @ w.T, backward


@wrong("linear", "N I, O I", says=r"length 1|normali[sz]ed|not linear in dy")
def gradient_normalised(x, w):
    """The weight's gradient is divided by its length."""

    def backward(dy):
        dw = dy.T @ x
        return dy @ w, dw / np.linalg.norm(dw)

    return x @ w.T, backward


# The layer with a bias.


@wrong("linear", "N I, O I, O", says=r"not summed over N\b(?! H)")
def db_not_summed(x, w, b):
    """The bias is shared by all samples, but its gradient is dy itself, (N, O)."""

    def backward(dy):
        return dy @ w, dy.T @ x, dy.copy()

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"(?<!\*)\bN times too small|averaged over N")
def db_averaged(x, w, b):
    """The gradient of the bias is the mean of dy over the batch, not the sum."""

    def backward(dy):
        return dy @ w, dy.T @ x, dy.mean(axis=0)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says="axes of size 1 are kept|an axis of size 1 is kept")
def db_as_a_row(x, w, b):
    """The gradient of the bias keeps the batch axis: (1, O) for a bias of (O,)."""

    def backward(dy):
        dx = np.dot(dy, w)
        dw = np.dot(dy.T, x)
        db = np.sum(dy, axis=0, keepdims=True)
        return dx, dw, db

    return np.dot(x, w.T) + b, backward


@wrong("linear", "N I, O I, O", says=r"summed over .*too often")
def db_as_one_number(x, w, b):
    """The axis of the sum is forgotten: one number for all O biases."""

    def backward(dy):
        return dy @ w, dy.T @ x, np.sum(dy)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"summed over O")
def db_is_the_sum_of_everything(x, w, b):
    """The axis of the sum is forgotten: all O biases get the sum of all dy."""

    def backward(dy):
        db = np.zeros_like(b)
        db += dy.sum()
        return dy @ w, dy.T @ x, db

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"wrong axis|summed over O\b|not summed over N\b")
def db_summed_over_the_outputs(x, w, b):
    """The gradient of the bias is summed over axis 1: (N,) for a bias of (O,)."""

    def backward(dy):
        return dy @ w, dy.T @ x, dy.sum(axis=1)

    return x @ w.T + b, backward


@wrong("linear", "N I, N I, N", says=r"wrong axis|summed over O\b|transposed|axes .*swapped")
def db_summed_over_the_outputs_in_equal_shapes(x, w, b):
    """The gradient of the bias is summed over axis 1: for N = O the shape is right."""

    def backward(dy):
        return dy @ w, dy.T @ x, dy.sum(axis=1)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"only sample 0 counts")
def db_of_the_first_sample(x, w, b):
    """The gradient of the bias is that of the first sample."""

    def backward(dy):
        return dy @ w, dy.T @ x, 1.0 * dy[0]

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"it is zero")
def db_is_zero(x, w, b):
    """The bias is taken for a constant: its gradient is zero."""

    def backward(dy):
        return dy @ w, dy.T @ x, np.zeros_like(b)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"dy is ignored")
def db_counts_the_samples(x, w, b):
    """The derivative by the bias is 1, so its gradient is N for every output; dy is not used."""

    def backward(dy):
        return dy @ w, dy.T @ x, np.ones((len(x), len(b))).sum(axis=0)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"b too much|(factor|multiplied by|times) b\b")
def db_times_b(x, w, b):
    """The gradient of the bias is multiplied by the bias."""

    def backward(dy):
        return dy @ w, dy.T @ x, (dy * b).sum(axis=0)

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"weight decay")
def decay_of_the_bias_left_in(x, w, b):
    """A weight decay is in the gradients of the weight and of the bias."""

    def backward(dy):
        return dy @ w, dy.T @ x + 0.01 * w, dy.sum(axis=0) + 0.01 * b

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"wrong order|swapped")
def db_comes_before_dw(x, w, b):
    """The gradients are returned as (dx, db, dw), where the arguments are (x, w, b)."""

    def backward(dy):
        return dy @ w, dy.sum(axis=0), dy.T @ x

    return x @ w.T + b, backward


@wrong("linear", "N I, O I, O", says=r"2 gradients|gradient of b is (missing|not returned)|wants 3")
def db_not_returned(x, w, b):
    """The gradient of the bias is not returned: two gradients for three arrays."""

    def backward(dy):
        return dy @ w, dy.T @ x

    return x @ w.T + b, backward
