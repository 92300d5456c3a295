"""The compiled programs of a config, kept from one job to the next of equal shape.

They are the trainer's own (`isoflop.train.step`), with the contract's optimizers: Optax's, whose weight decay
takes in every parameter, and with parameters and moments in the config's dtype.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import numpy as np
import optax

from isoflop.labs.contract.training_config import AdamWConfig, LrScheduler, OptimizerConfig, TrainingConfig
from isoflop.labs.training.model import model_config
from isoflop.models import ModelConfig
from isoflop.models.config import Dtype
from isoflop.train.parametrization import Multipliers
from isoflop.train.step import Programs, programs_of

KEPT_PROGRAMS = 16
LARGEST_CLIP = 1e30
"""Float32 has no number for a much larger bound, and no gradient is as long."""

Adam = tuple[float, float, float, float]
"""AdamW's beta1, beta2, eps and eps_root."""


def programs(config: TrainingConfig, context_length: int) -> Programs:
    """The programs of a config: those that differ in rates, decay, seed and length alone share them."""
    architecture, optimizer = config.architecture_config, config.optimizer_config
    adam = None
    if isinstance(optimizer, AdamWConfig):
        adam = optimizer.beta1, optimizer.beta2, optimizer.eps, optimizer.eps_root
    model = model_config(architecture, context_length)
    clip = min(optimizer.grad_clip_norm or 0.0, LARGEST_CLIP)
    return _programs(model, architecture.dtype, adam, clip)


def weight_decay(optimizer: OptimizerConfig) -> np.float32:
    """The optimizer's, times the current rate."""
    return np.float32(optimizer.weight_decay if isinstance(optimizer, AdamWConfig) else 0.0)


def learning_rates(schedule: LrScheduler, n_steps: int) -> np.ndarray:
    """The rate (n_steps,) of each step, by Optax's schedule: the first step's is `init_value` where the
    warm-up has a step."""
    rate = optax.warmup_cosine_decay_schedule(
        init_value=schedule.init_value,
        peak_value=schedule.peak_value,
        warmup_steps=int(schedule.warmup_frac * n_steps),
        decay_steps=n_steps,
        end_value=schedule.peak_value * schedule.final_lr_frac,
    )
    return np.asarray(rate(np.arange(n_steps)), np.float32)


@lru_cache(maxsize=KEPT_PROGRAMS)
def _programs(model: ModelConfig, dtype: Dtype, adam: Adam | None, clip: float) -> Programs:
    transform = optax.identity()
    if adam is not None:
        b1, b2, eps, eps_root = adam
        transform = optax.scale_by_adam(b1=b1, b2=b2, eps=eps, eps_root=eps_root)
    return programs_of(model, transform, _alike, clip, dtype=dtype, param_dtype=dtype)


def _alike(params: Any) -> Multipliers:
    """All parameters have the config's rate and decay."""
    ones = jax.tree.map(lambda _: 1.0, params)
    return Multipliers(ones, ones)
