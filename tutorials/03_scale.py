r"""
3. Scale: a product with two paths
==================================

The last step of the block multiplies every channel by its gate: ``y = x * s``. In the block, the
gate was computed from the same ``x``. What happens to ``y`` when a single pixel of ``x`` changes?

You need: the product rule; chapters 1 and 2.

After this chapter you can

- derive the gradients of a product of maps and gates;
- tell over which axes a gradient must be summed, when broadcasting has repeated its variable;
- measure the two paths by which a pixel acts, one at a time.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import show

from numpy_se import channel_scale, excitation, squeeze_excite

# %%
# One gate for many pixels
# ------------------------
#
# The scale of the paper (eq. 4) is
#
# .. math:: y_{nchw} = s_{nc} \, x_{nchw}
#
# The gate has no indices h and w: the same number is used for all pixels of a channel. In NumPy,
# ``s`` gets two axes of length 1, and *broadcasting* repeats it along them:

rng = np.random.default_rng(0)
N, C, H, W = 2, 3, 4, 5
x = rng.standard_normal((N, C, H, W))
s = rng.uniform(0, 1, (N, C))

y = x * s[:, :, None, None]
print("shapes:", x.shape, "*", s[:, :, None, None].shape, "->", y.shape)

# %%
# The two ``None`` are needed. NumPy aligns shapes at their *last* axes, so ``x * s`` would set the
# axes N, C of the gates beside H, W of the maps. Mostly it refuses:

try:
    x * s
except ValueError as error:
    print("x * s:", error)

# %%
# But when W = C and H = N by chance, it multiplies the pixel (h, w) of every map by the gate of
# sample h and channel w, and says nothing. (With W = C, N = 1 is enough.) So we test with sizes
# that all differ.
#
# The gradient, in indices
# ------------------------
#
# For this section, ``x`` and ``s`` are two independent inputs. Let ``dy`` be the upstream gradient.
# The chain rule sums over all outputs that an input feeds.
#
# The pixel :math:`x_{nchw}` feeds one output, the pixel at the same place, with the factor
# :math:`s_{nc}`. The gate :math:`s_{nc}` feeds all :math:`HW` pixels of its channel, each with the
# factor :math:`x_{nchw}`:
#
# .. math::
#
#    dx_{nchw} = s_{nc} \, dy_{nchw}
#    \qquad\qquad
#    ds_{nc} = \sum_{h=1}^{H} \sum_{w=1}^{W} dy_{nchw} \, x_{nchw}
#
# This is the product rule: the derivative with respect to one factor is the other factor. The sum
# in ``ds`` is there because ``s`` was repeated.

dy = rng.standard_normal(y.shape)
dx = dy * s[:, :, None, None]
ds = (dy * x).sum(axis=(2, 3))

y_package, backward = channel_scale(x, s)
dx_package, ds_package = backward(dy)
print("dx:", np.allclose(dx, dx_package), "  ds:", np.allclose(ds, ds_package))


# %%
# What broadcasting does to a gradient
# ------------------------------------
#
# The rule is general. **What the forward pass repeats, the backward pass sums.** Chapter 1 had the
# counterpart: the mean sums, and its gradient is repeated. Three variables of different shapes
# multiply ``x`` here, each broadcast along other axes. We compare the sum with a finite difference:
# one entry of the variable is moved a little, and we see how the loss :math:`\sum dy \cdot y`
# moves.


def slope(variable, index, step=1e-6):
    """Measure how the loss changes with one entry of a variable that multiplies x."""
    moved = np.zeros_like(variable)
    moved[index] = step
    above, below = (dy * x * (variable + moved)).sum(), (dy * x * (variable - moved)).sum()
    return (above - below) / (2 * step)


print("variable             shape         repeated along   sum       measured")
for name, shape, axes in [
    ("one for all", (1, 1, 1, 1), (0, 1, 2, 3)),
    ("one per channel", (1, C, 1, 1), (0, 2, 3)),
    ("one per gate (SE)", (N, C, 1, 1), (2, 3)),
]:
    variable = rng.standard_normal(shape)
    gradient = (dy * x).sum(axis=axes, keepdims=True)
    repeated = ", ".join("NCHW"[axis] for axis in axes)
    last = tuple(size - 1 for size in shape)
    print(f"{name:20} {shape!s:13} {repeated:16} {gradient[last]:.6f}", end="  ")
    print(f"{slope(variable, last):.6f}")

# %%
# So there is a first test of any gradient, necessary but not sufficient: it has the shape of its
# variable. If a program gives ``ds`` with four axes, it forgot the sum. If its numbers are H·W
# times too small, it took the mean in place of the sum.
#
# In SE, x has two paths
# ----------------------
#
# In the block, ``s`` is no independent input. It is a function of ``x``: the squeeze and the
# excitation of chapters 1 and 2. The product rule for one variable that stands in both factors is
#
# .. math:: (s x)' = s \, x' + s' \, x
#
# The first term holds the gate fixed and moves the pixel: the *scale path*. The second holds the
# maps fixed and moves the gates: the *squeeze path*. That is a recipe for measuring them, too.
#
# Take one sample with two channels of 2 x 3 pixels, and an excitation with a single hidden unit.
# The unit grows with the mean of the first channel and shrinks with that of the second. When it
# grows, the first gate opens and the second one closes. (``excitation`` is squeeze plus ``excite``,
# from x to the gates. ``squeeze_excite`` is the whole block, from x to y.)

x = np.array([[[[2.0, 0.0, 1.0], [1.0, 2.0, 0.0]], [[0.0, 3.0, 1.0], [2.0, 0.0, 0.0]]]])
w1 = np.array([[1.0, -0.5]])  # (R, C) = (1, 2)
w2 = np.array([[2.0], [-1.0]])  # (C, R) = (2, 1)


def gates(x):
    return excitation(x, w1, w2)[0][:, :, None, None]


print("means:", x.mean(axis=(2, 3))[0], "  gates:", gates(x).ravel().round(3))

# %%
# We raise one pixel, the one at the top left of the first channel, and watch all twelve numbers of
# ``y``. A small step shows the slopes. Every path is a difference in which only one factor moves:

step = 1e-6
raised = x.copy()
raised[0, 0, 0, 0] += step

scale_path = (raised * gates(x) - x * gates(x)) / step
squeeze_path = (x * gates(raised) - x * gates(x)) / step
measured = (squeeze_excite(raised, w1, w2)[0] - squeeze_excite(x, w1, w2)[0]) / step
print("largest difference between the sum of the paths and what is measured:", end=" ")
print(f"{np.abs(scale_path + squeeze_path - measured).max():.1e}")

# %%
# What is left is the term x'·s' of question 5: the slope of the gate, 0.066, times the step.
#
# The numbers can be had by hand. Both means are 1, so the hidden unit is 1 - 0.5 = 0.5, and
# u = (1, -0.5). The mean moves by 1/6 of what the pixel moves, and the gates by s(1 - s) times that
# and their weight: 0.197 · 2/6 = 0.066 for the first one, 0.235 · (-1)/6 = -0.039 for the second.
# Times x, they are the third column of the figure. It shows the change of y for each unit that the
# pixel is raised. (Its colours end at -0.3 and 0.3, those of x at -10 and 10.)

pictures = {
    "x": x,
    "y: scale path": scale_path,
    "y: squeeze path": squeeze_path,
    "y: both, measured": measured,
}
figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.1))
for column, (name, picture) in enumerate(pictures.items()):
    for channel, axis in enumerate(axes[:, column]):
        largest = 10 if name == "x" else 0.3  # darker than that is drawn as dark
        axis.imshow(picture[0, channel], cmap="PuOr_r", vmin=-largest, vmax=largest)
        for (row, place), value in np.ndenumerate(picture[0, channel].round(2) + 0.0):
            colour = "white" if value > 0.7 * largest else "black"
            axis.text(place, row, f"{value:g}", ha="center", va="center", color=colour)
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    axes[0, column].set_title(name, weight="normal")
axes[0, 0].add_patch(plt.Rectangle((-0.47, -0.47), 0.94, 0.94, fill=False, linewidth=2.5))
axes[0, 0].set_ylabel("channel 1")
axes[1, 0].set_ylabel("channel 2")
figure.suptitle("Raise one pixel (framed): through the gates, both channels change", weight="bold")
show(figure, "03_scale")

# %%
# The scale path changes one pixel, by its gate. The squeeze path changes every pixel that is not 0,
# in *both* channels: the second channel gets weaker because of a pixel in the first. Each of these
# changes is small, as the mean moves by only a sixth of what the pixel moves. But they are many.
#
# The gradient collects these numbers
# -----------------------------------
#
# The gradient of that pixel asks: how does the loss change when the pixel is raised? It is the sum
# over the picture on the right, each entry times its ``dy``. With ``dy`` of ones, the loss is the
# sum of y:

_, backward = squeeze_excite(x, w1, w2)
for name, dy in {"ones": np.ones(x.shape), "random": rng.standard_normal(x.shape)}.items():
    dx, *_ = backward(dy)
    print(f"dy = {name:7} scale path {(dy * scale_path).sum():7.4f}", end="   ")
    print(f"squeeze path {(dy * squeeze_path).sum():7.4f}", end="   ")
    print(f"sum {(dy * measured).sum():7.4f}   squeeze_excite {dx[0, 0, 0, 0]:7.4f}")

# %%
# The two paths add up to the gradient that ``squeeze_excite`` gives. A program that hands back only
# ``s * dy`` has the first number and lacks the second. Chapter 4 derives the second term for any
# size, and measures how much is lost without it.
#
# Questions
# ---------
#
# 1. A pixel of x is 0. Does it get a gradient by the scale path? Does its gate get one from it?
# 2. The scale path of the whole block is ``s * dy``. What would the scale path be if the gates were
#    all 0.5, for all x?
# 3. In the figure, the squeeze path of channel 2 is negative. What decides its sign?
# 4. A bias b of shape (C,) is added to x of shape (N, C, H, W). What is ``db``?
# 5. Why does the product x*s not give a term x'·s' to the gradient?
#
# Now exercises 10 and 17: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. It gets one: ``s * dy`` does not depend on x. The gate gets none from this pixel: there
#    ``dy * x`` is 0. A gate cannot change a 0.
# 2. ``dy / 2``, and it is the whole gradient: gates that never move have no squeeze path. A dead
#    block (chapter 2) is like that.
# 3. Two weights: ``w1[0, 0]`` is 1, so the hidden unit grows with the pixel; ``w2[1, 0]`` is -1, so
#    that closes the second gate. The pixels of x are 0 or positive, so none of them gets larger.
# 4. ``dy.sum(axis=(0, 2, 3))``: b is repeated along N, H and W.
# 5. A change of size e moves both factors by a multiple of e, so x'·s' is a multiple of e². It
#    vanishes when e is small. For a large step it is there: the paths then do not add up exactly.
