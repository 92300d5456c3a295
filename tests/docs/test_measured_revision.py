"""docs/laws-measured/revision.md says what its tables do."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest

from docs.draw_measured.revision import LARGEST, RESULTS, answered, difference, models, problems, turns
from tests.docs.commands import ROOT

PAGES = ROOT / "docs" / "laws-measured"
TEXT = " ".join((PAGES / "revision.md").read_text(encoding="utf-8").split())
SHARES = {"all": 1.0, "a quarter": 0.25, "none": 0.0}
COARSE = 6e-4


@pytest.fixture(scope="module")
def table() -> Any:
    """Rates by model and problem."""
    return problems()


@pytest.fixture(scope="module")
def largest() -> Any:
    """Sums at the larger budget, by share of problems with tries, width, method and turn."""
    return turns().xs(LARGEST, level="budget")


def rows(columns: int) -> list[list[str]]:
    """The page's rows of so many columns, without their headers."""
    lines = (PAGES / "revision.md").read_text(encoding="utf-8").splitlines()
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in found if len(row) == columns and row[0] in SHARES]


def numbers(text: str) -> list[float]:
    """All decimal numbers of a text."""
    return [float(x) for x in re.findall(r"-?\d*\.\d+", text)]


def test_revised_and_parallel_answers(table: Any) -> None:
    own = [row for row in rows(7) if row[1] != "FLOPs"]
    assert len(own) == 10
    for tries, budget, width, *cells, interval in own:
        model = models(table, SHARES[tries], float(budget), int(width))
        assert len(model) == 2 * 128
        means = [model[name].mean() for name in ("chance", "parallel_4", "revised_4")]
        assert [float(x) for x in cells] == pytest.approx(means, abs=COARSE)
        assert numbers(interval) == pytest.approx(difference(model, "revised_4", "parallel_4"), abs=1.1e-3)
    for share, printed in ((1.0, "-.017 [-.029, -.005]"), (0.25, "-.218 [-.237, -.198]")):
        both = difference(models(table, share, LARGEST), "revised_4", "parallel_4")
        assert numbers(printed) == pytest.approx(both, abs=1.1e-3)
        assert printed in TEXT
        assert printed in (PAGES / "README.md").read_text(encoding="utf-8")


def test_sixteen_answers_and_votes(table: Any) -> None:
    found = []
    for share in (0.25, 1.0):
        own = models(table, share, LARGEST, 24)
        found += [own["sixteen_revised"].mean(), own["sixteen_parallel"].mean()]
        votes = [own[f"{method}_majority_4"].mean() for method in ("parallel", "revised")]
        assert votes == pytest.approx({0.25: [0.360, 0.172], 1.0: [0.122, 0.124]}[share], abs=COARSE)
        if share == 1.0:
            interval = difference(own, "sixteen_revised", "sixteen_parallel")
            assert interval == pytest.approx((-0.008, -0.022, 0.005), abs=1.1e-3)
    assert found == pytest.approx([0.809, 0.897, 0.767, 0.776], abs=COARSE)
    assert "solve .809 where 16 in parallel solve .897" in TEXT
    assert ".767 and .776, a difference of -.008 [-.022, .005]" in TEXT
    assert "right in .360 of the problems in parallel and in .172 revised" in TEXT


def test_what_revising_loses_and_repeats(table: Any, largest: Any) -> None:
    revised, parallel = (largest.xs(method, level="method") for method in ("revised", "parallel"))
    by_turn = revised[["last", "lost"]].unstack("turn")
    lost = by_turn["lost"][2] / by_turn["last"][1]
    assert lost.loc[[1.0, 0.25]].to_list() == pytest.approx([0.836, 0.827, 0.879, 0.820], abs=COARSE)
    alone = []
    for share, width in ((1.0, 16), (1.0, 24), (0.25, 16), (0.25, 24)):
        chance = models(table, share, LARGEST, width)["chance"]
        alone.append(1 - (chance**2).sum() / chance.sum())
    assert alone == pytest.approx([0.836, 0.833, 0.618, 0.543], abs=COARSE)
    again = [(x["repeated"] / x["missed"]).unstack("turn").loc[1.0][4].to_list() for x in (revised, parallel)]
    assert again == [pytest.approx([0.110, 0.128], abs=COARSE), pytest.approx([0.112, 0.114], abs=COARSE)]
    memory = (parallel["without_repeats"] - parallel["coverage"]).unstack("turn")[4]
    assert memory[1.0].to_list() == pytest.approx([0.022, 0.026], abs=COARSE)
    assert memory[0.0].max() < 1e-3
    chance = pd.read_csv(RESULTS / "turns.csv").query("explored == 1 and method == 'parallel'")
    random: Any = chance.groupby("turn")[["uniform_coverage", "uniform_without_repeats"]].first()
    assert random.loc[1].to_list() == pytest.approx([0.139, 0.139], abs=COARSE)
    assert random.loc[4].to_list() == pytest.approx([0.425, 0.458], abs=COARSE)


def test_forced_tries(table: Any, largest: Any) -> None:
    own = rows(8)
    assert len(own) == 6
    free = largest.xs("free", level="method")
    share = (free["answered"] / free["n"]).unstack("turn")
    for tries, width, *cells, tokens in own:
        model = models(table, SHARES[tries], LARGEST, int(width))
        names = ("forced_1", "forced_2", "forced_3", "forced_4", "free")
        assert [float(x) for x in cells] == pytest.approx([model[name].mean() for name in names], abs=COARSE)
        answers = share.loc[SHARES[tries], int(width)]
        mean = (answers * [9, 18, 27, 36]).sum() + 36 * (1 - answers.sum())
        assert float(tokens) == pytest.approx(mean, abs=0.051)
    for tries, printed in ((1.0, "-.009 [-.017, -.001]"), (0.25, "-.220 [-.247, -.194]")):
        found = difference(models(table, tries, LARGEST), "forced_4", "forced_1")
        assert numbers(printed) == pytest.approx(found, abs=1.1e-3)
        assert printed in TEXT
    assert share.loc[1.0, 16].to_list() == pytest.approx([0.365, 0.287, 0.185, 0.154], abs=COARSE)
    assert ".365, .287, .185 and .154" in TEXT


def test_what_was_trained_on_and_what_tries_say(table: Any, largest: Any) -> None:
    assert answered(1.0) == pytest.approx([0.352, 0.272, 0.211, 0.165], abs=COARSE)
    assert answered(0.25)[:2] == pytest.approx([0.838, 0.068], abs=COARSE)
    forced = largest.xs("forced", level="method")
    right = (forced["right_tries"] / forced["n"]).unstack("turn")[2]
    assert right.to_list() == pytest.approx([0, 0, 0.061, 0.098, 0.120, 0.122], abs=COARSE)
    plain: Any = pd.read_csv(ROOT / "docs/results/countdown/attempts.csv")
    own = plain[(plain["d_model"] == 24) & (plain["flops"] > 2e11)]
    assert own["c"].sum() / own["n"].sum() == pytest.approx(0.544, abs=COARSE)
    never = turns().loc[0.0].xs("forced", level="method")["c"].unstack("turn")
    assert never[[2, 3, 4]].to_numpy().sum() == 0
    runs: Any = pd.read_csv(RESULTS / "runs.csv")
    assert len(runs) == 24
    wide = runs[runs["d_model"] == 24].groupby("budget")["n_tokens"].first() / 41
    assert wide.to_list() == pytest.approx([16_000, 48_000], rel=0.02)
    assert wide[LARGEST] * answered(0.25)[1] == pytest.approx(3_300, rel=0.02)
    assert models(table, 0.0, 1.2e11, 24)["chance"].mean() == pytest.approx(0.052, abs=COARSE)
    assert runs["flops_spent"].sum() == pytest.approx(5.2e12, rel=0.01)
