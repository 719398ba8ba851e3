r"""
4. The block: the whole gradient
================================

The block uses its input twice: it scales ``x``, and it computes the gates from ``x``. So the
gradient of ``x`` has two terms. Two of the five hand-written blocks of chapter 6 have only one of
them, and a net with this mistake trains (chapter 5). How large is the missing term, and why does
nobody notice?

You need: chapters 1 to 3.

After this chapter you can

- derive the gradient of the block as a sum of two terms, and write it in NumPy;
- tell for which ``dy`` the second term is large, and for which it is small;
- tell from the list of right and wrong gradients that this term was forgotten.
"""

import os

import matplotlib.pyplot as plt
import numpy as np
from block_picture import draw_block
from course import QUICK, show

from numpy_se import (
    channel_scale,
    excitation,
    excite,
    global_avg_pool,
    gradcheck,
    squeeze_excite,
)

# %%
# Three steps, and the way back
# -----------------------------
#
# The block is the three steps of the chapters before: squeeze, excite, scale. The way back undoes
# them in the opposite order. In the picture, black arrows go forward and orange ones back. Two of
# them meet at x, at the plus:

show(draw_block(), "04_block_picture")

# %%
# In code:

rng = np.random.default_rng(0)
N, C, R, H, W = 2, 6, 3, 4, 5
x, dy = rng.standard_normal((2, N, C, H, W))
w1, w2 = rng.standard_normal((R, C)), rng.standard_normal((C, R))

z, back_squeeze = global_avg_pool(x)  # (N, C)
s, back_excite = excite(z, w1, w2)  # (N, C)
y, back_scale = channel_scale(x, s)  # (N, C, H, W)

scale_path, ds = back_scale(dy)  # the first use of x
dz, dw1, dw2 = back_excite(ds)
squeeze_path = back_squeeze(dz)  # the second use of x
dx = scale_path + squeeze_path

y_package, backward = squeeze_excite(x, w1, w2)
same = [np.allclose(a, b) for a, b in zip(backward(dy), (dx, dw1, dw2), strict=True)]
print("squeeze_excite gives the same y:", np.array_equal(y, y_package), "  gradients:", same)

# %%
# Where a variable is used twice, its gradients add up. That is all. The line ``dx = scale_path +
# squeeze_path`` is the one that is forgotten.
#
# The whole gradient, in indices
# ------------------------------
#
# All of it can be written as one formula. We follow the pixel :math:`x_{nchw}` to the outputs. It
# acts on ``y`` at its own place, with the factor :math:`s_{nc}`. And it acts on *every* gate
# :math:`s_{nk}` of its sample, each of which scales a whole channel k:
#
# .. math::
#
#    dx_{nchw} = s_{nc} \, dy_{nchw}
#    + \sum_k ds_{nk} \, \frac{\partial s_{nk}}{\partial z_{nc}} \, \frac{1}{HW}
#    \qquad \text{with} \qquad ds_{nk} = \sum_{h'w'} dy_{nkh'w'} \, x_{nkh'w'}
#
# The three factors of the second term are the three chapters before: ds is the sum of the scale
# (chapter 3), 1/(HW) is the mean (chapter 1), and between them stands the *Jacobian* of the
# excitation (chapter 2). The chain rule gives it, through sigmoid, :math:`W_2`, ReLU and
# :math:`W_1`. With q for the hidden unit (:math:`h_{nq}` is its input, the index h is a row):
#
# .. math::
#
#    J_{nkc} = \frac{\partial s_{nk}}{\partial z_{nc}}
#    &= \frac{\partial s_{nk}}{\partial u_{nk}} \sum_q
#       \frac{\partial u_{nk}}{\partial a_{nq}} \,
#       \frac{\partial a_{nq}}{\partial h_{nq}} \,
#       \frac{\partial h_{nq}}{\partial z_{nc}} \\
#    &= s_{nk} (1 - s_{nk}) \sum_q W^{(2)}_{kq} \, 1(h_{nq} > 0) \, W^{(1)}_{qc}
#
# Written with ``einsum``, which takes the indices as they stand here:

h = z @ w1.T
jacobian = np.einsum("nk,kq,nq,qc->nkc", s * (1 - s), w2, h > 0, w1)
ds = np.einsum("nchw,nchw->nc", dy, x)
formula = s[:, :, None, None] * dy
formula += np.einsum("nk,nkc->nc", ds, jacobian)[:, :, None, None] / (H * W)
print("the formula gives the same dx:", np.allclose(formula, dx))

# %%
# And finite differences? ``gradcheck`` compares every entry of every gradient, at several sizes.
# Beside it a block that forgets the second term:


def forgetful(x, w1, w2):
    """An SE block whose dx lacks the squeeze path."""
    y, backward = squeeze_excite(x, w1, w2)
    s, _ = excitation(x, w1, w2)

    def wrong(dy):
        _, dw1, dw2 = backward(dy)
        return s[:, :, None, None] * dy, dw1, dw2

    return y, wrong


print(gradcheck(squeeze_excite, shapes="N C H W, R C, C R"), end="\n\n")
print(gradcheck(forgetful, shapes="N C H W, R C, C R"))

# %%
# Note the line "right: dw1, dw2". The forgetful block computes the gradients of its own weights as
# it should. What it spoils is what it hands down, to the layers *below* it.
#
# How large are the two terms?
# ----------------------------
#
# Look at the second term once more. It has the factor 1/(HW), so it seems to vanish on large maps.
# But ds is a sum over HW pixels. Which of the two wins depends on ``dy``:
#
# - When the signs of ``dy`` are random, the terms of ds cancel. A random sign has the variance 1,
#   and variances add up, so a sum of n random signs is about :math:`\sqrt n` large. So the second
#   term falls like :math:`\sqrt{HW} / HW = 1/\sqrt{HW}`: like one over the side of the map.
# - When ``dy`` has one sign over a channel, and x lies behind a ReLU, nothing cancels. ds grows
#   like HW, and the second term does *not* fall. This is no rare case: directly below a global
#   average pooling, every pixel of a channel has the same ``dy``. With a ReLU between, it has the
#   same or 0, which is still one sign.
#
# There is a third case. The squeeze path is *the same number* for all pixels of a channel. A layer
# that sums over the pixels, as the gradient of a bias does, makes it HW times larger, and
# :math:`1/\sqrt{HW}` becomes :math:`HW / \sqrt{HW} = \sqrt{HW}`. The scale path, with its random
# signs, grows by :math:`\sqrt{HW}`, too. So in the sum over the pixels, the two terms should keep
# their proportion on any map, even when ``dy`` is random.
#
# That is the theory. Here is the measurement: random blocks with 64 channels and 16 hidden units
# behind a ReLU, on maps of 1 x 1 to 56 x 56. The error of a block that forgets the squeeze path is
# the size (norm) of the squeeze path, relative to that of ``dx``.


def paths(x, dy, w1, w2):
    """Compute the two terms of dx."""
    s, back_gates = excitation(x, w1, w2)
    _, back_scale = channel_scale(x, s)
    scale_path, ds = back_scale(dy)
    return scale_path, back_gates(ds)[0]


def errors(x, dy, w1, w2):
    """Compute the error without the squeeze path: of dx, and of its sums over the pixels."""
    scale_path, squeeze_path = paths(x, dy, w1, w2)
    dx, norm = scale_path + squeeze_path, np.linalg.norm
    of_sums = norm(squeeze_path.sum(axis=(2, 3))) / norm(dx.sum(axis=(2, 3)))
    return norm(squeeze_path) / norm(dx), of_sums


def random_errors(side, kind):
    """Draw a block, its maps of side x side pixels and dy, and compute the two errors."""
    w1 = rng.standard_normal((16, 64)) * np.sqrt(2 / 64)
    w2 = rng.standard_normal((64, 16)) * np.sqrt(2 / 16)
    x = np.maximum(rng.standard_normal((4, 64, side, side)), 0)
    dy = rng.standard_normal((4, 64, side, side))
    if kind == "the same for a channel":
        dy = np.broadcast_to(dy[:, :, :1, :1], x.shape).copy()
    return errors(x, dy, w1, w2)


sides = [1, 4, 14] if QUICK else [1, 2, 4, 7, 14, 28, 56]
draws = 1 if QUICK else 20
measured = {}
print("error without the squeeze path, of dx (of its sums over the pixels of each channel)")
print("dy                      " + "".join(f"{f'{side} x {side}':>12}" for side in sides))
for kind in ("random", "the same for a channel"):
    measured[kind] = np.array(
        [np.mean([random_errors(side, kind) for _ in range(draws)], axis=0) for side in sides]
    )
    cells = "".join(f"{of_dx:6.1%}({of_sums:4.0%})" for of_dx, of_sums in measured[kind])
    print(f"{kind:24}{cells}")

# %%
# The theory holds. For a random ``dy`` the error of ``dx`` falls from tens of percent on a 1 x 1
# map to about one percent on a 56 x 56 map. Where ``dy`` is the same for all pixels of a channel,
# and in the sums, it stays at tens of percent. All of it in one figure:

figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.8), sharey=True)
titles = ["dx, pixel by pixel", "dx, summed over each channel"]
for column, (axis, title) in enumerate(zip(panels, titles, strict=True)):
    for (kind, values), marker in zip(measured.items(), "os", strict=True):
        axis.plot(sides, 100 * values[:, column], marker + "-", label=f"dy {kind}")
    axis.set(title=title, xlabel="side of the map (pixels)", xscale="log", yscale="log")
    axis.set_xticks(sides, sides)
    axis.set_yticks([1, 3, 10, 30, 100], [1, 3, 10, 30, 100])
    axis.minorticks_off()
    axis.set_ylim(0.4, 130)
panels[0].set_ylabel("error without the squeeze path (%)")
panels[1].legend(loc="lower left")
figure.suptitle(
    "Without the squeeze path, dx can look right where its sums are wrong", weight="bold"
)
show(figure, "04_block")

# %%
# This tells why the mistake survives. Who looks at the pixels of ``dx`` sees a small error, which
# passes a test with a loose tolerance. But the layer below sums over the pixels, and there the
# error is several times as large. Chapter 5 looks at a net that reads digits.
#
# The same numbers as Keras
# -------------------------
#
# In Keras, the block is a function of a few lines. This is how it is usually explained, for maps
# with the channels as the last axis. Keras finds the gradient itself, with the help of JAX here.
# The import takes some seconds, so that quick mode leaves it out.


def compare_with_keras():
    os.environ["KERAS_BACKEND"] = "jax"
    try:
        import jax
        import keras
        from keras.layers import Dense, GlobalAveragePooling2D, Multiply
    except ImportError as missing:
        print(f"the comparison is left out: {missing} (pip install -e '.[parity]')")
        return

    def se_block(x, ratio=16):
        filters = x.shape[-1]
        z = GlobalAveragePooling2D()(x)
        s = Dense(filters // ratio, activation="relu", use_bias=False)(z)
        s = Dense(filters, activation="sigmoid", use_bias=False)(s)
        x = Multiply()([x, s])
        return x

    inputs = keras.Input((5, 4, 64))
    model = keras.Model(inputs, se_block(inputs))
    x, dy = rng.standard_normal((2, 3, 5, 4, 64)).astype(np.float32)
    w1, w2 = (kernel.T.copy() for kernel in model.get_weights())  # Keras: (inputs, outputs)

    wanted, back = jax.vjp(lambda x, k: model.stateless_call(k, [], x)[0], x, [w1.T, w2.T])
    wanted_dx, (wanted_dw1, wanted_dw2) = back(jax.numpy.asarray(dy))

    y, backward = squeeze_excite(np.moveaxis(x, 3, 1), w1, w2)
    dx, dw1, dw2 = backward(np.moveaxis(dy, 3, 1))
    for name, ours, keras_array in [
        ("y", np.moveaxis(y, 1, 3), wanted),
        ("dx", np.moveaxis(dx, 1, 3), wanted_dx),
        ("dw1", dw1.T, wanted_dw1),
        ("dw2", dw2.T, wanted_dw2),
    ]:
        difference = np.abs(ours - keras_array).max() / np.abs(keras_array).max()
        print(f"Keras and NumPy, {name:3}: differ by {difference:.0e} of the largest entry at most")


if QUICK:
    print("quick mode: the comparison with Keras is left out")
else:
    compare_with_keras()

# %%
# Both compute in float32, where rounding a number changes it by up to 6e-08 of its size. On this
# input, the lines of Keras and our block agree as closely as float32 allows, and so do the
# gradients.
#
# Questions
# ---------
#
# 1. Which term of ``dx`` is left when all hidden units are dead?
# 2. The map has 1 x 1 pixels and a single channel: write y as a function of x, and differentiate
#    it. Where are the two terms?
# 3. Your block has the right ``dw1`` and ``dw2``, and a net with one SE block in front of its
#    classifier has the right gradients everywhere but in its convolutions. What do you suspect?
# 4. You test your ``dx`` with a tolerance of 5 % on random maps of 14 x 14 pixels. Do you find the
#    mistake? Which two changes of the test would show it?
#
# Now exercises 11, 14 and 18: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. The scale path, with gates of 0.5: ``dx = dy / 2``. J is 0, as no hidden unit is alive.
# 2. :math:`y = x \, s(x)`, so :math:`y' = s + x \, s'`. It is the product rule: scale path, squeeze
#    path.
# 3. The squeeze path. The mistake passes by everything above the block, the block's own weights
#    included, and hits all that is below it.
# 4. No: the error is about 3 %. Take smaller maps, or a ``dy`` that is the same for all pixels of a
#    channel. Better still, lower the tolerance: in float64, differences agree to seven digits.
