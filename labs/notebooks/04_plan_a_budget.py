# %% [markdown]
# # 4. Plan a budget
#
# You have 1e13 FLOPs, some minutes of two CPU cores, and really train. Three rounds of small runs are to tell
# you the size of one large one, the hero. Before it is trained its loss is predicted and sealed. Then it is
# scored by its regret: how many nats a better choice of the size would have saved.
#
# First, what a wrong size costs, by runs that came with the package.

# %%
import sysconfig
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

demo = isoflop.load_runs("measured:cpu-demo").frame
means = demo.groupby(["budget", "n_params_non_embedding"])["loss"].mean().reset_index()
fig, ax = plt.subplots(figsize=(6, 3))
for budget, curve in means.groupby("budget"):
    best = curve.loc[curve["loss"].idxmin()]
    ax.semilogx(
        curve["n_params_non_embedding"] / best["n_params_non_embedding"],
        curve["loss"] - best["loss"],
        "o-",
        label=f"{budget:.1e} FLOPs",
    )
ax.set_xlabel("size, over the best one tried")
ax.set_ylabel("regret, nats per token")
ax.legend()
plt.show()

# %% [markdown]
# **Predict first.** You will train at three small budgets, and the hero at 2.7 times the largest of them. By
# how many nats will you miss the best of three sizes?

# %% tags=["answer"]
prediction_1 = 0.005

# %% [markdown]
# ## The plan
#
# Three rounds, four sizes each, then the hero and its two neighbours, by which it is judged: all of it within
# 1e13 FLOPs. The text is the source of Python's own library, which everyone who reads this has; a byte is a
# token. The learning rate follows a rule that was tuned on another text.
#
# With `SCALE = 0.01` the whole notebook takes seconds. Then it shows the steps, and its losses mean nothing.

# %% tags=["scale"]
SCALE = 1

# %%
ROUNDS = tuple(SCALE * flops for flops in (1.5e11, 3e11, 6e11))
HERO = SCALE * 1.6e12
SIZES = 4 if SCALE == 1 else 3
JUDGES = 2  # the hero's neighbours
planned = SIZES * sum(ROUNDS) + (1 + JUDGES) * HERO
print(f"planned: {planned:.2g} of {SCALE * 1e13:.0e} FLOPs")

library = Path(sysconfig.get_paths()["stdlib"])
sources = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
text = "\n\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sources)
Path("library.txt").write_text(text[: int(1e6 + SCALE * 2.5e7)], encoding="utf-8")

config = isoflop.SweepConfig(
    name="budget",
    title="Three rounds and a hero",
    data="text:library.txt",
    budgets=ROUNDS,
    ladder=(8, 16, 24, 32, 40, 48, 56, 64) if SCALE == 1 else (8, 16, 24, 32),
    sizes=SIZES,
    centre_width=32 if SCALE == 1 else 16,  # a guess
    centre_budget=ROUNDS[1],
    centre_exponent=0.75,  # another
    batch_size=2,
    batch_exponent=0.5,
    rates=isoflop.Rates(coefficient=0.004, token_exponent=0.1),
    model=isoflop.ModelOptions(context_length=128 if SCALE == 1 else 32),
    seeds=1,
    checks=False,
    max_epochs=2,
    trackers=(),
)


def train(rounds):
    """Trains what is still missing of so many rounds; returns the runs so far."""
    rounds = rounds if SCALE == 1 else len(ROUNDS)  # to start the workers takes longer than these runs
    isoflop.sweep(config.with_options(budgets=ROUNDS[:rounds]), out="budget")
    return pd.read_csv("budget/runs.csv")


def show(runs):
    """The IsoFLOP curves, and what they took."""
    _, ax = plt.subplots(figsize=(6, 3))
    for budget, curve in runs.sort_values("d_model").groupby("budget"):
        ax.semilogx(curve["n_params_non_embedding"], curve["loss"], "o-", label=f"{budget:.1e} FLOPs")
    ax.set_xlabel("N, parameters without embedding")
    ax.set_ylabel("loss, nats per byte")
    ax.legend()
    plt.show()
    print(f"spent so far: {runs['flops_spent'].sum():.2g} FLOPs; runs of one size share their beginning")


# %% [markdown]
# ## Three rounds

# %%
show(train(1))

# %% [markdown]
# Does the curve have its minimum inside the sizes? If it were at an edge, the next round would have to move.
# Here the sizes move up with the budget anyway, by a guess.

# %%
show(train(2))

# %%
show(train(3))

# %% [markdown]
# ## The prediction, sealed
#
# A surface through all twelve runs says which size is the best for the hero.

# %%
fit = isoflop.fit("budget", bootstrap=0)
optimum = isoflop.predict(fit, HERO, force=True)
sizes = (
    isoflop.plan(config.with_options(budgets=(HERO,), sizes=len(config.ladder)))
    .to_frame()
    .drop_duplicates("d_model")
    .set_index("d_model")["n_params_non_embedding"]
    .sort_index()
)
inner = sizes.iloc[1:-1]  # a neighbour on either side
by_fit = int(np.abs(np.log(inner / optimum.n_opt)).idxmin())
print(f"the fit: {optimum.n_opt:.3g} parameters, nearest width {by_fit}, loss {optimum.loss:.3f}")
for warning in fit.warnings:
    print("-", warning)

# %% [markdown]
# **Predict first.** The width of the hero: the fit's, or one that you trust more? (One of `inner`. With
# None it is the fit's.)

# %% tags=["answer"]
prediction_2 = by_fit

# %%
hero = prediction_2 or by_fit
place = sizes.index.get_loc(hero)
widths = [int(width) for width in sizes.index[place - 1 : place + 2]]
sealed = isoflop.register("budget", HERO, widths=widths, bootstrap=100, force=True)
forecast = sealed.cells[1]
print(f"sealed at {sealed.provenance.time}: {sealed.sha256}")
print(f"the hero, width {hero}: {forecast.loss:.3f} nats, 95% {forecast.interval}")

# %% [markdown]
# The forecast lies in `budget/forecasts`. Whoever edits it changes its SHA-256, and no score is given then.
# Send that number to somebody now, and your prediction can't be a later one.
#
# ## The hero
#
# The same command goes on: it trains the hero and its two neighbours.

# %%
runs = train(3)
(score,) = isoflop.score("budget")
cells = pd.DataFrame(
    [
        {"width": c.d_model, "predicted": c.predicted, "interval": c.interval, "loss": c.loss}
        for c in score.cells
    ]
).set_index("width")
regret = cells.loc[hero, "loss"] - cells["loss"].min()
print(f"regret: {regret:.4f} nats; you said {prediction_1}")
print(f"spent in all: {runs['flops_spent'].sum():.2g} FLOPs")
cells

# %% [markdown]
# The minimum of the hero's budget, as each method forecast it before. The interval score is the width of the
# interval, and 40 times what it misses by: the less the better.

# %%
pd.DataFrame(
    [
        {
            "method": method.forecast.method,
            "forecast loss": method.forecast.loss,
            "error": method.loss_error,
            "interval score": method.interval_score,
        }
        for method in score.methods
    ]
).round(4)

# %%
show(runs)

# %% [markdown]
# ## Your own plan
#
# Somebody else's rounds, simulated: a table of your own, a million times larger.

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("budget", STUDENT)
check, rounds, given = mine.check, mine.tables["runs"], mine.values
for name, value in given.items():
    print(f"{name:12} {value:.4g}")
rounds.head()

# %% [markdown]
# **Exercise 1.** Every run of `rounds` cost its `flops`; no beginnings are shared. What is left of the budget
# of `given["total"]` FLOPs is spent on a hero and two judges of equal cost. What can the hero cost? (Within
# 1%.)

# %% tags=["answer"]
answer_1 = (given["total"] - rounds["flops"].sum()) / 3

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** The hero's size for `given["hero"]` FLOPs, by a surface through `rounds`. (`isoflop.fit`
# and `isoflop.predict`; within 2%.)

# %% tags=["answer"]
fit = isoflop.fit(rounds, bootstrap=0)
optimum = isoflop.predict(fit, given["hero"])
answer_2 = optimum.n_opt

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** Somebody takes `given["factor"]` times that size, at the same FLOPs. The regret, in nats, by
# the same surface? (`isoflop.planned_run`; within 3%.)

# %% tags=["answer"]
other = isoflop.planned_run(fit, n_params=given["factor"] * optimum.n_opt, flops=given["hero"])
answer_3 = other.loss - optimum.loss

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** Their sealed interval at 95% was from `given["low"]` to `given["high"]`, and the hero came
# out at `given["loss"]`. The interval score? (Within 1%.)

# %% tags=["answer"]
low, high, loss = given["low"], given["high"], given["loss"]
answer_4 = high - low + 2 / (1 - 0.95) * max(low - loss, loss - high, 0)

# %%
check(4, answer_4)

# %% [markdown]
# ## What this has not shown
#
# - A regret that means much. Three sizes of one seed: the noise of a run, about half a per cent of its loss,
#   is as large as what two neighbouring sizes differ by. Zero may be luck.
# - That three sizes hold the best. The regret is against those tried; a better one may lie between or
#   beyond.
# - The best rate for your text. The rule was tuned on another; a rate that is worse for small models moves
#   the minimum, and the curves look as good.
# - The best split between rounds and hero. Half of the budget went into finding out. `isoflop.next_runs`
#   asks which runs would tell the most.
