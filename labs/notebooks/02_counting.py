# %% [markdown]
# # 2. From Kaplan to Chinchilla on the same runs
#
# Kaplan et al. (2020): the best size grows as C^.73. Hoffmann et al. (2022): as C^.5. At a hundred times
# the compute that is 29 times the size against 10. One suspect needs no new run: what counts as a
# parameter, and as compute. This notebook changes the count and nothing else.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

ladder = isoflop.load_runs("measured:cpu-ladder")
frame = ladder.frame
fig, ax = plt.subplots(figsize=(6, 3))
sizes = frame.drop_duplicates("n_params_total").sort_values("n_params_total")
parts = {
    "blocks": sizes["n_params_body"],
    "output head, final norm": sizes["n_params_non_embedding"] - sizes["n_params_body"],
    "embedding": sizes["n_params_total"] - sizes["n_params_non_embedding"],
}
ax.stackplot(
    sizes["n_params_total"],
    [part / sizes["n_params_total"] for part in parts.values()],
    labels=list(parts),
)
ax.set_xscale("log")
ax.set_xlabel("parameters in all")
ax.set_ylabel("share")
ax.legend(loc="lower right")
ax.set_title("The measured ladder: what its models consist of")
plt.show()

# %% [markdown]
# A small model is mostly embedding and head, a large one mostly blocks. So a count that leaves them out
# stretches the axis of N, and unevenly.
#
# **Predict first.** The exponent a counted without the embedding (blocks and head), against a with the
# blocks alone: larger, smaller, or the same? Write down the difference that you expect (blocks alone less
# the other).

# %% tags=["answer"]
prediction_1 = 0.1

# %%
counts = {"total": "all", "non_embedding": "without embedding", "body": "blocks alone"}
table = pd.DataFrame(
    {
        compute: {
            words: isoflop.fit(ladder, count=count, flops=flops, bootstrap=0).exponents["a"]
            for count, words in counts.items()
        }
        for compute, flops in {"exact FLOPs": "exact", "6 N D with that N": "6nd"}.items()
    }
)
difference = table.loc["blocks alone", "exact FLOPs"] - table.loc["without embedding", "exact FLOPs"]
print(f"measured: {difference:+.3f}; you said {prediction_1}")
table.round(3)

# %% [markdown]
# ## The waterfall
#
# One switch at a time, from Kaplan's counting to Chinchilla's: each bar is what a switch does to a, on the
# same 48 runs.

# %%
steps = pd.Series(
    {
        "Kaplan's: blocks, C = 6 N D": table.loc["blocks alone", "6 N D with that N"],
        "C exact: attention and head": table.loc["blocks alone", "exact FLOPs"],
        "N with the head": table.loc["without embedding", "exact FLOPs"],
        "N with the embedding": table.loc["all", "exact FLOPs"],
    }
)
before = steps.shift(1).fillna(0)
fig, ax = plt.subplots(figsize=(6, 2.8))
ax.barh(steps.index, steps - before, left=before)
for place, (start, end) in enumerate(zip(before, steps, strict=True)):
    ax.text(max(start, end) + 0.01, place, f"{end:.3f}", va="center")
ax.invert_yaxis()
ax.set_xlim(0, 0.6)
ax.set_xlabel("a")
ax.set_title("Measured: N_opt ~ C^a, one switch at a time")
plt.show()

# %% [markdown]
# The vocabulary here is 256 bytes, and only the smallest models are mostly head and embedding. With 32,000
# tokens one with ten million parameters in its blocks still is, and the same switches move a much further.
# Pearce and Song (2024) put this into a law: `pearce:besiroglu` is Chinchilla's law (constants of Besiroglu
# et al.) in terms of N without embeddings.
#
# **Predict first.** Chinchilla's law gives a = .51. What exponent does a straight line give over Kaplan's
# range, by that count?

# %% tags=["answer"]
prediction_2 = 0.6

# %%
C = np.geomspace(1e15, 1e21, 25)
N_opt = np.array([isoflop.predict("pearce:besiroglu", flops, force=True).n_opt for flops in C])
local = np.gradient(np.log(N_opt), np.log(C))
kaplans = (N_opt > 768) & (N_opt < 1.5e9)
fitted = np.polyfit(np.log(C[kaplans]), np.log(N_opt[kaplans]), 1)[0]
print(f"a straight line over N from 768 to 1.5 billion: {fitted:.2f}; you said {prediction_2}")
fig, ax = plt.subplots(figsize=(6, 3))
ax.semilogx(C, local)
ax.axhline(0.73, ls=":", color="gray")
ax.axhline(0.51, ls=":", color="gray")
ax.set_xlabel("C = 6 N D without embeddings, FLOPs")
ax.set_ylabel("local exponent of N_opt")
plt.show()

# %% [markdown]
# ## Your own runs
#
# A table of your own: simulated models with a large vocabulary. `flops` counts blocks and head (no
# attention scores); the columns `n_params_body`, `n_params_non_embedding` and `n_params_total` count
# blocks, blocks and head, and all.

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("counting", STUDENT)
check, runs = mine.check, mine.tables["runs"]
low_budget, high_budget = mine.values["low_budget"], mine.values["high_budget"]
print(f"budgets for exercise 4: {low_budget:.2g} and {high_budget:.2g} FLOPs")
runs.head()

# %% [markdown]
# **Exercise 1.** Your largest model: which share of its parameters without embedding is its head? (Within
# 2%.)

# %% tags=["answer"]
large = runs.loc[runs["n_params_total"].idxmax()]
answer_1 = 1 - large["n_params_body"] / large["n_params_non_embedding"]

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** The exponent a of your runs by Chinchilla's counting: the head in N, and the table's own
# FLOPs. (`isoflop.fit` with `count`; `bootstrap=0` is quick; within 1%.)

# %% tags=["answer"]
answer_2 = isoflop.fit(runs, count="non_embedding", bootstrap=0).exponents["a"]

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** The same by Kaplan's counting: the blocks alone in N, and C = 6 N D with that N. (Within
# 1%.)

# %% tags=["answer"]
answer_3 = isoflop.fit(runs, count="body", flops="6nd", bootstrap=0).exponents["a"]

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** By `pearce:besiroglu`: the exponent between your `low_budget` and `high_budget`, that is
# log of the factor in N_opt over log of the factor in C. (`isoflop.predict`, with `force=True` below the
# range of the runs that the constants come from; within 2%.)

# %% tags=["answer"]
low, high = (isoflop.predict("pearce:besiroglu", C, force=True).n_opt for C in (low_budget, high_budget))
answer_4 = np.log(high / low) / np.log(high_budget / low_budget)

# %%
check(4, answer_4)

# %% [markdown]
# ## What this has not shown
#
# - The other suspects. Beside the head's FLOPs Porian et al. (2024) name the warm-up, too long for small
#   models, and rates and batches that were not tuned to each size. The measured table can't show these: all
#   its runs decay at their own end, with one rule for warm-up and rate. It takes runs that differ in just
#   that.
# - That counting is what happened in 2020. The law says what counting would do by itself, with another
#   text's constants.
# - Which count is right. For what a run costs, count what computes. For how well a model learns, the
#   question is which count makes the law simplest, and small models decide it badly.
