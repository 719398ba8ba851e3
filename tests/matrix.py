"""How good the gradient checker is: print what it catches, what it names, and what it lets pass.

    python tests/matrix.py                                  the figures of the README
    python tests/matrix.py --seeds 1 --clean 20             a first look, in some minutes
    python tests/matrix.py --only strangers --seeds 1       one part of it
    python tests/matrix.py --only bank --match sigmoid      what has this in its title or its file

``bank``: every wrong backward of the bank is checked on several seeds, each with the first inputs
that are drawn. It counts as caught if every seed shows it, and as named if the report of the first
seed matches its pattern. ``clean``: the operations of the package, with kinks and ties among them.

``strangers``: operations that were written by others. A wrong one is caught as above, and named if
the first report has a cause, or a finding that says it all: anything but the numbers of a gradient.
It is named falsely if a cause, at any seed, is none of those that people found true of it.
A right one is accused if the verdict is "wrong" at a seed, and undecided if it is "inconclusive".

The exit status is 1 when a wrong operation is missed or a right one is accused, less than 95 % of
the bank or 70 % of the strangers are named, or more than 2 % of the checks of right strangers
decide nothing.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import pkgutil
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from functools import cache
from itertools import repeat
from typing import Any

import numpy as np
import strangers
from cases import CASES
from mutants import whole_bank

import numpy_se as se
from numpy_se.checker import GradientReport, Kind

PARTS = ("bank", "strangers", "clean")
NAMED = {"bank": 0.95, "strangers": 0.70}
UNDECIDED = 0.02
COLUMNS = {
    "wrong": "wrong",
    "caught": "caught",
    "named": "named",
    "falsely": "falsely",
    "checks": "right",
    "accused": "accused",
    "undecided": "undecided",
}

Row = tuple[str, Counter[str], list[str]]  # of an operation: its line, counts, and what fails


@cache
def strangers_by_file() -> dict[str, list[strangers.Stranger]]:
    """The operations of strangers, for each file of the folder."""
    files = {}
    for module in pkgutil.iter_modules(strangers.__path__):
        before = len(strangers.STRANGERS)
        importlib.import_module(f"strangers.{module.name}")
        files[module.name] = strangers.STRANGERS[before:]
    assert sum(map(len, files.values())) == len(strangers.STRANGERS)  # else, some were imported
    return files


def check_stranger(stranger: strangers.Stranger, seed: int = 0) -> GradientReport:
    """Check an operation as its author says."""
    args = stranger.given(np.random.default_rng(seed)) if stranger.given else ()
    return se.gradcheck(stranger.op, *args, shapes=stranger.shapes, seed=seed)


def look_at_mutant(number: int, seeds: int) -> Row:
    """Check one mutant at several seeds."""
    mutant = whole_bank()[number]
    reports = [se.gradcheck(mutant.op, shapes=mutant.shapes, seed=seed) for seed in range(seeds)]
    wrong = sum(report.verdict == "wrong" for report in reports)
    if mutant.legal:
        lines = [f"accused though legal: {mutant.title}"] if wrong else []
        return mutant.of, Counter(checks=seeds, accused=wrong), lines
    caught, text = wrong == seeds, str(reports[0]).split("\n  ")[0].replace("\n", " ")
    named = caught and bool(re.search(mutant.says, text, re.IGNORECASE))
    lines = [] if named else [f"not named: {mutant.title}: {text}"]
    if not caught:
        lines = [f"missed on {seeds - wrong} of {seeds} seeds: {mutant.title}"]
    return mutant.of, Counter(wrong=1, caught=caught, named=named), lines


def look_at_stranger(place: tuple[str, int], seeds: int) -> Row:
    """Check an operation of a stranger at several seeds. What is raised is no verdict."""
    file, number = place
    stranger = strangers_by_file()[file][number]
    title = f"{file}: {stranger.title}"
    reports: list[GradientReport] = []
    lines = []
    for seed in range(seeds):
        try:
            reports.append(check_stranger(stranger, seed))
        except Exception as error:
            lines.append(f"{title}, seed {seed}: raises {type(error).__name__}: {error}")
    verdicts = Counter(report.verdict for report in reports)
    verdicts["raised"] = seeds - len(reports)
    if not stranger.mistake:
        accused = [seed for seed, report in enumerate(reports) if report.verdict == "wrong"]
        lines += [f"accused: {title}, seeds {accused}"] if accused else []
        undecided = verdicts["inconclusive"]
        lines += [f"undecided on {undecided} of {seeds} seeds: {title}"] if undecided else []
        wrongly = verdicts["wrong"] + verdicts["raised"]
        return file, Counter(checks=seeds, accused=wrongly, undecided=undecided), lines
    missed = seeds - verdicts["wrong"]
    if missed:
        lines.append(f"missed on {missed} of {seeds} seeds: {title}: {stranger.mistake}")
        return file, Counter(wrong=1), lines
    ids = [{cause.code for cause in report.causes if cause.code} for report in reports]
    named = bool(ids[0]) or any(f.kind is not Kind.VALUE for f in reports[0].findings)
    falsely = bool(others := set().union(*ids) - set(stranger.says))
    if falsely:
        lines.append(f"named falsely: {title}: {', '.join(sorted(others))}: {stranger.mistake}")
    return file, Counter(wrong=1, caught=1, named=named, falsely=falsely), lines


def look_at_right(number: int, checks: int) -> Row:
    """Check a right operation many times, with and without its optional arguments."""
    case = CASES[number]
    terms = case.op.signature.split("->")[0].split(",")
    parameters = list(inspect.signature(case.op).parameters.values())[: len(terms)]
    needed = sum(parameter.default is not None for parameter in parameters)
    counts: Counter[str] = Counter(checks=checks)
    lines = []
    for seed in range(checks):
        shapes = ",".join(terms if seed % 2 else terms[:needed])
        for letter, (low, high) in case.bounds.items():
            shapes = re.sub(rf"\b{letter}\b", str(low + seed % (high - low + 1)), shapes)
        report = se.gradcheck(case, shapes=shapes, seed=seed)
        counts["kinks"] += report.at_kinks > 0
        counts["undecided"] += report.verdict == "inconclusive"
        if report.verdict == "wrong":
            counts["accused"] += 1
            lines.append(f"accused: {case.title}, seed {seed}: {report}")
    return case.op.__name__, counts, lines


def rows(part: str, options: argparse.Namespace, pool: Executor) -> Iterator[Row]:
    """Look at every operation of a part."""
    look: Callable[..., Row]
    every: Sequence[Any]
    times: Any = repeat(options.seeds)
    if part == "bank":
        titles = [f"{mutant.of} {mutant.title}" for mutant in whole_bank()]
        look, every = look_at_mutant, [k for k, t in enumerate(titles) if options.match in t]
    elif part == "strangers":
        places = [(f, k, s) for f, own in strangers_by_file().items() for k, s in enumerate(own)]
        look = look_at_stranger
        every = [(f, k) for f, k, s in places if options.match in f"{f} {s.title}"]
    else:
        variants = Counter(case.op for case in CASES)
        times = [-(-options.clean // variants[case.op]) for case in CASES]
        look, every = look_at_right, range(len(CASES))
        every = [k for k in every if options.match in CASES[k].title]
        times = [times[k] for k in every]
    yield from pool.map(look, every, times, chunksize=1 if part == "clean" else 4)


def passed(part: str, total: Counter[str]) -> bool:
    """Tell whether the sums of a part are as good as they must be."""
    caught = total["caught"] == total["wrong"] and not total["accused"]
    named = total["named"] >= NAMED.get(part, 0) * total["wrong"]
    decided = part != "strangers" or total["undecided"] <= UNDECIDED * total["checks"]
    return caught and named and decided


def print_table(table: dict[str, Counter[str]]) -> Counter[str]:
    """Print a row for each operation or file, and their sum, which is returned."""
    total = sum(table.values(), Counter())
    print(f"{'':24}" + "".join(f"{title:>10}" for title in COLUMNS.values()))
    for title, counts in [*table.items(), ("all", total)]:
        print(f"{title:24}" + "".join(f"{counts[key]:10}" for key in COLUMNS))
    return total


def main(argv: Sequence[str] | None = None) -> int:
    """Print the tables, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="for each mutant and stranger")
    parser.add_argument("--clean", type=int, default=300, help="checks of each right operation")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--match", default="", help="a part of their titles or files")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args(argv)

    good = True
    with ProcessPoolExecutor(options.workers) as pool:
        for part in [options.only] if options.only else PARTS:
            start = time.perf_counter()
            table: dict[str, Counter[str]] = {}
            for title, counts, lines in rows(part, options, pool):
                table.setdefault(title, Counter()).update(counts)
                for line in lines:
                    print(line, flush=True)
            print(f"\n{part}")
            total = print_table(table)
            kinks = f", {total['kinks']} checks with kinks" if total["kinks"] else ""
            print(f"{time.perf_counter() - start:.0f} s in {options.workers} processes{kinks}\n")
            good &= passed(part, total)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
