"""The rules of the course: for each chapter that tests claims, what counts for them and against.

Each function makes the claims of a chapter out of its kept results. The rules were final before the
runs that they judge were made; those have seeds from 100 on. ``spread``, the standard deviation of
one number over the seeds, is what trials with seeds below 100 let expect. All numbers are in
percentage points, but ranges (the lines of the classes) are differences of gates, shares are in
per cent, and halvings are a logarithm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from evidence import Claim

Runs = Mapping[str, Any]  # the results of one kernel
Array = npt.NDArray[Any]
STANDARD, WITH_SE, NO_BLOCK = "standard", "with SE", "none"  # what others are compared with


def by_kernel(runs: Mapping[str, Runs], number: Callable[[Runs], Any]) -> dict[str, Array]:
    """Compute a number for each seed, with each kernel.

    It is rounded, as numbers that should be equal can differ in their last bits.
    """
    return {kernel: np.round(number(own), 9) for kernel, own in runs.items()}


def claims_about_mnist(errors: Mapping[str, Runs]) -> dict[str, Claim]:
    """Give the claims of chapter 9 about what SE saves in a small net.

    ``errors[kernel][net]`` has a row for each seed, with the test error after each epoch.
    """

    def saved(net: str, other: str, share: float = np.inf) -> dict[str, Array]:
        def number(runs: Runs) -> Any:
            last = {name: np.array(runs[name])[:, -1] for name in (net, other)}
            return last[other] * (1 - 1 / share) - last[net]

        return by_kernel(errors, number)

    pairs = {
        "SE against plain": ("se", "plain", 0.27),
        "SE against 71 filters": ("se", "wide", 0.18),
        "SE, rate 0.15, against 71 filters": ("fast", "wide", 0.19),
        "SE, rate 0.15, against rate 0.05": ("fast", "se", 0.25),
    }
    claims = {}
    for title, (net, other, spread) in pairs.items():
        claims[title] = Claim(saved(net, other), words=("better", "worse"), spread=spread)
        if other != "se":
            for share, name in {10: "a tenth", 23: "a 23rd"}.items():
                values = saved(net, other, share)
                claims[f"{title}: below {name}"] = Claim(values, "below", spread=spread)
    return claims


def claims_about_gates(nets: Mapping[str, list[Runs]]) -> dict[str, Claim]:
    """Give the claims of chapter 10 about what gates tell and whether the net needs them.

    ``nets[kernel]`` has the numbers of one net for each seed.
    """

    def trained(key: str) -> Callable[[Any], Array]:
        """Compute what training adds to a number: (nets, blocks)."""
        return lambda runs: (
            np.array([run["after"][key] for run in runs]) - [run["before"][key] for run in runs]
        )

    def lost(control: str) -> Callable[[Any], Array]:
        """Compute the points that are lost with other gates: (nets, places)."""
        return lambda runs: np.array([run["lost"][control] for run in runs])

    def tenth(runs: Any) -> Array:
        return np.array([run["lost"]["error"] for run in runs]) / 10

    def values(number: Callable[[Any], Array]) -> dict[str, Array]:
        return by_kernel(nets, number)

    first, last, all_blocks = 0, 2, 3
    told, told_by_16, lines = (
        trained(key) for key in ("recognised (%)", "recognised by 16 (%)", "range")
    )
    half, mean, anyone, alike = (lost(key) for key in ("0.5", "mean", "any digit", "same digit"))
    return {
        "1 training adds to what the averages of block 3 tell": Claim(
            values(lambda runs: told(runs)[:, last]), spread=1.5
        ),
        "2 lines of block 1: training does not draw them apart": Claim(
            values(lambda runs: lines(runs)[:, first]), "below", spread=0.04
        ),
        "  block 1: the dynamic effect is below a tenth of the errors": Claim(
            values(lambda runs: mean(runs)[:, first] - tenth(runs)), "below", spread=0.1
        ),
        "  training adds nothing to what the averages of block 1 tell": Claim(
            values(lambda runs: told(runs)[:, first]), "below", spread=3.0
        ),
        "3 lines of block 3: training draws them apart": Claim(
            values(lambda runs: lines(runs)[:, last]), spread=0.04
        ),
        "  more than those of block 1": Claim(
            values(lambda runs: lines(runs)[:, last] - lines(runs)[:, first]), spread=0.05
        ),
        "  the dynamic effect is greater, by a tenth of the errors": Claim(
            values(lambda runs: mean(runs)[:, last] - mean(runs)[:, first] - tenth(runs)),
            spread=0.1,
        ),
        "  the loss with gates of 0.5 is greater": Claim(
            values(lambda runs: half(runs)[:, last] - half(runs)[:, first]), spread=0.7
        ),
        "  training adds more to what 16 averages tell than in block 1": Claim(
            values(lambda runs: told_by_16(runs)[:, last] - told_by_16(runs)[:, first]), spread=4.0
        ),
        "4 the dynamic effect of all blocks is above a tenth of the errors": Claim(
            values(lambda runs: mean(runs)[:, all_blocks] - tenth(runs)), spread=0.12
        ),
        "  gates of the same digit cost less, by a tenth of the errors": Claim(
            values(lambda runs: (anyone(runs) - alike(runs))[:, all_blocks] - tenth(runs)),
            spread=0.2,
        ),
    }


def claims_about_variations(runs: Mapping[str, Runs]) -> dict[str, Claim]:
    """Give the claims of chapter 11 about the parts of the block.

    ``runs[kernel][row]`` has the results of one variation for each seed. A variation is worse if
    its error is larger than that of the standard block, seed by seed.
    """

    def errors(own: Runs, row: str) -> Array:
        return np.array([run["error"] for run in own[row]])

    def difference(row: str, other: str) -> dict[str, Array]:
        return by_kernel(runs, lambda own: errors(own, row) - errors(own, other))

    rows = [row for row in next(iter(runs.values())) if row != STANDARD]
    return {
        row: Claim(
            difference(row, STANDARD),
            words=("worse", "better"),
            spread=0.8 if row in ("ReLU", "tanh") else 0.5,
        )
        for row in rows
    } | {
        "one block saves more in stage 3 than in stage 1": Claim(
            difference("stage 1 (paper 2)", "stage 3 (paper 4)"), spread=0.5
        )
    }


def claims_about_cued_digits(runs: Mapping[str, Runs]) -> dict[str, Claim]:
    """Give the claims of chapter 12 about the errors that SE removes, and its dynamic gates.

    ``runs[kernel][net]`` has the numbers of a net for each seed. SE removes most errors of another
    net if it makes less than half as many. "frozen" are the errors of the net with SE when all
    blocks give mean gates, and when block 1, 2 or 3 does.
    """

    def errors(own: Runs, net: str) -> Array:
        return np.array([run["error"] for run in own[net]])

    def left(net: str) -> dict[str, Array]:
        return by_kernel(runs, lambda own: errors(own, net) - 2 * errors(own, WITH_SE))

    def lost(own: Runs) -> Array:
        """Compute the points that are lost in all blocks, and in each of them: (4, seeds)."""
        return np.array([run["frozen"] for run in own[WITH_SE]]).T - errors(own, WITH_SE)

    def tenth(own: Runs) -> Array:
        return errors(own, WITH_SE) / 10

    nets = next(iter(runs.values()))
    return {
        f"SE removes most errors of: {net}": Claim(left(net), spread=1.9)
        for net in nets
        if net != WITH_SE
    } | {
        "the dynamic effect of all blocks is above a tenth of the errors": Claim(
            by_kernel(runs, lambda own: lost(own)[0] - tenth(own)), spread=4.0
        ),
        "the dynamic effect of block 3 is below a tenth of the errors": Claim(
            by_kernel(runs, lambda own: lost(own)[3] - tenth(own)), "below", spread=0.15
        ),
        "the dynamic effect is greater in block 3 than in block 1": Claim(
            by_kernel(runs, lambda own: lost(own)[3] - lost(own)[1]), spread=10.0
        ),
    }


def claims_about_depth(studies: Mapping[str, Runs]) -> dict[str, Claim]:
    """Give the claims of chapter 13 about the gain by SE, and its gates, along the depth.

    ``studies[kernel][data][net]`` has the numbers of a net for each seed. The data are
    Fashion-MNIST and cued digits.
    """

    def column(runs: Runs, depth: int, ratio: int | None, key: str) -> Array:
        return np.array([run[key] for run in runs[f"{depth} layers, ratio {ratio}"]])

    def gain(runs: Runs, depth: int) -> Array:
        return column(runs, depth, None, "error") - column(runs, depth, 4, "error")

    def share(runs: Runs, depth: int) -> Array:
        return 100 * gain(runs, depth) / column(runs, depth, None, "error")

    def dynamic(runs: Runs) -> Array:
        return column(runs, 20, 4, "frozen") - 1.1 * column(runs, 20, 4, "error")

    def apart(runs: Runs) -> Array:
        ranges = column(runs, 20, 4, "ranges")
        return ranges[:, -1] - 2 * ranges[:, 0]

    rules: dict[str, Callable[[Runs], Array]] = {
        "SE helps at 8 layers": lambda runs: gain(runs, 8),
        "its gain grows from 8 to 20 layers": lambda runs: gain(runs, 20) - gain(runs, 8),
        "its share of the errors grows": lambda runs: share(runs, 20) - share(runs, 8),
        "the dynamic effect at 20 layers is above a tenth of the errors": dynamic,
        "the range of the last block is over twice that of the first": apart,
    }
    spreads = {
        "Fashion-MNIST": (0.25, 0.4, 3.2, 0.4, 0.08),
        "cued digits of MNIST": (0.85, 1.6, 8.5, 4.1, 0.05),
    }
    return {
        f"{data}: {title}": Claim(
            by_kernel({kernel: own[data] for kernel, own in studies.items()}, number), spread=spread
        )
        for data, expected in spreads.items()
        for (title, number), spread in zip(rules.items(), expected, strict=True)
    }


def claims_about_relatives(errors: Mapping[str, Runs]) -> dict[str, Claim]:
    """Give the claims of chapter 14 about what each block can do.

    ``errors[kernel][task][block]`` has the test error for each seed. A block "can" if it halves the
    errors of the net without a block; the number is that of halvings.
    """

    def halvings(task: str, block: str) -> dict[str, Array]:
        return by_kernel(
            errors, lambda own: np.log2(np.divide(own[task][NO_BLOCK], own[task][block]))
        )

    return {
        f"{task}: {block}": Claim(
            halvings(task, block), bar=1.0, words=("can", "cannot"), spread=0.3
        )
        for task, blocks in next(iter(errors.values())).items()
        for block in blocks
        if block != NO_BLOCK
    }
