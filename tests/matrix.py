"""How good the gradient checker is: print, per operation, what it catches, names, and lets pass.

    python tests/matrix.py                       the figures of the README, in ten minutes
    python tests/matrix.py --seeds 1 --clean 20  a first look

Every wrong backward of the bank is checked on several seeds, each with the first inputs that are
drawn. It counts as caught if every seed shows it, and as named if the report of the first seed
matches its pattern. Clean checks are those of right operations, with kinks and ties among them.
The exit status is 1 when a mutant is missed, a right operation is accused, or less than 95 % of
the mutants are named.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from cases import CASES
from mutants import whole_bank

import numpy_se as se

COLUMNS = ("mutants", "caught", "named", "clean", "accused")


def look_at_mutant(number: int, seeds: int) -> tuple[str, Counter[str], str]:
    """Check one mutant. Return its operation, what to count, and a line where something fails."""
    mutant = whole_bank()[number]
    reports = [se.gradcheck(mutant.op, shapes=mutant.shapes, seed=seed) for seed in range(seeds)]
    wrong = sum(report.verdict == "wrong" for report in reports)
    if mutant.legal:
        line = f"accused though legal: {mutant.title}" if wrong else ""
        return mutant.of, Counter(clean=seeds, accused=wrong), line
    caught, text = wrong == seeds, str(reports[0]).split("\n  ")[0].replace("\n", " ")
    named = caught and bool(re.search(mutant.says, text, re.IGNORECASE))
    line = "" if named else f"not named: {mutant.title}: {text}"
    if not caught:
        line = f"missed on {seeds - wrong} of {seeds} seeds: {mutant.title}"
    return mutant.of, Counter(mutants=1, caught=caught, named=named), line


def look_at_right(number: int, checks: int) -> tuple[str, Counter[str], str]:
    """Check a right operation many times, with and without its optional arguments."""
    case = CASES[number]
    terms = case.op.signature.split("->")[0].split(",")
    parameters = list(inspect.signature(case.op).parameters.values())[: len(terms)]
    needed = sum(parameter.default is not None for parameter in parameters)
    counts: Counter[str] = Counter(clean=checks)
    line = ""
    for seed in range(checks):
        shapes = ",".join(terms if seed % 2 else terms[:needed])
        report = se.gradcheck(case, shapes=shapes, seed=seed)
        counts["kinks"] += report.at_kinks > 0
        if not report.ok:
            counts["accused"] += 1
            line = f"accused: {case.title}, seed {seed}: {report}"
    return case.op.__name__, counts, line


def main() -> int:
    """Print the matrix, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=10, help="for each wrong backward")
    parser.add_argument("--clean", type=int, default=300, help="checks of each right operation")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    options = parser.parse_args()

    start = time.perf_counter()
    table: dict[str, Counter[str]] = {}
    with ProcessPoolExecutor(options.workers) as pool:
        mutants = range(len(whole_bank()))
        found = list(pool.map(look_at_mutant, mutants, repeat(options.seeds), chunksize=8))
        half = time.perf_counter()
        variants = Counter(case.op for case in CASES)
        checks = [-(-options.clean // variants[case.op]) for case in CASES]
        found += pool.map(look_at_right, range(len(CASES)), checks)
    for op, counts, line in found:
        table.setdefault(op, Counter()).update(counts)
        if line:
            print(line)
    total = sum(table.values(), Counter())
    print(f"{'operation':24}{'mutants':>8}{'caught':>8}{'named':>8}{'clean':>8}{'accused':>8}")
    for op, counts in [*table.items(), ("all", total)]:
        print(f"{op:24}" + "".join(f"{counts[key]:8}" for key in COLUMNS))
    print(
        f"{options.seeds} seeds a mutant in {half - start:.0f} s; clean checks in "
        f"{time.perf_counter() - half:.0f} s, {total['kinks']} of them with kinks; "
        f"{options.workers} processes"
    )
    good = total["caught"] == total["mutants"] and not total["accused"]
    return 0 if good and total["named"] >= 0.95 * total["mutants"] else 1


if __name__ == "__main__":
    sys.exit(main())
