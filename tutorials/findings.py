"""Print what the course finds, as the table of README.md: ``python tutorials/findings.py --write``.

Everything is read from the kept results, and judged by the rules of ``rules.py``, also the results
of the same studies with other seeds. Without ``--write``, the text is printed alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import rules
from course import HERE, kept, kept_in
from evidence import Claim, holm, interval, shown, shown_p, verdicts, visible

from numpy_se.files import write_text

README = HERE / "README.md"
BEGIN, END = "<!-- made by findings.py -->\n", "<!-- end -->\n"
# For each chapter: its results, its rules, and its rows: what is claimed, and the name of the rule.
Rows = dict[str, str]
Studies = dict[int, Mapping[str, Claim]]  # the claims of each chapter
CHAPTERS: dict[int, tuple[str, str, Any, Rows]] = {
    9: ("09_mnist", "errors", rules.claims_about_mnist, {
        "In a net that is not deep, SE won't help much: on MNIST, at a rate that is low for SE, it "
        "saves less than a tenth of the errors of a net of equal size":
        "SE against 71 filters: below a tenth",
        "... SE makes fewer errors than that net": "SE against 71 filters",
        "... with a larger rate, for SE only, it saves less than a tenth":
        "SE, rate 0.15, against 71 filters: below a tenth",
        "... and less than a 23rd, the gain of the paper's ablation":
        "SE, rate 0.15, against 71 filters: below a 23rd",
    }),
    10: ("10_gates", "nets", rules.claims_about_gates, {
        "Global averages have patterns: training adds to what a linear rule reads from those of "
        "block 3": "1 training adds to what the averages of block 3 tell",
        "The effect in earlier layers is minuscule: the dynamic effect of block 1 is below a tenth "
        "of the errors (which says nothing about depth: see the row that compares)":
        "  block 1: the dynamic effect is below a tenth of the errors",
        "... training adds nothing to what the averages of block 1 tell (no number of runs decides "
        "*nothing*: see how much it can be)":
        "  training adds nothing to what the averages of block 1 tell",
        "... and the lines of the classes are identical there: training does not draw them apart "
        "(as above)": "2 lines of block 1: training does not draw them apart",
        "In later layers, the lines of the classes separate: training draws those of block 3 apart":
        "3 lines of block 3: training draws them apart",
        "... and the effect is greater: the dynamic effect, by at least a tenth of the errors "
        "(whether it is greater at all was no row)":
        "  the dynamic effect is greater, by a tenth of the errors",
        "... and the effect is greater: with gates of 0.5, block 3 loses more than block 1":
        "  the loss with gates of 0.5 is greater",
        "A trained net needs its dynamic scaling: the mean gates cost more than a tenth of the "
        "errors": "4 the dynamic effect of all blocks is above a tenth of the errors",
    }),
    11: ("11_variations", "runs", rules.claims_about_variations, {
        "In a small residual net on MNIST, SE helps: without it, there are more errors (\"worse\")":
        "no SE",
        "The effect is greater in later layers: one block saves more in stage 3 than in stage 1":
        "one block saves more in stage 3 than in stage 1",
        "ReLU gates are worse than sigmoid gates": "ReLU",
    }),
    12: ("12_where", "nets", rules.claims_about_cued_digits, {
        "On cued digits, SE removes most of the errors of a net of equal size: (its errors) - 2 "
        "(those with SE)": "SE removes most errors of: 71 filters",
        "... and of a net without SE that is three times as large":
        "SE removes most errors of: twice as wide",
        "On cued digits, a trained net needs its dynamic scaling: the mean gates cost more than a "
        "tenth of the errors": "the dynamic effect of all blocks is above a tenth of the errors",
        "... and more in block 3 than in block 1":
        "the dynamic effect is greater in block 3 than in block 1",
    }),
    13: ("13_depth", "studies", rules.claims_about_depth, {
        "Against \"not that deep, not much help\": SE helps in a residual net of 8 layers, on "
        "Fashion-MNIST":
        "Fashion-MNIST: SE helps at 8 layers",
        "... on cued digits": "cued digits of MNIST: SE helps at 8 layers",
        "SE helps more in a deeper net: its gain grows from 8 to 20 layers, on Fashion-MNIST":
        "Fashion-MNIST: its gain grows from 8 to 20 layers",
        "... from 8 to 20 layers, on cued digits (where it could not grow by much)":
        "cued digits of MNIST: its gain grows from 8 to 20 layers",
        "... and so does the share of the errors that it removes, on cued digits (where it could "
        "not grow by as much as is visible)":
        "cued digits of MNIST: its share of the errors grows",
        "A trained net of 20 layers needs its dynamic scaling: the mean gates cost more than a "
        "tenth of the errors, on Fashion-MNIST":
        "Fashion-MNIST: the dynamic effect at 20 layers is above a tenth of the errors",
        "In later layers of a residual net, the lines of the classes separate: at 20 layers, the "
        "range of the last block is over twice that of the first, on Fashion-MNIST":
        "Fashion-MNIST: the range of the last block is over twice that of the first",
    }),
    14: ("14_relatives", "errors", rules.claims_about_relatives, {
        "Gates of a channel that sees itself alone (SRM) halve the errors on cued digits":
        "which channel: SRM",
        "... and so do gates of its mean alone (Gather-Excite)": "which channel: GE, mean",
    }),
}  # fmt: skip


def claims_of(chapter: int, again: bool = False) -> Mapping[str, Claim]:
    """Give the claims of a chapter; ``again`` are those with other seeds."""
    name, key, rules_of, _ = CHAPTERS[chapter]
    claims: Mapping[str, Claim] = rules_of(kept(name, again)[key])
    return claims


def repeated() -> Studies:
    """Give the claims with other seeds, for each chapter that has them."""
    there = [chapter for chapter, (name, *_) in CHAPTERS.items() if kept_in(name, True).exists()]
    return {chapter: claims_of(chapter, again=True) for chapter in there}


def answers(claims: Mapping[str, Claim]) -> dict[str, str]:
    """Give the verdicts with their corrected p-values."""
    p_values, found = holm(claims), verdicts(claims)
    return {rule: f"{verdict} ({shown_p(p_values[rule])})" for rule, verdict in found.items()}


def table(first: Studies, again: Studies) -> str:
    """Make the table, in Markdown."""
    lines = [
        "| claim | verdict (p) | again (p) | number, and its bar | seeds above the bar "
        "| visible: alone, corrected | chapter |",
        "|---|---|---|---|---|---|---|",
    ]
    others = {chapter: answers(claims) for chapter, claims in again.items()}
    for chapter, claims in first.items():
        rows, own = CHAPTERS[chapter][-1], answers(claims)
        for claimed, rule in rows.items():
            claim = claims[rule]
            bar = f"{'>' if claim.side == 'above' else '<'} {claim.bar:g}"
            alone, corrected = (visible(claim.spread, claim.runs, n) for n in (1, len(claims)))
            given = ", ".join(
                f"{shown(*interval(v), '+')} ({kernel})" for kernel, v in claim.values.items()
            )
            other = others[chapter][rule] if chapter in others else ""
            lines.append(
                f"| {claimed} | {own[rule]} | {other} | {given}; {bar} "
                f"| {claim.above()} of {claim.runs} | {alone:.2f}, {corrected:.2f} | {chapter} |"
            )
    return "\n".join(lines) + "\n"


def summary(studies: Studies) -> str:
    """Say how many rules there are, how many are decided, and where the runs spread more."""
    found = [verdict for claims in studies.values() for verdict in verdicts(claims).values()]
    rows = [claims[rule] for chapter, claims in studies.items()
            for rule in CHAPTERS[chapter][-1].values()]  # fmt: skip
    wider = sum(claim.spread is not None and claim.spread_seen() > claim.spread for claim in rows)
    return (
        f"These are {len(rows)} of the {len(found)} rules of the chapters; "
        f"{len(found) - found.count('undecided')} of all are decided. In {wider} of the rows, the "
        f"runs of one kernel or of both spread more than the trials let expect, so less was "
        f"visible.\n"
    )


def stability(pairs: Sequence[tuple[str, str]]) -> str:
    """Say how many verdicts were the same with other seeds, of pairs (first, with others)."""
    decided = [pair for pair in pairs if "undecided" not in pair]
    left_open = sum(set(pair) == {"undecided"} for pair in pairs)
    turned = sum(own != other for own, other in decided)
    return (
        f"{len(pairs)} verdicts. Decided both times, on the same side: {len(decided) - turned}. On "
        f"different sides: {turned}. Decided in one of the two: "
        f"{len(pairs) - len(decided) - left_open}. In none: {left_open}."
    )


def text() -> str:
    """Give all of it, in Markdown."""
    first, again = {chapter: claims_of(chapter) for chapter in CHAPTERS}, repeated()
    pairs = []
    for chapter, claims in again.items():
        own, other = verdicts(first[chapter]), verdicts(claims)
        pairs += [(own[rule], other[rule]) for rule in own]
    return (
        f"{table(first, again)}\n{summary(first)}\n"
        f"The same studies with other seeds (from 200 on), all rules of chapters "
        f"{', '.join(map(str, again))}: {stability(pairs)}\n"
    )


def put_into(page: str, made: str) -> str:
    """Put the text between the two marks of a page. Raises ValueError unless each is there once."""
    begins, ends = page.count(BEGIN), page.count(END)
    if (begins, ends) != (1, 1) or page.index(END) < page.index(BEGIN):
        raise ValueError(
            f"put_into: page has {begins} {BEGIN.strip()} and {ends} {END.strip()}; "
            "it wants one of each, in this order"
        )
    return page.split(BEGIN)[0] + BEGIN + made + END + page.split(END)[1]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the text into README.md")
    write, made = parser.parse_args().write, text()
    if write:
        write_text(README, put_into(README.read_text(encoding="utf-8"), made))
    print(made, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
