"""Exact parameters and FLOPs, by component, under every counting convention of the run table.

A multiply-add is two FLOPs. Products with parameters and attention's count, as in Hoffmann et al. (2022),
appendix F: norms, rotations, softmax and look-ups are free. Attention counts in full, masked half included;
`causal_half` is what a kernel that skips the masked half saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isoflop.base.errors import UserError

BACKWARD_OVER_FORWARD = 2
"""Each product x @ w has two gradients, one for x and one for w, of its own size."""

COUNTS = ("total", "non_embedding", "body")


@dataclass(frozen=True)
class Ledger:
    """What one model costs.

    `parameters`: component -> number of parameters. `forward`: component -> FLOPs per token, forward pass.
    `idle`: component -> how many of its parameters a single token doesn't visit (experts of others).
    `tied`: the head's matrix is the embedding's, and stands under `head`.
    """

    parameters: Mapping[str, int]
    forward: Mapping[str, int]
    tied: bool = False
    idle: Mapping[str, int] = field(default_factory=dict)

    def params(self, count: str = "non_embedding", *, active: bool = False) -> int:
        """Number of parameters: `total`; `non_embedding` (body, output head and final norm);
        `body` (the blocks alone, the N of Kaplan et al. 2020). `active`: those that one token visits."""
        outside = {"total": (), "non_embedding": ("embedding",), "body": ("embedding", "head", "final_norm")}
        if count not in outside:
            raise UserError(f"unknown parameter count {count!r}: choose one of {', '.join(COUNTS)}")
        counted = sum(n for name, n in self.parameters.items() if name not in outside[count])
        return counted - active * sum(n for name, n in self.idle.items() if name not in outside[count])

    @property
    def params_active(self) -> int:
        """Parameters used by one token: all of them in a dense model."""
        return self.params("total", active=True)

    @property
    def forward_flops(self) -> int:
        """FLOPs per token of a forward pass."""
        return sum(self.forward.values())

    @property
    def train_flops(self) -> int:
        """FLOPs per token of training: forward and backward."""
        return (1 + BACKWARD_OVER_FORWARD) * self.forward_flops

    @property
    def causal_half(self) -> int:
        """Training FLOPs per token that fall on attention's masked half."""
        return (1 + BACKWARD_OVER_FORWARD) * self.forward["attention"] // 2
