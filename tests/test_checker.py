"""The checker itself: what it finds, what it lets pass, and what it says."""

import functools
import json
import re
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from mutants import Mutant, whole_bank
from strategies import as_tuple, seeds

import numpy_se as se
from numpy_se.checker import GradientError, Kind, from_cache, from_class, from_layer
from numpy_se.contract import kind_of
from numpy_se.nets import tiny_net

BLOCK = "N C H W, R C, C R"
ONE_HOT = "softmax-cross-entropy.one-hot-missing"


def forgetful(x: Any, w1: Any, w2: Any) -> Any:
    """The block without its squeeze path."""
    s, back_gates = se.excitation(x, w1, w2)
    y, back_scale = se.channel_scale(x, s)

    def backward(dy: Any) -> Any:
        dx, ds = back_scale(dy)
        return dx, *back_gates(ds)[1:]

    return y, backward


def spoiled(op: Any, spoil: Any) -> Any:
    """The operation with ``spoil(dy, *grads)`` in place of its gradients."""

    @functools.wraps(op)
    def wrong(*args: Any) -> Any:
        y, backward = op(*args)
        return y, lambda dy: spoil(dy, *as_tuple(backward(dy)))

    return wrong


# The bank: all of it with --hypothesis-profile=search. matrix.py checks ten seeds, and the names.

STEP = 1 if settings.get_current_profile_name() == "search" else 11


@pytest.mark.parametrize("mutant", whole_bank()[::STEP], ids=lambda mutant: mutant.title)
def test_a_mutant_is_caught(mutant: Mutant) -> None:
    report = se.gradcheck(mutant.op, shapes=mutant.shapes)
    assert report.verdict == ("ok" if mutant.legal else "wrong")


NAMED = {
    "simplified": ("se.squeeze-path", "the squeeze path is missing"),
    "divides_by_nothing": ("any.factor-too-large", "it is H*W times too large"),
    "db_not_summed": ("any.not-summed", "it is not summed over N"),
    "forgets_the_one_hot": (ONE_HOT, "the one-hot is missing"),
}


@pytest.mark.parametrize(("name", "cause"), NAMED.items(), ids=NAMED)
def test_a_mistake_is_named_in_the_first_line(name: str, cause: tuple[str, str]) -> None:
    mutant = next(mutant for mutant in whole_bank() if mutant.op.__name__ == name)
    report = se.gradcheck(mutant.op, shapes=mutant.shapes)
    assert report.causes[0].code == cause[0]
    assert f"Consistent with: {cause[1]}" in report.headline


def test_ids_of_causes_are_stable() -> None:
    """Lower-case words, figures and some signs: no text, no name, no size of an argument."""
    ids = set()
    for mutant in whole_bank()[::60]:
        ids |= {c.code for c in se.gradcheck(mutant.op, shapes=mutant.shapes).causes if c.code}
    assert len(ids) > 3
    assert all(re.fullmatch("[a-z0-9.:+-]+", code) for code in ids)
    bias = lambda a, b: (a + b, lambda dy: (dy.copy(), dy.copy()))  # noqa: E731
    reports = [se.gradcheck(bias, shapes=s, names="pq") for s in ("N C, C", "C N, N", "L M, M")]
    assert len({report.causes[0].text for report in reports}) > 1
    assert {report.causes[0].code for report in reports} == {"any.not-summed"}


MISTAKES = {
    "a thousandth too large": lambda dy, dx, ds: (1.001 * dx, ds),
    "a millionth too large": lambda dy, dx, ds: (dx, (1 + 1e-6) * ds),
    "one entry": lambda dy, dx, ds: (dx + 1e-4 * (np.arange(dx.size) == 7).reshape(dx.shape), ds),
    "not a number": lambda dy, dx, ds: (dx, ds * np.nan),
    "shape": lambda dy, dx, ds: (dx, ds[:, :, None]),
    "a gradient too few": lambda dy, dx, ds: (dx,),
    "order": lambda dy, dx, ds: (ds, dx),
}


@pytest.mark.parametrize("spoil", MISTAKES.values(), ids=MISTAKES)
@given(seed=seeds)
def test_planted_mistakes_are_found_at_given_arguments(spoil: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, s = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3))
    assert se.gradcheck(se.channel_scale, x, s, seed=seed).ok
    assert not se.gradcheck(spoiled(se.channel_scale, spoil), x, s, seed=seed).ok


# The report.


def test_the_report_says_all_there_is_to_say() -> None:
    report = se.gradcheck(forgetful, shapes=BLOCK)
    first, worst, right, smallest, reproduce, counts = str(report).splitlines()
    assert first.startswith("dx is wrong. Consistent with: the squeeze path is missing")
    assert worst.startswith("  worst entry dx[")
    assert right == "  right: dw1, dw2"
    assert smallest == "  smallest failing input found: x (1, 1, 1, 1), w1 (1, 1), w2 (1, 1)"
    line = reproduce.removeprefix("  reproduce: ")
    names = {"gradcheck": se.gradcheck, "forgetful": forgetful, "np": np}
    assert not eval(line, names).ok
    assert counts.endswith("of them at kinks")
    with pytest.raises(AssertionError) as caught:
        report.raise_if_failed()
    assert str(caught.value) == str(report)
    assert isinstance(caught.value, GradientError)
    as_json = json.loads(json.dumps(report.to_dict()))
    assert as_json["verdict"] == "wrong"
    assert as_json["causes"][0]["gradients"] == ["dx"]
    found = as_json["findings"][0]
    assert f"dx{found['index']}: backward gives {found['given']:.9g}" in worst


KEYS = {
    "verdict",
    "headline",
    "gradients",
    "findings",
    "causes",
    "limits",
    "checked",
    "at_kinks",
    "resolution",
    "reproduce",
}


@pytest.mark.parametrize("op", [forgetful, se.squeeze_excite], ids=["wrong", "right"])
def test_programs_get_everything_as_json(op: Any) -> None:
    report = se.gradcheck(op, shapes=BLOCK)
    given = json.loads(json.dumps(report.to_dict()))
    assert set(given) == KEYS
    wrong = not report.ok
    states = dict.fromkeys(("dx", "dw1", "dw2"), "right") | ({"dx": "wrong"} if wrong else {})
    assert report.gradients == states
    causes = {name: ["se.squeeze-path"] if wrong and name == "dx" else [] for name in states}
    wanted = {name: {"state": states[name], "causes": causes[name]} for name in states}
    assert given["gradients"] == wanted
    assert [f.kind for f in report.findings] == [Kind.VALUE] * wrong
    assert [cause["id"] for cause in given["causes"]] == causes["dx"]
    found = [(f["kind"], f["subject"], len(f["index"])) for f in given["findings"]]
    assert found == [("value", "dx", 4)] * wrong
    assert given["headline"] == str(report).split("\n")[0]
    assert given["verdict"] == report.verdict


def test_reports_are_themselves() -> None:
    """They compare and hash by identity, and their repr is the text."""
    one, other = (se.gradcheck(se.tanh, np.ones(3)) for _ in range(2))
    assert str(one) == str(other)
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2
    assert repr(one) == str(one)


def test_a_report_does_not_change_with_the_arguments() -> None:
    """It is written when somebody reads it, perhaps after a step of training."""
    weights = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    of_one_size = lambda x: (x * weights, lambda dy: 2 * dy * weights)  # noqa: E731
    of_labels = lambda x, labels: (  # noqa: E731
        x[:, labels] * weights,
        lambda dy: 2 * dy * weights,  # right for the labels 0, 1, 2, but for the factor
    )
    labels = np.arange(3)
    for op, more in ((of_one_size, ()), (of_labels, (labels,))):
        reports = []
        for change in (False, True):
            x, *rest = np.random.default_rng(0).standard_normal((2, 3)), *(a.copy() for a in more)
            reports.append(se.gradcheck(op, x, *rest))
            if change:
                for a in (x, *rest):
                    a[...] = 0
        before, after = map(str, reports)
        assert "dx is wrong. Consistent with: it is 2 times too large" in before
        assert "reproduce: " in before
        assert before == after


@pytest.mark.parametrize("words", ["EOFError", "dx changes x", "Cause unknown.", "not counted"])
def test_no_text_is_read_again(words: str) -> None:
    """What an exception says has no meaning for the checker."""

    def op(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            raise ValueError(words)

        return 2 * x, backward

    for arguments in ({"shapes": "N C"}, {"shapes": {"x": (3, 2)}}):
        report = se.gradcheck(op, **arguments)
        assert [(f.kind, f.subject) for f in report.findings] == [(Kind.RAISES, "backward")]
        assert report.headline.startswith(f"backward raises ValueError: {words} (line ")
        assert report.causes == ()
        assert report.gradients in ({}, {"dx": "undecided"})


class Unspeakable(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError


EXCEPTIONS = {
    "two lines": (ValueError("a\nb"), "ValueError: a b "),
    "control characters": (ValueError("a\x1b[31m"), r"ValueError: a\x1b[31m "),
    "no text": (KeyError(), "KeyError "),
    "no text can be made": (Unspeakable(), "Unspeakable: (its text cannot be made) "),
    "long": (ValueError("a" * 1000), "ValueError: " + "a" * 285 + "... "),
}


@pytest.mark.parametrize(("error", "words"), EXCEPTIONS.values(), ids=EXCEPTIONS)
def test_an_exception_of_backward_is_told_in_one_line(error: Exception, words: str) -> None:
    def op(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            raise error

        return 2 * x, backward

    headline = se.gradcheck(op, np.ones(3)).headline
    assert re.fullmatch(rf"backward raises {re.escape(words)}\(line \d+ of \S+\.py\)\.", headline)


def test_an_exception_of_the_forward_pass_comes_through() -> None:
    def refuses(x: Any) -> Any:
        raise RuntimeError("EOFError")

    def stops(x: Any) -> Any:
        def backward(dy: Any) -> Any:
            raise KeyboardInterrupt

        return 2 * x, backward

    for arguments in ({"shapes": "N C"}, {"shapes": {"x": (3, 2)}}):
        with pytest.raises(RuntimeError, match="EOFError"):
            se.gradcheck(refuses, **arguments)
        with pytest.raises(KeyboardInterrupt):
            se.gradcheck(stops, **arguments)
    with pytest.raises(GradientError, match="dx is wrong") as caught:
        se.assert_gradients(spoiled(se.tanh, lambda dy, dx: 2 * dx), np.ones(3))
    assert caught.value.report.verdict == "wrong"


def test_nothing_depends_on_time(monkeypatch: Any) -> None:
    wrong = spoiled(se.linear, lambda dy, dx, dw: (dx, dw / len(dy)))
    wanted = str(se.gradcheck(wrong, shapes="N I, O I"))
    assert "it is N times too small" in wanted

    def clock() -> float:
        raise RuntimeError("no clock")

    for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time"):
        monkeypatch.setattr(time, name, clock)
        monkeypatch.setattr(time, f"{name}_ns", clock)
    found = str(se.gradcheck(wrong, shapes="N I, O I"))
    monkeypatch.undo()
    assert found == wanted


def test_what_fits_no_pattern_is_unknown() -> None:
    def uneven(dy: Any, dx: Any, ds: Any) -> Any:
        return dx * np.cos(np.arange(dx.size)).reshape(dx.shape), ds

    strange = spoiled(se.channel_scale, uneven)
    report = se.gradcheck(strange, shapes="N C H W, N C")
    assert report.headline.startswith("dx is wrong. Cause unknown")


def test_a_factor_is_named_by_the_axis_that_it_follows() -> None:
    """At one size, 6 may be N*C or 2*C. At several it is what it is."""
    for factor, name in ((lambda a: a.shape[1], "C"), (lambda a: a[0, 0].size, "H*W")):
        wrong = spoiled(se.channel_scale, lambda dy, dx, ds, f=factor: (dx * f(dx), ds))
        for arguments in ({"shapes": "N C H W, N C"}, {"shapes": {"x": (2, 3, 2, 3), "s": (2, 3)}}):
            report = se.gradcheck(wrong, **arguments)
            assert f"it is {name} times too large" in report.headline


def test_limits_of_the_given_arguments_are_told() -> None:
    x = np.abs(np.random.default_rng(0).standard_normal((1, 2, 3, 3)))
    report = se.gradcheck(se.global_avg_pool, x)
    assert report.ok
    text = str(report)
    assert "x has H = W = 3" in text
    assert "x has size 1 along axis 0" in text
    assert "x has one sign" in text
    assert se.gradcheck(se.global_avg_pool, shapes="N C H W").limits == ()


def test_an_argument_without_influence_is_told() -> None:
    w1 = -np.ones((2, 3))  # with positive x, all hidden units are closed
    x = np.abs(np.random.default_rng(0).standard_normal((2, 3, 4, 5)))
    report = se.gradcheck(se.squeeze_excite, x, w1, np.ones((3, 2)))
    assert any(limit.startswith("y does not depend on w1 here") for limit in report.limits)


def at_the_border(x: Any) -> Any:
    mask = np.ones(x.shape, bool)
    mask[..., 1:-1, 1:-1] = False
    return mask


PLACES = {
    "only where x is negative": lambda x: x < 0,
    "only in the last of N": lambda x: np.arange(x.size).reshape(x.shape) >= x.size - x[0].size,
    "only at the border of the maps": at_the_border,
}


@pytest.mark.parametrize("place", PLACES)
def test_the_place_of_an_unknown_mistake_is_told(place: str) -> None:
    def cube(x: Any) -> Any:
        odd = np.where(PLACES[place](x), np.cos(np.arange(x.size)).reshape(x.shape), 1)
        return x**3, lambda dy: 3 * x**2 * dy * odd

    report = se.gradcheck(cube, shapes={"x": (3, 2, 5, 6)})
    assert report.headline.startswith(f"dx is wrong {place}. Cause unknown")


# Kinks.


def relu_with(slope: float) -> Any:
    def op(x: Any) -> Any:
        return np.maximum(x, 0), lambda dy: dy * np.where(x == 0, slope, x > 0)

    return op


def test_any_slope_between_the_sides_of_a_kink_is_legal() -> None:
    x = np.array([-1.0, 0.0, 2.0])
    for slope in (0.0, 0.5, 1.0):
        report = se.gradcheck(relu_with(slope), x)
        assert report.ok
        assert report.at_kinks > 0
    for slope in (-0.01, 1.01, 5.0):
        assert not se.gradcheck(relu_with(slope), x).ok


@pytest.mark.parametrize("distance", [1e-6, -1e-5, 3e-5, 6e-5, -9e-5])
def test_a_kink_inside_the_step_raises_no_alarm(distance: float) -> None:
    assert se.gradcheck(se.relu, np.array([distance, 1.0])).ok


def test_a_gradient_at_a_kink_is_judged_beside_it() -> None:
    assert se.gradcheck(se.relu, np.zeros(3)).verdict == "ok"
    x = np.maximum(np.random.default_rng(0).standard_normal((4, 5)), 0)
    assert se.gradcheck(se.relu, x).ok
    without_mask = lambda x: (np.maximum(x, 0), lambda dy: dy.copy())  # noqa: E731
    assert se.gradcheck(without_mask, x).verdict == "wrong"


def test_conventions_that_meet_in_one_point_raise_no_alarm() -> None:
    """The mean of sample 1 is 0, so both hidden units are at 0, with slopes of opposite sign."""
    x = np.array([[[[0.5, 0.5, -1.5], [1, 1.5, 1]]], [[[1, -2, 0.5], [1, 1, -1.5]]]])
    w1 = np.array([[2.0], [-2.5]])
    assert se.gradcheck(se.squeeze_excite, x, w1, w1.T.copy()).ok


def test_a_jump_has_no_slope_to_hold_a_gradient_to() -> None:
    step = lambda x: (x + (x > 0), lambda dy: 1 * dy)  # noqa: E731
    assert se.gradcheck(step, np.array([-1.0, 0.0, 2.0])).ok


HONEST = {
    "far from zero": lambda x: (x + 1e6, lambda dy: dy.copy()),
    "steep": lambda x: (np.sin(30 * x), lambda dy: 30 * np.cos(30 * x) * dy),
    "tiny": lambda x: (1e-10 * x, lambda dy: 1e-10 * dy),
    "huge": lambda x: (1e10 * x**2, lambda dy: 2e10 * x * dy),
    "leaky ReLU": lambda x: (
        np.maximum(x, 0) - 0.1 * np.maximum(-x, 0),
        lambda dy: dy * (x > 0) + 0.1 * dy * (x < 0),
    ),
    "absolute": lambda x: (np.abs(x), lambda dy: np.sign(x) * dy),
    "a mean": lambda x: (x.mean(axis=0), lambda dy: np.ones_like(x) * dy / len(x)),
    "samples that mix": lambda x: (x - x.mean(axis=0), lambda dy: dy - dy.mean(axis=0)),
}


@pytest.mark.parametrize("op", HONEST.values(), ids=HONEST)
@given(seed=seeds)
def test_right_functions_raise_no_alarm(op: Any, seed: int) -> None:
    report = se.gradcheck(op, np.random.default_rng(seed).standard_normal((3, 2)), seed=seed)
    assert report.verdict == "ok", report


# Promises and properties.

noise = np.random.default_rng(0)
kept: list[Any] = []


def mutates_dy(x: Any) -> Any:
    def backward(dy: Any) -> Any:
        dy *= 2
        return dy.copy()

    return 2 * x, backward


def mutates_x(x: Any) -> Any:
    x *= 2
    return x.copy(), lambda dy: 2 * dy


def stale(x: Any) -> Any:
    kept[:] = [x]
    return x**2, lambda dy: 2 * kept[0] * dy


def accumulates(x: Any) -> Any:
    total = np.zeros_like(x)

    def backward(dy: Any) -> Any:
        nonlocal total
        total = total + 2 * dy
        return total

    return 2 * x, backward


def by_its_memory(x: Any) -> Any:
    return x**3, lambda dy: 3 * np.ravel(x, order="K").reshape(x.shape) ** 2 * dy


BROKEN = {
    "mutates dy": (mutates_dy, "backward changes dy"),
    "mutates x": (mutates_x, "the forward pass changes x"),
    "random": (lambda x: (x * noise.random(x.shape), lambda dy: 1 * dy), "gives another y"),
    "float32": (
        lambda x: (2 * x, lambda dy: (2 * dy).astype(np.float32)),
        "dx is float32; it wants",
    ),
    "list": (lambda x: (2 * x, lambda dy: (2 * dy).tolist()), "it wants "),
    "nothing": (
        lambda x: (2 * x, lambda dy: None),
        "dx is None (never set, or not returned?); it wants a NumPy array",
    ),
    "no gradients": (lambda x: (2 * x, lambda dy: {"dx": dy}), "dx is a dict; it wants a NumPy"),
    "too many": (
        lambda x: (2 * x, lambda dy: (2 * dy, dy)),
        "gives 2 gradients; it wants 1 gradient, for x",
    ),
    "tiny, wrong sign": (lambda x: (1e-10 * x, lambda dy: -1e-10 * dy), "the sign is wrong"),
    "tiny, zero": (lambda x: (1e-10 * x, lambda dy: 0 * dy), "it is zero"),
    "stale": (stale, "backward uses what a later forward call has overwritten"),
    "accumulates": (accumulates, "backward adds to the gradients of its first call"),
    "a view of dy": (lambda x: (x.T.copy(), lambda dy: dy.T), "dx shares memory with dy"),
    "raises": (lambda x: (2 * x, lambda dy: dy @ np.ones(7)), "backward raises ValueError"),
    "constant": (lambda x: (2 * x, lambda dy: 2 * dy + 1e-8), "is wrong. Consistent with: "),
    "by its memory": (by_its_memory, "dx differs where the arrays are not contiguous"),
    "raises on strides of dy": (
        lambda x: (2 * x, lambda dy: 2 * dy if dy.flags.c_contiguous else 1 / 0),
        "where the arrays are not contiguous in memory, it raises ZeroDivisionError",
    ),
    "raises on strides of x": (
        lambda x: (2 * x if x.flags.c_contiguous else 1 / 0, lambda dy: 2 * dy),
        "where the arrays are not contiguous in memory, it raises ZeroDivisionError",
    ),
}


def test_what_is_kept_between_calls_is_named_before_anything_else() -> None:
    kept: list[Any] = [0.0]

    def running(x: Any, g: Any, b: Any) -> Any:
        kept[0] = 0.1 * kept[0] + 0.9 * x.mean(axis=0)  # after some calls with one x, it rests
        xc = x - kept[0]
        return xc * g + b, lambda dy: (dy * g, (dy * xc).sum(axis=0), dy.sum(axis=0))

    rng = np.random.default_rng(0)
    given = rng.standard_normal((2, 3)), rng.standard_normal(3), rng.standard_normal(3)
    for report in (se.gradcheck(running, shapes="N C, C, C"), se.gradcheck(running, *given)):
        assert report.headline.startswith(
            "the forward pass gives another y when it is called again"
        )


@pytest.mark.parametrize(("op", "message"), BROKEN.values(), ids=BROKEN)
def test_broken_promises_are_named(op: Any, message: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    before = x.copy()
    report = se.gradcheck(op, x)
    assert report.verdict == "wrong"
    assert message in str(report)
    np.testing.assert_array_equal(x, before)


def in_float32(x: Any) -> Any:
    """A square pooling whose gradient passes through float32."""
    shape = x.shape
    back = lambda dy: dy.astype(np.float32)[:, :, None, None] * x / (shape[2] * shape[3])  # noqa: E731
    return (x * x).mean(axis=(2, 3)) / 2, back


def max_in_float32(x: Any) -> Any:
    y, backward = se.global_max_pool(x)
    return y, lambda dy: backward(dy).astype(np.float32)


FLOAT32 = {
    in_float32: "only its last digits are wrong (float32",
    max_in_float32: "dx is float32; it wants float64",
}


@pytest.mark.parametrize("op", FLOAT32)
def test_float32_on_the_way_is_named_as_such(op: Any) -> None:
    report = se.gradcheck(op, shapes="N C H W")
    assert report.verdict == "wrong"
    assert FLOAT32[op] in report.headline


def test_a_forward_pass_in_float32_leaves_gradients_undecided() -> None:
    def forward_in_float32(x: Any, w: Any) -> Any:
        return se.linear(x.astype(np.float32).astype(float), w)

    def half(dy: Any, dx: Any, dw: Any) -> Any:
        return dx / 2, dw

    assert se.gradcheck(forward_in_float32, shapes="N I, O I").verdict != "wrong"
    report = se.gradcheck(spoiled(forward_in_float32, half), shapes="N I, O I")
    assert report.headline == "the forward pass computes with x in float32."
    assert report.causes[0].code == "any.float32-forward"
    assert report.gradients == {"dx": "undecided", "dw": "undecided"}
    assert "right:" not in str(report)


def test_another_rule_for_float32_is_a_note() -> None:
    """It may be a mistake, or rounding."""
    op = lambda x: (x**2, lambda dy: (2 if x.itemsize == 8 else 3) * x * dy)  # noqa: E731
    report = se.gradcheck(op, np.random.default_rng(0).standard_normal((3, 2)))
    assert report.ok
    assert report.limits == ("dx of float32 arguments is far from that of float64 ones",)


def test_sizes_that_were_not_tried_are_told() -> None:
    def in_pairs(x: Any) -> Any:
        first, second = x  # two samples, and no other number
        return np.stack([first, second]) * 2, lambda dy: 2 * dy

    report = se.gradcheck(in_pairs, shapes="N C")
    assert report.ok
    assert report.limits == ("only N = 2 was tried, so what happens at others is not known",)


def even_square(w: Any) -> Any:
    if w.shape[0] != w.shape[1] or w.shape[0] % 2:
        raise ValueError("it wants an even square")
    return 2 * w, lambda dy: 2 * dy


def test_axes_that_had_equal_sizes_are_told() -> None:
    report = se.gradcheck(even_square, shapes="R C")
    assert report.ok
    failed, equal = report.limits
    assert failed.startswith("at R = 6, C = 3, it raises ValueError: it wants an even square")
    assert failed.endswith(": tried at other sizes only")
    assert equal.startswith("R and C had the same size each time")


def test_sizes_that_must_be_equal_are_a_finding() -> None:
    """Who asks for R C wants an operation that takes R other than C."""
    with_its_transpose = lambda w: (w + w.T, lambda dy: dy + dy.T)  # noqa: E731
    report = se.gradcheck(with_its_transpose, shapes="R C")
    assert report.headline.startswith("the forward pass runs only where R = C; at R = 6, C = 3, ")
    assert [c.code for c in report.causes] == ["any.equal-sizes-only"]
    assert se.gradcheck(with_its_transpose, shapes="D D").ok


def test_sizes_and_values_that_are_drawn() -> None:
    shapes, magnitudes = set(), []

    def cube(x: Any) -> Any:
        if x.dtype == np.float64:
            shapes.add(x.shape)
            magnitudes.extend(np.abs(x.ravel()))
        return x**3, lambda dy: 3 * x**2 * dy

    assert se.gradcheck(cube, shapes="N D").ok
    for axis in (0, 1):
        assert {shape[axis] for shape in shapes} >= {1, 17}
        assert len({shape[axis] for shape in shapes}) > 4
    for low in (0.001, 0.01, 0.1, 1, 10, 100):
        assert any(low <= m < 10 * low for m in magnitudes), low
    shapes.clear()
    assert se.gradcheck(cube, shapes={"x": (3, "D")}).ok
    assert {shape[0] for shape in shapes} == {3}  # a number is part of the operation
    assert {shape[1] for shape in shapes} >= {1, 17}
    shapes.clear()
    assert se.gradcheck(cube, np.ones((3, 2))).ok
    assert shapes == {(3, 2)}


def test_a_buffer_that_is_used_again_is_a_note() -> None:
    buffer = np.empty((3, 2))

    def doubled(x: Any) -> Any:
        np.multiply(x, 2, out=buffer)
        return buffer, lambda dy: 2 * dy

    report = se.gradcheck(doubled, np.random.default_rng(0).standard_normal((3, 2)))
    assert report.ok
    note = "a later call overwrites y, which is a buffer of the op: copy y to keep it"
    assert note in report.limits


def test_samples_may_mix() -> None:
    """No rule says what half of a batch gives."""
    of_batch = lambda x: (x * len(x), lambda dy: dy * len(dy))  # noqa: E731
    assert se.gradcheck(of_batch, shapes="N C").ok
    centred = lambda x: (x - x.mean(axis=0), lambda dy: dy - dy.mean(axis=0))  # noqa: E731
    assert se.gradcheck(centred, shapes="N C").ok


def cube_that(breaks: Any, how: Any) -> Any:
    """A cube whose backward gives ``how()`` where ``breaks(x)``, or raises what that raises."""

    def cube(x: Any) -> Any:
        return x**3, lambda dy: how() * dy if breaks(x).any() else 3 * x**2 * dy

    return cube


CHOSEN = {
    "zeros": (lambda x: x == 0, "where some entries are equal or zero, "),
    "ties": (lambda x: x == np.roll(x, 1), "where some entries are equal or zero, "),
    "large": (lambda x: np.abs(x) > 20, "where values are large, "),
}


@pytest.mark.parametrize(("breaks", "where"), CHOSEN.values(), ids=CHOSEN)
def test_what_backward_does_not_take_is_not_counted(breaks: Any, where: str) -> None:
    """The checker chose these points, and nobody else."""
    for how, what in (
        (lambda: 1 / 0, "backward raises ZeroDivisionError"),
        (lambda: np.nan, "dx is not finite, first at ["),
    ):
        report = se.gradcheck(cube_that(breaks, how), shapes="N C")
        assert report.ok, report
        notes = [note for note in report.limits if note.startswith(where + what)]
        assert len(notes) == 1
        assert notes[0].endswith(": not counted")
    own = np.array([[0.0, 0.0, 30.0], [1.0, 2.0, 3.0]])
    assert se.gradcheck(cube_that(breaks, lambda: np.nan), own).verdict == "wrong"


def rational_sigmoid(x: Any) -> Any:
    e = np.exp(x)
    return e / (1 + e), lambda dy: dy * e / (1 + e) ** 2


def softplus(x: Any) -> Any:
    return np.logaddexp(0, x), lambda dy: dy * np.exp(x) / (1 + np.exp(x))


def test_an_overflow_that_gives_nan_is_found() -> None:
    report = se.gradcheck(rational_sigmoid, shapes="N C")
    assert [(f.kind, f.subject) for f in report.findings] == [(Kind.NOT_FINITE, "y")]
    assert "y is nan at x = 800" in report.headline
    assert report.causes[0].code == "any.nan-y"
    report = se.gradcheck(softplus, shapes="N C")
    assert [(f.kind, f.subject) for f in report.findings] == [(Kind.NOT_FINITE, "dx")]
    assert "dx is nan at x = 800" in report.headline
    assert report.causes[0].code == "any.nan-gradient"


def gated_deviation(x: Any) -> Any:
    """Where all entries of a row are alike, its deviation is 0, and the gradient 0 / 0."""
    centred, s = x - x.mean(axis=1, keepdims=True), 1 / (1 + np.exp(-x))
    d = np.sqrt((centred**2).mean(axis=1, keepdims=True))

    def backward(dy: Any) -> Any:
        return dy * d * s * (1 - s) + (dy * s).sum(axis=1, keepdims=True) * centred / (
            d * x.shape[1]
        )

    return s * d, backward


FINITE = {
    "a deviation of 0": gated_deviation,
    "exp, infinite": lambda x: (np.exp(x), lambda dy: dy * np.exp(x)),
    "log, outside of its domain": lambda x: (np.log(x), lambda dy: dy / x),
    "sigmoid": se.sigmoid,
}


@pytest.mark.parametrize("op", FINITE.values(), ids=FINITE)
def test_what_is_infinite_or_outside_of_a_domain_is_no_overflow(op: Any) -> None:
    assert se.gradcheck(op, shapes="N C").ok


class Own(np.ndarray):
    """An array of somebody's own."""


ARRAYS: dict[str, Any] = {
    "matrix": np.matrix,
    "MaskedArray": np.ma.masked_array,
    "recarray": lambda a: np.array(a).view(np.recarray),
    "Own": lambda a: np.array(a).view(Own),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_arrays_that_compute_otherwise_are_refused(kind: str) -> None:
    """A product of matrices is another one, and a masked entry counts nowhere."""
    make = ARRAYS[kind]
    for arguments in ({"shapes": "N C"}, {"shapes": {"x": (2, 2)}}):
        report = se.gradcheck(lambda x: (x * x, lambda dy: make(2 * x * dy)), **arguments)
        assert [(f.kind, f.subject) for f in report.findings] == [(Kind.TYPE, "dx")]
        what = kind_of(make(np.ones((2, 2))))
        assert report.headline == f"dx is {what}; it wants a NumPy array."
        with pytest.raises(TypeError, match=f"y is {what}; it wants a NumPy array"):
            se.gradcheck(lambda x: (make(x * x), lambda dy: 2 * x * dy), **arguments)


def test_a_record_array_is_no_gradient() -> None:
    records = np.zeros((2, 3), [("a", float)])
    report = se.gradcheck(lambda x: (x * x, lambda dy: records.copy()), shapes={"x": (2, 3)})
    assert [(f.kind, f.subject) for f in report.findings] == [(Kind.DTYPE, "dx")]
    with pytest.raises(TypeError, match="no argument is a float64 array"):
        se.gradcheck(se.tanh, records)


def test_directions_in_place_of_entries_are_told() -> None:
    report = se.gradcheck(se.relu, np.random.default_rng(0).standard_normal((40, 50)))
    assert "the arguments are large: moved along random directions only" in report.limits


def test_float64_from_float32_is_told() -> None:
    wide = lambda x: (x * np.ones(x.shape), lambda dy: dy * np.ones(x.shape))  # noqa: E731
    report = se.gradcheck(wide, np.random.default_rng(0).standard_normal((3, 2)))
    assert report.ok
    assert "float32 arguments give a float64 y, dx" in report.limits


# Large arguments, and other ways of looking.


def test_every_entry_of_a_large_argument_is_seen() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((4, 60)), rng.standard_normal((50, 60))
    report = se.gradcheck(se.linear, x, w)
    assert report.ok
    error = 3 * max(report.resolution.values())
    place = (33, 44)

    def one_entry(dy: Any, dx: Any, dw: Any) -> Any:
        dw[place] += error
        return dx, dw

    report = se.gradcheck(spoiled(se.linear, one_entry), x, w)
    entry = report.findings[0].entry
    assert entry
    assert entry.index == place
    assert entry.given - entry.expected == pytest.approx(error, rel=0.5)
    assert "Cause unknown" in report.headline


def test_a_large_argument_is_diagnosed_at_smaller_sizes() -> None:
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(shape) for shape in ((4, 32, 9, 7), (8, 32), (32, 8))]
    report = se.gradcheck(forgetful, *args)
    assert "the squeeze path is missing" in report.headline


def test_the_tiny_net_with_all_its_parameters() -> None:
    net = tiny_net()
    rng = np.random.default_rng(0)
    params = net.init(rng, np.float64)
    x = rng.standard_normal((2, 1, 28, 28))
    names = ["x", *params]
    report = se.gradcheck(from_layer(net, params), x, *params.values(), names=names)
    assert report.ok, report
    assert set(report.resolution) == set(report.gradients) == {f"d{name}" for name in names}
    place = names.index("conv2.w")

    def tenth_too_large(dy: Any, *grads: Any) -> Any:
        return *grads[:place], 1.1 * grads[place], *grads[place + 1 :]

    wrong = spoiled(from_layer(net, params), tenth_too_large)
    report = se.gradcheck(wrong, x, *params.values(), names=names)
    assert [f.subject for f in report.findings] == ["dconv2.w"]
    assert [name for name, state in report.gradients.items() if state == "wrong"] == ["dconv2.w"]


def test_a_large_argument_of_one_size_is_diagnosed_from_some_entries() -> None:
    weights = np.random.default_rng(0).standard_normal((40, 60))
    for factor, words in ((1.1, "it is 1.1 times the right one"), (-1, "the sign is wrong")):
        op = lambda x, f=factor: (x * weights, lambda dy: f * dy * weights)  # noqa: E731
        report = se.gradcheck(op, weights)
        assert report.headline == f"dx is wrong. Consistent with: {words}."
        assert report.reproduce == ""


def test_a_complex_step_sees_the_last_digits() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    smooth = lambda x: (x**3, lambda dy: 3 * x**2 * dy)  # noqa: E731
    assert se.gradcheck(smooth, x).resolution["dx"] < 1e-7
    real_only = lambda x: (np.abs(x) * x**2, lambda dy: 3 * x * np.abs(x) * dy)  # noqa: E731
    assert se.gradcheck(real_only, x).ok


def affine_forward(x: Any, w: Any, b: Any) -> Any:
    return x @ w + b, (x, w)


def affine_backward(dout: Any, cache: Any) -> Any:
    x, w = cache
    return dout @ w.T, x.T @ dout, dout.sum(axis=0)


class Affine:
    """A layer as textbooks write it, with its state inside."""

    w: Any
    b: Any

    def forward(self, x: Any) -> Any:
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy: Any) -> Any:
        self.dw, self.db = self.x.T @ dy, dy.sum(axis=0)
        return dy @ self.w.T


def test_other_styles() -> None:
    shapes = "N I, I O, O"
    assert se.gradcheck(from_cache(affine_forward, affine_backward), shapes=shapes).ok
    assert se.gradcheck(from_class(Affine, w="dw", b="db"), shapes=shapes).ok
    assert se.gradcheck(from_class(Affine(), w="dw", b="db"), shapes=shapes).ok
    mean = from_cache(affine_forward, lambda d, c: (*affine_backward(d, c)[:2], d.mean(axis=0)))
    assert "db is wrong. Consistent with: it is N times too small" in str(
        se.gradcheck(mean, shapes=shapes)
    )
    with pytest.raises(TypeError, match="<lambda> gives an ndarray; it must give out, cache"):
        se.gradcheck(
            from_cache(lambda *args: affine_forward(*args)[0], affine_backward), shapes=shapes
        )


def test_labels_and_none_are_passed_on() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.standard_normal((3, 4)), np.array([0, 3, 1])
    assert se.gradcheck(se.softmax_cross_entropy, logits, labels).ok
    x, w = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal((2, 3, 2, 3))
    assert se.gradcheck(se.conv2d, x, w, None).ok


# What is refused.


def test_what_gives_no_backward_is_refused() -> None:
    with pytest.raises(TypeError, match="gives an ndarray; it must give y, backward"):
        se.gradcheck(np.tanh, np.ones(3))
    x, w = np.ones((2, 4, 3, 5)), np.ones((4, 4))
    with pytest.raises(TypeError, match="excite: gate gives an ndarray; it must give y, backward"):
        se.squeeze_excite(x, w, w, gate=np.tanh)
    with pytest.raises(TypeError, match="excite: gate is 'sigmoid'; it wants an operation"):
        se.squeeze_excite(x, w, w, gate="sigmoid")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="excitation: squeeze gives an ndarray"):
        se.squeeze_excite(x, w, w, squeeze=lambda x: x.mean(axis=(2, 3)))  # type: ignore[arg-type]


def test_bad_arguments_are_refused_by_name() -> None:
    with pytest.raises(TypeError, match="x is float32; it wants float64"):
        se.gradcheck(se.relu, np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"x has shape \(0, 3\), and no entry"):
        se.gradcheck(se.tanh, np.ones((0, 3)))
    with pytest.raises(TypeError, match="no argument is a float64 array"):
        se.gradcheck(se.tanh, np.arange(3))
    with pytest.raises(TypeError, match="shapes is a list; it wants a string such as"):
        se.gradcheck(se.tanh, shapes=[(2, 3)])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="either arguments or shapes"):
        se.gradcheck(se.tanh)
    with pytest.raises(ValueError, match="shapes: x has an axis 'H-1'"):
        se.gradcheck(se.tanh, shapes="N H-1")
    with pytest.raises(ValueError, match="y is not finite"):
        se.gradcheck(lambda x: (x / 0, lambda dy: dy / 0), np.ones(3))
    with pytest.raises(ValueError, match="gradcheck: seed is -1; it wants at least 0"):
        se.gradcheck(se.tanh, np.ones(3), seed=-1)
    with pytest.raises(ValueError, match="names has 2 entries; it wants 1"):
        se.gradcheck(se.tanh, np.ones(3), names=["a", "b"])


def test_scalar_gradients_of_scalar_arguments() -> None:
    x = np.random.default_rng(0).standard_normal((3, 2))
    scaled = lambda a: (a * x, lambda dy: (dy * x).sum())  # noqa: E731
    assert se.gradcheck(scaled, np.array(0.7)).ok

    temperature = lambda x, t: (x * t, lambda dy: (dy * t, np.asarray((dy * x).sum())))  # noqa: E731
    assert se.gradcheck(temperature, shapes={"x": ("N", "C"), "t": ()}).ok


def test_labels_need_not_follow_their_logits() -> None:
    def loss(mask: Any, logits: Any, labels: Any) -> Any:
        y, backward = se.softmax_cross_entropy(logits, labels)
        return y, lambda dy: 2 * backward(dy)

    logits = np.random.default_rng(0).standard_normal((2, 3))
    report = se.gradcheck(loss, None, logits, np.array([0, 2]))
    assert "dlogits is wrong. Consistent with: it is 2 times too large." in str(report)


def between(low: float, high: float, factor: float) -> Any:
    """A cube that refuses what is not in its domain."""

    def cube(x: Any) -> Any:
        if x.min() < low or x.max() > high:
            raise ValueError("x lies outside of the domain")
        return x**3, lambda dy: factor * 3 * x**2 * dy

    return cube


DOMAINS = {
    "from 0": (0, np.inf, [np.array([0.3, 0.7, 2.9])], None),
    "from 1": (1, np.inf, [np.array([1.3, 1.7, 2.9])], None),
    "from 0, drawn": (0, np.inf, [], "N C"),
    "-5 to 5, drawn": (-5, 5, [], "N C"),
}


@pytest.mark.parametrize(("low", "high", "args", "shapes"), DOMAINS.values(), ids=DOMAINS)
def test_an_operation_may_refuse_what_lies_outside_of_its_domain(
    low: float, high: float, args: Any, shapes: Any
) -> None:
    assert se.gradcheck(between(low, high, 1), *args, shapes=shapes).ok
    report = se.gradcheck(between(low, high, 2), *args, shapes=shapes)
    assert "dx is wrong. Consistent with: it is 2 times too large." in str(report)


def test_inputs_are_not_changed() -> None:
    x = np.arange(4.0)
    se.assert_gradients(se.tanh, x)
    np.testing.assert_array_equal(x, np.arange(4.0))


def test_an_output_that_depends_on_nothing_proves_nothing() -> None:
    nothing = lambda x: (np.zeros_like(x), lambda dy: 0 * dy)  # noqa: E731
    report = se.gradcheck(nothing, shapes="N C")
    assert report.verdict == "inconclusive"
    assert not report.influence
    assert report.causes == report.findings == ()
    with pytest.raises(AssertionError, match=r"inconclusive: .*choose other inputs"):
        se.assert_gradients(nothing, np.ones(3))


def test_a_loss_may_be_a_float() -> None:
    def half_square(x: Any) -> Any:
        return float((x * x).sum() / 2), lambda dy: dy * x

    assert se.gradcheck(half_square, shapes="N C").ok


def test_shapes_by_name_follow_the_parameters() -> None:
    assert se.gradcheck(se.linear, shapes={"w": ("O", "I"), "x": ("N", "I")}).ok
    assert se.gradcheck(se.linear, shapes={"w": "O 3", "x": "N 3"}).ok
    with pytest.raises(TypeError, match="shapes is a dict, which has names; it wants no others"):
        se.gradcheck(se.tanh, shapes={"x": "N C"}, names=["x"])
    with pytest.raises(ValueError, match="there is no argument 'weight'; it wants x, w, b"):
        se.gradcheck(se.linear, shapes={"x": ("N", "I"), "weight": ("O", "I")})


def test_a_batch_of_another_size_may_not_crash() -> None:
    def squeezes(x: Any) -> Any:
        return x.mean(axis=1), lambda dy: (dy[:, None] + 0 * x / len(dy.squeeze())) / x.shape[1]

    assert se.gradcheck(squeezes, shapes={"x": (2, 3)}).ok  # two samples, as the caller says
    report = se.gradcheck(squeezes, shapes="N D")
    assert report.verdict == "wrong"
    assert report.headline.startswith("backward raises TypeError")


def test_an_output_that_loses_its_short_axes_is_diagnosed() -> None:
    def squeezed(x: Any) -> Any:
        z = x.mean(axis=(2, 3), keepdims=True).squeeze()
        return z, lambda dz: dz[..., None, None] / x[0, 0].size + 0 * x

    x = np.random.default_rng(0).standard_normal((2, 1, 1, 2))
    assert "dx has shape (2, 2, 1, 2); it wants (2, 1, 1, 2)" in str(se.gradcheck(squeezed, x))


def test_axes_of_length_1_are_drawn() -> None:
    def squeezed(x: Any) -> Any:
        z = x.mean(axis=(2, 3), keepdims=True).squeeze()
        return z, lambda dz: dz[..., None, None] / x[0, 0].size * np.ones_like(x)

    report = se.gradcheck(squeezed, shapes="N C H W")
    assert "smallest failing input found: x (2, 1, 1, 1)" in str(report)


def test_a_gradient_that_is_not_finite_gets_no_other_cause() -> None:
    def length(x: Any) -> Any:
        y = np.sqrt((x * x).sum(axis=1))
        return y, lambda dy: (dy / y)[:, None] * x

    assert se.gradcheck(length, shapes="N C").ok
    report = se.gradcheck(length, np.zeros((2, 1)))
    assert report.headline == "dx is not finite, first at [0, 0]."
    assert str(report).count("not finite") == 1
