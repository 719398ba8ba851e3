r"""
4. The block: the whole gradient
================================

The block uses its input twice: it scales ``x``, and it computes the gates from ``x``. So the
gradient of ``x`` has two terms. Two of the five hand-written blocks of chapter 5 have only one of
them, and a net with this mistake trains (below). How large is the missing term, and why does nobody
notice?

You need: chapters 1 to 3, and the rank of a matrix (how many of its rows are independent).

After this chapter you can

- derive the gradient of the block as a sum of two terms, and write it in NumPy;
- tell for which ``dy`` the second term is large, and for which it is small;
- tell from the list of right and wrong gradients that this term was forgotten;
- measure how much a gate depends on the other channels.
"""

import os
from functools import partial

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
    sigmoid,
    softmax_cross_entropy,
    squeeze_excite,
)
from numpy_se.data import load_images
from numpy_se.nets import Sequential, SqueezeExcite, tiny_net
from numpy_se.train import Options, train

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
    params = SqueezeExcite(64, ratio=4).init(rng, np.float64)
    x = np.maximum(rng.standard_normal((4, 64, side, side)), 0)
    dy = rng.standard_normal((4, 64, side, side))
    if kind == "the same for a channel":
        dy = np.broadcast_to(dy[:, :, :1, :1], x.shape).copy()
    return errors(x, dy, **params)


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
# and in the sums, it stays at tens of percent.
#
# In a real net
# -------------
#
# Random numbers are one thing, the ``dy`` of a net that reads digits is another. We train the small
# net of this package for two passes over 4000 digits. Its three blocks have maps of 28 x 28,
# 14 x 14 and 7 x 7. Then we go back through the net, layer by layer, and catch the ``dy`` of each
# block. ``softmax_cross_entropy`` is the loss of a classifier; its backward starts from
# :math:`\partial L / \partial L = 1`. (In quick mode, the net is not trained and sees noise.)


def at_the_blocks(net, params, x, labels):
    """Go through the net and back; yield the name, x, dy and weights of every SE block."""
    steps = []
    for name, layer in net.layers.items():
        own = net.own_params(params, name)
        y, backward = layer(own, x)
        steps.append((name, own, x, backward))
        x = y
    _, back_loss = softmax_cross_entropy(x, labels)
    dy = back_loss(1.0)
    for name, own, x, backward in reversed(steps):
        if isinstance(net.layers[name], SqueezeExcite):
            yield name, x, dy, own
        dy, _ = backward(dy)


net = tiny_net(ratio=2)
if QUICK:
    images = rng.standard_normal((16, 1, 28, 28)).astype(np.float32)
    labels = rng.integers(0, 10, 16)
    params = net.init(rng)
else:
    digits = load_images().subset(train=4_000, test=1_000)
    print(digits)
    images, labels = digits.inputs(digits.test_images[:256]), digits.test_labels[:256]
    params = train(net, digits, Options(epochs=2), progress=False).params

in_net = {}
for name, x, dy, own in at_the_blocks(net, params, images, labels):
    side = x.shape[3]
    in_net[side] = errors(x, dy, **own)
    print(f"{name}, {side:2} x {side:2}: error of dx {in_net[side][0]:4.0%},", end=" ")
    print(f"of its sums over the pixels {in_net[side][1]:4.0%}")

# %%
# All of it in one figure:

figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.8), sharey=True)
titles = ["dx, pixel by pixel", "dx, summed over each channel"]
for column, (axis, title) in enumerate(zip(panels, titles, strict=True)):
    for (kind, values), marker in zip(measured.items(), "os", strict=True):
        axis.plot(sides, 100 * values[:, column], marker + "-", label=f"dy {kind}")
    points = [100 * values[column] for values in in_net.values()]
    axis.plot(list(in_net), points, "k*", markersize=11, label="dy of a net on digits")
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
# The stars tell why the mistake survives. Who looks at the pixels of ``dx`` in a net sees a small
# error, which passes a test with a loose tolerance. But the layer below sums over the pixels, and
# there the error is several times as large.
#
# Who notices?
# ------------
#
# Let us look at the gradients of the parameters, as the optimiser sees them. We put the forgetful
# block into the same net, with the same parameters:


class ForgetfulLayer(SqueezeExcite):
    """The SE layer with the backward pass of ``forgetful``."""

    def __call__(self, params, x):
        y, backward = forgetful(x, **params)

        def layer_backward(dy):
            dx, *grads = backward(dy)
            return dx, dict(zip(params, grads, strict=True))

        return y, layer_backward


layers = {
    name: ForgetfulLayer(layer.channels, layer.ratio) if name.startswith("se") else layer
    for name, layer in net.layers.items()
}
wrong_net = Sequential(**layers)


def gradients(net):
    logits, backward = net(params, images)
    _, back_loss = softmax_cross_entropy(logits, labels)
    return backward(back_loss(1.0))[1]


print("parameter    error   cosine of right and forgetful gradient")
for name, right, wrong in zip(
    params, gradients(net).values(), gradients(wrong_net).values(), strict=True
):
    size, wrong_size = np.linalg.norm(right), np.linalg.norm(wrong)
    cosine = (right * wrong).sum() / (size * wrong_size)
    print(f"{name:11} {np.linalg.norm(wrong - right) / size:6.0%} {cosine:7.3f}")

# %%
# The weights of the last block and what follows it are right: on the way to them, no gradient
# passes through a block. All that lies below is wrong: the weights of the convolutions by about ten
# percent or more, their biases by still more. The weights of a lower block are wrong, too. Its own
# rules for them are right, but they get a wrong ``dy`` from the block above. Still, the cosines are
# far above 0: a small step against the wrong gradient lowers the loss. So the net should train.
# Does it train worse?

if QUICK:
    print("quick mode: the comparison of trained nets is left out")
else:
    for seed in range(2):
        right, wrong = (
            train(any_net, digits, Options(epochs=2, seed=seed), progress=False).accuracies[-1]
            for any_net in (net, wrong_net)
        )
        print(f"seed {seed}: accuracy {right:.1%}, with the forgetful blocks {wrong:.1%}")

# %%
# The nets with the wrong gradient learn, too, and end close to the others. Two short runs of a
# small net cannot tell how much the mistake costs, and it need not be harmless elsewhere. But they
# show who does *not* notice: the one who waits for the accuracy to collapse. **A net that trains is
# no proof of its gradients.** A comparison with differences shows the mistake within a second.
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
        print(f"the comparison is left out: {missing}")
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
# How channels depend on each other
# ---------------------------------
#
# The summary says: *"the scale of each feature map now depends on the scales of other feature
# maps"*, and so SE blocks model *"interdependencies between channels"*. (A "feature map" is there
# what we call a channel.) The Jacobian J from above is exactly this dependence: its entry (k, c)
# says how much gate k moves when the mean of channel c moves. So we can look at it.
#
# For comparison, take a *plain gate*: every channel has its own little gate,
# :math:`s_c = \sigma(\alpha z_c + \beta)`, which sees its own mean only. Its Jacobian is diagonal.


def jacobian_of(op, z):
    """Compute ds[n,k] / dz[n,c] of an operation from z (N, C) to s (N, C)."""
    s, backward = op(z)
    rows = []
    for k in range(s.shape[1]):
        ds = np.zeros_like(s)
        ds[:, k] = 1
        dz, *_ = backward(ds)
        rows.append(dz)
    return np.stack(rows, axis=1)  # (N, K, C)


def plain_gate(z):
    """Gates that see their own channel only: sigmoid(alpha z + beta) with alpha 2, beta -1."""
    s, back_sigmoid = sigmoid(2 * z - 1)
    return s, lambda ds: (2 * back_sigmoid(ds),)


def off_diagonal(jacobian):
    """Compute the share of the squared Jacobian that lies off its diagonal."""
    squares = (jacobian**2).sum(axis=0)
    return squares[~np.eye(len(squares), dtype=bool)].sum() / squares.sum()


# %%
# The Jacobian says what could happen. What does happen, on real images, is a second question: how
# much of the change of a gate, from image to image, comes from its own channel alone? We hold the
# means of all other channels at their average, let only the own mean follow the images, and compare
# the variance of the gate with its full variance.


def own_share(op, z):
    """Compute the share of the gates' variance that remains when only the own channel varies."""
    alone = np.empty_like(z)
    for k in range(z.shape[1]):
        held = np.tile(z.mean(axis=0), (len(z), 1))
        held[:, k] = z[:, k]
        alone[:, k] = op(held)[0][:, k]
    return alone.var(axis=0).sum() / op(z)[0].var(axis=0).sum()


def report(name, op, z):
    jacobian = jacobian_of(op, z)
    rank = np.linalg.matrix_rank(jacobian.astype(np.float64), tol=1e-6).mean()
    print(
        f"{name:18} {z.shape[1]:8} {off_diagonal(jacobian):17.1%} {own_share(op, z):18.0%}", end=""
    )
    print(f" {rank:6.1f}")
    return jacobian


blocks = {
    name: (global_avg_pool(x)[0], weights)
    for name, x, _, weights in at_the_blocks(net, params, images, labels)
}
jacobians = {}
print("block, units alive  channels  off the diagonal  own channel alone   rank")
for name, (z, weights) in sorted(blocks.items()):
    alive = (z @ weights["w1"].T > 0).any(axis=0)  # hidden units, for one image or more
    title = f"{name}, {alive.sum()} of {alive.size}"
    jacobians[name] = report(title, partial(excite, **weights), z)
plain_jacobian = report("plain gate", plain_gate, blocks["se2"][0])

print("from image to image, a gate moves by (standard deviation):", end=" ")
moves = {name: excite(z, **weights)[0].std(axis=0).mean() for name, (z, weights) in blocks.items()}
print(", ".join(f"{name} {moves[name]:.3f}" for name in sorted(moves)))

pictures = {"SE, for one image": jacobians["se2"][0], "plain gate": plain_jacobian[0]}
figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.4))
for axis, (kind, picture) in zip(panels, pictures.items(), strict=True):
    relative = picture / np.abs(picture).max()
    colours = axis.imshow(relative, cmap="PuOr_r", vmin=-1, vmax=1)
    axis.set(title=kind, xlabel="mean of channel c moves", ylabel="gate k moves")
    axis.grid(False)
figure.colorbar(colours, ax=panels, shrink=0.8, label="ds / dz, largest entry: 1")
figure.suptitle("In se2, a gate depends on many channels; a plain gate on its own", weight="bold")
show(figure, "04_block_jacobian")

# %%
# The claim is **supported**, with numbers: in every block of this net, more than nine tenths of the
# squared Jacobian lie off its diagonal, against none for the plain gate. And a gate that could see
# its own channel alone would lose most of its variance over the images. Four remarks say what this
# means, and what it does not:
#
# - The "scales of other feature maps" must be read as their means z. The gates do not see each
#   other: for a given z, each is computed on its own (chapter 2).
# - The dependence is there by construction. If all entries of J had the same size, a share of
#   1 - 1/C would lie off the diagonal: 98.4 % for 64 channels, 96.9 % for 32 and 93.8 % for 16. The
#   trained blocks are close to that. They treat their own channel like any other.
# - The channels speak through few hidden units. J is a product of matrices with R rows or columns,
#   so its rank is at most the number of hidden units that are alive for the image (chapter 2). The
#   table gives its mean over the images, and how many of the R units are alive for any of them.
# - That channels depend on each other does not mean that it helps. The gates of this short run
#   hardly move from image to image. Whether SE improves a net is the question of chapter 8.
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
