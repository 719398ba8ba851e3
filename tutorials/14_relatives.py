r"""
14. The relatives of SE
=======================

ECA, CBAM, scSE, Gather-Excite, GCT: many blocks have followed SE. Each squeezes, decides and
scales in its own way. What can a gate of each of them see, what does it cost, and which of them can
do what SE does on cued digits?

You need: the SE block and its two paths (chapter 4), what costs are counted (chapter 7), cued
digits (chapter 12).

After this chapter you can

- describe a block by its squeeze, its decision and its scale, and write its gradient with one rule;
- read off a picture which pixels and channels a gate depends on;
- predict from it what a block can learn, and check the prediction by a rule that is fixed before.
"""

import time
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
from course import LONG, QUICK, RUNS, interval, keep, kept, show, verdict
from loky import get_reusable_executor

from numpy_se import global_avg_pool, gradcheck, sigmoid
from numpy_se.contract import op
from numpy_se.costs import count_net
from numpy_se.data import Images, load_images, read_signs
from numpy_se.nets import Sequential, SqueezeExcite, tiny_net
from numpy_se.ops import gated
from numpy_se.relatives import (
    CBAM,
    ECA,
    GCT,
    SCSE,
    SRM,
    EffectiveSE,
    GatherExcite,
    GlobalContext,
    ScaleBiasSE,
    SpatialSE,
)
from numpy_se.train import Options, sweep, train

# %%
# One rule for all
# ----------------
#
# A block looks at a map ``x``, computes gates ``s`` from it, and multiplies. So ``x`` is used
# twice, whatever the gates are, and chapter 4 has said what follows:
#
# .. math::
#
#    dx = \underbrace{s \cdot dy}_{\text{scale path}}
#       + \underbrace{\text{gradient of the gates for } ds}_{\text{gate path}}
#
# ``gated`` is this rule, as a function. What is left to write for a new block are its gates. Here
# are the smallest of all, those of Gather-Excite without weights: the gate of a channel is the
# sigmoid of its own mean.


@op("N C H W -> N C")
def own_mean_gates(x):
    """Compute one gate for each channel, from this channel alone."""
    z, back_squeeze = global_avg_pool(x)
    s, back_gate = sigmoid(z)
    return s, lambda ds: back_squeeze(back_gate(ds))


def own_mean_block(x):
    s, back_gates = own_mean_gates(x)
    return gated(x, s, back_gates)


print("gradient of the block:", gradcheck(own_mean_block, shapes="N C H W").verdict)

# %%
# What a gate can see
# -------------------
#
# Move one value of ``x`` after the other by a little: which of them move the gate? The map has 8
# channels, drawn as rows, and 12 pixels, drawn as columns. The frame marks what the gate scales:
# all pixels of a channel, all channels of a pixel, or one value. The values of ``x`` are positive,
# as behind a ReLU.

CHANNELS, PIXELS, ROW, COLUMN = 8, 12, 3, 4
BLOCKS = {
    "SE": partial(SqueezeExcite, ratio=4),
    "eSE": EffectiveSE,
    "scale and bias": partial(ScaleBiasSE, ratio=4),
    "ECA": ECA,
    "GCT": GCT,
    "SRM": SRM,
    "GE, mean": GatherExcite,
    "GE, around": partial(GatherExcite, extent=2),
    "sSE": SpatialSE,
    "scSE": partial(SCSE, ratio=4),
    "CBAM": partial(CBAM, ratio=4),
    "GC": partial(GlobalContext, ratio=4),
}
rng = np.random.default_rng(5)
x = np.abs(rng.standard_normal((2, CHANNELS, 1, PIXELS)))


def seen(layer, place):
    """Measure how much each value of a map moves the gate at ``place``, by differences."""
    params = {
        name: a + rng.uniform(0.05, 0.2, a.shape) for name, a in layer.init(rng, np.float64).items()
    }
    step, before = 1e-4, layer.gates(params, x)[(0, *place)]
    influence = np.zeros((CHANNELS, PIXELS))
    for c, p in np.ndindex(influence.shape):
        moved = x.copy()
        moved[0, c, 0, p] += step
        influence[c, p] = abs(layer.gates(params, moved)[(0, *place)] - before) / step
    return influence


KINDS = {2: (ROW,), 4: (ROW, 0, COLUMN)}  # of gates (N, C) and (N, C, H, W)
SPATIAL = (0, 0, COLUMN)  # of gates (N, 1, H, W)
figure, axes = plt.subplots(3, 4, figsize=(7.2, 4.6), sharex=True, sharey=True)
for axis, (name, make) in zip(axes.flat, BLOCKS.items(), strict=True):
    layer = make(CHANNELS)
    shape = layer.gates(layer.init(rng, np.float64), x).shape
    spatial = len(shape) == 4 and shape[1] == 1
    influence = seen(layer, SPATIAL if spatial else KINDS[len(shape)])
    axis.imshow(np.sqrt(influence / influence.max()), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    left, width = (COLUMN, 1) if len(shape) == 4 else (0, PIXELS)
    top, height = (0, CHANNELS) if spatial else (ROW, 1)
    frame = plt.Rectangle((left - 0.5, top - 0.5), width, height, fill=False, color="C3", lw=1.5)
    axis.add_patch(frame)
    rows = int((influence.max(axis=1) > 0).sum())
    columns = int((influence.max(axis=0) > 0).sum())
    axis.set(title=name, xticks=[], yticks=[])
    axis.grid(False)
    print(f"{name:15} a gate sees {rows} of {CHANNELS} channels, {columns:2} of {PIXELS} pixels")
for axis in axes[:, 0]:
    axis.set_ylabel("channel")
for axis in axes[-1]:
    axis.set_xlabel("pixel")
show(figure, "14_relatives")

# %%
# scSE and CBAM have two kinds of gates; the picture shows those of the channels. GC has no gate, it
# adds a number to each channel; the picture shows this number. SRM sees the other samples of the
# batch, too, as batch norm does.
#
# What they cost
# --------------
#
# Parameters of each block on 64 channels, operations for each value of the map (a scale alone has
# 1), and the time of both passes, divided by that of SE in the same round.

SHAPE = (4, 64, 9, 8) if QUICK else (32, 64, 28, 28)
map32 = rng.standard_normal(SHAPE, np.float32)


def both_passes(make):
    layer = make(SHAPE[1])
    params = layer.init(rng)
    y, backward, _ = layer.train(params, map32, rng)
    backward(y)


times = {name: [] for name in BLOCKS}
for _ in range(3 if QUICK else 15):
    for name in rng.permutation(list(BLOCKS)):
        start = time.perf_counter()
        both_passes(BLOCKS[name])
        times[name].append(time.perf_counter() - start)
print(f"{'':15}{'parameters':>11}{'operations':>12}{'time / SE':>11}")
for name, make in BLOCKS.items():
    cost = count_net(Sequential(block=make(SHAPE[1])), SHAPE[1:])["block"]
    operations = cost.se_operations / np.prod(SHAPE[1:])
    ratio = np.median(np.divide(times[name], times["SE"]))
    print(f"{name:15}{cost.parameters:11,}{operations:12.2f}{ratio:11.2f}")

# %%
# Two tasks
# ---------
#
# *Which channel*: the cued digits of chapter 12. A sign at a random place tells which of two
# channels to read.
#
# *Which side*: harder. Both digits are in the same channel, side by side and half as large, and the
# sign in the other channel tells whether to read the left or the right one. No channel of the image
# is right or wrong as a whole, so a gate for each channel has nothing to close at first. A net can
# still learn it, as its last layer knows the places: it can use some maps for the left digit alone
# and others for the right one, and close half of them.


def which_side(cued, seed=0):
    """Make the second task of the cued digits."""
    rng = np.random.default_rng(seed)

    def beside(pictures):
        halves = pictures[:, :2].reshape(len(pictures), 2, 14, 2, 28 // 2, 2).mean(axis=(3, 5))
        both = np.concatenate([halves[:, 0], halves[:, 1]], axis=2)  # (N, 14, 28)
        signs = np.zeros_like(both)
        for picture, sign in zip(pictures[:, 2], signs, strict=True):
            rows, columns = (np.flatnonzero(picture.any(axis=k)) for k in (1, 0))
            patch = picture[rows[0] : rows[0] + 9, columns[0] : columns[0] + 9]
            top, left = rng.integers(0, 14 - 9 + 1), rng.integers(0, 28 - 9 + 1)
            sign[top : top + 9, left : left + 9] = patch
        return np.stack([both, signs], axis=1).round().astype(np.uint8)

    return Images.from_arrays(
        beside(cued.train_images),
        cued.train_labels,
        beside(cued.test_images),
        cued.test_labels,
        name=f"which side, {cued.name}",
    )


cued = load_images("cued")
if QUICK:
    cued = cued.subset(200, 200)
TASKS = {"which channel": cued, "which side": which_side(cued)}
signs = read_signs(cued.test_images)

figure, axes = plt.subplots(2, 6, figsize=(7.2, 1.7))
side = TASKS["which side"]
for column, (image, label) in enumerate(
    zip(side.test_images[:6], side.test_labels[:6], strict=True)
):
    for row, channel in enumerate(image):
        axes[row, column].imshow(255 - channel, cmap="gray", vmin=0, vmax=255)
        axes[row, column].set(xticks=[], yticks=[])
        axes[row, column].grid(False)
    axes[0, column].set_title(f"{('left', 'right')[signs[column]]}: {label}", fontsize=10)
axes[0, 0].set_ylabel("digits")
axes[1, 0].set_ylabel("sign")
show(figure, "14_relatives_inputs")

# %%
# Predictions
# -----------
#
# These were written down before any of the nets was trained. A block "can" if it leaves less than
# half of the errors of the net without a block. For each block and task: what we expect, and why.

CAN, CANNOT = "can", "cannot"
PREDICTIONS = {
    "SE": (CAN, CAN, "all channels see the sign, wherever it is"),
    "eSE": (CAN, CAN, "the same, with one layer"),
    "scale and bias": (CAN, CAN, "the same, and a shift"),
    "ECA": (CAN, CANNOT, "filters can be learned so that each has one for the sign beside it"),
    "GCT": (CAN, CANNOT, "one number for all channels, sigma: enough to tell two signs apart"),
    "SRM": (CANNOT, CANNOT, "a channel sees itself alone"),
    "GE, mean": (CANNOT, CANNOT, "a channel sees itself alone"),
    "GE, around": (CANNOT, CANNOT, "a channel sees itself alone, and what is near"),
    "sSE": (CANNOT, CANNOT, "a pixel sees the sign only where the sign is"),
    "scSE": (CAN, CAN, "it has SE inside"),
    "CBAM": (CAN, CAN, "it has SE inside"),
    "GC": (CAN, CAN, "a large negative number added before the next ReLU closes a channel"),
    "ECA, shuffled": (CAN, CANNOT, "no order is given before training, so none is better"),
}

# %%
# In "ECA, shuffled", the neighbours are others: the channels are put into a fixed random order
# before ECA looks at them.


class ShuffledECA(ECA):
    """ECA whose neighbours are drawn at random, once."""

    def __call__(self, params, x):
        order = np.random.default_rng(1).permutation(self.channels)
        y, backward = super().__call__(params, x[:, order])
        back = np.argsort(order)

        def backward_in_order(dy):
            dx, grads = backward(dy[:, order])
            return dx[:, back], grads

        return y[:, back], backward_in_order


def net_with(name, shape):
    """Build the tiny net with a block behind each of its three convolutions."""
    net = tiny_net(None, shape=shape, input_grad=False)
    if name == "none":
        return net
    make = ShuffledECA if name == "ECA, shuffled" else BLOCKS[name]
    for number, channels in ((1, 16), (2, 32), (3, 64)):
        net = net.after(f"relu{number}", **{f"block{number}": make(channels)})
    return net


def one_run(tasks, task, block, seed, epochs):
    images = tasks[task]
    options = Options(epochs=epochs, seed=seed)
    state = train(net_with(block, images.shape), images, options, progress=False)
    return round(100 * (1 - float(state.accuracies[-1])), 4)


EPOCHS, SEEDS = 8, 5
NAMES = ["none", *PREDICTIONS]
if QUICK:
    for name, task in zip(("none", "ECA, shuffled"), TASKS, strict=True):
        print(f"{task}, {name}: {one_run(TASKS, task, name, 0, 1):.1f} % after one short epoch")

# %%
# The runs take an hour on two cores, so they are kept in ``results/14_relatives.json``. The command
# ``python tutorials/14_relatives.py --long`` makes them anew.

if LONG:
    jobs = {
        f"{task}, {name}, seed {seed}": {
            "task": task,
            "block": name,
            "seed": seed,
            "epochs": EPOCHS,
        }
        for seed in range(SEEDS)
        for task in TASKS
        for name in NAMES
    }
    folder = RUNS / "14_relatives" / cued.name
    done = sweep(one_run, jobs, folder, get_reusable_executor(), common={"tasks": TASKS})
    errors = {
        task: {
            name: [done[f"{task}, {name}, seed {seed}"] for seed in range(SEEDS)] for name in NAMES
        }
        for task in TASKS
    }
    keep("14_relatives", {"data": cued.name, "epochs": EPOCHS, "errors": errors})
