r"""
1. Squeeze: one number for each channel
=======================================

A feature map holds one picture for each channel. The SE block begins by reducing each of them to
its mean. What is lost by that, and how does a gradient find its way back from one number to all the
pixels?

SE stands for Squeeze-and-Excitation (Hu et al., arXiv 1709.01507, *the paper* in this course). Some
chapters test sentences of a short web summary of that paper, *the summary*.

You need: sums with indices, and the chain rule. (``course`` only sets the look of the figures and
saves them.)

After this chapter you can

- derive the gradient of a mean, from its formula with indices;
- write it as one line of NumPy;
- measure one of its entries with a finite difference, and compare;
- tell what the squeeze keeps of a map, and what it forgets.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import show

from numpy_se import global_avg_pool

# %%
# The mean of a channel
# ---------------------
#
# A batch of feature maps is an array ``x`` with four axes: N samples, C channels, H rows and W
# columns. The squeeze of the paper (eq. 2) is
#
# .. math:: z_{nc} = \frac{1}{HW} \sum_{h=1}^{H} \sum_{w=1}^{W} x_{nchw}
#
# Written as loops, word for word:

rng = np.random.default_rng(0)
N, C, H, W = 2, 3, 4, 5
x = rng.standard_normal((N, C, H, W))

z_loops = np.zeros((N, C))
for n in range(N):
    for c in range(C):
        for h in range(H):
            for w in range(W):
                z_loops[n, c] += x[n, c, h, w] / (H * W)

# %%
# NumPy says the same in one line. The two axes that are summed over disappear:

z = x.mean(axis=(2, 3))
print("shapes:", x.shape, "->", z.shape)
print("largest difference from the loops:", np.abs(z - z_loops).max())

# %%
# We take H and W different on purpose. On square maps, a program that divides by H·H instead of H·W
# gives the right numbers, and nobody notices.
#
# The gradient, in indices
# ------------------------
#
# Somewhere behind the squeeze there is a loss L, a single number. Backpropagation hands us the
# *upstream gradient*: how much L changes with every entry of ``z``. We call it
#
# .. math:: dz_{nc} = \frac{\partial L}{\partial z_{nc}}
#
# (``dz`` is one name, as in the code; it is no differential.) We look for the same thing for ``x``.
# If a number x feeds several numbers :math:`z_1, z_2, \dots`, each of them passes on its part:
# :math:`dx = \sum_i dz_i \, \partial z_i / \partial x`. Here n, c, h and w are fixed, and the
# primes mark the indices of the sum:
#
# .. math::
#
#    dx_{nchw} = \sum_{n'c'} dz_{n'c'} \, \frac{\partial z_{n'c'}}{\partial x_{nchw}}
#
# Which :math:`z_{n'c'}` does the pixel :math:`x_{nchw}` feed? Only the mean of its own sample and
# channel. There it stands once, with the factor 1/(HW). So the derivative is 1/(HW) if
# :math:`n' = n` and :math:`c' = c`, else 0, and one term of the sum is left:
#
# .. math:: dx_{nchw} = \frac{1}{HW} \, dz_{nc}
#
# Every pixel of a channel gets the same gradient. The mean does not know where a pixel was, so its
# gradient cannot know it either.
#
# The gradient, in NumPy
# ----------------------
#
# ``dz`` has the axes (N, C), ``dx`` needs (N, C, H, W). Two axes of length 1 are added, and the
# numbers are repeated along them (``broadcast_to`` gives a view that is read-only):

dz = rng.standard_normal((N, C))
dx = np.broadcast_to(dz[:, :, None, None] / (H * W), x.shape)
print("dx of one channel:")
print(dx[0, 0].round(4))

# %%
# Is it true? A finite difference, in three lines
# -----------------------------------------------
#
# A formula can be wrong in ways that look right. A derivative is a slope, so we can measure it:
# move one pixel by a small step in both directions, and see how much the loss moves. The formula
# must hold for every loss, so we take the simplest one whose gradient with respect to ``z`` is our
# ``dz``: :math:`L = \sum_{nc} dz_{nc} z_{nc}`.


def loss(x):
    """A loss whose gradient with respect to z is dz."""
    return (dz * x.mean(axis=(2, 3))).sum()


step = 1e-6
moved = np.zeros_like(x)
moved[1, 2, 3, 4] = step
slope = (loss(x + moved) - loss(x - moved)) / (2 * step)
print("measured", slope, "  formula", dx[1, 2, 3, 4])

# %%
# One entry agrees, in nine digits or so. ``numpy_se`` has the same pair of functions. It returns
# the output together with the function that computes the gradient. All operations of the package
# have this form, and chapter 4 builds the whole block from it:

z_package, backward = global_avg_pool(x)
print("same output:", np.allclose(z_package, z), "  same gradient:", np.allclose(backward(dz), dx))

# %%
# What is lost
# ------------
#
# Two maps can be very different and have the same mean. Here are four, all with the mean 0.25: the
# squeeze cannot tell them apart, and the gradient that it sends back is the same for all of them.
# Where something is in the picture is lost; how much of it there is stays.

rows, columns = np.mgrid[0:8, 0:12]
maps = {
    "a corner": (rows < 4) & (columns < 6),
    "stripes": columns % 4 == 0,
    "dots": (rows % 2 == 0) & (columns % 2 == 0),
    "grey": np.full((8, 12), 0.25),
}
stack = np.stack([np.asarray(picture, float) for picture in maps.values()])[None]  # (1, 4, 8, 12)
means, backward = global_avg_pool(stack)
gradients = backward(np.ones_like(means))

figure, axes = plt.subplots(2, 4, figsize=(7.2, 3.4))
for column, name in enumerate(maps):
    above, below = axes[:, column]
    picture = above.imshow(stack[0, column], vmin=0, vmax=1)
    slopes = below.imshow(gradients[0, column], vmin=0, vmax=2 / stack[0, column].size)
    above.set_title(f"{name}\nz = {means[0, column]:.2f}", weight="normal")
    below.set_title("1/96 everywhere", weight="normal")
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
axes[0, 0].set_ylabel("x")
axes[1, 0].set_ylabel("dx for dz = 1")
figure.colorbar(picture, ax=axes[0], ticks=[0, 0.5, 1])
figure.colorbar(slopes, ax=axes[1], ticks=[0, 1 / 96], format=lambda value, _: f"{value:.3f}")
figure.suptitle("The squeeze keeps how much there is, and forgets where", weight="bold")
show(figure, "01_squeeze")

# %%
# Questions
# ---------
#
# 1. The paper also tries the *maximum* of a channel as its squeeze. Which pixels get a gradient?
# 2. ``dx`` of a 56 x 56 map is 1/3136 of ``dz``. Does the squeeze path matter on large maps?
# 3. Why did we not test the formula with ``dz = np.ones((N, C))``?
# 4. The sum over all pixels of ``dx`` is something simple. What?
#
# Now exercises 1 to 4, 8 and 9: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. Only the pixel that is the maximum. Moving another one a little does not move the maximum.
#    Where two pixels share it, a convention decides: the first in reading order, in this package as
#    in PyTorch (``global_max_pool``).
# 2. Each pixel gets little, but there are 3136 of them. If they all push in the same direction, the
#    sum is as large as ever. Chapter 4 measures when that happens.
# 3. With ones, mistakes hide: a gradient that mixes up the channels or the samples gives the same
#    numbers. Random numbers of both signs show it.
# 4. It is ``dz``: HW pixels with the share 1/(HW) each. The mean hands on what it gets.
