"""The compute multiplier: recovered from two known laws, its intervals, and what can't be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import (
    Comparison,
    FitOptions,
    compare,
    compare_families,
    find_law,
    fit,
    table_of,
    write_comparisons,
)
from isoflop.analysis.comparison.multiplier import ComputeMultiplier
from isoflop.analysis.compute import SixN
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.result import optimal_size
from isoflop.base.errors import UserError
from isoflop.base.json_values import from_json
from isoflop.commands import compare as command

LAW = find_law("chinchilla")
GOOD = np.array([1.54, 285.0, 0.74, 594.0, 0.57])
"""Near what the demo measures."""
QUICK = FitOptions(bootstrap=60, starts=16)
NO_DRAWS = FitOptions(bootstrap=0, starts=16)
TEXT = {
    "dataset": "prose", "tokenizer": "bytes", "vocab_size": 256, "context_length": 128, "data_digest": "abc",
    "eval_windows": 1024,
}  # fmt: skip


def slower(factor: float) -> np.ndarray:
    """The law of a recipe that needs `factor` times the FLOPs of `GOOD` at every loss.

    Its loss is the other's at N and D over the root of the factor each.
    """
    E, A, alpha, B, beta = GOOD
    root = np.sqrt(factor)
    return np.array([E, A * root**alpha, alpha, B * root**beta, beta])


def runs(truth: np.ndarray, seed: int = 0, sd: float = 0.0, low: float = 1e11, **text: Any) -> pd.DataFrame:
    """IsoFLOPs of five budgets and six sizes, two seeds on trunks of their own; `sd`: of trunk and of run."""
    rng = np.random.default_rng(seed)
    C = np.repeat(np.geomspace(low, 100 * low, 5), 6)
    N = optimal_size(LAW, truth, C, SixN()) * np.tile(np.geomspace(0.4, 2.5, 6), 5)
    N, C = np.tile(N, 2), np.tile(C, 2)
    size = np.tile(np.arange(6), 10) + 6 * np.repeat(np.arange(2), 30)
    noise = sd * rng.standard_normal(12)[size] + sd * rng.standard_normal(60)
    loss = evaluate(LAW, truth, N, C / 6 / N) * np.exp(noise)
    columns = {"n_params": N, "n_tokens": C / 6 / N, "flops": C, "budget": C, "loss": loss}
    return pd.DataFrame(columns).assign(trunk_id=size.astype(str), **(TEXT | text))


def multiplier(a: pd.DataFrame, b: pd.DataFrame, options: FitOptions) -> ComputeMultiplier:
    """The multiplier of two tables, which have one."""
    found = compare(a, b, options)
    assert found.multiplier is not None, found.no_multiplier
    return found.multiplier


@pytest.mark.parametrize("approach", [2, 3])
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_a_known_multiplier_is_recovered(approach: Literal[2, 3], factor: float) -> None:
    options = FitOptions(bootstrap=0, starts=32, approach=approach)
    found = multiplier(runs(GOOD), runs(slower(factor)), options)
    values = [p.multiplier for p in found.points]
    assert values == pytest.approx([factor] * len(values), rel=0.002 if approach == 3 else 0.03)
    assert found.slope == pytest.approx(0, abs=0.001 if approach == 3 else 0.02)
    assert found.level is None
    low, high = found.flops_range
    assert low == pytest.approx(1e11 / min(factor, 1.0), rel=0.03)  # where B's own runs begin and end
    assert high == pytest.approx(1e13 / max(factor, 1.0), rel=0.03)


def test_a_known_slope_is_recovered() -> None:
    """With one exponent for both terms L* - E is a power of C, and so is the multiplier."""
    a, b = np.array([1.5, 60.0, 0.5, 60.0, 0.5]), np.array([1.5, 45.0, 0.46, 45.0, 0.46])
    found = multiplier(runs(a), runs(b), NO_DRAWS)
    # L* - E = 2 sqrt(A B) (C/6)^(-alpha/2): C_B = 6 (2 B / excess)^(2 / alpha), with alpha of each.
    excess = 2 * 60.0 * (np.array([p.flops for p in found.points]) / 6) ** -0.25
    expected = 6 * (2 * 45.0 / excess) ** (1 / 0.23) / np.array([p.flops for p in found.points])
    assert [p.multiplier for p in found.points] == pytest.approx(expected, rel=0.003)
    assert found.slope == pytest.approx(0.5 / 0.46 - 1, abs=0.002)


@pytest.mark.parametrize("approach", [2, 3])
def test_intervals_hold_the_truth(approach: Literal[2, 3]) -> None:
    """Ten pairs of tables: 95% intervals of the middle and of the slope hold it nine times or more, all but
    once in sixty such tests if they are honest, and are no wider than they have to be."""
    held, errors, widths = [], [], []
    for seed in range(10):
        options = FitOptions(bootstrap=60, starts=16, approach=approach, seed=seed)
        noisy = runs(GOOD, 2 * seed, 0.004), runs(slower(1.3), 2 * seed + 1, 0.004)
        found = multiplier(*noisy, options)
        low, high = found.middle.interval
        slope_low, slope_high = found.slope_interval
        assert low is not None
        assert high is not None
        assert slope_low is not None
        assert slope_high is not None
        held += [low <= 1.3 <= high, slope_low <= 0 <= slope_high]
        errors.append(np.log(found.middle.multiplier / 1.3))
        widths.append(np.log(high / low))
    assert sum(held) >= 17
    assert np.mean(widths) < 8 * np.sqrt(np.mean(np.square(errors)))


def test_redraws_of_one_seed_do_not_cancel() -> None:
    """The same design and seed twice: paired redraw by redraw the noise would seem to be common to both."""
    table = table_of(runs(GOOD, 1, 0.004))
    found = compare(table, table, QUICK).multiplier
    assert found is not None
    assert found.middle.multiplier == pytest.approx(1.0, rel=0.002)
    low, high = found.middle.interval
    assert low is not None
    assert high is not None
    assert np.log(high / low) > 0.05


UNLIKE = {
    "other text": (
        {"dataset": "code", "data_digest": "d"},
        "the text differs: dataset is prose in A, code in B",
    ),
    "text that changed": ({"data_digest": "d"}, "the tokens .* differs: data_digest is abc in A, d in B"),
    "another tokenizer": ({"tokenizer": "bpe-512", "data_digest": "d"}, "--metric bits_per_byte"),
    "another context": ({"context_length": 64}, "held-out windows, differs: context_length is 128 in A, 64"),
    "other windows": ({"eval_windows": 64}, "number of held-out windows differs: eval_windows is 1024 in A"),
}


@pytest.mark.parametrize(("text", "why"), UNLIKE.values(), ids=UNLIKE.keys())
def test_losses_of_other_text_or_windows_are_not_compared(text: dict[str, Any], why: str) -> None:
    found = compare(runs(GOOD), runs(slower(2.0), **text), NO_DRAWS)
    assert found.multiplier is None
    assert pd.Series([found.no_multiplier]).str.contains(why).all(), found.no_multiplier
    assert found.lines  # parameters are set side by side all the same


def test_losses_per_byte_can_be_compared_across_tokenizers() -> None:
    a, b = runs(GOOD), runs(slower(2.0), tokenizer="bpe-512", vocab_size=512, data_digest="d")
    tables = [frame.assign(bits_per_byte=frame["loss"] / np.log(2)) for frame in (a, b)]
    found = compare(tables[0], tables[1], NO_DRAWS, metric="bits_per_byte").multiplier
    assert found is not None
    assert (found.quantity, found.unit) == ("bits_per_byte", "bits per byte")
    assert found.middle.multiplier == pytest.approx(2.0, rel=0.01)
    mixed = compare(fit(tables[0], NO_DRAWS), fit(tables[1], NO_DRAWS, metric="bits_per_byte"))
    assert "the losses are not the same thing: loss (as given) in A, bits_per_byte" in mixed.no_multiplier


def test_what_has_nothing_in_common_is_refused_with_the_reason() -> None:
    apart = compare(runs(GOOD), runs(slower(1.0), low=1e15), NO_DRAWS)
    assert "no loss that both reach: A comes from" in apart.no_multiplier
    counted = runs(GOOD)
    six, own = (table_of(counted, flops=flops) for flops in ("6nd", "exact"))
    otherwise = compare(six, own, NO_DRAWS)
    assert "FLOPs are counted otherwise" in otherwise.no_multiplier
    plain = compare(counted.drop(columns=list(TEXT)), counted, NO_DRAWS)
    assert plain.multiplier is not None
    assert any("not known to be measured on the same text" in line for line in plain.warnings)


def test_families_of_one_table_are_each_set_against_the_first() -> None:
    families = {"swiglu": GOOD, "relu2": slower(0.8), "gelu": slower(1.5)}
    frames = [runs(truth).assign(mlp=name, axes=f"mlp={name}") for name, truth in families.items()]
    found = compare_families(pd.concat(frames, ignore_index=True), "mlp", NO_DRAWS)
    assert [each.names for each in found] == [("mlp swiglu", "mlp relu2"), ("mlp swiglu", "mlp gelu")]
    middles = [each.multiplier.middle.multiplier for each in found if each.multiplier]
    assert middles == pytest.approx([0.8, 1.5], rel=0.01)
    assert not any("mixes" in line for each in found for line in each.warnings)
    with pytest.raises(UserError, match="--by nlp: a data frame has no such column"):
        compare_families(frames[0], "nlp", NO_DRAWS)
    with pytest.raises(UserError, match="has one value of it, swiglu: nothing to compare"):
        compare_families(frames[0], "mlp", NO_DRAWS)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Two tables on disk."""
    folder = tmp_path_factory.mktemp("tables")
    paths = [str(folder / f"{name}.csv") for name in ("a", "b")]
    runs(GOOD, 1, 0.004).to_csv(paths[0], index=False)
    runs(slower(1.4), 2, 0.004).to_csv(paths[1], index=False)
    return paths


def test_the_command_says_which_is_better(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.run([*tables, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "A is better: B needs 1." in out
    assert [line for line in out.splitlines() if len(line) > 80 and "page:" not in line] == []
    assert {file.name for file in (tmp_path / "figures").iterdir()} == {"multiplier.png", "multiplier.pdf"}
    page = (tmp_path / "compare.html").read_text()
    assert "A is better: B needs 1." in page
    assert "The multiplier over compute" in page
    assert page.count("<svg") == 2


def test_the_commands_json_is_read_back(tables: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.run([*tables, "--json"]) == 0
    found = from_json(Comparison, json.loads(capsys.readouterr().out))
    assert found.multiplier is not None
    assert found.multiplier.level == 0.95
    assert found.names == tuple(tables)


def test_one_table_compares_laws_and_with_by_its_families(
    tables: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = pd.concat([pd.read_csv(path).assign(mlp=k) for k, path in enumerate(tables)])
    both.to_csv(tmp_path / "both.csv", index=False)
    assert command.run([str(tmp_path / "both.csv"), "--by", "mlp", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["by"] == "mlp"
    assert [each["names"] for each in found["comparisons"]] == [["mlp 0", "mlp 1"]]
    assert command.run([tables[0]]) == 0
    assert "competition fitted to" in capsys.readouterr().out
    for words, why in (
        (["x", "y", "--by", "mlp"], "--by is for one table"),
        ([tables[0], "--out", "o"], "--out"),
    ):
        with pytest.raises(UserError, match=why):
            command.run(words)


def test_a_page_of_several_comparisons_has_a_section_each(tmp_path: Path) -> None:
    frames = [runs(truth).assign(mlp=name) for name, truth in (("x", GOOD), ("y", slower(0.8)), ("z", GOOD))]
    found = compare_families(pd.concat(frames, ignore_index=True), "mlp", NO_DRAWS)
    page = write_comparisons(found, tmp_path).read_text()
    assert "mlp y against mlp x" in page
    assert "mlp z against mlp x" in page
    assert (tmp_path / "figures" / "multiplier-2.pdf").exists()
