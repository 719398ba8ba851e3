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
        right.set(xlabel="epochs", ylabel="correct (%)", title="Test accuracy")
        right.xaxis.get_major_locator().set_params(integer=True)
        right.annotate(
            f"{100 * accuracies[-1]:.2f} %",
            (epochs, 100 * accuracies[-1]),
            xytext=(0, -14),
            textcoords="offset points",
            ha="right",
        )
    return figure


def class_gates(
    gates: Mapping[str, Array], labels: IntArray, classes: Sequence[str], title: str
) -> Figure:
    """Draw the mean gate of every channel for every class, one panel for each SE block.

    gates: for each block (N, C); labels (N,). After Fig. 6 of the paper.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8, 1 + 2.2 * len(gates)), layout="constrained")
        panels = figure.subplots(len(gates), 1, squeeze=False)[:, 0]
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
        colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.95, len(classes)))
        for panel, (name, values) in zip(panels, gates.items(), strict=True):
            apart = f"{class_range(values, labels):.2f} apart in the average channel"
            share = f"{100 * class_separation(values, labels):.0f} % of the gates' variance"
            for mean, color, label in zip(
                class_means(values, labels), colors, classes, strict=True
            ):
                panel.plot(mean, color=color, linewidth=1.2, marker=".", markersize=4, label=label)
            panel.set(
                title=f"{name}: classes are {apart}; the class explains {share}",
                ylabel="mean gate",
                ylim=(-0.03, 1.03),
                xlim=(-0.5, values.shape[1] - 0.5),
            )
        panels[-1].set_xlabel("channel")
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside right center", title="class")
    return figure
