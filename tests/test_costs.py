"""What SE costs: the released models and the paper's tables to the digit, laws, nets of our own."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numpy_se as se
from numpy_se import costs, nets
from numpy_se.costs import BatchNorm, Conv, Cost, FullyConnected, SEBlock, count, without_se
from numpy_se.nets import (
    Apply,
    Conv2d,
    Layer,
    Linear,
    Sequential,
    SqueezeExcite,
    residual,
    tiny_net,
)

# Parsed from the released Caffe files: parameters with SE, SE weights, SE biases, parameters
# without SE, GMACs of convolutions and fully connected layers outside SE.
RELEASED = {
    "SE-ResNet-50": (28_088_024, 2_514_944, 16_048, 25_557_032, "3.8580"),
    "SE-ResNet-101": (49_326_872, 4_743_168, 34_544, 44_549_160, "7.5702"),
    "SE-ResNet-152": (66_821_848, 6_578_176, 50_864, 60_192_808, "11.2824"),
    "SE-ResNeXt-50": (27_559_896, 2_514_944, 16_048, 25_028_904, "4.2305"),
    "SE-ResNeXt-101": (48_955_416, 4_743_168, 34_544, 44_177_704, "7.9700"),
    "SENet-154": (115_088_984, 6_578_176, 50_864, 108_459_944, "20.6818"),
    "SE-BN-Inception": (11_931_622, 639_360, 7_038, 11_285_224, "2.0326"),
}

# Table 2, GFLOPs: what is printed without and with SE, and what is counted.
TABLE_2 = {
    "SE-ResNet-50": ("3.86", "3.87", "3.86", "3.87"),
    "SE-ResNet-101": ("7.58", "7.60", "7.57", "7.59"),
    "SE-ResNet-152": ("11.30", "11.32", "11.28", "11.32"),
    "SE-ResNeXt-50": ("4.24", "4.25", "4.23", "4.24"),
    "SE-ResNeXt-101": ("7.99", "8.00", "7.97", "7.99"),
    "SE-BN-Inception": ("2.03", "2.04", "2.03", "2.04"),
    "SE-VGG-16": ("15.47", "15.48", "15.47", "15.50"),
}
MODELS = costs.official_models() | {"SE-VGG-16": costs.vgg16()}
RESNET50 = costs.change_se(costs.resnet(50), bias=False)  # as in the paper's tables

small = st.integers(1, 6)


def giga(operations: int) -> str:
    return f"{operations / 1e9:.2f}"


def table_parameters(layers: Any) -> str:
    """Millions as the paper's tables have them: with the statistics of batch norm."""
    cost = count(layers)
    return f"{(cost.parameters + cost.statistics) / 1e6:.1f}"


def total(parts: Any) -> Cost:
    return sum(parts, Cost())


@st.composite
def layer_lists(draw: Any) -> list[Any]:
    """Layers of all kinds in any order. They need not fit together to be counted."""
    groups, map_size = draw(small), (draw(st.integers(3, 9)), draw(st.integers(3, 9)))
    kinds = st.one_of(
        st.builds(
            lambda c, f, k, s, bias: Conv(c * groups, f * groups, k, map_size, s, groups, bias),
            *(small, small, st.sampled_from([1, 3, 5]), st.integers(1, 2), st.booleans()),
        ),
        st.builds(FullyConnected, small, small, st.booleans()),
        st.builds(BatchNorm, small),
        st.builds(SEBlock, st.integers(2, 9), st.just(map_size), st.just(2), st.booleans()),
    )
    return draw(st.lists(kinds, max_size=8))


@pytest.mark.parametrize("model", RELEASED)
def test_the_released_models_to_the_digit(model: str) -> None:
    layers = costs.official_models()[model]
    cost, plain = count(layers), count(without_se(layers))
    counted = (cost.parameters, cost.se_weights, cost.se_biases, plain.parameters)
    assert (*counted, f"{plain.macs / 1e9:.4f}") == RELEASED[model]
    assert costs.official_models().keys() == RELEASED.keys()


def test_what_se_adds_to_resnet50() -> None:
    cost = count(RESNET50)
    assert (cost.se_macs, cost.se_squeezes, cost.se_scales) == (2_514_944, 5_519_360, 5_519_360)
    (row,) = costs.table_rows({"SE-ResNet-50": cost})
    assert f"{100 * row.parameter_share:.2f}" == "9.84"
    early = [layer for layer in RESNET50 if not (isinstance(layer, SEBlock) and layer.stage == 5)]
    (row,) = costs.table_rows({"without the last stage": count(early)})
    assert f"{100 * row.parameter_share:.2f}" == "3.69"  # "about 4 %" in section 4


@pytest.mark.parametrize("model", TABLE_2)
def test_table_2_operations(model: str) -> None:
    layers = MODELS[model]
    counted = giga(count(without_se(layers)).operations), giga(count(layers).operations)
    assert counted == TABLE_2[model][2:]


def test_the_docstring_lists_the_mismatches() -> None:
    """Its last column counts residual sums. They have the maps of the SE blocks before them."""
    rows = {}
    for model, (printed, printed_se, counted, counted_se) in TABLE_2.items():
        cost = count(MODELS[model])
        sums = cost.se_scales if "ResNe" in model else 0
        rows[model.removeprefix("SE-")] = [printed, counted, giga(cost.macs + sums)]
        rows[model] = [printed_se, counted_se, giga(cost.operations + sums)]
    lines = [line.split() for line in str(costs.__doc__).splitlines() if line.startswith("    ")]
    listed = {line[0]: line[1:] for line in lines if line and line[0] in rows}
    assert listed == {name: row for name, row in rows.items() if row[0] != row[1]}
    assert ["Table", "10,", "r", "=", "8", "30.7M", "30.6M"] in lines
    assert rows["SE-ResNet-50"] == ["3.87", "3.87", "3.88"]
    assert rows["SE-ResNet-152"] == ["11.32", "11.32", "11.33"]


def test_vgg16_with_one_block_for_each_stage_fits_table_2() -> None:
    layers = costs.vgg16()
    last = {layer.stage: layer for layer in layers if isinstance(layer, SEBlock)}
    assert list(last) == [1, 2, 3, 4, 5]
    assert giga(count([*without_se(layers), *last.values()]).operations) == "15.48"
    assert count(without_se(layers)).parameters == 138_357_544 + 2 * 4_224  # VGG-16, batch norm


@pytest.mark.parametrize(
    ("ratio", "printed", "counted"),
    [
        *((2, "45.7", "45.7"), (4, "35.7", "35.7"), (8, "30.7", "30.6"), (16, "28.1", "28.1")),
        *((32, "26.9", "26.9"), (None, "25.6", "25.6")),
    ],
)
def test_table_10_parameters_by_ratio(ratio: Any, printed: str, counted: str) -> None:
    changed = costs.change_se(RESNET50, ratio=ratio) if ratio else without_se(RESNET50)
    assert table_parameters(changed) == counted
    assert (printed == counted) == (ratio != 8)  # 30.64, and printed 30.7


def test_the_tables_count_the_statistics_of_batch_norm() -> None:
    plain = count(without_se(RESNET50))
    assert plain.parameters + plain.statistics == 25_610_152
    cost = count(costs.change_se(RESNET50, ratio=32))
    assert f"{cost.parameters / 1e6:.1f}" == "26.8"  # 26.9 in Table 10


@pytest.mark.parametrize(
    ("stages", "gflops", "parameters"),
    [
        *(([2], "3.86", "25.6"), ([3], "3.86", "25.7"), ([4], "3.86", "26.4")),
        ([2, 3, 4, 5], "3.87", "28.1"),
    ],
)
def test_table_13_by_stage(stages: list[int], gflops: str, parameters: str) -> None:
    kept = [ly for ly in RESNET50 if not isinstance(ly, SEBlock) or ly.stage in stages]
    assert (giga(count(kept).operations), table_parameters(kept)) == (gflops, parameters)
    sums = count(RESNET50).se_scales  # counted, they would miss the table
    assert giga(count(kept).operations + sums) == ("3.87" if gflops == "3.86" else "3.88")


def test_table_15_se_after_the_3x3_convolution() -> None:
    """There the channels are a quarter of the block's, on the same map."""
    inner = [
        replace(layer, channels=layer.channels // 4) if isinstance(layer, SEBlock) else layer
        for layer in RESNET50
    ]
    assert (giga(count(inner).operations), table_parameters(inner)) == ("3.86", "25.8")


def test_table_16_without_the_squeeze() -> None:
    layers = costs.change_se(RESNET50, squeeze=False)
    cost = count(layers)
    assert (cost.se_macs, cost.se_squeezes) == (411_041_792, 0)
    assert (table_parameters(layers), giga(cost.operations)) == ("28.1", "4.27")


@given(
    stages=st.lists(st.tuples(st.integers(1, 5), st.integers(1, 8)), max_size=4),
    ratio=st.sampled_from([1, 2, 4, 16]),
)
def test_eq_5_is_the_count_where_the_ratio_divides(stages: Any, ratio: int) -> None:
    stages = [(blocks, channels * ratio) for blocks, channels in stages]
    layers = [SEBlock(c, (3, 2), ratio) for blocks, c in stages for _ in range(blocks)]
    assert count(layers).se_weights == costs.added_weights(stages, ratio)


def test_eq_5_of_resnet50() -> None:
    assert costs.added_weights([(3, 256), (4, 512), (6, 1024), (3, 2048)]) == 2_514_944
    assert costs.added_weights([(3, 256), (4, 512), (6, 1024)], ratio=16) == 942_080


@given(layers=layer_lists(), place=st.integers(0, 8))
def test_counts_add_up_over_a_split(layers: Any, place: int) -> None:
    whole = count(layers)
    assert whole == count(layers[:place]) + count(layers[place:])
    for field in fields(Cost):
        assert getattr(whole, field.name) == sum(getattr(ly.cost, field.name) for ly in layers)


@given(layers=layer_lists())
def test_se_costs_what_leaving_it_out_saves(layers: Any) -> None:
    cost, plain = count(layers), count(without_se(layers))
    assert cost.parameters - plain.parameters == cost.se_parameters
    assert cost.operations - plain.operations == cost.se_operations
    assert plain.se_parameters == plain.se_operations == 0


@given(channels=small, filters=small, groups=small, kernel=st.integers(1, 3))
def test_groups_divide_the_cost_of_a_convolution(
    channels: int, filters: int, groups: int, kernel: int
) -> None:
    grouped = Conv(channels * groups, filters * groups, kernel, (5, 4), groups=groups)
    whole, part = replace(grouped, groups=1).cost, Conv(channels, filters, kernel, (5, 4)).cost
    assert grouped.cost.weights * groups == whole.weights
    assert grouped.cost.macs * groups == whole.macs
    assert (grouped.cost.weights, grouped.cost.macs) == (part.weights * groups, part.macs * groups)


@given(
    sizes=st.tuples(small, small, small, small),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    bias=st.booleans(),
    height=st.integers(3, 8),
    width=st.integers(3, 8),
)
def test_a_net_counts_as_its_arrays_and_as_its_list(
    sizes: Any, kernel: int, stride: int, padding: int, bias: bool, height: int, width: int
) -> None:
    """Two ways to count one net, by arrays and by a list of layers, and the sizes of its arrays."""
    c, f, inner, outputs = sizes
    net = Sequential(
        conv=Conv2d(c, f, kernel, stride, padding, bias),
        stage=residual(Sequential(conv=Conv2d(f, f), se=SqueezeExcite(f, 1, bias=bias))),
        relu=Apply(se.relu),
        pool=Apply(se.global_avg_pool),
        hidden=Linear(f, inner, bias),
        classify=Linear(inner, outputs),
    )
    counted = costs.count_net(net, (c, height, width))
    assert " ".join(counted) == "conv stage.branch.conv stage.branch.se relu pool hidden classify"
    params = net.init(np.random.default_rng(1))
    for place, cost in counted.items():
        own = (a.size for key, a in params.items() if key.rpartition(".")[0] == place)
        assert cost.parameters == sum(own)
    x = np.ones((1, c, height, width), np.float32)
    size = net.layers["conv"](net.own_params(params, "conv"), x)[0].shape[2:]
    layers = [
        Conv(c, f, kernel, (height, width), stride, bias=bias, padding=padding),
        Conv(f, f, 3, size, bias=True),
        SEBlock(f, size, ratio=1, bias=bias),
        FullyConnected(f, inner, bias),
        FullyConnected(inner, outputs),
    ]
    assert total(counted.values()) == count(layers)


def test_the_tiny_net() -> None:
    counted = costs.count_net(tiny_net(), (1, 28, 28))
    assert total(counted.values()).parameters == 31_882
    assert total(costs.count_net(tiny_net(ratio=None), (1, 28, 28)).values()).parameters == 29_066
    assert counted["conv2"].macs == 16 * 32 * 9 * 14 * 14
    entries = 32 * 14 * 14
    assert counted["se2"] == Cost(
        se_weights=512, se_macs=512, se_squeezes=entries, se_scales=entries
    )
    assert counted["relu1"] == Cost()


def test_batch_norm_in_a_net_counts_as_in_a_list() -> None:
    counted = costs.count_net(Sequential(norm=nets.BatchNorm(5)), (5, 2, 3))
    assert counted["norm"] == BatchNorm(5).cost


def test_the_width_of_the_block_follows_the_rule() -> None:
    assert SEBlock(8, (1, 1), ratio=16, rule="timm", bias=True).cost.se_parameters == 2 * 64 + 16
    assert SEBlock(8, (1, 1), ratio=16, rule="efficientnet").cost.se_weights == 2 * 8


def test_a_block_of_a_given_width() -> None:
    assert SEBlock(8, (1, 1), width=5, bias=True).cost.se_parameters == 2 * 8 * 5 + 8 + 5
    assert costs.change_se([SEBlock(8, (1, 1), width=5)], width=3)[0].cost.se_weights == 2 * 8 * 3


def test_rows_of_a_table() -> None:
    layers = [FullyConnected(4, 10, bias=False), BatchNorm(10), SEBlock(4, (1, 2), 2)]
    assert costs.table_rows({"a": count(layers), "b": count(layers[:2])}) == [
        ("a", 76, 40 + 32, 16 / 60, 32 / 40),
        ("b", 60, 40, 0.0, 0.0),
    ]
    with pytest.raises(ValueError, match="'c' has 0 parameters and 0 operations without SE"):
        costs.table_rows({"c": count(layers[2:])})


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Conv(0, 4, 3, (8, 8)), ValueError, "Conv: channels is 0; it wants at least 1"),
        (lambda: Conv(3, 4.0, 3, (8, 8)), TypeError, "filters is 4.0; it wants a whole number"),
        (lambda: Conv(3, 4, 3, (8, 8), stride=0), ValueError, "stride is 0"),
        (lambda: Conv(3, 4, 3, (8, 8), padding=-1), ValueError, "padding is -1"),
        (lambda: Conv(3, 4, 3, 8), TypeError, r"map_size is 8; it wants \(H, W\)"),
        (lambda: Conv(3, 4, 3, (8, 0)), ValueError, "a side of map_size is 0"),
        (lambda: Conv(6, 4, 3, (8, 8), groups=3), ValueError, "groups is 3; it wants a divisor"),
        (lambda: Conv(4, 6, 3, (8, 8), groups=4), ValueError, "groups is 4; it wants a divisor"),
        (lambda: Conv(3, 4, 5, (8, 4), padding=0), ValueError, "kernel is 5; it wants at most"),
        (lambda: FullyConnected(0, 4), ValueError, "FullyConnected: inputs is 0"),
        (lambda: FullyConnected(4, 0), ValueError, "FullyConnected: outputs is 0"),
        (lambda: BatchNorm(0), ValueError, "BatchNorm: channels is 0"),
        (lambda: SEBlock(8, (4, 4), ratio=16), ValueError, "leave no hidden unit"),
        (
            lambda: SEBlock(8, (4, 4), width=0),
            ValueError,
            "SEBlock: width is 0; it wants at least 1",
        ),
        (lambda: SEBlock(8, (4,), ratio=2), TypeError, r"SEBlock: map_size is \(4,\)"),
        (lambda: costs.resnet(34), ValueError, "resnet: depth is 34; it wants one of 50, 101, 152"),
        (lambda: costs.resnext(152), ValueError, "resnext: depth is 152; it wants one of 50, 101"),
        (lambda: costs.added_weights([(3, 0)]), ValueError, "a number of channels is 0"),
        (lambda: costs.added_weights([(0, 3)]), ValueError, "a number of blocks is 0"),
        (lambda: costs.added_weights([], ratio=0.5), ValueError, "ratio is 0.5"),
        (lambda: costs.change_se(RESNET50, ration=8), TypeError, "ration"),
        (lambda: costs.count_net(Conv2d(3, 4), (3, 8, 8)), TypeError, "net is a Conv2d"),
        (lambda: costs.count_net(tiny_net(), 28), TypeError, "shape is 28; it wants a tuple"),
        (lambda: costs.count_net(tiny_net(), (1, 28, 0)), ValueError, "an entry of shape is 0"),
        (lambda: costs.count_net(tiny_net(), (3, 28, 28)), ValueError, "conv2d"),
    ],
)
def test_what_is_refused(make: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make()


class Shift(Layer):
    """A layer with parameters of a kind that the package does not know."""

    names = ("b",)

    def init(self, rng: Any, dtype: Any = np.float32) -> Any:
        return {"b": np.zeros(3, dtype)}

    def __call__(self, params: Any, x: Any) -> Any:
        return x + params["b"], None


def test_a_layer_of_an_unknown_kind_is_named() -> None:
    net = Sequential(first=Linear(2, 3), shift=Shift())
    with pytest.raises(TypeError, match="Shift has parameters; it wants a method counts"):
        costs.count_net(net, (2,))
