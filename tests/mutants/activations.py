"""Wrong backwards of the activations: relu, sigmoid, tanh, hard_sigmoid."""

import numpy as np

from mutants import wrong

# ReLU.


@wrong("relu", "N R", says=r"mask is missing")
def relu_passes_everything(x):
    """The mask is missing: dy is passed on where x is negative too."""

    def backward(dy):
        return dy.copy()

    return np.maximum(0, x), backward


@wrong("relu", "N R", says=r"mask is missing")
def relu_mask_always_true(x):
    """The mask is y >= 0, and y is never negative: it masks nothing."""
    y = np.maximum(x, 0)

    def backward(dy):
        return dy * (y >= 0)

    return y, backward


@wrong("relu", "N R", says=r"masked by the sign of dy")
def relu_masks_by_dy(x):
    """The gradient is relu(dy): the mask asks for the sign of dy, not of x."""

    def backward(dy):
        return np.maximum(dy, 0)

    return np.maximum(x, 0), backward


@wrong("relu", "N C H W", says=r"masked by the sign of dy")
def relu_masks_by_x_and_by_dy(x):
    """The gradient passes where both x and dy are positive (guided backpropagation)."""

    def backward(dy):
        dx = np.zeros_like(dy)
        keep = (x > 0) & (dy > 0)
        dx[keep] = dy[keep]
        return dx

    return x * (x > 0), backward


@wrong("relu", "N R", says=r"mask is inverted")
def relu_mask_inverted(x):
    """The gradient is set to zero where x is positive, not where it is negative."""

    def backward(dy):
        dx = np.array(dy, copy=True)
        dx[x > 0] = 0
        return dx

    return np.maximum(0, x), backward


@wrong("relu", "N R", says=r"mask itself|dy is ignored")
def relu_is_only_the_mask(x):
    """The gradient is the derivative 0 or 1, and dy is not used."""

    def backward(dy):
        return np.where(x > 0, 1.0, 0.0)

    return np.where(x > 0, x, 0.0), backward


@wrong("relu", "N R", says=r"y in place of the mask")
def relu_multiplies_by_y(x):
    """The gradient is dy times y, where it is dy times (y > 0)."""
    y = np.maximum(x, 0)

    def backward(dy):
        return dy * y

    return y, backward


@wrong("relu", "N R", says=r"x in place of the mask|(factor|multiplied by|times) x\b")
def relu_multiplies_by_x(x):
    """The gradient is dy times x, without a mask."""

    def backward(dy):
        return dy * x

    return np.maximum(x, 0), backward


@wrong("relu", "N R", says=r"slope (of )?0\.01|leaky")
def relu_leaks(x):
    """The backward pass is that of leaky ReLU: slope 0.01 where x is negative."""

    def backward(dy):
        return dy * np.where(x > 0, 1.0, 0.01)

    return np.maximum(x, 0), backward


@wrong("relu", "N R", says=r"rule of abs|sign of x in place of the mask|slope (of )?-1\b")
def relu_by_the_sign_of_x(x):
    """The derivative is sign(x), which is that of abs(x): -1 where it has to be 0."""

    def backward(dy):
        return dy * np.sign(x)

    return x.clip(min=0), backward


@wrong("relu", "N R", says=r"sign is wrong")
def relu_with_a_minus(x):
    """The mask is right, but the sign is wrong."""

    def backward(dy):
        return -dy * (x > 0)

    return np.maximum(x, 0), backward


@wrong("relu", "N R", says=r"it is zero")
def relu_has_no_gradient(x):
    """The mask asks where y is negative, which is never: the gradient is zero."""
    y = np.maximum(x, 0)

    def backward(dy):
        return dy * (y < 0)

    return y, backward


@wrong("relu", "N R", says=r"threshold|mask .*x > 1\b|shifted|off by one")
def relu_masks_at_one(x):
    """The mask is x > 1, where it is x > 0."""

    def backward(dy):
        return dy * (x > 1)

    return np.maximum(x, 0), backward


@wrong("relu", "N R", says=r"mask .*(sample 0|first sample)|only sample 0 counts")
def relu_mask_of_the_first_sample(x):
    """The mask of the first sample is used for the whole batch."""
    mask = x[0] > 0

    def backward(dy):
        return dy * mask

    return np.maximum(x, 0), backward


@wrong("relu", "N R", legal=True)
def relu_with_slope_one_at_zero(x):
    """At exactly 0 the slope is 1: a legal choice."""

    def backward(dy):
        return dy * (x >= 0)

    return np.maximum(x, 0), backward


@wrong("relu", "N R", legal=True)
def relu_with_slope_one_half_at_zero(x):
    """At exactly 0 the slope is 1/2: a legal choice."""

    def backward(dy):
        return dy * np.heaviside(x, 0.5)

    return np.maximum(x, 0), backward


# Sigmoid.


@wrong("sigmoid", "N C", says=r"1 - [ys] is missing")
def sigmoid_without_one_minus_s(x):
    """The derivative is s, where it is s (1 - s)."""
    s = 1 / (1 + np.exp(-x))

    def backward(dy):
        return dy * s

    return s, backward


@wrong("sigmoid", "N C", says=r"(?<!1 - )\b[ys] is missing")
def sigmoid_without_s(x):
    """The derivative is 1 - s, where it is s (1 - s)."""
    s = 1 / (1 + np.exp(-x))

    def backward(dy):
        return dy * (1 - s)

    return s, backward


@wrong("sigmoid", "N C", says=r"(?<!1 - )\b[ys] is missing")
def sigmoid_without_the_square(x):
    """The denominator of the derivative is 1 + exp(-x), where it is its square."""
    e = np.exp(-x)

    def backward(dy):
        return dy * e / (1 + e)

    return 1 / (1 + e), backward


@wrong("sigmoid", "N C", says=r"x \(1 - x\) in place of y \(1 - y\)")
def sigmoid_derivative_from_x(x):
    """The derivative is x (1 - x): the formula wants the output, and gets the input."""

    def backward(dy):
        return dy * x * (1 - x)

    return 1 / (1 + np.exp(-x)), backward


@wrong("sigmoid", "N C", says=r"sigmoid is applied twice")
def sigmoid_of_the_sigmoid(x):
    """The derivative is a function of x, but it is called with y: sigmoid is applied twice."""

    def f(v):
        return 1 / (1 + np.exp(-v))

    y = f(x)

    def backward(dy):
        return dy * f(y) * (1 - f(y))

    return y, backward


@wrong("sigmoid", "N C", says=r"rule of tanh|1 - y(\^|\*\*)2")
def sigmoid_by_the_rule_of_tanh(x):
    """The derivative is 1 - y^2, which is the rule of tanh."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        return dy * (1 - y**2)

    return y, backward


@wrong("sigmoid", "N C", says=r"dy is ignored")
def sigmoid_without_dy(x):
    """The gradient is the derivative y (1 - y), and dy is not used."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        return y * (1 - y)

    return y, backward


@wrong("sigmoid", "N C", says=r"derivative of the sigmoid is missing")
def sigmoid_passes_dy(x):
    """The derivative is missing: dy is passed on as it is."""

    def backward(dy):
        return 1.0 * dy

    return 1 / (1 + np.exp(-x)), backward


@wrong("sigmoid", "N C", says=r"sign is wrong")
def sigmoid_with_y_minus_one(x):
    """The derivative is y (y - 1), where it is y (1 - y)."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        return dy * y * (y - 1)

    return y, backward


@wrong("sigmoid", "N C", says=r"1 \+ [ys] in place of 1 - [ys]")
def sigmoid_with_one_plus_s(x):
    """The derivative is s (1 + s), where it is s (1 - s)."""
    s = 1 / (1 + np.exp(-x))

    def backward(dy):
        return dy * s * (1 + s)

    return s, backward


@wrong("sigmoid", "N C", says=r"derivative of the sigmoid (counts|is applied) twice")
def sigmoid_derivative_twice(x):
    """The derivative y (1 - y) is multiplied twice."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        delta = dy * y * (1 - y)
        return delta * y * (1 - y)

    return y, backward


@wrong("sigmoid", "N C", says=r"dy \(1 - dy\)|not linear in dy")
def sigmoid_derivative_from_dy(x):
    """The derivative is taken from dy: dy (1 - dy)."""

    def backward(dy):
        return dy * (1 - dy)

    return 1 / (1 + np.exp(-x)), backward


@wrong("sigmoid", "N C", says=r"y - dy|rule of .*(loss|cross.entropy)|not linear in dy")
def sigmoid_by_the_rule_of_cross_entropy(x):
    """The gradient is y - dy: the rule of sigmoid with cross-entropy, dy taken for the labels."""
    y = 1 / (1 + np.exp(-x))

    def backward(dy):
        return y - dy

    return y, backward


# Tanh.


@wrong("tanh", "N C", says=r"square is missing|1 - y in place of 1 - y")
def tanh_without_the_square(x):
    """The derivative is 1 - y, where it is 1 - y^2."""
    y = np.tanh(x)

    def backward(dy):
        return dy * (1 - y)

    return y, backward


@wrong("tanh", "N C", says=r"x in place of y|1 - x(\^|\*\*)2 in place of")
def tanh_derivative_from_x(x):
    """The derivative is 1 - x^2: the formula wants the output, and gets the input."""

    def backward(dy):
        return dy * (1 - x * x)

    return np.tanh(x), backward


@wrong("tanh", "N C", says=r"tanh is applied twice")
def tanh_of_the_tanh(x):
    """The derivative 1 - tanh(x)^2 is called with y: tanh is applied twice."""
    y = np.tanh(x)

    def backward(dy):
        return dy * (1 - np.tanh(y) ** 2)

    return y, backward


@wrong("tanh", "N C", says=r"rule of (the )?sigmoid")
def tanh_by_the_rule_of_the_sigmoid(x):
    """The derivative is y (1 - y), which is the rule of the sigmoid."""
    y = np.tanh(x)

    def backward(dy):
        return dy * y * (1 - y)

    return y, backward


@wrong("tanh", "N C", says=r"derivative of (the )?tanh is missing")
def tanh_passes_dy(x):
    """The derivative is missing: dy is passed on as it is."""
    return np.tanh(x), lambda dy: dy.copy()


# Hard sigmoid.


@wrong("hard_sigmoid", "N C", says=r"\b6 times (too large|the right one)")
def hard_sigmoid_with_slope_one(x):
    """The slope is 1, where it is 1/6."""

    def backward(dy):
        return dy * (np.abs(x) < 3)

    return np.clip(x + 3, 0, 6) / 6, backward


@wrong(
    "hard_sigmoid", "N C", says=r"\b(1\.2|6/5) times (too large|the right one)|1/5 in place of 1/6"
)
def hard_sigmoid_with_slope_one_fifth(x):
    """The slope is 0.2, that of another definition, where the forward pass has 1/6."""

    def backward(dy):
        return 0.2 * dy * ((x > -3) & (x < 3))

    return np.minimum(np.maximum(x + 3, 0), 6) / 6, backward


@wrong("hard_sigmoid", "N C", says=r"rule of (the )?sigmoid")
def hard_sigmoid_by_the_rule_of_the_sigmoid(x):
    """The derivative is y (1 - y), that of the smooth sigmoid."""
    y = np.clip(x / 6 + 0.5, 0, 1)

    def backward(dy):
        return dy * y * (1 - y)

    return y, backward


@wrong("hard_sigmoid", "N C", says=r"rule of (the )?relu|mask .*x > 0|sign of x")
def hard_sigmoid_with_the_mask_of_relu(x):
    """The mask is x > 0, where it is -3 < x < 3."""

    def backward(dy):
        return dy * (x > 0) / 6

    return np.clip(x + 3, 0, 6) / 6, backward


@wrong("hard_sigmoid", "N C", says=r"mask is inverted")
def hard_sigmoid_mask_inverted(x):
    """The gradient is zero on the slope and not on the flat parts."""
    flat = np.abs(x) >= 3

    def backward(dy):
        return flat * dy / 6

    return np.clip(x + 3, 0, 6) / 6, backward


@wrong("hard_sigmoid", "N C", says=r"mask is missing")
def hard_sigmoid_without_the_mask(x):
    """The flat parts have a gradient too: seen only where x is beyond -3 or 3."""

    def backward(dy):
        return dy / 6

    return np.clip(x + 3, 0, 6) / 6, backward


@wrong("hard_sigmoid", "N C", legal=True)
def hard_sigmoid_with_a_slope_at_the_kinks(x):
    """At exactly -3 and 3 the slope is 1/6: a legal choice."""

    def backward(dy):
        return dy * (np.abs(x) <= 3) / 6

    return np.clip(x + 3, 0, 6) / 6, backward
