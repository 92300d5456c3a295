# %% [markdown]
# # 7. Width and rate
#
# A learning rate is tuned where it is cheap, on a narrow model, and then a wide one is trained with it.
# Is it the right one there? This notebook asks a measured table, and then a text of your own.
#
# The table: transformers of four widths and one depth on half a million bytes of Wikipedia introductions,
# seven rates a factor of 2 apart, three seeds. `standard`: every matrix has the one rate. `mup` (Yang et
# al. 2021): a matrix that reads `width` features, as those of the blocks and the head do, has the rate
# times 64 / width; the embedding and the norms keep it. So at width 64 both are the same model.

# %%
import sysconfig
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import isoflop

measured = isoflop.load_runs("measured:width-rate").frame
PARAMETRIZATIONS = ("standard", "mup")


def draw_rates(runs, axes):
    """Loss over rate: a panel a parametrization, a colour a width."""
    for ax, name in zip(axes, PARAMETRIZATIONS, strict=True):
        own = runs[runs["parametrization"] == name]
        for width, trials in own.groupby("d_model"):
            means = trials.groupby("lr")["loss"].mean()
            (line,) = ax.semilogx(means.index, means, label=f"width {width}")
            ax.semilogx(trials["lr"], trials["loss"], ".", color=line.get_color(), alpha=0.5)
        tried = sorted(set(own["lr"]))
        ax.set_xticks(tried, [f"{1000 * rate:g}" for rate in tried])
        ax.set_xticks([], minor=True)
        ax.set_title(name)
        ax.set_xlabel("peak learning rate, thousandths")
    axes[0].set_ylabel("loss, nats per byte")


NARROWEST, WIDEST = measured["d_model"].min(), measured["d_model"].max()
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True)
draw_rates(measured[measured["d_model"] == NARROWEST], axes)
fig.suptitle(f"Width {NARROWEST} alone: points are seeds, lines their means")
fig.tight_layout()
plt.show()

# %% [markdown]
# **Predict first.** At width 128, eight times as wide: by which factor has the best rate fallen under
# `standard`, and under `mup`?

# %% tags=["answer"]
prediction_1 = (8, 1)

# %%
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True)
draw_rates(measured, axes)
axes[1].legend()
fig.tight_layout()
plt.show()

# %% [markdown]
# Under `standard` the minimum wanders to the left, under `mup` it stays.
#
# ## Where the minimum lies
#
# For each width and seed a parabola in the log of the rate, through the best rate tried and its neighbours,
# one, two or three on either side. Its vertices have a noise that the seeds show. Then a straight line
# through log vertex over log width: its slope is 0 if one rate serves all widths, and -1 if the rate has to
# fall as 1 / width.


# %%
def vertices(runs, reach):
    """A row a width and seed: the best rate, by a parabola in its log. `reach`: neighbours on either side."""
    rows = []
    for width, trials in runs.groupby("d_model"):
        means = trials.groupby("lr")["loss"].mean()
        best = int(np.argmin(means))
        near = trials[trials["lr"].isin(means.index[max(best - reach, 0) : best + reach + 1])]
        for seed, own in near.groupby("init_seed"):
            curvature, slope, _ = np.polyfit(np.log(own["lr"]), own["loss"], 2)
            rows.append((width, seed, np.exp(-slope / (2 * curvature))))
    return pd.DataFrame(rows, columns=["width", "seed", "best rate"])


def slope_of(best):
    """Of log best rate over log width, and its 95% interval from 12 vertices."""
    (slope, _), covariance = np.polyfit(np.log(best["width"]), np.log(best["best rate"]), 1, cov=True)
    half_width = 2.23 * np.sqrt(covariance[0, 0])  # Student's t with 10 degrees of freedom
    return slope, slope - half_width, slope + half_width


TRIED_WIDTHS = sorted(set(measured["d_model"]))
fig, ax = plt.subplots(figsize=(6, 3.5))
slopes = {}
for name in PARAMETRIZATIONS:
    own = measured[measured["parametrization"] == name]
    for reach in (1, 2, 3):
        slope, low, high = slope_of(vertices(own, reach))
        slopes[name, reach] = {"slope": slope, "low": low, "high": high}
    best = vertices(own, 2)
    typical = np.exp(np.log(best["best rate"]).groupby(best["width"]).mean())
    print(f"{name:>8}: the best rate fell {typical[NARROWEST] / typical[WIDEST]:.1f} times")
    (points,) = ax.loglog(best["width"], best["best rate"], "o", label=name)
    ax.loglog(typical.index, typical, color=points.get_color())
print(f"you said {prediction_1}")
ends = np.array([NARROWEST, WIDEST])
ax.loglog(ends, 0.02 * NARROWEST / ends, "k:", label="as 1 / width")
ax.set_xticks(TRIED_WIDTHS, TRIED_WIDTHS)
ax.set_xticks([], minor=True)
ax.set_xlabel("width")
ax.set_ylabel("best rate")
ax.set_title("Vertices, by two neighbours on either side")
ax.legend()
plt.show()
pd.DataFrame(slopes).T.rename_axis(["parametrization", "neighbours"]).round(2)

# %% [markdown]
# Under `mup` the slope is near 0, whatever the parabola takes in. Under `standard` the best rate falls, and
# how fast depends on the parabola more than on the seeds: the losses rise unevenly to the left and to the
# right of their minimum, so that a wide parabola is off and a narrow one noisy. The intervals know the noise
# alone, and some exclude the slope of another. So the best rate falls roughly as 1 / width; more these runs
# do not say.
#
# ## What a wrong rate costs
#
# The best of the seven rates at width 16 is taken to the wider models in three ways: as it is under
# `standard`, divided by the width under `standard`, as it is under `mup`. What each loses against the
# best of the rates tried at that width:
#
# **Predict first.** How many nats per byte does the first way lose at width 128?

# %% tags=["answer"]
prediction_2 = 0.1

# %%
WAYS = {
    "standard, the same rate": ("standard", 0),
    "standard, rate as 1 / width": ("standard", 1),
    "mup, the same rate": ("mup", 0),
}
means = measured.groupby(["parametrization", "d_model", "lr"])["loss"].mean()
deviation = np.sqrt(measured.groupby(["parametrization", "d_model", "lr"])["loss"].var().mean())
costs = {}
for way, (name, power) in WAYS.items():
    tuned = means[name, NARROWEST].idxmin()
    costs[way] = {}
    for width in TRIED_WIDTHS:
        tried = means[name, width]
        rate = tried.index[np.argmin(abs(np.log(tried.index * (width / NARROWEST) ** power / tuned)))]
        costs[way][f"width {width}"] = tried[rate] - tried.min()
costs = pd.DataFrame(costs).T
print(f"the first way at width {WIDEST}: {costs.iloc[0, -1]:.3f} nats; you said {prediction_2}")
print(f"standard error of a difference of two means of three seeds: {deviation * np.sqrt(2 / 3):.3f}")
costs.round(3)

# %% [markdown]
# A zero says that the rate arrived at is the best of those tried at that width. So two ways carry the rate
# over: divide every rate by the width, by hand, or those of mup alone. To leave the rate as it is gives away
# up to a quarter of what eight times the width gains: .071 nats, or .049 from the rate below, which is as
# good at width 16 within the noise. Best against best, the two parametrizations still differ:

# %%
least = means.groupby(["parametrization", "d_model"]).min().unstack("parametrization")
least.assign(**{"mup lower by": least["standard"] - least["mup"]}).round(3)

# %% [markdown]
# At width 128, where mup leaves the embedding a higher rate than the matrices, it is lower by three standard
# errors; at width 32, where the embedding's is the lower one, it is higher by not quite two. (The least of
# seven noisy means is a little too low in both columns.) Whether the embedding's rate is the reason, these
# runs do not show.

# %% [markdown]
# ## A text of your own
#
# The same question to your own text: five sizes, each of which reads it once. Any UTF-8 files do, a
# quarter of a megabyte or more in all: tunes in ABC notation, SVG drawings, chess games, code, prose. A
# token is a byte, so the vocabulary is 256 whatever the files are.
#
# As it stands it is 600 kB of source code that you have already: modules of Python's standard library.
# Time grows with the text, some four minutes here on two idle cores; with much more text, lower SCALE.

# %%
TEXT = f"text:{Path(sysconfig.get_path('stdlib'))}/[a-c]*.py"  # or "text:/home/me/tunes/*.abc"

# %% tags=["scale"]
SCALE = 1.0  # of an epoch

# %%
CONTEXT, SIZES, SEEDS = 128, (16, 24, 32, 48, 64), 2
text = isoflop.prepare(TEXT)
EPOCH = 0.99 * SCALE * text.n_tokens("train")  # bytes; less than all, as runs are of whole steps


def config(name, **options):
    """A sweep on the text; each of its budgets (FLOPs) is spent on one width."""
    defaults = {
        "title": "Width and rate on a text of my own",
        "budgets": (1e9,),
        "ladder": SIZES,
        "sizes": 1,
        "centre_width": SIZES[2],
        "centre_budget": 1e9,
        "batch_size": 2,
        "seeds": SEEDS,
        "checks": False,
        "retries": 0,
        "tune_windows": min(512, text.n_windows("tune", CONTEXT)),
        "eval_windows": min(512, text.n_windows("heldout", CONTEXT)),
        "trackers": (),
    }
    return isoflop.SweepConfig(name=name, data=TEXT, **defaults | options)


AXIS = isoflop.Axis("parametrization", PARAMETRIZATIONS)
tuning = isoflop.Rates(
    coefficient=0.004,
    base_tokens=EPOCH,
    tried=(0.5, 1.0, 2.0, 4.0, 8.0),
    widths=(SIZES[0], SIZES[-1]),
    horizons=(EPOCH,),
    seeds=SEEDS,
)
print(f"{text.n_tokens('train'):,} bytes to train on, of which a run reads {EPOCH:,.0f}")

# %% [markdown]
# First the rates, at the narrowest and at the widest size; losses are on text kept for that. The sweep warns
# that no law can be fitted to its grid, and that its one budget is tiny: true, it is there because a sweep
# has one. If a best rate is at an end of those tried, add to `tried`.

# %%
asked = config("rates", rates=tuning, axes=(AXIS,), ladder=SIZES[:1], centre_width=SIZES[0], seeds=1)
folder = isoflop.sweep(asked, out="rates")
trials = pd.read_csv(folder / "tuning.csv")
trials["loss"] = trials["loss"].fillna(np.inf)  # diverged
fig, axes = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True)
draw_rates(trials, axes)
axes[1].legend()
fig.tight_layout()
plt.show()

# %%
means = trials.groupby(["parametrization", "d_model", "lr"])["loss"].mean()
rates = {name: means[name, SIZES[0]].idxmin() for name in PARAMETRIZATIONS}
pd.DataFrame(
    {
        name: {
            f"best of the rates at width {SIZES[0]}": rate,
            f"best of them at width {SIZES[-1]}": means[name, SIZES[-1]].idxmin(),
            "nats that the first loses there": means[name, SIZES[-1]][rate] - means[name, SIZES[-1]].min(),
        }
        for name, rate in rates.items()
    }
).round(4)

# %% [markdown]
# ## Five sizes, one epoch
#
# Now each size reads the text once under either parametrization, at the rate that was best at the
# narrowest. Losses are on held-out text.
#
# **Predict first.** At the widest: by how many nats per byte is mup lower? (Higher: a negative number.)

# %% tags=["answer"]
prediction_3 = 0.05


# %%
def one_epoch(name, tokens, widths=SIZES, **options):
    """A run of so many bytes at each width and seed, whatever it costs."""
    asked = config(name, ladder=widths, centre_width=widths[len(widths) // 2], **options)
    trial = asked.with_options(budgets=(1e10,), sizes=len(widths), axes=())
    priced = isoflop.plan(trial).to_frame().groupby("d_model")
    budgets = tokens * priced["flops"].first() / priced["n_tokens"].first()
    grid = {"budgets": tuple(budgets), "centre_budget": budgets[asked.centre_width], "centre_exponent": 1.0}
    return isoflop.sweep(asked.with_options(**grid), out=name)


folders = {
    name: one_epoch(
        name, EPOCH, parametrization=name, rates=isoflop.Rates(coefficient=rate, base_tokens=EPOCH)
    )
    for name, rate in rates.items()
}
runs = pd.concat(pd.read_csv(each / "runs.csv") for each in folders.values())
curves = runs.groupby(["parametrization", "d_model"])["loss"].agg(["mean", "var"])
deviation = np.sqrt(curves["var"].mean())
gain = curves.loc["standard", "mean"] - curves.loc["mup", "mean"]
error = deviation * np.sqrt(2 / SEEDS)
print(f"mup lower by {gain[SIZES[-1]]:+.3f} nats at width {SIZES[-1]}; you said {prediction_3}")
print(f"a run's standard deviation over seeds {deviation:.3f}, so that of the difference {error:.3f}")

# %%
sizes = runs.drop_duplicates("d_model").set_index("d_model").sort_index()
pd.DataFrame(
    {
        "N": sizes["n_params_non_embedding"],
        "bytes": sizes["n_tokens"],
        "bytes per parameter": (sizes["n_tokens"] / sizes["n_params_non_embedding"]).round(1),
        "FLOPs": sizes["flops"].map("{:.1e}".format),
        "standard": curves.loc["standard", "mean"].round(3),
        "mup": curves.loc["mup", "mean"].round(3),
        "mup lower by": gain.round(3),
        "standard error": error.round(3),
    }
)

# %% [markdown]
# The scaling curve over size, L = E + A / N^alpha. Five sizes under two seeds determine three numbers
# loosely, and the intervals say how loosely (the law `hestness` is that curve; here N stands in the place
# of its D).

# %%
fig, ax = plt.subplots(figsize=(6, 3.5))
N = np.geomspace(sizes["n_params_non_embedding"].min(), sizes["n_params_non_embedding"].max())
for name, own in runs.groupby("parametrization", sort=False):
    over_size = own.assign(n_tokens=own["n_params_non_embedding"])
    curve = isoflop.fit(over_size, law="hestness", bootstrap=100, seed=0)
    E, A, alpha = (curve.params[each] for each in ("E", "B", "beta"))
    intervals = curve.intervals.params
    print(
        f"{name:>8}: alpha {alpha:.2f}, 95% interval {np.round(intervals['beta'], 2).tolist()}; "
        f"E {E:.2f}, {np.round(intervals['E'], 2).tolist()}"
    )
    (points,) = ax.semilogx(own["n_params_non_embedding"], own["loss"], "o", label=name)
    ax.semilogx(N, E + A / N**alpha, color=points.get_color())
ax.set_xticks(sizes["n_params_non_embedding"], [f"{n / 1e3:.0f}" for n in sizes["n_params_non_embedding"]])
ax.set_xticks([], minor=True)
ax.set_xlabel("N, thousands of parameters without embedding")
ax.set_ylabel("loss, nats per byte")
ax.set_title("Five sizes, one epoch of the same text")
ax.legend()
plt.show()

# %% [markdown]
# A rate that is wrong at the wide end bends the curve: its loss goes into alpha and E, as if size were worth
# less. Whether the two curves differ by more than noise, the table says width by width; their intervals may
# well overlap.
#
# And this is no IsoFLOP. Every size read the same bytes, the largest at more than eight times the FLOPs of
# the smallest, and E holds what more bytes would still gain. Which size is best for a budget can't be read
# off it.
#
# ## How far a step goes
#
# Why the rate has to follow the width, in a dozen steps. The head starts at zero, so that after a few
# steps at one rate the logits are what training has made of them. In a matrix that reads `width` features
# each weight moves by about the rate under Adam, in a direction that the features have in common, and so
# their sum grows with the width. The coordinate check (Yang et al. 2021) measures it. (A dozen steps teach
# nothing yet, and the sweep warns of that.)
#
# **Predict first.** From width 16 to 64: by which factor do the logits move further, under `standard` and
# under `mup`?

# %% tags=["answer"]
prediction_4 = (4, 1)

# %%
WIDTHS, STEPS = (16, 32, 64), 12
moved_in = one_epoch(
    "coordinates",
    STEPS * 2 * CONTEXT,
    widths=WIDTHS,
    rates=isoflop.Rates(coefficient=0.004),
    warmup_share=0.0,
    axes=(AXIS,),
    keep="all",
)
changes = pd.read_csv(isoflop.evaluate(moved_in, "coordinates").table)
changes = pd.read_csv(moved_in / "runs.csv")[["cell_id", "parametrization"]].merge(changes, on="cell_id")
moved = changes.groupby(["parametrization", "d_model"])["logits_change"].mean()
for name in PARAMETRIZATIONS:
    print(f"{name:>8}: {moved[name, WIDTHS[-1]] / moved[name, WIDTHS[0]]:.1f} times as far")
print(f"you said {prediction_4}")
fig, ax = plt.subplots(figsize=(6, 3))
for name in PARAMETRIZATIONS:
    ax.plot(moved[name].index, moved[name], "o-", label=name)
ax.set_xticks(WIDTHS)
ax.set_ylim(bottom=0)
ax.set_xlabel("width")
ax.set_ylabel("change of the logits")
ax.set_title(f"Root mean square after {STEPS} steps at one rate")
ax.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Your own exercises
#
# `trials` holds simulated losses by rate, width and seed under both parametrizations; `repeats` holds
# runs of which those of one width differ in their seed alone.

# %% tags=["student"]
STUDENT = "instructor"

# %%
mine = isoflop.exercises("rates", STUDENT)
check, given = mine.check, mine.values
trials, repeats = mine.tables["trials"], mine.tables["repeats"]
given

# %% [markdown]
# **Exercise 1.** Under `standard`, at the narrowest width: the best rate, by one parabola in the natural
# log of the rate through all of its trials. (Within 2%.)

# %% tags=["answer"]
log_best, curvatures = {}, {}
for key, own in trials.groupby(["parametrization", "width"]):
    curvatures[key], slope, _ = np.polyfit(np.log(own["lr"]), own["loss"], 2)
    log_best[key] = -slope / (2 * curvatures[key])
narrow, wide = trials["width"].min(), trials["width"].max()
answer_1 = np.exp(log_best["standard", narrow])

# %%
check(1, answer_1)

# %% [markdown]
# **Exercise 2.** Find the best rates of the other widths in the same way. Under `standard`: the slope of
# the straight line through log best rate over log width? (Within 2%.)

# %% tags=["answer"]
widths = np.array(sorted(set(trials["width"])))
answer_2 = np.polyfit(np.log(widths), [log_best["standard", width] for width in widths], 1)[0]

# %%
check(2, answer_2)

# %% [markdown]
# **Exercise 3.** By the parabola of the widest: how many nats does it lose under `standard` at the
# narrowest's best rate, against its own best rate? (Within 2%.)

# %% tags=["answer"]
miss = log_best["standard", narrow] - log_best["standard", wide]
answer_3 = curvatures["standard", wide] * miss**2

# %%
check(3, answer_3)

# %% [markdown]
# **Exercise 4.** Under mup as here, the same model as `standard` at width 64, your text wants the rate
# `given["rate"]`, with Adam. Another program has a rate for each matrix and knows no mup. Which rate do
# you give it for a matrix of the blocks at width `given["target_width"]`? (Within 2%.)

# %% tags=["answer"]
answer_4 = given["rate"] * 64 / given["target_width"]

# %%
check(4, answer_4)

# %% [markdown]
# **Exercise 5.** Two parametrizations differ by `given["difference"]` nats. `repeats` shows how much runs
# differ by their seed: pool the variance within the widths. From how many seeds each is the difference of
# the two means twice its standard error? (Not rounded; within 2%.)

# %% tags=["answer"]
variance = repeats.groupby("width")["loss"].var(ddof=1).mean()
answer_5 = 2 * variance * (2 / given["difference"]) ** 2

# %%
check(5, answer_5)

# %% [markdown]
# ## What this has not shown
#
# - That it holds beyond a factor of 8 in width, at other depths, batches or lengths of a run. The best
#   rate moves with those too, and mup says nothing of them.
# - The parametrization that other programs call standard. Here both start from the same initialization,
#   mup's, with the head at zero; only the rates differ.
# - That mup is needed. A rate divided by the width by hand also came to the best of those tried, and the
#   two are compared on one text alone.
# - A law of your text. The five sizes were trained on one number of bytes; two or more are needed to tell
#   what size costs from what data cost, and an IsoFLOP to say which size a budget wants.
# - That the rest was well tuned. Weight decay, batch, warm-up and schedule are one choice for all sizes.
