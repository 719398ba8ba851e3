r"""
11. Variations: which parts of the block matter?
================================================

The paper changes one part of the SE block at a time: the width of the bottleneck, the squeeze, the
gate, the stages that have a block, its place beside the shortcut. Each change is a row of a table,
with the errors of one net on ImageNet. Do the same changes matter on handwritten digits, and how
would we know that a difference is more than chance?

You need: the SE block (chapter 4), and the intervals of chapter 9.

After this chapter you can

- build a variation of the block, and check its gradients before it is trained;
- compute the intervals of paired differences, and correct the verdicts of many rows;
- estimate how many seeds it takes to see a difference of a given size;
- find blocks that are stuck, and tell why they are.
"""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
from course import AGAIN, FIRST_SEED, LONG, QUICK, RUNS, described, keep, kept, show
from evidence import interval, print_power, print_verdicts, sweep_by_kernel, verdicts
from rules import claims_about_variations

from numpy_se import flatten, global_avg_pool, global_max_pool, gradcheck, relu, sigmoid, tanh
from numpy_se.checker import from_layer
from numpy_se.contract import op
from numpy_se.data import load_images
from numpy_se.nets import Apply, Both, Conv2d, Linear, Sequential, SqueezeExcite, residual
from numpy_se.optim import Adam
from numpy_se.train import Options, initial_state, train

# %%
# A layer for two variations
# --------------------------
#
# Most variations are arguments of ``SqueezeExcite``. Two are not. In both of them, x takes two
# paths that meet again:
#
# - *NoSqueeze* (Table 16) does not pool. The two layers of the excitation work at every pixel, as
#   1x1 convolutions. So every pixel has a gate of its own: :math:`y = x \cdot g(x)`.
# - *SE on the shortcut* (Table 14) scales the skip path in place of the branch F:
#   :math:`y = F(x) + \mathrm{SE}(x)`.
#
# The layer ``Both`` serves both. It merges what two layers make of x, by a product or by a sum. As
# x is used twice, its gradient is the sum over both paths. ``residual`` is the sum with x itself,
# or with what another layer makes of x. The product is an operation of our own. (``op`` checks the
# shapes: here, any two that are equal.)


@op("..., ... -> ...")
def multiply(x, s):
    return x * s, lambda dy: (dy * s, dy * x)


def no_squeeze(channels, ratio):
    pixel = {"size": 1, "padding": 0, "bias": False}
    gates = Sequential(
        reduce=Conv2d(channels, channels // ratio, **pixel),
        relu=Apply(relu),
        expand=Conv2d(channels // ratio, channels, **pixel),
        gate=Apply(sigmoid),
    )
    return Both(multiply, x=Sequential(), gates=gates)  # no layers: x as it is


# %%
# A layer of one's own is checked before it is trained:

rng = np.random.default_rng(0)
x = rng.standard_normal((2, 6, 4, 5))
on_the_shortcut = residual(Conv2d(6, 6), SqueezeExcite(6, ratio=2))
for layer in (no_squeeze(6, ratio=2), on_the_shortcut):
    params = layer.init(rng, np.float64)
    report = gradcheck(from_layer(layer, params), x, *params.values(), names=["x", *params])
    print("gradients are right:", report.ok)

# %%
# One net for all tables
# ----------------------
#
# Tables 13 and 14 need stages and shortcuts, so the net is a small ResNet: three stages of 16, 32
# and 64 channels on maps of 14, 7 and 4 pixels. Each begins with a convolution of stride 2, then
# comes one residual block with one convolution F. The places of Table 14 are, in formulas:
#
# ==========  ============================
# standard    relu(x + SE(F(x)))
# before      relu(x + F(SE(x)))
# after       SE(relu(x + F(x)))
# shortcut    relu(SE(x) + F(x))
# ==========  ============================
#
# The standard ratio of the paper is 16. With our 16 channels, that would leave one hidden unit. We
# take 4 as the standard. Then 4, 8 and 16 units are left.

SQUEEZES = {"mean": global_avg_pool, "max": global_max_pool}
GATES = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu}


def stage(channels, filters, se, place):
    conv = Conv2d(filters, filters)
    block = {
        None: residual(conv),
        "standard": residual(Sequential(conv=conv, se=se)),
        "before": residual(Sequential(se=se, conv=conv)),
        "after": residual(conv),
        "shortcut": residual(conv, Sequential(se=se)),
    }[place]
    layers = {
        "down": Conv2d(channels, filters, stride=2, input_grad=channels > 1),
        "relu1": Apply(relu),
        "block": block,
        "relu2": Apply(relu),
    }
    return Sequential(**layers, **({"se": se} if place == "after" else {}))


def build(
    ratio=4, squeeze="mean", gate="sigmoid", place="standard", stages=(1, 2, 3), pixelwise=False
):
    layers = {}
    for number, (channels, filters) in enumerate([(1, 16), (16, 32), (32, 64)], start=1):
        if pixelwise:
            se = no_squeeze(filters, ratio)
        else:
            se = SqueezeExcite(filters, ratio, squeeze=SQUEEZES[squeeze], gate=GATES[gate])
        where = place if number in stages else None
        layers[f"stage{number}"] = stage(channels, filters, se, where)
    return Sequential(**layers, flatten=Apply(flatten), classify=Linear(64 * 4 * 4, 10))


# %%
# The variations, one line each
# -----------------------------
#
# The last column is the paper's top-1 error on ImageNet with SE-ResNet-50, in percent. There the
# standard block has 22.28. The ratios are compared by their distance from the standard: our 8 is
# twice the standard 4, as the paper's 32 is twice 16. The stages are compared in their order. (The
# paper's stages 2 to 4 are the first three of four; it does not try the last one alone.)

PAPER_STANDARD = 22.28
TABLES = {
    "Table 10: ratio": {
        "r = 1 (paper 4)": ({"ratio": 1}, 22.25),
        "r = 2 (paper 8)": ({"ratio": 2}, 22.26),
        "r = 8 (paper 32)": ({"ratio": 8}, 22.72),
        "no SE": ({"stages": []}, 23.30),
    },
    "Table 11: squeeze": {"max": ({"squeeze": "max"}, 22.57)},
    "Table 12: gate": {
        "tanh": ({"gate": "tanh"}, 23.00),
        "ReLU": ({"gate": "relu"}, 23.47),
    },
    "Table 13: one stage": {
        "stage 1 (paper 2)": ({"stages": [1]}, 23.03),
        "stage 2 (paper 3)": ({"stages": [2]}, 23.04),
        "stage 3 (paper 4)": ({"stages": [3]}, 22.68),
    },
    "Table 14: place": {
        "before F": ({"place": "before"}, 22.23),
        "after the sum": ({"place": "after"}, 22.78),
        "on the shortcut": ({"place": "shortcut"}, 22.20),
    },
    "Table 16: NoSqueeze": {"1x1 convolutions": ({"pixelwise": True}, 22.93)},
    "Control": {f"the same, drawn anew ({k})": ({"draw": k}, None) for k in (1, 2, 3)},
}

# %%
# The last rows are controls. They are the standard block, only the first weights of its SE blocks
# are others. We know the true difference: it is 0. What these rows show is chance.
#
# One run
# -------
#
# Two nets are easier to compare when all else is equal. So the runs with one seed see the images in
# the same order, and the layers that they share start with the same weights. Only the weights of
# the SE blocks are drawn apart.
#
# Some gates make the maps large, and the net has no batch normalisation to mend that. So the
# classifier begins at 0, and the optimiser Adam adapts the step of every weight to its gradients.
# Then all variations learn at one learning rate.
#
# Beside the error, the function counts SE blocks that are *stuck*: their gates are the same for all
# test images.


def start(net, seed, draw):
    """Draw the weights; those outside of the SE blocks are drawn for the net without SE."""
    shared = build(stages=[]).init(np.random.default_rng(seed))
    params = net.init(np.random.default_rng([seed, draw, 1]))
    others = [name for name in params if "se" not in name.split(".")]
    params |= dict(zip(others, shared.values(), strict=True))
    return params | {"classify.w": np.zeros_like(params["classify.w"])}


def one_run(digits, seed, epochs, draw=0, **variation):
    net, rule = build(**variation), Adam(weight_decay=5e-4)
    options = Options(epochs=epochs, batch_size=32, lr=0.005, seed=seed)
    state = initial_state(net, digits, options, rule)
    state = replace(state, params=start(net, seed, draw))
    state = train(net, digits, options, rule=rule, state=state, progress=False)
    gates = net.gates(state.params, digits.inputs(digits.test_images[:1000])).values()
    return {
        "error": round(100 * (1 - float(state.accuracies[-1])), 4),
        "stuck": sum(bool((s == s[0]).all()) for s in gates),
        "closed": [round(float((s == 0).all(axis=0).mean()), 4) for s in gates],
    }


# %%
# Before the long part, every variation runs once, forward and backward, on a few images:

VARIATIONS = {name: setting for rows in TABLES.values() for name, (setting, _) in rows.items()}
for name, setting in VARIATIONS.items():
    net = build(**{key: value for key, value in setting.items() if key != "draw"})
    params = net.init(rng)
    logits, backward = net(params, rng.standard_normal((4, 1, 28, 28), np.float32))
    _, grads = backward(np.ones_like(logits))
    assert grads.keys() == params.keys(), name
    print(f"{name:22} {sum(param.size for param in params.values()):7,} parameters")

# %%
# And two of them are trained, on few images:

TRAIN, TESTED, EPOCHS = (64, 20, 1) if QUICK else (3_000, 10_000, 2)
digits = load_images().subset(TRAIN, TESTED)
print(digits)
for name, setting in {"standard": {}, "ReLU": VARIATIONS["ReLU"]}.items():
    print(f"{name}: test error {one_run(digits, 0, EPOCHS, **setting)['error']:.2f} %")

# %%
# Many runs
# ---------
#
# One run of each decides nothing. What follows was made with the seeds 100 to 119 and two kernels,
# as in chapter 9, by the command ``python tutorials/11_variations.py --long``. The rules, in
# ``rules.py``, were final before: trials with the seeds 0 to 4 gave the spreads, and showed that
# five seeds decide next to nothing. The kernels share the seeds: the second one is no repetition.

SEEDS = range(FIRST_SEED, FIRST_SEED + 20)
if LONG:
    rows = {"standard": {}, **VARIATIONS}
    jobs = {
        f"{name}, seed {seed}": {"seed": seed, "epochs": EPOCHS} | setting
        for seed in SEEDS
        for name, setting in rows.items()
    }
    folder = RUNS / "11_variations" / digits.name
    done = sweep_by_kernel(one_run, jobs, folder, {"digits": digits})
    studies = {
        kernel: {name: [runs[f"{name}, seed {seed}"] for seed in SEEDS] for name in rows}
        for kernel, runs in done.items()
    }
    keep("11_variations", {"data": described(digits), "epochs": EPOCHS, "runs": studies})
kept_study = kept("11_variations")
studies, claims = kept_study["runs"], claims_about_variations(kept_study["runs"])
print(f"kept results of {kept_study['made']['command']}: {kept_study['data']}")

# %%
# Differences, with intervals
# ---------------------------
#
# For every seed k we have the error of the variation and that of the standard block. We take their
# difference :math:`d_k`, in percentage points. As in chapter 9, the S differences have a mean and a
# standard deviation :math:`\sigma`, and :math:`t_{S-1}` is Student's: 2.09 for S = 20. If chance
# acts like a normal distribution, then the true difference lies in
#
# .. math:: \bar d \pm t_{S-1} \, \frac{\sigma}{\sqrt{S}}
#
# in 95 of 100 such studies. What can be seen with 20 seeds, by the spread of the trials:

print_power(claims)

# %%
# "Row alone" is the verdict of one row. There are 18 rows: if nothing mattered, one kernel alone
# would decide about one of them by chance. "Corrected" is the verdict of all rows together (chapter
# 9), and it counts.

print_verdicts(claims, claims_about_variations(kept("11_variations", not AGAIN)["runs"]))

# %%
# The last row tests a claim of chapter 10 in another way: "The effect of SE block becomes greater
# in later layers." Then, here, a single block should save more mistakes in stage 3 than in stage 1.
# The paper's rows are not quite the same test: it puts SE into all blocks of a stage, three in its
# stage 2 and six in stage 4. There, stage 4 is better by 23.03 - 22.68 = 0.35 points. And our stage
# 3 is the last one, which the paper did not try alone. Later blocks have more weights, here as
# there.
#
# The figure shows the table, two lines for each variation: one for each kernel. A filled point is
# decided after the correction. On the right are the differences of the paper, on a scale of their
# own. The paper trained one net for each row, so there are no intervals.

heights, height = {}, 0.0
for table, rows in TABLES.items():
    for line in (table, *rows):
        heights[line] = height = height - 1.0
    height -= 0.4

answers = verdicts(claims)
figure, axes = plt.subplots(1, 2, figsize=(7.2, 7.4), width_ratios=[3, 2], sharey=True)
for row in VARIATIONS:
    for number, (kernel, values) in enumerate(claims[row].values.items()):
        mean, half = interval(values)
        place, fill = heights[row] - 0.35 * (number - 0.5), "full"
        if answers[row] == "undecided":
            fill = "none"
        label = kernel if row == next(iter(VARIATIONS)) else None
        axes[0].errorbar(
            mean, place, xerr=half, fmt="o", color=f"C{number}", fillstyle=fill, label=label
        )
for rows in TABLES.values():
    for row, (_, paper) in rows.items():
        if paper:
            axes[1].plot(paper - PAPER_STANDARD, heights[row], "D", color="C6")

axes[0].set(title="test error, minus standard\n(filled: decided)", ylim=(height - 0.4, 0))
axes[1].set(title="the paper: top-1 error,\nminus standard")
axes[0].set_yticks(list(heights.values()), list(heights))
for label in axes[0].get_yticklabels():
    label.set_weight("bold" if label.get_text() in TABLES else "normal")
for axis in axes:
    axis.set_xlabel("← better   points   worse →")
    axis.axvline(0, color="0.5", linewidth=1)
    axis.grid(False, axis="y")
    axis.tick_params(axis="y", length=0)
figure.legend(loc="outside lower left", ncols=2)
left_open = sum(answers[row] == "undecided" for row in VARIATIONS)
figure.suptitle(
    f"{len(SEEDS)} seeds, two kernels: {left_open} of {len(VARIATIONS)} variations are undecided",
    weight="bold",
)
show(figure, "11_variations")

# %%
# How to read it, and how not to
# ------------------------------
#
# - *Undecided is not equal.* The interval says which true differences fit what was seen. If it goes
#   from -1 to +1, the variation can be a clear gain or a clear loss.
# - *The controls show how far chance goes* when nothing is different. Let it make
#   you careful; the verdicts do not use it.
# - *"No SE" is a row like the others.* Look at its interval first: where the block itself is not
#   seen to help, no row can show which of its parts helps, and "worse" can also mean "worse than no
#   block at all".
# - *All rows share the standard runs.* If these few runs had bad luck, all differences move to the
#   left together, and the controls with them. Holm's correction keeps the chance of *any* wrong
#   verdict at about 5 %, for such rows as well. But where one is wrong, several can be: do not
#   count decided rows as separate pieces of evidence.
# - *The interval speaks of seeds.* The images and the learning rate are the same in all runs.
#   Others could shift the rows.
# - *It speaks of this net.* Short training on few images rewards what learns fast. The paper's nets
#   are deep, wide and trained to the end. Another sign here does not say that the paper is wrong.

for side in ("worse", "better"):
    rows = [row for row in VARIATIONS if answers[row] == side]
    print(f"{side} than the standard block: {', '.join(rows) or 'no row'}")
controls = [row for row in VARIATIONS if "drawn anew" in row]
print(f"controls that are decided: {sum(answers[row] != 'undecided' for row in controls)} of 3")
stages = "one block saves more in stage 3 than in stage 1"
print(f"{stages}: {answers[stages]}")

# %%
# How many seeds would be enough? With many of them, the half width of the interval is about
# :math:`2 \sigma / \sqrt S`. We set it to the difference that we want to see, take the median of
# :math:`\sigma` over all variations, and solve for S. A true difference of this size is then
# decided in about half of the studies; with twice as many seeds, in about 8 of 10. (That is for a
# row alone, with one kernel; after the correction for all rows, it takes about twice as many
# again.) Without pairs, :math:`\sigma` would be :math:`\sqrt 2` times the standard deviation of the
# error itself.


def errors(kernel, row):
    return np.array([run["error"] for run in studies[kernel][row]])


for kernel in studies:
    spread = np.median([np.std(claims[row].values[kernel], ddof=1) for row in VARIATIONS])
    alone = np.sqrt(2) * np.median([errors(kernel, row).std(ddof=1) for row in studies[kernel]])
    print(f"{kernel}: sigma is about {spread:.2f} points with pairs, {alone:.2f} without")
    for points in (0.2, 0.1):
        needed = int(np.ceil((2 * spread / points) ** 2))
        print(f"  half width of {points} points: about {needed} seeds")

# %%
# Stuck blocks
# ------------
#
# A ReLU that is 0 sends no gradient back. As a gate, it closes a channel: what the branch computes
# there is thrown away. If the gates of a channel are 0 for all images, its row of w2 gets no
# gradient. Only a change of the hidden units can open it again. If all channels are closed, then
# w1, w2 and the convolution before them get no gradient, and the block is stuck until its input
# changes. The shortcut still carries x. So the net learns on without this block, and the loss alone
# does not show it.
#
# A sigmoid cannot close in this way, but its block can be stuck all the same. When all hidden units
# are 0, every gate is exactly 0.5, and with tanh it is 0. The fewer hidden units there are, the
# more likely that is: with r = 8 the first block has two. We counted both on 1,000 test images,
# after training, over all seeds:

for kernel, runs in studies.items():
    print(f"\n{kernel}: {'stuck blocks':>20}   channels closed for all images, by block")
    for row in ("standard", "r = 8 (paper 32)", "tanh", "ReLU"):
        stuck = sum(run["stuck"] for run in runs[row])
        blocks = sum(len(run["closed"]) for run in runs[row])
        closed = 100 * np.mean([run["closed"] for run in runs[row]], axis=0)
        print(
            f"{row:22} {stuck:3} of {blocks}   ", "   ".join(f"{share:3.0f} %" for share in closed)
        )

# %%
# Closed channels and a larger error can stand in the same row, and the one need not be the cause of
# the other. A stuck standard block only halves its branch.
#
# Questions
# ---------
#
# 1. Why are the differences taken seed by seed, and not between the two means?
# 2. NoSqueeze has exactly as many weights as the standard block. What can it not do?
# 3. At the start, about half of the tanh gates of a block are negative. What does this mean for
#    the residual block, and what is different with sigmoid gates?
# 4. With the ReLU gate, what would a bias b2 = 1 at the start change?
# 5. Suppose that a control were decided "alone", and not after the correction. What do you say of
#    it, and of a row like "stage 3 (paper 4)", where just this happened?
#
# Now exercises 20 to 24: ``python -m numpy_se.exercises``.
#
# Answers
# -------
#
# 1. The mean is the same, but not the interval. Runs with one seed share the order of the images
#    and the first weights, so part of their luck is common, and cancels in the difference. Training
#    forgets some of what was shared, or all of it: the two numbers for sigma above tell what
#    pairing gained here.
# 2. It cannot look beyond a pixel. The standard block lets all pixels decide together over a
#    channel: a pixel in a corner learns what is in the middle. A 1x1 convolution cannot do that.
# 3. These channels of F are subtracted from x, not added. To change its sign, a gate must pass 0.
#    There, nothing of F passes, and the scale path gives F no gradient: it has the factor s.
#    Sigmoid gates are positive and begin around 0.5, so about half of F passes from the first step.
# 4. The gates would begin around 1. So most channels would begin open, and most rows of w2 would
#    get a gradient. The paper has no biases in these tables, so we have none either.
# 5. That this happens: among twenty rows without any difference, to about one with each kernel. It
#    is why the row, which is no control and is decided alone only, is no finding either.
