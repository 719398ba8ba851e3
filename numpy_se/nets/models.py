"""The nets of the course: the tiny net, and SE-ResNet for small images."""

from __future__ import annotations

from typing import Literal, TypeAlias

from numpy_se.contract import check_count, in_short
from numpy_se.nets.compose import Sequential, residual
from numpy_se.nets.layer import Layer
from numpy_se.nets.layers import Apply, BatchNorm, Conv2d, Linear, SqueezeExcite
from numpy_se.ops import flatten, global_avg_pool, max_pool2d, relu

Place: TypeAlias = Literal["standard", "pre", "post", "identity"]


def tiny_net(
    ratio: float | None = 4,
    classes: int = 10,
    shape: tuple[int, int, int] = (1, 28, 28),
    *,
    input_grad: bool = True,
) -> Sequential:
    """Build a conv net for small images (C, H, W): three stages of 16, 32 and 64 channels.

    Each stage is a 3x3 convolution, a ReLU, an SE block and 2x2 max pooling; a linear layer
    classifies. With ``ratio=None`` the same net without SE. The bottlenecks have at least 8 hidden
    units (the rule "timm" of ``reduced_width``): with 4, some blocks are dead after training, with
    the same gates for all images (``benchmarks/dead_blocks.py``). With ``input_grad=False`` the net
    does not compute the gradient of the images, which training has no use for: dx is None.
    Raises ValueError for images of fewer than 8 x 8 pixels, fewer than 1 class, or a ratio below 1.
    """
    channels, height, width = _three("tiny_net", shape)
    check_count("tiny_net", "classes", classes, at_least=1)
    if min(height, width) < 8:
        raise ValueError(f"tiny_net: shape is {shape}; it wants at least 8 x 8 pixels")
    pixels = (height // 8) * (width // 8)  # after three poolings
    net = Sequential(  # the shapes are those of (1, 28, 28)
        conv1=Conv2d(channels, 16, input_grad=input_grad),  # (N, 16, 28, 28)
        relu1=Apply(relu),
        pool1=Apply(max_pool2d, size=2),  # (N, 16, 14, 14)
        conv2=Conv2d(16, 32),  # (N, 32, 14, 14)
        relu2=Apply(relu),
        pool2=Apply(max_pool2d, size=2),  # (N, 32, 7, 7)
        conv3=Conv2d(32, 64),  # (N, 64, 7, 7)
        relu3=Apply(relu),
        pool3=Apply(max_pool2d, size=2),  # (N, 64, 3, 3)
        flatten=Apply(flatten),  # (N, 576)
        classify=Linear(64 * pixels, classes),  # (N, classes)
    )
    if ratio is not None:
        net = net.after("relu1", se1=SqueezeExcite(16, ratio, rule="timm"))
        net = net.after("relu2", se2=SqueezeExcite(32, ratio, rule="timm"))
        net = net.after("relu3", se3=SqueezeExcite(64, ratio, rule="timm"))
    return net


def se_resnet(
    depth: int = 20,
    ratio: float | None = 4,
    width: int = 16,
    *,
    place: Place = "standard",
    channels: int = 1,
    classes: int = 10,
    input_grad: bool = True,
) -> Sequential:
    """Build a residual net for 28 x 28 images with an SE block in every unit.

    A 3x3 convolution, then three stages of ``width``, 2 ``width`` and 4 ``width`` channels on maps
    of 28, 14 and 7 pixels, n units each: ``depth`` = 6n + 2 layers. A unit is

        relu(branch(x) + shortcut(x)),    branch = conv, batch norm, relu, conv, batch norm, SE

    The shortcut is the identity, and where the size changes, a 1x1 convolution with batch norm.
    ``place`` puts the SE block of each unit as in the paper's Fig. 5: "standard" at the end of the
    branch (Fig. 3), "pre" before the branch, "post" after the unit, "identity" on the shortcut.
    With ``ratio=None`` there is none.

    Raises ValueError for another depth or place, when a stage has fewer channels than ``ratio``,
    and where ``width``, ``channels`` or ``classes`` is below 1.
    After He et al., arXiv 1512.03385, sect. 4.2, with the projections of its option B. Source of
    the places: Hu et al., arXiv 1709.01507, Fig. 3 and 5.
    """
    check_count("se_resnet", "depth", depth, at_least=8)
    check_count("se_resnet", "width", width, at_least=1)
    check_count("se_resnet", "channels", channels, at_least=1)
    check_count("se_resnet", "classes", classes, at_least=1)
    if depth % 6 != 2:
        raise ValueError(f"se_resnet: depth is {depth}; it wants 8, 14, 20, ... (6n + 2)")
    if place not in ("standard", "pre", "post", "identity"):
        wanted = "it wants standard, pre, post or identity"
        raise ValueError(f"se_resnet: place is {place!r}; {wanted}")
    stem = Conv2d(channels, width, bias=False, input_grad=input_grad)
    layers: dict[str, Layer] = {"conv": stem, "norm": BatchNorm(width), "relu": Apply(relu)}
    before = width
    for stage in range(3):
        after = width * 2**stage
        for number in range((depth - 2) // 6):
            stride = 2 if stage and not number else 1
            unit = _unit(before, after, stride, ratio, place)
            layers[f"unit{stage + 1}_{number + 1}"] = unit
            before = after
    layers |= {"pool": Apply(global_avg_pool), "classify": Linear(before, classes)}
    return Sequential(**layers)


def named_net(
    name: str,
    ratio: float | None = 4,
    classes: int = 10,
    shape: tuple[int, int, int] = (1, 28, 28),
    *,
    input_grad: bool = True,
) -> Sequential:
    """Build the net that has a name: "tiny", or "resnet8", "resnet14", "resnet20" and so on.

    Raises ValueError for another name, and what ``tiny_net`` and ``se_resnet`` raise.
    """
    if not isinstance(name, str):
        raise TypeError(f"net is {in_short(name)}; it wants a name, such as 'resnet20'")
    if name == "tiny":
        return tiny_net(ratio, classes, shape, input_grad=input_grad)
    depth = name.removeprefix("resnet")
    if depth == name or not (depth.isdecimal() and depth.isascii()):
        raise ValueError(f"net is {name!r}; it wants tiny, resnet8, resnet14, resnet20, ...")
    channels, _, _ = _three("named_net", shape)
    return se_resnet(int(depth), ratio, channels=channels, classes=classes, input_grad=input_grad)


def _three(title: str, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The three sizes of an image."""
    if not (isinstance(shape, tuple | list) and len(shape) == 3):
        raise ValueError(f"{title}: shape is {in_short(shape)}; it wants (C, H, W)")
    channels, height, width = shape
    return channels, height, width


def _unit(before: int, after: int, stride: int, ratio: float | None, place: Place) -> Sequential:
    """One residual unit, from ``before`` to ``after`` channels."""
    branch: dict[str, Layer] = {
        "conv1": Conv2d(before, after, stride=stride, bias=False),
        "norm1": BatchNorm(after),
        "relu": Apply(relu),
        "conv2": Conv2d(after, after, bias=False),
        "norm2": BatchNorm(after),
    }
    shortcut: dict[str, Layer] = {}
    if stride > 1 or before != after:
        conv = Conv2d(before, after, size=1, stride=stride, bias=False)
        shortcut = {"conv": conv, "norm": BatchNorm(after)}
    end: dict[str, Layer] = {}
    if ratio is not None:
        se: dict[str, Layer] = {"se": SqueezeExcite(before if place == "pre" else after, ratio)}
        match place:
            case "standard":
                branch |= se
            case "pre":
                branch = se | branch
            case "post":
                end = se
            case "identity":
                shortcut |= se
    return Sequential(
        sum=residual(Sequential(**branch), Sequential(**shortcut)), relu=Apply(relu), **end
    )
