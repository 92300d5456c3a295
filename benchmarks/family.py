"""The family at one number of tokens: loss by width and seed, for the demo's recipe and for changes of its
model.

    python -m benchmarks.family [--out outputs/family] [--variants "one head" ...] [--widths 40 64]
        [--tokens 1e6] [--seeds 3] [--cores 2] [--small] [--json]

Sizes of one family are to differ in size alone: at a fixed number of tokens the loss should fall in log N,
ever less steeply, and no width should stand out. Trains every width under every seed, one run a core, into
OUT/runs.csv; stopped half-way it goes on where it was. Prints means, standard deviations between seeds, and
how far the means are from falling and from convex, in standard deviations; draws OUT/family.png. A small run
is of made-up text, starts anew, and writes into OUT/small.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from isoflop.models import ModelConfig, ledger
from isoflop.sweeps.configs.cpu_demo import SWEEP

WIDTHS = (16, 24, 32, 40, 48, 56, 64, 80, 96)
VARIANTS: dict[str, dict[str, Any]] = {
    "family": {},
    "no convolution": {"kv_convolution": 1},
    "one head": {"heads": 1},
    "one head, 1/sqrt(d), no convolution": {"heads": 1, "kv_convolution": 1, "max_attention_logit": None},
}
"""Changes of the model; of `max_attention_logit` None is what QK-norm gives by itself, sqrt(head
features)."""


def changed(model: ModelConfig, variant: str) -> ModelConfig:
    """The model with a variant's changes."""
    changes = dict(VARIANTS[variant])
    if heads := changes.get("heads"):
        changes |= {"kv_heads": heads, "head_dim": model.width // heads}
    if "max_attention_logit" in changes:
        changes["max_attention_logit"] = changes["head_dim"] ** 0.5
    return replace(model, **changes)


def train(width: int, variant: str, seed: int, tokens: float, data: str) -> dict[str, Any]:
    """One run, as a row."""
    from isoflop.sweeps.grids.cells import cell_at, reseeded
    from isoflop.train.data import corpus as corpora
    from isoflop.train.loop import evaluate, run_segment
    from isoflop.train.spec import Segment

    corpus = corpora.prepare(data, "bytes")
    budget = tokens * ledger(SWEEP.model_at(width, corpus)).train_flops
    cell = reseeded(cell_at(SWEEP, corpus, width, budget, SWEEP.rates).cell, seed)
    recipe = replace(cell.recipe, model=changed(cell.recipe.model, variant))
    cell = replace(cell, recipe=recipe)
    trained = run_segment(Segment(recipe, 0, cell.steps, cell.steps, None), corpus, None)
    return {
        "variant": variant,
        "d_model": width,
        "seed": seed,
        "n_params_non_embedding": recipe.ledger.params(),
        "tokens_wanted": tokens,
        "n_tokens": cell.tokens,
        "batch_size": recipe.batch_size,
        "lr": recipe.optimizer.peak_lr,
        "flops": cell.flops,
        "loss": float(evaluate(cell, trained.state, corpus).losses.mean()),
    }


def rows(table: Path, wanted: list[tuple[Any, ...]], cores: int) -> pd.DataFrame:
    """The runs of OUT/runs.csv, those that are wanted and missing trained and added as they finish."""
    done = pd.read_csv(table).to_dict("records") if table.exists() else []
    had = {(row["d_model"], row["variant"], row["seed"], row["tokens_wanted"]) for row in done}
    missing = [run for run in wanted if run[:4] not in had]
    for row in _trained(missing, cores):
        done.append(row)
        pd.DataFrame(done).to_csv(table, index=False)
        print(
            f"{row['variant']}, width {row['d_model']}, seed {row['seed']}: {row['loss']:.4f}",
            file=sys.stderr,
        )
    return pd.DataFrame(done).sort_values(["variant", "tokens_wanted", "d_model", "seed"])


def _trained(runs: list[tuple[Any, ...]], cores: int) -> Iterator[dict[str, Any]]:
    spawn = get_context("spawn")  # a fork of a process that has started JAX may hang
    numbers = spawn.Queue()
    for number in range(cores):
        numbers.put(number)
    with ProcessPoolExecutor(cores, spawn, initializer=_on_one_core, initargs=(numbers,)) as pool:
        for future in as_completed([pool.submit(train, *run) for run in runs]):
            yield future.result()


def _on_one_core(numbers: Any) -> None:
    """Pin this process before JAX starts its threads: two runs on a core each beat one on both."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[numbers.get() % len(cores)]})


def lines(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The runs of each variant and number of tokens, by name."""
    names = [
        f"{variant}, {tokens / 1e6:.2g}M tokens"
        for variant, tokens in zip(runs["variant"], runs["tokens_wanted"], strict=True)
    ]
    return [(str(name), own) for name, own in runs.groupby(np.array(names), sort=False)]


def by_width(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation and number of the losses of each width, ascending."""
    return (
        runs.groupby(["d_model", "n_params_non_embedding"])["loss"]
        .agg(["mean", "std", "count"])
        .reset_index()
    )


def departures(widths: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """How far the mean loss is from falling, (W - 1,), and from convex in log N, (W - 2,), between
    neighbours, in standard deviations of the seeds' pooled noise: above zero is a rise, or a bend the wrong
    way."""
    x, y = np.log(widths["n_params_non_embedding"].to_numpy(float)), widths["mean"].to_numpy(float)
    count = widths["count"].to_numpy(float)
    pooled = float(np.sqrt(((count - 1) * widths["std"] ** 2).sum() / (count - 1).sum()))
    sd = pooled / np.sqrt(count)
    rise = np.diff(y) / np.sqrt(sd[1:] ** 2 + sd[:-1] ** 2)
    # What lies above the chord between its two neighbours bends the wrong way.
    share = (x[1:-1] - x[:-2]) / (x[2:] - x[:-2])
    bend = y[1:-1] - ((1 - share) * y[:-2] + share * y[2:])
    return rise, bend / np.sqrt(sd[1:-1] ** 2 + ((1 - share) * sd[:-2]) ** 2 + (share * sd[2:]) ** 2)


def draw(runs: pd.DataFrame, path: Path) -> None:
    """Loss against N, every run a point, the means a line, a colour a variant and number of tokens."""
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, own in lines(runs):
        means = by_width(own)
        (line,) = ax.plot(means["n_params_non_embedding"], means["mean"], label=name)
        ax.plot(own["n_params_non_embedding"], own["loss"], ".", color=line.get_color(), alpha=0.6)
    ax.set(xscale="log", xlabel="Parameters without embeddings", ylabel="Held-out loss (nats per byte)")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


def results_of(runs: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The means by width of each variant and number of tokens, and the worst departures in standard
    deviations, None where there are too few widths or seeds for them."""
    results = {}
    for name, own in lines(runs):
        table = by_width(own)
        worst: list[float | None] = [None, None]
        if len(table) > 2 and min(table["count"]) > 1:
            worst = [float(departure.max()) for departure in departures(table)]
        results[name] = {
            "widths": table.to_dict("records"),
            "largest_rise": worst[0],
            "largest_bend": worst[1],
        }
    return results


def print_table(name: str, found: dict[str, Any]) -> None:
    """One variant's widths, and its departures."""
    print(f"\n{name}\n{pd.DataFrame(found['widths']).round(4).to_string(index=False)}")
    if found["largest_rise"] is not None:
        rise, bend = found["largest_rise"], found["largest_bend"]
        print(f"largest rise {rise:.1f} s.d., largest bend the wrong way {bend:.1f} s.d.")


def options() -> argparse.Namespace:
    """The options asked for, those of a small run where it is one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("outputs/family"))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=["family"])
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--tokens", type=float, default=1e6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--data", default="wiki-intro")
    parser.add_argument("--small", action="store_true", help="three widths, two seeds, few tokens")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    if asked.small:
        asked.out /= "small"
        asked.widths, asked.seeds, asked.tokens, asked.data = WIDTHS[:3], 2, 2e4, "synthetic:zipf"
        asked.cores = 1  # each process compiles every width
        (asked.out / "runs.csv").unlink(missing_ok=True)
    return asked


def main() -> None:
    """Trains what is missing, prints the tables and draws the figure."""
    asked = options()
    asked.out.mkdir(parents=True, exist_ok=True)
    wanted = [
        (width, variant, seed, asked.tokens, asked.data)
        for variant in asked.variants
        for seed in range(asked.seeds)
        for width in asked.widths
    ]
    runs = rows(asked.out / "runs.csv", wanted, asked.cores)
    results = results_of(runs)
    if asked.json:
        print(json.dumps(results))
    else:
        for name, found in results.items():
            print_table(name, found)
    draw(runs, asked.out / "family.png")


if __name__ == "__main__":
    main()
