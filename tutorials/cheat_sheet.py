"""Write the cheat sheet: formulas, gradients, shapes, and what a report means.

    python tutorials/cheat_sheet.py > tutorials/CHEAT_SHEET.md

Each row of the table of reports is made by running the wrong line through ``gradcheck``.
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any, NamedTuple

import numpy as np

import numpy_se as se


class Slip(NamedTuple):
    """An operation, and one line of its backward that is often written wrongly."""

    op: str
    wrong: str
    right: str


CODE = {  # a function with one line missing
    "relu": """
        def relu(x):
            def backward(dy):
                {line}
                return dx
            return np.maximum(x, 0), backward
        """,
    "sigmoid": """
        def sigmoid(x):
            s = 1 / (1 + np.exp(-x))
            def backward(dy):
                {line}
                return dx
            return s, backward
        """,
    "linear": """
        def linear(x, w, b):
            def backward(dy):
                dx, dw, db = dy @ w, dy.T @ x, dy.sum(axis=0)
                {line}
                return dx, dw, db
            return x @ w.T + b, backward
        """,
    "global_avg_pool": """
        def global_avg_pool(x):
            n, c, h, w = x.shape
            def backward(dy):
                {line}
                return dx
            return x.mean(axis=(2, 3)), backward
        """,
    "channel_scale": """
        def channel_scale(x, s):
            def backward(dy):
                dx = dy * s[:, :, None, None]
                {line}
                return dx, ds
            return x * s[:, :, None, None], backward
        """,
    "softmax_cross_entropy": """
        def softmax_cross_entropy(logits, labels):
            shifted = logits - logits.max(axis=1, keepdims=True)
            p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
            rows, n = np.arange(len(labels)), len(labels)
            onehot = np.eye(logits.shape[1])[labels]
            def backward(dy):
                {line}
                return dlogits
            return -np.log(p[rows, labels]).mean(), backward
        """,
    "batch_norm": """
        def batch_norm(x, gamma, beta):
            axes, count = (0, 2, 3), x[:, 0].size
            per_channel = lambda a: a[:, None, None]
            sigma = np.sqrt(x.var(axis=axes) + 1e-5)
            xhat = (x - per_channel(x.mean(axis=axes))) / per_channel(sigma)
            def backward(dy):
                dgamma, dbeta = (dy * xhat).sum(axis=axes), dy.sum(axis=axes)
                {line}
                return dx, dgamma, dbeta
            return per_channel(gamma) * xhat + per_channel(beta), backward
        """,
    "squeeze_excite": """
        def squeeze_excite(x, w1, w2):
            z, back_squeeze = se.global_avg_pool(x)
            s, back_excite = se.excite(z, w1, w2)
            y, back_scale = se.channel_scale(x, s)
            def backward(dy):
                dx, ds = back_scale(dy)
                dz, dw1, dw2 = back_excite(ds)
                {line}
                return dx, dw1, dw2
            return y, backward
        """,
}
SLIPS = [
    Slip("relu", "dx = dy", "dx = dy * (x > 0)"),
    Slip("relu", "dx = (x > 0) * 1.0", "dx = dy * (x > 0)"),
    Slip("sigmoid", "dx = dy * x * (1 - x)", "dx = dy * s * (1 - s)"),
    Slip("sigmoid", "dx = dy * s", "dx = dy * s * (1 - s)"),
    Slip("linear", "dw = (dy.T @ x) / len(x)", "dw = dy.T @ x"),
    Slip("linear", "dw = x.T @ dy", "dw = dy.T @ x"),
    Slip("linear", "db = dy", "db = dy.sum(axis=0)"),
    Slip("global_avg_pool", "dx = np.zeros_like(x) + dy[:, :, None, None]",
         "dx = np.zeros_like(x) + dy[:, :, None, None] / (h * w)"),
    Slip("global_avg_pool", "dx = dy[:, :, None, None] / (h * w)",
         "dx = np.zeros_like(x) + dy[:, :, None, None] / (h * w)"),
    Slip("channel_scale", "ds = dy.sum(axis=(2, 3))", "ds = (dy * x).sum(axis=(2, 3))"),
    Slip("channel_scale", "ds = (dy * x).mean(axis=(2, 3))", "ds = (dy * x).sum(axis=(2, 3))"),
    Slip("softmax_cross_entropy", "dlogits = dy * (p - onehot)", "dlogits = dy * (p - onehot) / n"),
    Slip("softmax_cross_entropy", "dlogits = dy * p / n", "dlogits = dy * (p - onehot) / n"),
    Slip("batch_norm", "dx = per_channel(gamma / sigma) * dy",
         "dx = per_channel(gamma / sigma) * (dy - per_channel(dbeta / count)"
         " - xhat * per_channel(dgamma / count))"),
    Slip("squeeze_excite", "pass", "dx += back_squeeze(dz)"),
    Slip("squeeze_excite", "dx = back_squeeze(dz)", "dx += back_squeeze(dz)"),
]  # fmt: skip

FORMULAS = [  # name, formula, gradient
    ("relu", "y = max(x, 0)", "dx = dy where x > 0, else 0"),
    ("sigmoid", "s = 1 / (1 + exp(-x))", "dx = dy s (1 - s)"),
    ("tanh", "t = tanh(x)", "dx = dy (1 - t²)"),
    ("hard_sigmoid", "y = clip((x + 3) / 6, 0, 1)", "dx = dy / 6 where -3 < x < 3, else 0"),
    ("silu", "y = x s, s = sigmoid(x)", "dx = dy (s + x s (1 - s))"),
    ("linear", "y = x wᵀ + b", "dx = dy w, dw = dyᵀ x, db = sum of dy over N"),
    ("global_avg_pool", "z = mean of x over H, W", "dx = dz / (H W), for every pixel"),
    ("global_max_pool", "z = maximum of x over H, W", "dx = dz at the first maximum, else 0"),
    ("channel_scale", "y = s x", "dx = s dy, ds = sum of dy x over H, W"),
    ("pixel_scale", "y = s x, a gate for each pixel", "dx = s dy, ds = sum of dy x over C"),
    ("channel_shift", "y = x + v", "dx = dy, dv = sum of dy over H, W"),
    ("add", "y = x + skip", "dx = dy, dskip = dy"),
    ("global_std_pool", "z = standard deviation of x over H, W", "dx = (x - m) dz / (H W z)"),
    ("style_pool", "t = (mean m, standard deviation z) of x over H, W",
     "dx = dm / (H W) + (x - m) dz / (H W z)"),
    ("global_l2_pool", "z = root of the sum of x² over H, W", "dx = x dz / z"),
    ("weighted_pool", "z = sum of a x over H, W", "dx = a dz, da = sum of dz x over C"),
    ("one_map", "u = sum of w x over C, + b", "dx = w du, dw = sum of x du, db = sum of du"),
    ("channel_mean_max", "y = mean and maximum of x over C",
     "dx = dy of the mean / C, + dy of the maximum at the first maximum"),
    ("channel_correlate", "u = w over neighbours of z",
     "dz = w, turned, over du; dw = sums of du z"),
    ("channel_normalise", "y = e / sigma, sigma² = mean of e² over C",
     "de = (dy - y mean(dy y)) / sigma"),
    ("conv2d", "y = sum of w x over C, KH, KW, + b",
     "dx: dy spread by w; dw: sum of dy x over N, OH, OW; db: sum of dy"),
    ("depthwise_conv2d", "y = sum of w x over KH, KW", "as conv2d, each channel alone"),
    ("avg_pool2d", "y = mean of each window", "dx = sum of dy / count over the windows of a pixel"),
    ("resize_nearest", "y = copies of the nearest pixel", "dx = sum of dy over the copies"),
    ("max_pool2d", "y = maximum of each window", "dx = dy at the first maximum of the window"),
    ("flatten", "y = x, as rows", "dx = dy, as maps"),
    ("batch_norm", "y = gamma xhat + beta, xhat = (x - m) / sigma",
     "dx = gamma / sigma (dy - mean dy - xhat mean(dy xhat)); dgamma = sum of dy xhat; "
     "dbeta = sum of dy"),
    ("layer_norm", "as batch_norm, over C of each sample", "as batch_norm"),
    ("softmax", "y = exp(x) / sum of exp(x)", "dx = y (dy - sum of dy y)"),
    ("softmax_cross_entropy", "loss = mean of -log p[label]", "dlogits = dy (p - onehot) / N"),
    ("excite", "s = sigmoid(w2 relu(w1 z))", "du = ds s (1 - s), da = du w2, dh = da where h > 0, "
     "dz = dh w1; dw2 = duᵀ a, dw1 = dhᵀ z"),
    ("squeeze_excite", "y = s x, s from the means of x", "dx = s dy + dz / (H W): two paths"),
]  # fmt: skip

NAMES = [  # the paper, PyTorch, Keras, here
    ("U, X̃", "x, out", "inputs, outputs", "`x`, `y`"),
    ("F_sq, z", "AdaptiveAvgPool2d(1)", "GlobalAveragePooling2D", "`global_avg_pool`, `z`"),
    ("W1, W2", "Linear.weight (out, in)", "Dense.kernel (in, out)", "`w1` (R, C), `w2` (C, R)"),
    ("delta, sigma", "ReLU, Sigmoid", 'activation="relu", "sigmoid"', "`relu`, `sigmoid`"),
    ("F_ex, s", "Sequential(Linear, ReLU, Linear, Sigmoid)", "two Dense", "`excite`, `s`"),
    ("F_scale", "x * s[:, :, None, None]", "Multiply", "`channel_scale`"),
    ("r, C / r", "rd_ratio, rd_channels (timm)", "ratio", "`ratio`, `reduced_width`"),
    ("", "grad_output, .grad", "", "`dy`, `dx`, `dw1`"),
    ("", "Conv2d.weight (F, C, KH, KW)", "Conv2D.kernel (KH, KW, C, F)", "`w` (F, C, KH, KW)"),
    ("", "(N, C, H, W)", "(N, H, W, C); Flatten orders so, too", "`x` (N, C, H, W)"),
    ("", "BatchNorm2d, momentum 0.1", "BatchNormalization, momentum 0.9", "`BatchNorm`, 0.1"),
    ("", "CrossEntropyLoss", "sparse_categorical_crossentropy", "`softmax_cross_entropy`"),
    ("", "loss.backward()", "GradientTape", "`backward(loss_backward(1.0))`"),
    ("", "optim.SGD(params, lr)", "optimizers.SGD(lr)", "`SGD()`, `rule.step(..., lr)`"),
]

WORDS = [
    ("upstream gradient", "`dy`, the gradient of the loss for what the function gave"),
    ("backward", "the function that turns `dy` into the gradients of the arguments"),
    ("squeeze", "one number for each channel: its mean"),
    ("excite", "from these numbers to the gates, by two layers"),
    ("gate", "the factor `s` of a channel, from 0 (closed) to 1 (open)"),
    ("scale path, squeeze path", "the two ways by which `x` acts on `y`, and the terms of `dx`"),
    ("central difference", "(f(x + h) - f(x - h)) / 2h, near the slope of f at x"),
    ("kink", "a point where the slope jumps: ReLU at 0, a maximum with two winners"),
    ("legal", "a gradient at a kink that lies between the slopes on its two sides"),
    ("verdict", "ok, wrong, or inconclusive: it could not be decided at these arguments"),
    ("dead block", "all hidden units are 0 for all images: every gate is 0.5, and stays so"),
]


def report_of(slip: Slip, line: str) -> se.GradientReport:
    """Check the function with one line put in."""
    names: dict[str, Any] = {"np": np, "se": se}
    exec(textwrap.dedent(CODE[slip.op]).replace("{line}", line), names)
    takes = getattr(se, slip.op).signature.split("->")[0].replace("...", "N C")
    if slip.op == "squeeze_excite":
        takes = "N C H W, R C, C R"  # without biases
    return se.gradcheck(names[slip.op], shapes=takes)


def table(*rows: tuple[str, ...]) -> str:
    """Rows as a table in Markdown; the first one is the head."""
    head, *others = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|---" * len(rows[0]) + "|", *others])


def shapes(name: str) -> str:
    """The shapes of an operation, as in ``(N, C, H, W), (N, C) -> (N, C, H, W)``."""

    def terms(side: str) -> str:
        parts = (part.strip().removeprefix("int ") for part in side.split(","))
        return ", ".join(f"({', '.join(part.split())})" for part in parts)

    takes, gives = getattr(se, name).signature.split("->")
    return f"{terms(takes)} → {terms(gives) if gives.strip() else 'a number'}"


def main() -> None:
    """Print the sheet."""
    print("# Cheat sheet\n\nMade by `python tutorials/cheat_sheet.py`.\n\n## Operations\n")
    head = ("operation", "formula", "gradient", "shapes")
    print(table(head, *((f"`{n}`", f, g, shapes(n)) for n, f, g in FORMULAS)))
    print("\n## What a report means\n")
    rows = []
    for slip in SLIPS:
        assert report_of(slip, slip.right).ok, slip
        report = report_of(slip, slip.wrong)
        (cause,) = report.causes
        said = f"{', '.join(cause.subjects)}: {cause.text}"
        wrong = "(the line is missing)" if slip.wrong == "pass" else f"`{slip.wrong}`"
        rows.append((f"`{slip.op}`", said, f"`{cause.code}`", wrong, f"`{slip.right}`"))
    print(table(("in", "my report says", "id", "I wrote", "right"), *rows))
    print("\n## Names\n")
    print(table(("the paper", "PyTorch", "Keras", "here"), *NAMES))
    print("\n## Words\n")
    print(table(("word", "meaning"), *WORDS))


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    main()
