"""docs/laws-measured/low-rank.md says what the tables in docs/results/low-rank give."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from isoflop.analysis import fit, load_runs
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "low-rank.md").read_text(encoding="utf-8")
WORDS = " ".join(PAGE.split())
RESULTS = ROOT / "docs" / "results" / "low-rank"
ADAPTERS = RESULTS / "adapters.csv"
ROUNDING = 6e-4
BY_RANK = "n_params_non_embedding=rank,n_tokens=tuning_tokens"
BY_SIZE = "n_tokens=tuning_tokens"


@pytest.fixture(scope="module")
def table() -> Any:
    """The adapters' rows, with a name for each way of tuning and what the loss at home has risen by."""
    rows: Any = pd.read_csv(ADAPTERS)
    way = rows["method"].where(rows["method"] != "adapters", "rank " + rows["rank"].astype(str))
    return rows.assign(way=way, rise=rows["loss_home"] - rows["loss_home_before"])


def printed(pattern: str) -> list[float]:
    """The numbers of the one place in the page that the pattern fits."""
    [found] = re.findall(pattern, WORDS)
    return [float(x) for x in ([found] if isinstance(found, str) else found)]


def test_the_losses_of_the_table(table: Any) -> None:
    means = table.pivot_table(index=["d_model", "tuning_tokens"], columns="way", values="loss")
    rows = re.findall(r"^\| (\d+) \| ([\d,]+) \|" + r" (\d\.\d+) \|" * 5 + "$", PAGE, re.MULTILINE)
    assert len(rows) == len(means) == 9
    for width, tokens, *losses in rows:
        here = means.loc[(int(width), int(tokens.replace(",", "")))]
        order = ["rank 1", "rank 4", "rank 16", "matrices", "full"]
        assert list(here[order]) == pytest.approx([float(x) for x in losses], abs=ROUNDING)
    low, high = printed(r"before tuning it is (\d\.\d+) to (\d\.\d+)")
    assert (table["loss_before"].min(), table["loss_before"].max()) == pytest.approx((low, high), abs=6e-3)


def test_what_a_rank_brings(table: Any) -> None:
    loss = table.pivot_table(index=["cell_id", "tuning_tokens"], columns="way", values="loss")
    first, second = loss["rank 1"] - loss["rank 4"], loss["rank 4"] - loss["rank 16"]
    assert len(first) == 18
    assert min(first.min(), second.min()) > 0
    text = -loss["rank 1"].unstack().diff(axis=1).to_numpy()[:, 1:].mean()
    rank = printed(
        r"loss falls by (\.\d+) on average, from 4 to 16 by (\.\d+); four times the text brings (\.\d+)"
    )
    assert (first.mean(), second.mean(), text) == pytest.approx(rank, abs=ROUNDING)
    above = loss.sub(loss["full"], axis=0)
    assert above["matrices"].mean() == pytest.approx(*printed(r"alone is (\.\d+) above full"), abs=ROUNDING)
    ends = printed(r"after 4,096 bytes \((\.\d+) above\) and (\.\d+) above it after 65,536")
    assert list(above["rank 16"].groupby("tuning_tokens").mean().iloc[[0, 2]]) == pytest.approx(
        ends, abs=ROUNDING
    )
    longest = table[table["tuning_tokens"] == 65_536].pivot_table(
        index="d_model", columns="way", values="loss"
    )
    short = longest["rank 16"] - longest["matrices"]
    assert short.loc[16] == pytest.approx(*printed(r"still end (\.\d+) above these"), abs=ROUNDING)
    sizes = table[table["d_model"] == 16].groupby("way")["trainable_params"].first()
    assert sizes["rank 16"] > sizes["matrices"]


def test_flops_forgetting_and_rates(table: Any) -> None:
    longest = table[table["tuning_tokens"] == 65_536]
    flops = longest.pivot_table(index="d_model", columns="way", values="tuning_flops")
    share = flops.div(flops["full"], axis=0)
    low, high, least, most = printed(r"takes (\.\d+) to (\.\d+) of full .*? takes ([\d.]+) to ([\d.]+) times")
    ends = [*share["rank 1"].agg(["min", "max"]), *share["rank 16"].agg(["min", "max"])]
    assert ends == pytest.approx([low, high, least, most], abs=6e-3)
    rise = longest.groupby("way")["rise"].mean()
    said = printed(r"risen by (\.\d+) at rank 1, (\.\d+) at rank 4, (\.\d+) at rank 16 and (\.\d+) by full")
    assert list(rise[["rank 1", "rank 4", "rank 16", "full"]]) == pytest.approx(said, abs=ROUNDING)
    rates = {"full": 0.004, "rank 1": 0.008, "rank 4": 0.008, "rank 16": 0.008}
    lowest = [int((table[table["way"] == way]["lr"] == rate).sum()) for way, rate in rates.items()]
    tried = r"lowest tried in (\d+) of 18 cases of full tuning, (\d+) of rank 1, (\d+) of rank 4 and none"
    assert lowest == [*printed(tried), 0]
    spent = 3 * table["tuning_flops"].sum()
    assert spent == pytest.approx(*printed(r"training and (\d\.\de12) of tuning"), rel=0.03)


def test_pruning_beside_low_rank() -> None:
    means: Any = {
        name: pd.read_csv(RESULTS / f"{name}.csv").groupby(["sparsity", "d_model"])["loss_increase"].mean()
        for name in ("pruning", "low-rank")
    }
    tenth = printed(r"(\.\d+) to (\.\d+) nats for a tenth, against (\.\d+) to (\.\d+) by")
    half = printed(r"as much \((\.\d+) to (\d\.\d+), and (\.\d+) to (\d\.\d+)\)")
    for sparsity, said, rounding in ((0.1, tenth, ROUNDING), (0.5, half, 6e-3)):
        found = [end for mean in means.values() for end in mean.loc[sparsity].agg(["min", "max"])]
        assert found == pytest.approx(said, abs=rounding)
    assert (means["low-rank"].loc[0.75] < means["pruning"].loc[0.75]).all()


@pytest.mark.parametrize(
    ("name", "columns", "where"),
    [
        ("rank, width 24", BY_RANK, "method=adapters,d_model=24"),
        ("rank, width 16", BY_RANK, "method=adapters,d_model=16"),
        ("rank, width 40", BY_RANK, "method=adapters,d_model=40"),
        ("size, full tuning", BY_SIZE, "method=full"),
        ("size, rank 16", BY_SIZE, "method=adapters,rank=16"),
    ],
)
def test_the_product_is_what_the_table_says(name: str, columns: str, where: str) -> None:
    """The intervals of the first; the others' are what the page's command prints."""
    first = name == "rank, width 24"
    runs = load_runs(ADAPTERS, law="product", columns=columns, where=where)
    found = fit(runs, law="product", fix=("E=0",), starts=32, bootstrap=1000 if first else 0)
    number = r"(\.\d+) \[(\.\d+), (\.\d+)\]"
    *said, p = printed(rf"\| {name} \| {number} \| {number} \| p = (\.\d+) \|")
    assert found.misfit is not None
    assert [found.params["alpha"], found.params["beta"]] == pytest.approx(said[::3], rel=0.01)
    assert found.misfit.p_value == pytest.approx(p, rel=0.3)
    if first:
        assert found.intervals is not None
        ends = [*found.intervals.params["alpha"], *found.intervals.params["beta"]]
        assert ends == pytest.approx([*said[1:3], *said[4:6]], rel=0.03)


def test_a_sum_fits_the_ranks() -> None:
    """Its exponents and its misfit; the intervals are what the page's command prints."""
    chance = printed(r"has p = (\.\d+), (\.\d+) and (\.\d+) at the three widths")
    exponents = printed(r"an alpha of (\.\d+) \[.*?\], (\.\d+) \[.*?\] and (\.\d+) \[")
    for width, p, alpha in zip((16, 24, 40), chance, exponents, strict=True):
        where = f"method=adapters,d_model={width}"
        runs = load_runs(ADAPTERS, law="chinchilla", columns=BY_RANK, where=where)
        found = fit(runs, law="chinchilla", bootstrap=0)
        assert found.misfit is not None
        assert found.params["alpha"] == pytest.approx(alpha, rel=0.01)
        assert found.misfit.p_value == pytest.approx(p, rel=0.1)
