# %% [markdown]
# # 8. Bias, variance and what a bound says
#
# Learning theory bounds the error of a learner before it has learned. A scaling law measures it afterwards.
# Here both are put in numbers, for the same learners, and stand beside each other.
#
# One size of the measured ladder, trained on four amounts of text under two seeds each; a fifth is held back.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

ladder = isoflop.load_runs("measured:cpu-ladder").frame
runs = ladder[ladder["n_params_non_embedding"] == 102_840].sort_values("n_tokens")
largest = runs["n_tokens"].max()
seen, held = runs[runs["n_tokens"] < largest], runs[runs["n_tokens"] == largest]
fig, ax = plt.subplots(figsize=(6, 3.5))
ax.semilogx(seen["n_tokens"], seen["loss"], "o")
ax.axvline(largest, ls=":", color="gray")
ax.set_xlabel("D, bytes of training text")
ax.set_ylabel("loss, nats per byte")
ax.set_title("103 thousand parameters; dotted: held back")
plt.show()

# %% [markdown]
# **Predict first.** The loss at the dotted line, three times the data of the last point. It is shown at the
# end, beside what three exponents say.

# %% tags=["answer"]
prediction_1 = 1.45

# %% [markdown]
# ## Bias and variance
#
# A polynomial is fitted to 30 noisy values of a curve, again and again with new noise. At a point of the
# curve its squared error has two parts: how far the mean of all fits is off (bias, squared), and how far a
# fit is from that mean (variance). At the points fitted the variance is known without drawing: a
# least-squares fit of k coefficients to n values with noise of variance s^2 has s^2 k/n on average.

# %%
rng = np.random.default_rng(0)
x = np.linspace(-1, 1, 30)
truth = np.exp(x) * np.sin(5 * x)
DEVIATION, DRAWS = 0.5, 2000
y = truth + DEVIATION * rng.standard_normal((DRAWS, len(x)))
rows = []
for degree in range(13):
    basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(x, degree))
    fits = y @ basis @ basis.T
    rows.append(
        {
            "degree": degree,
            "bias squared": np.mean((fits.mean(0) - truth) ** 2),
            "variance": np.mean(fits.var(0)),
            "s^2 k/n": DEVIATION**2 * (degree + 1) / len(x),
            "squared error": np.mean((fits - truth) ** 2),
        }
    )
polynomials = pd.DataFrame(rows).set_index("degree")
fig, ax = plt.subplots(figsize=(6, 3.5))
for name, style in zip(polynomials, ("o-", "s-", "k:", "^-"), strict=True):
    ax.semilogy(polynomials.index, polynomials[name], style, label=name)
ax.set_xlabel("degree of the polynomial")
ax.set_ylabel(f"mean over {DRAWS} draws")
ax.set_ylim(1e-3, 2)
ax.legend()
plt.show()
print(f"least error at degree {polynomials['squared error'].idxmin()}")

# %% [markdown]
# This is the textbook's U: past some degree, more parameters make it worse. The figure ends at 13
# coefficients for 30 values. What happens where there are more coefficients than values?
#
# ## Double descent
#
# The learner: inputs of 10 numbers go through p random ReLU features, and a least-squares fit of 40 noisy
# examples weighs the features. Where p exceeds 40 many weights fit the examples exactly, and the solution of
# least norm is taken. The truth is linear in the inputs.
#
# **Predict first.** Of 2 to 400 features, which number has the largest error on fresh inputs?

# %% tags=["answer"]
prediction_2 = 400

# %%
INPUTS, EXAMPLES, FRESH, DRAWS = 10, 40, 400, 100
SIZES = (2, 4, 8, 12, 16, 20, 25, 30, 34, 37, 40, 43, 47, 52, 60, 80, 120, 200, 400)
RIDGES = np.array([0, *np.geomspace(1e-3, 1e2, 21)])
rng = np.random.default_rng(0)
teacher = rng.standard_normal(INPUTS) / np.sqrt(INPUTS)
x_fresh = rng.standard_normal((FRESH, INPUTS))


def features(x, directions):
    return np.maximum(x @ directions, 0) / np.sqrt(directions.shape[1])


def predictions(p):
    """At fresh inputs, for each ridge: by examples and features drawn anew."""
    directions, x = rng.standard_normal((INPUTS, p)), rng.standard_normal((EXAMPLES, INPUTS))
    y = x @ teacher + DEVIATION * rng.standard_normal(EXAMPLES)
    U, s, Vt = np.linalg.svd(features(x, directions), full_matrices=False)
    # Ridge solution: V s/(s^2 + ridge) U'y. Without ridge it is the solution of least norm.
    return s / (s**2 + RIDGES[:, None]) * (U.T @ y) @ (features(x_fresh, directions) @ Vt.T).T


rows = []
for p in SIZES:
    drawn = np.stack([predictions(p) for _ in range(DRAWS)])  # draws, ridges, fresh inputs
    error = ((drawn - x_fresh @ teacher) ** 2).mean((0, 2))
    variance = drawn.var(0, ddof=1).mean(1)  # unbiased, and so is error less variance
    best = error.argmin()
    rows.append(
        {
            "features": p,
            "bias squared": error[0] - variance[0],
            "variance": variance[0],
            "squared error": error[0],
            "best ridge": RIDGES[best],
            "error with it": error[best],
        }
    )
descent = pd.DataFrame(rows).set_index("features")
# Where the variance is large, its noise over the draws is larger than the bias.
descent["bias squared"] = descent["bias squared"].where(descent["variance"] < 1)
print(f"largest error with {descent['squared error'].idxmax()} features; you said {prediction_2}")
fig, ax = plt.subplots(figsize=(6, 4))
for name, style in (
    ("squared error", "o-"), ("variance", "s:"), ("bias squared", "^:"), ("error with it", "o-"),
):  # fmt: skip
    label = "squared error with the best ridge" if name == "error with it" else name
    ax.loglog(descent.index, descent[name], style, ms=4, label=label)
ax.axvline(EXAMPLES, ls=":", color="gray")
ax.set_ylim(3e-3, 30)
ax.set_xlabel("random features; dotted: as many as examples")
ax.set_ylabel(f"mean over {DRAWS} draws")
ax.legend(ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))
plt.show()
descent[["squared error", "best ridge", "error with it"]].iloc[[0, 5, 9, 10, 11, 15, 18]].round(3)

# %% [markdown]
# With as many features as examples there is one solution that fits them all, and it fits their noise with
# huge weights: the variance explodes. (Its mean there is that of a few draws, another seed gives another, and
# the bias drowns in it.) With more features there is a choice, and the solution of least norm is tamer the
# more there are. So the error descends twice (Belkin et al. 2019).
#
# With the best ridge at each size the peak is gone, and within the draws' noise more features are never worse
# (Nakkiran et al. 2021). That ridge was found with the truth at hand; in practice held-out examples have to
# find it. The peak says something of least squares without regularization, and nothing of model size as such.
#
# ## What theory bounds
#
# Of a learner that may return any classifier of a class, two bounds hold with probability 1 - delta over n
# independent examples, for all its classifiers at once, whatever the truth is (Mohri, Rostamizadeh and
# Talwalkar 2018, chapters 2 and 3):
#
# | class | error on fresh examples less error on the examples, at most |
# |---|---|
# | finite, of K classifiers (Hoeffding, and a union over all) | sqrt((ln K + ln(2/delta)) / 2n) |
# | VC dimension d | sqrt(2 g/n) + sqrt(ln(1/delta) / 2n), g = d ln(en/d), or n ln 2 where n < d |
#
# The second's g bounds the logarithm of the number of ways in which the class can label n examples. Both fall
# as n^-1/2 but for a logarithm. Of a finite class's classifiers that are right on all n examples, the error
# on fresh ones is at most (ln K + ln(1/delta)) / n.
#
# Here the learner of above classifies: it answers with the sign. With its features fixed it is a linear
# classifier in p dimensions, whose VC dimension is p; with weights of 32 bits there are K = 2^(32 p) of them.
#
# **Predict first.** With 20 features and 1000 examples, by which factor does the VC bound exceed the measured
# gap?

# %% tags=["answer"]
prediction_3 = 5

# %%
DELTA = 0.05


def finite_class_bound(log_size, n):
    return np.sqrt((log_size + np.log(2 / DELTA)) / (2 * n))


def vc_bound(d, n):
    growth = d * np.log(np.e * n / d) if n >= d else n * np.log(2)
    return np.sqrt(2 * growth / n) + np.sqrt(np.log(1 / DELTA) / (2 * n))


def measured_errors(p, n, fresh=4000):
    """On the examples and on fresh ones."""
    x = rng.standard_normal((n + fresh, INPUTS))
    label = np.sign(x @ teacher + DEVIATION * rng.standard_normal(n + fresh))
    z = features(x, rng.standard_normal((INPUTS, p)))
    wrong = np.sign(z @ np.linalg.lstsq(z[:n], label[:n], rcond=None)[0]) != label
    return wrong[:n].mean(), wrong[n:].mean()


rng = np.random.default_rng(0)
rows = []
for p, n in [(20, 100), (20, 1000), (200, 100), (200, 1000)]:
    on_examples, on_fresh = np.mean([measured_errors(p, n) for _ in range(40)], axis=0)
    gap, bound = on_fresh - on_examples, vc_bound(p, n)
    rows.append(
        {
            "features": p,
            "examples": n,
            "error on them": on_examples,
            "on fresh ones": on_fresh,
            "gap": gap,
            "VC bound": bound,
            "finite class": finite_class_bound(32 * p * np.log(2), n),
            "VC bound / gap": bound / gap,
        }
    )
classifiers = pd.DataFrame(rows).set_index(["features", "examples"])
print(f"{classifiers.loc[(20, 1000), 'VC bound / gap']:.0f} times; you said {prediction_3}")
classifiers.round(3)

# %% [markdown]
# No bound was broken, and a bound above 1 says nothing at all. With 200 features and 100 examples that are
# fitted without an error, no bound of this kind can say anything: the class can label 100 examples in every
# way. The fresh error is below chance all the same.
#
# How many examples would the VC bound want before it promises the gap that was measured?

# %%
wanted = []
for (p, n), row in classifiers.iterrows():
    counts = np.geomspace(n, 1e12 * n, 2401)
    enough = counts[np.array([vc_bound(p, count) for count in counts]) <= row["gap"]][0]
    wanted.append(np.log10(enough / n))
classifiers.assign(**{"orders of magnitude more examples": wanted})[
    ["gap", "VC bound", "orders of magnitude more examples"]
].round(2)

# %% [markdown]
# ## The same for the transformers
#
# All networks that 115,128 weights of 32 bits can hold are a finite class, whatever is inside. The error is
# the share of bytes that are not the most probable one. What a bound of this class promises, at the amounts
# of text of the first figure:

# %%
log_size = 32 * runs["n_params_total"].iloc[0] * np.log(2)
transformers = seen.groupby("n_tokens")[["accuracy", "loss", "train_loss"]].mean()
pd.DataFrame(
    {
        "measured error": 1 - transformers["accuracy"],
        "bound on the gap": finite_class_bound(log_size, transformers.index.to_numpy()),
        "loss, held-out less training, nats": transformers["loss"] - transformers["train_loss"],
    }
).round(3)

# %%
windows = seen["eval_windows"].iloc[0]
for_a_hundredth = log_size / (2 * 0.01**2)
print(f"bytes for a bound of .01: {for_a_hundredth:.1e}")
print(f"more than these runs read: by 10^{np.log10(for_a_hundredth / transformers.index).round(1).tolist()}")
print(f"bound for one network on {windows} held-out windows: {finite_class_bound(0, windows):.3f}")

# %% [markdown]
# The bound counts all networks that could have come out. Each byte was read once and scored before it was
# learned, so training and held-out loss are nearly the same by construction, and no class needs to be
# counted. (Training comes out higher: it is a mean over the last steps, of networks not yet finished, on
# other text.) And the last line is the bound in daily use: one network, fixed before it sees the held-out
# windows, so K = 1, and its size does not matter. It takes the windows as independent.
#
# ## The measured curve
#
# L = E + B/D^beta (Hestness et al. 2017; here at one size, so that E holds what the size costs). Bounds fall
# as n^-1/2, or as n^-1. Three fits to the amounts in the first figure: beta free, 1/2, and 1.

# %%
FIXED = {"free": (), "1/2": ("beta=0.5",), "1": ("beta=1",)}
curves = {
    name: isoflop.fit(seen, law="hestness", fix=fix, bootstrap=0 if fix else 100, seed=0)
    for name, fix in FIXED.items()
}
low, high = curves["free"].intervals.params["beta"]
print(f"beta {curves['free'].params['beta']:.2f}, 95% interval {low:.2f} to {high:.2f}")
print(f"loss held back: {held['loss'].mean():.3f}; you said {prediction_1}")
D = np.geomspace(runs["n_tokens"].min(), largest)
fig, ax = plt.subplots(figsize=(6, 3.5))
for name, curve in curves.items():
    E, B, beta = (curve.params[each] for each in ("E", "B", "beta"))
    said = E + B / largest**beta
    print(f"beta {name:>4}: {said:.3f}, off by {held['loss'].mean() - said:+.3f}")
    ax.semilogx(D, E + B / D**beta, label=f"beta {name}")
ax.semilogx(seen["n_tokens"], seen["loss"], "ko", label="fitted")
ax.semilogx(held["n_tokens"], held["loss"], "k*", ms=10, label="held back")
ax.set_xlabel("D, bytes of training text")
ax.set_ylabel("loss, nats per byte")
ax.legend()
plt.show()

# %% [markdown]
# The exponent comes from the text and the learner; a bound that holds for every truth can't know it. Nor do
# the runs contradict any bound: theirs is a limit from above, far above.
#
# ## Your own

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("bounds", STUDENT)
check, given = mine.check, mine.values
lines, sample, fresh, curve = (mine.tables[name] for name in ("lines", "sample", "fresh", "curve"))
given

# %% [markdown]
# **Exercise 1.** `lines` has what straight lines, fitted to 200 training sets, say at one point. There the
# curve is at `given["truth"]`; an example has noise of standard deviation `given["noise"]`. Of the expected
# squared error at a new example there, which share is squared bias? (Within 2%.)

# %% tags=["answer"]
bias = lines["prediction"].mean() - given["truth"]
answer_1 = bias**2 / (bias**2 + lines["prediction"].var() + given["noise"] ** 2)

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** Fit `y` of `sample` by its first 30 features (`f1` to `f30`, no constant): by least squares,
# and with a ridge, w = (X'X + ridge I)^-1 X'y with `given["ridge"]`. By which factor is the mean squared
# error on `fresh` larger without it? (Within 2%.)

# %% tags=["answer"]
names = [f"f{place}" for place in range(1, 31)]
X, X_fresh = sample[names].to_numpy(), fresh[names].to_numpy()
errors = [
    np.mean((X_fresh @ np.linalg.solve(X.T @ X + ridge * np.eye(30), X.T @ sample["y"]) - fresh["y"]) ** 2)
    for ridge in (0, given["ridge"])
]
answer_2 = errors[0] / errors[1]

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** A network has `given["weights"]` weights of `given["bits"]` bits. From how many independent
# examples on is the gap of every such network, in either direction, at most `given["gap"]` with 95%
# probability, by Hoeffding and a union over all? (Within 2%.)

# %% tags=["answer"]
log_size = given["weights"] * given["bits"] * np.log(2)
answer_3 = (log_size + np.log(2 / 0.05)) / (2 * given["gap"] ** 2)

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** `curve` holds a learning curve at one size. Its exponent beta, by `isoflop.fit` with the law
# `hestness` and `bootstrap=0`? (Within 2%.)

# %% tags=["answer"]
answer_4 = isoflop.fit(curve, law="hestness", bootstrap=0).params["beta"]

# %%
check(4, answer_4)

# %% [markdown]
# **Exercise 5.** How many times the data halve that curve's excess over its floor E? (Within 3%.)

# %% tags=["answer"]
answer_5 = 2 ** (1 / answer_4)

# %%
check(5, answer_5)

# %% [markdown]
# ## What this has not shown
#
# - That theory has nothing better. Bounds by margins, norms, compression or PAC-Bayes count what training
#   prefers and not all that it could return; some say something about large networks. None is computed here.
# - That the bounds are loose in general. For some truth and some distribution nothing much better holds: that
#   is what they are for. Text is not that distribution.
# - The theorem for text. Its bytes are not independent, so for the transformers the finite class's number is
#   what it would be at best.
# - Double descent in language models. Read once, text is never fitted exactly, and the peak here is one of
#   exact fits.
# - Why beta has its value. Explanations exist (dimension of the data, spectra of kernels, frequencies of what
#   is to be learned), and one curve of five amounts at one size tests none of them.
