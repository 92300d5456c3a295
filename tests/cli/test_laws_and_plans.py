"""`isoflop laws` and `isoflop predict`, as they are typed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from isoflop.__main__ import _run
from isoflop.analysis import find_law, known_laws
from isoflop.analysis.laws.law import FAMILIES
from isoflop.base.display import Summary
from isoflop.commands.text_plot import COLUMNS, LINES, text_plot

BESIROGLU = "chinchilla:besiroglu"


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command prints that ends well."""
    assert _run(list(argv)) == 0
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line of a command that is refused."""
    assert _run(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_every_law_is_listed_under_its_family(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "laws").splitlines()
    for name in known_laws():
        law = find_law(name)
        at = next(i for i, line in enumerate(lines) if line.split()[:1] == [name])
        heading = next(line for line in reversed(lines[:at]) if not line.startswith(" "))
        assert heading == f"{law.family}: {FAMILIES[law.family]}"
        assert lines[at].endswith(law.summary)
        assert len(lines[at]) <= 130


@pytest.mark.parametrize("name", known_laws())
def test_a_law_is_shown_with_its_source_and_constants(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    law = find_law(name)
    text = said(capsys, "laws", name)
    assert law.equation in text
    for published in law.published:
        assert law.full_name(published) in text
    if law.published:
        assert f"{law.target} against {law.drawn.x}" in text
        assert text.count("*") >= COLUMNS  # a curve
        drawn = [line for line in text.splitlines() if "|*" in line or "| " in line]
        assert drawn[0].split()[0] != drawn[-1].split()[0], "the drawn input does not move the law"
        example = text.splitlines()[-1].split()
        assert example[:2] == ["isoflop", "predict"]
        assert law.target in said(capsys, *example[1:])
    shown = json.loads(said(capsys, "laws", name, "--json"))[name]
    assert shown["equation"] == law.equation
    assert set(shown["published"]) == {published.name for published in law.published}
    assert all(set(each["params"]) == set(law.parameters) for each in shown["published"].values())


def test_a_law_nobody_knows(capsys: pytest.CaptureFixture[str]) -> None:
    assert "unknown law 'nobody': known are" in refused(capsys, "laws", "nobody")
    err = refused(capsys, "laws", "chinchila")
    assert "unknown law 'chinchila' (perhaps chinchilla): known are abnar, batch_by_compute" in err
    assert "; of loss curves luo, summed_rate, tissue; or name a .py file" in err
    assert said(capsys, "laws", "kaplan-compute") == said(capsys, "laws", "kaplan_compute")


def test_what_constants_come_with_is_a_note_and_what_they_lack_a_warning(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Kumar et al.'s are from memory; every set is without intervals."""
    for argv in (
        ["predict", "kumar", "--flops", "1e21"],
        ["compare", "kumar", "--budget", "1e21", "--with", "P_w=8"],
    ):
        assert _run(argv) == 0
        lines = capsys.readouterr().err.splitlines()
        assert sum(line.startswith("note: published constants have no intervals") for line in lines) == 1
        assert any(line.startswith("note: kumar:kumar: A, alpha") for line in lines)
        assert "warning: kumar:kumar: not confirmed against the paper" in lines
    assert _run(["predict", "luo:100m", "--schedule", "cosine"]) == 0
    assert capsys.readouterr().err.startswith("note: luo:100m: the search stopped")


def test_a_curve_in_characters() -> None:
    x = np.geomspace(1, 100, 50)
    lines = list(text_plot(x, 5 - np.log(x)))
    drawn = [line.partition("|")[2] for line in lines[:LINES]]
    assert drawn[0].startswith("*")
    assert drawn[-1].endswith("*")
    assert [line.index("*") for line in drawn] == sorted(line.index("*") for line in drawn)
    assert lines[0].split()[0] == "5"
    assert lines[LINES - 1].split()[0] == "0.3948"
    assert list(text_plot(x, np.full(50, np.nan))) == []


def test_tables_to_paste() -> None:
    table = Summary("Two rows", ("a", "b"), [("1", "x|y"), ("2", "z")], ("a note",))
    assert table.markdown() == "**Two rows**\n\n| a | b |\n| --- | --- |\n| 1 | x\\|y |\n| 2 | z |\n\na note"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--flops", "5.76e23"], ["at 5.76e+23 FLOPs (44.31 times the fitted range)", "7.225e+10", "1.974"]),
        (["--loss", "2.0", "--inference-tokens", "2e12"], ["2e+12 tokens served", "saved  10.5%"]),
        (["--flops", "1e21", "--inference-tokens", "0"], ["0 tokens served", "saved  0.0%"]),
        (["--n-params", "8e9", "--tokens", "15e12"], ["12.65 times its training tokens", "18.1% of its own"]),
        (["--flops", "1e22", "--compare", "--markdown"], ["| gadre:c4 | 2.228e+10 |", "do not compare"]),
        (["--flops", "1e22", "--hyperparameters"], ["peak lr", "deepseek"]),
    ],
)
def test_plans(options: list[str], words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "predict", BESIROGLU, *options)
    for word in words:
        assert word in text
    shown = json.loads(said(capsys, "predict", BESIROGLU, *options, "--json"))
    assert shown["conventions"]["loss_unit"] == "nats per token"
    assert ("compare" in shown) == ("--compare" in options)
    assert ("hyperparameters" in shown) == ("--hyperparameters" in options)


RUN = (BESIROGLU, "--n-params", "1e9", "--tokens", "1e11")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["chinchilla", "--flops", "1e20"], "several sets of constants"),
        ([BESIROGLU], "nothing asked: give one of --flops"),
        ([BESIROGLU, "--flops", "1e22", "--unique-tokens", "1e10"], "knows fresh tokens only"),
        (
            [*RUN, "--inference-tokens", "1e12"],
            "give one quantity",
        ),
        (
            [*RUN, "--config"],
            "--config is of a compute-optimal",
        ),
        (
            [*RUN, "--with", "G"],
            "--with G: must be a name and a",
        ),
        (
            ["kaplan_compute:kaplan", "--flops", "1e21", "--compare"],
            "--compare: kaplan_compute is only evaluated",
        ),
        (["general", "--flops", "1e21"], "general has no published constants"),
        ([BESIROGLU, "--flops", "1e21", "--config"], "are published constants; give a fit in a"),
    ],
)
def test_plans_that_are_refused(argv: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert words in refused(capsys, "predict", *argv)
