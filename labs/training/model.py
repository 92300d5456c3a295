"""The contract's transformer, by this project's decoder."""

from __future__ import annotations

import math

from isoflop.labs.contract.training_config import ArchitectureConfig
from isoflop.models.config import ModelConfig


def model_config(architecture: ArchitectureConfig, context_length: int) -> ModelConfig:
    """The decoder of an architecture: pre-norm RMSNorm, also on queries and keys; rotary positions; SwiGLU.

    Attention's scale is the usual 1 / sqrt(head_dim), and keys and values are not convolved.
    """
    a = architecture
    return ModelConfig(
        architecture="decoder",
        mlp="swiglu",
        tie_embeddings=a.tie_word_embeddings,
        attention_bias=a.attention_bias,
        max_attention_logit=math.sqrt(a.head_dim),
        kv_convolution=1,
        context_length=context_length,
        rope_base=float(a.rope_theta),
        norm_eps=a.rms_norm_eps,
        width=a.hidden_size,
        depth=a.num_hidden_layers,
        heads=a.num_attention_heads,
        kv_heads=a.num_key_value_heads,
        head_dim=a.head_dim,
        ff_width=a.intermediate_size,
        vocab_size=a.vocab_size,
    )
