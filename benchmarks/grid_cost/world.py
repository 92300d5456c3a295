"""The world that sweeps are simulated in: a law, the noise of trunks and runs, the best learning rate, and
what a shared trunk costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from isoflop.analysis.laws import find_law
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.models import ledger
from isoflop.sweeps.grids.cells import PlannedCell, tuning_cells
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.sweeps.grids.rates import Rates
from isoflop.sweeps.grids.tuning import Trial, TunedRates, tune
from isoflop.train.data.corpus import Corpus
from isoflop.train.spec import DataSpec

RATE_CURVATURE = 0.05
"""Nats lost by a rate off by a factor e, squared in its log: the mean over the four points of
docs/results/cpu-demo/tuning.csv, .028 to .067."""


@dataclass(frozen=True)
class World:
    """A config's grid and the truth behind it. Noise in nats, standard deviations."""

    name: str
    config: SweepConfig
    law: str
    params: tuple[float, ...]
    trunk_sd: float = 0.008
    run_sd: float = 0.003
    trunk_price: tuple[float, float] = (0.0, 0.0005)
    """What a shared trunk loses against a fresh cosine: at the centre's tokens, and more for each factor e of
    them. Measured, a trunk loses nothing: docs/results/cpu-demo/checks.csv."""
    best_rate: tuple[float, float, float] = (1.2, 0.1, 0.0)
    """The best peak rate: its coefficient over the config's, and its exponents of width and tokens (which the
    config has otherwise)."""

    @property
    def params_P(self) -> np.ndarray:
        """In the law's order."""
        return np.array(self.params)

    @property
    def best(self) -> Rates:
        """The best peak rate of every run."""
        coefficient, exponent, token_exponent = self.best_rate
        own = self.config.rates
        return Rates(coefficient * own.coefficient, exponent, token_exponent, own.base_tokens)

    def losses(self, planned: Sequence[PlannedCell]) -> np.ndarray:
        """Expected losses of fresh runs (nats), each at its own rate."""
        sizes = np.array([p.cell.recipe.ledger.params() for p in planned], dtype=float)
        tokens = np.array([p.cell.tokens for p in planned], dtype=float)
        misses = [
            math.log(r.optimizer.peak_lr / self.best.at(r.model.width, p.cell.tokens))
            for p in planned
            if (r := p.cell.recipe)
        ]
        clean = evaluate(find_law(self.law), self.params_P, sizes, tokens)
        return clean + RATE_CURVATURE * np.square(misses)


class _Endless:
    """A corpus of bytes without end, of which nothing is trained."""

    spec = DataSpec("endless", "bytes", "0")
    vocab_size, eos = 256, None

    def n_tokens(self, split: str) -> int:
        return 10**18


CORPUS = cast(Corpus, _Endless())


@dataclass
class SimulatedRuns:
    """The runs of one sweep in a world: losses are drawn as cells are trained, a trunk's noise once."""

    world: World
    seed: int
    draw: np.random.Generator = field(init=False)
    trunk_noise: dict[Any, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.draw = np.random.default_rng(self.seed)
        config = self.world.config
        centre = ledger(config.model_at(config.centre_width, CORPUS))
        self.centre_tokens = config.centre_budget / centre.train_flops

    def tuned(self) -> TunedRates:
        """The rule that the product's own tuning finds, from noisy runs of the config's tuning cells."""
        config = self.world.config
        cells = tuning_cells(config, CORPUS)
        losses = self.world.losses(cells) + [self._noise(p.cell) for p in cells]
        trials = [
            Trial(r.model.width, config.rates.horizon_of(p.cell.tokens), r.optimizer.peak_lr, float(loss))
            for p, loss in zip(cells, losses, strict=True)
            if (r := p.cell.recipe)
        ]
        return tune(config.rates, trials)

    def rows(self, planned: Sequence[PlannedCell]) -> list[dict[str, Any]]:
        """The cells' rows, in the run table's columns that a policy reads."""
        return [
            self._row(p, float(loss)) for p, loss in zip(planned, self.world.losses(planned), strict=True)
        ]

    def _row(self, planned: PlannedCell, expected: float) -> dict[str, Any]:
        cell, (price, price_growth) = planned.cell, self.world.trunk_price
        shared = cell.recipe.schedule.name == "wsd"
        loss = expected + self._noise(cell.recipe if shared else cell)
        if shared:
            loss += price + price_growth * math.log(cell.tokens / self.centre_tokens)
        return {
            "d_model": cell.recipe.model.width,
            "budget": planned.budget,
            "init_seed": cell.recipe.init_seed,
            "status": "finished",
            "n_params_non_embedding": cell.recipe.ledger.params(),
            "n_tokens": cell.tokens,
            "loss": loss,
        }

    def _noise(self, trunk: Any) -> float:
        """Of a run, and of what it shares with others of its trunk (nats)."""
        if trunk not in self.trunk_noise:
            self.trunk_noise[trunk] = self.world.trunk_sd * self.draw.standard_normal()
        return self.trunk_noise[trunk] + self.world.run_sd * self.draw.standard_normal()


def _sharper(params: Sequence[float], k: float) -> tuple[float, ...]:
    """Parameters of `skaling` whose terms, each alone, are those of this `chinchilla`."""
    E, A, alpha, B, beta = params
    return (E, A ** (1 / k), alpha / k, B ** (1 / k), beta / k, k)


def _centred(config: SweepConfig, params: Sequence[float]) -> SweepConfig:
    """The config with its sizes around the minima of this `chinchilla`."""
    (_, _, alpha, _, beta), low = params, config.budgets[0]
    ledgers = [ledger(config.model_at(width, CORPUS)) for width in config.ladder]
    sizes = np.array([own.params() for own in ledgers], dtype=float)
    tokens = low / np.array([own.train_flops for own in ledgers], dtype=float)
    law = find_law("chinchilla")
    best = int(np.argmin(evaluate(law, np.array(params), sizes, tokens)))
    return config.with_options(
        centre_width=config.ladder[best], centre_budget=low, centre_exponent=beta / (alpha + beta)
    )


def worlds() -> Mapping[str, World]:
    """A law near the demo's on the demo's grid, that with a law that bends otherwise or rates that drift (by
    as much as published, see docs/adaptive.md), and the GPU ladder."""
    fitted = (1.08, 60.0, 0.49, 240.0, 0.46)  # docs/results/cpu-demo/fit.json, and its noise
    milder = (1.05, 38.0, 0.42, 260.0, 0.40)
    demo = _centred(load_config("cpu-demo"), fitted)
    ladder = _centred(load_config("h200-ladder"), milder)
    drift: dict[str, Any] = {"trunk_price": (0.0, 0.002), "best_rate": (1.2, 0.1, 0.12)}
    fast: dict[str, Any] = {"trunk_price": (0.0, 0.002), "best_rate": (1.2, 0.3, 0.35)}
    found = (
        World("demo", demo, "chinchilla", fitted),
        World("ladder", ladder, "chinchilla", milder),
        World("other law", demo, "skaling", _sharper(fitted, 0.8)),
        World("rates drift", demo, "chinchilla", fitted, **drift),
        World("rates drift fast", demo, "chinchilla", fitted, **fast),
    )
    return {world.name: world for world in found}
