r"""
13. Depth
=========

"If your network is not that deep, SE blocks won't help much", says the summary that this course
tests. And along a deep net, the lines of the classes should come apart, as in all but the last two
blocks of the paper's Fig. 6. Residual nets of 8 and 20 layers, with and without SE, tell how far
that holds for small images.

You need: the residual block with SE (chapter 11), the gates by class (chapter 10), cued digits
(chapter 12).

After this chapter you can

- build a residual net with SE of a given depth, and say where its blocks stand;
- measure the gain by SE at two depths, and tell what such runs can decide;
- draw the gates by class along a net, and tell in which blocks the classes come apart.
"""

import matplotlib.pyplot as plt
import numpy as np
from course import FIRST_SEED, LONG, QUICK, RUNS, described, keep, kept, show
from evidence import interval, print_power, print_verdicts, sweep_by_kernel, verdicts
from rules import claims_about_depth

from numpy_se.data import DATASETS, load_images
from numpy_se.gates import (
    class_means,
    class_range,
    class_separation,
    collect_gates,
    gate_deviation,
    replace_gates,
)
from numpy_se.nets import se_resnet
from numpy_se.train import Options, accuracy, train

# %%
# The nets
# --------
#
# ``se_resnet(depth)`` is built after the net of He et al. for CIFAR-10: a convolution, then three
# stages of 16, 32 and 64 channels, with n units each. A unit is
#
# .. math:: y = \mathrm{relu}(F(x) + x), \qquad
#           F = \text{conv, batch norm, relu, conv, batch norm, SE}
#
# with two convolutions, so the depth is 6n + 2. The SE block stands at the end of the branch F,
# before the sum (the paper's Fig. 3). Where a stage begins, the map is halved, and a 1 x 1
# convolution takes the place of the x in the sum.

for depth in (8, 20):
    nets = [se_resnet(depth, ratio) for ratio in (4, None)]
    params = [net.init(np.random.default_rng(0)) for net in nets]
    sizes = [
        sum(own[name].size for name in net.names) for net, own in zip(nets, params, strict=True)
    ]
    print(f"{depth:2} layers: {sizes[0]:7,} parameters with SE, {sizes[1]:7,} without")

# %%
# One run
# -------
#
# The function trains a net and gives its error, its error with frozen gates (chapter 10: every
# image gets the mean gates over the test images), and, for every block, how far the classes lie
# apart. After each epoch we test on few images, and at the end on all.

IMAGES, EPOCHS = (100, 1) if QUICK else (10_000, 6)


def one_run(images, depth, ratio, seed, epochs):
    net = se_resnet(depth, ratio, channels=images.shape[0], input_grad=False)
    options = Options(epochs=epochs, lr=0.1, seed=seed)
    params = train(net, images.subset(IMAGES, 1_000), options, progress=False).params

    def error(net):
        return round(100 * (1 - accuracy(net, params, images)), 4)

    result = {"error": error(net)}
    if ratio is None:
        return result
    gates, labels = collect_gates(net, params, images, images.test_images), images.test_labels
    blocks = list(gates.values())
    frozen = {name: s.mean(axis=0) for name, s in gates.items()}
    first, middle, last = blocks[0], blocks[len(blocks) // 2], blocks[-1]
    return result | {
        "frozen": error(replace_gates(net, frozen)),
        "ranges": [round(class_range(s, labels), 4) for s in blocks],
        "separations": [round(class_separation(s, labels), 4) for s in blocks],
        "deviations": [round(float(gate_deviation(s).mean()), 6) for s in blocks],
        "means": [class_means(s, labels).round(3).tolist() for s in (first, middle, last)],
    }


# %%
# Here it is, small: eight layers, on cued digits.

cued = load_images("cued")
if LONG:  # before hours of runs, see that both data sets are there
    fashion = load_images("fashion")
small = cued.subset(IMAGES, 500) if QUICK else cued.subset(5_000, 2_000)
for ratio in (4, None):
    result = one_run(small, depth=8, ratio=ratio, seed=0, epochs=1 if QUICK else 5)
    print(f"{'with SE' if ratio else 'without'}: error {result['error']:.1f} %")

# %%
# All runs
# --------
#
# Two data sets, two depths, with and without SE, five seeds and two kernels (chapter 9): 80 runs of
# two to six minutes each. They were made once with the command
# ``python tutorials/13_depth.py --long``, and are kept in ``results/13_depth.json``. On a cluster,
# the executor is that of a client of ``dask.distributed``: ``sweep(one_run, jobs, folder,
# client.get_executor(), common={"images": client.scatter(...)})``.

SHALLOW, DEEP = 8, 20
DEPTHS, SEEDS = (SHALLOW, DEEP), range(FIRST_SEED, FIRST_SEED + 5)
NETS = [f"{depth} layers, ratio {ratio}" for depth in DEPTHS for ratio in (4, None)]


def study(images):
    """Give the results of all runs on ``images``, by kernel and net, as lists over the seeds.

    The mean gates by class are kept of the one net that is drawn below.
    """
    jobs = {
        f"{depth} layers, ratio {ratio}, seed {seed}": {
            "depth": depth,
            "ratio": ratio,
            "seed": seed,
            "epochs": EPOCHS,
        }
        for seed in SEEDS
        for depth in DEPTHS
        for ratio in (4, None)
    }
    done = sweep_by_kernel(one_run, jobs, RUNS / "13_depth" / images.name, {"images": images})
    for kernel, runs in done.items():
        for name, result in runs.items():
            if (kernel, name) != (next(iter(done)), f"{DEEP} layers, ratio 4, seed {SEEDS[0]}"):
                result.pop("means", None)
    return {
        kernel: {net: [runs[f"{net}, seed {seed}"] for seed in SEEDS] for net in NETS}
        for kernel, runs in done.items()
    }


def before_training(images, seed):
    """Give the range of the classes in each block of a net that has seen images, and no label.

    Its weights are those of the start; the statistics of batch norm follow 60 batches.
    """
    net = se_resnet(DEEP, 4, channels=images.shape[0])
    rng = np.random.default_rng(seed)
    params = net.init(rng)
    for _ in range(60):
        rows = rng.integers(0, IMAGES, 64)
        params |= net.train(params, images.inputs(images.train_images[rows]), rng)[2]
    gates = collect_gates(net, params, images, images.test_images)
    return [round(class_range(s, images.test_labels), 4) for s in gates.values()]


if LONG:
    done = {images.name: study(images) for images in (fashion, cued)}
    studies = {
        kernel: {name: own[kernel] for name, own in done.items()}
        for kernel in next(iter(done.values()))
    }
    before = [before_training(fashion, seed) for seed in SEEDS]
    data = [described(images.subset(IMAGES, 10_000)) for images in (fashion, cued)]
    keep(
        "13_depth",
        {"data": data, "epochs": EPOCHS, "studies": studies, "before training": before},
    )

results = kept("13_depth")
studies, claims = results["studies"], claims_about_depth(results["studies"])
print(f"kept results of {results['made']['command']}, {results['epochs']} epochs:")
print(*results["data"], sep="\n")

# %%
# Gain against depth
# ------------------
#
# The gain is the error without SE minus the error with SE, seed by seed, in percentage points. The
# summary says "won't help much" in a net that is not deep. We read it so: the gain there is not
# above 0, and it grows with depth. (Chapter 9 has another bar for "much".) Points are one measure.
# A deep net that makes few mistakes has few to lose, so a gain in points may shrink for this reason
# alone. The share of the errors that SE removes is another measure.
#
# The rules, in ``rules.py``, are for each of the two data sets:
#
# - SE helps at 8 layers: the gain there is above 0, which speaks against the summary;
# - the gain grows with depth: (gain at 20 layers) - (gain at 8) is above 0. Where SE does harm at
#   both depths, this means that it does less;
# - the same for the share of the errors;
# - the dynamic effect at 20 layers is above a tenth of the errors: with the mean gates in all
#   blocks, the net loses more than that;
# - the classes lie further apart at the end: at 20 layers, the range of the last block minus twice
#   that of the first is above 0.
#
# Trials with the seeds 0 to 4, one kernel, and 8, 14 and 20 layers had the same images. They gave
# the spreads, led to the rule about the share, and showed in which direction most rows go. So the
# rows tell whether that holds with other seeds and with both kernels; they do not test a guess. On
# cued digits, the trials left no chance for a growing gain: the deep net without SE makes fewer
# errors than SE takes from the shallow one. Nor can a share grow far from 80 % and more: after the
# correction, what is visible is more than it can grow, so "supported" was out of reach. And on
# Fashion-MNIST, the loss by SE at 8 layers was smaller than what is visible after the correction.
# "Visible" is the distance from the bar that is decided in at least 8 of 10 such studies: for a row
# alone, and after the correction for all ten rows (chapter 9). The numbers are percentage points,
# except the ranges, which are differences of gates.

print_power(claims)

# %%
# What the nets do: means over five seeds, with 95 % intervals.


def column(runs, key):
    return np.array([run[key] for run in runs])


for kernel, by_data in studies.items():
    for name, runs in by_data.items():
        print(f"\n{name}, {kernel}: error in %")
        titles = ("with SE", "without", "gain", "share removed", "frozen cost")
        print(f"{'layers':>8}", *(f"{title:>14}" for title in titles))
        for depth in DEPTHS:
            with_se, without = (runs[f"{depth} layers, ratio {ratio}"] for ratio in (4, None))
            columns = [column(with_se, "error"), column(without, "error")]
            columns.append(columns[1] - columns[0])
            columns.append(100 * columns[2] / columns[1])
            columns.append(column(with_se, "frozen") - columns[0])
            cells = (f"{mean:6.2f} ± {half:.2f}" for mean, half in map(interval, columns))
            print(f"{depth:8}", *(f"{cell:>14}" for cell in cells))

# %%
# The verdicts. "Row alone" is the verdict of one row; only the corrected one counts. The rows of
# the dynamic effect show its cost minus a tenth of the errors, and those of the range the last one
# minus twice the first.

print_verdicts(claims)

# %%
# Where the spread is larger than the trials let expect, less was visible than was planned. A row
# whose p is close to 0.05 hangs on the list of rows: one more, such as the gain at 20 layers, and
# it could be undecided. The two kernels share seeds and images: these are five runs looked at
# twice, and not ten. Five seeds cannot show that the runs are roughly normal, as the intervals
# assume; so here is how many seeds lie above the bar, by kernel.

for name, claim in claims.items():
    print(f"{name}: {claim.above()} of {claim.runs}")

# %%
# Lines along the depth
# ---------------------
#
# The paper's Fig. 6 draws the mean gates of four classes, and of all 1000, at 50 channels: in early
# blocks the lines lie together, in later ones they come apart, but not in the last two blocks. In
# the one, most gates are close to 1; in the other, the classes differ by little (chapter 10). Here
# are the gates of the first, the middle and the last block of one net of 20 layers on
# Fashion-MNIST, with the gates of two classes. It is the net of the first seed; in the first block,
# the seeds differ much. On the right is how far the classes lie apart in every block, with a ring
# for each seed and a line for their mean, with the first kernel; the dashed line is a control, the
# nets before training, for which there is no row. "Between classes" is the share of the gates'
# variance that lies between the classes (chapter 10).

FASHION = "Fashion-MNIST"
first_kernel = next(iter(studies))
runs = studies[first_kernel][FASHION][f"{DEEP} layers, ratio 4"]
ranges, between = column(runs, "ranges"), column(runs, "separations")  # (seeds, blocks)
before = np.array(results["before training"])
SHOWN = {"trouser": "C0", "bag": "C1"}

figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.9), width_ratios=[3, 4, 5, 5])
means = [np.array(block) for block in runs[0]["means"]]  # (classes, channels)
titles = ("first block", "middle block", "last block")
for axis, mean, title in zip(axes, means, titles, strict=False):
    order = np.argsort(mean.mean(axis=0))
    channels = range(len(order))
    low, high = mean.min(axis=0)[order], mean.max(axis=0)[order]
    axis.fill_between(channels, low, high, color="0.85", label="all ten classes")
    for label, color in SHOWN.items():
        gates = mean[DATASETS["fashion"].classes.index(label)][order]
        axis.plot(channels, gates, "o", color=color, markersize=3, label=label)
    axis.set(title=title, xlabel="channel, sorted", ylim=(0, 1))
    if axis is not axes[0]:
        axis.set_yticklabels([])
axes[0].set_ylabel("mean gate")
blocks = np.arange(1, ranges.shape[1] + 1)
axes[3].plot(blocks, ranges.T, "o", color="0.5", fillstyle="none", markersize=4)
(trained,) = axes[3].plot(blocks, ranges.mean(axis=0), color="C0", linewidth=2)
(untrained,) = axes[3].plot(blocks, before.mean(axis=0), "--", color="0.3", linewidth=1.5)
axes[3].set(title="range of the classes", xlabel="block", ylim=(0, None), xticks=blocks)
handles, names = axes[0].get_legend_handles_labels()
handles, names = [*handles, trained, untrained], [*names, "mean of the seeds", "before training"]
figure.legend(handles, names, loc="outside lower center", ncols=5)
show(figure, "13_depth")

print("block          ", *(f"{block:5}" for block in blocks))
print("range          ", *(f"{mean:5.2f}" for mean in ranges.mean(axis=0)))
print("before training", *(f"{mean:5.2f}" for mean in before.mean(axis=0)))
print("between classes", *(f"{mean:5.2f}" for mean in between.mean(axis=0)))
shallow = column(studies[first_kernel][FASHION][f"{SHALLOW} layers, ratio 4"], "ranges")
print(f"range, {SHALLOW} layers", *(f"{mean:5.2f}" for mean in shallow.mean(axis=0)))
for kernel, by_data in studies.items():
    for name, own in by_data.items():
        ends = column(own[f"{DEEP} layers, ratio 4"], "ranges")
        quotients = ", ".join(f"{run[-1] / run[0]:.1f}" for run in ends)
        print(f"last range / first, {name}, {kernel}, by seed: {quotients}")
print(f"before training, {FASHION}: {', '.join(f'{r[-1] / r[0]:.1f}' for r in before)}")
dead = [
    run for runs in studies[first_kernel][FASHION].values() for run in runs if "deviations" in run
]
stuck = sum(deviation < 1e-6 for run in dead for deviation in run["deviations"])
print(f"dead blocks: {stuck} of {sum(len(run['deviations']) for run in dead)}")

# %%
# What we learn
# -------------

answers = verdicts(claims)
for word in ("supported", "not supported", "undecided"):
    rows = [name for name, answer in answers.items() if answer == word]
    print(f"{word}: {'; '.join(rows) or 'nothing'}")
print("seeds with which the net with SE makes fewer errors, by kernel:")
for name in next(iter(studies.values())):
    for depth in DEPTHS:
        fewer = [
            column(own[name][f"{depth} layers, ratio None"], "error")
            > column(own[name][f"{depth} layers, ratio 4"], "error")
            for own in studies.values()
        ]
        counts = " and ".join(str(pairs.sum()) for pairs in fewer)
        print(f"  {name}, {depth} layers: {counts} of {len(SEEDS)}")

# %%
# Read the rows of the two data sets beside each other. "Undecided" is not "no difference": see with
# how many seeds the net with SE is better. Where the data sets differ, "SE helps in a net of this
# depth" is no property of the depth alone: cued digits ask for another choice of maps in each
# image, and Fashion-MNIST does not. And a net that gains nothing by its gates can still lose
# without them, as it was trained with them: compare the gain with the frozen cost. That cost is not
# what SE is worth (chapter 12).
#
# See also in which blocks the range grows. A row compares two of them and tells nothing of those
# between. And look at the last of the three blocks in the shallow nets: where it ends as high, many
# blocks are not the reason.
#
# What the rows do not say:
#
# - No row asks for the gain at 20 layers alone. And two depths are no curve, and 20 layers are not
#   deep: the paper's residual nets for ImageNet have 50 and more, and a hundred times as many
#   images.
# - All nets are trained for six epochs, at one learning rate; we did not tune it for any net. With
#   another recipe the gain may have another sign.
# - The blocks differ in more than depth: the last ones have four times as many channels as the
#   first, and stand right before the classifier. The nets before training differ in this, too, so
#   compare with them.
# - In the last block of the paper's net the classes hardly differ. So one net tells little about
#   another.
# - The runs share their images, also those for the test: 10,000 of Fashion-MNIST and 2,000 of cued
#   digits. The standard error of an error of 11 % is 0.3 points with 10,000 images; with 2,000, it
#   is 0.8 for an error of 14.5 %, and 0.25 for one of 1.3 %. The intervals do not contain it.
#
# Questions
# ---------
#
# 1. Without SE, 20 layers make far fewer mistakes on cued digits than 8. Twice the width saves
#    about a third of them, in the small net of chapter 12. Why could depth save more, and how would
#    you test it?
# 2. All nets were trained by one recipe. What would you change first, to be fair to SE?
# 3. Frozen gates cost more on cued digits than on Fashion-MNIST, by far. Which property of the
#    task decides that?
#
# Answers
# -------
#
# 1. Perhaps, as the sign has to reach the place of the digits. Each 3 x 3 convolution carries it
#    one pixel further, and each halving doubles that; a wider net does not look further. Signs that
#    always stand beside the digits would tell: if this is the reason, depth should then save less.
# 2. The recipe is the same for both, and it was chosen for neither: more epochs, and a learning
#    rate for each net, found on images that are kept aside for that.
# 3. Whether two images of the same class need different maps. With cued digits, the sign decides
#    that in each image anew; a shirt is a shirt.
