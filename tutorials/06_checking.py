r"""
6. Checking a gradient
======================

A gradient that was derived by hand can be wrong, and the net may train with it all the same. So we
measure slopes, and compare. How close do formula and measurement have to be, and what does such a
comparison overlook?

You need: the SE block and its gradient (chapter 4).

After this chapter you can

- derive the best step of a central difference, and the error that is left;
- tell which gradients are legal at a kink, for a ReLU and for a maximum;
- tell which mistakes a check overlooks that has a loose tolerance, or tries one size only;
- find a mistake in a backward pass with ``gradcheck``, and read what its report says.
"""

from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from course import QUICK, show
from hypothesis import Phase, settings

from numpy_se import global_max_pool, gradcheck, linear, relu, sigmoid, squeeze_excite
from numpy_se.strategies import gradient_test

# %%
# A difference has two errors
# ---------------------------
#
# Chapter 1 measured a slope with a *central difference*. For a loss L of one number w,
#
# .. math:: D(h) = \frac{L(w + h) - L(w - h)}{2h}
#
# (In the formulas of this chapter h is the step, no row and no hidden unit.) Two errors are in it.
# The Taylor series gives the first one, the *truncation* error:
#
# .. math:: L(w \pm h) = L \pm h L' + \frac{h^2}{2} L'' \pm \frac{h^3}{6} L''' + \dots
#
# In the difference, the terms with even powers of h cancel. We divide by 2h, and what is left over
# is
#
# .. math:: D(h) - L'(w) = \frac{h^2}{6} L'''(w) + \dots
#
# A small step makes it small. The second error is the *rounding* error. A computer keeps L to a
# relative precision eps, about 2e-16 in float64 and 1e-7 in float32. So each of the two losses is
# wrong by about eps·L. Their difference is divided by the step, and a small step makes the error
# large. Together, up to small constants:
#
# .. math:: E(h) \approx \frac{h^2}{6} |L'''| + \frac{\mathrm{eps}}{h} |L|
#
# We set the derivative of E to zero:
#
# .. math::
#
#    \frac{h}{3} |L'''| - \frac{\mathrm{eps}}{h^2} |L| = 0 \qquad \text{so} \qquad
#    h = \left( 3 \, \mathrm{eps} \, |L| / |L'''| \right)^{1/3}
#
# The best step grows like :math:`\mathrm{eps}^{1/3}`. Put back into E, it makes both terms grow
# like :math:`\mathrm{eps}^{2/3}`. On logarithmic axes, E has the form of a V: the slope is -1 on
# the left and 2 on the right.
#
# The V, measured
# ---------------
#
# We take an SE block, and its gradient for every entry of ``w2``. The loss is
# :math:`L = \sum y \cdot dy` with a random ``dy`` of both signs.

rng = np.random.default_rng(0)
x, w1, w2 = (rng.standard_normal(shape) for shape in [(2, 8, 5, 4), (4, 8), (8, 4)])
dy = rng.standard_normal(x.shape)
_, backward = squeeze_excite(x, w1, w2)
dw2 = backward(dy)[2]


def error_of_differences(step, dtype):
    """The largest error of central differences for w2, relative to the largest entry of dw2."""
    x_, w1_, w2_, dy_ = (a.astype(dtype) for a in (x, w1, w2, dy))
    worst = 0.0
    for index in np.ndindex(w2.shape):
        move = np.zeros_like(w2_)
        move[index] = step
        above, below = (squeeze_excite(x_, w1_, w)[0] for w in (w2_ + move, w2_ - move))
        slope = ((above * dy_).sum() - (below * dy_).sum()) / dtype(2 * step)
        worst = max(worst, abs(float(slope) - dw2[index]))
    return worst / np.abs(dw2).max()


steps = 10.0 ** np.arange(-10, 0.25, 0.5 if QUICK else 0.25)
errors = {
    dtype: np.array([error_of_differences(step, dtype) for step in steps])
    for dtype in (np.float32, np.float64)
}
print("          best step  error there   eps^(1/3)  eps^(2/3)")
for dtype, error in errors.items():
    eps, best = np.finfo(dtype).eps, error.argmin()
    print(
        f"{dtype.__name__}     {steps[best]:.0e}        {error[best]:.0e}"
        f"       {eps ** (1 / 3):.0e}      {eps ** (2 / 3):.0e}"
    )


def slope_between(error, low, high):
    """The slope of a part of the V on logarithmic axes."""
    part = (steps > low) & (steps < high)
    return np.polyfit(np.log(steps[part]), np.log(error[part]), 1)[0]


float64 = errors[np.float64]
print(f"float64, steps below 1e-6: slope {slope_between(float64, 1e-11, 1e-6):.1f}")
print(f"float64, steps from 1e-3 to 0.1: slope {slope_between(float64, 1e-3, 0.1):.1f}")

# %%
# Both slopes are there, and the best steps are those of the theory, up to a factor of ten. The left
# panel of the figure below shows the two curves. They lie on each other on the right, as truncation
# has nothing to do with precision. For tiny steps in float32, w + h is w again: the difference is
# zero, and the error 100 %.
#
# In float32, the best agreement has four or five digits, and only near the best step. In float64
# there is room: any step from 1e-6 to 1e-4 is good for eight digits. So gradients are checked in
# float64, also those of nets that are trained in float32. The code is the same.
#
# Kinks: where there is no slope
# ------------------------------
#
# A ReLU at exactly 0 rises with slope 1 to the right and 0 to the left. A central difference gives
# the mean of the two, which is the slope of neither side:

kink, h = np.zeros((1, 1)), 1e-6
before, at, after = (relu(kink + move)[0].item() for move in (-h, 0, h))
print("slopes: left", (at - before) / h, "  right", (after - at) / h)
print("central", (after - before) / (2 * h), "  package", relu(kink)[1](np.ones((1, 1))).item())

# %%
# The package says 0, the difference 1/2, and both are fine: any value between the two sides is a
# legal choice (a *subgradient*). Values outside are wrong. A maximum has such a kink where two
# pixels tie. Its rule is stricter. Moved alone, each of them has the slopes 0 and 1. Moved
# together, they raise the maximum by one step, not by two. So shares of the gradient are legal if
# they lie between 0 and 1 *and* sum to 1.
#
# ``gradcheck`` knows these rules. It moves one entry to zero and some to ties on purpose, and
# judges the choice that was made there:


def relu_with(value):
    """A ReLU with the given gradient at 0."""
    return lambda x: (np.maximum(x, 0), lambda dy: dy * np.where(x == 0, value, x > 0))


def max_pool_with(share):
    """A global max pool. ``share`` says what each pixel gets, from the ties and their number."""

    def op(x):
        z, _ = global_max_pool(x)
        ties = x == z[:, :, None, None]
        count = ties.sum(axis=(2, 3), keepdims=True)
        return z, lambda dz: dz[:, :, None, None] * share(ties, count)

    return op


conventions = {
    "ReLU: 0 at the kink": (relu, "N C"),
    "ReLU: 1/2": (relu_with(0.5), "N C"),
    "ReLU: 2": (relu_with(2.0), "N C"),
    "maximum: the first": (global_max_pool, "N C H W"),
    "maximum: equal shares": (max_pool_with(lambda ties, count: ties / count), "N C H W"),
    "maximum: all of them": (max_pool_with(lambda ties, count: ties), "N C H W"),
    "maximum: none of them": (max_pool_with(lambda ties, count: ties & (count == 1)), "N C H W"),
}
for convention, (op, shapes) in conventions.items():
    report = gradcheck(op, shapes=shapes)
    print(f"{convention:23} {report.verdict:6}", *report.wrong)

# %%
# All seven agree away from kinks, so a check that leaves kinks out would accept them all. Ties are
# not rare in practice: pixels of a plain background, and the zeros behind a ReLU, are equal to the
# last bit.
#
# Random directions, and what they miss
# -------------------------------------
#
# A weight with 10,000 entries wants 20,000 forward passes. There is a cheaper way. Move all entries
# at once along a random direction v, and compare one number:
#
# .. math:: \frac{L(w + h v) - L(w - h v)}{2h} \quad \text{with} \quad \sum_i dw_i v_i
#
# Now let a single entry of ``dw`` be wrong by 10 %. The sum has n terms of random signs, so it is
# about :math:`\sqrt{n}` times as large as one of them. The error is a tenth of one term. Relative
# to the sum it is about :math:`0.1 / \sqrt{n}`, one in a thousand for n = 10,000. A check that
# allows more than that does not see it. We make such a mistake many times, and look how large the
# difference is each time:


def differences_seen(outputs, inputs, trials):
    """Relative differences along random directions; one entry of dw is 10 % too large."""
    x = rng.standard_normal((2, inputs))
    w, dy = rng.standard_normal((outputs, inputs)), rng.standard_normal((2, outputs))
    dw, h = linear(x, w)[1](dy)[1], 1e-4
    seen = []
    for _ in range(trials):
        v = rng.standard_normal(w.shape)
        wrong = tuple(rng.integers(w.shape))
        claimed = (dw * v).sum() + 0.1 * dw[wrong] * v[wrong]
        above, below = (linear(x, moved)[0] for moved in (w + h * v, w - h * v))
        measured = ((above - below) * dy).sum() / (2 * h)
        seen.append(abs(claimed - measured) / max(abs(claimed), abs(measured)))
    return np.array(seen)


trials = 200 if QUICK else 2000
seen = {n: differences_seen(n // 100, 100, trials) for n in (100, 10_000)}
for tolerance in (1e-2, 1e-3, 1e-4, 1e-6):
    missed = (seen[10_000] < tolerance).mean()
    print(f"allowed difference {tolerance:.0e}: missed in {missed:.0%} of the trials")

# %%
# With tolerances like 1e-2 or 1e-3, one random direction misses the mistake in most of the
# trials. With 1e-6 it finds nearly all of them. That is possible in float64 only, as the V shows:
# the precision of the difference decides what a check can see.

figure, (valley, share) = plt.subplots(1, 2, figsize=(7.2, 3.6))
for (dtype, error), colour, width in zip(errors.items(), ("C1", "C0"), (3.5, 1.8), strict=True):
    valley.loglog(steps, error, color=colour, linewidth=width)
    share.axvline(error.min(), color=colour, linestyle=":")
    share.text(error.min() / 6, 10, f"best of {dtype.__name__}", color=colour, rotation=90)
valley.text(3e-6, 0.6, "float32", color="C1")
valley.text(1e-10, 1e-8, "float64", color="C0")
valley.text(3e-10, 1e-4, "rounding:\neps / h")
valley.text(3e-3, 1e-9, "truncation:\nh²")
valley.set(xlabel="step h", ylabel="largest relative error", ylim=(1e-12, 30))
valley.set_title("Each precision has a best step")
tolerances = np.logspace(-12, -1, 100)
for (n, differences), style in zip(seen.items(), ("C2--", "C2-"), strict=True):
    missed = [100 * (differences < tolerance).mean() for tolerance in tolerances]
    share.semilogx(tolerances, missed, style, label=f"{n:,}")
share.set(xlabel="allowed relative difference", ylabel="missed mistakes (%)")
share.set_title("Loose checks miss mistakes")
share.legend(loc="upper left", bbox_to_anchor=(0.17, 1.0), title="entries of dw")
show(figure, "06_checking")

# %%
# The dotted lines are the lowest points of the two curves on the left. A check with central
# differences must allow at least that much.
#
# A checker that measures its own error
# -------------------------------------
#
# ``gradcheck`` has no tolerance to choose. It takes the steps h, h/2 and h/4. Two of them give a
# better value: with :math:`D(h) = L' + c h^2 + O(h^4)` and :math:`D(h/2) = L' + c h^2/4 + O(h^4)`,
# the :math:`h^2` error cancels in :math:`(4 D(h/2) - D(h))/3 = L' + O(h^4)`. Three give two such
# values, and how far these disagree says how much they can be trusted. Small arguments are moved
# entry by entry. The entries of large ones are divided at random among eight directions, in which
# each moves by +h or -h. So every entry moves once, and none of them only a little.
#
# One measurement is no proof. A function can be steep, or its own rounding can be large. So before
# a gradient is called wrong, its slope is taken again with other steps, with a complex step where
# the function takes complex numbers, and at arguments that are moved a little. The rounding of
# ``backward`` is measured, too, by moving what goes in by one unit in the last place. The verdict
# is "wrong" only where these agree with each other and not with the gradient. What they cannot
# decide is told.
#
# Here is the mistake of the last section, in one of the 10,000 entries of a weight:


def linear_with_a_flaw(x, w):
    y, backward = linear(x, w)

    def wrong(dy):
        dx, dw = backward(dy)
        dw[12, 34] *= 1.1
        return dx, dw

    return y, wrong


x, w = rng.standard_normal((2, 100)), rng.standard_normal((100, 100))
report = gradcheck(linear_with_a_flaw, x, w)
print(f"{report.verdict}:", *report.wrong)

# %%
# It finds the entry, by dividing the failing direction in halves. No mistake that it knows makes a
# single entry wrong, so there is no name for it. There are names for the mistakes that people often
# make. Four functions, each with one of them:


def relu_masked_by_dy(x):
    return np.maximum(x, 0), lambda dy: dy * (dy > 0)


def mean_for_square_maps(x):
    height = x.shape[2]
    return x.mean(axis=(2, 3)), lambda dz: dz[:, :, None, None] / height**2 * np.ones_like(x)


def bias_averaged(x, w, b):
    return x @ w.T + b, lambda dy: (dy @ w, dy.T @ x, dy.mean(axis=0))


def scale_without_x(x, s):
    return x * s[:, :, None, None], lambda dy: (dy * s[:, :, None, None], dy.sum(axis=(2, 3)))


planted = {
    relu_masked_by_dy: "N C",
    mean_for_square_maps: "N C H W",
    bias_averaged: "N I, O I, O",
    scale_without_x: "N C H W, N C",
}
for op, shapes in planted.items():
    print(f"{op.__name__}:\n    {gradcheck(op, shapes=shapes).headline}")

# %%
# How does it know? Every known mistake is a formula for the *wrong* gradient: "divided by N" is the
# right one divided by N. When what ``backward`` gives equals the formula at several sizes, the
# mistake is named. Two different mistakes can have one formula, so the report says "consistent
# with". Several sizes are needed, as one size hides mistakes. On a square map the second function
# gives the right numbers, and the report says what it could not see:

print(gradcheck(mean_for_square_maps, rng.standard_normal((2, 3, 4, 4))))

# %%
# Let a program look for the example
# ----------------------------------
#
# Which sizes and values should we try? The package ``hypothesis`` draws them. When a test fails, it
# looks for smaller ones that fail too (*shrinking*), and ``gradcheck`` reports on the smallest. In
# a test file, one line does it: ``test_pool = gradient_test(pool, "N C H W")``.
#
# The function below gives the length of each row. Its gradient is the row divided by its length,
# and the code says just that. The checker's own draws find nothing:


def length(x):
    y = np.sqrt((x * x).sum(axis=1))
    return y, lambda dy: (dy / y)[:, None] * x


print(gradcheck(length, shapes="N C").headline)
phases = (Phase.generate, Phase.shrink)  # and no search for explanations
settings.register_profile("chapter", settings(), derandomize=True, database=None, phases=phases)
settings.load_profile("chapter")  # the same examples in each run, and none kept
test_length = gradient_test(length, "N C")
try:
    test_length()
except AssertionError as failure:
    print(failure)

# %%
# The example is small: two rows (a test never draws fewer) with one entry, 0. It shows the reason
# at once. A row of zeros has the length 0, and ``backward`` computes 0/0 there. As a kink, the
# place has no gradient, and any slope from -1 to 1 would pass, but NaN is none: one such row, and
# all weights are NaN. ``gradcheck`` itself moves one entry to zero, in rows of three.
# ``gradient_test`` also draws rows of one, and multiples of 1/8, so rows of zeros are not rare.
#
# Five mistakes from public code
# ------------------------------
#
# Hand-written backward passes of SE blocks can be found in public code. Here are five mistakes that
# we met there. The functions are our own. They share a forward pass, and start from a backward that
# is right (in their code, ``h`` is the hidden layer of chapter 2):


def se_block(rule):
    """An SE block whose gradients are what ``rule`` makes of dy and the kept arrays."""

    def op(x, w1, w2):
        z = x.mean(axis=(2, 3))
        h = z @ w1.T
        a = np.maximum(h, 0)
        s, _ = sigmoid(a @ w2.T)
        return x * s[:, :, None, None], lambda dy: rule(dy, x, w1, w2, z, h, a, s)

    return op


def right(dy, x, w1, w2, z, h, a, s):
    du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    dh = du @ w2 * (h > 0)
    dz = dh @ w1
    dx = dy * s[:, :, None, None] + dz[:, :, None, None] / x[0, 0].size
    return dx, dh.T @ z, du.T @ a


def no_squeeze_path(dy, *kept):  # 1. called "simplified"
    _, dw1, dw2 = right(dy, *kept)
    return dy * kept[-1][:, :, None, None], dw1, dw2


def no_weights(dy, x, w1, w2, z, h, a, s):  # 2. called "approximate"
    return dy * s[:, :, None, None], np.zeros_like(w1), np.zeros_like(w2)


def updated_too_early(dy, x, w1, w2, z, h, a, s):  # 3. and the mask of the ReLU is forgotten
    du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    dw2 = du.T @ a
    w2 = w2 - 0.01 * dw2
    dh = du @ w2
    dw1 = dh.T @ z
    w1 = w1 - 0.01 * dw1
    dz = dh @ w1
    return dy * s[:, :, None, None] + dz[:, :, None, None] / x[0, 0].size, dw1, dw2


def divided_twice(dy, x, *kept):  # 4. once for each weight, and once more at the end
    dx, dw1, dw2 = right(dy, x, *kept)
    return dx, dw1 / len(x) / len(x), dw2 / len(x) / len(x)


def divided_twice_and_updated(dy, x, w1, w2, *kept):  # 4. as it was found
    dx, dw1, dw2 = divided_twice(dy, x, w1, w2, *kept)
    w1 -= 0.01 * dw1
    w2 -= 0.01 * dw2
    return dx, dw1, dw2


def another_pooling(dy, x, w1, w2, z, h, a, s):  # 5. the backward of max pooling, for a mean
    du = (dy * x).sum(axis=(2, 3)) * s * (1 - s)
    dh = du @ w2 * (h > 0)
    back_max = global_max_pool(x)[1]
    return dy * s[:, :, None, None] + back_max(dh @ w1), dh.T @ z, du.T @ a


found = {
    "(right)": right,
    "1. dx without the squeeze path": no_squeeze_path,
    "2. no gradient for the weights": no_weights,
    "3. weights updated too early, and no mask": updated_too_early,
    "4. divided by N twice, and updates inside": divided_twice_and_updated,
    "4. the same without the updates": divided_twice,
    "5. the backward of another pooling": another_pooling,
}
for mistake in list(found)[:1] if QUICK else found:
    start = perf_counter()
    report = gradcheck(se_block(found[mistake]), shapes="N C H W, R C, C R")
    says = [line for line in str(report).splitlines() if not line.startswith(" ")]
    print(f"{mistake:45} {perf_counter() - start:.1f} s")
    print(*(f"    {line}" for line in says), sep="\n")

# %%
# All five are caught and named. The fourth one shows that a mistake can hide another. While
# ``backward`` changes the weights, nothing can be measured, and the report says only that. Mend it,
# check again, and the division comes out.
#
# The missing squeeze path occurs in two of the five, and a loose test accepts it: chapter 4 shows
# how small the squeeze path is for a random ``dy`` on large maps. This is why the course checks
# every gradient, and asks for seven digits, not for two.
#
# Questions
# ---------
#
# 1. The one-sided difference :math:`(L(w + h) - L(w))/h` needs about half of the forward passes.
#    What are its best step and its error?
# 2. Take mistake 3 with the right mask. The weights move by 0.01 times their gradient before they
#    are used. Would a test with a tolerance of 1 % see it?
# 3. Two pixels tie for the maximum. Somebody gives them the shares 2 and -1, which sum to 1. Legal?
# 4. ``gradcheck`` says "ok". What is proved?
#
# Now exercise 19: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. Its truncation error is :math:`h L''/2`, of order h. The sum h + eps/h is smallest at the root
#    of eps, 1.5e-8 in float64, and the error is of the same size. That is two to three digits less
#    than a central difference has.
# 2. It depends on the size of the gradient beside the weight. On the first arrays of this chapter,
#    ``dx`` is wrong by about half a percent and passes; ``dw1`` is wrong by about two and fails.
#    On arrays of the shape (4, 64, 14, 14) with R = 16, ``dw1`` is wrong by more than ten percent.
#    With a ``dy`` that is a hundred times smaller, all of them pass.
# 3. No. The shares have to lie between the slopes of the two sides, 0 and 1, each for itself.
# 4. That the gradients fit at the sizes and values that were tried, up to the error that the report
#    states. It said "ok" to ``length``, too. So try several sizes, large values, ties, and zeros.
#    Measuring many points makes a mistake unlikely; only the derivation proves the formula.
