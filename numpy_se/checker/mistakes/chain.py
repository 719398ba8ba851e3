"""A composed operation as a chain of stages: its mistakes are those of its stages, and its joins.

    eca = Chain(
        "eca",
        "x w",
        squeeze=(global_avg_pool, "x -> z"),
        mix=(correlate, "z w -> u"),
        gate=(sigmoid, "u -> s"),
        scale=(channel_scale, "x s -> y"),
    )
    known(eca)

is an operation, ``y, backward = eca(x, w)``. Its backward is the chain read upwards, and a mistake
in one stage reaches all that come before it. So each mistake is made in its place, and carried
through the rest:

- what is registered for the operation of a stage, such as a mask that is missing;
- another value at hand in place of the right one: s in place of z, w1.T in place of w2;
- a gradient that is handed on with a factor too much, or averaged over an axis;
- a value that feeds two stages, such as x here, gets the gradient of one of them only;
- two of these at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from inspect import Parameter, Signature
from itertools import chain as one_after_the_other
from itertools import combinations, pairwise, product
from typing import Any, NamedTuple

import numpy as np

from numpy_se.checker.factors import scaled_by
from numpy_se.checker.mistakes.binding import Binding, bindings
from numpy_se.checker.mistakes.registry import (
    MISFITS,
    Op,
    Suspect,
    backward_suspects,
    forward_suspects,
    parameters,
    plain,
)
from numpy_se.contract import Array

Values = dict[str, Any]
Rule = Callable[[Values, Array], Mapping[str, Array] | None]
Change = Callable[..., Array]  # of values and one gradient
MANY = 150  # mistakes, of which no pairs are tried


class Stage(NamedTuple):
    """One step: what it takes and gives, by name."""

    name: str
    op: Op
    takes: tuple[str, ...]
    gives: str

    @property
    def title(self) -> str:
        return self.name.replace("_", " ")

    @property
    def code(self) -> str:
        return self.name.replace("_", "-")

    def given(self, values: Values) -> dict[str, Any]:
        """What it takes. Arguments at the end may be left out, they are None."""
        return {name: values[name] for name in self.takes if values[name] is not None}

    def named(self, values: Values, grads: Any) -> dict[str, Array]:
        """Put the names to its gradients."""
        grads = grads if isinstance(grads, tuple) else (grads,)
        return dict(zip(self.given(values), grads, strict=True))

    def names(self, values: Values) -> dict[str, str]:
        """The names that the parameters of the operation have here, in braces: see ``Slip``."""
        pairs = zip(parameters(self.op), self.given(values), strict=False)
        named = {own: f"{{{here}}}" for own, here in pairs}
        return {**named, "y": f"{{{self.gives}}}"}


class Slip(NamedTuple):
    """A mistake in one stage: ``rule(values, d)`` gives its wrong gradients by name.

    In ``text``, the names of values stand in braces.
    """

    code: str
    text: str
    stage: str
    rule: Rule


class Chain:
    """An operation made of stages, each ``name=(op, "x w -> y")``, in their order.

    ``code`` opens the ids of its mistakes. ``takes`` names its arguments; ``b=None`` is one that
    may be left out, at the end. The last stage gives y.
    """

    def __init__(self, code: str, takes: str, **stages: tuple[Op, str]) -> None:
        self.code = self.__name__ = code
        terms = [term.partition("=") for term in takes.split()]
        self.takes = tuple(name for name, _, _ in terms)
        kind, needed = Parameter.POSITIONAL_OR_KEYWORD, Parameter.empty
        self.__signature__ = Signature(
            [Parameter(name, kind, default=None if left else needed) for name, left, _ in terms]
        )
        self.stages = [Stage(name, op, *_split(flow)) for name, (op, flow) in stages.items()]
        known = {*self.takes}
        for stage in self.stages:
            if missing := [name for name in stage.takes if name not in known]:
                raise ValueError(f"{code}: {stage.name} takes {missing[0]!r}, which nothing gives")
            if stage.gives in known:
                raise ValueError(
                    f"{code}: {stage.name} gives {stage.gives!r}, which is there before"
                )
            known.add(stage.gives)
        if unused := [n for n in self.takes if not any(n in s.takes for s in self.stages)]:
            raise ValueError(f"{code}: no stage takes {unused[0]!r}")
        self.gives = self.stages[-1].gives
        self.axes = ""  # those of the arguments, if they are to be looked at before a run
        self.free = False  # whether they may come in any order
        self.optional = [bool(left) for _, left, _ in terms]
        self.own: list[Slip] = []
        makers = {stage.gives: stage for stage in self.stages}
        users = {n: [s for s in self.stages if n in s.takes] for n in (*self.takes, *makers)}
        self.used_twice = {name: stages for name, stages in users.items() if len(stages) > 1}
        self.flowing = {*makers, *self.used_twice} - {
            self.gives
        }  # gradients are handed on to these
        self.unary = {name: s for name, s in makers.items() if len(s.takes) == 1}

    def mistake(self, code: str, stage: str, says: str) -> Callable[[Rule], Rule]:
        """Register a mistake of this chain in one of its stages.

        ``rule(values, d)`` gives the wrong gradients of what the stage takes, by name. ``d`` is the
        gradient of what it gives. ``values`` has all values of the chain by name, as "dz" the
        gradients that were computed before, and as "right" the right gradients of the stage.
        """
        if stage not in (names := [s.name for s in self.stages]):
            raise ValueError(f"{self.code}: there is no stage {stage!r}; it has {', '.join(names)}")

        def enter(rule: Rule) -> Rule:
            self.own.append(Slip(f"{self.code}.{code}", says, stage, rule))
            return rule

        return enter

    def __call__(self, *args: Any) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
        values, backs = self.forward(args)
        return values[self.gives], lambda dy: tuple(self.gradients(values, backs, dy, {}).values())

    def bindings(self, args: tuple[Any, ...]) -> Iterator[Binding]:
        """Give the ways to take ``args`` as the arguments of this chain, by their shapes."""
        terms = [tuple(x for x in term.split() if x != "1") for term in self.axes.split(",")]
        yield from bindings(terms, self.optional, args)

    def forward(
        self, args: tuple[Any, ...], swapped: Mapping[str, Op] | None = None
    ) -> tuple[Values, dict[str, Any]]:
        """Compute all values by name, and the backward of each stage; some ops may be swapped."""
        values: Values = dict.fromkeys(self.takes) | dict(zip(self.takes, args, strict=False))
        backs = {}
        for stage in self.stages:
            op = (swapped or {}).get(stage.name, stage.op)
            values[stage.gives], backs[stage.name] = op(*stage.given(values).values())
        return values, backs

    def gradients(
        self, values: Values, backs: Mapping[str, Any], dy: Array, slips: Mapping[str, Rule]
    ) -> dict[int, Array]:
        """Read the chain upwards: all gradients, by the number of their argument.

        ``slips`` are rules that take the place of the right one in some stages. Raises ValueError
        and the like where a rule does not fit.
        """
        found = {f"d{self.gives}": dy}
        for stage in reversed(self.stages):
            d = found[f"d{stage.gives}"]
            grads = stage.named(values, backs[stage.name](d))
            if rule := slips.get(stage.name):
                here = {f"d{name}": a for name, a in grads.items()} | values | found
                wrong = rule({**here, "right": grads}, d)
                if wrong is None or any(a.shape != grads[name].shape for name, a in wrong.items()):
                    raise ValueError("nobody can make this mistake here")
                grads |= wrong
            for name, a in grads.items():
                found[f"d{name}"] = found[f"d{name}"] + a if f"d{name}" in found else a
        given = [name for name in self.takes if values[name] is not None]
        return {number: found[f"d{name}"] for number, name in enumerate(given)}

    def suspects(
        self, args: tuple[Any, ...], names: Mapping[str, str], sizes: Mapping[str, int]
    ) -> Iterator[Suspect]:
        """Give the wrong backwards: single mistakes first, then pairs in two stages.

        ``names`` are those that somebody gave the arguments. Values inside have names of ours,
        which are explained.
        """
        values, backs = self.forward(args)

        def predict(slips: Mapping[str, Rule], dy: Array) -> dict[int, Array] | None:
            try:
                return self.gradients(values, backs, dy, slips)
            except MISFITS:
                return None

        local = [*self._on_paths(values), *self.own, *self._registered(values, sizes)]
        local += [*self._substituted(values), *self._left_out(values), *self._too_early(values)]
        for slip in one_after_the_other(local, self._handed_on(values, sizes)):
            text = self._explained(slip.text, names)
            yield Suspect(slip.code, text, partial(predict, {slip.stage: slip.rule}))
        for one, other in combinations(local if len(local) < MANY else (), 2):
            if one.stage != other.stage:
                text = self._explained(f"two mistakes: {one.text}, and {other.text}", names)
                both = {one.stage: one.rule, other.stage: other.rule}
                yield Suspect(f"{one.code}+{other.code}", text, partial(predict, both))

    def _on_paths(self, values: Values) -> Iterator[Slip]:
        """Mistakes where a value feeds two stages, and its two gradients should be added."""
        for name, stages in self.used_twice.items():
            if values[name] is None:  # it was left out
                continue
            *some, last = (f"the {stage.title}" for stage in stages)
            feeds = f"{'both ' if len(some) == 1 else ''}{', '.join(some)} and {last}"
            others = {other for stage in stages for other in stage.takes}
            for stage in stages:
                path = partial(self._changed, stage, name)
                yield path("", f"is missing: {{{name}}} feeds {feeds}", lambda v, g: 0 * g)
                if len(stage.takes) == 1 and values[name].ndim > 2:
                    pixel = "reaches one pixel only"
                    yield path(".one-pixel", pixel, lambda v, g: _to_corner(g))
                    yield path(
                        ".one-pixel-undivided",
                        f"{pixel}, and is not divided",
                        lambda v, g: _to_corner(g) * g[0, 0].size,
                    )
                for other in sorted(others):
                    if _spreads(values[other], values[name]):
                        yield path(
                            ".factor-too-much",
                            f"has a factor {{{other}}} too much",
                            lambda v, g, other=other: g * _spread(v[other], g),
                        )
            first, dy = stages[0], f"d{self.gives}"  # the gradient of the first one comes last
            yield Slip(
                f"{self.code}.paths-multiplied",
                f"the two paths of {{{name}}} are multiplied",
                first.name,
                _changing(name, lambda v, g, dx=f"d{name}": g * v[dx] - v[dx]),
            )
            yield Slip(
                f"{self.code}.shortcut-added",
                f"d{{{self.gives}}} is added, as a shortcut would",
                first.name,
                _changing(name, lambda v, g, dy=dy: g + v[dy]),
            )

    def _registered(self, values: Values, sizes: Mapping[str, int]) -> Iterator[Slip]:
        """Mistakes that are known in the operation of a stage."""
        for stage in self.stages:
            taken = stage.given(values)
            args, names = tuple(taken.values()), stage.names(values)
            for code, text, predict in backward_suspects(stage.op, args, names, sizes):

                def rule(
                    values: Values, d: Array, predict: Any = predict, taken: Any = (*taken,)
                ) -> dict[str, Array] | None:
                    wrong = predict(d)
                    return wrong and {taken[k]: a for k, a in wrong.items()}

                code, text = f"{self.code}.{stage.code}:{code}", f"in the {stage.title}: {text}"
                yield Slip(code, text, stage.name, rule)

    def _substituted(self, values: Values) -> Iterator[Slip]:
        """A matrix or a map of the same shape in place of one that a stage keeps for its backward.

        It comes from elsewhere: what the stage has itself is left to its registered mistakes.
        """
        for number, stage in enumerate(self.stages):
            if getattr(plain(stage.op)[0], "keeps_nothing", False):
                continue
            later = {self.gives, *(n for s in self.stages[number + 1 :] for n in s.takes)}
            at_hand = {n: a for n, a in values.items() if n not in (*stage.takes, stage.gives)}
            for name, other in product(stage.given(values), at_hand):
                titles = [other]
                if other == self.gives and np.ndim(values[name]) == 4:
                    continue  # the stages of maps know this mistake
                if other in later and np.ndim(values[name]) == 2:
                    titles.append(f"d{other}")
                if {name, other} <= {*self.takes}:  # a weight for a weight
                    titles.append(f"{other}.T")
                for title in titles:
                    like = np.transpose(values[other]) if ".T" in title else values[other]
                    if np.shape(like) == np.shape(values[name]) and np.ndim(like) in (2, 4):
                        code = f"{stage.code}.{title.replace('.T', '-t')}-for-{name}".lower()
                        shown = title.replace(other, f"{{{other}}}", 1)
                        text = f"in the {stage.title}: {shown} in place of {{{name}}}"
                        rule = _substituting(stage, name, title)
                        yield Slip(f"{self.code}.{code}", text, stage.name, rule)

    def _left_out(self, values: Values) -> Iterator[Slip]:
        """The gradient of the output in place of that of a map: what lies between is left out."""
        y, last = values[self.gives], self.stages[-1]
        if y.ndim < 4 or getattr(plain(last.op)[0], "keeps_nothing", False):
            return  # the gradient is handed on as it is
        for stage in self.stages[:-1]:
            takes_map = any(np.shape(values[name]) == y.shape for name in stage.given(values))
            if values[stage.gives].shape == y.shape and takes_map:
                text = f"in the {stage.title}: d{{{self.gives}}} in place of d{{{stage.gives}}}"
                rule = partial(_with_gradient, stage, "", f"d{self.gives}")
                yield Slip(f"{self.code}.{stage.code}.dy-for-d", text, stage.name, rule)

    def _too_early(self, values: Values) -> Iterator[Slip]:
        """The gradient of a parameter that is taken before the activation behind its stage."""
        for stage, after in pairwise(self.stages):
            if after.takes == (stage.gives,) and _same_shape(values, stage.gives, after.gives):
                for name in stage.given(values):
                    if name in self.takes and name not in self.used_twice:
                        text = f"d{{{name}}} is taken before the {after.title}"
                        rule = partial(_with_gradient, stage, name, f"d{after.gives}")
                        yield Slip(f"{self.code}.d{name}-too-early", text, stage.name, rule)

    def _handed_on(self, values: Values, sizes: Mapping[str, int]) -> Iterator[Slip]:
        """What can be wrong with the gradient that a stage hands on.

        One that is handed on through a stage of one argument alone is looked at once.
        """
        for stage in self.stages:
            for name in (n for n in stage.given(values) if n in self.flowing):
                if (maker := self.unary.get(name)) and maker.takes[0] in self.used_twice:
                    continue  # the path is looked at
                changed = partial(self._changed, stage, name)
                if len(stage.takes) > 1 or name in self.used_twice or stage.gives == self.gives:
                    for factor in scaled_by(sizes):
                        if factor.value:  # else each gradient behind it says so
                            by = factor.value
                            yield changed(".factor", factor.words, lambda v, g, c=by: c * g)
                over = ["N", "the channels" if values[name].ndim > 2 else "each row"]
                if self.axes.startswith("..."):
                    over = ["the first axis", "the second axis"]
                for axis, what in enumerate(over[: values[name].ndim]):
                    for word, mix, often in _MIXES:
                        yield changed(
                            f".{word}",
                            f"is {word} over {what}{often}",
                            lambda v, g, mix=mix, k=axis: mix(g, axis=k, keepdims=True) + 0 * g,
                        )

    def _changed(self, stage: Stage, name: str, code: str, words: str, change: Change) -> Slip:
        """A mistake in one gradient that a stage hands on."""
        own, what = f"{stage.code}.d{name.lower()}", f"in the {stage.title}: d{{{name}}}"
        if name in self.used_twice:
            own, what = f"{stage.code}-path", f"the {stage.title.removesuffix(' path')} path"
        rule = _changing(name, change)
        return Slip(f"{self.code}.{own}{code}", f"{what} {words}", stage.name, rule)

    def _explained(self, text: str, names: Mapping[str, str]) -> str:
        """Put names into a text. A name of ours is explained by the stage that gives the value."""
        used = _Used({name: names.get(name, name) for name in self.takes})
        words = text.format_map(used)
        makers = {stage.gives: stage for stage in self.stages[:-1]}
        inner = [f"{n} is what the {makers[n].title} gives" for n in used.order if n in makers]
        return f"{words} ({', '.join(inner)})" if inner else words

    def wrong_outputs(self, args: tuple[Any, ...], names: Mapping[str, str]) -> Iterator[Suspect]:
        """Give the wrong forward passes: another operation in a stage, or a mistake in it."""
        values, _ = self.forward(args)

        def predict(stage: Stage, wrong: Callable[[], Array | None]) -> Array | None:
            try:
                again, _ = self.forward(args, {stage.name: lambda *_: (wrong(), None)})
            except MISFITS:
                return None
            y: Array | None = again[self.gives]
            return y

        for stage in self.stages:
            given = tuple(stage.given(values).values())
            for code, text, wrong in forward_suspects(stage.op, given, stage.names(values)):
                text = self._explained(f"in the {stage.title}: {text}", names)
                code = f"{self.code}.{stage.code}:{code}"
                yield Suspect(code, text, partial(predict, stage, wrong))


class _Used(dict[str, str]):
    """Names to put into words, and in which order they were used."""

    def __init__(self, names: Mapping[str, str]) -> None:
        super().__init__(names)
        self.order: dict[str, None] = {}

    def __getitem__(self, key: str) -> str:
        self.order[key] = None
        return self.get(key, key)


_MIXES = (("averaged", np.mean, ""), ("summed", np.sum, " too often"))


def _split(flow: str) -> tuple[tuple[str, ...], str]:
    takes, arrow, gives = flow.partition("->")
    if not (arrow and takes.split() and len(gives.split()) == 1):
        raise ValueError(f"{flow!r} is no flow; it wants names such as 'x w -> y'")
    return tuple(takes.split()), gives.strip()


def _changing(name: str, change: Change) -> Rule:
    """Change one gradient of a stage."""
    return lambda values, d: {name: change(values, values["right"][name])}


def _substituting(stage: Stage, name: str, title: str) -> Rule:
    """Let a stage have another value in place of ``name``."""

    def rule(values: Values, d: Array) -> dict[str, Array]:
        like = values[title.removesuffix(".T")]
        given = stage.given({**values, name: like.T if ".T" in title else like})
        return stage.named(values, stage.op(*given.values())[1](d))

    return rule


def _same_shape(values: Values, name: str, other: str) -> bool:
    return bool(np.shape(values[name]) == np.shape(values[other]))


def _with_gradient(stage: Stage, name: str, other: str, values: Values, d: Array) -> Values:
    """Let a stage have the gradient of another value, for one of what it takes, or for all."""
    grads = stage.named(values, stage.op(*stage.given(values).values())[1](values[other]))
    return {name: grads[name]} if name else grads


def _to_corner(a: Array) -> Array:
    """Keep the first pixel of every map, where the gradient should be spread over all."""
    maps = a.reshape(*a.shape[:2], -1)
    if (maps.any(axis=2) != maps.all(axis=2)).any():
        raise ValueError("it is not spread")
    corner: Array = maps * (np.arange(maps.shape[2]) == 0)
    return corner.reshape(a.shape)


def _spreads(a: Any, like: Array) -> bool:
    return 2 <= np.ndim(a) <= like.ndim and a.shape == like.shape[: a.ndim]


def _spread(a: Array, like: Array) -> Array:
    """Give ``a`` as many axes as ``like``: one number for each of the leading ones."""
    return a.reshape(a.shape + (1,) * (like.ndim - a.ndim))
