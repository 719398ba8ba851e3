"""Every operation and all of its gradients beside PyTorch's, in float64."""

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given
from hypothesis import strategies as st
from strategies import arguments, as_tuple, gaussian_arguments, over_floats, seeds

import numpy_se as se

torch = pytest.importorskip("torch")
torch_relatives = pytest.importorskip("torch_relatives")
F = torch.nn.functional

SQUEEZES = {
    "global_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "global_max_pool": lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
}
GATES = {
    "silu": F.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": F.relu,
    "hard_sigmoid": lambda x: F.relu6(x + 3) / 6,  # hardsigmoid's gradient rounds 1/6 to float32
}


def excite(
    z: Any,
    w1: Any,
    w2: Any,
    b1: Any = None,
    b2: Any = None,
    *,
    activation: Any = se.relu,
    gate: Any = se.sigmoid,
) -> Any:
    a = GATES[activation.__name__](F.linear(z, w1, b1))
    return GATES[gate.__name__](F.linear(a, w2, b2))


def excitation(x: Any, *weights: Any, squeeze: Any = se.global_avg_pool, **options: Any) -> Any:
    return excite(SQUEEZES[squeeze.__name__](x), *weights, **options)


def squeeze_excite(x: Any, *weights: Any, **options: Any) -> Any:
    return x * excitation(x, *weights, **options)[:, :, None, None]


def batch_norm(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return F.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)


def batch_norm_inference(x: Any, gamma: Any, beta: Any, mean: Any, variance: Any) -> Any:
    """Written out, as PyTorch's has no gradient for the statistics."""
    shaped = (a[:, None, None] for a in (gamma, beta, mean, variance))
    gamma, beta, mean, variance = shaped
    return gamma * (x - mean) / torch.sqrt(variance + 1e-5) + beta


TORCH = {
    **torch_relatives.TORCH,
    **SQUEEZES,
    **GATES,
    "max_pool2d": lambda x, size=2, stride=None: F.max_pool2d(x, size, stride),
    "linear": F.linear,
    "flatten": lambda x: x.flatten(1),
    "channel_scale": lambda x, s: x * s[:, :, None, None],
    "add": lambda x, skip: x + skip,
    "conv2d": F.conv2d,
    "batch_norm": batch_norm,
    "fused_batch_norm": batch_norm,
    "batch_norm_inference": batch_norm_inference,
    "softmax_cross_entropy": F.cross_entropy,
    "excite": excite,
    "excitation": excitation,
    "squeeze_excite": squeeze_excite,
}


def assert_parity(case: Case, args: list[Any], seed: int) -> None:
    op, floats = over_floats(case, args)
    y, backward = op(*floats)
    dy = np.random.default_rng(seed).standard_normal(y.shape)

    tensors = [arg if arg is None else torch.tensor(arg) for arg in args]
    inputs = [t for t in tensors if t is not None and t.is_floating_point()]
    for tensor in inputs:
        tensor.requires_grad_()
    wanted_y = TORCH[case.op.__name__](*tensors, **case.options)
    wanted = torch.autograd.grad(
        wanted_y, inputs, torch.as_tensor(dy, dtype=torch.float64), materialize_grads=True
    )
    np.testing.assert_allclose(y, wanted_y.detach().numpy(), rtol=1e-10, atol=1e-10)
    for grad, want in zip(as_tuple(backward(dy)), wanted, strict=True):
        np.testing.assert_allclose(grad, want.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.title)
@given(data=st.data(), seed=seeds)
def test_parity_on_random_inputs(case: Case, data: Any, seed: int) -> None:
    assert_parity(case, data.draw(gaussian_arguments(case)), seed)


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.op.__name__ in {*SQUEEZES, *GATES, "max_pool2d"}],
    ids=lambda case: case.title,
)
@given(data=st.data(), seed=seeds)
def test_parity_at_kinks_and_ties(case: Case, data: Any, seed: int) -> None:
    """The conventions are PyTorch's: the lattice hits zeros and ties."""
    assert_parity(case, data.draw(arguments(case)), seed)
