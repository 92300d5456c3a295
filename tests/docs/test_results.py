"""The runs in docs/results: a fit gives the numbers of the demo's fit.json and of the README, and the CPU
ladder's forecast its score."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.family import by_width, departures
from benchmarks.multiplier import WORLDS
from isoflop import LawFit, score
from isoflop.__main__ import _run
from isoflop.analysis import fit, load_runs, two_step
from isoflop.analysis.inputs import read_fit, stale
from tests.docs.commands import ROOT

DEMO = ROOT / "docs" / "results" / "cpu-demo"
LADDER = ROOT / "docs" / "results" / "cpu-ladder"
README = (ROOT / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
ROUNDING = 2e-3
"""Relative: printed numbers have four digits, and other processors round resamples otherwise."""
NOISE_INTERVAL = re.compile(r"of the loss \((\S+)% to (\S+)%\)")
NOISE_ROUNDING = 0.04
"""Relative: its ends have two digits and are quantiles of resamples, which jump on another processor."""


@pytest.fixture(scope="module")
def refit() -> LawFit:
    """A fit of the committed run table, with default options."""
    return fit(load_runs(DEMO / "runs.csv"))


@pytest.fixture(scope="module")
def committed() -> LawFit:
    """The fit beside the table."""
    return read_fit(DEMO / "fit.json")


def test_a_refit_gives_the_committed_fit(refit: LawFit, committed: LawFit) -> None:
    assert stale(DEMO) == ()
    assert refit.n_runs == committed.n_runs == 50
    assert refit.params == pytest.approx(committed.params, rel=1e-5)
    assert refit.exponents == pytest.approx(committed.exponents, rel=1e-5)
    assert refit.misfit is not None
    assert committed.misfit is not None
    assert refit.misfit.p_value == pytest.approx(committed.misfit.p_value, rel=1e-4)
    assert refit.intervals is not None
    assert committed.intervals is not None
    for kind in ("params", "exponents"):
        found, written = getattr(refit.intervals, kind), getattr(committed.intervals, kind)
        assert found.keys() == written.keys()
        for name in written:
            assert found[name] == pytest.approx(written[name], rel=ROUNDING), name


def test_the_headline_of_the_readme_is_the_fits(committed: LawFit) -> None:
    assert committed.intervals is not None
    assert committed.misfit is not None
    for name, what in (("a", "size grows as"), ("b", "data as")):
        low, high = committed.intervals.exponents[name]
        words = rf"{what} C^{committed.exponents[name]:.2f} [{low:.2f}, {high:.2f}]"
        assert words in " ".join(README.split())
    assert f"misfit      p = {committed.misfit.p_value:.1g}:" in README


@pytest.mark.parametrize("command", ["isoflop fit measured:", "isoflop predict measured:"])
def test_what_the_readme_shows_is_what_is_printed(
    command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    line, shown = shown_output(command)
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("COLUMNS", "80")
    assert _run(line.split()[1:]) == 0
    out, err = capfd.readouterr()
    printed = plain(out + err)
    assert NUMBER.sub("#", plain(shown)) == NUMBER.sub("#", printed)
    texts = (plain(shown), printed)
    ends = [[float(end) for pair in NOISE_INTERVAL.findall(text) for end in pair] for text in texts]
    assert ends[0] == pytest.approx(ends[1], rel=NOISE_ROUNDING)
    numbers = [list(map(float, NUMBER.findall(NOISE_INTERVAL.sub("", text)))) for text in texts]
    assert numbers[0] == pytest.approx(numbers[1], rel=ROUNDING)


def shown_output(beginning: str) -> tuple[str, str]:
    """A command of the README after `$`, and what is shown below it."""
    found = re.search(rf"^    \$ ({re.escape(beginning)}.*)\n((?:    (?!\$).*\n)+)", README, re.MULTILINE)
    assert found, beginning
    return found[1], found[2]


def plain(text: str) -> str:
    """In one line, without the gradient's norm, which is rounding."""
    return re.sub(r"norm [\d.e-]+", "norm", " ".join(text.split()))


def test_tables_name_no_machine() -> None:
    for path in sorted((ROOT / "docs" / "results").rglob("*.csv")):
        assert "host" not in path.read_text().split("\n", 1)[0].split(","), path
    assert _host(DEMO / "fit.json") == ""
    assert _host(LADDER / "fit.json") == ""


def test_the_ladders_forecast_is_sealed_and_scored_as_its_page_says(tmp_path: Path) -> None:
    """The committed forecast has its SHA-256, and the committed runs give the committed score again."""
    copy = tmp_path / "cpu-ladder"
    shutil.copytree(LADDER, copy)
    where = Path("forecasts") / "3e13"
    (copy / where / "score.json").unlink()
    assert len(score(copy)) == 1
    committed = json.loads((LADDER / where / "score.json").read_text())
    assert rounded(json.loads((copy / where / "score.json").read_text())) == rounded(committed)
    assert stale(LADDER) == ()
    page = (LADDER / "README.md").read_text(encoding="utf-8")
    assert committed["sha256"] in page
    for method in committed["methods"]:
        forecast = method["forecast"]
        [line] = [line for line in page.splitlines() if re.match(rf"\| \**{forecast['method']}\b", line)]
        written = [float(number) for number in re.findall(r"[+-]?\d*\.\d+(?:e\d+)?", line)]
        assert written[0] == pytest.approx(forecast["loss"], abs=5e-5)
        assert written[-2] == pytest.approx(method["loss_error"], abs=5e-5)
        assert written[-1] == pytest.approx(forecast["n_opt"], rel=5e-3)
        assert line.endswith(f"| {math.expm1(method['n_error']):+.0%} |")


def rounded(value: Any) -> Any:
    """A JSON value with floats of nine digits: other processors round the last ones otherwise."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def test_the_family_is_smooth_and_its_page_says_what_was_measured() -> None:
    """Monotone and convex in log N at fixed tokens, to within three standard deviations of the seeds'
    noise."""
    runs = pd.read_csv(ROOT / "docs" / "results" / "family" / "runs.csv")
    table = by_width(runs)
    rise, bend = departures(table)
    assert len(table) >= 9
    assert min(table["count"]) >= 3
    assert rise.max() < 0
    assert bend.max() < 3
    page = (ROOT / "docs" / "family.md").read_text(encoding="utf-8")
    for width, n, mean, sd, _ in table.itertuples(index=False):
        line = f"| {width} | {n:,} | {mean:.3f} | {sd:.3f} |".replace("| 0.", "| .")
        assert line in page, line


def test_the_page_on_comparing_says_what_was_measured() -> None:
    """Shares held and median widths, of the multiplier and of the slope, by approach 3 and by approach 2."""
    table = pd.read_csv(ROOT / "docs" / "results" / "multiplier" / "coverage.csv")
    page = (ROOT / "docs" / "compare.md").read_text(encoding="utf-8")
    assert set(table["world"]) == set(WORLDS)
    lines = re.findall(r"^\|[^|]+((?:\| \d?\.\d\d, \d?\.\d\d ){4})\|$", page, re.MULTILINE)
    held, widths = ["multiplier_held", "slope_held"], ["multiplier_width", "slope_width"]
    for line, (_, own) in zip(lines, table.groupby("world", sort=False), strict=True):
        measured = own.sort_values("approach", ascending=False)[held + widths].to_numpy().ravel()
        assert [float(number) for number in re.findall(r"[\d.]+", line)] == pytest.approx(
            measured, abs=0.0051
        )
    assert f"{table['pairs'].iloc[0]} pairs of tables" in " ".join(page.split())


def _host(path: Path) -> str:
    made_by = read_fit(path).provenance
    assert made_by is not None
    return made_by.host


def test_the_simulated_attempts_are_what_their_page_says() -> None:
    table = pd.read_csv(ROOT / "docs" / "results" / "repeated-sampling" / "attempts.csv")
    rng = np.random.default_rng(5)
    rates = rng.beta(0.3, 1.5, 200)
    np.testing.assert_array_equal(table["c"], rng.binomial(256, rates))
    assert set(table["n"]) == {256}


def test_the_page_on_downstream_says_what_the_ladder_did() -> None:
    """Error of the next byte at 3e13 FLOPs: .410 from the runs below, .407 of the best run there."""
    below = {"where": "budget<3e13", "bootstrap": 0, "starts": 64}
    error = fit(LADDER, law="gadre_error", metric="accuracy", **below)
    assert error.certificate is not None
    assert error.certificate.status == "certified"
    assert two_step(fit(LADDER, **below), error).predict(3e13).value == pytest.approx(0.410, abs=5e-4)
    runs = load_runs(LADDER, where="budget=3e13", metric="accuracy")
    assert float(runs.loss_R.min()) == pytest.approx(0.407, abs=5e-4)
