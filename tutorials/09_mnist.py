r"""
9. A net on MNIST: what does SE bring?
======================================

A small net reads handwritten digits. Does it make fewer mistakes with SE blocks than without them?
And fewer than another net without SE blocks that has as many parameters?

You need: the SE block (chapter 4) and its cost (chapter 7), a mean and a standard deviation.

After this chapter you can

- build a net without SE that has about as many parameters as the one with SE;
- compute a confidence interval of a difference, seed by seed;
- say before the runs which differences they can decide, and by which rule;
- tell what a verdict owes to the processor.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import AGAIN, FIRST_SEED, LONG, QUICK, RUNS, described, keep, kept, show
from evidence import interval, print_power, print_verdicts, sweep_by_kernel, verdicts
from rules import claims_about_mnist

from numpy_se.costs import Cost, count_net
from numpy_se.data import load_images
from numpy_se.nets import Conv2d, Linear, Sequential, tiny_net
from numpy_se.train import Options, train

# %%
# The claim
# ---------
#
# The summary of the paper (chapter 1) says: "So, if your network is not that deep, SE blocks won't
# help much." Our net has three convolutions, so it is not deep. Does the claim hold for it?
#
# The words "won't help much" must become a number before we look at results. In the paper, SE
# lowers the top-1 error of ResNet-50
#
# - from 24.80 % to 23.29 % (Table 2), by a 16th; the top-5 error from 7.48 % to 6.62 %, by more
#   than a tenth;
# - from 23.30 % to 22.28 % (Table 10 and others, another training), by a 23rd.
#
# We say that SE helps *much* if it saves a tenth of the mistakes of the other net, and print the
# verdict with a 23rd beside it. By the first bar, the paper's own ResNet-50 does not gain "much" in
# top-1 error: so "supported" is an easy verdict.
#
# Three nets
# ----------
#
# ``tiny_net`` has three stages with 16, 32 and 64 channels. Each is a convolution, a ReLU, an SE
# block and a pooling that halves the sides of the map: 28, 14, 7 and 3 pixels. A linear layer
# classifies. ``ratio=None`` leaves the SE blocks out.

se = tiny_net(ratio=4, input_grad=False)
plain = tiny_net(ratio=None, input_grad=False)


def parameters(net):
    """Count the parameters of a net for 28 x 28 pixels."""
    return sum(count_net(net, (1, 28, 28)).values(), Cost()).parameters


extra = parameters(se) - parameters(plain)
print("parameters with SE:", parameters(se), "  without:", parameters(plain), "  SE blocks:", extra)

# %%
# The plain net is smaller. If it loses, is it because it has no SE blocks, or because it has fewer
# parameters? To tell these two apart we need a third net, without SE blocks and as large as the
# first one. We widen the third convolution, as three quarters of the SE parameters are in the block
# behind it. One filter more costs
#
# .. math:: \underbrace{32 \cdot 3 \cdot 3 + 1}_{\text{the filter and its bias}}
#    + \underbrace{3 \cdot 3 \cdot 10}_{\text{its weights in the linear layer}} = 379
#
# parameters. The SE blocks have 2,816, which pays for seven filters:

filters = 64 + round(extra / 379)
layers = plain.layers | {"conv3": Conv2d(32, filters), "classify": Linear(9 * filters, 10)}
wide = Sequential(**layers)
NETS = {"se": se, "plain": plain, "wide": wide, "fast": se}
NAMES = {"se": "SE", "plain": "plain", "wide": f"plain, {filters} filters", "fast": "SE, rate 0.15"}
RATES = {"se": 0.05, "plain": 0.05, "wide": 0.05, "fast": 0.15}  # see below
print(f"{filters} filters: {parameters(wide)} parameters, {parameters(se)} with SE")

# %%
# The data
# --------
#
# ``load_images`` takes the full MNIST if it is there, and MNIST-5k if not: 4,000 digits to train on
# and 1,000 to test on. So that a run takes seconds, we always train on 4,000 digits.

IMAGES, TESTED, EPOCHS = (200, 200, 1) if QUICK else (4_000, 10_000, 8)
digits = load_images().subset(IMAGES, TESTED)
print(digits)

# %%
# One run
# -------
#
# A run depends on its seed: it decides the first weights and the order of the images. One run for
# each net would compare the luck of two seeds. So each net is trained with several seeds.
#
# All nets get the same number of epochs (passes over the 4,000 digits) and the same learning
# rate (the size of a step), 0.05. Is the same rate fair? Gates start near 0.5, so three blocks
# shrink what comes out of the net to about an eighth. The net with SE may want larger steps. So we
# train it at 0.15, too: "SE, rate 0.15". (The plain nets cannot take it: in trials, some runs
# diverged.)
#
# We take the error after the last epoch, and not the best one: to choose the best epoch by the test
# error would be to train on the test set.


def one_run(digits, net, seed, epochs):
    """Train one net; give the test error in percent after every epoch."""
    options = Options(epochs=epochs, lr=RATES[net], seed=seed)
    state = train(NETS[net], digits, options, progress=False)
    return [round(100 * (1 - accuracy), 4) for accuracy in state.accuracies.tolist()]


for net, title in NAMES.items():
    error = one_run(digits, net, seed=0, epochs=EPOCHS)
    print(f"{title:18} {parameters(NETS[net]):,} parameters, error by epoch:", end="")
    print("".join(f"{e:6.2f}" for e in error))

# %%
# How sure are we?
# ----------------
#
# These are four runs, and four runs decide nothing. Each net has S runs with results
# :math:`e_1 \dots e_S`. Their mean is our estimate, and the 95 % confidence interval is
#
# .. math:: \bar e \pm t_{S-1} \frac{\sigma}{\sqrt S}
#
# with the standard deviation :math:`\sigma` of the runs (divide by S - 1, not by S). The factor
# :math:`t` is Student's: with few runs, :math:`\sigma` is itself uncertain, so t is larger than the
# familiar 1.96: 2.78 for five runs, 2.09 for twenty. What "95 %" means: if many people made such a
# study, each with seeds of their own, the intervals of 95 of 100 would contain the true mean, and
# we do not know whether ours is one of them. ``interval`` in ``evidence.py`` gives the mean and
# half the width.
#
# Do not compare two nets by whether their intervals overlap: we want to know how sure the
# *difference* is. The nets with the same seed saw the same images in the same order, so their
# errors may rise and fall together. We subtract *within* each seed, and take the interval of the
# differences. What the two nets share drops out. Where they share little, little is gained by
# it, and the interval is still right.
#
# The rules
# ---------
#
# For each pair of nets there is a rule, in ``rules.py``. "SE won't help much", compared with
# another net, is
#
# - *supported* if the whole interval of (what SE saves) - (a tenth of the other net's error) lies
#   below 0,
# - *not supported* if the whole interval lies above it,
# - *undecided* if the interval contains 0.
#
# The comparison with the wide net at the same rate decides. It is unfair to SE: the trials had
# already shown that it wants a larger rate. The comparison at 0.15 is unfair to the others: only SE
# gets a second rate, found by a few trials on the test digits. What both say, and with other seeds
# as well, is the stronger result.
#
# A rule is worth something only if it stands before the runs. These were chosen after trials with
# the seeds 0 to 4: the trials led to the second rate, and to the bars beside the tenth. So those
# seeds cannot confirm the rules. The runs below have the seeds 100 to 119, and none of them was
# made before ``rules.py`` was final.
#
# Which differences can they decide? "Spread" is how much a difference varies from seed to seed (the
# standard deviation), as the five trials let expect (they are not kept). "Visible, alone" is the
# distance from the bar that is decided in at least 8 of 10 such studies, if there were no other
# row; "corrected" is this distance after the correction for all rows (below), in its worst case. A
# true difference that is smaller will most often be left undecided, and *undecided is not equal*.

SEEDS = range(FIRST_SEED, FIRST_SEED + 20)
if LONG:
    jobs = {
        f"{net}, seed {seed}": {"net": net, "seed": seed, "epochs": EPOCHS}
        for seed in SEEDS
        for net in NETS
    }
    folder = RUNS / "09_mnist" / digits.name
    done = sweep_by_kernel(one_run, jobs, folder, {"digits": digits})
    errors = {
        kernel: {net: [runs[f"{net}, seed {seed}"] for seed in SEEDS] for net in NETS}
        for kernel, runs in done.items()
    }
    keep("09_mnist", {"data": described(digits), "epochs": EPOCHS, "errors": errors})
study = kept("09_mnist")
errors, claims = study["errors"], claims_about_mnist(study["errors"])
print(f"kept results of {study['made']['command']}: {study['data']}")
print_power(claims)

# %%
# What the processor decides
# --------------------------
#
# NumPy leaves the products of matrices to a library, BLAS. It has a *kernel* for each family of
# processors: the code that multiplies small blocks of two matrices. Kernels add the same numbers in
# different orders, so their results differ in the last digits. A training makes large differences
# out of small ones: after some hundred steps, two runs with the same seed and with different
# kernels are two nets. Each net was trained with every seed twice, on one processor, with the
# kernel that OpenBLAS chooses there and with that for an older one.

kernels = list(errors)


def last(kernel, net):
    """Give the errors after the last epoch, one for each seed."""
    return np.array(errors[kernel][net])[:, -1]


figure, axis = plt.subplots(figsize=(7.2, 3.2))
for place, net in enumerate(("se", "wide")):
    pair = np.array([last(kernel, net) for kernel in kernels])
    x = np.arange(len(SEEDS)) + 0.25 * (place - 0.5)
    axis.vlines(x, *pair, color=f"C{place}", linewidth=1)
    for number, kernel in enumerate(kernels):
        fill = ("none", "full")[number]
        label = f"{NAMES[net]}, {kernel}"
        axis.plot(x, pair[number], "o", color=f"C{place}", fillstyle=fill, label=label)
axis.set(xlabel="seed", ylabel="test error (%)", title="One seed, two BLAS kernels")
axis.set_xticks(range(0, len(SEEDS), 5), labels=list(SEEDS)[::5])
figure.legend(loc="outside lower center", ncols=2)
show(figure, "09_mnist_kernels")

print(
    "the same seed, two kernels: points apart on average, at most; spread over seeds; correlation"
)
for net, title in NAMES.items():
    pair = np.array([last(kernel, net) for kernel in kernels])
    apart = np.abs(pair[0] - pair[1])
    print(
        f"{title:18} {apart.mean():.2f} {apart.max():.2f}   {pair[0].std(ddof=1):.2f}   "
        f"{np.corrcoef(pair)[0, 1]:+.2f}"
    )

# %%
# So a seed does not make a run repeatable on another machine. The largest of these distances are
# of the size of the effect that we look for. What hangs on one kernel is no result about SE. From
# here on, a verdict needs both kernels: where they differ, it is "undecided".
#
# It is not more than that. The two kernels share seeds and images, and the correlations show how
# far the two nets of a seed stay alike. So two kernels with 20 seeds are *not* 40 runs: the second
# one is no repetition of the study, it only rules out that a verdict hangs on the first.
#
# There is a second uncertainty that the intervals do not contain: that of the test images. With n
# images, an error e is known to :math:`\sqrt{e (1 - e) / n}`. A difference of two nets is known to
# about :math:`\sqrt{d / n}`, where d is the share of the images that just one of them gets wrong.
# We did not keep which images those are, but d is at most the sum of the two errors.

for net, title in NAMES.items():
    means = [f"{m:.2f} ± {h:.2f} %" for m, h in (interval(last(kernel, net)) for kernel in kernels)]
    e = np.mean([last(kernel, net) for kernel in kernels]) / 100
    known = 100 * np.sqrt(e * (1 - e) / 10_000)  # the test images of the kept runs
    print(f"{title:18} error {' and '.join(means)}; the test images tell it to {known:.2f} points")
d = sum(np.mean([last(kernel, net) for kernel in kernels]) for net in ("fast", "wide")) / 100
print(f"SE at 0.15 against 71 filters: the difference, to {100 * np.sqrt(d / 10_000):.2f} at most")

# %%
# The verdicts
# ------------
#
# The *p-value* of a row is the chance of a mean at least so far from the bar, on either side of it,
# if the true mean lay at the bar (Student's test). It is 0.05 where the 95 % interval just touches
# the bar, and smaller where the interval lies further away. Of the two kernels we take the larger
# one.
#
# "Row alone" is the verdict of one row, and "corrected" that of all ten rows together. If ten true
# means all lay at their bars, each row would be decided by chance with 5 % (a little less, as both
# kernels must agree), and one of them or another much more often. Holm's correction asks for
# clearer evidence: the chance that *any* of the ten verdicts is wrong is at most about 5 %, if the
# differences are roughly normal. Only the corrected verdict counts; p is the corrected p-value, and
# a row is decided where it is below 0.05. (The printed intervals are those of the row alone.)
# "Other seeds" is the corrected verdict of the same study with other seeds. The numbers
# are percentage points of the test error: what the net that is named first saves, and in the rows
# "below", what it saves minus that share of the other's errors.

with_other_seeds = claims_about_mnist(kept("09_mnist", not AGAIN)["errors"])
print_verdicts(claims, with_other_seeds)

# %%
# The figure shows all of it. On the left, the error by epoch: mean and interval of each net. On the
# right, the differences: a ring for each seed, filled for the second kernel, and the mean with its
# interval. Right of zero, the net that is named first is better; right of the dashed line, it saves
# a tenth of the other's errors.

figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.8))
for place, (net, title) in enumerate(NAMES.items()):
    mean, half = interval(errors[kernels[0]][net])
    epochs = np.arange(1, len(mean) + 1) + 0.12 * (place - 1.5)
    left.errorbar(epochs, mean, half, marker="o", capsize=2, label=title)
left.set(xlabel="epochs", ylabel="test error (%)", title=f"Error by epoch ({kernels[0]})")
left.set_yscale("log")
left.set_yticks([2, 3, 5, 10, 20], labels=["2", "3", "5", "10", "20"])
left.minorticks_off()
left.legend()
PAIRS = [name for name in claims if ":" not in name]
for place, name in enumerate(PAIRS):
    for number, gain in enumerate(claims[name].values.values()):
        across = place + 0.3 * (number - 0.5)
        mean, half = interval(gain)
        rings = across + np.linspace(-0.1, 0.1, len(gain))
        fill = ("none", "full")[number]
        right.plot(gain, rings, "o", color="0.6", fillstyle=fill, markersize=3)
        right.errorbar(
            mean, across, xerr=half, marker="o", capsize=4, color="C0", fillstyle=fill,
            label=kernels[number] if place == 0 else None,
        )  # fmt: skip
    other = "plain" if name.endswith("plain") else "wide"
    if "rate 0.05" not in name:
        tenth = np.mean([last(kernel, other) for kernel in kernels]) / 10
        right.plot(
            [tenth, tenth], [place - 0.4, place + 0.4], "--", color="black", linewidth=1,
            label="a tenth of the other's errors" if place == 0 else None,
        )  # fmt: skip
right.axvline(0, color="black", linewidth=1)
right.set_yticks(
    range(len(PAIRS)), labels=[name.replace(", against", "\nagainst") for name in PAIRS]
)
right.set(xlabel="points saved by the net named first", title="Differences")
right.invert_yaxis()  # in the order of the table
figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3)
answers = verdicts(claims)
decisive = "SE against 71 filters: below a tenth"
beside = answers["SE against 71 filters"]
figure.suptitle(
    f'At the same rate, "SE won\'t help much": {answers[decisive]}; SE beside 71 filters: {beside}',
    weight="bold",
    fontsize=11,
)
show(figure, "09_mnist")

# %%
# What the answer is worth
# ------------------------

MUCH = {
    "supported": "SE saves less than a tenth of the errors",
    "not supported": "SE saves more than a tenth of the errors",
    "undecided": "these runs do not tell on which side of a tenth it lies",
}
AT_ALL = {
    "better": "it saves some",
    "worse": "it makes more errors than the net without it",
    "undecided": "whether it saves any is undecided",
}
for title, pair in {
    "at the same rate": "SE against 71 filters",
    "with the larger rate for SE": "SE, rate 0.15, against 71 filters",
}.items():
    below, beside = answers[f"{pair}: below a tenth"], answers[pair]
    other = verdicts(with_other_seeds)[f"{pair}: below a tenth"]
    also = "with other seeds, too" if other == below else f"with other seeds: {other}"
    print(f'"won\'t help much", {title}: {below} ({also}). {MUCH[below]}; {AT_ALL[beside]}.')
print(f"the larger rate against the smaller one: {answers['SE, rate 0.15, against rate 0.05']}.")

# %%
# A second kernel is no repetition of the study. All runs with other seeds are one: the options
# ``--long --again`` make it, with the seeds from 200 on, and ``findings.py`` puts its verdicts
# beside the first ones. Where one of the two decides and the other does not, the difference is near
# what so many seeds can see.
#
# The verdicts speak of this net, on these 4,000 digits, with this training. They do not speak of
# other images: all runs have the same ones. They depend on the rate, and a fair comparison would
# give each net its own. The claim also says *why*: the net is not deep. That takes deep nets and
# flat ones, with and without SE: chapter 13. What the gates do at each depth of our net is the
# question of chapter 10.
#
# Questions
# ---------
#
# 1. The intervals are over seeds. Which uncertainty do they not contain?
# 2. How many more seeds make an interval half as wide?
# 3. What would be a fair way to choose the learning rate of each net?
# 4. Somebody trains each net with 20 seeds and compares the best run of each. What is wrong?
# 5. A friend runs the study on another computer, with the same seeds, and gets other errors. Is one
#    of you wrong?
#
# Answers
# -------
#
# 1. That of the images. All runs use the same 4,000 images to train on and the same ones to test
#    on. With other digits all the numbers shift a little.
# 2. The width falls with the square root of the number, so four times as many in all. The factor t
#    becomes a little smaller, too.
# 3. With the same effort: try the same rates with each net, on digits that are set apart for this
#    and are not the test digits. It takes many digits and seeds, as good rates differ by little.
# 4. The best of 20 runs says how far luck goes. It grows with the number of runs, and more so for
#    the net whose runs differ more. And it was chosen by the test error.
# 5. No. Another kernel adds in another order, and the training makes another net of it. What should
#    agree are the verdicts, not the errors.
