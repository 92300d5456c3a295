"""The decoder in PyTorch as people write it: the peer of `benchmarks.train` and of `benchmarks.accelerator`,
in a process of its own.

    python -m benchmarks.torch_peer JOB.json

Needs torch and numpy alone. A job names the shape, the windows a step, the device, and either
a file of JAX's parameters, loss and gradients to compare with, or the arrangement to time.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]  # of another interpreter
import torch.nn.functional as F  # noqa: N812  # pyright: ignore[reportMissingImports]
from torch import Tensor, nn  # pyright: ignore[reportMissingImports]  # the same

TOLERANCE = 1e-4
"""Largest difference from JAX's loss and gradients, over the largest entry of each."""

REPEATS = 5


class CausalConvolution(nn.Module):
    """Each feature plus learned shares of itself at the `length - 1` tokens before."""

    def __init__(self, length: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(length - 1, features))

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        y_BxTxD, length = x_BxTxD, x_BxTxD.shape[1]
        for back, tap_D in enumerate(self.weight.to(x_BxTxD.dtype), start=1):
            y_BxTxD = y_BxTxD + F.pad(x_BxTxD, (0, 0, back, 0))[:, :length] * tap_D
        return y_BxTxD


class Attention(nn.Module):
    """Causal, rotary, keys and values convolved, queries and keys normalized with learned scales."""

    cos: Tensor
    sin: Tensor

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.splits = [c["heads"], c["kv_heads"], c["kv_heads"]]
        self.head_dim = c["head_dim"]
        self.scale = c["max_attention_logit"] / c["head_dim"]
        self.widths = [self.splits[0] * self.head_dim, 2 * self.splits[1] * self.head_dim]
        self.convolution = (
            CausalConvolution(c["kv_convolution"], self.widths[1])
            if c["kv_convolution"] > 1
            else nn.Identity()
        )
        self.qkv = nn.Linear(c["width"], sum(self.splits) * self.head_dim, bias=False)
        self.out = nn.Linear(c["heads"] * self.head_dim, c["width"], bias=False)
        self.query_norm = nn.RMSNorm(self.head_dim, eps=c["norm_eps"])
        self.key_norm = nn.RMSNorm(self.head_dim, eps=c["norm_eps"])
        half = self.head_dim // 2
        inverse_frequency = c["rope_base"] ** (-torch.arange(half) / half)
        angles_TxC2 = torch.arange(c["context_length"])[:, None] * inverse_frequency
        self.register_buffer("cos", angles_TxC2.cos())
        self.register_buffer("sin", angles_TxC2.sin())

    def rotate(self, x_BxHxTxC: Tensor) -> Tensor:
        """Turns each pair of features (i, i + C/2) by its position's angle."""
        a, b = x_BxHxTxC.chunk(2, dim=-1)
        cos, sin = self.cos.to(a.dtype), self.sin.to(a.dtype)
        return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=-1)

    def forward(self, x_BxTxD: Tensor) -> Tensor:
        batch, length, _ = x_BxTxD.shape
        queries, keys_values = self.qkv(x_BxTxD).split(self.widths, dim=-1)
        q = queries.view(batch, length, -1, self.head_dim).transpose(1, 2)
        keys_values = self.convolution(keys_values).view(batch, length, -1, self.head_dim).transpose(1, 2)
        k, v = keys_values.split(self.splits[1:], dim=1)
        # Autocast leaves a norm in float32, which flash attention doesn't take.
        q = self.rotate(self.query_norm(q).to(v.dtype))
        k = self.rotate(self.key_norm(k).to(v.dtype))
        grouped = self.splits[0] != self.splits[1]
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=self.scale, enable_gqa=grouped)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    """SwiGLU."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.up = nn.Linear(c["width"], 2 * c["ff_width"], bias=False)
        self.down = nn.Linear(c["ff_width"], c["width"], bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * value)


class Block(nn.Module):
    """Pre-norm."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(c["width"], eps=c["norm_eps"])
        self.attention = Attention(c)
        self.mlp_norm = nn.RMSNorm(c["width"], eps=c["norm_eps"])
        self.mlp = FeedForward(c)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Model(nn.Module):
    """Mean cross-entropy of windows (B, T+1)."""

    def __init__(self, c: dict[str, Any]) -> None:
        super().__init__()
        self.embedding = nn.Embedding(c["vocab_size"], c["width"])
        self.blocks = nn.ModuleList(Block(c) for _ in range(c["depth"]))
        self.final_norm = nn.RMSNorm(c["width"], eps=c["norm_eps"])
        self.head = nn.Linear(c["width"], c["vocab_size"], bias=False)

    def forward(self, windows_BxT1: Tensor) -> Tensor:
        x = self.embedding(windows_BxT1[:, :-1])
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.final_norm(x))
        return F.cross_entropy(logits.flatten(0, 1).float(), windows_BxT1[:, 1:].flatten())


def main() -> None:
    """Does the job and prints its result as JSON."""
    job = json.loads(Path(sys.argv[1]).read_text())
    torch.set_num_threads(job.get("threads", 1))
    torch.set_float32_matmul_precision("high" if job["device"] == "cuda" else "highest")
    print(json.dumps(compare(job) if "reference" in job else timed(job)))


def compare(job: dict[str, Any]) -> dict[str, float]:
    """Largest relative differences of loss and gradients from JAX's; raises if they pass the tolerance."""
    reference = np.load(job["reference"])
    model = Model(job["model"])
    own = dict(model.named_parameters())
    names = [name.removeprefix("parameter/") for name in reference if name.startswith("parameter/")]
    if sorted(map(_torch_name, names)) != sorted(own):
        raise SystemExit(f"the peers' parameters differ: {sorted(names)} and {sorted(own)}")
    with torch.no_grad():
        for name in names:
            own[_torch_name(name)].copy_(_torch_value(name, reference[f"parameter/{name}"]))
    loss = model(torch.from_numpy(reference["windows"]).long())
    loss.backward()
    errors = {"loss": abs(loss.item() / float(reference["loss"]) - 1)}
    for name in names:
        gradient, wanted = own[_torch_name(name)].grad, _torch_value(name, reference[f"gradient/{name}"])
        assert gradient is not None
        errors[name] = float((gradient - wanted).abs().max() / wanted.abs().max())
    worst = max(errors, key=lambda name: errors[name])
    if not errors[worst] <= TOLERANCE:
        raise SystemExit(f"the torch model is another function: {worst} is off by {errors[worst]:.2g}")
    return {"largest_difference": errors[worst]}


def timed(job: dict[str, Any]) -> dict[str, float]:
    """Tokens per second once warm, the seconds that the first step took, and the most bytes of a GPU.

    `mode`: eager, default or max-autotune-no-cudagraphs (torch.compile's, forward and backward), or step
    (the optimizer compiled as well). `optimizer`: fused or foreach.
    """
    device, c = job["device"], job["model"]
    torch.manual_seed(0)
    model = Model(c).to(device)
    groups = [
        {"params": [p for n, p in model.named_parameters() if _is_decayed(n, p)], "weight_decay": 0.1},
        {"params": [p for n, p in model.named_parameters() if not _is_decayed(n, p)], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), **{job["optimizer"]: True})

    def descend() -> None:
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    mode: Any = job["mode"]
    forward = model if mode == "eager" else torch.compile(model, mode="default" if mode == "step" else mode)
    if mode == "step":
        descend = torch.compile(descend)
    draw = np.random.default_rng(0)
    windows = draw.integers(0, c["vocab_size"], (1000, c["context_length"] + 1)).astype(np.int32)

    def steps(count: int) -> None:
        for _ in range(count):
            batch = torch.from_numpy(windows[draw.integers(0, len(windows), job["batch"])])
            if device == "cuda":
                batch = batch.pin_memory().to(device, non_blocking=True)
            with torch.autocast(device, torch.bfloat16, enabled=job["dtype"] == "bfloat16"):
                loss = forward(batch.long())
            loss.backward()
            descend()
            optimizer.zero_grad(set_to_none=True)
        _finish(device)

    began = time.perf_counter()
    steps(1)
    first = time.perf_counter() - began
    if not job.get("repeats", REPEATS):  # only compiled, for the cache
        return {"first_step_seconds": first}
    steps(min(5, job["steps"]))
    times = []
    for _ in range(job.get("repeats", REPEATS)):
        began = time.perf_counter()
        steps(job["steps"])
        times.append(time.perf_counter() - began)
    tokens = job["steps"] * job["batch"] * c["context_length"]
    found = {"tokens_per_second": tokens / float(np.median(times)), "first_step_seconds": first}
    return found | ({"peak_bytes": torch.cuda.max_memory_allocated()} if device == "cuda" else {})


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _torch_name(name: str) -> str:
    """JAX's blocks.0.mlp.up.kernel is blocks.0.mlp.up.weight, transposed."""
    return "embedding.weight" if name == "embedding" else name.rpartition(".")[0] + ".weight"


def _torch_value(name: str, value: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(value.T if name.endswith("kernel") else value))


def _is_decayed(name: str, parameter: Tensor) -> bool:
    return parameter.ndim >= 2 and "embedding" not in name and "convolution" not in name


if __name__ == "__main__":
    main()
