r"""
9. A net on MNIST: what does SE bring?
======================================

A small net reads handwritten digits. Does it make fewer mistakes with SE blocks than without them?
And fewer than another net without SE blocks that has as many parameters?

You need: the SE block (chapter 4) and its cost (chapter 7), a mean and a standard deviation.

After this chapter you can

- build a net without SE that has about as many parameters as the one with SE;
- compute a confidence interval of a difference, seed by seed;
- say before the runs which differences they can decide;
- write down a rule before the runs, and judge a claim by it;
- tell what a verdict owes to the processor.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import LONG, QUICK, RUNS, keep, kept, show
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
# verdict with a 23rd beside it.
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
# All three nets get the same number of epochs (passes over the 4,000 digits) and the same learning
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
# differences. What the two nets share drops out. (If they share nothing, this interval is wider
# than those of the nets, and still right.)
#
# The rules
# ---------
#
# For each pair of nets there is a rule, in ``rules.py``. "SE won't help much", compared with another
# net, is
#
# - *supported* if the whole interval of (what SE saves) - (a tenth of the other net's error) lies
#   below 0,
# - *not supported* if the whole interval lies above it,
# - *undecided* if the interval contains 0.
#
# The comparison with the wide net at the same rate decides. The one at 0.15 tests how much hangs on
# the rate. It favours SE: only SE gets a second rate, found by a few trials on the test digits.
#
# A rule is worth something only if it stands before the runs. These were chosen after trials with
# the seeds 0 to 4: the trials led to the second rate, and to the bars beside the tenth. So those
# seeds cannot confirm the rules. The runs below have the seeds 100 to 119, and none of them was
# made before ``rules.py`` was final.
#
# Which differences can they decide? The trials tell how much a difference varies from seed to seed.
# "Visible" is the distance from the bar that is decided in at least 8 of 10 such studies. A true
# difference that is smaller will most often be left undecided, and *undecided is not equal*.

SEEDS = range(100, 120)
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
    keep("09_mnist", {"data": str(digits), "epochs": EPOCHS, "errors": errors})
