"""docs/laws-measured/allocation.md says what its tables do."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from docs.draw_measured.allocation import BOTH, KNOWN, PROBE, RESULTS, ROUNDS, SAME, UNTIL, near, table
from isoflop.analysis import Signal, load_attempts, load_column, spend, ways_with_a_checker
from tests.docs.commands import ROOT

PAGE = (ROOT / "docs" / "laws-measured" / "allocation.md").read_text(encoding="utf-8")
TEXT = " ".join(PAGE.split())
METHODS = {"best of N": "best-of", "weighted vote": "weighted", "one sample": "likeliest"}
REWARDS = {"a fifth wrong": "corrupted"}
ROUNDING = 6e-4


def rows(heading: str, columns: int) -> list[list[str]]:
    """The rows below the header that begins so."""
    lines = PAGE[PAGE.index(f"| {heading}") :].split("\n\n")[0].splitlines()[2:]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert {len(row) for row in found} == {columns}
    return found


def ways() -> tuple[Any, Any]:
    """The rows of the ten models, and of the two that solve little."""
    found = table("ways")
    poor = (found["d_model"] == 40) & (found["flops"] < 1e11)
    return found[~poor], found[poor]


def test_pass_rates_by_way() -> None:
    found = table("ways")
    for row in rows("way to spend them | width 24", 7):
        for place, (width, flops) in enumerate([(24, 2.7e11), (40, 9e10)]):
            own = near(found[(found["d_model"] == width) & (found["way"] == row[0])], flops)
            mean = own.groupby("budget")["pass_rate"].mean()
            for cell, budget in zip(row[1 + 3 * place : 4 + 3 * place], (1, 4, 16), strict=True):
                value = mean[budget]
                assert (cell == "") == np.isnan(value)
                if cell:
                    assert float(cell) == pytest.approx(value, abs=ROUNDING)


def test_worth_by_way() -> None:
    for row in rows("way to spend them | ten models", 7):
        for place, frame in enumerate(ways()):
            worth = frame[frame["way"] == row[0]].groupby("budget")["worth"]
            for cell, budget in zip(row[1 + 3 * place : 4 + 3 * place], (1, 4, 16), strict=True):
                if not cell:
                    assert np.isnan(worth.min()[budget])
                    continue
                ends = [float(x) for x in cell.split(" to ")]
                assert ends == pytest.approx([worth.min()[budget], worth.max()[budget]], abs=0.0051)


def test_what_is_said_of_known_bins() -> None:
    ten, poor = ways()
    found = table("ways")
    known = found[found["way"] == KNOWN]
    assert len(known) == 60
    ends = (known["worth"].min(), known["worth"].max(), known["worth"].median(), known["worth_high"].max())
    assert ends == pytest.approx((1.02, 2.96, 1.21, 3.19), abs=0.0051)
    assert known["worth_high"].max() < 4
    own = near(known[(known["d_model"] == 24) & (known["budget"] == 2)], 2.7e11)
    assert own["worth"].to_numpy() == pytest.approx([1.02, 1.04], abs=0.0051)
    by_seed = known.pivot_table(index=["d_model", "flops", "budget"], columns="init_seed", values="worth")
    assert (by_seed.max(axis=1) / by_seed.min(axis=1)).max() < 1.25
    until = found[(found["way"] == UNTIL) & (found["budget"] > 1)].set_index(known_key())["worth"]
    above = (until > known[known["budget"] > 1].set_index(known_key())["worth"]).groupby(["d_model", "flops"])
    # Widths and budgets, each of two seeds.
    assert sum(above.all()) == 5
    both = poor[poor["way"] == BOTH]["worth"]
    assert (both.min(), both.max()) == pytest.approx((1.9, 3.3), abs=0.051)
    at_4 = ten[ten["budget"] == 4].groupby("way")["worth"]
    assert [*at_4.min()[[UNTIL, ROUNDS]], at_4.max()[ROUNDS]] == pytest.approx([2.2, 1.4, 2.2], abs=0.051)
    fewest = found[(found["way"] == UNTIL) & (found["worth"] == found["worth"].max())]
    assert fewest["cost"].to_numpy() == pytest.approx(3.3, abs=0.051)


def known_key() -> list[str]:
    """What a model and a budget are known by."""
    return ["d_model", "flops", "init_seed", "budget"]


def test_what_is_said_of_predicted_bins() -> None:
    ten, poor = ways()
    probe = ten[ten["way"] == PROBE]
    assert probe["worth"].max() == pytest.approx(1.12, abs=0.0051)
    gains = [int((probe[probe["budget"] == budget]["gain_low"] > 0).sum()) for budget in (4, 8)]
    assert gains == [6, 7]
    assert int((probe[probe["budget"] == 4]["gain_high"] < 0).sum()) == 2
    own = poor[(poor["way"] == PROBE) & (poor["budget"] == 1)]
    ends = own[["worth_low", "worth_high"]].to_numpy().ravel()
    assert ends == pytest.approx([0.92, 1.89, 1.08, 1.84], abs=0.0051)
    first = table("ways").query("way.str.contains('first_')", engine="python")
    assert (first["worth"].min(), first["worth"].max()) == pytest.approx((0.84, 1.08), abs=0.0051)
    assert not (first["gain_low"] > 0).any()
    found = table("difficulty")
    found = found.assign(
        rate=found["c"] / found["n"], poor=(found["d_model"] == 40) & (found["flops"] < 1e11)
    )
    models = found.groupby(["poor", "d_model", "flops", "init_seed"])
    columns = ["probe", "first_reward", "first_log_probability"]
    by = models.apply(lambda own: own[columns].corrwith(own["rate"]))
    good, bad = by.loc[False], by.loc[True]
    ends = (good["probe"].min(), good["probe"].max(), *bad["probe"])
    assert ends == pytest.approx((0.38, 0.57, 0.21, 0.22), abs=0.0051)
    others = by[columns[1:]].to_numpy()
    assert (others.min(), others.max()) == pytest.approx((0.14, 0.49), abs=0.0051)


def test_the_command_of_the_page_gives_its_rows() -> None:
    command = re.search(r"difficulty\.csv --where \"(.*?)\" --budget (\d+) --difficulty (\w+)", PAGE)
    assert command
    where, source = command[1], RESULTS / "difficulty.csv"
    signal = Signal(command[3], load_column(source, command[3], where=where))
    every = ways_with_a_checker(load_attempts(source, where=where), [signal])
    chosen = [way for way in every if way.name in (SAME, KNOWN, PROBE)]
    again = {each.way: each for each in spend(chosen, float(command[2])).ways}
    frame = table("ways")
    own = near(frame[(frame["d_model"] == 40) & (frame["init_seed"] == 0) & (frame["budget"] == 4)], 9e10)
    assert len(again) == 3
    for row in own[own["way"].isin(again)].to_dict("records"):
        found = again[row["way"]]
        assert (found.pass_rate, found.worth) == pytest.approx((row["pass_rate"], row["worth"]), rel=1e-4)
        assert found.gain_interval == pytest.approx((row["gain_low"], row["gain_high"]), abs=1e-3)


def test_without_a_checker() -> None:
    frame = table("no-checker")
    for row in rows("way to spend them | 2 samples", 5):
        own = frame[frame["way"] == row[0]].groupby("budget")
        for cell, budget in zip(row[1:], (2, 4, 8, 16), strict=True):
            mean, gain = own["pass_rate"].mean()[budget], own["gain"]
            assert (cell == "") == np.isnan(mean)
            if cell:
                printed = [float(x) for x in re.findall(r"[+-]?\.\d+", cell)]
                ends = [gain.min()[budget], gain.max()[budget]] if len(printed) > 1 else []
                assert printed == pytest.approx([mean, *ends], abs=ROUNDING)
    predicted = frame[frame["way"].str.startswith("by bins")]
    assert not (predicted["gain_low"] > 1e-12).any()
    known = frame[frame["way"] == KNOWN].assign(gains=lambda x: x["gain_low"] > 0)
    assert known.groupby("budget")["gains"].sum().tolist() == [4, 0, 0, 0]


def test_methods_by_difficulty() -> None:
    mean = table("bins").groupby(["method", "reward", "samples", "bin"])["accuracy"].mean()
    found = rows("method | reward | samples", 8)
    for row in found:
        method = METHODS.get(row[0], row[0])
        own = mean[method, row[1], int(row[2])]
        assert [float(x) for x in row[3:]] == pytest.approx(own.to_numpy(), abs=ROUNDING)
    accuracy = np.array([[float(x) for x in row[3:]] for row in found])
    assert accuracy[:, :4].argmax(axis=0).tolist() == [1] * 4  # the likeliest
    assert accuracy[1:, 4].max() - accuracy[0, 4] == pytest.approx(0.003, abs=1e-9)


def test_search_on_chains() -> None:
    frame = table("chains")
    mean = frame.assign(budget=frame["flops"].round(-8)).groupby(["method", "reward", "budget", "samples"])
    accuracy = mean["accuracy"].mean()
    budgets = sorted(set(frame["flops"].round(-8)))
    assert [f"{budget:.1e}" for budget in budgets] == ["2.8e+10", "4.0e+10", "5.6e+10"]
    for row in rows("method | reward | 2.8e10", 14):
        method, reward = METHODS.get(row[0], row[0]), REWARDS.get(row[1], row[1])
        asked = [(budget, samples) for budget in budgets for samples in (1, 4, 16, 64)]
        for cell, place in zip(row[2:], asked, strict=True):
            assert (cell == "") == ((method, place[1]) == ("beam", 1))
            if cell:
                assert float(cell) == pytest.approx(accuracy[(method, reward, *place)], abs=ROUNDING)
    for budget in budgets:
        beam, best = (accuracy[method, "exact", budget] for method in ("beam", "best-of"))
        assert beam[4] > best[16]
        assert beam[16] > best[64]
    gains = [
        accuracy["beam", "corrupted", budget, 64] - accuracy["best-of", "corrupted", budget, 64]
        for budget in budgets[1:]
    ]
    assert gains == pytest.approx([0.14, 0.15], abs=0.0051)
    assert frame["accuracy_stderr"].max() == pytest.approx(0.044, abs=5.1e-4)
