"""What a network costs, and what its SE blocks add: parameters and operations, counted exactly.

An architecture is a plain list of layers, and ``count`` adds up what each of them costs:

    layers = resnet(50)                                 # the official SE-ResNet-50
    layers = change_se(layers, ratio=8, bias=False)     # another ratio, as in Table 10
    count(layers).parameters, count(without_se(layers)).parameters

    layers = [Conv(3, 32, kernel=3, map_size=(32, 32)), BatchNorm(32), SEBlock(32, (32, 32), 8)]
    costs = count_net(tiny_net(), (1, 28, 28))          # a net of numpy_se.nets, layer by layer

The convention, the same for all nets and all tables (``operations``):

- An operation is a multiplication with its addition, or one of the two alone. The paper's tables
  call it a FLOP; others count a multiplication and its addition as two.
- A convolution has one for each weight and each pixel of its output, a fully connected layer one
  for each weight.
- An SE block has those of its two layers. Squeezing adds one for each entry of the map, scaling
  another one. So it is for its relatives: what each of them adds up and scales stands with its
  layer, and maxima are free.
- Not counted: biases, batch norm (it folds into the convolution before it), activations, other
  pooling, residual sums, concatenation, dropout. So a list of layers leaves out what has neither
  parameters nor counted operations.
- Parameters are what training updates. The running means and variances of batch norm stand apart
  (``statistics``). The paper's parameter columns contain them, and contain no SE biases.

With it, the counts have the digits that the paper prints, but for these:

    Table 2, GFLOPs     printed   counted  with residual sums
    ResNet-101           7.58      7.57     7.58
    SE-ResNet-101        7.60      7.59     7.60
    ResNet-152          11.30     11.28    11.30
    ResNeXt-50           4.24      4.23     4.24
    SE-ResNeXt-50        4.25      4.24     4.25
    ResNeXt-101          7.99      7.97     7.98
    SE-ResNeXt-101       8.00      7.99     8.00
    SE-VGG-16           15.48     15.50    15.50
    Table 10, r = 8     30.7M     30.6M

The last column adds one operation for each entry of each residual sum. It fits most of these rows
but not ResNeXt-101, and it misses others that fit without it: SE-ResNet-50 (3.88, printed 3.87),
SE-ResNet-152 (11.33, printed 11.32) and the three stages of Table 13 (3.87, printed 3.86). So the
tables follow neither rule throughout. SE-VGG-16 would have 15.48 with one SE block for each stage
instead of one for each convolution. Not covered: Inception-ResNet-v2 in Table 2, and Table 3.

Source: Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", arXiv 1709.01507.
"""

from numpy_se.costs.counting import Row, added_weights, change_se, count, table_rows, without_se
from numpy_se.costs.layers import BatchNorm, Conv, Cost, FullyConnected, Layer, SEBlock
from numpy_se.costs.models import bn_inception, official_models, resnet, resnext, senet154, vgg16
from numpy_se.costs.net import count_net

__all__ = [
    "BatchNorm",
    "Conv",
    "Cost",
    "FullyConnected",
    "Layer",
    "Row",
    "SEBlock",
    "added_weights",
    "bn_inception",
    "change_se",
    "count",
    "count_net",
    "official_models",
    "resnet",
    "resnext",
    "senet154",
    "table_rows",
    "vgg16",
    "without_se",
]
