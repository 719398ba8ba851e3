"""The relatives beside the modules of timm, in float64: y and all gradients."""

import importlib.util
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import numpy_se as se
from numpy_se import relatives as re

torch = pytest.importorskip("torch")


def timm_layers() -> Any:
    """Import ``timm.layers`` alone. torchvision, which it wants for one class, is gigabytes."""
    found = importlib.util.find_spec("timm")
    if found is None:
        pytest.skip("timm is not installed", allow_module_level=True)
    stand_in: Any = ModuleType("torchvision.ops.misc")
    stand_in.FrozenBatchNorm2d = type("FrozenBatchNorm2d", (torch.nn.Module,), {})
    package = ModuleType("timm")
    package.__path__ = list(found.submodule_search_locations or ())
    with pytest.MonkeyPatch.context() as patch:
        for name in ("torchvision", "torchvision.ops"):
            patch.setitem(sys.modules, name, ModuleType(name))
        patch.setitem(sys.modules, "torchvision.ops.misc", stand_in)
        patch.setitem(sys.modules, "timm", package)
        return importlib.import_module("timm.layers")


timm = timm_layers()
C = 8
relu6 = torch.nn.functional.relu6


def cbam() -> Any:
    """In evaluation: the batch norm behind its convolution has no place in the paper."""
    module = timm.cbam.CbamModule(C, rd_channels=3, spatial_kernel_size=3).double()
    module.spatial.conv.bn.eps = 0.0
    return module.eval()


def effective_se() -> Any:
    """With the gate written out: PyTorch's own rounds 1/6 to float32 in its gradient."""
    module = timm.EffectiveSEModule(C)
    module.gate = type("Gate", (torch.nn.Module,), {"forward": lambda _, u: relu6(u + 3) / 6})()
    return module


def global_context(part: str, **options: bool) -> Any:
    """With the eps of PyTorch's layer norm, as in the authors' code."""
    module = timm.GlobalContext(C, rd_channels=3, **options)
    getattr(module, part).norm.eps = 1e-5
    return module


def in_flat(weight: Any) -> Any:
    return weight.flatten(1)  # 1x1 kernels as a matrix


def line(weight: Any) -> Any:
    return weight.flatten()


def gather_excite(**options: Any) -> Any:
    return timm.GatherExcite(C, use_mlp=False, norm_layer=None, **options)


# A module, our operation, and which of its parameters are ours, in which form.
PAIRS: dict[str, tuple[Callable[[], Any], Any, dict[str, Any]]] = {
    "SE": (
        lambda: timm.SEModule(C, rd_channels=3),
        se.squeeze_excite,
        {"fc1.weight": in_flat, "fc2.weight": in_flat, "fc1.bias": line, "fc2.bias": line},
    ),
    "SE with SiLU": (
        lambda: timm.SEModule(C, rd_channels=3, act_layer="silu", bias=False),
        partial(se.squeeze_excite, activation=se.silu),
        {"fc1.weight": in_flat, "fc2.weight": in_flat},
    ),
    "eSE": (
        effective_se,
        re.effective_se,
        {"fc.weight": in_flat, "fc.bias": line},
    ),
    "ECA": (lambda: timm.EcaModule(kernel_size=5), re.eca, {"conv.weight": line}),
    "CECA": (
        lambda: timm.CecaModule(kernel_size=5),
        partial(re.eca, circular=True),
        {"conv.weight": line},
    ),
    "CBAM": (
        cbam,
        re.cbam,
        {
            "channel.fc1.weight": in_flat,
            "channel.fc2.weight": in_flat,
            "spatial.conv.conv.weight": lambda w: w,
        },
    ),
    "GE": (gather_excite, re.gather_excite, {}),
    "GE over 2": (lambda: gather_excite(extent=2), partial(re.gather_excite, extent=2), {}),
    "GE over 4": (lambda: gather_excite(extent=4), partial(re.gather_excite, extent=4), {}),
    "GC": (
        lambda: global_context("mlp_scale"),
        partial(re.global_context, gate=se.sigmoid),
        {
            "conv_attn.weight": line,
            "mlp_scale.fc1.weight": in_flat,
            "mlp_scale.fc2.weight": in_flat,
            "mlp_scale.norm.weight": line,
            "mlp_scale.norm.bias": line,
            "mlp_scale.fc1.bias": line,
            "mlp_scale.fc2.bias": line,
        },
    ),
    "GC that adds": (
        lambda: global_context("mlp_add", fuse_add=True, fuse_scale=False),
        re.global_context,
        {
            "conv_attn.weight": line,
            "mlp_add.fc1.weight": in_flat,
            "mlp_add.fc2.weight": in_flat,
            "mlp_add.norm.weight": line,
            "mlp_add.norm.bias": line,
            "mlp_add.fc1.bias": line,
            "mlp_add.fc2.bias": line,
        },
    ),
}


def drawn(module: Any, seed: int) -> Any:
    """The module in float64, all of its parameters drawn anew: some begin as zeros."""
    module = module.double()
    generator = torch.Generator().manual_seed(seed)
    for own in module.parameters():
        with torch.no_grad():
            own.copy_(torch.randn(own.shape, generator=generator, dtype=torch.float64))
    if hasattr(module, "spatial"):  # CBAM's batch norm in evaluation is a factor and a shift
        torch.nn.init.ones_(module.spatial.conv.bn.weight)
        torch.nn.init.zeros_(module.spatial.conv.bn.bias)
    return module


@pytest.mark.parametrize("title", PAIRS)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(2, 3),
    size=st.tuples(st.integers(4, 7), st.integers(4, 7)).filter(lambda s: s[0] != s[1]),
)
def test_parity_with_timm(title: str, seed: int, batch: int, size: tuple[int, int]) -> None:
    make, op, forms = PAIRS[title]
    module = drawn(make(), seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, C, *size))
    dy = rng.standard_normal(x.shape)

    taken = torch.tensor(x, requires_grad=True)
    wanted = module(taken)
    wanted.backward(torch.tensor(dy))
    own = dict(module.named_parameters())
    weights = [form(own[name].detach()).numpy().copy() for name, form in forms.items()]
    gradients = [form(own[name].grad).numpy() for name, form in forms.items()]

    y, backward = op(x, *weights)
    found = backward(dy)
    found = found if isinstance(found, tuple) else (found,)
    np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=1e-9, atol=1e-9)
    for grad, want in zip(found, [taken.grad.numpy(), *gradients], strict=True):
        np.testing.assert_allclose(grad, want, rtol=1e-9, atol=1e-9)


def test_the_size_of_the_kernel_is_that_of_timm() -> None:
    for channels in range(2, 2049):
        module = timm.EcaModule(channels)
        assert max(3, re.eca_size(channels)) == module.conv.kernel_size[0]
