"""Runs of Clark et al. (2022), Unified Scaling Laws for Routed Language Models."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from isoflop.analysis.sources.public.table import PublicTable

TOKENS_PER_STEP = 256 * 2048
"""Sequences a batch times tokens a sequence: the 250,000 steps are the paper's 130 billion tokens."""
TRAINING_FLOPS = 3
"""Training FLOPs over those of the forward pass, which the file has."""


def convert(files: list[Path]) -> pd.DataFrame:
    """223 rows, the last of each run's among 5,799 evaluations: `router` (Dense, S-Base, RL-R, Hash),
    `experts`, `experts_per_token`, `n_params` (what a token uses), `n_tokens`, `flops`, `loss`.

    The rate's schedule ends with the run: losses before that are not those of shorter runs.
    """
    rows = pd.read_csv(files[0]).dropna(subset=["loss_validation"])
    last = rows.sort_values(["hyper_id", "step"]).groupby("hyper_id").tail(1)
    kept = ("d_model", "flop_increase", "routing_frequency", "seed", "total_parameter_count", "loss_c4")
    return pd.DataFrame(
        {
            "name": last["hyper_id"].map("run {}".format),
            "router": last["router_type"],
            "experts": last["num_experts"],
            "experts_per_token": last["k"],
            "n_layers": last["num_blocks"],
            "n_params": last["dense_parameter_count"],
            "n_tokens": last["step"] * TOKENS_PER_STEP,
            "flops": TRAINING_FLOPS * last["flops_per_step"] * last["step"],
            "loss": last["loss_validation"],
            **{name: last[name] for name in kept},
        }
    ).reset_index(drop=True)


TABLE = PublicTable(
    title="Clark et al. (2022)",
    repository="google-deepmind/scaling_laws_for_routing",
    commit="42da0c392b127df2c01fa7b705f72396050d05e5",
    files=(("data/curves.csv.gz", "c03e7531add85e594f368d33bac4a0220280be858a7ed12d147cf73af6a3819f"),),
    convert=convert,
    meanings={
        "count_meaning": "parameters that a token uses, embeddings included, as the authors give them",
        "flops_meaning": "three times the authors' estimate of a forward step, times the steps",
        "loss": "cross-entropy on validation text, nats per token, at the end of training",
    },
)
