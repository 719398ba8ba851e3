"""Nets from layers: one after the other, and side by side."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from inspect import isfunction
from typing import Any, Never, Self, TypeAlias

import numpy as np

from numpy_se.contract import Array, check_op, in_short, kind_of, run_op, typed
from numpy_se.nets.layer import Layer, LayerBackward, Params, Step, check_rng, spelled
from numpy_se.ops import add

Kind: TypeAlias = tuple[tuple[int, ...], np.dtype[Any]]  # shape and dtype of an array


class _Named(Layer):
    """Layers with names. Their arrays are called ``<name>.<array>``."""

    def __init__(self, unnamed: tuple[Never, ...], layers: dict[str, Layer]) -> None:
        title = type(self).__name__
        if unnamed:
            raise TypeError(f"{title}: {in_short(unnamed[0])} has no name; write name=Layer(...)")
        for name, layer in layers.items():
            if "." in name:
                raise ValueError(f"{title}: a layer is named {name!r}; names want no dot")
            if not isinstance(layer, Layer):
                _refuse(f"{title}: {name}", layer)
        self.layers = layers

    def __repr__(self) -> str:
        lines = [f"{own},".replace("\n", "\n    ") for own in self._parts()]
        return "\n    ".join([f"{type(self).__name__}(", *lines]) + "\n)"

    def _parts(self) -> list[str]:
        return [f"{name}={layer!r}" for name, layer in self.layers.items()]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{name}.{own}" for name, layer in self.layers.items() for own in layer.names)

    @property
    def statistics(self) -> tuple[str, ...]:
        return tuple(
            f"{name}.{own}" for name, layer in self.layers.items() for own in layer.statistics
        )

    @property
    def whole_batch(self) -> bool:
        return any(layer.whole_batch for layer in self.layers.values())

    def init(self, rng: np.random.Generator, dtype: type = np.float32) -> Params:
        check_rng("init", rng)
        return {
            f"{name}.{key}": value
            for name, layer in self.layers.items()
            for key, value in layer.init(rng, dtype).items()
        }

    def own_params(self, params: Mapping[str, Array], name: str) -> Params:
        """Pick the arrays of one layer, under the names that the layer uses.

        Raises ValueError where one has not the shape that the settings of the layer want.
        """
        layer = self.layers[name]
        arrays = {own: params[f"{name}.{own}"] for own in (*layer.names, *layer.statistics)}
        for own, shape in layer.shapes.items():
            if (got := np.shape(arrays[own])) != shape:
                raise ValueError(f"params: {name}.{own} has shape {got}; this net wants {shape}")
        return arrays

    def gates(self, params: Mapping[str, Array], x: Array) -> dict[str, Array]:
        """Compute the gates (N, C) of every gating layer, by its name, for a batch ``x``."""
        return {s.name: s.gates for s in self.walk(params, x) if s.gates is not None}

    def find(self, name: str) -> Layer:
        """Give the layer at a place, named as by ``walk``. Raises ValueError if there is none."""
        place, _, below = name.partition(".")
        layer = self.layers.get(place)
        if isinstance(layer, _Named) and below:
            return layer.find(below)
        if layer is None or below:
            there = ", ".join(self.layers)
            raise ValueError(f"there is no layer {name}; the layers here are {there}")
        return layer

    def replace(self, name: str, layer: Layer) -> Self:
        """Build the same net with another layer at a place, named as by ``walk``.

        The other layer must take the arrays of the one that it replaces. Raises ValueError if
        there is no such place, TypeError for what is no layer.
        """
        self.find(name)
        if not isinstance(layer, Layer):
            _refuse(f"replace: {name}", layer)
        place, _, below = name.partition(".")
        inner = self.layers[place]
        replaced = copy(self)
        new = inner.replace(below, layer) if below and isinstance(inner, _Named) else layer
        replaced.layers = self.layers | {place: new}
        return replaced

    def _check(self, params: Mapping[str, Array]) -> None:
        """Refuse parameters that are not those of the net."""
        wanted = (*self.names, *self.statistics)
        if not isinstance(params, Mapping):
            raise TypeError(f"params is {typed(params)}; it wants a dict: net(params, x)")
        if wrong := params.keys() ^ set(wanted):
            missing, unknown = wrong - params.keys(), wrong & params.keys()
            what = f"lacks {min(missing)}" if missing else f"has {min(unknown)}, which it must not"
            raise ValueError(f"params {what}; it wants {', '.join(wanted)}")

    def _run(
        self, name: str, params: Mapping[str, Array], x: Array, rng: np.random.Generator | None
    ) -> tuple[Array, LayerBackward, Params]:
        """Run one layer, in training where there is a generator. Its gradients get its name."""
        layer, own = self.layers[name], self.own_params(params, name)
        with _in_layer(name):
            if rng is None:
                y, backward = run_op("the layer", layer, own, x)
                seen: Params = {}
            else:
                y, backward, seen = layer.train(own, x, rng)
        # Not the arrays: they are kept by those layers alone that need them.
        kind_of_x, kinds = _kind(x), {key: _kind(own[key]) for key in layer.names}

        def named_backward(dy: Array) -> tuple[Array, Params]:
            with _in_layer(name):
                if dy is None:
                    raise TypeError("dy is None; only the first layer may have input_grad=False")
                dx, grads = _pair_of(backward(dy))
                _check_gradients(kinds, grads)
                if dx is not None:
                    _check_gradient("x", dx, *kind_of_x)
            return dx, {f"{name}.{key}": grad for key, grad in grads.items()}

        return y, named_backward, {f"{name}.{key}": value for key, value in seen.items()}

    def _walk(
        self, name: str, params: Mapping[str, Array], x: Array
    ) -> Generator[Step, None, Array]:
        steps = self.layers[name].walk(self.own_params(params, name), x)
        while True:
            try:
                with _in_layer(name):
                    step = next(steps)
            except StopIteration as end:
                y: Array = end.value
                return y
            yield step.below(name)


class Sequential(_Named):
    """Layers one after the other, each with a name. Their arrays are called ``<name>.<array>``.

    net = Sequential(conv=Conv2d(1, 16), relu=Apply(relu), se=SqueezeExcite(16, ratio=4))
    net.init(rng)       # {"conv.w": ..., "conv.b": ..., "se.w1": ..., "se.w2": ...}
    """

    def __init__(self, /, *unnamed: Never, **layers: Layer) -> None:
        super().__init__(unnamed, layers)

    def after(self, place: str, /, **layers: Layer) -> Sequential:
        """Build the same net with more layers after the layer named ``place``.

        net.after("relu1", se1=SqueezeExcite(16)) puts an SE block into any net. Raises ValueError
        when there is no such layer, or when a name is taken.
        """
        if place not in self.layers:
            raise ValueError(f"after: place is {place!r}; it wants one of {', '.join(self.layers)}")
        if taken := self.layers.keys() & layers.keys():
            raise ValueError(f"after: the net has a layer {', '.join(sorted(taken))} already")
        grown: dict[str, Layer] = {}
        for name, layer in self.layers.items():
            grown |= {name: layer} | (layers if name == place else {})
        return type(self)(**grown)

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return self._chain(params, x, None)[:2]

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        check_rng("train", rng)
        return self._chain(params, x, rng)

    def _chain(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator | None
    ) -> tuple[Array, LayerBackward, Params]:
        self._check(params)
        order = tuple(params)
        backwards: list[LayerBackward] = []
        seen: Params = {}
        for name in self.layers:
            x, layer_backward, own = self._run(name, params, x, rng)
            backwards.append(layer_backward)
            seen |= own

        def backward(dy: Array) -> tuple[Array, Params]:
            grads: Params = {}
            for layer_backward in reversed(backwards):
                dy, layer_grads = layer_backward(dy)
                grads |= layer_grads
            return dy, {key: grads[key] for key in order if key in grads}

        return x, backward, seen

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        self._check(params)
        for name in self.layers:
            x = yield from self._walk(name, params, x)
        return x


class Both(_Named):
    """Two layers on the same input, and an operation that merges what they give.

        y = merge(left(x), right(x))

    ``x`` feeds both, so its two gradients add. ``merge`` is an operation with two arrays, such as
    ``add`` or ``channel_scale``. The layers are named as they are passed:

    Both(add, branch=Sequential(...), shortcut=Sequential())     # Sequential() is the identity

    Raises TypeError unless there are two layers.
    """

    def __init__(self, merge: Callable[..., Any], /, *unnamed: Never, **layers: Layer) -> None:
        check_op("Both: merge", merge)
        super().__init__(unnamed, layers)
        if len(layers) != 2:
            raise TypeError(
                f"Both: the number of layers is {len(layers)}; it wants two, with names"
            )
        self.merge = merge

    def _parts(self) -> list[str]:
        return [spelled(self.merge), *super()._parts()]

    def __call__(self, params: Mapping[str, Array], x: Array) -> tuple[Array, LayerBackward]:
        return self._merge(params, x, None)[:2]

    def train(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator
    ) -> tuple[Array, LayerBackward, Params]:
        check_rng("train", rng)
        return self._merge(params, x, rng)

    def _merge(
        self, params: Mapping[str, Array], x: Array, rng: np.random.Generator | None
    ) -> tuple[Array, LayerBackward, Params]:
        self._check(params)
        order = tuple(params)
        (left, back_left, seen_left), (right, back_right, seen_right) = (
            self._run(name, params, x, rng) for name in self.layers
        )
        y, back_merge = run_op("Both: merge", self.merge, left, right)

        def backward(dy: Array) -> tuple[Array, Params]:
            dleft, dright = back_merge(dy)
            dx, grads = back_left(dleft)
            dx_right, grads_right = back_right(dright)
            grads |= grads_right
            if dx is None or dx_right is None:
                raise TypeError("Both: dx is None; a layer in it wants input_grad=True")
            return dx + dx_right, {key: grads[key] for key in order if key in grads}

        return y, backward, seen_left | seen_right

    def walk(self, params: Mapping[str, Array], x: Array) -> Generator[Step, None, Array]:
        self._check(params)
        arrays = []
        for name in self.layers:
            arrays.append((yield from self._walk(name, params, x)))
        y: Array = run_op("Both: merge", self.merge, *arrays)[0]
        return y


def residual(branch: Layer, shortcut: Layer | None = None) -> Both:
    """Add what ``branch`` gives to its input, or to what ``shortcut`` makes of the input.

    An SE block as the last layer of the branch makes it the SE-ResNet module of the paper's Fig. 3.
    Without ``shortcut``, the branch must keep the shape of its input.
    """
    return Both(add, branch=branch, shortcut=Sequential() if shortcut is None else shortcut)


def _refuse(subject: str, layer: object) -> Never:
    """Say of what is no layer which line to write."""
    wanted = "Apply(op)" if isfunction(layer) else "a Layer of numpy_se.nets"
    raise TypeError(f"{subject} is {kind_of(layer)}; it wants {wanted}")


def _pair_of(given: Any) -> tuple[Any, Params]:
    """What the backward of a layer gives, if it is dx and a dict."""
    if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)):
        what = f"a tuple of {len(given)}" if isinstance(given, tuple) else kind_of(given)
        raise TypeError(f"backward gives {what}; it wants dx, and a dict of gradients")
    return given


def _kind(array: Array) -> Kind:
    return np.shape(array), np.asarray(array).dtype


def _check_gradients(kinds: Mapping[str, Kind], grads: Params) -> None:
    """Refuse gradients that are not those of the parameters: they would be lost, or broadcast."""
    if wrong := grads.keys() ^ kinds.keys():
        missing, unknown = wrong - grads.keys(), wrong & grads.keys()
        what = f"lacks {min(missing)}" if missing else f"has {min(unknown)}, which it must not"
        raise ValueError(f"the dict of gradients {what}; it wants {', '.join(kinds) or 'none'}")
    for key, grad in grads.items():
        _check_gradient(key, grad, *kinds[key])


def _check_gradient(name: str, grad: Any, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if not isinstance(grad, np.ndarray):
        raise TypeError(f"the gradient of {name} is {kind_of(grad)}; it wants a NumPy array")
    if grad.shape != shape:
        got = f"the gradient of {name} has shape {grad.shape}"
        raise ValueError(f"{got}; it wants {shape}")
    if grad.dtype != dtype:
        raise TypeError(f"the gradient of {name} is {grad.dtype}; it wants {dtype}")


@contextmanager
def _in_layer(name: str) -> Iterator[None]:
    """Put the name of the layer in front of what is said about its arguments."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if type(error) not in (TypeError, ValueError):
            raise
        raise type(error)(f"{name}: {error}").with_traceback(error.__traceback__) from None
