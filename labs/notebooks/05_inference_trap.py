# %% [markdown]
# # 5. The inference trap
#
# The compute-optimal model is the cheapest to train for its loss. Whoever serves it pays 2 N FLOPs for each
# token, for as long as it is used. This notebook asks for the cheapest model over both, and what a model in
# the wild reveals about its owner's plans. Training costs 6 N D FLOPs.

# %%
import matplotlib.pyplot as plt
import numpy as np

import isoflop

ladder = isoflop.load_runs("measured:cpu-ladder")
fit = isoflop.fit(ladder, bootstrap=0)
ax = isoflop.plot_surface(ladder, fit=fit)

# %% [markdown]
# The measured ladder, and the loss that a law gives over size and tokens. Along a line of equal loss, a
# smaller model needs more tokens. At the frontier the line of equal loss touches a line of equal compute:
# there a little less size costs almost nothing.
#
# **Predict first.** Take half the compute-optimal size and train on to the same loss. By the law fitted
# here, how much more compute does that take, in per cent?

# %% tags=["answer"]
prediction_1 = 25

# %%
optimum = isoflop.predict(fit, 3e13)
half = isoflop.planned_run(fit, n_params=optimum.n_opt / 2, loss=optimum.loss)
print(f"{100 * (half.flops / optimum.flops - 1):.0f}% more; you said {prediction_1}")

# %% [markdown]
# The whole curve, for a large model by the constants of Besiroglu et al. (2024):

# %%
LAW = "chinchilla:besiroglu"
at = isoflop.predict(LAW, 1e22)
shares = np.array([0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.1, 1.3, 1.6, 2.0])
runs = [isoflop.planned_run(LAW, n_params=share * at.n_opt, loss=at.loss) for share in shares]
fig, ax = plt.subplots(figsize=(6, 3))
ax.plot(shares, [100 * (run.flops / at.flops - 1) for run in runs], "o-")
ax.set_xlabel("size, over the compute-optimal one")
ax.set_ylabel("more training FLOPs, %")
ax.set_title("What another size costs at equal loss")
plt.show()

# %% [markdown]
# ## Training plus serving
#
# With T tokens served the total is 6 N D + 2 N T. **Predict first.** The model above is trained with 1e22
# FLOPs and then serves 1e12 tokens. Which share of the compute-optimal size is the cheapest model of its
# loss?

# %% tags=["answer"]
prediction_2 = 0.7

# %%
cheapest = isoflop.predict(LAW, 1e22, inference_tokens=1e12).lifetime
print(f"{cheapest.n / at.n_opt:.2f} of the size; you said {prediction_2}")
print(f"{cheapest.saving:.0%} of all FLOPs saved")
served = np.geomspace(1e10, 1e14, 9)
lives = [isoflop.predict(LAW, 1e22, inference_tokens=T).lifetime for T in served]
fig, ax = plt.subplots(figsize=(6, 3))
ax.semilogx(
    served, [life.n / at.n_opt for life in lives], "o-", label="cheapest size, over the compute-optimal one"
)
ax.semilogx(served, [life.saving for life in lives], "s-", label="share of all FLOPs saved")
ax.set_xlabel("tokens served")
ax.legend()
plt.show()

# %% [markdown]
# ## Your own plan

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("inference", STUDENT)
check, given = mine.check, mine.values
optimum = isoflop.predict(LAW, given["flops"])
print(f"training budget     {given['flops']:.2g} FLOPs")
print(
    f"compute-optimal     {optimum.n_opt:.3g} parameters, {optimum.d_opt:.3g} tokens, {optimum.loss:.3f} nats"
)
print(f"demand              {given['served']:.2g} tokens")
print(f"a smaller size      {given['share']:g} of the compute-optimal one")
print(f"somebody's release  {given['released_params']:.2g} parameters, {given['released_tokens']:.2g} tokens")

# %% [markdown]
# **Exercise 1.** How much more training does a model of `given["share"]` times the compute-optimal size
# take to come to the same loss, as a share of your budget? (`isoflop.planned_run`; .25 means a quarter
# more; within 2%.)

# %% tags=["answer"]
smaller = isoflop.planned_run(LAW, n_params=given["share"] * optimum.n_opt, loss=optimum.loss)
answer_1 = smaller.flops / given["flops"] - 1

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** From how many tokens served does that smaller model cost less in all? (By hand; within
# 2%.)

# %% tags=["answer"]
answer_2 = (smaller.flops - given["flops"]) / (2 * (optimum.n_opt - smaller.n))

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** The size of the cheapest model of that loss, if it serves your demand. (Within 2%.)

# %% tags=["answer"]
answer_3 = isoflop.predict(LAW, given["flops"], inference_tokens=given["served"]).lifetime.n

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** Somebody released a model of `given["released_params"]` parameters, trained on
# `given["released_tokens"]` tokens. For which demand would it be the cheapest model of its loss, in units
# of its own training tokens? (`isoflop.planned_run`; within 2%.)

# %% tags=["answer"]
released = isoflop.planned_run(LAW, n_params=given["released_params"], tokens=given["released_tokens"])
answer_4 = released.revealed_demand / given["released_tokens"]

# %%
check(4, answer_4)

# %% [markdown]
# ## The trap
#
# A budget is often set for training alone, and the model that it buys is then served for years. The other
# trap is the demand itself: it is guessed before the model exists, and it depends on how good and how cheap
# the model is.
#
# ## What this has not shown
#
# - What serving really costs. 2 N FLOPs a token leave out attention to a long context, the memory traffic
#   that decoding waits for, and prompts that are read in parallel. `isoflop.forecast` counts these on a
#   given device.
# - That the law holds at hundreds of tokens per parameter. The constants come from runs of which most had
#   fewer, and `isoflop.planned_run(...).warnings` says how far beyond them an answer lies.
# - Over-trained branches of one trunk, measured beside what the law says of them. Nothing here was trained
#   past its optimum to see.
# - Other ways to a cheap model: distillation, quantization, mixtures of experts, or a larger model asked
#   once instead of a smaller one asked often.
