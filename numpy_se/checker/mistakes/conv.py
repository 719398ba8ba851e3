"""Mistakes in convolution, tap by tap: each entry (i, j) of the kernel adds a shifted copy."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import product
from operator import methodcaller
from typing import Any

import numpy as np

from numpy_se.checker.mistakes.linear import RATES, Args
from numpy_se.checker.mistakes.registry import Rule, known, mistake, wrong_forward
from numpy_se.contract import Array
from numpy_se.ops import conv2d

known(conv2d, stride=(1, 2, 3), padding=(0, 1, 2, 3))

Tap = tuple[int, int]


class Taps:
    """The two gradients of a convolution as loops over the taps, in which things can go wrong."""

    def __init__(self, args: Args, dy: Array, stride: int, padding: int) -> None:
        self.x, self.w = args[:2]
        self.dy, self.stride, self.padding = dy, stride, padding
        self.kernel: Tap = self.w.shape[2:]
        self.taps = list(product(*map(range, self.kernel)))
        self.square = self.kernel[0] == self.kernel[1]
        self.sides = ((padding, padding), (padding, padding))

    def padded(self, sides: Any = None, mode: Any = "constant") -> Array:
        canvas: Array = np.pad(self.x, ((0, 0), (0, 0), *(sides or self.sides)), mode=mode)
        return canvas

    def view(self, tap: Tap, steps: Tap) -> Any:
        """The entries of the padded input that a tap meets."""
        rows, columns = (
            slice(start, start + step * count, step)
            for start, step, count in zip(tap, steps, self.dy.shape[2:], strict=True)
        )
        return np.s_[:, :, rows, columns]

    def whole_dx(
        self,
        w: Array | None = None,
        steps: Tap | None = None,
        lost: Collection[Tap] = (),
        overwrite: bool = False,
    ) -> Array:
        """The gradient of the padded input."""
        total, w = self.padded() * 0, self.w if w is None else w
        for i, j in self.taps:
            if (i, j) not in lost:
                view = total[self.view((i, j), steps or (self.stride, self.stride))]
                part = np.einsum("nfpq,fc->ncpq", self.dy, w[:, :, i, j])
                view[...] = part if overwrite else view + part
        return total

    def dx(self, **changes: Any) -> Array:
        return self.cropped(self.whole_dx(**changes))

    def cropped(self, total: Array, down: int = 0, right: int = 0) -> Array:
        top, left = self.padding + down, self.padding + right
        inside: Array = total[:, :, top : top + self.x.shape[2], left : left + self.x.shape[3]]
        return inside

    def dw(
        self,
        canvas: Array | None = None,
        steps: Tap | None = None,
        lost: Collection[Tap] = (),
        dy: Array | None = None,
    ) -> Array:
        dw: Array = np.zeros_like(self.w)
        dy = self.dy if dy is None else dy
        canvas = self.padded() if canvas is None else canvas
        for i, j in self.taps:
            if (i, j) not in lost:
                view = canvas[self.view((i, j), steps or (self.stride, self.stride))]
                dw[:, :, i, j] = np.einsum("nfpq,ncpq->fc", dy, view)
        return dw

    def without(self, row: int | None, column: int | None) -> dict[str, Any] | None:
        """Lose a row, a column or a tap of the kernel, unless it has only one."""
        chosen = [
            range(count) if number is None else range(count)[number:][:1]
            for number, count in zip((row, column), self.kernel, strict=True)
        ]
        fewest = [1 if number is None else 2 for number in (row, column)]
        if any(count < least for count, least in zip(self.kernel, fewest, strict=True)):
            return None
        return {"lost": list(product(*chosen))}

    def ignoring_the_stride(self, down: int, across: int) -> dict[str, Any] | None:
        steps = 1 if down else self.stride, 1 if across else self.stride
        return {"steps": steps} if self.stride > 1 else None

    def overwritten(self) -> Array:
        """Write every window of dx over those before it."""
        total, (kh, kw) = self.padded() * 0, self.kernel
        for p, q in product(*map(range, self.dy.shape[2:])):
            top, left = p * self.stride, q * self.stride
            part = np.einsum("nf,fcij->ncij", self.dy[:, :, p, q], self.w)
            total[:, :, top : top + kh, left : left + kw] = part
        return self.cropped(total)

    def shifted(self, down: int, right: int) -> Array | None:
        """Cut dx out one pixel beside its place."""
        if (down, right) == (-self.padding, -self.padding):  # it is not cropped at all
            return None
        whole = np.pad(self.whole_dx(), ((0, 0), (0, 0), (1, 1), (1, 1)))
        return self.cropped(whole, 1 + down, 1 + right)

    def inside(self) -> Array:
        """Leave dy out where a window reaches into the padding."""
        clear = []
        for count, length, size in zip(
            self.dy.shape[2:], self.x.shape[2:], self.kernel, strict=True
        ):
            start = np.arange(count) * self.stride
            clear.append((start >= self.padding) & (start <= self.padding + length - size))
        inside: Array = self.dy * np.outer(*clear)
        return inside


def _wrong(code: str, says: str, *places: int) -> Callable[[Rule], Rule]:
    """Register ``rule(taps)``, which gives the wrong gradients of the arguments at ``places``."""

    def enter(rule: Rule) -> Rule:
        @mistake(f"conv2d.{code}", of=conv2d, says=says)
        def wrong(
            args: Args, dy: Array, stride: int = 1, padding: int = 0, input_grad: bool = True
        ) -> dict[int, Array] | None:
            found = rule(Taps(args, dy, stride, padding))
            grads = found if isinstance(found, tuple) else (found,)
            return None if found is None else dict(zip(places, grads, strict=True))

        return rule

    return enter


def _in_both(code: str, says: str, changes: Callable[[Taps], dict[str, Any] | None]) -> None:
    """Register what can go wrong in dx, in dw, or in both."""

    def with_changes(t: Taps, *grads: Callable[..., Array]) -> tuple[Array, ...] | None:
        change = changes(t)
        return None if change is None else tuple(grad(t, **change) for grad in grads)

    _wrong(code, says, 0)(lambda t: with_changes(t, Taps.dx))
    _wrong(code, says, 1)(lambda t: with_changes(t, Taps.dw))
    _wrong(code, says, 0, 1)(lambda t: with_changes(t, Taps.dx, Taps.dw))


for down, across in [(1, 1), (0, 1), (1, 0)]:
    _in_both(
        "stride-ignored",
        "the stride is ignored",
        methodcaller("ignoring_the_stride", down, across),
    )

for name, rows, columns in [  # by the numbers of the taps that are lost, None for all
    ("first row", 0, None),
    ("last row", -1, None),
    ("first column", None, 0),
    ("last column", None, -1),
    ("first tap", 0, 0),
    ("last tap", -1, -1),
    ("top right tap", 0, -1),
    ("bottom left tap", -1, 0),
]:
    _in_both(
        f"{name.replace(' ', '-')}-lost",
        f"the {name} of the kernel is lost",
        methodcaller("without", rows, columns),
    )

for code, says, rule in [
    ("not-turned", "the kernel is not turned", lambda t: t.dx(w=np.flip(t.w, (2, 3)))),
    (
        "not-turned-down",
        "the kernel is not turned along KH",
        lambda t: t.dx(w=np.flip(t.w, 2)) if min(t.kernel) > 1 else None,
    ),
    (
        "not-turned-across",
        "the kernel is not turned along KW",
        lambda t: t.dx(w=np.flip(t.w, 3)) if min(t.kernel) > 1 else None,
    ),
    (
        "kernel-axes",
        "the kernel axes i and j are swapped",
        lambda t: t.dx(w=t.w.swapaxes(2, 3)) if t.square else None,
    ),
    (
        "kernel-axes-turned",
        "the kernel axes i and j are swapped, and the kernel is not turned",
        lambda t: t.dx(w=np.flip(t.w.swapaxes(2, 3), (2, 3))) if t.square else None,
    ),
    (
        "w-reshaped",
        "{w} is reshaped where its channel axes should be swapped",
        lambda t: (
            None
            if t.w.shape[0] == t.w.shape[1]
            else t.dx(w=t.w.reshape(t.w.shape[1], t.w.shape[0], *t.w.shape[2:]).swapaxes(0, 1))
        ),
    ),
    (
        "channel-axes",
        "the channel axes of {w} are swapped",
        lambda t: t.dx(w=t.w.swapaxes(0, 1)) if t.w.shape[0] == t.w.shape[1] else None,
    ),
    (
        "overwritten",
        "written with = where += is needed: windows overlap",
        lambda t: t.dx(overwrite=True),
    ),
    (
        "windows-overwritten",
        "written with = where += is needed: windows overlap",
        lambda t: t.overwritten(),
    ),
    (
        "not-cropped",
        "the padding is ignored: it is not cropped from all sides",
        lambda t: t.cropped(t.whole_dx(), -t.padding, -t.padding) if t.padding else None,
    ),
]:
    _wrong(code, says, 0)(rule)

for down, across in product((-1, 0, 1), repeat=2):
    if (down, across) != (0, 0):
        _wrong("shifted", "it is shifted: the crop is off by one", 0)(
            methodcaller("shifted", down, across)
        )

for rate in RATES:
    _wrong(
        "w-updated",
        f"{{w}} was updated before d{{x}} was computed from it (learning rate {rate:g})",
        0,
    )(lambda t, rate=rate: t.dx(w=t.w - rate * t.dw()))

for code, says, rule in [
    (
        "inside-alone",
        "the padding is ignored: windows that reach into it are left out",
        lambda t: t.dw(dy=t.inside()),
    ),
    (
        "padding-behind",
        "the padding is ignored",
        lambda t: t.dw(canvas=t.padded(((0, 2 * t.padding),) * 2)),
    ),
    (
        "padding-before",
        "the padding is ignored: it lies on one side only",
        lambda t: t.dw(canvas=t.padded(((2 * t.padding, 0),) * 2)),
    ),
    (
        "padding-edge",
        "the padding is wrong: edge values in place of zeros",
        lambda t: t.dw(canvas=t.padded(mode="edge")),
    ),
    (
        "border-wrapped",
        "the other side of {x} is taken for the padding",
        lambda t: t.dw(canvas=t.padded(mode="wrap")),
    ),
]:
    _wrong(code, says, 1)(lambda t, rule=rule: rule(t) if t.padding else None)


# Wrong forward passes: changes of x, w, b and the options.
Call = dict[str, Any]


def _edge(x: Array, padding: int) -> Call:
    """Pad with the values of the edge, and not with zeros."""
    sides = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    return {"x": np.pad(x, sides, mode="edge"), "padding": 0}


for code, says, change in [
    ("turned", "the kernel is turned: a convolution", lambda c: {"w": np.flip(c["w"], (2, 3))}),
    ("turned-down", "the kernel is turned along KH", lambda c: {"w": np.flip(c["w"], 2)}),
    ("turned-across", "the kernel is turned along KW", lambda c: {"w": np.flip(c["w"], 3)}),
    ("kernel-axes", "the kernel axes i and j are swapped", lambda c: {"w": c["w"].swapaxes(2, 3)}),
    (
        "channel-axes",
        "the channel axes of {w} are swapped",
        lambda c: {"w": c["w"].swapaxes(0, 1)} if c["x"].shape[1] == len(c["w"]) else {},
    ),
    ("b-missing", "{b} is missing", lambda c: {"b": None}),
    ("padding-missing", "the padding is missing", lambda c: {"padding": 0}),
    ("padding-edge", "edge values in place of zeros", lambda c: _edge(c["x"], c["padding"])),
    ("stride-missing", "the stride is ignored", lambda c: {"stride": 1}),
]:

    @wrong_forward(f"conv2d.forward.{code}", of=conv2d, says=says)
    def wrong_y(args: Args, change: Any = change, **options: Any) -> Array | None:
        call = {"stride": 1, "padding": 0, **options} | dict(zip("xwb", args, strict=False))
        try:
            y: Array = conv2d(**call | change(call))[0]
        except ValueError:  # the kernel does not fit
            return None
        return y
