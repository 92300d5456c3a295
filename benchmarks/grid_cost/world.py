"""The world that grids are simulated in: a law, noise of trunks and runs, rates a little off, a trunk's
price."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.models import ledger
from isoflop.sweeps.grids.cells import PlannedCell
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.train.data.corpus import Corpus
from isoflop.train.spec import DataSpec

RATE_BEND = 0.04
"""Nats lost by a rate off by a factor e, squared in its log: the rows of docs/decisions.md on mup."""
RATE_ERROR = 0.1
"""Standard deviation of an anchor's tuned log rate: that noise under that bend, at steps of a factor 2."""


@dataclass(frozen=True)
class World:
    """A config's grid and the truth behind it. Noise in nats, standard deviations."""

    name: str
    config: SweepConfig
    law: str
    params: tuple[float, ...]
    trunk_sd: float = 0.007
    run_sd: float = 0.0039
    trunk_price: tuple[float, float] = (0.004, 0.0005)
    """What a shared trunk loses against a fresh cosine: at the centre's tokens, and more for each factor e of
    them. Measured, it is within the noise of a seed, docs/demo.md."""
    rate_drift: float = 0.0
    """The best rate falls as tokens to this power, which the rule doesn't know."""

    @property
    def params_P(self) -> np.ndarray:
        """In the law's order."""
        return np.array(self.params)


class _Endless:
    """A corpus of bytes without end, of which nothing is trained."""

    spec = DataSpec("endless", "bytes", "0")
    vocab_size, eos = 256, None

    def n_tokens(self, split: str) -> int:
        return 10**18


CORPUS = cast(Corpus, _Endless())


class Sky:
    """The luck of one sweep in a world: every cell's loss, drawn as cells are trained."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.draw = world, np.random.default_rng(seed)
        widths = np.log(world.config.ladder)
        low, high = (math.log(width) for width, _ in world.config.rates.anchors)
        errors = RATE_ERROR * self.draw.standard_normal(2)
        slope = (errors[1] - errors[0]) / (high - low)
        self.rate_miss = dict(zip(world.config.ladder, errors[0] + slope * (widths - low), strict=True))
        self.luck: dict[Any, float] = {}
        config = world.config
        centre = config.model_at(config.centre_width, CORPUS)
        self.usual_tokens = config.centre_budget / ledger(centre).train_flops

    def rows(self, planned: Sequence[PlannedCell]) -> list[dict[str, Any]]:
        """The cells' rows, in the run table's columns that a policy reads."""
        sizes = np.array([p.cell.recipe.ledger.params() for p in planned], dtype=float)
        tokens = np.array([p.cell.tokens for p in planned], dtype=float)
        clean = evaluate(find_law(self.world.law), self.world.params_P, sizes, tokens)
        return [self._row(p, loss) for p, loss in zip(planned, clean, strict=True)]

    def _row(self, planned: PlannedCell, clean: float) -> dict[str, Any]:
        cell, world = planned.cell, self.world
        shared = cell.recipe.schedule.name == "wsd"
        key = cell.recipe if shared else cell
        if key not in self.luck:
            self.luck[key] = world.trunk_sd * self.draw.standard_normal()
        longer = math.log(cell.tokens / self.usual_tokens)
        miss = self.rate_miss[cell.recipe.model.width] + world.rate_drift * longer
        loss = clean + self.luck[key] + world.run_sd * self.draw.standard_normal() + RATE_BEND * miss**2
        if shared:
            loss += world.trunk_price[0] + world.trunk_price[1] * longer
        return {
            "d_model": cell.recipe.model.width,
            "budget": planned.budget,
            "init_seed": cell.recipe.init_seed,
            "status": "finished",
            "n_params_non_embedding": cell.recipe.ledger.params(),
            "n_tokens": cell.tokens,
            "loss": float(loss),
        }


def _sharper(params: Sequence[float], k: float) -> tuple[float, ...]:
    """Parameters of `skaling` whose terms, each alone, are those of this `chinchilla`."""
    E, A, alpha, B, beta = params
    return (E, A ** (1 / k), alpha / k, B ** (1 / k), beta / k, k)


def worlds() -> Mapping[str, World]:
    """The demo's own fitted law on the demo's grid, that with a law that bends otherwise or rates that drift
    (by as much as published, see docs/adaptive.md), and the GPU ladder."""
    demo, ladder = load_config("cpu-demo"), load_config("h200-ladder")
    fitted = (1.54, 285.0, 0.74, 594.0, 0.57)
    milder = (1.05, 38.0, 0.42, 260.0, 0.40)
    drifting = {"trunk_price": (0.004, 0.002), "rate_drift": 0.12}
    found = (
        World("demo", demo, "chinchilla", fitted),
        World("ladder", ladder, "chinchilla", milder),
        World("other law", demo, "skaling", _sharper(fitted, 0.8)),
        World("rates drift", demo, "chinchilla", fitted, **drifting),
    )
    return {world.name: world for world in found}
