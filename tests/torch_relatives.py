"""The primitives and blocks around SE, transcribed from their formulas into PyTorch."""

from typing import Any

import torch

F = torch.nn.functional


def channels(a: Any) -> Any:
    return a[:, :, None, None]


def excite(z: Any, w1: Any, w2: Any) -> Any:
    return torch.sigmoid(F.relu(z @ w1.T) @ w2.T)


def one_map(x: Any, w: Any, b: Any = None) -> Any:
    u = torch.einsum("nchw,c->nhw", x, w)[:, None]
    return u if b is None else u + b


def channel_mean_max(x: Any) -> Any:
    return torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True).values], 1)


def channel_correlate(z: Any, w: Any, circular: bool = False) -> Any:
    ends = len(w) // 2
    if circular:
        places = torch.arange(-ends, z.shape[1] + ends) % z.shape[1]
        return F.conv1d(z[:, None, places], w[None, None])[:, 0]
    return F.conv1d(z[:, None], w[None, None], padding=ends)[:, 0]


def channel_normalise(e: Any, eps: float = 1e-5) -> Any:
    return e / torch.sqrt((e * e).mean(1, keepdim=True) + eps)


def global_std_pool(x: Any, eps: float = 1e-5) -> Any:
    return torch.sqrt(x.flatten(2).var(2, unbiased=False) + eps)


def style_pool(x: Any, eps: float = 1e-5) -> Any:
    return torch.stack([x.mean((2, 3)), global_std_pool(x, eps)], 2)


def global_l2_pool(x: Any, eps: float = 1e-5) -> Any:
    return torch.sqrt((x * x).sum((2, 3)) + eps)


def depthwise_conv2d(x: Any, w: Any, stride: int, padding: int) -> Any:
    return F.conv2d(x, w[:, None], stride=stride, padding=padding, groups=len(w))


def eca_gates(x: Any, w: Any, circular: bool) -> Any:
    return torch.sigmoid(channel_correlate(x.mean((2, 3)), w, circular))


def spatial_gates(x: Any, w: Any, b: Any = None) -> Any:
    return torch.sigmoid(one_map(x, w, b))


def scse(x: Any, w1: Any, w2: Any, w: Any) -> Any:
    return x * channels(excite(x.mean((2, 3)), w1, w2)) + x * spatial_gates(x, w)


def channel_attention_gates(x: Any, w1: Any, w2: Any) -> Any:
    u = F.relu(x.mean((2, 3)) @ w1.T) @ w2.T
    flat = F.adaptive_max_pool2d(x, 1).flatten(1)  # its gradient goes to the first maximum
    return torch.sigmoid(u + F.relu(flat @ w1.T) @ w2.T)


def spatial_attention_gates(x: Any, w: Any) -> Any:
    return torch.sigmoid(F.conv2d(channel_mean_max(x), w, padding=w.shape[2] // 2))


def cbam(x: Any, w1: Any, w2: Any, w: Any) -> Any:
    x = x * channels(channel_attention_gates(x, w1, w2))
    return x * spatial_attention_gates(x, w)


def mean_gates(x: Any) -> Any:
    return torch.sigmoid(x.mean((2, 3)))


def window_gates(x: Any, extent: int) -> Any:
    z = F.avg_pool2d(x, 2 * extent - 1, extent, extent - 1, count_include_pad=False)
    return torch.sigmoid(F.interpolate(z, x.shape[2:]))


def convolved_gates(x: Any, w: Any) -> Any:
    z = x
    for k, kernel in enumerate(w):
        z = depthwise_conv2d(F.relu(z) if k else z, kernel, 2, 1)
    return torch.sigmoid(F.interpolate(z, x.shape[2:]))


def gather_excite(x: Any, w: Any = None, extent: int | None = None) -> Any:
    if w is None and extent is None:
        return x * channels(mean_gates(x))
    return x * (window_gates(x, extent or 0) if w is None else convolved_gates(x, w))


def effective_gates(x: Any, w: Any, b: Any = None) -> Any:
    return F.relu6(F.linear(x.mean((2, 3)), w, b) + 3) / 6


def srm_gates(x: Any, w: Any, gamma: Any, beta: Any) -> Any:
    u = w[:, 0] * x.mean((2, 3)) + w[:, 1] * global_std_pool(x)
    return torch.sigmoid(F.batch_norm(u, None, None, gamma, beta, training=True))


def gct_gates(x: Any, alpha: Any, gamma: Any, beta: Any, eps: float) -> Any:
    n = channel_normalise(alpha * global_l2_pool(x, eps), eps)
    return 1 + torch.tanh(gamma * n + beta)


def attention_pool(x: Any, wk: Any) -> Any:
    a = torch.softmax(one_map(x, wk).flatten(2), dim=2)
    return (x.flatten(2) * a).sum(2)


def context(x: Any, wk: Any, w1: Any, w2: Any, gamma: Any, beta: Any, b1: Any, b2: Any) -> Any:
    u = F.linear(attention_pool(x, wk), w1, b1)
    return F.linear(F.relu(F.layer_norm(u, u.shape[1:], gamma, beta)), w2, b2)


def global_context(x: Any, *weights: Any, gate: Any) -> Any:
    t = channels(context(x, *weights))
    return x + t if gate is None else x * torch.sigmoid(t)


def scales_and_biases(x: Any, w1: Any, w2: Any, b1: Any, b2: Any) -> Any:
    return F.linear(F.relu(F.linear(x.mean((2, 3)), w1, b1)), w2, b2)


def scale_and_shift(x: Any, uv: Any) -> Any:
    u, v = uv.chunk(2, 1)
    return channels(torch.sigmoid(u)) * x + channels(v)


TORCH = {
    "pixel_scale": lambda x, s: x * s,
    "channel_shift": lambda x, v: x + channels(v),
    "one_map": one_map,
    "channel_mean_max": channel_mean_max,
    "channel_correlate": channel_correlate,
    "channel_normalise": channel_normalise,
    "global_std_pool": global_std_pool,
    "style_pool": style_pool,
    "global_l2_pool": global_l2_pool,
    "weighted_pool": lambda x, a: (x * a).sum((2, 3)),
    "softmax": lambda x: torch.softmax(x, dim=-1),
    "layer_norm": lambda x, g, b, eps: F.layer_norm(x, x.shape[1:], g, b, eps),
    "depthwise_conv2d": depthwise_conv2d,
    "avg_pool2d": lambda x, size, stride, padding: F.avg_pool2d(
        x, size, stride, padding, count_include_pad=False
    ),
    "resize_nearest": lambda x, height, width: F.interpolate(x, (height, width)),
    "eca_gates": eca_gates,
    "eca": lambda x, *rest, **options: x * channels(eca_gates(x, *rest, **options)),
    "spatial_gates": spatial_gates,
    "spatial_se": lambda x, *rest: x * spatial_gates(x, *rest),
    "scse": scse,
    "channel_attention_gates": channel_attention_gates,
    "spatial_attention_gates": spatial_attention_gates,
    "cbam": cbam,
    "mean_gates": mean_gates,
    "window_gates": window_gates,
    "convolved_gates": convolved_gates,
    "gather_excite": gather_excite,
    "effective_gates": effective_gates,
    "effective_se": lambda x, *rest: x * channels(effective_gates(x, *rest)),
    "srm_gates": srm_gates,
    "srm": lambda x, *rest: x * channels(srm_gates(x, *rest)),
    "gct_gates": gct_gates,
    "gct": lambda x, *rest, **options: x * channels(gct_gates(x, *rest, **options)),
    "attention_pool": attention_pool,
    "context": context,
    "global_context": global_context,
    "scales_and_biases": scales_and_biases,
    "scale_and_shift": scale_and_shift,
    "scale_bias_se": lambda x, *rest: scale_and_shift(x, scales_and_biases(x, *rest)),
}
