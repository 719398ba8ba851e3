"""Evidence: what runs with several seeds can decide, and with which kernels of BLAS it was decided.

A *kernel* of BLAS is the code that multiplies matrices on one kind of processor. OpenBLAS, which
comes with NumPy, takes the kernel of the processor that it finds, or the one that the environment
names in OPENBLAS_CORETYPE. Kernels add in different orders, so their results differ in the last
bits, and a training makes large differences out of small ones. A verdict that another kernel does
not give again would be a verdict about a processor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from loky import get_reusable_executor
from scipy import optimize, stats

from numpy_se.blas import kernels
from numpy_se.train import sweep

LEVEL = 0.05  # one interval of twenty misses the true value
OTHER_KERNEL = "Haswell"  # any x86 processor since 2013 can run it
SAME_CODE = {"Zen": "Haswell"}  # OpenBLAS multiplies with the same code on both


def interval(values: npt.ArrayLike) -> tuple[Any, Any]:
    """Give the mean over the runs (first axis), and half the width of its 95 % interval.

    Chapter 9 explains it. Raises ValueError for fewer than two runs.
    """
    runs = len(np.asarray(values))
    if runs < 2:
        raise ValueError(f"interval: values has {runs} runs; an interval takes at least 2")
    t = stats.t.ppf(1 - LEVEL / 2, runs - 1)
    return np.mean(values, axis=0), t * np.std(values, axis=0, ddof=1) / np.sqrt(runs)


def visible(spread: float, runs: int, claims: int = 1) -> float:
    """Give the distance from the bar that is decided in at least 8 of 10 studies.

    ``spread`` is the standard deviation of the runs, ``runs`` the number of runs with each kernel.
    Each kernel is to decide in 9 of 10 studies (by the noncentral t distribution); then two do so
    in at least 8 of 10. With ``claims`` > 1, p must be below 5 % / claims: the first step of
    ``holm``, which is the worst case.
    """
    needed = stats.t.ppf(1 - LEVEL / claims / 2, runs - 1)
    distance = optimize.brentq(
        lambda d: stats.nct.sf(needed, runs - 1, d) - 0.9, 0, 10 * needed
    )  # in standard errors
    return float(distance * spread / np.sqrt(runs))


@dataclass(frozen=True, eq=False)
class Claim:
    """A claim about a number, and the runs that test it.

    ``values`` has, for each kernel, one number for each seed. The claim is that their true mean
    lies on one ``side`` of the ``bar``, "above" or "below". ``words`` say that it does, and that it
    does not. ``spread`` is the standard deviation that earlier runs let expect.

    Raises ValueError for another ``side``, for a ``bar`` or ``values`` that are not finite, and
    where the values of the kernels are not of one shape (runs,), with at least two runs.
    """

    values: Mapping[str, npt.ArrayLike]
    side: str = "above"
    bar: float = 0.0
    words: tuple[str, str] = ("supported", "not supported")
    spread: float | None = None

    def __post_init__(self) -> None:
        if self.side not in ("above", "below"):
            raise ValueError(f'Claim: side is {self.side!r}; it is "above" or "below"')
        shapes = {kernel: np.shape(values) for kernel, values in self.values.items()}
        if len(set(shapes.values())) != 1 or len(next(iter(shapes.values()))) != 1:
            raise ValueError(f"Claim: values has the shapes {shapes}; it wants (runs,) for each")
        if self.runs < 2:
            raise ValueError(
                f"Claim: values has {self.runs} runs with a kernel; it wants at least 2"
            )
        if not np.isfinite(self.bar):
            raise ValueError(f"Claim: bar is {self.bar}; it wants a finite number")
        for kernel, values in self.values.items():
            if not np.isfinite(values).all():
                raise ValueError(f"Claim: values[{kernel!r}] is {values}; it wants finite numbers")

    @property
    def runs(self) -> int:
        """The number of runs with each kernel."""
        return len(np.asarray(next(iter(self.values.values()))))

    def side_seen(self) -> str | None:
        """Say on which side of the bar the means of all kernels lie, if they lie on one."""
        signs = {int(np.sign(np.mean(v) - self.bar)) for v in self.values.values()}
        return {1: "above", -1: "below"}.get(signs.pop()) if len(signs) == 1 else None

    def above(self) -> str:
        """Say in how many runs the number lies above the bar, by kernel."""
        return " and ".join(str(np.sum(np.asarray(v) > self.bar)) for v in self.values.values())

    def spread_seen(self) -> float:
        """Give the standard deviation of the runs: the largest over the kernels."""
        return max(float(np.std(values, ddof=1)) for values in self.values.values())

    def p_value(self) -> float:
        """Give the p-value of Student's test of the bar: the largest over the kernels.

        It is 1 where the kernels do not agree on the side, and where all runs of one kernel are the
        same: without any spread, the test tells nothing.
        """
        if self.side_seen() is None:
            return 1.0
        return max(_p_value(values, self.bar) for values in self.values.values())

    def verdict(self, p: float | None = None) -> str:
        """Say on which side of the bar the 95 % intervals of all kernels lie, if they lie on one.

        This is so where the p-value is below 0.05. Another ``p`` is one that was corrected.
        """
        side = self.side_seen()
        if side is None or not (self.p_value() if p is None else p) < LEVEL:
            return "undecided"
        return self.words[0] if side == self.side else self.words[1]


def _p_value(values: npt.ArrayLike, bar: float) -> float:
    """Give the two-sided p-value of Student's test."""
    runs, distance = len(np.asarray(values)), abs(float(np.mean(values)) - bar)
    error = float(np.std(values, ddof=1)) / np.sqrt(runs)
    if np.ptp(values) == 0:
        return 1.0
    return float(2 * stats.t.sf(distance / error, runs - 1))


def holm(claims: Mapping[str, Claim]) -> dict[str, float]:
    """Correct the p-values of claims that are tested together, after Holm (1979).

    If the true means of twenty claims all lay at their bars, one kernel would decide about one of
    them by chance. With the corrected p-values, the chance that *any* verdict is wrong is at most
    about 5 %, where the runs are roughly normal. The smallest p-value is multiplied by the number
    of claims, the next one by one less, and so on; none gets smaller than the one before.
    """
    corrected, least = {}, 0.0
    p_values = {name: claim.p_value() for name, claim in claims.items()}
    for place, name in enumerate(sorted(claims, key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(claims) - place) * p_values[name]))
        corrected[name] = least
    return {name: corrected[name] for name in claims}


def verdicts(claims: Mapping[str, Claim]) -> dict[str, str]:
    """Give the corrected verdict of every claim."""
    return {name: claims[name].verdict(p) for name, p in holm(claims).items()}


def print_power(claims: Mapping[str, Claim]) -> None:
    """Print what the runs can decide, as earlier runs let expect: for a row alone, and for all."""
    width = max(map(len, claims))
    heads = f"{'seeds':>6} {'expected spread':>15} {'visible, alone':>15} {'corrected':>10}"
    print(f"{'':{width}} {heads}")
    for name, claim in claims.items():
        if claim.spread is not None:
            alone, all_of_them = (visible(claim.spread, claim.runs, n) for n in (1, len(claims)))
            print(
                f"{name:{width}} {claim.runs:6} {claim.spread:15.2f} {alone:15.2f} "
                f"{all_of_them:10.2f}"
            )


def shown(mean: float, half: float, sign: str = "") -> str:
    """Write an interval, with a third decimal where it is narrow.

    With ``sign`` "+", a positive mean has its sign, too.
    """
    digits = 3 if half < 0.1 else 2
    return f"{mean:{sign}.{digits}f} ± {half:.{digits}f}"


def shown_p(p: float) -> str:
    """Write a p-value, with the digits that tell on which side of 0.05 it lies."""
    if p < LEVEL <= float(f"{p:.4f}"):
        return f"< {LEVEL:.4f}"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 2 * LEVEL else f"{p:.2f}"


def print_verdicts(claims: Mapping[str, Claim], again: Mapping[str, Claim] | None = None) -> None:
    """Print each row: intervals by kernel, largest spread, verdict alone and corrected, and p.

    ``again`` are the claims of the same study with other seeds: their verdicts come last.
    """
    width, p_values, corrected = max(map(len, claims)), holm(claims), verdicts(claims)
    others = verdicts(again) if again else dict.fromkeys(claims, "")
    heads = " ".join(f"{kernel:>15}" for kernel in next(iter(claims.values())).values)
    print(
        f"{'':{width}} {heads} {'spread seen':>11}   {'bar':>7}  {'row alone':13}  "
        f"{'corrected':13}  {'p':8}  {'other seeds' if again else ''}".rstrip()
    )
    for name, claim in claims.items():
        cells = " ".join(f"{shown(*interval(v)):>15}" for v in claim.values.values())
        bar = f"{'>' if claim.side == 'above' else '<'} {claim.bar:.2f}"
        print(
            f"{name:{width}} {cells} {claim.spread_seen():11.2f}   {bar:>7}  {claim.verdict():13}  "
            f"{corrected[name]:13}  {shown_p(p_values[name]):8}  {others[name]}".rstrip()
        )


def sweep_by_kernel(
    function: Callable[..., Any],
    jobs: Mapping[str, Mapping[str, Any]],
    folder: Path,
    common: Mapping[str, Any] | None = None,
) -> dict[str, dict[str, Any]]:
    """Run a sweep with two kernels of OpenBLAS; give its results by kernel.

    Exits with a message: before the runs, where OpenBLAS has one kernel only, as on a Haswell, or
    is not there; after Ctrl-C, which ends the runs that have begun.
    """
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}
    found = {
        ", ".join(get_reusable_executor(env=env).submit(kernels).result()): env
        for env in (one_thread, one_thread | {"OPENBLAS_CORETYPE": OTHER_KERNEL})
    }
    if len({SAME_CODE.get(kernel, kernel) for kernel in found}) < 2:
        here = " and ".join(found) or "one without a name"
        raise SystemExit(f"the study needs two kernels of OpenBLAS; here is {here}")
    results = {}
    for kernel, env in found.items():
        there = sum((folder / kernel / f"{name}.json").exists() for name in jobs)
        print(f"{kernel}: {there} of {len(jobs)} runs are there")
        executor = get_reusable_executor(env=env)
        try:
            results[kernel] = sweep(function, jobs, folder / kernel, executor, common=common)
        except KeyboardInterrupt:
            for worker in active_children():  # Python would wait for them
                worker.terminate()
            raise SystemExit("interrupted; the same command goes on where it was") from None
    return results
