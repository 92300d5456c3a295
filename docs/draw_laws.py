"""The figures of the laws of compute, data and hyperparameters, which docs/draw.py draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from docs.figure_file import save
from isoflop.analysis import published_fit
from isoflop.analysis.figures.style import ACCENT, INK, NEUTRAL, SOFT, canvas, log_axis
from isoflop.analysis.laws import muennighoff, pearce, vocabulary
from isoflop.analysis.laws.rate_by_size_and_tokens import BJORCK, DELPHI
from isoflop.analysis.planning.hyperparameters import hyperparameters

KAPLAN_SIZES = (768.0, 1.5e9)
TOKENIZERS = (("Llama 2 7B", 6.6e9, 32000 * 4096, (7, -3)), ("Llama 3 8B", 7.5e9, 128256 * 4096, (-62, 5)))
"""Parameters besides the vocabulary's, those of the vocabulary counted once, and where the name stands."""
RULES = (("steplaw", ACCENT), ("steplaw-released-runs", "#d99a84"), ("deepseek", INK), ("porian", NEUTRAL))


def draw_reconciliation(folder: Path) -> None:
    """Draw the best size by Chinchilla's law, counted as Kaplan et al. did, and its local exponent."""
    figure, (sizes, slopes) = canvas(9.0, 3.8, columns=2)
    N = np.geomspace(1e2, 1e13, 600)
    for name, colour in (("besiroglu", ACCENT), ("hoffmann", INK)):
        params = published_fit(f"pearce:{name}").params_P
        a = pearce.fitted_exponent(params)
        slopes.plot(N, pearce.local_exponent(params, N), color=colour, lw=2, label=f"constants: {name}")
        if name == "besiroglu":
            C = pearce.best_budget(params, N)
            sizes.plot(C, N, color=colour, lw=2, label="best size by Chinchilla's law")
            log_C = np.linspace(*np.log(pearce.KAPLAN_FLOPS), 100)
            level = np.interp(log_C, np.log(C), np.log(N)).mean()
            line = np.exp(level + a * (log_C - log_C.mean()))
            sizes.plot(
                np.exp(log_C), line, color=INK, lw=1.4, ls="--", label=f"the line that fits it: C^{a:.2f}"
            )
    sizes.axvspan(*pearce.KAPLAN_FLOPS, color=NEUTRAL, alpha=0.15, lw=0)
    sizes.text(1.2e13, 3e11, "Kaplan et al.", color=SOFT, fontsize=8)
    log_axis(sizes, "x", 1e11, 1e26, "FLOPs without embeddings", "{:.0e}".format)
    log_axis(sizes, "y", 1e2, 1e13, "best N without embeddings")
    slopes.axvspan(*KAPLAN_SIZES, color=NEUTRAL, alpha=0.15, lw=0)
    slopes.axhline(0.73, color=SOFT, lw=0.9, ls=":")
    slopes.text(1.3e10, 0.745, "Kaplan's .73", color=SOFT, fontsize=8)
    log_axis(slopes, "x", 1e2, 1e13, "N without embeddings")
    slopes.set_ylim(0.4, 1.0)
    slopes.set_ylabel("local exponent, d log N / d log C")
    sizes.legend(loc="lower right", fontsize=8, frameon=False)
    slopes.legend(loc="upper right", fontsize=8, frameon=False)
    save(figure, folder / "reconciliation.png")


def draw_data(folder: Path) -> None:
    """Draw the best vocabulary of a size, and what repeated text is worth."""
    figure, (words, repeats) = canvas(9.0, 3.8, columns=2)
    params = published_fit("vocabulary:tao").params_P
    as_used = params.copy()
    as_used[5] = vocabulary.B * vocabulary.BILLION**vocabulary.ALPHA
    body = np.geomspace(3e7, 3e11, 40)
    budget = 120 * body**2
    scale, base, power = vocabulary.BY_SIZE
    for values, name, style in (
        ([vocabulary.best_vocabulary(params, *x) for x in zip(body, budget, strict=True)], "the law", "-"),
        (
            [vocabulary.best_vocabulary(as_used, *x) for x in zip(body, budget, strict=True)],
            "its constants as their authors use them",
            "--",
        ),
        (scale * (body / base) ** power, "their rule of size alone", ":"),
    ):
        words.plot(body, values, style, color=ACCENT if style == "-" else INK, lw=1.8, label=name)
    for name, x, y, offset in TOKENIZERS:
        words.plot(x, y, "D", color=NEUTRAL, ms=6)
        words.annotate(name, (x, y), offset, textcoords="offset points", fontsize=8, color=SOFT)
    log_axis(words, "x", 3e7, 3e11, "other parameters, at 20 tokens each")
    log_axis(words, "y", 1e6, 1e10, "best parameters of the vocabulary")
    words.legend(loc="upper left", fontsize=8, frameon=False)
    epochs = np.geomspace(1, 1000, 200)
    for half_life, name, colour in ((15.3878, "as printed", ACCENT), (33.6, "all parameters free", INK)):
        worth = muennighoff.effective(np.array(1.0), epochs, np.array(half_life))
        repeats.plot(epochs, worth, color=colour, lw=2, label=f"R_D* {half_life:.1f}, {name}")
    repeats.plot(epochs, epochs, color=SOFT, lw=0.9, ls=":", label="fresh text")
    log_axis(repeats, "x", 1, 1000, "epochs")
    log_axis(repeats, "y", 1, 100, "epochs of fresh text that they are worth")
    repeats.legend(loc="upper left", fontsize=8, frameon=False)
    save(figure, folder / "data.png")


def draw_hyperparameters(folder: Path) -> None:
    """Draw rate and batch by every rule against the tokens, at a billion parameters."""
    figure, (rates, batches) = canvas(9.0, 3.8, columns=2)
    N, D = 1e9, np.geomspace(2e9, 2e13, 30)
    found = [{rule.name: rule for rule in hyperparameters(N, d).rules} for d in D]
    for name, colour in RULES:
        rates.plot(D, [each[name].lr for each in found], color=colour, lw=2, label=name)
        batches.plot(D, [each[name].batch_tokens for each in found], color=colour, lw=2, label=name)
    batches.plot(
        D, [each["nanochat"].batch_tokens for each in found], color=INK, lw=1.4, ls="--", label="nanochat"
    )
    start = hyperparameters(N, 2e10).rules
    level = next(rule.lr for rule in start if rule.name == "steplaw") or 0.0
    for exponent, name, style in ((BJORCK[1], "Bjorck", ":"), (DELPHI, "Delphi", "--")):
        label = f"D^{exponent:.2f}, {name}'s, from 20B"
        rates.plot(D, level * (D / 2e10) ** exponent, style, color=SOFT, lw=1.2, label=label)
    log_axis(rates, "x", 2e9, 2e13, "tokens, N = 1B")
    log_axis(rates, "y", 1e-4, 1e-1, "peak learning rate", "{:g}".format)
    log_axis(batches, "x", 2e9, 2e13, "tokens, N = 1B")
    log_axis(batches, "y", 1e5, 1e8, "tokens a batch")
    rates.legend(loc="upper left", fontsize=8, frameon=False)
    batches.legend(loc="upper left", fontsize=8, frameon=False)
    save(figure, folder / "hyperparameters.png")
