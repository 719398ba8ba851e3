"""The SE block as a picture: forward in black, backward in orange, with names and shapes.

    python tutorials/block_picture.py FILE.png

The names are those of the code. The shapes are read off a block that runs.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

import numpy_se as se

SIZES = {"N": 2, "C": 5, "H": 7, "W": 11, "R": 3}  # all different: a size tells its letter
STEPS = [  # operation, what it takes, what it gives
    (se.global_avg_pool, "x", "z"),
    (se.linear, "z w1", "h"),
    (se.relu, "h", "a"),
    (se.linear, "a w2", "u"),
    (se.sigmoid, "u", "s"),
    (se.channel_scale, "x s", "y"),
]
FORWARD, BACKWARD, BOX = "black", "#C1440E", "#E8EEF4"
STEP, ROW, HALF = 2.5, 2.3, 0.78  # distance of the boxes, of the rows, and half a box
GAP = 0.13  # between the two arrows


def shapes() -> dict[str, str]:
    """Run the block, and give the shape of every value in letters."""
    letters = {size: letter for letter, size in SIZES.items()}
    values: dict[str, Any] = {
        name: np.ones([SIZES[letter] for letter in axes])
        for name, axes in {"x": "NCHW", "w1": "RC", "w2": "CR"}.items()
    }
    for op, takes, gives in STEPS:
        values[gives], _ = op(*(values[name] for name in takes.split()))
    return {
        name: f"({', '.join(letters[size] for size in array.shape)})"
        for name, array in values.items()
    }


def draw_block() -> Figure:
    """Draw the block."""
    figure = Figure(figsize=(11, 3.8), layout="none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-1.1, 17.6), ylim=(-1.95, 3.75))
    axes.axis("off")
    shape = shapes()

    def box(x: float, y: float, title: str, equation: str) -> None:
        corner = (x - HALF, y - 0.42)
        style = "round,pad=0.02,rounding_size=0.12"
        axes.add_patch(
            FancyBboxPatch(corner, 2 * HALF, 0.84, style, facecolor=BOX, edgecolor="0.5")
        )
        axes.text(x, y + 0.06, title.replace("_", "_\n", title.count("_") - 1), **centre(9))
        axes.text(x, y - 0.58, equation, **centre(8), color="0.4", style="italic")

    def centre(size: float) -> dict[str, Any]:
        return {"ha": "center", "va": "center", "fontsize": size}

    def arrow(start: tuple[float, float], end: tuple[float, float], color: str) -> None:
        style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}
        axes.annotate("", end, start, arrowprops=style)

    def across(left: float, right: float, y: float, name: str, gradient: str = "") -> None:
        arrow((left, y + GAP), (right, y + GAP), FORWARD)
        arrow((right, y - GAP), (left, y - GAP), BACKWARD)
        middle = (left + right) / 2
        axes.text(middle, y + GAP + 0.45, name, **centre(10))
        axes.text(middle, y + GAP + 0.2, shape[name], **centre(7.5))
        axes.text(middle, y - GAP - 0.25, gradient or f"d{name}", **centre(10), color=BACKWARD)

    def upright(x: float, low: float, high: float, name: str, up: bool, words: str = "") -> None:
        first, last = (low, high) if up else (high, low)
        arrow((x - GAP, first), (x - GAP, last), FORWARD)
        arrow((x + GAP, last), (x + GAP, first), BACKWARD)
        middle = (low + high) / 2
        left, right = {**centre(10), "ha": "right"}, {**centre(10), "ha": "left"}
        axes.text(x - GAP - 0.12, middle + 0.12, name, **left)
        axes.text(x - GAP - 0.12, middle - 0.14, shape[name], **{**left, "fontsize": 7.5})
        axes.text(x + GAP + 0.12, middle, words or f"d{name}", **right, color=BACKWARD)

    places = [0.6 + STEP * number for number in range(1, 6)]
    top, fork, end = ROW, 0.6, 0.6 + STEP * 6
    equations = ("eq. 2, squeeze", "eq. 3", "eq. 3", "eq. 3", "eq. 3, the gates")
    for place, (op, _, _), equation in zip(places, STEPS, equations, strict=False):
        box(place, 0, op.__name__, equation)
    box(end, top, STEPS[-1][0].__name__, "eq. 4, scale")
    for left, right, (_, _, name) in zip(places, places[1:], STEPS, strict=False):
        across(left + HALF, right - HALF, 0, name)
    for place, name in zip(places[1::2], ("w1", "w2"), strict=True):
        upright(place, -1.75, -0.78, name, up=True)

    across(-0.9, fork - 0.15, top, "x", "dx")
    axes.plot(fork, top, "o", color="white", markeredgecolor=BACKWARD, markersize=15)
    axes.text(fork, top, "+", **centre(13), color=BACKWARD)
    across(fork + 0.2, end - HALF, top, "x", "scale path of dx:  s · dy")
    axes.plot([fork - GAP, fork - GAP], [top - 0.22, GAP], color=FORWARD, linewidth=1.4)
    arrow((fork - GAP, GAP), (places[0] - HALF, GAP), FORWARD)
    axes.plot([places[0] - HALF, fork + GAP], [-GAP, -GAP], color=BACKWARD, linewidth=1.4)
    arrow((fork + GAP, -GAP), (fork + GAP, top - 0.22), BACKWARD)
    axes.text(fork + 0.3, top / 2, "squeeze path\nof dx", color=BACKWARD, fontsize=10, va="center")
    axes.plot([places[-1] + HALF, end - GAP], [GAP, GAP], color=FORWARD, linewidth=1.4)
    arrow((end - GAP, GAP), (end - GAP, top - 0.75), FORWARD)
    axes.plot([end + GAP, end + GAP], [top - 0.75, -GAP], color=BACKWARD, linewidth=1.4)
    arrow((end + GAP, -GAP), (places[-1] + HALF, -GAP), BACKWARD)
    axes.text(end - 0.35, 1.0, "s", **centre(10))
    axes.text(end - 0.35, 0.72, shape["s"], **{**centre(7.5), "ha": "right"})
    axes.text(end + 0.3, 0.85, "ds", fontsize=10, va="center", color=BACKWARD)
    across(end + HALF, end + HALF + 1.1, top, "y")
    axes.text(-0.9, 3.45, "forward", fontsize=11, weight="bold", va="center")
    axes.text(0.75, 3.45, "backward", fontsize=11, weight="bold", va="center", color=BACKWARD)
    words = "x is used twice, so its gradient is the sum of two paths"
    axes.text(3.0, 3.45, words, fontsize=10.5, va="center", color="0.25")
    return figure


if __name__ == "__main__":
    draw_block().savefig(sys.argv[1], dpi=100)
