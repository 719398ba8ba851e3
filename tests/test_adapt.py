"""Backwards in other styles, and the line to write where one was not adapted."""

import functools
import inspect
import re
from typing import Any

import numpy as np
import pytest
from strategies import some

from numpy_se import nets
from numpy_se.checker import from_cache, from_class, from_layer, gradcheck
from numpy_se.checker.adapt import explain

SHAPES = "N I, I O, O"


class Dense:
    """Random weights, as attributes."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.W = np.random.randn(n_in, n_out)  # noqa: NPY002
        self.b = np.zeros(n_out)
        self.scale = np.random.rand() + 0.5  # noqa: NPY002  # no parameter, but it must not change

    def forward(self, x: Any) -> Any:
        self.x = x
        return self.scale * (x @ self.W + self.b)

    def backward(self, dy: Any) -> Any:
        dy = self.scale * dy
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class Wrong(Dense):
    """Its db is twice too large."""

    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.db = 2 * self.db
        return dx


class InDicts:
    """Parameters and gradients in dicts."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.params = {"W": np.ones((n_in, n_out)), "b": np.ones(n_out)}
        self.grads: dict[str, Any] = {}

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params["W"] + self.params["b"]

    def backward(self, dy: Any) -> Any:
        self.grads["W"] = self.x.T @ dy
        self.grads["b"] = dy.sum(axis=0)
        return dy @ self.params["W"].T


class TakesArrays:
    """Attributes that __init__ is given."""

    def __init__(self, W: Any, b: Any) -> None:
        self.W, self.b = W, b

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W + self.b

    def backward(self, dy: Any) -> Any:
        self.dW, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.T


class InLists:
    """Lists, with arrays that backward fills."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.params = [np.ones((n_in, n_out)), np.ones(n_out)]
        self.grads = list(map(np.zeros_like, self.params))

    def forward(self, x: Any) -> Any:
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dy: Any) -> Any:
        self.grads[0][...] = self.x.T @ dy
        self.grads[1][...] = dy.sum(axis=0)
        return dy @ self.params[0].T


class Held:
    """A parameter with its gradient."""

    def __init__(self) -> None:
        self.data: Any = None
        self.grad: Any = None


class WithHeld:
    """Parameters that are objects."""

    def __init__(self) -> None:
        self.W, self.b = Held(), Held()

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.W.data + self.b.data

    def backward(self, dy: Any) -> Any:
        self.W.grad, self.b.grad = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.W.data.T


class LeavesAll:
    """Nothing is returned: y is in output, dx in an attribute."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.weights = np.random.randn(n_in, n_out)  # noqa: NPY002

    def forward(self, inputs: Any) -> None:
        self.inputs = inputs
        self.output = inputs @ self.weights

    def backward(self, dvalues: Any) -> None:
        self.dweights = self.inputs.T @ dvalues
        self.dinputs = dvalues @ self.weights.T


class Returns(TakesArrays):
    """Backward returns all gradients, in one way or another."""

    def __init__(self, how: Any) -> None:
        self.how = how

    def backward(self, dy: Any) -> Any:
        grads = {"dx": dy @ self.W.T, "W": self.x.T @ dy, "db": dy.sum(axis=0)}
        return self.how(grads)


def as_list(grads: dict[str, Any]) -> list[Any]:
    return list(grads.values())


def as_tuple(grads: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(grads.values())


def as_upper(grads: dict[str, Any]) -> dict[str, Any]:
    return {"dX": grads["dx"], "dW": grads["W"], "db": grads["db"], "loss": 0}


CLASSES = {
    "attributes": from_class(Dense, 4, 2, W="dW", b="db"),
    "object": from_class(Dense(4, 2), W="dW", b="db"),
    "partial": from_class(functools.partial(Dense, 4, 2), W="dW", b="db"),
    "lambda": from_class(lambda: Dense(4, 2), W="dW", b="db"),
    "dicts": from_class(InDicts, 4, 2, W="grads['W']", b='grads["b"]'),
    "dicts by title": from_class(InDicts, 4, 2, W="dW", b="b"),
    "arrays": from_class(TakesArrays, None, None, W="dW", b="db"),
    "lists": from_class(InLists, 4, 2, W="grads[0]", b="grads[1]"),
    "held": from_class(WithHeld, W="W.grad", b="b.grad"),
    "returns a dict": from_class(Returns, dict, W="dW", b="db"),
    "returns another dict": from_class(Returns, as_upper, W="dW", b="db"),
    "returns a list": from_class(Returns, as_list, W="dW", b="db"),
    "returns a tuple": from_class(Returns, as_tuple, W="dW", b="db"),
}


@pytest.mark.parametrize("name", some(CLASSES, 3))
def test_a_class_is_checked_under_the_names_of_its_arguments(name: str) -> None:
    op = CLASSES[name]
    assert list(inspect.signature(op).parameters) == ["x", "W", "b"]
    report = gradcheck(op, shapes=SHAPES)
    assert report.ok, str(report)


def test_shapes_of_a_class_go_by_the_names_of_its_arguments() -> None:
    op = from_class(Dense, 4, 2, W="dW", b="db")
    assert gradcheck(op, shapes={"b": "O", "W": "I O", "x": "N I"}).ok


def test_nothing_needs_to_be_returned() -> None:
    op = from_class(LeavesAll, 4, 2, weights="dweights")
    assert list(inspect.signature(op).parameters) == ["inputs", "weights"]
    assert gradcheck(op, shapes="N I, I O").ok


def test_the_wrong_gradient_is_named() -> None:
    report = gradcheck(from_class(Wrong, 4, 2, W="dW", b="db"), shapes=SHAPES)
    assert report.headline.startswith("db is wrong")
    dense = from_class(Dense, 4, 2, W="dW")
    assert gradcheck(dense, np.ones((2, 4)) + np.eye(2, 4), np.ones((4, 2))).ok
    absent = gradcheck(from_class(Dense, 4, 2, W="gradW"), shapes="N 4, 4 2")
    assert "Dense has no gradW; it has W, b, scale, x, dW and db" in str(absent)


def test_random_weights_are_the_same_and_nobody_elses_change() -> None:
    op, x = from_class(Dense, 4, 2), np.ones((3, 4))
    np.random.seed(1)  # noqa: NPY002
    first, drawn = op(x)[0], np.random.rand()  # noqa: NPY002
    np.random.seed(1)  # noqa: NPY002
    assert np.random.rand() == drawn  # noqa: NPY002
    assert (op(x)[0] == first).all()


class Generated:
    """A class that takes a generator."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.weights = rng.standard_normal(4)

    def forward(self, x: Any) -> Any:
        return x * self.weights

    def backward(self, dy: Any) -> Any:
        return dy * self.weights


def test_a_generator_starts_anew_in_each_object() -> None:
    assert gradcheck(from_class(Generated, np.random.default_rng(3)), shapes="N 4").ok


class Masks:
    """Two inputs, one of them labels."""

    def forward(self, labels: Any, x: Any, train: bool = True) -> Any:
        self.labels = labels
        return x[np.arange(len(labels)), labels] * self.gain

    def backward(self, dy: Any) -> Any:
        dx = np.zeros((len(self.labels), 3))
        dx[np.arange(len(dx)), self.labels] = dy
        return dx


def test_arguments_of_forward_without_a_gradient() -> None:
    op = from_class(Masks, gain="dgain")
    assert list(inspect.signature(op).parameters) == ["labels", "x", "gain"]
    labels, x, gain = np.array([0, 2]), np.ones((2, 3)), np.array(2)  # whole numbers: no gradient
    _, backward = op(labels, x, gain)
    assert len(backward(np.ones(2))) == 1


def affine_forward(x: Any, W: Any, b: Any) -> Any:
    return x @ W + b, (x, W)


def affine_backward(dout: Any, cache: Any) -> Any:
    x, W = cache
    return dout @ W.T, x.T @ dout, dout.sum(axis=0)


def dict_backward(dout: Any, cache: Any) -> Any:
    dx, dW, db = affine_backward(dout, cache)
    return {"db": db, "W": dW, "dX": dx}


def test_forward_and_backward_with_a_cache() -> None:
    for backward in (affine_backward, dict_backward):
        op = from_cache(affine_forward, backward)
        assert list(inspect.signature(op).parameters) == ["x", "W", "b"]
        assert gradcheck(op, shapes=SHAPES).ok
        assert gradcheck(eval(op.written, globals()), shapes=SHAPES).ok  # type: ignore[attr-defined]
    wrong = from_cache(affine_forward, lambda dout, cache: {"dx": dout, "dw": dout})
    with pytest.raises(ValueError, match="no gradient of b; it gives dx and dw"):
        wrong(np.eye(2), np.eye(2), np.ones(2))[1](np.eye(2))
    with pytest.raises(TypeError, match="from_cache: tanh gives an ndarray; it must give out, cac"):
        from_cache(np.tanh, affine_backward)(np.ones(2))


def test_layers_of_the_package_have_names() -> None:
    layer = nets.Conv2d(2, 3)
    params = layer.init(np.random.default_rng(0), np.float64)
    op = from_layer(layer, params)
    assert list(inspect.signature(op).parameters) == ["x", "w", "b"]
    assert op.__name__ == "Conv2d"
    dotted = from_layer(layer, {"conv.w": params["w"], "conv.b": params["b"]})
    assert list(inspect.signature(dotted).parameters) == ["x", "conv_w", "conv_b"]


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (lambda: from_class(Dense), TypeError, r"Dense\(\) raises TypeError: .*n_in.*; for example, f"),
    (lambda: from_class(Dense, "a", "b"), TypeError, r"Dense\('a', 'b'\) raises TypeError"),
    (lambda: from_class(Dense(4, 2), 4), TypeError, "Dense is an object; sizes are for a class"),
    (lambda: from_class(Held), TypeError, "Held gives no object with forward and backward"),
    (lambda: from_class(WithHeld, W=""), ValueError, "W is ''; it wants an attribute such as"),
    (lambda: from_class(WithHeld, W="f()"), ValueError, r"W is 'f\(\)'; it wants an attribute"),
    (lambda: from_class(WithHeld, W=1), TypeError, "W is 1; it wants an attribute"),  # type: ignore[arg-type]
    (lambda: from_class(TakesArrays, 1, 2, W="dW", b="db")(1), TypeError, "1 argument; it wants W"),
]


@pytest.mark.parametrize(("make", "kind", "message"), REFUSED)
def test_what_is_no_class_of_this_style_is_refused(
    make: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=f"^from_class: .*{message}"):
        make()


# What to write.


def forgets(x: Any, W: Any, b: Any) -> Any:
    return x @ W + b


def swaps(x: Any, W: Any, b: Any) -> Any:
    y, cache = affine_forward(x, W, b)
    return (lambda dy: affine_backward(dy, cache)), y


def cube(x: Any) -> Any:
    return x**3, x


def cube_grad(dy: Any, x: Any) -> Any:
    return 3 * x**2 * dy


LINES: list[tuple[Any, str]] = [
    (
        Dense,
        'class Dense with forward and backward; write gradcheck(from_class(Dense, 4, 2, W="dW"',
    ),
    (Dense(4, 2), 'op is a Dense with forward and backward; write gradcheck(from_class(op, W="dW"'),
    (Dense(4, 2).forward, "op is a method of Dense; write gradcheck(from_class(Dense, 4, 2, W="),
    (
        InDicts,
        """write gradcheck(from_class(InDicts, 4, 2, W="grads['W']", b="grads['b']"), ...)""",
    ),
    (TakesArrays, 'write gradcheck(from_class(TakesArrays, None, None, W="dW", b="db"), ...)'),
    (
        affine_forward,
        "affine_forward gives y and a tuple; it must give y, backward: the function, ",
    ),
]


@pytest.mark.parametrize(("op", "text"), LINES)
def test_the_line_to_write_works(op: Any, text: str) -> None:
    args = np.ones((2, 4)) + np.eye(2, 4), np.ones((4, 2)), np.ones(2)
    try:
        result = op(*args)
    except TypeError as error:
        result = error
    explained = explain(op, result, ["x", "W", "b"])
    assert text in explained
    line = re.search(r"write (gradcheck\(.*\))", explained)
    assert line
    report = eval(line[1].replace("...", f"shapes={SHAPES!r}"), {**globals(), "op": op})
    assert report.ok, str(report)
    assert not callable(op) or inspect.isfunction(op) or explain(op) == explained


def test_the_cached_backward_that_stands_beside_is_found() -> None:
    def lonely_fwd(x: Any) -> Any:
        return x, x

    assert "from_cache(lonely_fwd, lonely_bwd)" in explain(lonely_fwd, (np.ones(2), np.ones(2)))
    assert "from_cache(cube, cube_grad)" in explain(cube, cube(np.ones(2)))


OTHERS: list[tuple[Any, Any, str]] = [
    (
        forgets,
        np.ones(2),
        "forgets gives an ndarray; it must give y, backward, where dx, dW, db = backwa",
    ),
    (
        swaps,
        swaps(np.eye(2), np.eye(2), np.ones(2)),
        "gives backward, y; it must give y, backward, ",
    ),
    (forgets, None, "forgets gives None (is a return missing?); it must give y, backward"),
    (forgets, (1, 2, 3), "forgets gives a tuple of 3; it must give y, backward"),
    (forgets, "hello", "forgets gives a str; it must give y, backward"),
    (forgets, ValueError("one\ntwo"), "forgets raises ValueError: one two"),
    (nets.Conv2d(3, 4), None, "op is a layer; write gradcheck(from_layer(op, params), ...)"),
    (Held, None, "op is the class Held without forward and backward; it wants a function"),
    (Generated.backward, None, "backward gives None"),
    ([1], None, "op is a list; it wants a function y, backward = op(x, ...)"),
    (None, None, "op is None; it wants a function"),
]


@pytest.mark.parametrize(("op", "result", "text"), OTHERS)
def test_other_mistakes_are_told(op: Any, result: Any, text: str) -> None:
    assert text in explain(op, result, ["x", "W", "b"])


class Called(Dense):
    """It can be called, as in a framework; what that gives is seen when it is called."""

    __call__ = Dense.forward


def test_an_object_that_can_be_called_is_called_first() -> None:
    op, x = Called(4, 2), np.ones((2, 4))
    assert explain(op) == ""
    assert explain(op, (x, op.backward)) == ""
    assert 'write gradcheck(from_class(op, W="dW", b="db"), ...)' in explain(op, op(x))


def test_what_is_well_needs_no_words() -> None:
    good = from_cache(affine_forward, affine_backward)
    assert explain(good) == ""
    assert explain(good, good(np.eye(2), np.eye(2), np.ones(2))) == ""


class Listed:
    """The parameters and their gradients stand in lists; dW is 7 times too large."""

    def __init__(self, inputs: int, outputs: int) -> None:
        self.params = [np.ones((inputs, outputs)), np.zeros(outputs)]
        self.grads = [np.zeros((inputs, outputs)), np.zeros(outputs)]

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dy: Any) -> Any:
        self.grads[0][...] = 7 * self.x.T @ dy
        self.grads[1][...] = dy.sum(axis=0)
        return dy @ self.params[0].T


class Typo(Listed):
    """The gradient is in dW, too."""

    def backward(self, dy: Any) -> Any:
        self.dW = self.x.T @ dy
        return dy @ self.params[0].T


def test_what_a_class_holds_and_is_not_checked_is_told() -> None:
    x, w, b = np.random.default_rng(0).standard_normal((3, 4)), np.ones((4, 2)), np.zeros(2)
    report = gradcheck(from_class(Listed, 4, 2), x)
    assert report.ok
    assert "no gradient of params[0] and params[1] was checked" in str(report)
    report = gradcheck(from_class(Listed, 4, 2, W="grads[0]", b="grads[1]"), x, w, b)
    assert report.gradients == {"dx": "right", "dW": "wrong", "db": "right"}
    assert "was checked" not in str(report)


def test_a_parameter_that_forward_does_not_read_is_told() -> None:
    x, w = np.random.default_rng(0).standard_normal((3, 4)), np.ones((4, 2))
    report = gradcheck(from_class(Typo, 4, 2, Wt="dW"), x, w)
    assert report.verdict == "wrong"
    assert "y does not depend on Wt here: is it read?" in report.limits
