# %% [markdown]
# # 1. IsoFLOP curves and three approaches
#
# You have a budget of C training FLOPs. A large model sees few tokens, a small one many: which size N ends
# with the least loss, and how does that size grow with C? This notebook answers with real runs, in the
# three ways of Hoffmann et al. (2022), and then lets you do it on runs of your own.
#
# The runs: 48 small transformers on bytes of Debian's documentation, trained on two CPU cores; six budgets,
# four sizes each, two seeds. They come with the package. N counts the parameters without the embedding.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

ladder = isoflop.load_runs("measured:cpu-ladder")
ax = isoflop.plot_isoflops(ladder, bootstrap=0)

# %% [markdown]
# Each curve is one budget: the loss over the size, at equal FLOPs. Left of the minimum the model is too
# small for its data, right of it the data are too few for the model.
#
# **Predict first.** From the lowest budget (1e11 FLOPs) to the highest (3e13) compute grows 300 times. By
# which factor does the best size grow? Write your number down, then run the next cell.

# %% tags=["answer"]
prediction_1 = 17  # the root of 300: as if size and tokens grew alike

# %%
parabolas = isoflop.fit(ladder, approach=2, bootstrap=0)
minima = parabolas.budgets_frame()[["flops", "n_opt", "d_opt", "loss_opt"]]
growth = minima["n_opt"].iloc[-1] / minima["n_opt"].iloc[0]
print(f"measured: {growth:.1f}; you said {prediction_1}")
minima

# %% [markdown]
# ## Three approaches, one table
#
# 1. *Envelope*: the runs that no run of less compute beats, and a power law through them.
# 2. *IsoFLOP curves*: the minimum of each budget, and a power law through the minima. The minimum may be
#    the best run itself, that of a parabola in log N, or that of an interpolant (Akima).
# 3. *Surface*: L = E + A/N^alpha + B/D^beta through all runs at once. With C = 6 N D its minimum at a given
#    C lies at N ~ C^a, a = beta / (alpha + beta).
#
# All give the exponent a of N_opt ~ C^a.
#
# **Predict first.** The same 48 runs, five methods. How far apart are the largest and the smallest a?

# %% tags=["answer"]
prediction_2 = 0.02

# %%
ways = {
    "1, envelope": {"approach": 1},
    "2, best run": {"approach": 2, "curve": "argmin"},
    "2, parabola": {"approach": 2},
    "2, Akima": {"approach": 2, "curve": "akima"},
    "3, surface": {"approach": 3},
}
exponents = pd.Series(
    {name: isoflop.fit(ladder, bootstrap=0, **way).exponents["a"] for name, way in ways.items()}, name="a"
)
print(f"apart by {exponents.max() - exponents.min():.3f}; you said {prediction_2}")
exponents.round(3)

# %% [markdown]
# What that means for a budget 100 times the largest one here:

# %%
largest = minima["flops"].iloc[-1]
sizes = minima["n_opt"].iloc[-1] * 100**exponents
fig, ax = plt.subplots(figsize=(6, 2.5))
ax.barh(sizes.index, sizes / 1e6)
ax.set_xlabel(f"best size at {100 * largest:.0e} FLOPs, millions of parameters, from one common minimum")
ax.invert_yaxis()
plt.show()

# %% [markdown]
# ## Your own runs
#
# The exercises are about a table of your own, of simulated runs: put your name in. N is in parameters, D in
# tokens, C = 6 N D, the loss in nats per token. `check` says whether an answer is right, and hints at what
# went wrong.

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("isoflops", STUDENT)
check, runs = mine.check, mine.tables["runs"]
budget, larger_budget = mine.values["budget"], mine.values["larger_budget"]
fig, ax = plt.subplots(figsize=(6, 3.5))
for flops, curve in runs.groupby("budget"):
    ax.semilogx(curve["n_params"], curve["loss"], "o-", label=f"{flops:.0e} FLOPs")
ax.set_xlabel("N, parameters")
ax.set_ylabel("loss, nats per token")
ax.legend()
plt.show()
print(f"your budget: {budget:.0e} FLOPs")

# %% [markdown]
# **Exercise 1.** The best size at your `budget`, by a parabola. In which variable is it one? (`np.polyfit`;
# within 2%.)

# %% tags=["answer"]
curve = runs[runs["budget"] == budget]
curvature, slope, _ = np.polyfit(np.log(curve["n_params"]), curve["loss"], 2)
answer_1 = np.exp(-slope / (2 * curvature))

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** The exponent a of N_opt ~ C^a, by a straight line through the minima of all five budgets,
# each found as in exercise 1. (Within 2%.)

# %% tags=["answer"]
log_minima = []
for _, curve in runs.groupby("budget"):
    curvature, slope, _ = np.polyfit(np.log(curve["n_params"]), curve["loss"], 2)
    log_minima.append(-slope / (2 * curvature))
answer_2 = np.polyfit(np.log(sorted(set(runs["budget"]))), log_minima, 1)[0]

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** The same exponent from the surface: `isoflop.fit(runs, bootstrap=0).params` has alpha and
# beta. Which combination of them is a? Derive it: hold C = 6 N D fixed and set the derivative of the loss
# to zero. (Within 2%.)

# %% tags=["answer"]
fit = isoflop.fit(runs, bootstrap=0)
answer_3 = fit.params["beta"] / (fit.params["alpha"] + fit.params["beta"])

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** How many tokens per parameter does that surface call for at `larger_budget`, 100 times the
# largest budget of your runs? Is it the ratio of your own budgets? (`isoflop.predict`, or by hand; within
# 3%.)

# %% tags=["answer"]
answer_4 = isoflop.predict(fit, larger_budget).tokens_per_parameter

# %%
check(4, answer_4)

# %% [markdown]
# ## What this has not shown
#
# - How sure any of these numbers is. No interval was drawn. `isoflop.fit(ladder)` draws them: at 95% a lies
#   between .36 and .46 by the surface.
# - Whether the power law holds beyond the runs. Exercise 4 extrapolates 100 times because it was asked to.
#   Your table obeys the law exactly, by construction; the measured one does not (notebook 3).
# - Another text, tokenizer, architecture or learning rate. The rates of the measured runs were tuned at
#   small sizes and carried over by a rule. A rate that is worse at one end bends the exponent, and nothing
#   here would have shown it.
# - What counts as a parameter. That is notebook 2.
