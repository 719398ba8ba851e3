"""Typical use of the package, as type checkers see it.

test_typing.py runs it, and checks it by mypy --strict and by pyright. What has the comment
``type: ignore`` must be an error to both.
"""

# pyright: strict, reportUnnecessaryTypeIgnoreComment=true

from typing import assert_type

import numpy as np

import numpy_se as se
from numpy_se import fused
from numpy_se.contract import Array
from numpy_se.nets import Apply, Conv2d, Linear, Sequential, SqueezeExcite, residual
from numpy_se.nets.layer import Params
from numpy_se.optim import SGD

rng = np.random.default_rng(0)
x: Array = rng.standard_normal((2, 3, 5, 4))
w, b = rng.standard_normal((4, 3, 3, 3)), rng.standard_normal(4)
w1, w2 = rng.standard_normal((2, 3)), rng.standard_normal((3, 2))
b1, b2 = rng.standard_normal(2), rng.standard_normal(3)


def convolutions() -> None:
    y, backward = se.conv2d(x, w, padding=1)
    assert_type(backward(y), tuple[Array, Array])
    y, backward_b = se.conv2d(x, w, b, padding=1)
    assert_type(backward_b(y), tuple[Array, Array, Array])
    y, backward_data = se.conv2d(x, w, b, input_grad=False)
    assert_type(backward_data(y), tuple[None, Array, Array])
    y, backward_no_b = se.conv2d(x, w, stride=2, input_grad=False)
    _, dw = backward_no_b(y)
    assert_type(dw, Array)


def layers() -> None:
    z, back_pool = se.global_avg_pool(x)
    assert_type(back_pool(z), Array)
    y, back_linear = se.linear(z, w1)
    dz, dw1 = back_linear(y)
    assert_type(dz, Array)
    assert_type(dw1, Array)
    y, back_bias = se.linear(z, w1, b1)
    assert_type(back_bias(y)[2], Array)
    y, back_norm = se.batch_norm(x, b2, b2)
    assert_type(back_norm(y), tuple[Array, Array, Array])
    loss, back_loss = se.softmax_cross_entropy(z, np.array([0, 2]))
    assert_type(back_loss(1.0), Array)
    print(float(loss))


def blocks() -> None:
    for block in (se.squeeze_excite, fused.squeeze_excite):
        y, backward = block(x, w1, w2, gate=se.hard_sigmoid, squeeze=se.global_max_pool)
        dx, dw1, dw2 = backward(y)
        assert_type(dw2, Array)
    y, backward_b = se.squeeze_excite(x, w1, w2, b1, b2)
    dx, dw1, dw2, db1, db2 = backward_b(y)
    assert_type(db2, Array)
    s, back_gates = se.excitation(x, w1, w2)
    assert_type(back_gates(s)[2], Array)
    s, back_excite = se.excite(x.mean(axis=(2, 3)), w1, w2, b1, b2)
    assert_type(back_excite(s)[4], Array)
    print(dx, dw1, dw2, db1)


def nets() -> None:
    net = Sequential(
        conv=Conv2d(3, 8), relu=Apply(se.relu), pool=Apply(se.global_avg_pool), last=Linear(8, 2)
    ).after("relu", se=SqueezeExcite(8, width=3), more=residual(Conv2d(8, 8)))
    params = net.init(rng, np.float64)
    y, backward = net(params, x)
    dx, grads = backward(y)
    assert_type(grads, Params)
    rule = SGD(momentum=0.9)
    params, state = rule.step(params, grads, rule.init(params), lr=0.1)
    assert_type(net.gates(params, x)["se"], Array)
    print(dx, state)


def mistakes() -> None:
    y, backward = se.conv2d(x, w)
    _dx, _dw, _db = backward(y)  # type: ignore
    y, backward_data = se.conv2d(x, w, input_grad=False)
    print(backward_data(y)[0].shape)  # type: ignore
    y, backward_block = se.squeeze_excite(x, w1, w2)
    backward_block(None)  # type: ignore
    se.excite(x, w1, w2, squeeze=se.global_avg_pool)  # type: ignore
    Sequential(Linear(3, 4))  # type: ignore
    SqueezeExcite(8, gate="sigmoid")  # type: ignore


if __name__ == "__main__":
    convolutions()
    layers()
    blocks()
    nets()
