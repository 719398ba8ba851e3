r"""
10. What the gates learn
========================

Each SE block gives each picture its own gates. What do the gates of a trained net tell apart, at
which depth, and does the net need them to?

You need: the SE block (chapter 4), the net and the intervals of chapter 9.

After this chapter you can

- measure how far apart the gates of the classes lie, beside controls that tell what is chance;
- measure what the averages of a block tell about the digit;
- replace the gates of a trained net, and count what is lost;
- tell gates that differ between images from gates that the net needs.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import QUICK, interval, show, verdict

from numpy_se import channel_scale, global_avg_pool
from numpy_se.data import load_images
from numpy_se.figures import class_gates
from numpy_se.gates import class_range, class_separation, collect_gates, gate_deviation
from numpy_se.nets import tiny_net
from numpy_se.train import Options, train

# %%
# The claims
# ----------
#
# A summary of the paper makes these claims. We test each of them on a small net, by a rule that
# says beforehand what would count for it and what against it.
#
# 1. *Averages.* "Global averages of feature maps posit some patterns that help classification."
# 2. *Early layers.* "The effect of SE block is minuscule in earlier layers because there is no good
#    pattern to be recognized since almost all the features are equally shared." In the figure of
#    mean gates per class, "all the lines are mostly identical" there.
# 3. *Later layers.* "The effect of SE block becomes greater in later layers because now each layer
#    is more specialized for each class, that means good patterns can be found easily."
# 4. *Dynamic.* The block scales feature maps "dynamically", "by exciting relevant features and
#    suppress irrelevant features".
#
# Five nets
# ---------
#
# One net can be an accident. We train five that differ in their seed: in the first weights and in
# the order of the images. As in chapter 9, they train on 4,000 digits. From the test set of full
# MNIST we take every fourth digit.

IMAGES, TESTED, EPOCHS, SEEDS = (200, 200, 1, 2) if QUICK else (4_000, 2_500, 12, 5)
digits = load_images().subset(IMAGES, TESTED)
print(digits)
images, labels = digits.test_images, digits.test_labels
net = tiny_net(ratio=4, input_grad=False)
nets = [
    train(net, digits, Options(epochs=EPOCHS, seed=seed, workers=2), progress=False).params
    for seed in range(SEEDS)
]
untrained = [net.init(np.random.default_rng(seed)) for seed in range(SEEDS)]
gates = [collect_gates(net, params, digits, images) for params in nets]
gates_before = [collect_gates(net, params, digits, images) for params in untrained]
BLOCKS = list(gates[0])
print("gates of one net:", {name: array.shape for name, array in gates[0].items()})


def table(title, values):
    """Print mean and interval over the nets, a column for each depth."""
    columns = [f"{mean:6.2f} ± {half:<6.2f}" for mean, half in zip(*interval(values), strict=True)]
    print(f"{title:34}", *columns)


# %%
# The lines
# ---------
#
# The figure of the paper (its Fig. 6) shows the mean gate of every channel, one line for each
# class. Here it is for our first net. The grey band holds the lines of all ten digits, and the four
# that lie farthest from the others are drawn.

title = f"Mean gates of a net on {digits.name} differ more by channel than by digit"
figure = class_gates(gates[0], labels, digits.classes, title)
show(figure, "10_gates_lines")

# %%
# On the right is the range, a number that the next section explains. The digit 1 stands out: why
# just this one?
#
# Numbers for the lines
# ---------------------
#
# "The lines are apart" has two meanings, and ``numpy_se.gates`` has a number for each. With
# :math:`m_{kc}`, the mean gate of class k in channel c:
#
# - *range*: how far apart the lines are, :math:`\max_k m_{kc} - \min_k m_{kc}`, on average over the
#   channels. Gates go from 0 to 1, and so does the range.
# - *separation*: the share of the variance of the gates that lies between the classes,
#
#   .. math:: \frac{\sum_c \mathrm{Var}_k(m_{kc})}{\sum_c \mathrm{Var}_n(s_{nc})}
#
#   Each class counts by its number of images. The separation is 1 if the class alone decides the
#   gates, even if they hardly move.
#
# Two controls tell what a large number is. Random *labels*: classes differ a little by chance. The
# nets *before training*: their gates are random functions of the image, and a random function tells
# classes apart as well. The last two rows are about a very plain property of the image: how much
# *ink* it has, the mean of its pixels. They give the share of the variance of the gates that a
# straight line in the ink explains. The sign ± stands for the 95 % interval of chapter 9.

rng = np.random.default_rng(0)
ink = images.mean(axis=(1, 2, 3))


def explained_by_ink(s):
    """Compute the share of the variance of gates (N, C) that is linear in the ink."""
    slopes = (ink - ink.mean()) @ (s - s.mean(axis=0)) / (ink.var() * len(ink))
    return (slopes**2).sum() * ink.var() / s.var(axis=0).sum()


def every(gates, function, *arguments):
    """Give function(gates, ...) for every net and block: (nets, blocks)."""
    return np.array([[function(own[block], *arguments) for block in BLOCKS] for own in gates])


ranges, ranges_before = (every(s, class_range, labels) for s in (gates, gates_before))
print(f"{SEEDS} nets, at block".ljust(34), *[f"{block:15}" for block in BLOCKS])
table("range", ranges)
table("  before training", ranges_before)
table("separation", every(gates, class_separation, labels))
table("  before training", every(gates_before, class_separation, labels))
table("  random labels", every(gates, class_separation, rng.permutation(labels)))
table("share explained by ink", every(gates, explained_by_ink))
table("  before training", every(gates_before, explained_by_ink))

# %%
# These intervals are over nets. How much depends on which images we happen to have? The *bootstrap*
# answers: from our test images, draw as many at random, so that some come twice and others not at
# all. Do this many times, and look how the number varies.

draws = [rng.integers(0, len(labels), len(labels)) for _ in range(20 if QUICK else 200)]
for block in BLOCKS:
    again = [class_separation(gates[0][block][rows], labels[rows]) for rows in draws]
    low, high = np.quantile(again, [0.025, 0.975])
    print(f"first net, {block}: separation {low:.2f} to {high:.2f} in 95 % of the draws")

# %%
# The choice of the images matters less than the choice of the net.
#
# Open, shut, or in motion
# ------------------------
#
# A gate need not depend on the picture at all. We count channels that are open (above 0.9) or shut
# (below 0.1) for *every* test image: for them the block is nearly a constant factor, which a
# convolution could have learned, too.

table("mean gate", every(gates, np.mean))
table("deviation between images", every(gates, lambda s: gate_deviation(s).mean()))
table("always open (% of channels)", every(gates, lambda s: 100 * (s > 0.9).all(axis=0).mean()))
table("always shut (% of channels)", every(gates, lambda s: 100 * (s < 0.1).all(axis=0).mean()))

# %%
# Few channels are open or shut for every image. But most gates move by a few hundredths only.
#
# Which digits open a channel? For each block we take the two channels of the first net whose gate
# moves most. On the left are the six digits that open it most, on the right those that shut it
# most.

rows, names = [], []
for block in BLOCKS:
    s = gates[0][block]
    for channel in np.argsort(s.std(axis=0))[:-3:-1]:
        order = np.argsort(s[:, channel])
        shown = np.concatenate([images[order[:-7:-1], 0], images[order[5::-1], 0]])
        rows.append(np.hstack([*shown[:6], np.zeros((28, 14), np.uint8), *shown[6:]]))
        low, high = s[order[0], channel], s[order[-1], channel]
        names.append(f"{block}, channel {channel}\n{high:.2f} to {low:.2f}")
figure, axis = plt.subplots(figsize=(7.2, 3.5))
axis.imshow(255 - np.vstack(rows), cmap="gray")
axis.set_yticks(28 * np.arange(len(rows)) + 14, labels=names)
axis.set_xticks([3 * 28, 9.5 * 28], labels=["open the channel most", "shut the channel most"])
axis.grid(False)
axis.set_title("The digits that open a channel most, and those that shut it most")
show(figure, "10_gates_digits")

# %%
# Are there patterns in the averages?
# -----------------------------------
#
# A block sees only the averages of its channels. Can one tell the digit from them? We let a linear
# rule try. For each digit, it fits a linear function of the averages that should be 1 for the
# training images of this digit and 0 for the others (*least squares*: the sum of the squared errors
# is as small as can be). For a test image, the digit whose function is largest is the answer.
# Chance is 10 %. The nets before training, whose convolutions are random, and the ink alone are
# controls. Later blocks have more channels, which helps the rule. So it is also tried with the
# first 16 channels of each block.
#
# ``forward`` runs the net layer by layer, notes the averages, and can replace the gates of any
# block by others, for the next section.


def forward(params, images, replaced):
    """Give the logits and the averages at every block; ``replaced`` has gates by block."""
    logits, averages = [], {block: [] for block in BLOCKS}
    for start in range(0, len(images), 500):
        part = slice(start, start + 500)
        x = digits.inputs(images[part])
        for name, layer in net.layers.items():
            if name in averages:
                averages[name].append(global_avg_pool(x)[0])
            if name in replaced:
                x, _ = channel_scale(x, replaced[name][part])
            else:
                x, _ = layer(net.own_params(params, name), x)
        logits.append(x)
    return np.concatenate(logits), {name: np.concatenate(z) for name, z in averages.items()}


def linear_rule(z_train, z_test):
    """Recognise digits from averages by least squares; give the accuracy in percent."""
    with_one = [np.column_stack([z, np.ones(len(z))]) for z in (z_train, z_test)]
    weights = np.linalg.lstsq(with_one[0], np.eye(10)[digits.train_labels], rcond=None)[0]
    return 100 * np.mean((with_one[1] @ weights).argmax(axis=1) == labels)


def recognised(params):
    """Give the accuracy of the linear rule at every block, from all averages and from 16."""
    z_train, z_test = (forward(params, x, {})[1] for x in (digits.train_images, images))
    return [
        [linear_rule(z_train[block][:, :some], z_test[block][:, :some]) for block in BLOCKS]
        for some in (None, 16)
    ]


by_all, by_16 = np.array([recognised(params) for params in nets]).swapaxes(0, 1)  # (nets, blocks)
by_all_before, by_16_before = np.array([recognised(params) for params in untrained]).swapaxes(0, 1)
table("digits recognised by averages (%)", by_all)
table("  before training", by_all_before)
table("  by 16 of the averages", by_16)
table("  by 16 of them, before training", by_16_before)
ink_alone = linear_rule(digits.train_images.mean(axis=(1, 2, 3)), ink)
print(f"  by the ink alone                  {ink_alone:6.2f}")

# %%
# Does the net need the gates?
# ----------------------------
#
# That the gates differ between digits does not mean that the net uses it. So we replace them in the
# trained net, at one block or at all three, and count how much accuracy is lost:
#
# - *0.5*: every gate is one half. What the block has learned is gone.
# - *mean*: every image gets the mean gates over all test images. The channels keep their usual
#   strengths, but the gates are no longer dynamic.
# - *any digit*: every image gets the gates of another image, drawn at random. They are dynamic,
#   but do not fit.
# - *same digit*: the same, but the other image shows the same digit.
#
# If claim 4 holds, "mean" loses accuracy, and "any digit" loses more than "same digit".

anyone = rng.permutation(len(labels))
alike = np.arange(len(labels))
for k in range(10):
    alike[labels == k] = rng.permutation(alike[labels == k])

CONTROLS = {
    "0.5": lambda s: np.full_like(s, 0.5),
    "mean": lambda s: np.broadcast_to(s.mean(axis=0), s.shape),
    "any digit": lambda s: s[anyone],
    "same digit": lambda s: s[alike],
}
PLACES = {block: [block] for block in BLOCKS} | {"all": BLOCKS}


def answers(params, replaced):
    """Give the digits that the net answers, with some gates replaced."""
    return forward(params, images, replaced)[0].argmax(axis=1)


def hits(given):
    """Give the accuracy in percent; the images are the last axis."""
    return 100 * np.mean(given == labels, axis=-1)


whole = np.array([answers(params, {}) for params in nets])[:, None]  # (nets, 1, images)
print(f"accuracy with all gates: {hits(whole).min():.2f} % to {hits(whole).max():.2f} %")
lost = {}
for control, change in CONTROLS.items():
    given = [
        [answers(params, {b: change(own[b]) for b in blocks}) for blocks in PLACES.values()]
        for params, own in zip(nets, gates, strict=True)
    ]
    lost[control] = hits(whole) - hits(given)  # (nets, places)
    print(f"gates replaced by: {control}".ljust(34), *[f"{place:15}" for place in PLACES])
    table("  points of accuracy lost", lost[control])
    table("  answers that change (%)", 100 * np.mean(given != whole, axis=-1))

# %%
# The verdicts
# ------------
#
# For each part of a claim, a number that should be large or small, and a bar. The net "needs" gates
# if it loses accuracy with the mean gates; the bar is a tenth of its mistakes, as in chapter 9. The
# other bars are 10 percentage points for what averages tell (beyond the ink, and more at block 3
# than at block 1 with 16 averages each), 0.05 for the range of the lines, and 0 for the difference
# of two ranges. A part is supported if the whole interval lies on its side of the bar, not
# supported if the whole interval lies on the other side, and else undecided. Of 20 such intervals,
# about one misses the true value by chance.


def judged(values, side, bar):
    """Judge whether ``values``, one for each net, lie above or below the bar."""
    words = ("supported", "not supported")
    return verdict(*interval(values), *(words if side == "above" else words[::-1]), bar)


beyond_ink = by_all - ink_alone
mean_gate, fitting = lost["mean"], lost["any digit"] - lost["same digit"]
tenth = np.mean(100 - hits(whole)) / 10
CLAIMS = {
    "1 averages tell digits, block 3": (beyond_ink[:, 2], "above", 10),
    "2 early lines are identical": (ranges[:, 0], "below", 0.05),
    "  the net does not need them": (mean_gate[:, 0], "below", tenth),
    "  because there is no pattern": (beyond_ink[:, 0], "below", 10),
    "3 later lines are apart": (ranges[:, 2], "above", 0.05),
    "  more than the early ones": (ranges[:, 2] - ranges[:, 0], "above", 0),
    "  the net needs them more": (mean_gate[:, 2] - mean_gate[:, 0], "above", tenth),
    "  because patterns are easier": (by_16[:, 2] - by_16[:, 0], "above", 10),
    "4 dynamic gates help, all blocks": (mean_gate[:, 3], "above", tenth),
    "  because they fit the digit": (fitting[:, 3], "above", tenth),
}
for claim, (values, side, bar) in CLAIMS.items():
    mean, half = interval(values)
    print(f"{claim:34} {judged(values, side, bar):16} {mean:6.2f} ± {half:.2f}, {side} {bar:.2g}?")

# %%
# The figure shows what decides. On the left, how far the lines of the classes lie apart: a ring is
# a net. On the right, what is lost when the gates are replaced. Vertical lines are 95 % intervals
# over the nets, dashed lines the bars. The right axis is linear up to 1, and logarithmic beyond it.

figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 4.1), width_ratios=[2, 3])
for place, (name, values) in enumerate({"before training": ranges_before, "after": ranges}.items()):
    mean, half = interval(values)
    across = np.arange(3) + 0.4 * (place - 0.5)
    left.plot(across + 0.14, values.T, "o", color="0.5", fillstyle="none", markersize=4)
    left.errorbar(across, mean, half, fmt="o", capsize=3, color=f"C{4 - 4 * place}", label=name)
left.axhline(0.05, color="black", linewidth=1, linestyle="--")
left.set_xticks(range(3), labels=["block 1", "block 2", "block 3"])
left.set(ylim=(0, None), ylabel="range of the mean gates", title="How far classes lie apart")
left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1))
for place, (control, values) in enumerate(lost.items()):
    mean, half = interval(values)
    across = np.arange(4) + 0.18 * (place - 1.5)
    right.errorbar(across, mean, half, fmt="o", capsize=3, label=control)
right.axhline(0, color="black", linewidth=1)
right.axhline(tenth, color="black", linewidth=1, linestyle="--")
right.set_yscale("symlog", linthresh=1)
ticks = [-1, -0.5, 0, 0.5, 1, 2, 5, 10]
right.set_yticks(ticks, labels=[f"{tick:g}" for tick in ticks])
right.minorticks_off()
right.set_xticks(range(4), labels=["block 1", "block 2", "block 3", "all three"])
right.set(ylabel="accuracy lost (percentage points)", title="What is lost when gates are replaced")
right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2)
apart, dynamic = CLAIMS["3 later lines are apart"], CLAIMS["4 dynamic gates help, all blocks"]
figure.suptitle(
    f"Later lines are apart: {judged(*apart)}. Dynamic gates help: {judged(*dynamic)}.",
    weight="bold",
)
show(figure, "10_gates")

# %%
# What we learn
# -------------
#
# With five nets and 4,000 digits, this is what we found; compare it with your own numbers.
#
# - Claim 1: the averages do tell the digits. They do so at the first block, and before training,
#   too. So "there is no good pattern" is not why early gates do little (claim 2).
# - Claim 3, the reason: later averages tell more digits, partly because they are more. With 16 at
#   every block, the blocks differ little before training, and more after it.
# - Claim 3, the lines: training draws the classes apart, at the later blocks. In the first block,
#   the ink explains most of how the gates vary in most nets, as it did before training. The digit 1
#   has the least ink: this is why it stands out.
# - Claims 3 and 4, the use: the net hardly needs gates that differ between images. With the mean
#   gates, and even with those of any other digit, nearly all its answers stay. Gates of the same
#   digit cost no less than those of any digit; the difference is far below the bar, on either side.
#   Lines that are apart are no proof that "SE blocks are doing their jobs".
# - What the net can need is the constant part of the gates: with 0.5 everywhere, some nets lose
#   much, and others little. But a constant factor could as well stand in a convolution.
#
# This fits chapter 9, where SE blocks do not help this net much. It does not tell how it is in deep
# nets with hundreds of channels and a thousand classes. There, the experiment takes the same lines.
#
# Questions
# ---------
#
# 1. The range is never exactly 0, even for gates that have nothing to do with the class. Why?
# 2. With the mean gates, the trained net loses next to nothing. Does it follow that a net that was
#    trained without SE blocks is as good?
# 3. "Same digit" uses the labels of the test images. Could it *gain* accuracy?
# 4. Why are the mean gates taken from intact nets, also where all three blocks are replaced?
#
# Answers
# -------
#
# 1. It is the largest of ten means minus the smallest. Means of samples differ by chance, and the
#    range takes the extremes. With more images for each class, it goes to 0.
# 2. No. The gates took part in the training, and shaped the weights. Only a net that is trained
#    without them tells, and that is the experiment of chapter 9.
# 3. Yes: the gates of another 3 tell the net that this is a 3. It is a control, not a way to
#    classify. If such gates helped, dynamic gates that fit would matter.
# 4. With the first block replaced, the later blocks would see other averages and give other gates,
#    and two causes would mix. In the columns for a single block, they do mix.
