"""Ten students of different skill and what they hand in: each a function of a client, named in `CLASS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from isoflop import analysis
from isoflop.labs.demo.client import Client
from isoflop.labs.demo.configs import at_flops, at_target, config, heads_for, n_params, reserved

KAPLAN_EXPONENT = 0.73
"""Of N_opt in C: Kaplan et al. (2020), section 6.1."""
KAPLAN_LOSS_EXPONENT = 0.050
"""Of the loss in C, without an irreducible term: Kaplan et al. (2020), equation 1.3."""
TOKENS_PER_PARAM = 20.0
"""The rule of thumb after Hoffmann et al. (2022)."""
DEFAULT_RATE = 3e-4
"""What the contract takes where no rate is given."""
OVERSPENT = 3.0


@dataclass(frozen=True)
class HandIn:
    """A final submission: a member of the family, its learning rate, and the loss predicted, nats per token.

    `interval`: half of the width of an interval around the prediction, if one is handed in; `overspent`:
    times the target that the run would cost; `late`: handed in after the deadline.
    """

    heads: int
    rate: float
    loss: float
    interval: float | None = None
    rate_left: float = 0.1
    overspent: float = 1.0
    late: bool = False


def careful(client: Client) -> HandIn:
    """Tunes the rate, runs four IsoFLOPs, and extrapolates the minima of their parabolas."""
    rate = _tuned_rate(client)
    plan = (
        (1e17, (4, 5, 7, 9, 11)),
        (3e17, (5, 7, 9, 11, 13)),
        (1e18, (7, 9, 11, 13, 16)),
        (2e18, (9, 11, 14, 17)),
    )
    wanted = [(heads, flops) for flops, sizes in plan for heads in sizes]
    runs = _at_rate(
        client.run([at_flops(client, h, c, rate=rate(h), rate_left=0.0) for h, c in wanted]), rate
    )
    heads = heads_for(_by_parabolas(runs, _target_flops(client)))
    return HandIn(heads, rate(heads), _by_surface(runs, client, heads), interval=0.03, rate_left=0.0)


def surface(client: Client) -> HandIn:
    """Scatters sizes and tokens, tunes the rate at one size, and trusts the law of approach 3."""
    rate = _tuned_rate(client)
    rng = np.random.default_rng(1)
    wanted = [
        (int(h), float(c))
        for h, c in zip(rng.integers(4, 16, 18), 10 ** rng.uniform(17, 18.2, 18), strict=True)
    ]
    runs = _at_rate(
        client.run([at_flops(client, h, c, rate=rate(h), rate_left=0.0) for h, c in wanted]), rate
    )
    losses = {heads: _by_surface(runs, client, heads) for heads in range(8, 33, 2)}
    best = min(losses, key=lambda heads: losses[heads])
    return HandIn(best, rate(best), losses[best], interval=0.1, rate_left=0.0)


def kaplan(client: Client) -> HandIn:
    """Believes Kaplan et al. (2020): growth into size, and a loss that is a pure power of compute."""
    runs = client.run([at_flops(client, heads, 2e17) for heads in (5, 6, 8, 10, 12, 14)])
    best = runs.loc[runs["loss"].idxmin()]
    more = _target_flops(client) / best["flops"]
    heads = heads_for(best["n_params"] * more**KAPLAN_EXPONENT)
    return HandIn(heads, 3e-3, float(best["loss"] * more**-KAPLAN_LOSS_EXPONENT), interval=0.02)


def twenty_to_one(client: Client) -> HandIn:
    """Never varies the ratio of tokens to parameters, so that no run tells their exponents apart."""
    runs = client.run([reserved(client, config(h, TOKENS_PER_PARAM * n_params(h))) for h in range(4, 11)])
    heads = heads_for(float(np.sqrt(_target_flops(client) / (6 * TOKENS_PER_PARAM))))
    slope, level = np.polyfit(np.log(runs["flops"]), np.log(runs["loss"]), 1)
    return HandIn(heads, 3e-3, float(np.exp(level + slope * np.log(_target_flops(client)))))


def edge_of_grid(client: Client) -> HandIn:
    """Runs only sizes above the optimum: every curve still falls at its smallest size."""
    plan = ((1e17, (12, 13, 14, 15)), (4e17, (16, 17, 19, 21)), (1e18, (20, 22, 24, 26)))
    runs = client.run([at_flops(client, heads, flops) for flops, sizes in plan for heads in sizes])
    best = runs.loc[runs["loss"].idxmin()]
    heads = heads_for(best["n_params"] * (_target_flops(client) / best["flops"]) ** 0.5)
    return HandIn(heads, 3e-3, float(best["loss"]) - 0.3)


def one_budget(client: Client) -> HandIn:
    """Runs one fine IsoFLOP, and takes the exponent from a textbook."""
    runs = client.run([at_flops(client, heads, 6e17) for heads in range(5, 16)])
    best = runs.loc[runs["loss"].idxmin()]
    heads = heads_for(best["n_params"] * (_target_flops(client) / best["flops"]) ** 0.5)
    return HandIn(heads, 3e-3, float(best["loss"]) - 0.45, interval=0.15)


def untuned_rate(client: Client) -> HandIn:
    """Does all with the default rate, ten times too low."""
    plan = ((1e17, (4, 6, 8, 10)), (4e17, (5, 8, 11, 14)), (1e18, (7, 10, 13, 17)))
    wanted = [(heads, flops) for flops, sizes in plan for heads in sizes]
    runs = client.run([at_flops(client, heads, flops, rate=DEFAULT_RATE) for heads, flops in wanted])
    heads = heads_for(_by_parabolas(runs, _target_flops(client)))
    return HandIn(heads, DEFAULT_RATE, _by_surface(runs, client, heads))


def random_runs(client: Client) -> HandIn:
    """Draws everything at random; some rates diverge."""
    rng = np.random.default_rng(8)
    sizes, budgets, rates = (
        rng.integers(2, 14, 10),
        10 ** rng.uniform(16, 18.3, 10),
        10 ** rng.uniform(-4, -1, 10),
    )
    runs = client.run(
        [
            at_flops(client, int(h), float(c), rate=float(r))
            for h, c, r in zip(sizes, budgets, rates, strict=True)
        ]
    )
    return HandIn(
        int(rng.integers(4, 40)),
        float(rng.choice(runs["lr"].to_numpy())),
        float(runs["loss"].to_numpy().min()) - 0.1,
    )


def overspender(client: Client) -> HandIn:
    """Hands in a run of three times the target: it is stopped there."""
    runs = client.run([at_flops(client, heads, 3e17) for heads in (5, 7, 10, 13)])
    best = runs.loc[runs["loss"].idxmin()]
    heads = heads_for(best["n_params"] * (OVERSPENT * _target_flops(client) / best["flops"]) ** 0.5)
    return HandIn(heads, 3e-3, float(best["loss"]) - 0.5, overspent=OVERSPENT)


def late(client: Client) -> HandIn:
    """Explores well, and hands in after the deadline."""
    runs = client.run([at_flops(client, h, c) for c in (1e17, 4e17) for h in (4, 6, 8, 10, 13)])
    best = runs.loc[runs["loss"].idxmin()]
    heads = heads_for(best["n_params"] * (_target_flops(client) / best["flops"]) ** 0.5)
    return HandIn(heads, 3e-3, float(best["loss"]) - 0.4, late=True)


@dataclass(frozen=True)
class TunedRate:
    """The best rate of a search at two sizes, as a power law between and beyond them."""

    level: float
    slope: float

    def __call__(self, heads: int) -> float:
        return float(f"{np.exp(self.level + self.slope * np.log(heads)):.3g}")


def _tuned_rate(client: Client) -> TunedRate:
    """Searches the rate on a grid at two small sizes; a parabola through the losses gives each best."""
    sizes, rates, flops = (4, 7), np.geomspace(1e-3, 1.6e-2, 4), 1e17
    best = []
    for heads in sizes:
        wanted = [at_flops(client, heads, flops, rate=float(rate), rate_left=0.0) for rate in rates]
        runs = client.run(wanted).query("heads == @heads")
        log_rate_R, loss_R = np.log(runs["lr"].to_numpy(float)), runs["loss"].to_numpy(float)
        c2, c1, _ = np.polyfit(log_rate_R, loss_R, 2)
        middle = -c1 / (2 * c2) if c2 > 0 else log_rate_R[np.argmin(loss_R)]
        best.append(float(np.clip(middle, *np.log(rates[[0, -1]]))))
    slope = (best[1] - best[0]) / np.log(sizes[1] / sizes[0])
    return TunedRate(best[0] - slope * np.log(sizes[0]), slope)


def _at_rate(runs: pd.DataFrame, rate: TunedRate) -> pd.DataFrame:
    """The runs that were trained at their size's best rate."""
    best = [rate(heads) for heads in runs["heads"]]
    return runs.assign(best=best).query("abs(lr / best - 1) < 1e-6").drop(columns="best")


def _target_flops(client: Client) -> float:
    """The target as FLOPs: steps and evaluations cost a little besides."""
    rules = client.get("/lab")
    return rules["target_seconds"] * rules["flops_per_second"]


def _by_parabolas(runs: pd.DataFrame, flops: float) -> float:
    """The best size at a budget by approach 2, in parameters; the best run's, scaled, where it has none."""
    fit = analysis.fit(runs, approach=2, bootstrap=0)
    if fit.exponents["a"] is None or not np.isfinite(fit.exponents["a"]):
        best = runs.loc[runs["loss"].idxmin()]
        return float(best["n_params"] * (flops / best["flops"]) ** 0.5)
    return float(fit.allocate(flops)[0])


def _by_surface(runs: pd.DataFrame, client: Client, heads: int) -> float:
    """The loss of a final run of this size by approach 3, in nats per token."""
    final = at_target(client, heads)
    n_params = client.post("/estimate", final)["n_params_non_embedding"]
    fit = analysis.fit(runs, bootstrap=0, starts=64)
    return float(fit.predict(n_params, final["total_train_tokens"]))


Student = Callable[[Client], HandIn]
CLASS: dict[str, Student] = {
    "careful": careful,
    "surface": surface,
    "kaplan": kaplan,
    "twenty-to-one": twenty_to_one,
    "edge-of-grid": edge_of_grid,
    "one-budget": one_budget,
    "untuned-rate": untuned_rate,
    "random": random_runs,
    "overspender": overspender,
    "late": late,
}
"""By name, the scripted students."""
