"""Small recipes, whose compiled programs many tests share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isoflop.models import ModelConfig, family
from isoflop.models.config import ModelOptions
from isoflop.sweeps.grids.config import Rates, SweepConfig
from isoflop.train.data.corpus import Corpus
from isoflop.train.spec import AdamW, DataSpec, Recipe, Schedule

CONTEXT = 32
BATCH = 4


def small_model(width: int = 8, **overrides: Any) -> ModelConfig:
    """A member of the family on bytes at a context of 32 tokens."""
    return family(width, **{"vocab_size": 256, "context_length": CONTEXT} | overrides)


def small_recipe(corpus: Corpus | None = None, **changes: Any) -> Recipe:
    """Width 8, four windows a step, a warmup-stable-decay schedule; `changes` replace single fields."""
    recipe = Recipe(
        model=small_model(),
        data=corpus.spec if corpus else DataSpec("nowhere", "bytes", "0"),
        optimizer=AdamW(peak_lr=0.02),
        schedule=Schedule("wsd", warmup_steps=5),
        batch_size=BATCH,
        init_seed=0,
        data_seed=0,
    )
    return replace(recipe, **changes)


def small_sweep(source_name: str, **changes: Any) -> SweepConfig:
    """Two budgets by three widths, one seed and no checks, a trunk for each width: about a second of
    training. `changes` replace options by their own names."""
    config = SweepConfig(
        name="small",
        title="A small sweep",
        budgets=(2e8, 4e8),
        ladder=(8, 16, 24),
        sizes=3,
        centre_width=16,
        centre_budget=2e8,
        parametrization="standard",
        rates=Rates(coefficient=0.06),
        data=source_name,
        model=ModelOptions(context_length=CONTEXT),
        batch_size=BATCH,
        trunk_span=1000.0,
        warmup_share=0.5,
        seeds=1,
        eval_windows=64,
        tune_windows=64,
        checks=False,
        trackers=("jsonl",),
    )
    return config.with_options(**changes)
