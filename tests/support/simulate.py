"""A sweep's folder as the trainer would write it, from a known law: truth to recover, and a report to
draw.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

TRUTH = {"E": 1.05, "A": 38.0, "alpha": 0.42, "B": 260.0, "beta": 0.40}
BUDGETS = (1e11, 1.67e11, 2.8e11, 4.7e11, 7.8e11, 1.3e12)
TUNED = [(width, tokens) for width in (8, 32) for tokens in (2e5, 2e6)]
"""Widths and horizons of the tuning runs."""
RATE_CURVATURE = 0.06
"""Nats lost by a rate off by a factor e."""
WIDTHS = (8, 12, 16, 20, 24, 32, 40, 48, 56, 64)
CONTEXT = 64
VOCABULARY = 256
BATCH_TOKENS = 512
WINDOWS = 200


@dataclass(frozen=True)
class Size:
    """One member of the family: what the ledger would say of a width."""

    width: int
    layers: int = 2

    @property
    def body(self) -> int:
        return self.layers * (12 * self.width**2 + 2 * self.width)

    @property
    def non_embedding(self) -> int:
        return self.body + VOCABULARY * self.width + self.width

    @property
    def total(self) -> int:
        return self.non_embedding + VOCABULARY * self.width

    @property
    def flops_per_token(self) -> float:
        attention = 12 * self.layers * CONTEXT * self.width
        return 6.0 * (self.body + VOCABULARY * self.width) + attention


def loss_at(N: float, D: float, truth: dict[str, float] = TRUTH) -> float:
    """E + A/N^alpha + B/D^beta, nats per token."""
    return truth["E"] + truth["A"] / N ** truth["alpha"] + truth["B"] / D ** truth["beta"]


def grid(seed: int = 0, noise: float = 0.006, budgets: tuple[float, ...] = BUDGETS) -> pd.DataFrame:
    """The run table of an IsoFLOP grid on shared trunks, with seed replicates at the minima."""
    rng = np.random.default_rng(seed)
    effect = {width: noise * 0.6 * rng.standard_normal() for width in WIDTHS}
    rows = []
    for C in budgets:
        centre = 16 * (C / 1e11) ** 0.27
        widths = sorted(sorted(WIDTHS, key=lambda w: abs(np.log(w / centre)))[:5])
        nearest = min(widths, key=lambda w: abs(np.log(w / centre)))
        for width in widths:
            rows.append(_cell(C, Size(width), 0, effect[width] + 0.8 * noise * rng.standard_normal()))
        rows += [_cell(C, Size(nearest), init, noise * rng.standard_normal()) for init in (1, 2)]
    return pd.DataFrame(rows)


def _cell(C: float, size: Size, init: int, log_noise: float) -> dict[str, object]:
    steps = round(C / size.flops_per_token / BATCH_TOKENS)
    tokens = steps * BATCH_TOKENS
    loss = loss_at(size.non_embedding, tokens) * np.exp(log_noise)
    return {
        "cell_id": f"{size.width:03d}-{C:.2e}-{init}",
        "trunk_id": f"trunk-{size.width}-{init}",
        "sweep": "simulated",
        "init_seed": init,
        "data_seed": init,
        "status": "finished",
        "reason": "",
        "budget": C,
        "n_params_total": size.total,
        "n_params_non_embedding": size.non_embedding,
        "n_params_body": size.body,
        "n_params_active": size.total,
        "n_tokens": tokens,
        "n_tokens_unique": min(tokens, 4_700_000),
        "flops": size.flops_per_token * tokens,
        "flops_6nd": 6.0 * size.non_embedding * tokens,
        "flops_spent": 0.65 * size.flops_per_token * tokens,
        "loss": loss,
        "loss_stderr": 0.008,
        "bits_per_byte": loss / np.log(2),
        "train_loss": loss - 0.02,
        "lr": 0.03 * (16 / size.width) ** 0.5,
        "batch_tokens": BATCH_TOKENS,
        "steps": steps,
        "schedule": "wsd",
        "optimizer": "adamw",
        "d_model": size.width,
        "n_layers": size.layers,
        "n_heads": max(1, size.width // 8),
        "vocab_size": VOCABULARY,
        "context_length": CONTEXT,
        "dataset": "simulated",
        "tokenizer": "bytes",
        "wall_seconds": C / 1.4e10,
        "tokens_per_second": 1.4e10 / size.flops_per_token,
        "mfu": 0.2,
        "device": "cpu",
    }


def write_folder(folder: Path, seed: int = 0, noise: float = 0.006) -> Path:
    """Write the whole folder: table, tuning, checks, summary, curves and windows."""
    rng = np.random.default_rng(seed + 1)
    runs = grid(seed, noise)
    failed = runs.iloc[[3]].assign(
        cell_id="diverged-one", status="diverged", reason="loss is NaN at step 41", loss=np.nan
    )
    folder.mkdir(parents=True, exist_ok=True)
    pd.concat([runs, failed]).to_csv(folder / "runs.csv", index=False)
    _tuning(runs, rng).to_csv(folder / "tuning.csv", index=False)
    _checks(runs, rng).to_csv(folder / "checks.csv", index=False)
    (folder / "summary.json").write_text(json.dumps(_summary(runs), indent=1))
    sweep = {"format": 1, "name": "simulated", "title": "Simulated IsoFLOP grid", "config": {}, "plan": {}}
    (folder / "sweep.json").write_text(json.dumps(sweep))
    for cell in runs.to_dict("records"):
        _curve(folder / "cells" / str(cell["cell_id"]), cell, rng)
    return folder


def best_rate(width: int) -> float:
    """The peak learning rate of least loss."""
    return 0.03 * (16 / width) ** 0.5


def _tuning(runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    rows = []
    for width, tokens in TUNED:
        base = runs.loc[runs["d_model"] == width].to_dict("records")[0]
        at = {**base, "n_tokens": tokens, "role": "tune"}
        for factor in (0.25, 0.5, 1.0, 2.0, 4.0):
            for seed in (0, 1):
                loss = base["loss"] + RATE_CURVATURE * np.log(factor) ** 2 + 0.004 * rng.standard_normal()
                rows.append(at | {"lr": best_rate(width) * factor, "loss": loss, "init_seed": seed})
    return pd.DataFrame(rows)


def _checks(runs: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    largest = runs.loc[runs["budget"] == runs["budget"].max()]
    at = largest.to_dict("records")[int(largest["loss"].argmin())]
    roles = {"fresh_cosine": (1.0, -0.004), "rate_half": (0.5, 0.006), "rate_double": (2.0, 0.012)}
    rows = []
    for role, (factor, extra) in roles.items():
        noise = 0.004 * rng.standard_normal()
        rows.append(
            {**at, "cell_id": role, "role": role, "lr": at["lr"] * factor, "loss": at["loss"] + extra + noise}
        )
    return pd.DataFrame(rows)


def _summary(runs: pd.DataFrame) -> dict[str, object]:
    fresh = float(np.sum(runs["flops"].to_numpy()))
    return {
        "stages": [
            {"name": "prepare data", "seconds": 8.1},
            {"name": "tune learning rates", "seconds": 61.0},
            {"name": "train grid", "seconds": 214.5},
            {"name": "checks", "seconds": 44.2},
        ],
        "flops": {
            "grid": 0.66 * fresh, "tuning": 0.12 * fresh, "checks": 0.08 * fresh, "total": 0.86 * fresh,
            "fresh_cosine": fresh,
        },
        "learning_rate": {
            "rule": "0.015 * (width/64)^-0.5 * (tokens/1e+06)^0",
            "tuned": {
                "rates": {"coefficient": 0.015, "exponent": 0.5, "token_exponent": 0.0, "base_tokens": 1e6},
                "curvature": RATE_CURVATURE, "noise": 0.004,
                "anchors": [
                    {"d_model": width, "n_tokens": tokens, "lr": best_rate(width), "sd": 0.05,
                     "at_edge": False}
                    for width, tokens in TUNED
                ],
            },
            "checked": [],
        },
        "device": "2-core CPU",
        "dataset": {"name": "simulated text", "licence": "none", "bytes": 5_000_000, "floor": TRUTH["E"]},
    }  # fmt: skip


def _curve(folder: Path, cell: dict, rng: np.random.Generator) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    steps, tokens = int(cell["steps"]), np.linspace(0.01, 1.0, 60)
    decay = np.clip((tokens - 0.8) / 0.2, 0, 1)
    start = loss_at(cell["n_params_non_embedding"], 4e4)
    loss = [loss_at(cell["n_params_non_embedding"], max(t * cell["n_tokens"], 4e4)) for t in tokens]
    loss = np.minimum(np.array(loss) + 0.12 * (1 - np.sqrt(decay)), start) + 0.02 * rng.standard_normal(
        len(tokens)
    )
    lines = [
        {"step": round(t * steps), "tokens": round(t * cell["n_tokens"]), "flops": t * cell["flops"],
         "train_loss": float(value), "lr": cell["lr"] * (1 - d**0.5)}
        for t, value, d in zip(tokens, loss, decay, strict=True)
    ]  # fmt: skip
    (folder / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.save(folder / "windows.npy", (cell["loss"] + 0.1 * rng.standard_normal(WINDOWS)).astype(np.float32))
