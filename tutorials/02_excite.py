r"""
2. Excite: from C numbers to C gates
====================================

The squeeze leaves one number for each channel. A small network turns these C numbers into C gates
between 0 and 1. Why this network: two layers with few hidden units between them, a ReLU, and a
sigmoid at the end?

You need: matrix products and the chain rule; chapter 1.

After this chapter you can

- derive the gradients of a linear layer, of ReLU and of the sigmoid, and write those of the whole
  network in four lines;
- tell, with a number, how softmax gates differ from sigmoid gates;
- count how many weights the bottleneck saves;
- find out whether a block whose gates are all 0.5 is dead.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import QUICK, show

from numpy_se import (
    conv2d,
    excite,
    global_avg_pool,
    gradcheck,
    linear,
    reduced_width,
    relu,
    sigmoid,
)
from numpy_se.costs import FullyConnected, SEBlock, change_se, count, resnet
from numpy_se.data import load_images

# %%
# The network
# -----------
#
# The excitation of the paper (eq. 3) maps the means z of a sample to its gates s:
#
# .. math:: s = \sigma(W_2 \, \mathrm{relu}(W_1 z))
#
# :math:`W_1` has the shape (R, C), :math:`W_2` the shape (C, R). R is the *reduced width*, C / r
# for a *reduction ratio* r. We give every step a name, because the backward pass needs each of
# them. For a batch, samples are rows (and there are no biases, as in the paper's equations):

rng = np.random.default_rng(0)
N, C, R = 3, 8, 2
z = rng.standard_normal((N, C))
w1, w2 = rng.standard_normal((R, C)), rng.standard_normal((C, R))

h = z @ w1.T  # (N, R)
a = np.maximum(h, 0)  # (N, R)
u = a @ w2.T  # (N, C)
s = 1 / (1 + np.exp(-u))  # (N, C): the gates

# %%
# The linear layer
# ----------------
#
# In indices, with q for the hidden unit, the last linear layer is
#
# .. math:: u_{nc} = \sum_q W^{(2)}_{cq} \, a_{nq}
#
# where :math:`W^{(2)}_{cq}` is an entry of :math:`W_2`. Let ``du`` be the upstream gradient,
# :math:`du_{nc} = \partial L / \partial u_{nc}`. What does :math:`a_{nq}` feed? All outputs c of
# the same sample n, each with the weight :math:`W^{(2)}_{cq}`. So its gradient is a sum over c.
# What does :math:`W^{(2)}_{cq}` feed? The output c of *every* sample, as all samples share the
# weights. So its gradient is a sum over n:
#
# .. math::
#
#    da_{nq} = \sum_c du_{nc} \, W^{(2)}_{cq}
#    \qquad\qquad
#    dW^{(2)}_{cq} = \sum_n du_{nc} \, a_{nq}
#
# A sum over a shared index is a matrix product. The shapes decide which factor is transposed:

du = rng.standard_normal((N, C))
da = du @ w2  # (N, C) @ (C, R) -> (N, R)
dw2 = du.T @ a  # (C, N) @ (N, R) -> (C, R)

_, back_linear = linear(a, w2)
print("linear: ", [np.allclose(x, y) for x, y in zip(back_linear(du), (da, dw2), strict=True)])

# %%
# The first layer is the same, with ``h``, ``z``, ``w1`` in place of ``u``, ``a``, ``w2``.
#
# ReLU and sigmoid
# ----------------
#
# Both work on one entry at a time. So no sum appears, only a factor, the slope of the function.
# ReLU has the slope 1 where its input is positive, and 0 where it is negative. (At exactly 0 it has
# a kink and no slope. The convention is to take 0.)
#
# .. math:: dh_{nq} = da_{nq} \cdot 1(h_{nq} > 0)
#
# For the sigmoid, :math:`\sigma(u) = (1 + e^{-u})^{-1}`, the chain rule gives
#
# .. math::
#
#    \sigma'(u) = \frac{e^{-u}}{(1 + e^{-u})^2}
#               = \frac{1}{1 + e^{-u}} \cdot \frac{e^{-u}}{1 + e^{-u}} = s \, (1 - s)
#
# as :math:`e^{-u} / (1 + e^{-u}) = 1 - 1/(1 + e^{-u}) = 1 - s`. So
# :math:`du = ds \cdot s \, (1 - s)`. The slope is written with the *output*: the backward pass
# needs no exponential. It is 1/4 at most, where the gate is 0.5, and almost 0 where the gate is
# nearly open or nearly closed.

_, back_relu = relu(h)
print("relu:   ", np.allclose(back_relu(da), da * (h > 0)))

ds = rng.standard_normal((N, C))
_, back_sigmoid = sigmoid(u)
print("sigmoid:", np.allclose(back_sigmoid(ds), ds * s * (1 - s)))

# %%
# All of it
# ---------
#
# Each line of the backward pass undoes one line of the forward pass, the last one first:

du = ds * s * (1 - s)
da, dw2 = du @ w2, du.T @ a
dh = da * (h > 0)
dz, dw1 = dh @ w1, dh.T @ z

s_package, backward = excite(z, w1, w2)
print("excite: ", np.allclose(s_package, s), end=" ")
print([np.allclose(x, y) for x, y in zip(backward(ds), (dz, dw1, dw2), strict=True)])
print(gradcheck(excite, shapes="N C, R C, C R"))

# %%
# The last line compares every entry with finite differences. The string names the axes of each
# argument; equal letters are equal sizes. ``gradcheck`` draws several sizes, the numbers and the
# upstream gradient itself. The error at the end of its report is absolute; the numbers drawn are
# mostly of size 1. Chapter 6 looks inside this check.
#
# Why sigmoid, and not softmax?
# -----------------------------
#
# Softmax gives numbers between 0 and 1, too. But their sum is 1: it distributes one unit among the
# channels. ``excite`` takes any gate that has the form ``y, backward``, so we can look at it. With
# :math:`S = \sum_k e^{u_k}`, a gate is :math:`s_j = e^{u_j} / S`, and its slopes are
#
# .. math::
#
#    \frac{\partial s_j}{\partial u_i}
#    = \frac{e^{u_j}}{S} \delta_{ij} - \frac{e^{u_j} e^{u_i}}{S^2} = s_j (\delta_{ij} - s_i)
#
# where :math:`\delta_{ij}` is 1 for i = j, else 0. Whoever opens one gate closes all the others a
# little. The chain rule sums over the gates, and gives the last line of the code:
#
# .. math:: du_i = \sum_j ds_j \, s_j (\delta_{ij} - s_i) = s_i \Big(ds_i - \sum_j ds_j \, s_j\Big)


def softmax(u):
    """Gates that compete: each row has the sum 1."""
    s = np.exp(u - u.max(axis=1, keepdims=True))
    s /= s.sum(axis=1, keepdims=True)

    def backward(ds):
        return s * (ds - (ds * s).sum(axis=1, keepdims=True))

    return s, backward


print("softmax has the right gradient:", gradcheck(softmax, shapes="N C").ok)
print("sums of its gates:", excite(z, w1, w2, gate=softmax)[0].sum(axis=1).round(12))

# %%
# How open are the gates when there are many channels? We draw the inputs u of the gates (*logits*)
# with the standard deviation 2, and take the mean and the largest gate of a sample, averaged over
# 200 samples.

channels = 2 ** np.arange(1, 12)
gates = {"sigmoid": sigmoid, "softmax": softmax}
mean, largest = {}, {}
for name, gate in gates.items():
    drawn = [gate(2 * rng.standard_normal((200, c)))[0] for c in channels]
    mean[name] = [s.mean() for s in drawn]
    largest[name] = [s.max(axis=1).mean() for s in drawn]
    several = [((s > 0.5).sum(axis=1) > 1).mean() for s in drawn]
    print(f"{name}, {channels[-1]} channels: mean gate {mean[name][-1]:.4f},", end=" ")
    print(f"more than one gate above 0.5 in {several[-1]:.0%} of the samples")

figure, (left, right) = plt.subplots(1, 2)
logits = np.linspace(-3, 3, 16)[None]
for name, marker in zip(gates, "os", strict=True):
    left.plot(range(1, 17), gates[name](logits)[0][0], marker, label=name)
    (line,) = right.plot(channels, mean[name], marker + "-", label=f"{name}, mean gate")
    right.plot(channels, largest[name], "--", color=line.get_color(), label=f"{name}, largest gate")
left.set(title="The same 16 logits", xlabel="channel", ylabel="gate", ylim=(-0.03, 1.03))
left.axhline(0.5, color="0.6", linewidth=1)
left.text(16.3, 0.52, "half open", ha="right", color="0.4", fontsize=8)
left.set_xticks([1, 4, 8, 12, 16])
left.legend(loc="upper left")
right.set(title="Random logits", xlabel="channels", ylabel="gate", ylim=(-0.03, 1.03))
right.set_xscale("log", base=2)
right.set_xticks([2, 16, 128, 1024], ["2", "16", "128", "1024"])
right.legend(fontsize=8, loc="center right", bbox_to_anchor=(1, 0.72))
figure.suptitle(
    "Sigmoid opens each gate on its own; softmax shares one unit among all", weight="bold"
)
show(figure, "02_excite_gates")

# %%
# With softmax, two gates can never both be above 0.5, and the mean gate is 1/C, always. A block
# with 1024 channels would multiply its maps by about 1/1000 on average. With the sigmoid each gate
# is decided on its own, and many channels can be open at once. The question to a channel is "are
# you useful here?", not "are you the most useful one?". The paper demands this, too (section 3.2).
# It compares the sigmoid with tanh and ReLU (Table 12), not with softmax. So what a net would learn
# with softmax gates is undecided here; what the gates would look like is not.
#
# Why a bottleneck?
# -----------------
#
# The summary says: *"if there is no such bottleneck layer, parameter requirements can be
# huge"*. Let us count. A block has :math:`2CR = 2C^2/r` weights. Without a bottleneck, the plainest
# network from C numbers to C gates is one full layer, :math:`C^2` weights: as many as a bottleneck
# with r = 2. We count them in ResNet-50, a well-known net for photographs (ImageNet, 1000 classes).
# With SE it has 16 blocks, with C from 256 to 2048:

layers = resnet(50)
plain = count(layers).parameters - count(layers).se_parameters
blocks = [layer for layer in layers if isinstance(layer, SEBlock)]
full = sum(FullyConnected(b.channels, b.channels, bias=False).cost.weights for b in blocks)
ratios = [1, 2, 4, 8, 16, 32, 64]
added = [count(change_se(layers, ratio=r, bias=False)).se_weights for r in ratios]

print(f"ResNet-50:   {plain:11,} parameters")
print(f"full layers: {full:11,} more, {full / plain:6.1%}")
for r, weights in zip(ratios, added, strict=True):
    print(f"r = {r:2}:      {weights:11,} more, {weights / plain:6.1%}")

paper_error = {2: 22.29, 4: 22.25, 8: 22.26, 16: 22.28, 32: 22.72}  # Table 10: top-1, in percent
labels = [f"{r}\n{paper_error.get(r, '')}" for r in ratios]
figure, axis = plt.subplots()
bars = axis.bar(range(len(ratios)), np.array(added) / 1e6)
axis.bar_label(bars, [f"{weights / 1e6:.1f} M" for weights in added], padding=2)
axis.axhline(plain / 1e6, color="0.4", linewidth=1)
axis.text(6.45, plain / 1e6 + 0.7, "all of ResNet-50 without SE: 25.6 M", ha="right")
axis.axhline(full / 1e6, color="C1", linestyle="--")
axis.text(6.45, full / 1e6 - 2.4, "one full layer for each block: 20.1 M", ha="right", color="C1")
axis.set_xticks(range(len(ratios)), labels)
axis.set(
    title="A bottleneck with r = 16 needs an eighth of the weights of full layers",
    xlabel="reduction ratio r\nbelow r: top-1 error (%) on ImageNet, paper's Table 10",
    ylabel="weights that SE adds (millions)",
    ylim=(0, 45),
)
axis.grid(False, axis="x")
show(figure, "02_excite")

# %%
# The claim is **supported**: full layers would add 20.1 million weights, 79 % of the net that they
# are to help. The bottleneck with r = 16 adds 2.5 million, 9.8 %. And the paper's errors under the
# bars show no loss between r = 2 and r = 16. (*Top-1 error*: the share of images whose first guess
# is wrong.) Two remarks make it precise:
#
# - "Huge" goes with :math:`C^2`: 63 % of it comes from the last stage, with its 2048 channels. For
#   a layer of 64 channels a full layer has 4096 weights, and nobody would mind.
# - The bottleneck is about parameters, not about operations. A weight of these layers is used once
#   for each image. So even full layers would add 20 million operations to 3860 million. (An
#   operation is a multiplication with its addition, see chapter 7.)
#
# Whether cost is the *main* reason is not something that we can measure. The paper names two: to
# limit the complexity, and to help generalisation.
#
# Few channels
# ------------
#
# In small nets, C / r gets tiny. Libraries have different rules for it, under the same name. The
# paper takes C // r, and needs at least 1. timm rounds C / r to a multiple of 8, and takes at least
# 8. EfficientNet takes C // r, and at least 1:

print(" C   paper   timm   efficientnet   (r = 16)")
for c in (8, 16, 32, 64, 256):
    widths = []
    for rule in ("paper", "timm", "efficientnet"):
        try:
            widths.append(reduced_width(c, 16, rule))
        except ValueError:
            widths.append("none")
    print("{:3} {:>7} {:>6} {:>14}".format(c, *widths))

# %%
# With 16 channels and r = 16, the paper's rule leaves *one* hidden unit. What can such a block do?
# All 16 gates depend on a single number :math:`a_n \ge 0`. When it is 0, all gates are
# :math:`\sigma(0) = 0.5`. That happens more often than one thinks. The means z of a map behind a
# ReLU are all positive or zero, and they are large or small together: an image has much or little
# in it. So z points in much the same direction, and the sign of :math:`h = w_1 \cdot z` is often
# the same for all images. A hidden unit with random weights is then often *alive* (h > 0) for all
# images, or *dead* (h <= 0) for all of them. We measure it on the maps of a random convolution of
# 400 digits. (In quick mode, noise stands in for the digits.)

if QUICK:
    images = rng.standard_normal((50, 1, 28, 28)) * rng.uniform(0.5, 2, (50, 1, 1, 1))
else:
    digits = load_images()
    print(digits)
    images = digits.inputs(digits.test_images[:400], np.float64)

C, UNITS = 16, 1200  # hidden units to try for each convolution


def random_units():
    """Squeeze the maps of a random convolution; say which hidden units are alive for them."""
    maps, _ = relu(conv2d(images, rng.standard_normal((C, 1, 3, 3)) / 3, padding=1)[0])
    z, _ = global_avg_pool(maps)
    return linear(z, rng.standard_normal((UNITS, C)))[0] > 0  # (images, units)


alive = np.concatenate([random_units() for _ in range(3 if QUICK else 20)], axis=1)
share = alive.mean(axis=0)  # of the images, for each unit
same = ((share < 0.01) | (share > 0.99)).mean()
print(f"{same:.0%} of the units are alive for less than 1 % or more than 99 % of the images")

# %%
# (The bars of the figure below are coarser: each is 5 % wide.) Take R of these units for a block.
# All gates are 0.5 when all R units are dead. For *one* image, a unit is dead with a chance of 1/2,
# as :math:`w` and :math:`-w` are equally likely. So all R are dead with a chance of :math:`2^{-R}`.
# That they are dead for *all* images is less likely, as some units change sides. How much less, we
# count:

widths = [1, 2, 3, 4, 6]
one_image, all_images = [], []
for width in widths:
    dead = ~alive.reshape(len(images), -1, width).any(axis=2)  # (images, blocks)
    one_image.append(dead.mean())
    all_images.append(dead.all(axis=0).mean())
    print(f"R = {width}: 2^-R = {2**-width:.3f}", end="   ")
    print(f"one image {one_image[-1]:.3f}   all images {all_images[-1]:.3f}")

figure, (left, right) = plt.subplots(1, 2)
left.hist(100 * share, bins=20, weights=np.full(len(share), 100 / len(share)))
left.set(title="Most units: alive for all, or none", xlabel="images for which a unit is alive (%)")
left.set_ylabel("hidden units (%)")
right.plot(widths, 0.5 ** np.array(widths), "k:", label=r"$2^{-R}$")
right.plot(widths, one_image, "o", label="for one image")
right.plot(widths, all_images, "s", label="for all images at once")
right.set(title="All gates are 0.5", xlabel="hidden units R", ylabel="share of random blocks")
right.set_xticks(widths)
right.legend()
figure.suptitle(
    "With one hidden unit, a random block is often dead; with more, rarely", weight="bold"
)
show(figure, "02_excite_units")

# %%
# "All my gates are 0.5. Is the block dead?"
# ------------------------------------------
#
# It depends on why they are 0.5. Compare three blocks: one with dead units, one whose ``w2`` is
# zero, and a fresh one with small weights.

z = np.abs(rng.standard_normal((50, C)))  # positive, as behind a ReLU
ds = rng.standard_normal((50, C))
w1, w2 = np.abs(rng.standard_normal((4, C))), rng.standard_normal((C, 4))
cases = {"dead": (-w1, w2), "w2 = 0": (w1, 0 * w2), "fresh": (w1, 0.01 * w2)}
print("          gates           alive    |dw1|    |dw2|     |dz|")
for name, weights in cases.items():
    s, backward = excite(z, *weights)
    dz, dw1, dw2 = backward(ds)
    share = (linear(z, weights[0])[0] > 0).any(axis=0).mean()
    sizes = "".join(f"{np.linalg.norm(gradient):9.3f}" for gradient in (dw1, dw2, dz))
    print(f"{name:7} {s.min():5.2f} to {s.max():.2f} {share:11.0%}{sizes}")

# %%
# The dead block gets no gradient at all: ``a`` is 0, so ``dw2`` is 0, and the ReLU passes nothing,
# so ``dw1`` and ``dz`` are 0. It halves every map, and stays like that unless the layers below it
# change z. The block with ``w2 = 0`` has the same gates, and learns: ``dw2`` is not 0. The fresh
# one learns, too. Biases in the first layer do not bring dead units back by themselves, as ``db1``
# is a sum over ``dh``, and that is 0. So the test for a dead block is not its gates but its hidden
# units: ``(z @ w1.T > 0).any()``. The remedy is more hidden units: a smaller r, or another rule.
#
# A word on names
# ---------------
#
# The summary says that the term squeeze *"comes from the pattern recognition model in each SE block
# which is a bottleneck network with single hidden layer (ReLU) and logistic outputs"*. The
# description of the network is right (logistic outputs are sigmoids): it is what we computed above.
# The name is not. In the paper, *squeeze* is the mean of chapter 1 (eq. 2), and this network is the
# *excitation* (eq. 3). The paper's Table 16 takes the squeeze out and keeps the bottleneck
# ("NoSqueeze"). So the claim on the name is not supported.
#
# Questions
# ---------
#
# 1. One could multiply softmax gates by C, so that their mean is 1. Would that end the competition?
# 2. Two linear layers without the ReLU between them are one linear layer. Which one, and what would
#    be left of the saving?
# 3. Which ratio gives a block of 64 channels as many weights as one full layer?
# 4. A gate is 0.999. How large is the slope of its sigmoid, and what does that mean for learning?
# 5. Why does ``dw2`` need ``a``, the input of the layer, and not its output?
#
# Now exercises 5 to 7, 15 and 16: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. No. The sum is still fixed, at C instead of 1. To open one channel, others have to close.
# 2. The layer :math:`W_2 W_1`, a C x C matrix of rank R at most. It is stored as :math:`2CR`
#    numbers (:math:`2CR - R^2` of them independent), so the saving is the same. The ReLU is not
#    about cost: it makes the map from z to u nonlinear, by those units that are alive for some
#    images only.
# 3. r = 2, at any number of channels: :math:`2C^2/2 = C^2`.
# 4. 0.999 · 0.001, about 0.001. The gate is *saturated*: its gradient is 250 times smaller than at
#    0.5, and it hardly learns any more.
# 5. The derivative of a product with respect to one factor is the other factor. The weight stands
#    beside ``a``.
