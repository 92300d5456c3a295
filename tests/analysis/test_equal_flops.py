"""Architectures at equal training FLOPs, against closed forms."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from isoflop.analysis import UserError, compare_at_equal_flops
from isoflop.analysis.laws import clark, kumar
from isoflop.analysis.published import published_fit
from isoflop.analysis.result import Intervals
from isoflop.commands import compare

KUMAR = published_fit("kumar")
SYMBOLS = ("P_w", "P_a", "P_kv")


@pytest.mark.parametrize("flops", [1e19, 1e23])
@pytest.mark.parametrize("bits", [4.0, 8.0])
def test_low_precision_is_a_larger_budget(flops: float, bits: float) -> None:
    """Effective parameters f N at a price of 6 N P / 16: the law at P bits is the law at 16 with f/P over
    that at 16 times the budget, whatever the budget.
    """

    def worth(P: float) -> float:
        return float(np.prod([kumar.effective_share(np.array(gamma), P) for gamma in KUMAR.params_P[5:]])) / P

    found = compare_at_equal_flops("kumar", flops, given=dict.fromkeys(SYMBOLS, bits))
    assert found.multiplier == pytest.approx(worth(bits) / worth(16.0), rel=1e-6)
    assert found.a.loss < found.b.loss
    assert found.a.flops_per_token == pytest.approx(6 * found.a.n * bits / 16)


def test_experts_at_a_fixed_number_of_tokens() -> None:
    """Clark et al. (2022): FLOPs don't change with E, and the multiplier is that of the parameters."""
    N, D = 1e9, 1.3e11
    found = compare_at_equal_flops("clark:s-base", 6 * N * D, given={"E": 64}, tokens=D)
    params = published_fit("clark:s-base").params_P
    assert found.multiplier == pytest.approx(float(clark.effective_parameters(params, N, np.array(64.0))) / N)
    assert (found.a.n, found.a.d) == (pytest.approx(N), pytest.approx(D))


def test_fine_grained_experts_against_the_dense_models_beside_them() -> None:
    """Krajewski et al. (2024): at 1e20 FLOPs a dense model needs 20 times the FLOPs, and more at larger
    budgets (40 times at 1e25, which the printed digits don't give: 32 at the best granularity)."""
    best = [
        max(
            compare_at_equal_flops(
                "krajewski", flops, "chinchilla:krajewski-dense", given={"G": G}
            ).multiplier
            for G in (8.0, 16.0, 32.0, 64.0)
        )
        for flops in (1e20, 1e25)
    ]
    assert best == [pytest.approx(21.3, abs=0.1), pytest.approx(32.0, abs=0.1)]


def test_an_architecture_is_worth_itself() -> None:
    found = compare_at_equal_flops("abnar", 1e21, given={"density": 1})
    assert found.multiplier == pytest.approx(1.0)
    assert found.interval == (None, None)
    assert "needs 1 times the FLOPs" in found.verdict


def test_the_interval_is_of_the_same_draws_on_both_sides() -> None:
    """Draws that differ in the floor alone change both losses and no multiplier."""
    draws = tuple((floor, *KUMAR.params_P[1:]) for floor in (2.5, 2.6, 2.7, 2.9))
    intervals = Intervals(0.95, "bootstrap", 4, "runs", {}, {}, draws)
    fitted = dataclasses.replace(KUMAR, intervals=intervals)
    found = compare_at_equal_flops(fitted, 1e21, given=dict.fromkeys(SYMBOLS, 8.0))
    assert found.level == 0.95
    assert found.interval == (pytest.approx(found.multiplier), pytest.approx(found.multiplier))
    other = compare_at_equal_flops(fitted, 1e21, "kumar", given=dict.fromkeys(SYMBOLS, 8.0))
    assert other.interval[0] is not None
    assert other.interval[1] is not None
    assert other.interval[0] < found.multiplier < other.interval[1]


def test_a_loss_out_of_reach_is_said() -> None:
    """A dense law whose floor is above the other's loss never comes to it."""
    dense = published_fit("chinchilla:krajewski-dense")
    floor = dataclasses.replace(dense, params=dense.params | {"E": 5.0})
    found = compare_at_equal_flops("krajewski", 1e21, floor)
    assert np.isnan(found.multiplier)
    assert "at no budget within reach" in found.verdict


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"a": "abnar", "given": {"S": 0.5}}, "abnar has no such input; it has density"),
        ({"a": "abnar", "given": {"density": -1.0}}, "give a positive number"),
        ({"a": "clark:hash"}, "no best D for a budget: hold it"),
        ({"a": "abnar", "flops": 0.0}, "give a positive number of FLOPs"),
        ({"a": "product"}, "no published constants"),
    ],
)
def test_what_cannot_be_compared_is_refused(asked: dict, says: str) -> None:
    named: dict[str, Any] = {"flops": 1e21} | asked
    with pytest.raises(UserError, match=says):
        compare_at_equal_flops(**named)


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["krajewski", "chinchilla:krajewski-dense", "--budget", "1e20", "--with", "G=16"]
    assert compare.run(argv) == 0
    assert (
        "chinchilla:krajewski-dense needs 21.3 times the FLOPs for the loss of krajewski at G = 16"
        in capsys.readouterr().out
    )
    for argv, says in (
        (["abnar", "--with", "density=0.5"], "give --budget"),
        (["abnar", "--budget", "1e20", "--by", "mlp"], "drop --by"),
    ):
        with pytest.raises(UserError, match=says):
            compare.run(argv)
