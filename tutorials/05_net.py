r"""
5. From a block to a net
========================

An SE block alone reads no digits. What else does a net need, and how is it trained? And what does
it notice when a block hands down a wrong gradient?

You need: the block and its two paths (chapter 4), and the rank of a matrix (how many of its rows
are independent).

After this chapter you can

- derive the gradients of a convolution, of max pooling and of the cross-entropy, and write them;
- write the loop that trains a net;
- tell which gradients of a net are spoiled by a mistake in a block;
- measure how much a gate depends on the other channels.
"""

from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from course import QUICK, show

from numpy_se import (
    channel_scale,
    conv2d,
    excitation,
    excite,
    global_avg_pool,
    gradcheck,
    max_pool2d,
    sigmoid,
    softmax_cross_entropy,
    squeeze_excite,
)
from numpy_se.data import load_images
from numpy_se.nets import Sequential, SqueezeExcite, tiny_net
from numpy_se.optim import SGD

# %%
# A convolution
# -------------
#
# A kernel of 3 x 3 pixels slides over the map. At each place it is a weighted sum of what it
# covers, over all C input channels; F kernels give F output channels. With X for the map and a
# frame of zeros around it:
#
# .. math:: y_{nfpq} = \sum_{cij} w_{fcij} \, X_{n c, p+i, q+j}
#
# Both factors get their gradient as in every product. The weight :math:`w_{fcij}` is used at all
# places (p, q) of all samples, so its shares are added. (So is a bias, which is added to y at all
# places: its gradient is the sum of ``dy`` over n, p and q.) The pixel :math:`X_{ncrt}` is used by
# every output whose kernel covers it, through the entry :math:`i = r - p, j = t - q`:
#
# .. math::
#
#    dw_{fcij} = \sum_{npq} dy_{nfpq} \, X_{n c, p+i, q+j} \qquad
#    dX_{ncrt} = \sum_{fij} dy_{n f, r-i, t-j} \, w_{fcij}
#
# where ``dy`` is 0 outside of its map. One loop over the few entries of the kernel does all three.
# Each entry (i, j) sees the map through a window that is moved by (i, j). On the way back, what
# came out of the window goes back into it:


def conv2d_plain(x, w):
    """Correlate x (N, C, H, W) with w (F, C, 3, 3), with one row and column of zeros around x."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    height, width = x.shape[2:]
    windows = {(i, j): np.s_[:, :, i : i + height, j : j + width] for i, j in np.ndindex(3, 3)}
    y = sum(np.einsum("nchw,fc->nfhw", padded[at], w[:, :, i, j]) for (i, j), at in windows.items())

    def backward(dy):
        dpadded, dw = np.zeros_like(padded), np.zeros_like(w)
        for (i, j), at in windows.items():
            dw[:, :, i, j] = np.einsum("nfhw,nchw->fc", dy, padded[at])
            dpadded[at] += np.einsum("nfhw,fc->nchw", dy, w[:, :, i, j])
        return dpadded[:, :, 1:-1, 1:-1].copy(), dw  # without the frame

    return y, backward


def compare(name, plain, ours, *arrays):
    """Print how far a plain operation and that of the package lie apart, y and gradients."""
    (y, backward), (y_ours, backward_ours) = plain(*arrays), ours(*arrays)
    dy = rng.standard_normal(np.shape(y))
    grads, grads_ours = (
        given if isinstance(given, tuple) else (given,)
        for given in (backward(dy), backward_ours(dy))
    )
    pairs = zip((y, *grads), (y_ours, *grads_ours), strict=True)
    apart = max(np.abs(a - b).max() / np.abs(b).max() for a, b in pairs)
    print(f"{name:14} plain and fast differ by {apart:.0e} of the largest entry at most")


rng = np.random.default_rng(0)
x, w = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((4, 3, 3, 3))
compare("convolution", conv2d_plain, partial(conv2d, padding=1), x, w)
print(gradcheck(conv2d_plain, shapes={"x": "N C H W", "w": ("F", "C", 3, 3)}).headline)

# %%
# The package does the same with matrix products on copies that stay in the cache (chapter 8 tells
# why that is fast).
#
# Max pooling
# -----------
#
# Each window of 2 x 2 pixels gives its largest value. Only this pixel moves y, so it alone gets the
# ``dy`` of its window. (At a tie the function has a kink. Below, all of the equal pixels get it, in
# the package the first one alone. Chapter 6 tells what is legal.)


def max_pool_plain(x):
    """Take the maximum of each window of 2 x 2 pixels; H and W are even."""
    n, c, height, width = x.shape
    windows = x.reshape(n, c, height // 2, 2, width // 2, 2)
    y = windows.max(axis=(3, 5))

    def backward(dy):
        largest = windows == y[:, :, :, None, :, None]
        return (largest * dy[:, :, :, None, :, None]).reshape(x.shape)

    return y, backward


compare(
    "max pooling", max_pool_plain, partial(max_pool2d, size=2), rng.standard_normal((2, 3, 6, 4))
)

# %%
# The loss
# --------
#
# The last layer gives a number for each class, the *logits* o. Softmax turns them into
# probabilities, :math:`p_{nk} = e^{o_{nk}} / \sum_j e^{o_{nj}}`. The *cross-entropy* is how much
# the right labels t surprise the net, on average over the batch:
#
# .. math:: L = -\frac1N \sum_n \log p_{n t_n}
#             = \frac1N \sum_n \Big( \log \sum_j e^{o_{nj}} - o_{n t_n} \Big)
#
# In this form the derivative is short. The first term gives p, the second one takes 1 away at the
# label:
#
# .. math:: do_{nk} = \frac{p_{nk} - [k = t_n]}{N}
#
# If all is right, p is 1 at the label, and the gradient is 0. (exp of a large number is infinite. A
# number that is taken off all logits of a row leaves p as it is: the largest one.)


def cross_entropy_plain(logits, labels):
    """Give the mean loss of logits (N, K) and labels (N,)."""
    rows = np.arange(len(labels))
    moved = logits - logits.max(axis=1, keepdims=True)
    log_p = moved - np.log(np.exp(moved).sum(axis=1, keepdims=True))

    def backward(dy):
        dlogits = np.exp(log_p)
        dlogits[rows, labels] -= 1
        return dy * dlogits / len(labels)

    return -log_p[rows, labels].mean(), backward


some = rng.standard_normal((5, 10)), rng.integers(0, 10, 5)
compare("cross-entropy", cross_entropy_plain, softmax_cross_entropy, *some)

# %%
# The loop
# --------
#
# A net is layers one after the other: ``y, backward = net(params, x)``, with all arrays in one
# dict. Here is one with three stages: convolution, ReLU, SE block, pooling.

net = tiny_net(ratio=2)
print(*net.layers)

# %%
# Training takes a few images at a time, asks the loss in which direction it grows, and takes a
# small step against it. Draw, forward, loss, backward, step: five lines of the loop below.


def fit(net, images, labels, steps, seed=0):
    """Train a net with 64 images a step; give the parameters and the loss of each step."""
    rng, rule, losses = np.random.default_rng(seed), SGD(momentum=0.9), []
    params = net.init(rng)
    state = rule.init(params)
    for step in range(steps):
        rows = rng.integers(0, len(images), 64)
        logits, backward = net(params, images[rows])
        loss, back_loss = softmax_cross_entropy(logits, labels[rows])
        _, grads = backward(back_loss(1.0))
        params, state = rule.step(params, grads, state, lr=0.05 * (1 - step / steps))
        losses.append(loss)
    return params, losses


def accuracy(net, params, images, labels):
    """Give the share of images whose largest logit is that of the label."""
    return np.mean(net(params, images)[0].argmax(axis=1) == labels)


STEPS = 3 if QUICK else 150
digits = load_images().subset(*((100, 100) if QUICK else (4_000, 1_000)))
print(digits)
images, labels = digits.inputs(digits.train_images), digits.train_labels
tested, answers = digits.inputs(digits.test_images), digits.test_labels
params, losses = fit(net, images, labels, STEPS)
print(f"loss {losses[0]:.2f} at the start, {np.mean(losses[-10:]):.2f} at the end")
print(f"right for {accuracy(net, params, tested, answers):.1%} of the test images")

# %%
# ``back_loss(1.0)`` begins the way back: :math:`\partial L / \partial L = 1`. The ``train`` of the
# package does the same, with a schedule for the step, checkpoints, and one thread for each core.
#
# The two paths in a net
# ----------------------
#
# Chapter 4 drew ``dy`` at random. That of a net that reads digits is another matter. The three
# blocks of our net have maps of 28 x 28, 14 x 14 and 7 x 7. We go back through the net, layer by
# layer, and catch the ``dy`` of each block. How large is the error of a block that forgets the
# squeeze path?


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


def errors(x, dy, w1, w2):
    """Compute the error without the squeeze path: of dx, and of its sums over the pixels."""
    s, back_gates = excitation(x, w1, w2)
    scale_path, ds = channel_scale(x, s)[1](dy)
    squeeze_path, norm = back_gates(ds)[0], np.linalg.norm
    dx = scale_path + squeeze_path
    of_sums = norm(squeeze_path.sum(axis=(2, 3))) / norm(dx.sum(axis=(2, 3)))
    return norm(squeeze_path) / norm(dx), of_sums


some = tested[:256], answers[:256]
for name, x, dy, own in at_the_blocks(net, params, *some):
    side = x.shape[3]
    of_dx, of_sums = errors(x, dy, **own)
    print(f"{name}, {side:2} x {side:2}: error of dx {of_dx:4.0%}, of its sums {of_sums:4.0%}")

# %%
# The pixels of ``dx`` hide the mistake, its sums over the pixels show it, as chapter 4 has told.
# And the layer below sums.
#
# Who notices?
# ------------
#
# Let us look at the gradients of the parameters, as the update rule sees them. We put a block that
# forgets the squeeze path into the same net, with the same parameters:


class ForgetfulLayer(SqueezeExcite):
    """The SE layer, whose dx lacks the squeeze path."""

    def __call__(self, params, x):
        y, backward = squeeze_excite(x, **params)
        s, _ = excitation(x, **params)

        def layer_backward(dy):
            _, *grads = backward(dy)
            return s[:, :, None, None] * dy, dict(zip(params, grads, strict=True))

        return y, layer_backward


layers = {
    name: ForgetfulLayer(layer.channels, layer.ratio) if name.startswith("se") else layer
    for name, layer in net.layers.items()
}
wrong_net = Sequential(**layers)


def gradients(net):
    logits, backward = net(params, some[0])
    _, back_loss = softmax_cross_entropy(logits, some[1])
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

curves = {}
for title, any_net in (("right", net), ("forgetful", wrong_net)):
    curves[title] = []
    for seed in range(1 if QUICK else 3):
        own, losses = fit(any_net, images, labels, STEPS, seed)
        curves[title].append(losses)
        print(f"{title:9} seed {seed}: right for {accuracy(any_net, own, tested, answers):.1%}")

# %%
# The losses, as means over 15 steps:

figure, axis = plt.subplots(figsize=(7.2, 3.2))
for (title, runs), color in zip(curves.items(), ("C0", "C1"), strict=True):
    for number, run in enumerate(runs):
        width = min(15, len(run))
        smooth = np.convolve(run, np.ones(width) / width, mode="valid")
        label = f"{title} gradient" if number == 0 else None
        axis.plot(np.arange(len(smooth)) + width, smooth, color=color, label=label)
axis.set(
    xlabel="step", ylabel="loss", yscale="log", title="A net with a wrong gradient trains, too"
)
axis.legend()
show(figure, "05_net")

# %%
# The nets with the wrong gradient learn, too, and end close to the others. Three short runs of a
# small net cannot tell how much the mistake costs, and it need not be harmless elsewhere. But they
# show who does *not* notice: the one who waits for the accuracy to collapse. **A net that trains is
# no proof of its gradients.** A comparison with differences shows the mistake within a second.
#
# How channels depend on each other
# ---------------------------------
#
# The summary says: *"the scale of each feature map now depends on the scales of other feature
# maps"*, and so SE blocks model *"interdependencies between channels"*. (A "feature map" is there
# what we call a channel.) The Jacobian J of chapter 4 is exactly this dependence: its entry (k, c)
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
    for name, x, _, weights in at_the_blocks(net, params, *some)
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
show(figure, "05_net_jacobian")

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
#   hardly move from image to image. Whether SE improves a net is the question of chapter 9.
#
# Questions
# ---------
#
# 1. ``dpadded[at] += ...`` adds. Why is ``=`` wrong, and where would it be right?
# 2. Why is there no ``1/N`` in the gradients of the convolution, though the loss is a mean?
# 3. Your net ends at 10 % right answers. What do you look at first, and how do you find out whether
#    the gradients are to blame?
# 4. A max pooling at a tie gives ``dy`` to both pixels. Is the mask above right then?
#
# Now exercises 12 and 13: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. A pixel lies in up to nine windows, and each sends its share. Where windows do not overlap, as
#    in the pooling above, each pixel gets a single share.
# 2. It is in ``dy`` already: the loss divides by N, and all that comes after it hands the share on.
# 3. Whether images and labels belong together, the sign of the step, and the rate. Then compare
#    some entries of ``grads`` with differences of the loss: if they agree, the gradients are right.
# 4. Not as a slope: when both pixels rise, y rises once, and the two shares would promise twice as
#    much. Legal are shares that sum to ``dy``, where none has the other sign: half for each, or all
#    for the first, as the fast version does.
