"""The figures of a training run. Needs matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numpy_se.contract import Array, IntArray
from numpy_se.data import Pixels
from numpy_se.gates import class_means, class_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STYLE: Any = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "legend.frameon": False,
}
# Colours that colour-blind readers can tell apart: Okabe and Ito's.
LINE_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")
LINES = len(LINE_COLORS)


def learning_curves(losses: Array, accuracies: Array, title: str) -> Figure:
    """Draw the loss of every step and the test error after every epoch, on log axes.

    losses (steps,), accuracies (epochs,) from 0 to 1. A loss of 0 is drawn as 1e-6, no error as
    0.01 %.
    """
    import matplotlib
    from matplotlib.figure import Figure

    epochs = len(accuracies)
    losses, errors = np.maximum(losses, 1e-6), np.maximum(100 * (1 - accuracies), 0.01)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        figure.suptitle(title, x=0.01, ha="left", weight="bold")

        passes = (np.arange(len(losses)) + 1) * epochs / len(losses)
        left.plot(passes, losses, color="0.8", linewidth=0.8, label="one batch")
        if (window := len(losses) // 50) > 1:
            smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid")
            label = f"mean of {window} batches"
            left.plot(passes[window - 1 :], smooth, color="#0072B2", label=label)
        left.set(xlabel="epochs", ylabel="cross-entropy (nats)", title="Training loss")
        left.legend()

        marker = "o" if epochs <= 20 else ""
        right.plot(np.arange(epochs) + 1, errors, color="#D55E00", marker=marker)
        right.set(
            xlabel="epochs",
            ylabel="wrong (%)",
            title=f"Test error: {100 * (1 - accuracies[-1]):.2f} % at the end",
            xlim=(0, 1.05 * epochs),
        )
        right.xaxis.get_major_locator().set_params(integer=True)
        for axes, values in [(left, losses), (right, errors)]:
            low, high = np.log10(values.min()), np.log10(values.max())
            axes.set(yscale="log", ylim=(10 ** np.floor(low), 10 ** np.ceil(high + 1e-9)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter("")
    return figure


def class_gates(
    gates: Mapping[str, Array], labels: IntArray, classes: Sequence[str], title: str
) -> Figure:
    """Draw the mean gates of the classes at three depths, and how far they lie apart in each block.

    gates: for each block (N, C), from the first to the last; labels (N,). The panels show the
    first, the middle and the last block, after Fig. 6 of the paper, with the channels sorted by
    their mean gate. The band holds the lines of all classes. Drawn are the four that are farthest
    from their mean.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = list(gates)
    shown = sorted({0, len(names) // 2, len(names) - 1})
    means = {names[k]: class_means(gates[names[k]], labels) for k in shown}  # (K, C) each
    apart = sum(np.abs(mean - mean.mean(axis=0)).mean(axis=1) for mean in means.values())
    lines = sorted(np.argsort(apart)[: -LINES - 1 : -1])  # in the order of the classes
    low = min(0.0, *(float(mean.min()) for mean in means.values()))
    high = max(1.0, *(float(mean.max()) for mean in means.values()))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3 * len(shown) + 2.4, 3.6), layout="constrained")
        *panels, depth = figure.subplots(1, len(shown) + 1)
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        for panel, (name, mean) in zip(panels, means.items(), strict=True):
            order = np.argsort(mean.mean(axis=0))
            lowest, highest = mean.min(axis=0)[order], mean.max(axis=0)[order]
            everyone = f"all {len(mean)} classes"
            panel.fill_between(range(len(order)), lowest, highest, color="0.87", label=everyone)
            for k, color in zip(lines, LINE_COLORS, strict=False):
                panel.plot(mean[k][order], color=color, linewidth=1.2, label=str(classes[k]))
            panel.set(title=name, xlabel="channel, sorted", ylim=(low, high))
            panel.xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylabel("mean gate")
        blocks = range(1, len(names) + 1)
        ranges = [class_range(values, labels) for values in gates.values()]
        depth.plot(blocks, ranges, color="black", marker="o", markersize=4)
        top = max(0.1, 1.1 * max(ranges))
        depth.set(title="Range of the classes", xlabel="block", ylim=(0, top), xticks=blocks)
        handles, words = panels[0].get_legend_handles_labels()
        figure.legend(handles, words, loc="outside lower left", ncols=LINES + 1)
    return figure


def sample_images(
    images: Pixels, labels: IntArray, classes: Sequence[str], title: str, columns: int = 8
) -> Figure:
    """Draw the first images (N, C, H, W) with the names of their classes, one row per channel.

    Each channel has a grey scale of its own, from the smallest value in the row to the largest.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = images[:columns]
    count, channels = drawn.shape[:2]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(1.1 * count + 0.4, 1.1 * channels + 0.7), layout="constrained")
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        panels = figure.subplots(channels, count, squeeze=False)
        for channel, row in enumerate(panels):
            low, high = drawn[:, channel].min(), drawn[:, channel].max()
            for panel, image in zip(row, drawn[:, channel], strict=True):
                panel.imshow(image, cmap="gray_r", vmin=low, vmax=high)
                panel.set(xticks=[], yticks=[])
            if channels > 1:
                row[0].set_ylabel(f"channel {channel}")
        for panel, label in zip(panels[0], labels, strict=False):
            panel.set_title(str(classes[label]), fontsize=10, loc="center")
    return figure
