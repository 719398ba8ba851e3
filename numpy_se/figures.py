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
# Ten colours that also colour-blind readers can tell apart: Paul Tol's "muted" scheme and black.
CLASS_COLORS = (
    "#332288", "#88CCEE", "#44AA99", "#117733", "#999933",
    "#DDCC77", "#CC6677", "#882255", "#AA4499", "#000000",
)  # fmt: skip


def learning_curves(losses: Array, accuracies: Array, title: str) -> Figure:
    """Draw the loss of every step and the test accuracy after every epoch.

    losses (steps,), accuracies (epochs,) from 0 to 1.
    """
    import matplotlib
    from matplotlib.figure import Figure

    epochs = len(accuracies)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        figure.suptitle(title, x=0.01, ha="left", weight="bold")

        passes = (np.arange(len(losses)) + 1) * epochs / len(losses)
        window = max(1, len(losses) // 50)
        smooth = np.convolve(losses, np.full(window, 1 / window), mode="valid")
        left.plot(passes, losses, color="0.8", linewidth=0.8, label="one batch")
        left.plot(passes[window - 1 :], smooth, color="#0072B2", label=f"mean of {window} batches")
        left.set(
            yscale="log", xlabel="epochs", ylabel="cross-entropy (nats)", title="Training loss"
        )
        left.legend()

        marker = "o" if epochs <= 20 else ""
        right.plot(np.arange(epochs) + 1, 100 * accuracies, color="#D55E00", marker=marker)
        right.set(
            xlabel="epochs",
            ylabel="correct (%)",
            title=f"Test accuracy: {100 * accuracies[-1]:.2f} % at the end",
        )
        right.xaxis.get_major_locator().set_params(integer=True)
    return figure


def class_gates(
    gates: Mapping[str, Array], labels: IntArray, classes: Sequence[str], title: str
) -> Figure:
    """Draw the mean gate of every channel for every class, one row for each SE block.

    On the left the mean gates, after Fig. 6 of the paper; on the right the same less the mean over
    the classes, on one scale for all blocks. gates: for each block (N, C); labels (N,); at
    most ten classes.
    """
    import matplotlib
    from matplotlib.figure import Figure

    means = {name: class_means(values, labels) for name, values in gates.items()}  # (K, C) each
    reach = 1.1 * max(float(np.abs(m - m.mean(axis=0)).max()) for m in means.values()) + 1e-6
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 1 + 2.3 * len(gates)), layout="constrained")
        panels = figure.subplots(len(gates), 2, squeeze=False, sharex="row")
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        for (left, right), (name, mean) in zip(panels, means.items(), strict=True):
            for gate, color, label in zip(mean, CLASS_COLORS, classes, strict=False):
                style = {"color": color, "linewidth": 1, "marker": ".", "markersize": 4}
                left.plot(gate, label=label, **style)
                right.plot(gate - mean.mean(axis=0), **style)
            apart = class_range(gates[name], labels)
            share = class_separation(gates[name], labels)
            left.set(
                title=f"{name}: classes lie {apart:.2f} apart (average channel)",
                ylabel="mean gate",
                ylim=(min(0, mean.min()) - 0.03, max(1, mean.max()) + 0.03),
            )
            right.set(
                title=f"{name}: the class explains {100 * share:.0f} % of the variance",
                ylabel="minus mean of classes",
                ylim=(-reach, reach),
            )
            left.xaxis.get_major_locator().set_params(integer=True)
        for panel in panels[-1]:
            panel.set_xlabel("channel")
        handles, names = panels[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", title="class")
    return figure
