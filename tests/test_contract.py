"""The contract, tested for every operation: purity, no aliasing, dtypes, strides, errors."""

import inspect
from typing import Any
from unittest import mock

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from strategies import arguments, as_tuple, over_floats, seeds

import numpy_se as se
from numpy_se import contract
from numpy_se.strategies import lattice, layouts

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
dtypes = st.sampled_from([np.float32, np.float64])


def upstream(y: Any, seed: int) -> Any:
    """A random gradient of both signs for ``y``, which cannot be changed."""
    dy = np.asarray(np.random.default_rng(seed).standard_normal(y.shape), dtype=y.dtype)
    dy.flags.writeable = False
    return dy


def frozen(args: list[Any]) -> list[Any]:
    for arg in args:
        if arg is not None:
            arg.flags.writeable = False
    return args


@every_case
@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_backward_is_pure_and_nothing_is_aliased(
    case: Case, data: Any, dtype: Any, seed: int
) -> None:
    op, args = over_floats(case, data.draw(arguments(case, dtype)))
    other_op, other_args = over_floats(case, data.draw(arguments(case, dtype)))
    frozen(args)
    y, backward = op(*args)
    dy, other_dy = upstream(y, seed), upstream(y, seed + 1)

    first = as_tuple(backward(dy))
    kept = [grad.copy() for grad in first]
    other_y, other_backward = other_op(*other_args)
    other_backward(upstream(other_y, seed))
    other = as_tuple(backward(other_dy))
    again = as_tuple(backward(dy))

    for grad, before, after in zip(first, kept, again, strict=True):
        np.testing.assert_array_equal(grad, before)
        np.testing.assert_array_equal(grad, after)
    results = [np.asarray(y), *first, *other, *again]
    for i, result in enumerate(results):
        assert result.flags.writeable
        for neighbour in [*args, dy, other_dy, *results[:i]]:
            assert not np.shares_memory(result, neighbour)


@every_case
@given(data=st.data(), dtype=dtypes, seed=seeds)
def test_shapes_and_dtypes_are_kept(case: Case, data: Any, dtype: Any, seed: int) -> None:
    op, args = over_floats(case, data.draw(arguments(case, dtype)))
    y, backward = op(*(arg.view(np.memmap) for arg in args))  # arrays in files are legal
    assert y.dtype == dtype
    grads = as_tuple(backward(upstream(y, seed)))
    assert [grad.shape for grad in grads] == [arg.shape for arg in args]
    assert all(grad.dtype == dtype for grad in grads)
    assert not any(isinstance(result, np.memmap) for result in (y, *grads))


@every_case
@given(data=st.data(), restride=layouts(), seed=seeds)
def test_any_strides_are_legal(case: Case, data: Any, restride: Any, seed: int) -> None:
    op, args = over_floats(case, data.draw(arguments(case)))
    y, backward = op(*args)
    dy = upstream(y, seed)
    strided_y, strided_backward = op(*(restride(arg) for arg in args))
    np.testing.assert_allclose(strided_y, y, rtol=1e-12, atol=1e-12)
    strided_dy = restride(dy) if y.shape else dy
    for grad, wanted in zip(
        as_tuple(strided_backward(strided_dy)), as_tuple(backward(dy)), strict=True
    ):
        np.testing.assert_allclose(grad, wanted, rtol=1e-12, atol=1e-12)


@every_case
@given(data=st.data(), seed=seeds)
def test_backward_is_linear_in_dy(case: Case, data: Any, seed: int) -> None:
    op, args = over_floats(case, data.draw(arguments(case)))
    y, backward = op(*args)
    dy1, dy2 = upstream(y, seed), upstream(y, seed + 1)
    for grad1, grad2, both, none in zip(
        as_tuple(backward(dy1)),
        as_tuple(backward(dy2)),
        as_tuple(backward(2 * dy1 - 3 * dy2)),
        as_tuple(backward(0 * dy1)),
        strict=True,
    ):
        np.testing.assert_allclose(both, 2 * grad1 - 3 * grad2, rtol=1e-9, atol=1e-9)
        assert not none.any()


@every_case
@given(data=st.data())
def test_bad_arrays_are_refused_by_name(case: Case, data: Any) -> None:
    args = data.draw(arguments(case))
    names = list(inspect.signature(case.op).parameters)
    places = [i for i, arg in enumerate(args) if arg is not None and arg.dtype.kind == "f"]
    place = data.draw(st.sampled_from(places))

    def message(error: type[Exception], bad: Any) -> str:
        with pytest.raises(error) as caught:
            case(*args[:place], bad, *args[place + 1 :])
        return str(caught.value)

    title, good = f"{case.op.__name__}: {names[place]}", args[place]
    assert message(TypeError, good.tolist()).startswith(f"{title} is a ")
    if inspect.signature(case.op).parameters[names[place]].default is not None:
        assert message(TypeError, None).startswith(f"{title} is a NoneType; it wants a NumPy")
    assert message(TypeError, np.ma.array(good)).startswith(f"{title} is a MaskedArray; it wants")
    assert message(ValueError, np.array(1.0)).startswith(f"{title} has no axis; it wants (")
    assert message(TypeError, good.astype(int)).startswith(f"{title} is int64; it wants float")
    assert message(TypeError, good.astype(np.float16)).startswith(f"{title} is float16; it wants")
    if len(places) > 1:
        assert "float32" in message(TypeError, good.astype(np.float32))
    if good.ndim:
        assert f"{title} has shape " in message(ValueError, good[:0])
    if not case.op.signature.startswith("..."):
        assert f"{title} has shape {(1, *good.shape)}; it wants (" in message(
            ValueError, good[None]
        )


@every_case
@given(data=st.data())
def test_bad_upstream_gradients_are_refused(case: Case, data: Any) -> None:
    y, backward = case(*data.draw(arguments(case)))
    dy = np.asarray(y) * 0
    with pytest.raises(ValueError, match=r"dy has shape .*; it wants .*, the shape of y"):
        backward(dy[None])
    if dy.ndim:
        with pytest.raises(TypeError, match="dy is float32; it wants float64"):
            backward(dy.astype(np.float32))
    with pytest.raises(TypeError, match="it wants a NumPy array"):
        backward([1.0])
    wanted = "the gradient of y, " if dy.ndim else r"a number: backward\(1\.0\)"
    with pytest.raises(TypeError, match=f"{case.op.__name__}: dy is None; it wants {wanted}"):
        backward()


@given(x=lattice((2, 3, 4, 5)))
def test_sizes_that_disagree_are_named(x: Any) -> None:
    with pytest.raises(ValueError, match=r"s has shape \(2, 4\); it wants \(N, C\) with C = 3 as"):
        se.channel_scale(x, np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"w2 has shape \(3, 1\); .* with R = 2 as in w1"):
        se.squeeze_excite(x, np.ones((2, 3)), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"skip has shape .* as in x"):
        se.add(x, x[:, :1])


def test_float64_images_are_told_how_to_become_float32() -> None:
    x, w = np.ones((2, 3, 4, 5)), np.ones((2, 3, 2, 2), np.float32)
    wanted = r"conv2d: x is float64; it wants float32 as w: x\.astype\(np\.float32\)"
    with pytest.raises(TypeError, match=wanted):
        se.conv2d(x, w)
    with pytest.raises(TypeError, match="conv2d: w is float64; it wants float32 as x: w"):
        se.conv2d(x.astype(np.float32), w.astype(np.float64))


def test_the_dtype_of_most_arrays_is_wanted() -> None:
    x, w1, w2 = np.ones((2, 3, 4, 5)), np.ones((2, 3)), np.ones((3, 2), np.float32)
    wanted = r"squeeze_excite: w2 is float32; it wants float64 as x: w2\.astype\(np\.float64\)"
    with pytest.raises(TypeError, match=wanted):
        se.squeeze_excite(x, w1, w2)


def test_channels_that_lie_last_are_told_how_to_go_first() -> None:
    x, w = np.ones((2, 4, 5, 3)), np.ones((2, 3, 2, 2))
    wanted = r"with C = 4 as in x; are the channels of x last\? np\.moveaxis\(x, -1, 1\)$"
    with pytest.raises(ValueError, match=wanted):
        se.conv2d(x, w)
    se.conv2d(np.moveaxis(x, -1, 1), w)
    with pytest.raises(ValueError, match=r"with C = 4 as in x$"):
        se.conv2d(x, w[:, :2])


@pytest.mark.parametrize("op", dict.fromkeys(case.op for case in CASES), ids=lambda op: op.__name__)
def test_arrays_go_by_place_or_name_and_options_by_name(op: Any) -> None:
    arrays = op.signature.split("->")[0].count(",") + 1
    parameters = list(inspect.signature(op).parameters.values())
    assert {p.kind for p in parameters[:arrays]} == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert {p.kind for p in parameters[arrays:]} <= {inspect.Parameter.KEYWORD_ONLY}


def test_a_window_of_one_pixel_changes_nothing() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for op in (se.max_pool2d, se.avg_pool2d):
        y, backward = op(x, size=1)
        np.testing.assert_array_equal(y, x)
        np.testing.assert_array_equal(backward(x), x)


def test_counts_are_checked() -> None:
    x, w = np.ones((2, 3, 4, 5)), np.ones((2, 3, 2, 2))
    with pytest.raises(ValueError, match="conv2d: stride is 0; it wants at least 1"):
        se.conv2d(x, w, stride=0)
    with pytest.raises(TypeError, match=r"conv2d: padding is 0\.5; it wants a whole number"):
        se.conv2d(x, w, padding=0.5)
    with pytest.raises(ValueError, match="w has kernels of 2 x 7; it wants at most 4 x 5"):
        se.conv2d(x, np.ones((2, 3, 2, 7)))
    with pytest.raises(ValueError, match="max_pool2d: stride is 0; it wants at least 1"):
        se.max_pool2d(x, stride=0)
    for op, name, value in (
        (se.max_pool2d, "size", 0),
        (se.avg_pool2d, "size", 0),
        (se.avg_pool2d, "stride", 0),
        (se.avg_pool2d, "padding", -1),
        (se.resize_nearest, "height", 0),
        (se.resize_nearest, "width", 0),
    ):
        sides = {"height": 2, "width": 2} if op is se.resize_nearest else {}
        with pytest.raises(ValueError, match=f"{op.__name__}: {name} is {value}; it wants at le"):
            op(x, **sides | {name: value})
    with pytest.raises(ValueError, match="conv2d: padding is -1; it wants at least 0"):
        se.conv2d(x, w, padding=-1)
    for name, value in (("stride", 0), ("padding", -1)):
        with pytest.raises(ValueError, match=f"depthwise_conv2d: {name} is {value}; it wants"):
            se.depthwise_conv2d(x, w[0], **{name: value})
    with pytest.raises(ValueError, match="max_pool2d: size is 5; it wants at most 4"):
        se.max_pool2d(x, size=5)
    with pytest.raises(ValueError, match="N\\*H\\*W of at least 2"):
        se.batch_norm(np.ones((1, 3, 1, 1)), np.ones(3), np.ones(3))
    with pytest.raises(ValueError, match="none may be negative"):
        se.batch_norm_inference(x, *(np.ones(3),) * 3, -np.ones(3))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int64, np.uint64])
def test_labels_of_any_integer_dtype(dtype: Any) -> None:
    logits = np.array([[1.0, 2.0, 3.0], [0.0, -1.0, 5.0]])
    wanted = se.softmax_cross_entropy(logits, np.array([2, 0]))[0]
    assert se.softmax_cross_entropy(logits, np.array([2, 0], dtype))[0] == wanted


def test_bad_labels_are_refused() -> None:
    logits = np.ones((2, 3))
    with pytest.raises(ValueError, match="labels run from 0 to 3; they want 0 to 2"):
        se.softmax_cross_entropy(logits, np.array([0, 3]))
    with pytest.raises(ValueError, match="labels run from -1"):
        se.softmax_cross_entropy(logits, np.array([0, -1]))
    with pytest.raises(TypeError, match="labels is float64; it wants whole numbers"):
        se.softmax_cross_entropy(logits, np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="labels has shape"):
        se.softmax_cross_entropy(logits, np.array([0, 1, 2]))
    for one_hot, error in ((np.eye(3)[:2], TypeError), (np.eye(3, dtype=int)[:2], ValueError)):
        with pytest.raises(error, match=r"is it one-hot\? labels.argmax\(axis=1\)"):
            se.softmax_cross_entropy(logits, one_hot)


def test_a_number_as_an_upstream_gradient_is_refused() -> None:
    backward = se.relu(np.ones((2, 3)))[1]
    with pytest.raises(TypeError, match=r"dy is a float; it wants the gradient of y, \(2, 3\)"):
        backward(1.0)


def test_the_padding_of_other_libraries_is_told_in_numbers() -> None:
    x, w = np.ones((2, 3, 6, 7)), np.ones((4, 3, 5, 5))
    with pytest.raises(TypeError, match=r"padding is 'same'.*; 2 keeps the height of x"):
        se.conv2d(x, w, padding="same")  # type: ignore[call-overload]


def test_what_was_accepted_once_does_not_excuse_what_follows() -> None:
    x, w = np.ones((2, 3)), np.ones((4, 3))
    se.linear(x, w)
    for bad, error in (
        ((x, w, [1.0] * 4), TypeError),
        ((x, w, np.ones(3)), ValueError),
        ((x.astype(np.float32), w), TypeError),
        ((x.astype(int), w), TypeError),
        ((np.ma.ones((2, 3)), w), TypeError),
        ((x[:, :2], w), ValueError),
    ):
        with pytest.raises(error, match="linear: "):
            se.linear(*bad)


def test_a_call_with_new_shapes_lets_glibc_keep_freed_memory() -> None:
    @contract.op("N C -> N C")
    def double(x: Any) -> Any:
        return 2 * x, lambda dy: 2 * dy

    with mock.patch.object(contract, "keep_freed_memory") as asked:
        with pytest.raises(ValueError, match="it wants"):
            double(np.ones(3))
        asked.assert_not_called()  # what is refused changes nothing
        double(np.ones((2, 3)))
        asked.assert_called_once()
