"""The layers of the paper's networks, for an image of 224 x 224 and 1000 classes.

All but VGG-16 are the models that the authors released for Caffe: SE blocks with biases and a ratio
of 16, convolutions without biases, batch norm after each of them. A residual block has its SE block
at the end of the branch, before the sum.
Sources: the released files; the paper's section 3.3, Table 1 and appendix (SENet-154).
"""

from __future__ import annotations

from collections.abc import Sequence

from numpy_se.costs.layers import BatchNorm, Conv, FullyConnected, Layer, SEBlock

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(depth: int) -> list[Layer]:
    """List the layers of SE-ResNet-50, 101 or 152.

    A block of C channels has C/4 inside. Where the map is halved, its first 1x1 convolution has
    the stride, as in the first release of ResNet; others put it on the 3x3 one, which costs more.
    Raises ValueError for another depth.
    """
    blocks = _blocks("resnet", depth, (50, 101, 152))
    return [
        *_conv(3, 64, 7, 224, stride=2),
        *_residual_stages(64, blocks, divisors=(4, 4), stride_on_1x1=True),
    ]


def resnext(depth: int) -> list[Layer]:
    """List the layers of SE-ResNeXt-50 or 101 (32x4d).

    A block of C channels has C/2 inside, and its 3x3 convolution has 32 groups and the stride.
    Raises ValueError for another depth.
    """
    blocks = _blocks("resnext", depth, (50, 101))
    return [
        *_conv(3, 64, 7, 224, stride=2),
        *_residual_stages(64, blocks, divisors=(2, 2), groups=32),
    ]


def senet154() -> list[Layer]:
    """List the layers of SENet-154.

    It starts with three 3x3 convolutions. Its stages are as long as those of ResNet-152. A block of
    C channels has C/2 after its first 1x1 convolution, half of what a ResNeXt 64x4d has, and C
    after its 3x3 one, which has 64 groups and the stride. A shortcut that halves the map is a 3x3
    convolution.
    """
    return [
        *_conv(3, 64, 3, 224, stride=2),
        *_conv(64, 64, 3, 112),
        *_conv(64, 128, 3, 112),
        *_residual_stages(128, BLOCKS[152], divisors=(2, 1), groups=64, shortcut=3),
    ]


def bn_inception() -> list[Layer]:
    """List the layers of SE-BN-Inception.

    Each module joins four branches: 1x1; 1x1 and 3x3; 1x1 and twice 3x3; pooling and 1x1. Two of
    them halve the map: they have no 1x1 branch, and their pooled channels pass as they are. The SE
    block stands after the joined channels.
    """
    modules = [  # stage, map, 1x1, (1x1, 3x3), (1x1, 3x3 twice), 1x1 after pooling; 0: none
        (3, 28, 64, (64, 64), (64, 96), 32),
        (3, 28, 64, (64, 96), (64, 96), 64),
        (3, 28, 0, (128, 160), (64, 96), 0),
        (4, 14, 224, (64, 96), (96, 128), 128),
        (4, 14, 192, (96, 128), (96, 128), 128),
        (4, 14, 160, (128, 160), (128, 160), 128),
        (4, 14, 96, (128, 192), (160, 192), 128),
        (4, 14, 0, (128, 192), (192, 256), 0),
        (5, 7, 352, (192, 320), (160, 224), 128),
        (5, 7, 352, (192, 320), (192, 224), 128),
    ]
    layers = [*_conv(3, 64, 7, 224, stride=2), *_conv(64, 64, 1, 56), *_conv(64, 192, 3, 56)]
    channels = 192
    for stage, size, single, (reduced, filters), (reduced2, filters2), pooled in modules:
        stride = 1 if single else 2
        if single:
            layers += _conv(channels, single, 1, size) + _conv(channels, pooled, 1, size)
        layers += _conv(channels, reduced, 1, size) + _conv(reduced, filters, 3, size, stride)
        layers += _conv(channels, reduced2, 1, size) + _conv(reduced2, filters2, 3, size)
        layers += _conv(filters2, filters2, 3, size, stride)
        channels = single + filters + filters2 + (pooled or channels)
        layers.append(_se(channels, size // stride, stage))
    return [*layers, FullyConnected(1024, 1000)]


def vgg16() -> list[Layer]:
    """List the layers of SE-VGG-16.

    Each of its 13 convolutions has biases, batch norm (as in Table 2) and then an SE block (as
    section 3.3 says).
    """
    stages = [(1, 2, 64), (2, 2, 128), (3, 3, 256), (4, 3, 512), (5, 3, 512)]
    layers: list[Layer] = []
    channels, size = 3, 224
    for stage, repeats, filters in stages:
        for _ in range(repeats):
            layers += _conv(channels, filters, 3, size, bias=True)
            layers.append(_se(filters, size, stage))
            channels = filters
        size //= 2
    return [
        *layers,
        FullyConnected(512 * 7 * 7, 4096),
        FullyConnected(4096, 4096),
        FullyConnected(4096, 1000),
    ]


def official_models() -> dict[str, list[Layer]]:
    """List the layers of the seven released models, by name."""
    return {
        "SE-ResNet-50": resnet(50),
        "SE-ResNet-101": resnet(101),
        "SE-ResNet-152": resnet(152),
        "SE-ResNeXt-50": resnext(50),
        "SE-ResNeXt-101": resnext(101),
        "SENet-154": senet154(),
        "SE-BN-Inception": bn_inception(),
    }


def _blocks(title: str, depth: int, depths: Sequence[int]) -> tuple[int, ...]:
    if depth not in depths:
        wanted = ", ".join(map(str, depths))
        raise ValueError(f"{title}: depth is {depth!r}; it wants one of {wanted}")
    return BLOCKS[depth]


def _residual_stages(
    channels: int,
    blocks: Sequence[int],
    *,
    divisors: tuple[int, int],
    groups: int = 1,
    stride_on_1x1: bool = False,
    shortcut: int = 1,
) -> list[Layer]:
    """List stages 2 to 5 and the classifier.

    ``divisors`` say how many times narrower than its output a block is after its 1x1 and its 3x3
    convolution. One of these two has the stride. The first block of a stage has a convolution on
    its shortcut, of size ``shortcut`` where it halves the map.
    """
    layers: list[Layer] = []
    size = 56
    for stage, repeats, filters in zip((2, 3, 4, 5), blocks, (256, 512, 1024, 2048), strict=True):
        width1, width3 = (filters // divisor for divisor in divisors)
        for block in range(repeats):
            stride = 2 if block == 0 and stage > 2 else 1
            stride1, stride3 = (stride, 1) if stride_on_1x1 else (1, stride)
            if block == 0:
                layers += _conv(channels, filters, 1 if stride == 1 else shortcut, size, stride)
            layers += _conv(channels, width1, 1, size, stride1)
            layers += _conv(width1, width3, 3, size // stride1, stride3, groups)
            size //= stride
            layers += _conv(width3, filters, 1, size)
            layers.append(_se(filters, size, stage))
            channels = filters
    return [*layers, FullyConnected(2048, 1000)]


def _conv(
    channels: int,
    filters: int,
    kernel: int,
    size: int,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
) -> list[Layer]:
    """A convolution on a square map, and its batch norm."""
    conv = Conv(channels, filters, kernel, (size, size), stride, groups, bias)
    return [conv, BatchNorm(filters)]


def _se(channels: int, size: int, stage: int) -> SEBlock:
    return SEBlock(channels, (size, size), ratio=16, bias=True, stage=stage)
