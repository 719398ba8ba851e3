"""Draw what the benchmarks measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench
import report
from bench import Run
from growth import Axis

RIVALS = ["#555555", "#D55E00", "#009E73", "#CC79A7"]  # of lines that cross
OURS, OTHERS, LIMIT = "#0072B2", "#555555", "#D55E00"  # told apart by the colour-blind, too


def ratios(runs: Sequence[Run], ours: str, limit: str, title: str, dots: str, file: Path) -> None:
    """Draw one line for each contender: how much longer it takes than ``ours``.

    A dot for each problem, a diamond with its value for the geometric mean, as in the table. One
    panel for each run, that is each number of threads.
    """
    from matplotlib import pyplot as plt

    first = runs[0].results
    titles = [t for t in first[0] if all(t in row for row in first)]
    titles.remove(ours)
    titles = [t for t in titles if t != bench.TUNED_PREFIX + ours]
    figure, axes = plt.subplots(
        1, len(runs), figsize=(5.2 * len(runs) + 1.5, 1.6 + 0.34 * len(titles)), squeeze=False
    )
    order: list[str] = []
    for axis, run in zip(axes[0], runs, strict=True):
        found = {
            t: [bench.ratio(row[t], row[bench.rival(t, ours)]) for row in run.results if t in row]
            for t in titles
        }
        means = {t: report.geometric_mean(values) for t, values in found.items() if values}
        order = order or sorted(means, key=means.__getitem__)  # the first panel decides
        for place, t in enumerate(order):
            own = t.removeprefix(bench.TUNED_PREFIX).startswith(ours)
            colour = OURS if own else LIMIT if t.startswith(limit) else OTHERS
            if len(found[t]) > 1:
                axis.plot(found[t], [place] * len(found[t]), "o", color=colour, ms=4, alpha=0.4)
            axis.plot(means[t], place, "D", color=colour, ms=7)
            axis.annotate(
                f"{means[t]:.2f}", (means[t], place), (0, 8), textcoords="offset points",
                ha="center", fontsize=8, color=colour,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )  # fmt: skip
        axis.axvline(1, color=OURS, lw=1, zorder=0)
        axis.set(xscale="log", title=report.title_of(run.threads))
        axis.set_xlabel(f"time / time of {ours}: further right is slower")
        ticks = [0.25, 0.5, 1, 2, 4, 8, 16]
        low, high = axis.get_xlim()
        shown = [tick for tick in ticks if low <= tick <= high]
        axis.set_xticks(shown, [f"{tick:g}" for tick in shown])
        axis.minorticks_off()
        axis.grid(axis="x", alpha=0.3)
        axis.set_ylim(-0.6, len(order) - 0.2)
        axis.set_yticks(range(len(order)), order if axis is axes[0, 0] else [""] * len(order))
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=12)
    figure.text(0.99, 0.01, dots, ha="right", fontsize=8, color=OTHERS)
    figure.tight_layout(rect=(0, 0.02, 1, 1))
    figure.savefig(file, dpi=110)


def growth(
    runs: Mapping[str, Run],
    axes: Mapping[str, Axis],
    work: Callable[[Any], int],
    ours: str,
    title: str,
    file: Path,
) -> None:
    """Draw time and memory against size, one column for each axis that grows.

    The dotted line is the law, through the largest problem: time as the ``work``, memory as the
    size.
    """
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogLocator, NullLocator

    figure, panels = plt.subplots(
        2, len(runs), figsize=(3.6 * len(runs), 6.2), sharex="col", sharey="row", squeeze=False
    )
    titles = list(next(iter(runs.values())).results[0])
    others = zip([own for own in titles if own != ours], RIVALS, strict=False)
    colours = {ours: OURS} | dict(others)
    for column, (name, run) in zip(panels.T, runs.items(), strict=True):
        sizes, own_work = axes[name].sizes, [work(problem) for problem in axes[name].problems]
        for contender in run.results[0]:
            own = [times[contender] for times in run.results]
            shown = [[1e3 * times.median for times in own]]
            if all(times.peak_bytes for times in own):
                shown.append([(times.peak_bytes or 0) / 2**20 for times in own])
            for panel, values, law in zip(column, shown, (own_work, sizes), strict=False):
                width, colour = 2.5 if contender == ours else 1.2, colours[contender]
                panel.plot(sizes, values, "o-", ms=4, lw=width, color=colour, label=contender)
                if contender == ours:
                    line = [values[-1] * size / law[-1] for size in law]
                    panel.plot(sizes, line, ":", color="black", label="in proportion")
        for panel in column:
            panel.set(xscale="log", yscale="log")
            panel.xaxis.set_minor_locator(NullLocator())
            panel.set_xticks(sizes, sizes)
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter("{x:g}")
            panel.yaxis.set_minor_locator(NullLocator())
            panel.grid(alpha=0.3)
            panel.spines[["top", "right"]].set_visible(False)
        column[1].set_xlabel(name)
    for panel, label in zip(panels[:, 0], ("time, ms", "memory, MiB"), strict=True):
        panel.set_ylabel(label)
    panels[0, 0].legend(fontsize=8, frameon=False)
    figure.suptitle(title, fontsize=12)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def overhead(runs: Sequence[Run], ours: str, file: Path) -> None:
    """Draw how much longer a step takes with SE blocks than without, one line a contender.

    The two problems of a run are the net with SE blocks and without.
    """
    from matplotlib import pyplot as plt

    added: list[dict[str, float]] = []
    for run in runs:
        both, plain = run.results
        added.append({title: 100 * (bench.ratio(both[title], plain[title]) - 1) for title in both})
    order = sorted(added[0], key=added[0].__getitem__, reverse=True)
    figure, axis = plt.subplots(figsize=(7.5, 1.4 + 0.34 * len(order)))
    for run, values, marker in zip(runs, added, "Ds^v", strict=False):
        for place, title in enumerate(order):
            if title in values:
                colour = OURS if title.startswith(ours) else OTHERS
                axis.plot(values[title], place, marker, color=colour, ms=7, alpha=0.8)
        axis.plot([], [], marker, color=OTHERS, label=report.title_of(run.threads))
    axis.axvline(0, color="black", lw=1, zorder=0)
    axis.set_yticks(range(len(order)), order)
    axis.set_xlabel("time that SE blocks add to a training step, %")
    axis.grid(axis="x", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    axis.set_title("What SE blocks cost the tiny net", fontsize=12)
    figure.tight_layout()
    figure.savefig(file, dpi=110)


def techniques(found: dict[str, dict[str, list[float]]], file: Path) -> None:
    """Draw the time without each technique, divided by the time with all: a panel for each work."""
    from matplotlib import pyplot as plt

    heights = [len(ratios) for ratios in found.values()]
    figure, axes = plt.subplots(
        len(found), 1, figsize=(8.5, 0.9 * len(found) + 0.27 * sum(heights)),
        height_ratios=heights, sharex=True, squeeze=False,
    )  # fmt: skip
    for axis, (title, ratios) in zip(axes[:, 0], found.items(), strict=True):
        order = sorted(ratios, key=lambda name: report.geometric_mean(ratios[name]))
        for place, name in enumerate(order):
            mean = report.geometric_mean(ratios[name])
            axis.plot([1, mean], [place, place], color=OURS, lw=1.5)
            axis.plot(mean, place, "D", color=OURS, ms=6)
            if len(ratios[name]) > 1:
                axis.plot(ratios[name], [place] * len(ratios[name]), "o", color=OTHERS, ms=3)
        axis.axvline(1, color="black", lw=1, zorder=0)
        axis.set(title=title, xscale="log", ylim=(-0.7, len(order) - 0.3))
        axis.set_yticks(range(len(order)), order)
        axis.grid(axis="x", alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelbottom=True)
    low, high = axes[-1, 0].get_xlim()
    ticks = [tick for tick in (0.8, 0.9, 1, 1.2, 1.5, 2, 2.5, 3, 4) if low <= tick <= high]
    axes[-1, 0].set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes[-1, 0].minorticks_off()
    axes[-1, 0].set_xlabel("time without the technique / time with all (dots: the shapes)")
    figure.tight_layout()
    figure.savefig(file, dpi=110)
