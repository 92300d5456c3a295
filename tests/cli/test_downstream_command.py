"""isoflop downstream: a task's score in two steps, and what samples replace."""

from __future__ import annotations

import json

import pytest

from isoflop.base.errors import UserError
from isoflop.commands.downstream import run

STEPS = ["chinchilla:besiroglu", "gadre_error:redpajama"]


def test_prints_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    run([*STEPS, "--flops", "1e22", "--samples", "4", "--beta", "0.1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["target"] == "error"
    assert found["emergence"] is None
    assert found["exchange"]["pass_rate"] == pytest.approx((1 - found["value"]) ** (4**-0.1))


def test_a_run_of_one_s_own_scores_less_than_the_best_split(capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for words in (["--flops", "1.2e22"], ["--n-params", "1e9", "--tokens", "2e12"]):
        run([*STEPS, *words, "--json"])
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["flops"] == pytest.approx(found[1]["flops"])
    assert found[0]["value"] < found[1]["value"]


def test_prints_tables_that_paste(capsys: pytest.CaptureFixture[str]) -> None:
    run([*STEPS, "--flops", "1e22", "--markdown"])
    assert "| error | 0.3792 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*STEPS, "--flops", "1e22", "--samples", "4"], "--samples and --beta go together"),
        (
            [*reversed(STEPS), "--flops", "1e22"],
            "the first step is a law of the loss in N and D: gadre_error",
        ),
        ([STEPS[0], STEPS[0], "--flops", "1e22"], "such as bhagia, flp or gadre_error: chinchilla is none"),
        ([*STEPS], "give flops, for the best split of them, or n_params and tokens"),
        ([*STEPS, "--n-params", "1e9"], "give flops, for the best split of them, or n_params and tokens"),
        ([*STEPS, "--n-params", "1e9", "--tokens", "1e10", "--samples", "4", "--beta", ".1"], "give --flops"),
        ([*STEPS, "--flops", "-1"], "flops -1: must be a positive number"),
        ([STEPS[0], "no.json", "--flops", "1e22"], r"no fit no\.json"),
    ],
)
def test_refuses_in_a_line(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        run(words)
