"""Layers with statistics, nets and a whole run beside the same in PyTorch, in float64."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import seeds

import numpy_se as se
from numpy_se.nets import BatchNorm, Conv2d, Sequential, se_resnet, tiny_net
from numpy_se.optim import SGD, Adam, one_cycle

torch = pytest.importorskip("torch")
from se_resnet_torch import F, se_resnet_torch  # noqa: E402

torch.set_num_threads(1)  # these nets are small, and other tests run beside

NAMES = {
    "conv.w": "conv.weight",
    "conv.b": "conv.bias",
    "norm.gamma": "norm.weight",
    "norm.beta": "norm.bias",
    "norm.mean": "norm.running_mean",
    "norm.variance": "norm.running_var",
}


@given(
    shape=st.tuples(*(st.integers(low, 5) for low in (2, 1, 1, 2))),
    seed=seeds,
    momentum=st.floats(0.01, 1),
)
def test_batch_norm_in_both_modes(shape: Any, seed: int, momentum: float) -> None:
    rng = np.random.default_rng(seed)
    ours = BatchNorm(shape[1], momentum=momentum)
    theirs = torch.nn.BatchNorm2d(shape[1], momentum=momentum, dtype=torch.float64)
    params = ours.init(rng, np.float64)
    for name, tensor in (("gamma", theirs.weight), ("beta", theirs.bias)):
        params[name] = rng.standard_normal(shape[1])
        tensor.data = torch.tensor(params[name])
    for training in (True, True, False):
        theirs.train(training)
        x, dy = rng.normal(2, 3, shape), rng.standard_normal(shape)
        tensor = torch.tensor(x, requires_grad=True)
        want = theirs(tensor)
        wanted = torch.autograd.grad(want, [tensor, *theirs.parameters()], torch.tensor(dy))
        y, backward, after = ours.train(params, x, rng) if training else (*ours(params, x), {})
        params |= after
        dx, grads = backward(dy)
        close(y, want)
        for grad, want in zip((dx, grads["gamma"], grads["beta"]), wanted, strict=True):
            close(grad, want)
        close(params["mean"], theirs.running_mean)
        close(params["variance"], theirs.running_var)


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize(
    ("depth", "ratio", "place"),
    [
        (8, 4, "standard"),
        (14, 2, "standard"),
        (8, None, "standard"),
        (8, 4, "pre"),
        (8, 4, "post"),
        (8, 4, "identity"),
    ],
)
def test_a_whole_se_resnet(depth: int, ratio: Any, place: Any, training: bool) -> None:
    rng = np.random.default_rng(depth)
    net = se_resnet(depth, ratio, 4, place=place, channels=2, classes=3)
    params = {
        key: a + rng.uniform(0.1, 0.6, a.shape) if a.ndim == 1 else a
        for key, a in net.init(rng, np.float64).items()
    }
    x, labels = rng.standard_normal((4, 2, 13, 10)), rng.integers(0, 3, 4)
    tensors = {key: torch.tensor(a) for key, a in params.items()}
    images = torch.tensor(x, requires_grad=True)
    trained = [tensors[name].requires_grad_() for name in net.names]
    want = se_resnet_torch(
        tensors, images, depth, place, with_se=ratio is not None, training=training
    )
    want_loss = F.cross_entropy(want, torch.tensor(labels))
    wanted = torch.autograd.grad(want_loss, [images, *trained])

    y, backward, after = net.train(params, x, rng) if training else (*net(params, x), {})
    loss, backward_loss = se.softmax_cross_entropy(y, labels)
    dx, grads = backward(backward_loss(1.0))
    close(y, want)
    assert loss == pytest.approx(want_loss.item(), rel=1e-10)
    close(dx, wanted[0])
    for name, want in zip(net.names, wanted[1:], strict=True):
        close(grads[name], want)
    assert set(after) == set(net.statistics if training else ())
    for name, value in after.items():
        close(value, tensors[name])


def tiny_net_torch(p: Any, x: Any) -> Any:
    """The tiny net in plain PyTorch, with the parameters of ours."""
    for k in "123":
        x = F.relu(F.conv2d(x, p[f"conv{k}.w"], p[f"conv{k}.b"], padding=1))
        z = x.mean((2, 3))
        s = torch.sigmoid(F.relu(z @ p[f"se{k}.w1"].T) @ p[f"se{k}.w2"].T)
        x = F.max_pool2d(x * s[:, :, None, None], 2)
    return F.linear(x.flatten(1), p["classify.w"], p["classify.b"])


RULES = {
    "SGD": (
        SGD(weight_decay=1e-3),
        lambda groups: torch.optim.SGD(groups, lr=1.0, momentum=0.9),
        0.05,
    ),
    "AdamW": (
        Adam(weight_decay=1e-2),
        lambda groups: torch.optim.AdamW(groups, lr=1.0),
        0.003,
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_whole_run_is_that_of_pytorch(name: str) -> None:
    """150 steps: same first weights, batches and learning rates, another implementation."""
    rule, make, peak = RULES[name]
    rng = np.random.default_rng(0)
    net = tiny_net(4, 3, (1, 16, 12))
    params = net.init(rng, np.float64)
    tensors = {key: torch.tensor(a, requires_grad=True) for key, a in params.items()}
    groups = [
        {"params": [t for t in tensors.values() if t.ndim > 1], "weight_decay": rule.weight_decay},
        {"params": [t for t in tensors.values() if t.ndim == 1], "weight_decay": 0.0},
    ]
    theirs, state = make(groups), rule.init(params)
    x, labels = rng.standard_normal((120, 1, 16, 12)), rng.integers(0, 3, 120)
    for step in range(150):
        batch, lr = rng.integers(0, 120, 12), one_cycle(step, 150, peak)
        y, backward = net(params, x[batch])
        loss, backward_loss = se.softmax_cross_entropy(y, labels[batch])
        _, grads = backward(backward_loss(1.0))
        params, state = rule.step(params, grads, state, lr)

        want = F.cross_entropy(
            tiny_net_torch(tensors, torch.tensor(x[batch])), torch.tensor(labels[batch])
        )
        theirs.zero_grad()
        want.backward()
        for group in theirs.param_groups:
            group["lr"] = lr
        theirs.step()
        assert loss == pytest.approx(want.item(), rel=1e-10, abs=1e-12)
    for key, param in params.items():
        close(param, tensors[key])


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-9, atol=1e-10)


def test_weights_of_pytorch_go_into_a_net_by_name() -> None:
    theirs = torch.nn.Sequential()
    theirs.add_module("conv", torch.nn.Conv2d(1, 4, 3, padding=1))
    theirs.add_module("norm", torch.nn.BatchNorm2d(4))
    theirs.double().eval()
    net = Sequential(conv=Conv2d(1, 4), norm=BatchNorm(4))
    params = {ours: theirs.state_dict()[key].numpy() for ours, key in NAMES.items()}
    x = np.random.default_rng(0).standard_normal((2, 1, 5, 6))
    close(net(params, x)[0], theirs(torch.tensor(x)))
