# %% [markdown]
# # 3. Fits that lie
#
# Five specimens. Each fits its runs with a clean R², and each gives a wrong answer. Find out why, and mend
# it. First a real one.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop


def r_squared(measured, fitted):
    """The share of the variance that a fit explains."""
    return 1 - np.var(measured - fitted) / np.var(measured)


ladder = isoflop.load_runs("measured:cpu-ladder")
fit = isoflop.fit(ladder, bootstrap=0)
ax = isoflop.plot_residuals(ladder, fit=fit)

# %% [markdown]
# The residuals of L = E + A/N^alpha + B/D^beta on 48 measured runs.
#
# **Predict first.** What is R², and does the law hold (a p-value for "these runs follow the law, but for
# noise")?

# %% tags=["answer"]
prediction_1 = "R² .98, and it holds"

# %%
E, A, alpha, B, beta = (fit.params[name] for name in ("E", "A", "alpha", "B", "beta"))
fitted = E + A / ladder.N_R**alpha + B / ladder.D_R**beta
print(f"you said {prediction_1}")
print(f"R² {r_squared(ladder.loss_R, fitted):.4f}; p = {fit.misfit.p_value:.1g}")

# %% [markdown]
# R² compares the misses with the spread of the losses, which any sensible law explains. The test compares
# them with the noise of runs and seeds. R² can't see a wrong law, a wrong unit, or a parameter that nothing
# determines.
#
# ## Your specimens
#
# Put your name in: your specimens come from a law of your own. The losses are simulated, the mistakes are
# not: each has been made in public.

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("lies", STUDENT)
check, tables, flops = mine.check, mine.tables, mine.values["flops"]


def surface(fit, runs):
    """The fitted loss of each run."""
    p = fit.params
    return p["E"] + p["A"] / runs["n_params"] ** p["alpha"] + p["B"] / runs["n_tokens"] ** p["beta"]


# %% [markdown]
# **Specimen 1: twelve sizes, two decades.** "Our law is L = E + A/N^alpha + B/D^beta with R² of .99 and
# more, so we know the best allocation."

# %%
ratio = tables["ratio"]
fit_1 = isoflop.fit(ratio, bootstrap=0)
print(f"R² {r_squared(ratio['loss'], surface(fit_1, ratio)):.4f}, a = {fit_1.exponents['a']:.3f}")
ratio.head()

# %% [markdown]
# What do these twelve runs have in common? `fit_1.warnings` and `fit_1.identified` know. `tables["more"]`
# has further runs. **Exercise 1.** The exponent a, mended. (Within 2%.)

# %% tags=["answer"]
both = pd.concat([ratio, tables["more"]], ignore_index=True)
answer_1 = isoflop.fit(both, bootstrap=0).exponents["a"]

# %%
check(1, answer_1)

# %% [markdown]
# **Specimen 2: a perfect line.** "Three budgets, six sizes each. The best run of each budget lies on N ~
# C^.70 with R² of 1.0000."

# %%
edge = tables["edge"].assign(budget=lambda runs: runs["flops"].round(-13))
best = edge.loc[edge.groupby("budget")["loss"].idxmin()]
line = np.polyfit(np.log(best["flops"]), np.log(best["n_params"]), 1)
r2 = r_squared(np.log(best["n_params"]), np.polyval(line, np.log(best["flops"])))
print(f"a = {line[0]:.3f}, R² {r2:.4f}")
fig, ax = plt.subplots(figsize=(6, 3))
ax.loglog(best["flops"], best["n_params"], "o-")
ax.set_xlabel("C, FLOPs")
ax.set_ylabel("size of the best run")
plt.show()

# %% [markdown]
# Draw what the figure leaves out: the losses of each budget over N. **Exercise 2.** The exponent a. Which
# of the three approaches needs no minimum inside the sizes? (Within 2%.)

# %% tags=["answer"]
answer_2 = isoflop.fit(tables["edge"], bootstrap=0).exponents["a"]

# %%
check(2, answer_2)

# %% [markdown]
# **Specimen 3: compute.** "The loss of our best models is a power law of compute. At the budget asked for,
# this is what you will get."

# %%
compute = tables["compute"]
line = np.polyfit(np.log(compute["compute"]), np.log(compute["loss"]), 1)
r2 = r_squared(np.log(compute["loss"]), np.polyval(line, np.log(compute["compute"])))
print(f"R² {r2:.4f}; at {flops:.0e} FLOPs: {np.exp(np.polyval(line, np.log(flops))):.3f} nats per token")
compute

# %% [markdown]
# Is that a loss that a language model can have? **Exercise 3.** The loss by this line at `flops` FLOPs.
# (Within 2%.)

# %% tags=["answer"]
PF_DAY = 1e15 * 24 * 3600  # FLOPs
answer_3 = np.exp(np.polyval(line, np.log(flops / PF_DAY)))

# %%
check(3, answer_3)

# %% [markdown]
# **Specimen 4: a steep law.** "Size pays: the fitted alpha is larger than in any paper."

# %%
steep = tables["perplexity"]
fit_4 = isoflop.fit(steep, bootstrap=0)
print(f"R² {r_squared(steep['loss'], surface(fit_4, steep)):.4f}, alpha = {fit_4.params['alpha']:.3f}")
steep.head()

# %% [markdown]
# **Exercise 4.** alpha, for the loss in nats per token. (Within 2%.)

# %% tags=["answer"]
answer_4 = isoflop.fit(steep.assign(loss=np.log(steep["loss"])), bootstrap=0).params["alpha"]

# %%
check(4, answer_4)

# %% [markdown]
# **Specimen 5: a better recipe.** "18 runs of each recipe, at six horizons. Each follows its own line in
# log D. One recipe is better, and by many standard errors."

# %%
trunks = tables["trunks"]
over_mean = trunks["loss"] - trunks.groupby("n_tokens")["loss"].transform("mean")
by_recipe = over_mean.groupby(trunks["recipe"])
difference = by_recipe.mean()["new"] - by_recipe.mean()["old"]
naive = np.sqrt((by_recipe.var() / by_recipe.count()).sum())
print(f"new less old: {difference:+.4f}; standard error {naive:.4f}: {abs(difference) / naive:.1f} of them")
trunks.head(8)

# %% [markdown]
# The six horizons of a `trunk` are branches of one training run: one initialization, one order of the data.
# **Exercise 5.** The standard error of that difference, with as many independent observations as there are.
# (Means of the trunks; variances with n - 1; within 2%.)

# %% tags=["answer"]
by_trunk = over_mean.groupby([trunks["recipe"], trunks["trunk"]]).mean().groupby("recipe")
answer_5 = np.sqrt((by_trunk.var() / by_trunk.count()).sum())

# %%
check(5, answer_5)

# %% [markdown]
# ## What would have told you
#
# | specimen | lie | what shows it |
# |---|---|---|
# | 1 | one ratio of tokens to parameters | `fit.identified`; the Hessian; an interval |
# | 2 | every optimum at the edge of the sizes | the curves themselves; the warnings of approach 2 |
# | 3 | PF-days read as FLOPs | the magnitude of the result |
# | 4 | a perplexity taken for a loss | the magnitude of the column; `fit.warnings` |
# | 5 | branches of one trunk counted as runs | the column `trunk`; residuals that agree within a trunk |
#
# ## What this has not shown
#
# - The harder lies: a learning rate that is worse at one end, held-out text that leaked, runs that were
#   stopped early and look finished. Their tables look like good ones; only how they were made tells.
# - That a fit without warnings is right. Warnings know the mistakes that somebody has made before.
# - How often a test of lack of fit rejects a law that is good enough. With little noise it rejects every
#   law that is not exact.
