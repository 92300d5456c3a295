"""Laws of learning rate and batch: fitted to tuned runs, and the published rules side by side."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import UserError, compete, find_law, fit, known_laws, load_runs
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.planning.hyperparameters import Hyperparameters, hyperparameters
from isoflop.analysis.published import published_fit
from isoflop.commands import fit as fit_command
from tests.support.true_laws import isoflop, spread

FAMILY = [name for name in known_laws() if find_law(name).family == "hyperparameters"]


def tuned(name: str, sd: float) -> pd.DataFrame:
    """60 runs, each the best of its N and D, whose rate or batch follows a law's first published set."""
    law = find_law(name)
    N, D = spread(60)
    frame = pd.DataFrame({"n_params": N, "n_tokens": D, "flops": 6 * N * D, "loss": 2 + 400 / N**0.3})
    extra = [frame[covariate.column].to_numpy() for covariate in law.covariates]
    truth = evaluate(law, np.array(law.published[0].params), N, D, *extra)
    return frame.assign(**{law.target: truth * np.exp(sd * np.random.default_rng(1).standard_normal(60))})


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY)
def test_a_law_is_recovered_and_identified_by_what_it_needs(name: str) -> None:
    """Rates and batches are found on grids of factors: 20% of noise is what a fine one leaves."""
    law = find_law(name)
    truth = np.array(law.published[0].params)
    exact = fit(tuned(name, 0.0), law=name, bootstrap=0, starts=16)
    np.testing.assert_allclose(exact.params_P, truth, rtol=1e-5)
    noisy = fit(tuned(name, 0.2), law=name, bootstrap=0, starts=16, loss="mse")
    assert noisy.certificate is not None
    assert noisy.certificate.status == "certified"
    assert noisy.conventions.metric == law.target
    np.testing.assert_allclose(noisy.params_P[1:], truth[1:], atol=0.06)
    assert not [line for line in noisy.warnings if "rises with" in line]
    assert all(noisy.identified[parameter] for parameter in law.parameters[1:])
    one = tuned(name, 0.2).assign(n_params=1e9, n_tokens=2e10, flops=1.2e20, loss=3.0)
    stuck = fit(one, law=name, bootstrap=0, starts=16, loss="mse")
    assert not any(stuck.identified[parameter] for parameter in law.parameters)


def test_at_twenty_tokens_a_parameter_size_and_tokens_are_one_exponent() -> None:
    law = "rate_by_size_and_tokens"
    N = np.geomspace(1e8, 1e10, 30)
    noise = np.exp(0.1 * np.random.default_rng(0).standard_normal(30))
    rate = evaluate(find_law(law), np.array([1.79, -0.713, 0.307]), N, 20 * N) * noise
    found = fit(
        pd.DataFrame({"n_params": N, "n_tokens": 20 * N, "lr": rate}), law=law, bootstrap=0, starts=16
    )
    assert not found.identified["n"]
    assert not found.identified["d"]
    n, d = found.params["n"], found.params["d"]
    assert n is not None
    assert d is not None
    assert n + d == pytest.approx(-0.406, abs=0.06)


def test_laws_of_one_target_compete() -> None:
    """The law that made the rates predicts those of the largest budgets best, of the laws of the rate."""
    found = compete(tuned("rate_by_size_and_tokens", 0.1), law="rate_by_size_and_tokens", bootstrap=0)
    laws = [row.name for row in found.rows if row.kind == "law"]
    assert laws[0] == "rate_by_size_and_tokens"
    assert set(laws) == {"rate_by_size_and_tokens", "rate_by_size", "rate_by_compute"}


@pytest.mark.parametrize(
    ("name", "inputs", "value"),
    [
        ("rate_by_size:porian", (1e9, 2e10), 2.24e-3),
        ("batch_by_size:porian", (1e9, 2e10), 1.445e6),
        ("rate_by_compute:deepseek", (1e9, 1e21 / 6e9), 7.39e-4),
        ("batch_by_compute:deepseek", (1e9, 1e21 / 6e9), 2.16e6),
        ("rate_by_size_and_tokens:steplaw-bootstrap", (7e9, 1.4e12), 9.35e-4),
        ("batch_by_tokens:steplaw-bootstrap", (7e9, 1.4e12), 5.00e6),
        ("batch_by_tokens:nanochat", (1e9, 10.5 * 110_100_480), 2**19),
    ],
)
def test_published_values(name: str, inputs: tuple[float, float], value: float) -> None:
    """Computed from the constants by an independent script (Step Law's is their README's example)."""
    N, D = inputs
    known = published_fit(name)
    law = find_law(name.partition(":")[0])
    extra = [6 * N * D for _ in law.covariates]
    assert float(evaluate(law, known.params_P, N, D, *extra)) == pytest.approx(value, rel=2e-3)


def test_the_fits_of_porian_are_their_rounded_rules() -> None:
    """.00037 N^.703 and 3.7 N^-.36 against 160 (N/108e6)^(2/3) and .0047 (N/108e6)^(-1/3), at 108e6."""
    rules = {rule.name: rule for rule in hyperparameters(108e6, 2e9).rules}
    assert rules["porian-fit"].lr == pytest.approx(rules["porian"].lr, rel=0.02)
    assert rules["porian-fit"].batch_tokens == pytest.approx(rules["porian"].batch_tokens, rel=0.03)


def test_the_critical_batch_doubles_as_the_loss_falls_by_an_eighth() -> None:
    """Kaplan et al. (2020), section 5.1: the critical batch doubles for every 13% decrease of the loss."""
    law, params = find_law("critical_batch"), np.array(find_law("critical_batch").published[0].params)
    at = evaluate(law, params, 1e9, 1e10, np.array([3.0, 3.0 * 0.87]))
    assert at[1] / at[0] == pytest.approx(2, rel=0.04)


def searched() -> pd.DataFrame:
    """An IsoFLOP grid with three rates at each N and D, of which the middle one is best."""
    N, D = isoflop(4, 4)
    best = evaluate(find_law("rate_by_size"), np.array([3.7, -0.36]), N, D)
    parts = [
        pd.DataFrame({"n_params": N, "n_tokens": D, "val_loss": 3 + 0.5 * np.log(x) ** 2, "lr": x * best})
        for x in (0.4, 1.0, 2.5)
    ]
    return pd.concat(parts, ignore_index=True).rename(columns={"val_loss": "loss"})


def test_the_best_of_a_search_over_rates_is_by_the_loss() -> None:
    table = load_runs(searched(), best_of_each=True)
    assert len(table) == 16
    found = fit(table, law="rate_by_size", bootstrap=0, starts=16)
    assert found.params["n"] == pytest.approx(-0.36, abs=1e-6)
    again = fit(load_runs(searched(), best_of_each=True, metric="lr"), law="rate_by_size", bootstrap=0)
    assert again.params == pytest.approx(found.params)


def test_the_command_fits_what_the_law_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    searched().to_csv(tmp_path / "tuned.csv", index=False)
    given = ["--law", "rate-by-size", "--best-of-each", "--bootstrap", "0", "--json"]
    assert fit_command.run([str(tmp_path / "tuned.csv"), *given]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["params"]["K"] == pytest.approx(3.7, rel=1e-4)
    assert said["conventions"]["metric"] == "lr"
    bare = tmp_path / "bare.csv"
    searched().drop(columns="lr").to_csv(bare, index=False)
    with pytest.raises(UserError, match=r"--metric lr: .* has no such column"):
        fit_command.run([str(bare), *given])


class TestRules:
    def test_side_by_side(self) -> None:
        found = hyperparameters(7e9, 1.4e12)
        rules = {rule.name: rule for rule in found.rules}
        assert {"porian", "deepseek", "steplaw", "nanochat"} <= set(rules)
        assert rules["steplaw-bootstrap"].lr == pytest.approx(9.35e-4, rel=2e-3)
        assert rules["nanochat"].lr is None
        rates = [rule.lr for rule in found.rules if rule.lr]
        assert found.lr_spread == pytest.approx(max(rates) / min(rates))
        assert found.lr_spread > 2
        assert rules["steplaw"].beyond == pytest.approx(14, rel=1e-9)  # 1.4e12 tokens over 1e11
        assert any("Bjorck" in line and "4.2-fold" in line for line in found.warnings)
        assert any(line.startswith("beyond the runs of steplaw by 14") for line in found.warnings)
        assert Hyperparameters.from_json(json.loads(json.dumps(found.to_json()))) == found
        assert "nanochat" in repr(found)

    def test_what_each_counts(self) -> None:
        """Rules of the blocks alone have the body, and FLOPs follow from it unless they are given."""
        plain, body = hyperparameters(1e9, 2e10), hyperparameters(1e9, 2e10, body=8e8)
        own = hyperparameters(1e9, 2e10, body=8e8, flops=1.2e20)
        by = [{rule.name: rule for rule in found.rules} for found in (plain, body, own)]
        assert by[1]["porian"].lr == by[0]["porian"].lr
        assert by[1]["steplaw"].lr == pytest.approx((by[0]["steplaw"].lr or 0) * 0.8**-0.713)
        assert by[1]["deepseek"].lr == pytest.approx((by[0]["deepseek"].lr or 0) * 0.8**-0.125)
        assert by[2]["deepseek"].lr == pytest.approx(by[0]["deepseek"].lr)
        assert any("give the body" in line for line in plain.warnings)
        assert not any("give the body" in line for line in body.warnings)

    @pytest.mark.parametrize(
        ("given", "says"),
        [
            ({"N": -1.0, "D": 1e9}, "N -1.0: give a positive number"),
            ({"N": 1e9, "D": float("nan")}, "D nan: give a positive number"),
            ({"N": 1e9, "D": 1e9, "body": 2e9}, "more than N"),
            ({"N": 1e9, "D": 1e9, "flops": 0.0}, "flops 0.0"),
        ],
    )
    def test_what_is_no_model_is_refused(self, given: dict[str, float], says: str) -> None:
        with pytest.raises(UserError, match=says):
            hyperparameters(**given)
