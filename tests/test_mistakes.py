"""The registry of mistakes: every entry is a mistake, is said in words, and is carried through."""

import contextlib
import re
import time
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import some

import numpy_se as se
from numpy_se.checker.findings import MistakeError
from numpy_se.checker.mistakes import (
    Layout,
    block,
    composed,
    functions,
    mistake,
    recognise,
)
from numpy_se.checker.mistakes.registry import (
    BACKWARD,
    FORWARD,
    KNOWN,
    MISFITS,
    Known,
    parameters,
    plain,
)

SIZES = {"N": 5, "C": 7, "H": 4, "W": 6, "R": 3, "I": 7, "O": 3, "F": 3, "KH": 3, "KW": 2, "K": 7}
SIZES |= {"T": 5, "S": 6, "D": 4, "E": 3, "A": 2, "B": 3, "J": 11, "G": 16, "U": 1}
SIZES |= {"1": 1, "2": 2, "3": 3, "P": 24, "Q": 3, "Y": 14}
SQUARE = {**dict.fromkeys(SIZES, 5), "KH": 3, "KW": 3, "J": 10, "G": 20, "U": 1}
SQUARE |= {"1": 1, "2": 2, "3": 3, "P": 25, "Q": 3, "Y": 10}
NO_MISTAKE = 1e-9
LATER = r"\.factor$|^[^:]*-for-\w+$"
ALREADY = r".*\.((mean|sum)-path|sum\.dm)\.averaged"  # it is averaged, or spread, already
ALREADY += r"|cbam.*(w-reshaped|\.d[qt]\.(averaged|summed))"  # a map has one channel
ALREADY += r"|.*maximum\.v-for-x|residual-se-relu\.outer-relu.*"  # the gates are positive
# Operations that are found under another name.
ALIASES = {"matmul": "linear", "mlp-activation-dense-relu-dense-sigmoid": "excite"}
ROWS = r"(is missing|in place of x) in d[pax]$"
AVERAGED = rf"(averaged|summed) over|{ROWS}|path is missing"  # 0 behind a softmax
# Some blocks, in which each squeeze, activation and gate occurs.
BLOCKS = [
    (se.global_avg_pool, se.relu, se.sigmoid),
    (se.global_max_pool, se.silu, se.hard_sigmoid),
    (se.global_max_pool, se.relu, se.tanh),
    (se.global_avg_pool, se.silu, se.relu),
]
# A factor s or s (1 - s) may be counted to either stage, and the largest entry of x is z.
EXPLAINED = r" \(\w+ is what the .* gives\)$"  # names of values inside
EQUAL = [
    {"in the scale: y in place of x", "the squeeze path has a factor s too much"},
    *(
        {
            "in the gate: the derivative of the sigmoid is applied twice",
            f"in the scale: a factor {s} (1 - {s}) too much: the derivative of the sigmoid",
        }
        for s in ("s", "t", "sc")
    ),
    {"in the gate: s in place of the mask", "in the scale: y in place of x"},
    {"the squeeze path has a factor x too much", "in the squeeze: z in place of the mask"},
    {"in the reset: rh in place of r in dh", "the reset path has a factor h too much"},
    {"in the scale: y in place of x in ds", "the gate path has a factor s too much"},
    *(  # nothing lies above 6 here
        {
            f"{where}the mask begins at {x} > 0, as that of ReLU or ReLU6",
            f"{where}the mask is 0 < {x} < 6: it is not shifted",
        }
        for where, x in (("", "x"), ("in the gate: ", "u"))
    ),
    *(  # a product of two gates
        {f"the {gate} scale path has a factor {name} too much" for gate in ("channel", "pixel")}
        for name in "stuvxpqza"
    ),
    {"the maximum path has a factor x too much", "in the maximum: zm in place of the mask"},
    {
        "the addition path has a factor f too much",
        "in the activation: the rule of the sigmoid, f (1 - f)",
    },
]


def chains() -> list[Known]:
    blocks = [make(*ops) for ops in BLOCKS for make in (block.squeeze_excite, block.excitation)]
    excites = (block.excite(*ops[1:]) for ops in BLOCKS)
    return [Known(c) for c in (*blocks, *excites, *composed.CHAINS)]


def primitives() -> list[Known]:
    """Each once, with options that matter."""
    wanted = {"stride": 2, "padding": 1, "size": 3}
    wanted |= {"groups": 1}
    found: dict[Any, Known] = {}
    for eps, known in product((0.1, 0.0), KNOWN):
        function, options = plain(known.op)
        fits = options.items() <= {**options, **wanted, "eps": eps}.items()
        if function in BACKWARD and fits and options.get("a", 0.3) in TELLING:
            found.setdefault((function, *map(options.get, ("ddof", "smoothing"))), known)
    return list(found.values())


# Options at which a mistake shows, axes of arguments that have any, and where they are to lie.
TELLING = (0.3, (-1, 1), (0.2, 0.5), 3.0, functions.SELU[0], functions.GELU[0], 0.0, None)
ARRAYS = {
    **{"prelu": "N C, C", "learned_swish": "N C, C", "layer_norm": "N C, C, C"},
    **{"rms_norm": "N C, C, C", "standardise": "N C", "l2_normalise": "N C"},
    **{"group_norm": "N C H W, C, C", "cross_entropy": "N K, N K", "nll": "N K, N K"},
    **{"one_map": "N C H W, C, 1", "glu-halves": "N G"},
    **{"dense-cross-entropy": "N I, I O, O, N O", "dense": "N T I, I O, O"},
    **{"cbam-spatial": "N C H W, 1 2 Q Q, 1", "cbam": "N C H W, C R, R C, 1 2 Q Q, R, C, 1"},
    **dict.fromkeys(("gather", "gather-excite-convolution"), "N C H W, C 3 3"),
    **{"cosine_similarity": "N C, N C", "attention-pool": "N T D, D U", "gate": "N I, I I, I"},
}
POSITIVE = {"log", "log1p", "sqrt", "kl", "kl_log", "poisson", "nll"}
NOT_ZERO = {"reciprocal", "divide"}
BETWEEN = {"bce"}


def axes_of(op: Any) -> list[list[str]]:
    """The axes of the arguments of an operation or of a chain."""
    function, _ = plain(op)
    signature = getattr(function, "signature", "N C H W, R C, C R, R, C -> ")
    if getattr(function, "code", "") == "excite":
        signature = signature.replace(" H W", "")
    name = getattr(function, "code", function.__name__)
    signature = ARRAYS.get(name) or getattr(function, "axes", "") or signature
    terms = [term.split() for term in signature.split("->")[0].split(",")]
    whole = [["N", "C"] if term == ["..."] else [t for t in term if t != "..."] for term in terms]
    return [["N", *t] if len(t) == 1 and k == 0 else t for k, t in enumerate(whole)]


def draw(op: Any, sizes: dict[str, int], seed: int, lattice: bool = False) -> tuple[Any, ...]:
    """Random arguments; on a lattice there are ties. A variance is positive."""
    rng = np.random.default_rng(seed)
    args: list[Any] = []
    function = plain(op)[0]
    for name, axes in zip(parameters(op), axes_of(op), strict=False):
        if axes[0] == "int":
            args.append(rng.integers(0, sizes["K"], sizes["N"]))
        else:
            a = rng.standard_normal([sizes[axis] for axis in axes]) * (0.5 if args else 3)
            a = np.round(2 * a) / 2 if lattice else a
            if axes[2:] == ["H", "W"]:  # a maximum may be negative, too
                a += 3 * rng.standard_normal((*a.shape[:2], 1, 1))
            positive = name == "variance" or function.__name__ in POSITIVE
            a = np.abs(a) + (-0.9 if function.__name__ == "log1p" else 0.1) if positive else a
            a = np.where(a == 0, 0.5, a) if function.__name__ in NOT_ZERO else a
            args.append(0.1 + 0.8 / (1 + np.exp(-a)) if function.__name__ in BETWEEN else a)
    return tuple(args)


class Look:
    """An operation at some arguments: its right gradients, and the suspects."""

    def __init__(self, known: Known, sizes: dict[str, int], seed: int, lattice: bool = False):
        self.known, self.args = known, draw(known.op, sizes, seed, lattice)
        letters = {axis for axes in axes_of(known.op) for axis in axes} - {"int"}
        self.sizes = {letter: size for letter, size in sizes.items() if letter in letters}
        self.y, backward = known.op(*self.args)
        self.dy = np.random.default_rng(seed + 100).standard_normal(np.shape(self.y))
        grads = backward(self.dy)
        self.right = dict(enumerate(grads if isinstance(grads, tuple) else (grads,)))

    def suspects(self) -> Iterator[tuple[str, str, Any]]:
        """Single mistakes, and what they lead to."""
        for suspect in self.known.suspects(self.args, parameters(self.known.op), self.sizes):
            if "+" in suspect.code:  # pairs come last
                return
            yield suspect.code, suspect.text, suspect.predict(self.dy)

    def outputs(self) -> Iterator[tuple[str, str, Any]]:
        for code, text, predict in self.known.outputs(self.args, parameters(self.known.op)):
            yield code, text, predict()

    def error(self, wrong: dict[int, Any]) -> float:
        return max(np.abs(a - self.right[k]).max() for k, a in wrong.items())


def title(known: Known) -> str:
    function, _ = plain(known.op)
    stages = getattr(function, "stages", ())
    return "-".join([function.__name__, *(plain(s.op)[0].__name__ for s in stages)])


CASES = [*primitives(), *chains()]
FAMILIES = list(dict.fromkeys(plain(known.op)[0].__name__ for known in CASES))


def family(name: str) -> list[Known]:
    return [known for known in CASES if plain(known.op)[0].__name__ == name]


@pytest.mark.parametrize("name", some(FAMILIES, 3))
def test_every_mistake_differs_somewhere_and_is_said_in_words(name: str) -> None:
    """What never differs from the right gradient is no mistake."""
    largest: dict[tuple[str, str], float] = {}
    for known in family(name):
        for look in (Look(known, SIZES, 0), Look(known, SQUARE, 0), Look(known, SIZES, 0, True)):
            for code, text, wrong in look.suspects():
                assert re.fullmatch(r"[a-z0-9.:-]+", code), code
                assert re.fullmatch("[^{}]+", text), text
                if wrong is None and hasattr(plain(known.op)[0], "stages"):
                    continue  # it does not fit here
                key = code, "" if code.endswith(".factor") else text
                largest.setdefault(key, 0)
                if wrong is not None:
                    assert all(a.shape == look.args[k].shape for k, a in wrong.items()), code
                    largest[key] = max(largest[key], look.error(wrong))
    assert largest
    same = [key for key, size in largest.items() if size < NO_MISTAKE]
    assert not [key for key in same if not re.fullmatch(ALREADY, key[0])]


@pytest.mark.parametrize("sizes", [SIZES, SQUARE], ids=["sizes differ", "square"])
@pytest.mark.parametrize("known", some(CASES, 7), ids=title)
def test_no_two_texts_for_one_prediction(known: Known, sizes: dict[str, int]) -> None:
    """Two sizes may be equal, and what is put in place of a value may have its sign."""
    found: list[dict[str, float]] = []
    for seed in (1, 2):
        look = Look(known, sizes, seed)
        directions = {k: np.random.default_rng(k).random(a.shape) for k, a in look.right.items()}
        found.append({})
        for code, text, wrong in look.suspects():
            if wrong and not re.search(LATER, code) and NO_MISTAKE < look.error(wrong) < np.inf:
                grads = {**look.right, **wrong}
                text = re.sub("in the (channel|pixel) ", "in the ", re.sub(EXPLAINED, "", text))
                found[-1][text] = sum(float((directions[k] * a).sum()) for k, a in grads.items())
    texts = sorted(set(found[0]) & set(found[1]))
    keys = np.array([[some[text] for text in texts] for some in found])  # (2, texts)
    for k, text in enumerate(texts):
        close = np.isclose(keys[:, k, None], keys, rtol=1e-10, atol=0).all(axis=0)
        same = {texts[i] for i in np.flatnonzero(close)}
        averaged = all(re.search(AVERAGED, text) for text in same)
        assert same == {text} or averaged or any(same <= equal for equal in EQUAL), same


OWN = [n for n in FAMILIES if n in ("se", "excitation", "excite")]
OWN += [op.__name__ for op in FORWARD if op.__name__ in FAMILIES]


@pytest.mark.parametrize("name", OWN)
def test_wrong_forward_passes_differ(name: str) -> None:
    largest: dict[str, float] = {}
    for known in family(name):
        for look in (Look(known, SIZES, 2), Look(known, SQUARE, 2)):
            for code, text, wrong in look.outputs():
                assert re.fullmatch(r"[a-z0-9.:-]+", code), code
                assert re.fullmatch("[^{}]+", text), text
                if wrong is None and ":" in code:  # a stage, which is looked at by itself
                    continue
                largest.setdefault(text, 0)
                if wrong is not None:
                    same = wrong.shape == np.shape(look.y)
                    error = np.nan_to_num(np.abs(wrong - look.y), nan=1).max() if same else 1
                    largest[text] = max(largest[text], error)
    assert largest
    assert not [text for text, size in largest.items() if size < NO_MISTAKE]


def slope_error(op: Any, args: tuple[Any, ...]) -> float:
    """Compare the gradients with the slope along one direction."""
    rng = np.random.default_rng(12)
    y, backward = op(*args)
    dy, v = rng.standard_normal(np.shape(y)), [rng.standard_normal(np.shape(a)) for a in args]
    grads = backward(dy)
    grads = grads if isinstance(grads, tuple) else (grads,)
    ahead, behind = (op(*(a + h * d for a, d in zip(args, v, strict=True)))[0] for h in STEPS)
    slope = float((dy * (ahead - behind)).sum()) / (STEPS[0] - STEPS[1])
    found = sum(float((g * d).sum()) for g, d in zip(grads, v, strict=True))
    return abs(slope - found) / (abs(slope) + 1)


STEPS = (1e-6, -1e-6)
STRANGE = [name for name in FAMILIES if name not in OWN]


@pytest.mark.parametrize("name", STRANGE)
def test_the_right_gradients_are_the_slopes(name: str) -> None:
    """In all the options with which an operation is looked for."""
    checked = 0
    for known in KNOWN:
        if plain(known.op)[0].__name__ != name or known.layout.axes or known.layout != Layout():
            continue
        for sizes in (SIZES, {**SIZES, "C": 6}):
            args = draw(known.op, sizes, 11)
            with contextlib.suppress(*MISFITS):
                if name == "power":
                    args = (np.abs(args[0]) + 0.1,)
                if 2 in np.ravel(plain(known.op)[1].get("axes", ())):
                    args = (np.random.default_rng(13).standard_normal((3, 4, 5, 2)),)
                assert slope_error(known.op, args) < 1e-6, known
                checked += 1
    assert checked or plain(family(name)[0].op)[0] in composed.CHAINS


@pytest.mark.parametrize("chain", composed.CHAINS, ids=lambda chain: chain.code)
def test_the_right_gradients_of_chains_are_the_slopes(chain: Any) -> None:
    assert slope_error(chain, draw(chain, SIZES, 14)) < 1e-6


def test_an_id_belongs_to_one_operation() -> None:
    families: dict[str, Any] = {}
    for registry in (BACKWARD, FORWARD):
        for op, entries in registry.items():
            for entry in entries:
                assert families.setdefault(entry.code, op) is op
                assert entry.code.startswith(op.__name__.replace("_", "-"))
                assert (".forward." in entry.code) == (registry is FORWARD)


def test_the_chain_is_the_block() -> None:
    """For every part, squeeze and gate, with ReLU inside."""
    rng = np.random.default_rng(3)
    for squeeze, gate in product(block.SQUEEZES, block.GATES):
        options = {"squeeze": squeeze, "gate": gate}
        for chain, op, keys in [
            (block.squeeze_excite(squeeze, se.relu, gate), se.squeeze_excite, options),
            (block.excitation(squeeze, se.relu, gate), se.excitation, options),
            (block.excite(se.relu, gate), se.excite, {"gate": gate}),
        ]:
            for count in (3, 5):
                args = draw(chain, SIZES, 3)[:count]
                (y, backward), (y2, backward2) = chain(*args), op(*args, **keys)
                dy = rng.standard_normal(y.shape)
                np.testing.assert_allclose(y, y2, rtol=1e-12)
                for a, b in zip(backward(dy), backward2(dy), strict=True):
                    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15)


AXES = {"NCHW": (3, 5, 4, 7), "NHWC": (3, 4, 7, 5), "NCL": (3, 5, 7), "NLC": (3, 7, 5)}
AXES |= {"NCDHW": (3, 5, 2, 4, 7), "NDHWC": (3, 2, 4, 7, 5)}


def arranged(layout: Layout, seed: int) -> tuple[Any, ...]:
    """Arguments of a block in a layout."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal(size) for size in ((2, 5), (5, 2), (2,), (5,))]
    ours = [rng.standard_normal(AXES[layout.axes]), *weights]
    theirs: list[Any] = [None] * 5
    for k, place in enumerate(layout.places(5)):
        theirs[place] = ours[k].T.copy() if k in layout.transposed else ours[k]
    return tuple(theirs)


@given(
    axes=st.sampled_from([*AXES]),
    order=st.permutations(range(5)),
    left=st.sets(st.sampled_from([3, 4])),
    turned=st.sets(st.sampled_from([1, 2])),
    thick=st.sets(st.sampled_from([1, 2, 3, 4])),
    whole=st.booleans(),
)
def test_a_block_is_recognised_whatever_the_order_and_the_shapes_of_its_arguments(
    axes: str, order: list[int], left: set[int], turned: set[int], thick: set[int], whole: bool
) -> None:
    """Biases may be left out, weights be turned, and axes of length 1 be added."""
    make = block.squeeze_excite if whole else block.excitation
    chain = make(se.global_max_pool, se.silu, se.hard_sigmoid)
    there = [k for k in order if k not in left]
    pairs = []
    for extra in (0, 1):  # other sizes, too
        rng = np.random.default_rng(extra)
        r, c = 2 + extra, 5 + extra
        shape = [c if size == 5 else size for size in AXES[axes]]
        ours = [rng.standard_normal(size) for size in (shape, (r, c), (c, r), r, c)]
        theirs = []
        for k in there:
            a = ours[k].T if k in turned else ours[k]
            theirs.append(a[..., None, None] if k in thick else a)
        args = (
            Layout(axes).map_in(ours[0]),
            *(ours[k] if k in there else None for k in range(1, 5)),
        )
        y = chain(*args)[0]
        pairs.append((tuple(theirs), Layout(axes).map_out(y, np.shape(ours[0])) if whole else y))
    found = recognise(pairs)[0]
    assert [s.op for s in plain(found.op)[0].stages] == [s.op for s in chain.stages]
    for args, _ in pairs:
        taken = [a for a in found.layout.ours(args) if a is not None]
        back = found.layout.theirs(dict(enumerate(taken)), args)
        for k, a in enumerate(args):
            np.testing.assert_array_equal(back[k], a)


@pytest.mark.parametrize("known", some(CASES, 3), ids=title)
def test_every_operation_is_recognised(known: Known) -> None:
    args = draw(known.op, SIZES, 5)
    found = recognise([(args, known.output(args))])[0]
    if title(known) in ALIASES:
        assert title(found).startswith(ALIASES[title(known)])
    elif hasattr(plain(known.op)[0], "stages"):
        assert title(found) == title(known)
    else:
        assert plain(found.op) == plain(known.op)


def test_what_is_not_known_is_not_recognised_and_takes_no_time() -> None:
    x = np.random.default_rng(6).standard_normal((3, 5))
    assert recognise([((x,), np.logaddexp(0, np.cos(x)))]) == []
    args = arranged(Layout("NCHW"), 6)
    start = time.perf_counter()
    assert recognise([(args, args[0] + 1)]) == []
    assert time.perf_counter() - start < 0.5  # about 0.05, on an idle machine


def test_the_squeeze_path_is_missed_in_channels_last() -> None:
    layout = Layout("NHWC")
    args = arranged(layout, 7)
    x, w1, w2, b1, b2 = args
    y, _ = se.squeeze_excite(np.moveaxis(x, 3, 1), w1, w2, b1, b2)
    s, _ = se.excitation(np.moveaxis(x, 3, 1), w1, w2, b1, b2)
    found = recognise([(args, np.moveaxis(y, 1, 3))])[0]
    dy = np.random.default_rng(8).standard_normal(x.shape)
    wrong_dx = dy * s[:, None, None, :]
    suspects = found.suspects(args, ("x", "w1", "w2", "b1", "b2"), SIZES)
    missing = next(s for s in suspects if s.code == "se.squeeze-path")
    assert missing.text == "the squeeze path is missing: x feeds both the squeeze and the scale"
    np.testing.assert_allclose(missing.predict(dy)[0], wrong_dx, rtol=1e-12)
    right_dx = found.op(*layout.ours(args))[1](layout.map_in(dy))[0]
    assert np.abs(layout.map_out(right_dx, x.shape) - wrong_dx).max() > 1e-3


def my_sigmoid(x: Any) -> Any:
    s = 1 / (1 + np.exp(-x))
    return s, lambda dy: dy * s * (1 - s)


def test_mistakes_of_ones_own_are_found_in_an_operation_that_is_known_already(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(BACKWARD, my_sigmoid, [])
    mistake("my.six", of=my_sigmoid, says="d{x} is six times dy")(lambda args, dy: {0: 6 * dy})
    wrong = lambda x: (my_sigmoid(x)[0], lambda dy: 6 * dy)  # noqa: E731
    report = se.gradcheck(wrong, shapes="N C")
    assert [cause.code for cause in report.causes] == ["my.six"]
    mistake("my.far", of=my_sigmoid, says="far")(lambda args, dy: {3: dy})
    other = lambda x: (my_sigmoid(x)[0], lambda dy: 7 * dy * x)  # noqa: E731
    with pytest.raises(MistakeError, match=r"the mistake my\.far gives a gradient of argument 3"):
        str(se.gradcheck(other, shapes="N C"))
