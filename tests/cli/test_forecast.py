"""isoflop forecast: what it prints, where, and with which status."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from isoflop.__main__ import _run
from isoflop.analysis.published import published_fit

LLAMA = ["forecast", "llama-3-8b", "--price", "2", "--batch", "1", "32"]


def tables(text: str) -> dict[str, list[list[str]]]:
    """The rows of each Markdown table, its headers first, by title."""
    found = {}
    for title, body in re.findall(r"^\*\*(.+)\*\*\n\n((?:\|.*\n?)+)", text, re.MULTILINE):
        rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in body.strip().split("\n")]
        found[title] = [rows[0], *rows[2:]]
        assert {len(row) for row in rows} == {len(rows[0])}
    return found


def test_one_json_object_alone_on_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run([*LLAMA, "--json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert err == ""
    assert {"model", "device", "training", "serving", "sizing", "recommended", "warnings"} <= set(found)
    assert found["serving"]["kv_bytes_per_token"] == 131_072
    assert [point["batch"] for point in found["serving"]["points"]] == [1, 32]
    assert {"roofline", "expected", "low", "high"} == set(found["training"]["hours"])


def test_tables_of_markdown_say_what_the_json_says(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run([*LLAMA, "--rate", "5000", "--markdown"]) == 0
    shown = tables(capfd.readouterr().out)
    assert _run([*LLAMA, "--rate", "5000", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    (batches,) = [rows for title, rows in shown.items() if title.startswith("Batches")]
    assert [row[0] for row in batches] == ["batch", "1", "32"]
    tpot = found["serving"]["points"][1]["tpot"]["expected"] * 1000
    assert batches[2][batches[0].index("TPOT ms, expected")].startswith(f"{tpot:.3g} [")
    (fewest,) = [rows for title, rows in shown.items() if title.startswith("Fewest devices")]
    assert fewest[2][1] == str(found["sizing"]["fleets"]["expected"]["devices"])
    assert len(shown) == 7


def test_text_for_a_person(capfd: pytest.CaptureFixture[str]) -> None:
    assert _run([*LLAMA, "--device", "tpu-v5e", "--tensor-parallel", "16"]) == 0
    out, err = capfd.readouterr()
    for part in ("Training on 15T tokens", "Memory in serving, 16 devices", "Batches, 16 devices"):
        assert part in out
    assert "warning: no energy" in err  # nobody says what a TPU draws
    assert "keep copies" in err  # 8 key-value heads on 16 devices
    assert "sharding is ideal at the roofline" in out


def test_from_a_law_to_the_price_of_its_model(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By name, and from a fit in a file: the same numbers."""
    monkeypatch.setenv("ISOFLOP_CACHE", str(tmp_path / "cache"))
    (tmp_path / "fit.json").write_text(json.dumps(published_fit("chinchilla:besiroglu").to_json()))
    prices = []
    for what in ("chinchilla:besiroglu", str(tmp_path), str(tmp_path / "fit.json")):
        assert _run(["forecast", what, "--flops", "1e22", "--price", "2", "--json"]) == 0
        out, err = capfd.readouterr()
        found = json.loads(out)
        assert "beyond the fitted budgets" not in err
        prices.append(
            (found["training"]["money"]["expected"], found["serving"]["points"][0]["cost_per_million"])
        )
        assert found["recommended"]["run"]["n"] == pytest.approx(found["model"]["n_params"])
    assert prices[0] == prices[1] == prices[2]


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "which model?"),
        (["llama-9"], "unknown 'llama-9'"),
        (["no/fit.json"], "no fit no/fit.json"),
        (["chinchilla:besiroglu"], "needs --flops"),
        (["--n-params", "8e9", "--tokens", "15"], "--tokens 15: 8e+09 parameters on 15 tokens?"),
        (["--n-params", "8e9", "--device", "./none.toml"], "no device file ./none.toml"),
        (["llama-3-8b", "--max-ttft", "1e-4"], "--max-ttft 0.0001: a prompt of 1024 tokens is"),
        (["llama-3-8b", "--micro-batch", "64"], "; or --only serving"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], part: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(["forecast", *words]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert part in err
