"""SE-ResNet in plain PyTorch, to compare with."""

from typing import Any

import torch

F = torch.nn.functional


def se_resnet_torch(
    p: Any, x: Any, depth: int, place: str = "standard", *, with_se: bool = True, training: bool
) -> Any:
    """SE-ResNet from its papers, on the tensors ``p``, which have the names of ``numpy_se.nets``.

    In training, the statistics among them are updated in place.
    """

    def conv(name: str, x: Any, stride: int = 1) -> Any:
        return F.conv2d(x, p[f"{name}.w"], stride=stride, padding=p[f"{name}.w"].shape[2] // 2)

    def norm(name: str, x: Any) -> Any:
        keys = ("mean", "variance", "gamma", "beta")
        return F.batch_norm(x, *(p[f"{name}.{key}"] for key in keys), training=training)

    def se_block(name: str, x: Any) -> Any:
        hidden = F.relu(x.mean(dim=(2, 3)) @ p[f"{name}.w1"].T)
        return x * torch.sigmoid(hidden @ p[f"{name}.w2"].T)[:, :, None, None]

    x = F.relu(norm("norm", conv("conv", x)))
    for stage in (1, 2, 3):
        for number in range(1, (depth - 2) // 6 + 1):
            unit, stride = f"unit{stage}_{number}", 2 if stage > 1 and number == 1 else 1
            branch, shortcut = f"{unit}.sum.branch", f"{unit}.sum.shortcut"
            a = se_block(f"{branch}.se", x) if with_se and place == "pre" else x
            a = F.relu(norm(f"{branch}.norm1", conv(f"{branch}.conv1", a, stride)))
            a = norm(f"{branch}.norm2", conv(f"{branch}.conv2", a))
            if with_se and place == "standard":
                a = se_block(f"{branch}.se", a)
            b = x
            if stride == 2:
                b = norm(f"{shortcut}.norm", conv(f"{shortcut}.conv", b, stride))
            if with_se and place == "identity":
                b = se_block(f"{shortcut}.se", b)
            x = F.relu(a + b)
            if with_se and place == "post":
                x = se_block(f"{unit}.se", x)
    return F.linear(x.mean(dim=(2, 3)), p["classify.w"], p["classify.b"])
