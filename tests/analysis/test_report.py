"""The report: files, words, and a real browser that opens the page."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markupsafe import escape

from isoflop.analysis import FitOptions, LawFit, Report, RunTable, UserError, fit, load_runs, report, table_of
from isoflop.analysis.figures.allocation import minima
from isoflop.analysis.figures.competition import HeldOutErrors, bar, filled
from isoflop.analysis.figures.figure_data import render
from isoflop.analysis.figures.heldout import HeldOutBudget
from isoflop.analysis.figures.profiles import ObjectiveProfiles
from isoflop.analysis.figures.style import log_ticks
from isoflop.analysis.figures.svg import inline_svg
from isoflop.analysis.reporting.evidence import next_run_lines
from isoflop.analysis.reporting.page import all_tables
from isoflop.analysis.reporting.report import _default_folder, write
from isoflop.analysis.reporting.report_data import RIVALS
from isoflop.analysis.reporting.sensitivity import outliers
from isoflop.base.formatting import between, number, power, short
from isoflop.commands.fit_text import fit_lines
from tests.support.browser import laid_out, opened

FIGURES = {
    "isoflop", "allocation", "heldout", "surface", "residuals", "curves", "tuning", "competition", "profiles",
}  # fmt: skip
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report of a simulated sweep."""
    return report(folder, tmp_path_factory.mktemp("report"), FitOptions(bootstrap=100, starts=32))


def test_a_browser_shows_every_figure_and_complains_of_nothing(made: Report, tmp_path: Path) -> None:
    dom, console = opened(made.html, tmp_path / "profile")
    assert console == ""
    assert set(re.findall(r'<figure id="(\w+)">', dom)) == FIGURES
    for figure in re.findall(r"<figure.*?</figure>", dom, re.DOTALL):
        assert figure.count("<svg") == 2  # for a wide screen and for a telephone
        assert figure.count("<path") > 6


def test_figures_in_the_page_are_text_with_an_alternative_and_words_at_their_marks(made: Report) -> None:
    page = made.html.read_text(encoding="utf-8")
    drawn = {name: page[page.index(f'<figure id="{name}">') :].split("</figure>")[0] for name in FIGURES}
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert re.match(r'<svg [^>]*role="img" aria-label="[^"]{60,}"', svg)
        assert "<text" in svg
    ids = re.findall(r'<(?:path|clipPath) id="([^"]+)"', page)
    assert len(ids) == len(set(ids)) > 50
    assert set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', page)) <= {
        pair for each in ids for pair in ((each, ""), ("", each))
    }
    for r, loss in enumerate(made.data.table.loss_R):
        assert f"loss {loss:.4f}</title>" in drawn["isoflop"], r
        assert drawn["surface"].count(f"loss {loss:.4f}</title>") >= 2


@pytest.mark.parametrize("width", [1300, 800, 360])
def test_nothing_is_cut_at_any_width(made: Report, tmp_path: Path, width: int) -> None:
    found = laid_out(made.html, width, tmp_path / "page")
    assert found.page <= found.width == width
    assert found.cells > 100
    assert (found.clipped, found.lost, found.crossed) == ([], [], [])
    if width == 1300:
        assert set(found.scrolled) <= {f"Runs ({len(made.data.table)} rows)"}


def test_the_verdict_stands_before_what_a_telephone_must_scroll_to(made: Report) -> None:
    headers = next(
        table for table in all_tables(made.data) if table.title == "Which law predicts best?"
    ).headers
    assert headers.index("verdict") == 4


def test_a_dark_page_has_another_colour_for_every_one_of_its_figures(made: Report) -> None:
    """Ink on paper becomes light on dark, budgets included."""
    page = made.html.read_text(encoding="utf-8")
    used = set(re.findall(r"var\(--(c[0-9a-f]{6})\)", page))
    blocks = re.findall(r":root \{([^}]*--c[0-9][^}]*)\}", page)
    light, dark = (dict(re.findall(r"--(c[0-9a-f]{6}): (#[0-9a-f]{6})", block)) for block in blocks)
    assert used == set(light) == set(dark)
    assert all(colour == f"#{name[1:]}" != dark[name] for name, colour in light.items())
    drawn = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)


def test_the_policy_forbids_a_fetch_and_an_injected_script(made: Report, tmp_path: Path) -> None:
    """The guard itself is tested: a page that tries both is stopped, and the console says so."""
    page = tmp_path / "tampered.html"
    attempt = '<img src="https://example.org/x.png"><script>document.title = "taken"</script></body>'
    page.write_text(made.html.read_text(encoding="utf-8").replace("</body>", attempt), encoding="utf-8")
    dom, console = opened(page, tmp_path / "profile")
    assert "Content Security Policy" in console
    assert "<title>taken" not in dom


def test_the_page_names_no_address_to_fetch(made: Report) -> None:
    text = made.html.read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert "default-src 'none'" in text
    assert "unsafe-inline" not in re.findall(r"script-src ([^;]*);", text)[0]


def test_every_figure_is_written_twice(made: Report) -> None:
    assert {path.name for path in made.figures} == {
        f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")
    }
    assert all(path.stat().st_size > 5000 for path in made.figures)
    assert LawFit.from_json(json.loads(made.fit_json.read_text())).to_json() == made.fit.to_json()


def test_the_page_says_what_was_found(made: Report) -> None:
    assert made.held is not None
    assert made.held.holdout is not None
    text = made.html.read_text(encoding="utf-8")
    for table in all_tables(made.data):
        assert escape(table.title) in text
    titles = {table.title for table in all_tables(made.data)}
    assert {
        "The fit",
        "Exponents under each convention",
        "Sensitivity",
        "Compute spent",
        "Seconds per stage",
    } <= titles
    assert "(width/64)<sup>−0.5</sup>" in text
    assert f"SHA-256 {made.data.table.sha256}" in text
    assert len(made.data.table.sha256 or "") == 64
    conventions = next(t for t in all_tables(made.data) if t.title == "Exponents under each convention")
    assert len(conventions.rows) == 6


def test_a_page_and_its_figures_are_drawn_the_same_twice(made: Report, tmp_path: Path) -> None:
    again = write(made.data, tmp_path)
    assert again.html.read_text(encoding="utf-8") == made.html.read_text(encoding="utf-8")
    for mine, theirs in zip(again.figures, made.figures, strict=True):
        assert mine.read_bytes() == theirs.read_bytes(), mine.name


def test_a_foreign_table_gets_the_figures_it_can_and_is_told_first_what_it_lacks(tmp_path: Path) -> None:
    """Runs at D = 20 N, with a name that would be a script if it were not escaped."""
    N = np.geomspace(5e7, 1e10, 20)
    frame = pd.DataFrame(
        {"n_params": N, "n_tokens": 20 * N, "loss": 1.8 + 480 / N**0.35 + 2000 / (20 * N) ** 0.37}
    )
    path = tmp_path / "runs.csv"
    frame.assign(cell_id="<script>alert(1)</script>").to_csv(path, index=False)
    found = report(path, tmp_path / "out", FitOptions(bootstrap=40, starts=16))
    assert "do not determine the law" in found.headline
    names = {item.stem for item in found.figures}
    assert {"surface", "residuals"} <= names
    assert not {"isoflop", "curves", "tuning"} & names
    assert any("approach 2 needs two" in line for line in found.data.notes)
    text = found.html.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_a_table_whose_largest_budget_breaks_the_law_says_so_first(table: RunTable, tmp_path: Path) -> None:
    """Every loss of the largest budget is 0.1 nats too high: the smaller budgets can't have foreseen it."""
    top = table.budget_R == 1.3e12
    broken = dataclasses.replace(table, loss_R=table.loss_R + 0.1 * np.asarray(top))
    found = report(broken, tmp_path, FitOptions(bootstrap=100, starts=16))
    assert "6 of 7 held-out runs lie outside their 95% intervals" in found.headline
    assert found.headline.index("held-out") < found.headline.find("As fitted") or not found.fit.trusted
    text = found.html.read_text(encoding="utf-8")
    kept = re.findall(r"<li>(.*?)</li>", text[text.index("To keep in mind") :])
    assert kept[0].startswith("6 of 7 held-out runs lie outside")
    assert kept[-len(table.warnings) :] == [str(escape(line)) for line in table.warnings]
    assert '<p class="value">1 of 7</p>' in text


def test_an_unwritable_folder_is_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot write the report to"):
        report(load_runs(folder), tmp_path / "file" / "out", FitOptions(bootstrap=0, starts=8))


def test_numbers_read_well() -> None:
    assert [short(x) for x in (12, 1234, 999_999, 4.5e6, 7e10, 1.3e12)] == [
        "12",
        "1.23k",
        "1M",
        "4.5M",
        "70B",
        "1.3T",
    ]
    assert [power(x) for x in (1e11, 1.3e12, 9.999e11, 2.5e-3)] == ["10¹¹", "1.3×10¹²", "10¹²", "2.5×10⁻³"]
    assert number(0.4756, 3) == "0.476"
    assert number(None) == "–"
    assert number(-1234567.0, 3) == "−1.23e6"
    assert between((0.1, 0.25), 2) == "[0.10, 0.25]"
    assert log_ticks(3e3, 7e4) == [3e3, 5e3, 1e4, 2e4, 3e4, 5e4]
    assert log_ticks(0.94, 1.39) == [1.0, 1.1, 1.2, 1.3]
    assert log_ticks(1.12e11, 1.18e11) == [1.12e11, 1.13e11, 1.14e11, 1.15e11, 1.16e11, 1.17e11, 1.18e11]


def test_sections_say_which_law_and_how_sure(made: Report) -> None:
    data, text = made.data, made.html.read_text(encoding="utf-8")
    titles = [text.index(f"<h2>{title}</h2>") for title in ("Which law?", "How sure?", "The numbers")]
    assert titles == sorted(titles)
    assert titles[0] < text.index('id="competition"') < titles[1] < text.index('id="profiles"') < titles[2]
    assert data.competition is not None
    assert {row.name for row in data.competition.rows} | {*data.competition.left_out} == {
        *RIVALS, "nothing improves", "log-linear",
    }  # fmt: skip
    seal = made.fit.certificate
    assert seal is not None
    assert f"{seal.starts_at_optimum} of {seal.starts} starts end there" in text
    assert [each.approach for each in data.agreements] == [2, 1]
    assert "No predictor can do better on this source than 1.050 nats per token" in text
    assert "What to run next" not in text
    assert "parabolas in log N" in data.figures["allocation"].caption
    assert "parabolas in log N" in data.figures["heldout"].caption


def test_a_predicted_minimum_far_from_the_runs_is_said_and_not_drawn(made: Report) -> None:
    figure = made.data.figures["heldout"]
    assert isinstance(figure, HeldOutBudget)
    far = dataclasses.replace(figure, best=dataclasses.replace(figure.best, n_opt_predicted=1e15))
    words = inline_svg(far, render(far), "far")
    assert "predicted minimum\nN" not in words
    assert "predicted minimum\nN" in inline_svg(figure, render(figure), "near")
    assert "is off these sizes" in far.caption
    assert "is off these sizes" not in figure.caption


def test_the_competition_figure_shows_each_error_and_its_interval(made: Report) -> None:
    found = made.data.competition
    assert found is not None
    drawn = made.data.figures["competition"]
    assert isinstance(drawn, HeldOutErrors)
    best = next(row.mean_abs_error for row in found.rows if row.name == found.best)
    for row in found.rows:
        assert filled(row) == (row.kind == "law" and row.scored_on == "runs")
        assert f"{row.mean_abs_error:.4f}" in drawn.description
        span = bar(row)
        if span and row.scored_on == "runs":
            assert span[1] == pytest.approx(best + (row.interval[1] or 0))
            assert (best < span[0]) == (row.beyond_chance and row.excess > 0)


def panels(report: Report) -> dict[str, Any]:
    drawn = report.data.figures["profiles"]
    assert isinstance(drawn, ObjectiveProfiles)
    return {panel.name: panel for panel in drawn.quantities}


def test_profiles_are_of_the_fit_itself_and_cross_where_their_interval_ends(made: Report) -> None:
    shown = panels(made)
    assert list(shown) == ["alpha", "beta", "E", "a"]
    spans = made.fit.intervals
    assert spans is not None
    for name, panel in shown.items():
        value = made.fit.exponents["a"] if name == "a" else made.fit.params[name]
        assert panel.estimate == pytest.approx(value, rel=1e-4)
        assert panel.bootstrap == (spans.exponents if name == "a" else spans.params)[name]
        low, high = panel.interval
        assert low is not None
        assert high is not None
        rises = np.interp([low, high], panel.values_K, panel.rises_K)
        assert rises == pytest.approx([1, 1], abs=0.15)


def test_sensitivity_covers_every_kind_of_choice(made: Report) -> None:
    choices = {choice.name: choice for choice in made.data.sensitivity}
    assert {choice.kind for choice in choices.values()} == {
        "", "objective", "weights", "runs", "counting", "form",
    }  # fmt: skip
    assert choices["without outliers"].remark.startswith("none")
    assert choices["gadre"].remark.startswith("fitted to the 35 runs below 1.3×10¹²")
    assert choices["as reported"].a == made.fit.exponents["a"]
    assert choices["as reported"].loss == pytest.approx(2.07, abs=0.02)
    assert choices["non-embedding N, 6ND"].loss is None  # 6ND counts another budget


def test_least_squares_by_a_wide_huber_is_least_squares(made: Report) -> None:
    names: dict[Any, str] = {"log": "least squares, log loss", "raw": "least squares, loss itself"}
    for space, name in names.items():
        found = fit(made.data.table, FitOptions(loss="mse", space=space, bootstrap=0, starts=16))
        choice = next(choice for choice in made.data.sensitivity if choice.name == name)
        assert choice.params == pytest.approx(found.params, rel=1e-4)


def test_runs_far_off_the_fit_are_outliers_and_are_named(made: Report) -> None:
    table = made.data.table
    assert not outliers(table, made.fit).any()
    loss = table.loss_R.copy()
    loss[[3, 20]] *= (1.2, 0.85)
    spoilt = dataclasses.replace(table, loss_R=loss)
    assert np.flatnonzero(outliers(spoilt, made.fit)).tolist() == [3, 20]


def test_an_open_end_is_an_arrow_and_a_word_not_a_bar_of_no_length(made: Report) -> None:
    data = made.data
    assert data.parabolas is not None
    assert data.parabolas.budgets is not None
    first, *rest = data.parabolas.budgets
    half_open = dataclasses.replace(first, n_interval=(None, (first.n_interval or (None, None))[1]))
    parabolas = dataclasses.replace(data.parabolas, budgets=(half_open, *rest))
    data = dataclasses.replace(data, given=data.fit)
    vars(data)["parabolas"] = parabolas  # in place of the fit that it would make
    (size, *_), (tokens, *_) = minima(data.table, data.fit, parabolas)
    assert (size.open_low, size.open_high) == (True, False)
    assert size.low == data.table.N_R[data.groups[0].rows].min() < size.value
    assert (tokens.open_low, tokens.open_high) == (False, True)
    assert tokens.high > tokens.value
    row = next(table for table in all_tables(data) if table.title == "IsoFLOP minima").rows[0]
    assert str(row[2]).startswith("[open, ")
    assert "arrow" in data.figures["allocation"].caption
    assert "[open, " in "\n".join(map(str, fit_lines(parabolas)))


def test_what_to_run_next_is_said_where_the_runs_lie_on_one_line(tmp_path: Path) -> None:
    N, rng = np.geomspace(5e7, 1e10, 24), np.random.default_rng(0)
    loss = (1.8 + 480 / N**0.35 + 2000 / (20 * N) ** 0.37) * np.exp(0.004 * rng.standard_normal(24))
    table = table_of(pd.DataFrame({"n_params": N, "n_tokens": 20 * N, "loss": loss}))
    found = report(table, tmp_path, FitOptions(bootstrap=40, starts=32))
    assert "<b>What to run next</b>" in found.html.read_text(encoding="utf-8")
    assert len(next_run_lines(found.fit)) == 2
    for name, panel in panels(found).items():
        assert panel.estimate == pytest.approx((found.fit.params | found.fit.exponents)[name], rel=0.02)


def test_a_public_table_goes_to_a_folder_without_a_colon(table: RunTable) -> None:
    public = dataclasses.replace(table, source="public:chinchilla", folder=None)
    assert _default_folder(public) == Path("outputs/public-chinchilla")
