"""FLOPs and bytes that serving cannot do without, exactly: what is timed is set beside them.

Products with weights and attention count, as in `isoflop.models.ledger`; look-ups, norms and activations are
free. A token attends to itself and those before it, so that attention is counted as a kernel pays that skips
the masked half.
"""

from __future__ import annotations

from dataclasses import dataclass

from isoflop.models.config import ModelConfig
from isoflop.models.ledger import Ledger


@dataclass(frozen=True)
class Counts:
    """Of one operation. `cache_bytes`: keys and values written in prefill, read in a decode step."""

    linear_flops: int
    attention_flops: int
    weight_bytes: int
    cache_bytes: int


@dataclass(frozen=True)
class Served:
    """A model as it is served. `weight_bytes`: of all weights that a token is multiplied with, in their
    format; `cache_item`: bytes of a number in the cache of keys and values."""

    config: ModelConfig
    ledger: Ledger
    weight_bytes: int
    cache_item: int

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that each token leaves in the cache."""
        return self.config.depth * self.config.kv_width * self.cache_item

    def prefill(self, batch: int, prompt: int) -> Counts:
        """Reading `batch` prompts at once. Logits are those of the last token of each."""
        pairs = prompt * (prompt + 1) // 2
        return Counts(
            batch * (prompt * self._body_flops + self.ledger.forward["head"]),
            batch * pairs * self._flops_per_pair,
            self.weight_bytes,
            batch * prompt * self.cache_bytes_per_token,
        )

    def decode(self, batch: int, prompt: int, output: int) -> Counts:
        """A decode step, a token for each sequence: the mean of the `output` - 1 steps after the prefill,
        of which the first attends to `prompt` + 1 tokens and the last to `prompt` + `output` - 1.

        `output` is even, so that the mean is whole.
        """
        context = prompt + output // 2
        return Counts(
            batch * (self._body_flops + self.ledger.forward["head"]),
            batch * context * self._flops_per_pair,
            self.weight_bytes,
            batch * context * self.cache_bytes_per_token,
        )

    @property
    def _body_flops(self) -> int:
        forward = self.ledger.forward
        return self.ledger.forward_flops - forward["head"] - forward["attention"]

    @property
    def _flops_per_pair(self) -> int:
        """Of attention, for a token and one that it attends to."""
        return self.ledger.forward["attention"] // self.config.context_length
