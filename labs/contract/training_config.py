"""The training config: what a student asks to be trained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidatorFunctionWrapHandler, WrapValidator

from isoflop.base.json_values import content_id
from isoflop.labs.contract.fields import (
    BelowOne,
    Flag,
    Fraction,
    Message,
    NotNegativeReal,
    NotNegativeWhole,
    PositiveReal,
    PositiveWhole,
    Real,
    Whole,
)

MAX_RUNTIME_SECONDS = 43_200
MAX_TRAIN_TOKENS = 500_000_000_000


class ArchitectureConfig(Message):
    """A pre-norm transformer: RMSNorm, also on queries and keys; rotary positions; SwiGLU."""

    attention_bias: Flag
    head_dim: Annotated[Whole, Field(gt=0, multiple_of=2)]
    hidden_size: PositiveWhole
    intermediate_size: PositiveWhole
    num_attention_heads: PositiveWhole
    num_hidden_layers: PositiveWhole
    num_key_value_heads: PositiveWhole
    rms_norm_eps: PositiveReal
    rope_theta: PositiveWhole
    tie_word_embeddings: Flag
    dtype: Literal["float32", "bfloat16"]
    vocab_size: PositiveWhole


class LrScheduler(Message):
    """Linear from `init_value` to the peak, then a cosine to a fraction of it."""

    peak_value: PositiveReal = 3e-4
    final_lr_frac: Fraction = 0.1
    warmup_frac: BelowOne = 0.05
    init_value: NotNegativeReal = 0.0


class SGDConfig(Message):
    """Plain stochastic gradient descent."""

    lr_scheduler: LrScheduler
    grad_clip_norm: PositiveReal | None = 1.0


class AdamWConfig(Message):
    """AdamW, as Optax names its options."""

    lr_scheduler: LrScheduler = LrScheduler()
    weight_decay: NotNegativeReal = 0.01
    beta1: BelowOne = 0.9
    beta2: BelowOne = 0.95
    eps: PositiveReal = 1e-8
    eps_root: NotNegativeReal = 1e-8
    grad_clip_norm: PositiveReal | None = 1.0


def _by_its_fields(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """SGD where `lr_scheduler` is given with at most `grad_clip_norm` beside it; else AdamW."""
    if not isinstance(value, dict):
        return handler(value)
    is_sgd = "lr_scheduler" in value and value.keys() <= SGDConfig.model_fields.keys()
    return (SGDConfig if is_sgd else AdamWConfig).model_validate(value)


OptimizerConfig = Annotated[SGDConfig | AdamWConfig, WrapValidator(_by_its_fields)]


class TrainingConfig(Message):
    """One run. Rules over several fields are in `isoflop.labs.contract.rules`."""

    architecture_config: ArchitectureConfig
    optimizer_config: OptimizerConfig
    train_batch_size: PositiveWhole
    val_batch_size: PositiveWhole
    n_evals: PositiveWhole = 16
    total_train_tokens: Annotated[Whole, Field(gt=0, le=MAX_TRAIN_TOKENS)]
    max_runtime_seconds: Annotated[Real, Field(ge=1, le=MAX_RUNTIME_SECONDS)]
    model_seed: NotNegativeWhole = 0

    @property
    def config_id(self) -> str:
        """A name of the content, every field included: the same for the same config."""
        return content_id(self)
