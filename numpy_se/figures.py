"""The figures of a training run. Needs matplotlib, which is imported only when one is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from numpy_se.contract import Array, IntArray
from numpy_se.gates import class_means, class_range, class_separation

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
# Ten colours that also colour-blind readers can tell apart: Paul Tol's "muted" scheme and grey.
CLASS_COLORS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#888888",
)  # fmt: skip


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
    """Draw the mean gate of every channel for every class, one row for each SE block.

    On the left the mean gates as lines, after Fig. 6 of the paper. On the right the same minus the
    mean over the classes as a map, on one scale for all blocks. gates: for each block (N, C);
    labels (N,). The lines are those of the first ten classes, which have a colour.
    """
    import matplotlib
    from matplotlib.figure import Figure

    means = {name: class_means(values, labels) for name, values in gates.items()}  # (K, C) each
    reach = max(0.01, *(float(np.abs(m - m.mean(axis=0)).max()) for m in means.values()))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1 + 2.3 * len(gates)), layout="constrained")
        panels = figure.subplots(len(gates), 2, squeeze=False)
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        for (left, right), (name, mean) in zip(panels, means.items(), strict=True):
            for gate, color, label in zip(mean, CLASS_COLORS, classes, strict=False):
                left.plot(gate, color=color, label=label, linewidth=1, marker=".", markersize=4)
            apart = class_range(gates[name], labels)
            share = class_separation(gates[name], labels)
            left.set(
                title=f"{name}: classes lie {apart:.2f} apart (average channel)",
                ylabel="mean gate",
                ylim=(min(0, mean.min()) - 0.03, max(1, mean.max()) + 0.03),
            )
            left.xaxis.get_major_locator().set_params(integer=True)
            image = right.imshow(
                mean - mean.mean(axis=0), cmap="PuOr", vmin=-reach, vmax=reach, aspect="auto"
            )
            right.grid(visible=False)
            right.set_ylabel("class")
            ticks = range(0, len(mean), 1 + len(mean) // 20)
            right.set_yticks(ticks, [classes[k] for k in ticks], fontsize=7)
            right.xaxis.get_major_locator().set_params(integer=True)
            right.set_title(f"{name}: the class explains {100 * share:.0f} % of the variance")
        for panel in panels[-1]:
            panel.set_xlabel("channel")
        figure.colorbar(image, ax=panels[:, 1], label="gate minus mean of classes", shrink=0.8)
        handles, names = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower left", ncols=10, title="class")
    return figure
