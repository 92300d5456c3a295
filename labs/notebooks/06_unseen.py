# %% [markdown]
# # 6. Predicting what you have not trained
#
# A law is fitted afterwards, and then it always fits. Here you say beforehand: an interval, sealed before you
# see the runs, beside those of three laws. All are scored by one public rule.
#
# The measured ladder has six budgets. You see five.

# %%
import hashlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

ladder = isoflop.load_runs("measured:cpu-ladder")
frame = ladder.frame
HELD = 3e13  # FLOPs
below, above = frame[frame["budget"] < HELD], frame[frame["budget"] >= HELD]
fig, ax = plt.subplots(figsize=(6, 3.5))
for budget, curve in below.groupby("budget"):
    means = curve.groupby("n_params_non_embedding")["loss"].mean()
    ax.semilogx(means.index, means, "o-", label=f"{budget:.0e} FLOPs")
for size in sorted(set(above["n_params_non_embedding"])):
    ax.axvline(size, ls=":", color="gray")
ax.set_xlabel("N, parameters without embedding")
ax.set_ylabel("loss, nats per byte")
ax.legend()
ax.set_title("Five budgets; dotted: the sizes that were trained at the sixth")
plt.show()

# %% [markdown]
# The sixth budget is 3e13 FLOPs, three times the fifth. Its four sizes were trained under two seeds each.
#
# **Predict first.** An interval, low and high, that holds the loss of a run of the third size with 95%
# probability. Too narrow costs, too wide costs. The next cell seals it: change it later, and the number is
# another.

# %% tags=["answer"]
prediction_1 = (1.36, 1.43)

# %%
asked = above[above["n_params_non_embedding"] == sorted(set(above["n_params_non_embedding"]))[2]]
size, tokens = (float(asked[name].iloc[0]) for name in ("n_params_non_embedding", "n_tokens"))
print(f"asked: {size:.3g} parameters on {tokens:.3g} bytes")
print("sealed:", hashlib.sha256(repr(prediction_1).encode()).hexdigest())

# %% [markdown]
# ## Three forms in competition
#
# | law | form |
# |---|---|
# | `chinchilla` | E + A/N^alpha + B/D^beta |
# | `skaling` | both terms in one power, (A/N^(alpha/k) + B/D^(beta/k))^k above a floor E |
# | `kaplan` | the same idea without a floor: in the end the loss goes to zero |
#
# Each is fitted to the same 40 runs below, and forecasts all four sizes at the sixth budget with intervals at
# 95%: of the fit's uncertainty, and of a run's noise.
#
# **Predict first.** Which law's intervals score best?

# %% tags=["answer"]
prediction_2 = "chinchilla"

# %%
LAWS = ("chinchilla", "skaling", "kaplan")
fits = {law: isoflop.fit(below, law=law, bootstrap=100, seed=0) for law in LAWS}
runs = above.groupby("n_params_non_embedding")["n_tokens"].first()
forecasts = {
    law: {
        n: isoflop.planned_run(fits[law], n_params=float(n), tokens=float(d), force=True).run
        for n, d in runs.items()
    }
    for law in LAWS
}
pd.DataFrame(
    {
        law: {f"{n:.3g}": f"{run.loss:.3f}  {np.round(run.interval, 3)}" for n, run in each.items()}
        for law, each in forecasts.items()
    }
).rename_axis("size")

# %% [markdown]
# ## The score
#
# An interval at level p is scored by its width, and by 2 / (1 - p) times what the outcome misses it by: 40
# times at 95% (Gneiting and Raftery 2007). The less the better, and nobody does better in expectation than by
# saying the quantiles that they believe in.


# %%
def interval_score(low, high, loss, level=0.95):
    """Nats."""
    return high - low + 2 / (1 - level) * max(low - loss, loss - high, 0)


outcomes = list(zip(above["n_params_non_embedding"], above["loss"], strict=True))
scores = pd.DataFrame(
    {
        law: {
            "mean interval score": np.mean([interval_score(*each[n].interval, loss) for n, loss in outcomes]),
            "share inside": np.mean(
                [each[n].interval[0] <= loss <= each[n].interval[1] for n, loss in outcomes]
            ),
            "mean error": np.mean([loss - each[n].loss for n, loss in outcomes]),
        }
        for law, each in forecasts.items()
    }
).T
print(f"best: {scores['mean interval score'].idxmin()}; you said {prediction_2}")
scores.round(4)

# %%
low, high = prediction_1 or (np.nan, np.nan)
board = {"you": (low, high)} | {law: forecasts[law][size].interval for law in LAWS}
fig, ax = plt.subplots(figsize=(6, 2.5))
for place, (start, end) in enumerate(board.values()):
    ax.plot([start, end], [place, place], lw=4)
    mean = np.mean([interval_score(start, end, loss) for loss in asked["loss"]])
    ax.text(1.01, place, f"{mean:.3f}", va="center", transform=ax.get_yaxis_transform())
for loss in asked["loss"]:
    ax.axvline(loss, ls=":", color="black")
ax.set_yticks(range(len(board)), list(board))
ax.invert_yaxis()
ax.set_xlabel("loss of the third size, nats per byte; dotted: measured; at the right: the score")
plt.show()

# %% [markdown]
# ## Is the winner the right law?
#
# The same competition, held at earlier budgets: fitted below, scored on what comes after.

# %%
cuts = {}
for cut in (3e12, 1e13, 3e13):
    found = isoflop.compete(ladder, laws=LAWS, holdout=cut)
    cuts[f"from {cut:.0e} FLOPs on"] = {
        row.name: row.mean_abs_error for row in found.rows if row.name in LAWS
    }
pd.DataFrame(cuts).round(4)

# %% [markdown]
# ## Your own forecasts

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("unseen", STUDENT)
check, given = mine.check, mine.values
past, minima = mine.tables["past"], mine.tables["minima"]
print(f"the level of the intervals in past: {given['level']:g}")
past.head()

# %% [markdown]
# **Exercise 1.** `past` holds intervals of one forecaster and what came out. The mean interval score? (Within
# 1%.)

# %% tags=["answer"]
answer_1 = np.mean([interval_score(row.low, row.high, row.loss, given["level"]) for row in past.itertuples()])

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** All intervals in `past` are symmetric about `forecast` and equally wide. Suppose that the
# errors are normal with mean zero and a standard deviation of `given["deviation"]` nats. Which half-width has
# the least expected score at that level? (Within 1%.)

# %% tags=["answer"]
z = {0.8: 1.28155, 0.9: 1.64485, 0.95: 1.95996}[given["level"]]
answer_2 = z * given["deviation"]

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** `minima` has the least loss at each of five budgets. A straight line in the logarithms of
# both, through the last two, forecasts the loss at `given["flops"]` FLOPs. By how many nats is it off, if
# `given["measured"]` comes out? (Measured less predicted; within 3%.)

# %% tags=["answer"]
last = np.log(minima.tail(2))
line = np.polyfit(last["flops"], last["loss"], 1)
answer_3 = given["measured"] - np.exp(np.polyval(line, np.log(given["flops"])))

# %%
check(3, answer_3)

# %% [markdown]
# ## What this has not shown
#
# - Which law is true. One budget of one table decided, with 8 runs of 4 sizes that share their text, their
#   code and their rate rule. Another cut has another order, as the last table shows.
# - How often intervals at 95% hold. That takes many forecasts; `isoflop.rolling` makes them on the tables
#   that there are.
# - That nobody looked. You could have opened the table, and the laws were chosen by people who had. A seal
#   shows when a number was fixed, and not what its author knew.
# - Ten or a hundred times further. Three times the largest budget is little, and laws that agree there part
#   later.
