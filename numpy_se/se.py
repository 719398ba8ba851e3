"""The Squeeze-and-Excitation block: squeeze every channel to a number, excite, scale.

    z = squeeze(x)                    eq. 2    what each channel holds on average
    s = gate(w2 relu(w1 z))           eq. 3    how far each channel is opened, from all of z
    y = channel_scale(x, s)           eq. 4    every channel times its gate

Each line of a backward pass undoes one line of the forward pass, the last one first. Equations:
Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv 1709.01507.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from numpy_se.contract import Array, check_count, check_number, op, run_op
from numpy_se.ops import gated, global_avg_pool, linear, relu, sigmoid

UnaryOp = Callable[[Array], tuple[Array, Callable[[Array], Array]]]


@op("N C, R C, C R, R, C -> N C")
def excite(
    z: Array,
    w1: Array,
    w2: Array,
    b1: Array | None = None,
    b2: Array | None = None,
    *,
    activation: UnaryOp = relu,
    gate: UnaryOp = sigmoid,
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Compute the gates from the squeezed channels: a bottleneck of two linear layers.

        s = gate(w2 relu(w1 z + b1) + b2)                 eq. 3 (F_ex), which has no biases

    By the chain rule, with h = w1 z + b1, a = relu(h) and u = w2 a + b2:

        du = ds * gate'(u)      da = du w2      dh = da where h > 0      dz = dh w1
        dw2 = du.T a            dw1 = dh.T z    db2, db1 = the sums of du, dh over the batch

    z (N, C), w1 (R, C), w2 (C, R), b1 (R,) or None, b2 (C,) or None give s (N, C), where R is the
    reduced width (see ``reduced_width``). ``activation`` in place of relu, such as ``silu`` in
    EfficientNet, and ``gate`` are operations on arrays of any shape.
    ``backward`` gives (dz, dw1, dw2), then db1 and db2 where the biases were given.
    Keeps what its four steps keep, all of size (N, C), (N, R) or of a weight.
    """
    h, back_linear1 = linear(z, w1, b1)  # (N, R)
    a, back_activation = run_op("excite: activation", activation, h)  # (N, R)
    u, back_linear2 = linear(a, w2, b2)  # (N, C)
    s, back_gate = run_op("excite: gate", gate, u)  # (N, C)

    def backward(ds: Array) -> tuple[Array, ...]:
        du = back_gate(ds)  # (N, C)
        da, dw2, *db2 = back_linear2(du)  # (N, R), (C, R), [(C,)]
        dh = back_activation(da)  # (N, R)
        dz, dw1, *db1 = back_linear1(dh)  # (N, C), (R, C), [(R,)]
        return dz, dw1, dw2, *db1, *db2

    return s, backward


@op("N C H W, R C, C R, R, C -> N C")
def excitation(
    x: Array,
    w1: Array,
    w2: Array,
    b1: Array | None = None,
    b2: Array | None = None,
    *,
    squeeze: UnaryOp = global_avg_pool,
    activation: UnaryOp = relu,
    gate: UnaryOp = sigmoid,
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Compute the gates of a batch of feature maps: squeeze, then excite.

        z = squeeze(x)                                    eq. 2
        s = excite(z, w1, w2, b1, b2)                     eq. 3

    The gradient of z is spread over the pixels by the squeeze. Keeps what its two steps keep.

    x (N, C, H, W) gives s (N, C); weights and other options as in ``excite``. ``squeeze`` is an
    operation from (N, C, H, W) to (N, C), such as ``global_avg_pool`` or ``global_max_pool``.
    ``backward`` gives (dx, dw1, dw2), then db1 and db2 where the biases were given.
    Raises ValueError where ``squeeze`` gives another shape.
    """
    z, back_squeeze = run_op("excitation: squeeze", squeeze, x)  # (N, C)
    if z.shape != x.shape[:2]:
        raise ValueError(f"excitation: squeeze gives shape {z.shape}; it must give (N, C)")
    s, back_excite = excite(z, w1, w2, b1, b2, activation=activation, gate=gate)  # (N, C)

    def backward(ds: Array) -> tuple[Array, ...]:
        dz, *dweights = back_excite(ds)  # (N, C)
        return back_squeeze(dz), *dweights  # dx: (N, C, H, W)

    return s, backward


@op("N C H W, R C, C R, R, C -> N C H W")
def squeeze_excite(
    x: Array,
    w1: Array,
    w2: Array,
    b1: Array | None = None,
    b2: Array | None = None,
    *,
    squeeze: UnaryOp = global_avg_pool,
    activation: UnaryOp = relu,
    gate: UnaryOp = sigmoid,
) -> tuple[Array, Callable[[Array], tuple[Array, ...]]]:
    """Scale every channel of ``x`` by a gate that depends on all channels: the SE block.

        s = excitation(x, w1, w2, b1, b2)                 eq. 2 and 3
        y = channel_scale(x, s)                           eq. 4

    ``x`` is used twice. It is scaled, and it decides the gates. Its gradient is the sum over both
    paths. For the average squeeze, the sigmoid gate and no biases, with h = w1 z:

        dx = s * dy                                                           scale path
           + 1/(H*W) * w1^T [ 1(h > 0) * w2^T (ds * s * (1 - s)) ]            squeeze path

    where ds[n,c] = sum_hw dy[n,c,h,w] * x[n,c,h,w]. The squeeze path is the same for all pixels of
    a channel. For a random dy it shrinks as the map grows, so a loose test overlooks that it is
    missing. Where dy has one sign over a channel, as below a global average, it does not shrink.

    x (N, C, H, W), w1 (R, C), w2 (C, R), b1 (R,) or None, b2 (C,) or None give y (N, C, H, W).
    Options as in ``excitation``. ``backward`` gives (dx, dw1, dw2), then db1 and db2 where the
    biases were given. Keeps ``x``, the weights, and arrays of size (N, C) and below.
    ``backward`` makes a second array as large as ``x`` for the squeeze path; ``fused`` does not.
    """
    s, back_gates = excitation(
        x, w1, w2, b1, b2, squeeze=squeeze, activation=activation, gate=gate
    )  # (N, C)
    return gated(x, s, back_gates)


WidthRule = Literal["paper", "timm", "efficientnet", "mobilenetv3"]


def reduced_width(channels: int, ratio: float = 16, rule: WidthRule = "paper") -> int:
    """Compute R, the width of the bottleneck, from the channels C and the reduction ratio r.

        "paper"          C // r, refused when it is 0
        "timm"           C / r rounded to a multiple of 8, at least 8
        "efficientnet"   C // r, at least 1 (EfficientNet takes r = 4 of the block's input width)
        "mobilenetv3"    as "timm", and 8 more where that is below 90 % of C / r

    All agree where C / r is a multiple of 8. For narrow layers they give different networks. The
    rounding of a ratio such as 10 / 3 is forgiven: C channels at r = C / R have the width R by the
    paper's rule. A block has 2 C R weights. With R = C / r that is 2 C^2 / r, the term of one block
    in the paper's eq. 5.
    Raises TypeError for a ratio that is no number, and ValueError when no hidden unit is left, or
    when an argument is out of its range.
    Source: the paper's section 3.2; the libraries' code.
    """
    check_count("reduced_width", "channels", channels, at_least=1)
    check_number("reduced_width", "ratio", ratio)
    if not ratio >= 1:
        raise ValueError(f"reduced_width: ratio is {ratio}; it wants at least 1")
    share = float(channels / ratio)
    whole = int(share * (1 + 1e-9))  # forgives the rounding of the ratio
    of_eight = max(8, int(share + 4) // 8 * 8)
    widths = {
        "paper": whole,
        "timm": of_eight,
        "efficientnet": max(1, whole),
        "mobilenetv3": of_eight + 8 * (of_eight < 0.9 * share),
    }
    if rule not in widths:
        raise ValueError(f"reduced_width: rule is {rule!r}; it wants one of {', '.join(widths)}")
    width = widths[rule]
    if width == 0:
        raise ValueError(
            f"reduced_width: {channels} channels at ratio {ratio} leave no hidden unit; "
            f"choose a ratio of at most {channels}"
        )
    return width
