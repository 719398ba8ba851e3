"""Operations that are made of stages: dense networks, attention, and cells."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

from numpy_se.checker.mistakes.chain import Chain
from numpy_se.checker.mistakes.pieces import (
    causal,
    complement,
    concat,
    dense,
    divide,
    matmul,
    mean,
    minus,
    multiply,
    part,
    plus,
    scores,
    total,
)
from numpy_se.checker.mistakes.registry import Layout, Op, known
from numpy_se.checker.mistakes.softmax import cross_entropy, softmax
from numpy_se.ops import (
    hard_sigmoid,
    relu,
    sigmoid,
    silu,
    tanh,
)

ACTIVATIONS = (tanh, relu, sigmoid, silu)
CHAINS: list[Chain] = []  # one of each kind, for the tests


def look_for(
    code: str, takes: str, axes: str, layouts: Sequence[Layout] = (), **stages: tuple[Op, str]
) -> Chain:
    """Enter a chain whose arguments have these axes."""
    chain = Chain(code, takes, **stages)
    chain.axes = axes
    known(chain, *layouts)
    if all(other.code != code for other in CHAINS):
        CHAINS.append(chain)
    return chain


def turned(*weights: int, orders: Sequence[tuple[int, ...]] = ((),)) -> list[Layout]:
    """Weights as x @ w, and as x @ w.T, in some orders of the arguments."""
    return [Layout("", o, t) for o, t in product(orders, ((), weights))]


# Dense layers: w is (I, O).
for op in ACTIVATIONS:
    look_for("dense-activation", "x w b=None", "... I, I O, ... O", turned(1),
             linear_layer=(dense, "x w b -> a"), activation=(op, "a -> y"))  # fmt: skip
    layers: dict[str, Any] = {
        "first_linear_layer": (dense, "x w1 b1 -> h"),
        "activation": (op, "h -> a"),
        "second_linear_layer": (dense, "a w2 b2 -> y"),
    }
    look_for("mlp", "x w1 b1 w2 b2", "... I, I R, ... R, R O, ... O",
             turned(1, 3, orders=((), (0, 1, 3, 2, 4))), **layers)  # fmt: skip
    bare: dict[str, Any] = {name: (op, flow.replace(" b1", "").replace(" b2", ""))
            for name, (op, flow) in layers.items()}  # fmt: skip
    look_for("mlp", "x w1 w2", "... I, I R, R O", turned(1, 2), **bare)
    for last in (sigmoid, tanh, relu, softmax):
        layers["second_linear_layer"] = (dense, "a w2 b2 -> o")
        look_for("mlp-activation", "x w1 b1 w2 b2", "... I, I R, ... R, R O, ... O",
                 turned(1, 3, orders=((), (0, 1, 3, 2, 4))), **layers,
                 last_activation=(last, "o -> y"))  # fmt: skip
look_for("dense-softmax", "x w b=None", "... I, I O, ... O", turned(1),
         linear_layer=(dense, "x w b -> a"), softmax=(softmax, "a -> y"))  # fmt: skip
for mean_ in ("mean", "sum"):
    loss = partial(cross_entropy, mean=mean_)
    look_for("dense-cross-entropy", "x w b target", "N I, I O, ... O, ...",
             turned(1, orders=((), (0, 3, 1, 2), (0, 1, 3, 2))),
             linear_layer=(dense, "x w b -> logits"),
             loss=(loss, "logits target -> y"))  # fmt: skip
    look_for("dense-cross-entropy", "x w target", "N I, I O, ...",
             turned(1, orders=((), (0, 2, 1))),
             linear_layer=(dense, "x w -> logits"), loss=(loss, "logits target -> y"))  # fmt: skip

# Attention.
for masked, root in product((False, True), (0.5, 0.0)):
    heads: dict[str, Any] = {"scores": (partial(scores, root=root), "q k -> e")}
    if masked:
        heads["mask"] = (causal, "e -> m")
    heads |= {"softmax": (softmax, "m -> p" if masked else "e -> p"), "mix": (matmul, "p v -> y")}
    look_for("attention", "q k v", "... T D, ... S D, ... S E", [Layout()], **heads)
    projected: dict[str, Any] = {
        name: (dense, f"x w{name[0]} -> {name[0]}") for name in ("query", "key", "value")
    }
    look_for("self-attention", "x wq wk wv", "... T I, I D, I D, I E", turned(1, 2, 3),
             **projected, **heads)  # fmt: skip
    heads["mix"] = (matmul, "p v -> o")
    look_for("self-attention-output", "x wq wk wv wo", "... T I, I D, I D, I E, E O",
             turned(1, 2, 3, 4), **projected, **heads, output=(dense, "o wo -> y"))  # fmt: skip
look_for("attention-pool", "x w", "... T D, D O", turned(1),
         scores=(dense, "x w -> e"), softmax=(partial(softmax, axis=-2), "e -> p"),
         weigh=(multiply, "x p -> m"), sum=(partial(total, axis=-2, keepdims=False), "m -> y"),
         )  # fmt: skip

# Residual blocks, and gates of rows.
for op in ACTIVATIONS:
    look_for("residual", "x w b=None", "... I, I I, ... I", turned(1),
             linear_layer=(dense, "x w b -> a"), activation=(op, "a -> f"),
             addition=(plus, "x f -> y"))  # fmt: skip
    look_for("residual-first", "x w b=None", "... I, I I, ... I", turned(1),
             linear_layer=(dense, "x w b -> f"), addition=(plus, "x f -> a"),
             activation=(op, "a -> y"))  # fmt: skip
    look_for("residual-mlp", "x w1 b1 w2 b2", "... I, I R, ... R, R I, ... I",
             turned(1, 3, orders=((), (0, 1, 3, 2, 4))),
             first_linear_layer=(dense, "x w1 b1 -> h"), activation=(op, "h -> a"),
             second_linear_layer=(dense, "a w2 b2 -> f"), addition=(plus, "x f -> y"))  # fmt: skip
    look_for("residual-mlp", "x w1 w2", "... I, I R, R I", turned(1, 2),
             first_linear_layer=(dense, "x w1 -> h"), activation=(op, "h -> a"),
             second_linear_layer=(dense, "a w2 -> f"), addition=(plus, "x f -> y"))  # fmt: skip
    if op is not relu:  # whose square is known
        look_for("own-gate", "x", "...", [Layout()], gate=(op, "x -> s"),
                 scale=(multiply, "x s -> y"))  # fmt: skip
    look_for("residual-activation", "x", "...", [Layout()], activation=(op, "x -> f"),
             addition=(plus, "x f -> y"))  # fmt: skip
for op in (sigmoid, hard_sigmoid, tanh, softmax):
    look_for("gate", "x w b=None", "... I, I O, ... O", turned(1),
             linear_layer=(dense, "x w b -> a"), gate=(op, "a -> s"),
             scale=(multiply, "x s -> y"))  # fmt: skip
for op in (sigmoid, silu, relu, tanh):
    look_for("glu", "x w v", "... I, I O, I O", [*turned(1, 2), *turned(1, 2, orders=((0, 2, 1),))],
             linear_path=(dense, "x w -> a"), gate_path=(dense, "x v -> u"), gate=(op, "u -> s"),
             scale=(multiply, "a s -> y"))  # fmt: skip
    look_for("glu", "x w b v c", "... I, I O, ... O, I O, ... O",
             turned(1, 3, orders=((), (0, 1, 3, 2, 4))),
             linear_path=(dense, "x w b -> a"), gate_path=(dense, "x v c -> u"),
             gate=(op, "u -> s"), scale=(multiply, "a s -> y"))  # fmt: skip
    halves = [(partial(part, number=k, of=2), f"x -> {name}") for k, name in ((0, "a"), (1, "u"))]
    for first, second in (("a", "u"), ("u", "a")):
        look_for("glu-halves", "x", "...", [Layout()],
                 linear_half=(halves[0][0], f"x -> {first}"),
                 gate_half=(halves[1][0], f"x -> {second}"), gate=(op, "u -> s"),
                 scale=(multiply, "a s -> y"))  # fmt: skip
for axis in (-1, 0, 1, (2, 3), (1, 2), None):
    for code, join, verb in (
        ("mean-scale", multiply, "scale"),
        ("centre", minus, "subtraction"),
        ("mean-divide", divide, "division"),
        ("mean-add", plus, "addition"),
    ):
        look_for(code, "x", "...", [Layout()], mean=(partial(mean, axis=axis), "x -> m"),
                 **{verb: (join, "x m -> y")})  # fmt: skip
    look_for("share", "x", "...", [Layout()], sum=(partial(total, axis=axis), "x -> m"),
             division=(divide, "x m -> y"))  # fmt: skip

# Cells: u is for the hidden state.
for op in (tanh, relu, sigmoid):
    orders = ((), (1, 0, 2, 3, 4), (0, 1, 3, 2, 4), (1, 0, 3, 2, 4))
    look_for("rnn-cell", "x h w u b=None", "N I, N H, I H, H H, ... H", turned(2, 3, orders=orders),
             input=(dense, "x w b -> i"), state=(dense, "h u -> j"),
             sum=(plus, "i j -> a"), activation=(op, "a -> y"))  # fmt: skip
    look_for("rnn-cell", "x h w u b c", "N I, N H, I H, H H, ... H, ... H",
             turned(2, 3, orders=((), (0, 1, 2, 4, 3, 5), (1, 0, 2, 3, 4, 5))),
             input=(dense, "x w b -> i"), state=(dense, "h u c -> j"),
             sum=(plus, "i j -> a"), activation=(op, "a -> y"))  # fmt: skip
    for joined in ("x h", "h x"):
        look_for("rnn-cell-joined", "x h w b=None", "N I, N H, J H, ... H",
                 turned(2, orders=((), (1, 0, 2, 3))), join=(concat, f"{joined} -> z"),
                 linear_layer=(dense, "z w b -> a"), activation=(op, "a -> y"))  # fmt: skip


def gates(names: str, activations: Sequence[Op]) -> dict[str, Any]:
    """Cut z into gates, each with its activation. The words for them are in LONG."""
    stages: dict[str, Any] = {}
    for k, (name, op) in enumerate(zip(names, activations, strict=True)):
        stages[f"{LONG[name]}_part"] = (partial(part, number=k, of=len(names)), f"z -> z{name}")
        stages[f"{LONG[name]}_gate"] = (op, f"z{name} -> {name}")
    return stages


LONG = {"i": "input", "f": "forget", "g": "candidate", "o": "output", "r": "reset", "u": "update"}
CELL: dict[str, Any] = {
    "forgetting": (multiply, "f c -> kept"),
    "writing": (multiply, "i g -> new"),
    "new_cell": (plus, "kept new -> cell"),
    "cell_tanh": (tanh, "cell -> t"),
    "output": (multiply, "o t -> y"),
}
CELL_STATE = {k: CELL[k] for k in ("forgetting", "writing")} | {"new_cell": (plus, "kept new -> y")}
for letters in ("ifgo", "ifog", "figo", "fiog", "fgio", "iofg"):
    ops = [tanh if name == "g" else sigmoid for name in letters]
    cell = {**gates(letters, ops), **CELL}
    look_for("lstm-cell", "x h c w v b=None", "N I, N H, N H, I G, H G, ... G", turned(3, 4),
             input=(dense, "x w b -> zx"), state=(dense, "h v -> zh"), sum=(plus, "zx zh -> z"),
             **cell)  # fmt: skip
    look_for("lstm-cell-state", "x h c w v b=None", "N I, N H, N H, I G, H G, ... G", turned(3, 4),
             input=(dense, "x w b -> zx"), state=(dense, "h v -> zh"), sum=(plus, "zx zh -> z"),
             **{k: cell[k] for k in [*cell][:8] if "output" not in k}, **CELL_STATE)  # fmt: skip
    for joined in ("x h", "h x"):
        look_for("lstm-cell-joined", "x h c w b=None", "N I, N H, N H, J G, ... G", turned(3),
                 join=(concat, f"{joined} -> xh"), linear_layer=(dense, "xh w b -> z"),
                 **cell)  # fmt: skip


def gru(biased: bool, kept: str, reset_after: bool) -> dict[str, Any]:
    """Stages of a GRU; ``kept`` is "z" or "1 - z", the share of h that stays."""
    b = {k: f" b{k}" if biased else "" for k in "zrn"}
    stages: dict[str, Any] = {}
    for k, title in (("z", "update"), ("r", "reset")):
        stages[f"{title}_input"] = (dense, f"x w{k}{b[k]} -> x{k}")
        stages[f"{title}_state"] = (dense, f"h u{k} -> h{k}")
        stages[f"{title}_sum"] = (plus, f"x{k} h{k} -> a{k}")
        stages[f"{title}_gate"] = (sigmoid, f"a{k} -> {k}")
    stages["candidate_input"] = (dense, f"x wn{b['n']} -> xn")
    if reset_after:
        stages["candidate_state"] = (dense, "h un -> hu")
        stages["reset"] = (multiply, "r hu -> hn")
    else:
        stages["reset"] = (multiply, "r h -> rh")
        stages["candidate_state"] = (dense, "rh un -> hn")
    stages["candidate_sum"] = (plus, "xn hn -> an")
    stages["candidate_tanh"] = (tanh, "an -> n")
    stages["complement"] = (complement, "z -> m")
    stages["keeping"] = (multiply, f"{'z' if kept == 'z' else 'm'} h -> old")
    stages["updating"] = (multiply, f"{'m' if kept == 'z' else 'z'} n -> new")
    return {**stages, "sum": (plus, "old new -> y")}


W, U, B = "N I, N H, I H, I H, I H", ", H H, H H, H H", ", ... H, ... H, ... H"
for kept, after in product(("z", "1 - z"), (False, True)):
    look_for("gru-cell", "x h wz wr wn uz ur un", W + U,
             turned(2, 3, 4, 5, 6, 7, orders=(
                 (), (0, 1, 2, 4, 6, 3, 5, 7), (0, 1, 3, 2, 4, 6, 5, 7))),
             **gru(False, kept, after))  # fmt: skip
    look_for("gru-cell", "x h wz wr wn uz ur un bz br bn", W + U + B,
             turned(2, 3, 4, 5, 6, 7, orders=(
                 (), (0, 1, 2, 5, 8, 3, 6, 9, 4, 7, 10), (0, 1, 3, 2, 4, 6, 5, 7, 9, 8, 10))),
             **gru(True, kept, after))  # fmt: skip
