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
ax.set_xticks([0.3, 0.5, 1, 2], ["0.3", "0.5", "1", "2"])
ax.set_xticks([], minor=True)
ax.set_xlabel("size, over the best one tried")
ax.set_ylabel("regret, nats per token")
ax.legend()
plt.show()

# %% [markdown]
# **Predict first.** You will train small models at three budgets, and the hero at three times the largest of
# them. By how many nats will you miss the best of three sizes?

# %% tags=["answer"]
prediction_1 = 0.005

# %% [markdown]
# ## The plan
#
# Three rounds of four sizes each, then the hero and its two neighbours, by which it is judged: all of it
# within 1e13 FLOPs. The text is the source of Python's own library, which everyone who reads this has; a byte
# is a token. The learning rate follows a rule that was tuned on another text.
#
# With `SCALE = 0.01` the whole notebook takes a minute. Then it shows the steps, and its losses mean nothing.

# %% tags=["scale"]
SCALE = 1

# %%
TOTAL = SCALE * 1e13
ROUNDS = tuple(SCALE * flops for flops in (2.2e11, 3.6e11, 6e11))
HERO = SCALE * 1.75e12
LADDER = (16, 24, 32, 40, 48, 56, 64, 72)
SIZES = 4 if SCALE == 1 else 3
JUDGED = 3  # the hero and its neighbours

library = Path(sysconfig.get_paths()["stdlib"])
sources = sorted(path for path in library.rglob("*.py") if "site-packages" not in path.parts)
text = "\n\n".join(path.read_text(encoding="utf-8", errors="replace") for path in sources)
Path("library.txt").write_text(text[: int(1e6 + SCALE * 2.5e7)], encoding="utf-8")
planned = SIZES * sum(ROUNDS) + JUDGED * HERO
print(f"planned: {planned:.3g} of {TOTAL:.0e} FLOPs")

# %% [markdown]
# **Predict first.** The first two rounds can only be guessed. Which width (features of a layer) will be the
# best at the smallest budget? One of `LADDER`; the round is centred on it. (With None it is 32.) On another
# text the demo's best two at 3e11 FLOPs were 24 and 32.

# %% tags=["answer"]
prediction_2 = 32

# %%
config = isoflop.SweepConfig(
    name="budget",
    title="Three rounds and a hero",
    data="text:library.txt",
    budgets=ROUNDS[:2],
    ladder=LADDER,
    sizes=SIZES,
    centre_width=prediction_2 or 32,
    centre_budget=ROUNDS[0],
    centre_exponent=0.5,  # another guess: how the size grows with the budget
    batch_size=2,
    batch_exponent=0.5,
    rates=isoflop.Rates(coefficient=0.004, token_exponent=0.1),
    model=isoflop.ModelOptions(context_length=128 if SCALE == 1 else 32),
    seeds=1,
    checks=False,
    max_epochs=2,
    trackers=(),
)
sizes = (
    isoflop.plan(config.with_options(sizes=len(LADDER)))
    .to_frame()
    .drop_duplicates("d_model")
    .set_index("d_model")["n_params_non_embedding"]
    .sort_index()
)


def train():
    """Trains what the plan still lacks; returns all runs."""
    isoflop.sweep(config, out="budget")
    return pd.read_csv("budget/runs.csv")


def nearest(width):
    """The ladder's width that is nearest."""
    return min(LADDER, key=lambda each: abs(each - width))


def around(width, count):
    """So many neighbours on the ladder."""
    start = min(max(LADDER.index(nearest(width)) - (count - 1) // 2, 0), len(LADDER) - count)
    return list(LADDER[start : start + count])


def show(runs):
    """The IsoFLOP curves, and what they took."""
    _, ax = plt.subplots(figsize=(6, 3))
    for budget, curve in runs.sort_values("d_model").groupby("budget"):
        ax.plot(curve["d_model"], curve["loss"], "o-", label=f"{budget:.3g} FLOPs")
    ax.set_xticks(sorted(set(runs["d_model"])))
    ax.set_xlabel("width")
    ax.set_ylabel("loss, nats per byte")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()
    print(f"spent so far: {runs['flops_spent'].sum():.3g} FLOPs; runs of one size may share their beginning")


def suggest(flops):
    """The width that a surface through all runs so far finds the best."""
    fit = isoflop.fit("budget", bootstrap=0)
    optimum = isoflop.predict(fit, flops, force=True)
    width = int(np.abs(np.log(sizes / optimum.n_opt)).idxmin())
    print(f"the fit: {optimum.n_opt:.3g} parameters, nearest width {width}, loss {optimum.loss:.3f}")
    for warning in fit.warnings:
        print("-", warning)
    return width


def compare(score):
    """Registered losses with their intervals, and what came out."""
    cells = pd.DataFrame([vars(cell) for cell in score.cells]).set_index("d_model")
    low, high = np.array(cells["interval"].to_list()).T
    _, ax = plt.subplots(figsize=(6, 3))
    ax.vlines(cells.index, low, high, color="gray", label="registered, with 95% interval")
    ax.plot(cells.index, cells["predicted"], "_", color="gray", markersize=16)
    ax.plot(cells.index, cells["loss"], "o", label="measured")
    ax.set_xticks(cells.index)
    ax.margins(x=0.1)
    ax.set_xlabel("width")
    ax.set_ylabel("loss, nats per byte")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    plt.show()
    return cells[["n_params", "predicted", "interval", "loss", "error", "inside"]]


# %% [markdown]
# ## Rounds one and two

# %%
show(train())

# %% [markdown]
# Does each curve have its minimum inside the widths? One that lies at an edge says only on which side to
# look.
#
# ## Round three
#
# From here on the widths are chosen by what was seen. A surface through the runs so far proposes one:

# %%
by_fit = suggest(ROUNDS[2])

# %% [markdown]
# **Predict first.** The width on which the third round is to be centred: the fit's, or one that you trust
# more? (With None it is the fit's.)

# %% tags=["answer"]
prediction_3 = by_fit

# %% [markdown]
# `isoflop.register` writes down what the fit forecasts of each run, before it is trained. It is a rehearsal:
# whoever misses here should not trust the same fit further out. Each budget has one forecast, for good; to
# begin anew, delete the folder `budget`.

# %%
widths = around(prediction_3 or by_fit, SIZES)
isoflop.register("budget", ROUNDS[2], widths=widths, bootstrap=100, force=True)
runs = train()
rehearsal = isoflop.score("budget")[0]
compare(rehearsal)

# %%
show(runs)

# %% [markdown]
# ## The hero, sealed
#
# The same again, with all runs, for what the rest of the budget pays.

# %%
by_fit = suggest(HERO)

# %% [markdown]
# **Predict first.** The width of the hero. (With None it is the fit's.)

# %% tags=["answer"]
prediction_4 = by_fit

# %%
hero = nearest(prediction_4 or by_fit)
widths = around(hero, JUDGED)
sealed = isoflop.register("budget", HERO, widths=widths, bootstrap=100, force=True)
forecast = sealed.cells[widths.index(hero)]
print(f"sealed at {sealed.provenance.time}: {sealed.sha256}")
print(f"the hero, width {hero}: {forecast.loss:.3f} nats, 95% {np.round(forecast.interval, 3)}")

# %% [markdown]
# The forecast lies in `budget/forecasts`. Whoever edits it changes its SHA-256, and no score is given then.
# Send that number to somebody now, and your prediction can't be a later one.
#
# ## The hero, trained

# %%
runs = train()
score = isoflop.score("budget")[1]
cells = compare(score)
regret = cells.loc[hero, "loss"] - cells["loss"].min()
print(f"regret: {regret:.4f} nats; you said {prediction_1}")
cells

# %%
show(runs)

# %% [markdown]
# The minimum of the hero's budget, as each method forecast it from the same twelve runs. The interval score
# is the width of the interval, and 40 times what it misses by: the less the better.

# %%
print(f"measured: {score.measured.loss:.4f} {score.measured.doubt}")
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
# - A regret that means much. Three sizes of one seed: the noise of a run, half a per cent of its loss on the
#   demo's text, is about what two neighbouring sizes differ by. Zero may be luck.
# - That three sizes hold the best. The regret is against those tried; a better one may lie between or
#   beyond. Where the largest or the smallest won, the regret against the best of all is likely larger.
# - The best rate for your text. The rule was tuned on another; a rate that is worse for small models moves
#   the minimum, and the curves look as good.
# - That the intervals are honest. Seven are few, and intervals as wide as these hold almost anything. Where a
#   fit is not identified, `force=True` forecasts all the same.
# - The best split. The hero took less than a fifth of the FLOPs, and its neighbours, which no real plan pays
#   for, twice as much. `isoflop.next_runs` asks which runs would tell the most.
