"""The planner: questions of every kind, lifetimes, limited data, laws side by side; published figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isoflop.analysis import (
    FitOptions,
    UserError,
    compare_at_equal_flops,
    fit,
    planned_run,
    predict,
    published_fit,
    published_names,
    table_of,
)
from isoflop.analysis.planning.data_limit import data_limit
from isoflop.analysis.planning.evaluation import evaluated
from isoflop.analysis.planning.inference import lifetime, revealed_demand, smaller_models
from isoflop.analysis.planning.question import OPTIONS, Question, answer
from isoflop.analysis.planning.side_by_side import side_by_side
from isoflop.analysis.result import LawFit
from tests.support.surfaces import spread_runs

BESIROGLU = "chinchilla:besiroglu"


@pytest.fixture(scope="module")
def drawn() -> LawFit:
    """A fit with bootstrap draws."""
    return fit(table_of(spread_runs(60, 0.01)), FitOptions(bootstrap=60, starts=16))


def test_published_allocations() -> None:
    """Besiroglu et al. (2024), 72.3B and 1.33T at 5.76e23; Hoffmann et al. (2022), table A3, at fixed N."""
    found = predict(BESIROGLU, 5.76e23)
    assert found.n_opt == pytest.approx(72.3e9, rel=2e-3)
    assert found.d_opt == pytest.approx(1.33e12, rel=2e-3)
    for n, tokens in ((400e6, 9.24e9), (1e9, 27.4e9), (67e9, 4.04e12)):
        assert predict("chinchilla:hoffmann-three-digits", n_params=n).d_opt == pytest.approx(
            tokens, rel=5e-3
        )
    # Their printed table has 9.2B: the rounded coefficients miss it.
    assert predict("chinchilla:hoffmann", n_params=400e6).d_opt == pytest.approx(14.5e9, rel=5e-3)
    assert predict("chinchilla:hoffmann", flops=2.21e19).n_opt == pytest.approx(326e6, rel=5e-3)


@pytest.mark.parametrize(
    ("constants", "share", "best"),
    [
        ("hoffmann-three-digits", 0.174, None),
        ("hoffmann", 0.091, 0.101),
        ("besiroglu", 0.278, 0.290),
    ],
)
def test_a_7b_model_in_the_place_of_a_13b_one_serving_2t_tokens(
    constants: str, share: float, best: float | None
) -> None:
    """Sardana et al. (2024) print 17%; the rest computed from the published coefficients."""
    law = published_fit(f"chinchilla:{constants}")
    large = answer(law, Question(n_params=13e9))
    small = answer(law, Question(n_params=7e9, loss=large.own("loss")))
    totals = [a.own("flops") + 2 * a.own("n") * 2e12 for a in (large, small)]
    assert 1 - totals[1] / totals[0] == pytest.approx(share, abs=6e-4)
    if best is not None:
        assert lifetime(law, large.own("flops"), 2e12).saving == pytest.approx(best, abs=6e-4)


@pytest.mark.parametrize(("constants", "times"), [("hoffmann-unrounded", 5.77), ("besiroglu", 12.65)])
def test_what_demand_llama_3_8b_reveals(constants: str, times: float) -> None:
    """8B parameters on 15T tokens, by Sardana et al.'s first-order condition; computed independently."""
    law = published_fit(f"chinchilla:{constants}")
    assert revealed_demand(law, law.params_P, 8e9, 15e12) / 15e12 == pytest.approx(times, rel=2e-3)
    assert planned_run(law, n_params=8e9, tokens=15e12).revealed_demand == pytest.approx(
        times * 15e12, rel=2e-3
    )


def test_the_revealed_demand_is_the_inverse_of_the_lifetime() -> None:
    law = published_fit(BESIROGLU)
    found = lifetime(law, 1e22, 3e11)
    assert revealed_demand(law, law.params_P, found.n, found.d) == pytest.approx(3e11, rel=0.02)
    n, d = map(float, law.allocate(1e22))
    assert revealed_demand(law, law.params_P, n, d) == pytest.approx(0, abs=1e-5 * d)
    assert revealed_demand(law, law.params_P, 2 * n, d / 2) < 0


def test_a_smaller_model_pays_from_the_demand_that_is_said() -> None:
    law = published_fit(BESIROGLU)
    n = float(law.allocate(1e22)[0])
    rows = smaller_models(law, 1e22)
    assert len(rows) >= 3
    for row in rows:
        served = row.pays_from
        assert row.training_flops + 2 * row.n * served == pytest.approx(1e22 + 2 * n * served, rel=1e-6)
        assert float(law.predict(row.n, row.d)) == pytest.approx(
            float(law.predict(n, 1e22 / 6 / n)), abs=1e-9
        )


@settings(max_examples=25, deadline=None)
@given(
    log_c=st.floats(19, 25),
    factor=st.floats(0.2, 5),
    constants=st.sampled_from([BESIROGLU, "chinchilla:sardana", "gadre:c4", "muennighoff"]),
)
def test_every_question_of_one_run_has_one_answer(log_c: float, factor: float, constants: str) -> None:
    """The optimum asked for by its loss, size or tokens; a run by any two of its quantities."""
    law = published_fit(constants)
    optimum = answer(law, Question(flops=10**log_c))
    n, d, loss = optimum.own("n"), optimum.own("d"), optimum.own("loss")
    for asked in (Question(loss=loss), Question(n_params=n), Question(tokens=d)):
        again = answer(law, asked)
        assert again.own("flops") == pytest.approx(10**log_c, rel=2e-3)
    n = n * factor
    run = answer(law, Question(n_params=n, tokens=d))
    own = {"n_params": n, "tokens": d, "flops": run.own("flops"), "loss": run.own("loss")}
    for pair in (("n_params", "flops"), ("tokens", "flops"), ("n_params", "loss"), ("tokens", "loss")):
        again = answer(law, Question(**{name: own[name] for name in pair}))
        assert again.own("n") == pytest.approx(n, rel=1e-6)
        assert again.own("d") == pytest.approx(d, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(log_c=st.floats(18, 25), step=st.floats(1.1, 10), served=st.floats(9, 14))
def test_monotonicity(log_c: float, step: float, served: float) -> None:
    """More compute: a larger size, more tokens, a lower loss. More use: a smaller model, more in all."""
    law = published_fit(BESIROGLU)
    low, high = (answer(law, Question(flops=C)) for C in (10**log_c, step * 10**log_c))
    assert high.own("n") > low.own("n")
    assert high.own("d") > low.own("d")
    assert high.own("loss") < low.own("loss")
    less, more = (lifetime(law, 10**log_c, T) for T in (10**served, step * 10**served))
    assert more.n <= less.n
    assert more.total_flops > less.total_flops


def test_intervals_hold_the_answers_to_every_question(drawn: LawFit) -> None:
    at = predict(drawn, 1e21)
    questions: tuple[dict[str, Any], ...] = (
        {"loss": at.loss},
        {"n_params": at.n_opt},
        {"tokens": at.d_opt},
    )
    for asked in questions:
        found = predict(drawn, **asked)
        assert found.flops == pytest.approx(1e21, rel=2e-3)
        low, high = found.flops_interval or (None, None)
        assert low is not None
        assert high is not None
        assert low < found.flops < high
    assert at.flops_interval is None
    run = planned_run(drawn, n_params=1e9, tokens=2e10)
    assert run.n_interval is None
    assert run.d_interval is None
    low, high = run.loss_interval or (None, None)
    assert low is not None
    assert high is not None
    assert low < run.loss < high
    life = lifetime(drawn, 1e21, 1e11)
    for value, span in ((life.n, life.n_interval), (life.saving, life.saving_interval)):
        low, high = span or (None, None)
        assert low is not None
        assert high is not None
        assert low <= value <= high
        assert low < high


def test_repetition() -> None:
    """Muennighoff et al. (2023): 4 epochs are worth 3.73 U, 16 epochs 10.58 U, the limit is 16.39 U."""
    law = published_fit("muennighoff")
    U, N = 1e10, 1e8  # a size for which U is more than enough: no excess parameters
    for epochs, worth in ((4, 3.73), (16, 10.58), (1e4, 16.39)):
        repeated = float(law.predict(N, epochs * U, U))
        fresh = float(law.predict(N, worth * U, worth * U))
        assert repeated == pytest.approx(fresh, abs=2e-4)


def test_limited_data() -> None:
    law = published_fit("muennighoff")
    found = data_limit(law, 1e22, 1e10)
    assert found.epochs > 4
    assert found.n < 1e22 / 6 / 1e10
    assert found.fresh_loss < found.loss < found.by_epochs[0].loss
    assert min(each.loss for each in found.by_epochs) >= found.loss
    assert 0 < found.growth < 1
    plenty = data_limit(law, 1e20, 1e13)
    assert plenty.one_epoch is None
    assert plenty.loss == pytest.approx(plenty.fresh_loss, abs=1e-6)
    with pytest.raises(UserError, match="knows fresh tokens only"):
        data_limit(published_fit(BESIROGLU), 1e22, 1e10)


def test_published_constants_answer_however_far_and_say_how_far() -> None:
    found = predict(BESIROGLU, 1e27)
    assert found.extrapolation == pytest.approx(1e27 / 1.3e22)
    assert any("7.69e+04 times beyond the fitted budgets" in line for line in found.warnings)
    assert any("no intervals" in line for line in found.notes)


def test_side_by_side() -> None:
    law = published_fit(BESIROGLU)
    found = side_by_side(law, BESIROGLU, Question(loss=1.75))
    by_name = {each.name: each for each in found}
    assert next(iter(by_name)) == BESIROGLU
    assert "irreducible loss" in (by_name[BESIROGLU].reason or "")
    assert by_name["chinchilla:sardana"].reason is None
    assert "kaplan_compute:kaplan" not in by_name
    assert len(by_name) == len(found)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "nothing asked: give one of --flops, --loss, --n-params, --tokens"),
        ({"flops": 1e22, "loss": 2.0}, "a small model and a large one"),
        ({"flops": 1e22, "n_params": 1e9, "tokens": 1e12}, "two of them determine the run"),
        ({"flops": 6666.0}, "give FLOPs, not PF-days; 6666 PF-days are 5.759e+23"),
        ({"n_params": 7.0}, "give parameters, not billions; 7 billions are 7e+09"),
        ({"n_params": 7e9, "tokens": 1400.0}, "give tokens, not billions; 1400 billions are 1.4e+12"),
        ({"loss": 1.2}, "at or below the fit's irreducible loss 1.817"),
        ({"loss": 20.0}, "if it is a perplexity, give its logarithm, 2.996"),
        ({"loss": 1.9, "tokens": 1e9}, "on so many tokens the loss stays above 2.88"),
        ({"loss": 1.9, "n_params": 1e8}, "a model of that size stays above a loss of 2.61"),
        ({"tokens": -1.0}, "--tokens -1.0: give a positive number of tokens"),
    ],
)
def test_what_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as refused:
        (planned_run if len(asked) == 2 else predict)(BESIROGLU, **asked)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("chinchilla", "several sets of constants: choose one of chinchilla:besiroglu"),
        ("chinchilla:mine", "no constants 'chinchilla:mine': choose one of"),
        ("skaling", "skaling has no published constants: fit it"),
        ("nobody", "no fit nobody: make one"),
        ("chinchila:besiroglu", "no fit chinchila:besiroglu (perhaps chinchilla:besiroglu): make one"),
        ("chinchilla:besiroglo", "no constants 'chinchilla:besiroglo' (perhaps besiroglu): choose one of"),
    ],
)
def test_names_nobody_knows(name: str, said: str) -> None:
    with pytest.raises(UserError) as refused:
        predict(name, 1e20)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("name", "point", "value"),
    [
        # goldens of Kaplan et al. (2020); public copies that take PF-days for FLOPs get .237
        ("kaplan_compute:kaplan", {"flops": 1e21}, 2.352),
        ("kaplan_compute:kaplan-naive", {"flops": 1e21}, 2.239),
        ("kaplan:kaplan", {"n_params": 1.5e9, "tokens": 2.2e10}, 2.3125),
        # Muennighoff et al. (2023): 178e9 tokens in 7 epochs; a public thread prints 2.2377
        ("muennighoff", {"n_params": 8.7e9, "tokens": 178e9, "U": 178e9 / 7}, 2.2261),
    ],
)
def test_a_law_is_evaluated_without_a_table(name: str, point: dict[str, float], value: float) -> None:
    given_ = {symbol: x for symbol, x in point.items() if symbol == "U"}
    known = (point.get("n_params"), point.get("tokens"), point.get("flops"))
    found = evaluated(published_fit(name), *known, given_)
    assert found.value == pytest.approx(value, abs=6e-4)
    assert found.target == "loss"


def test_an_input_that_the_formula_needs_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"Dc/D\)\^alpha_D: give --n-params$"):
        evaluated(published_fit("kaplan:kaplan"), None, 1e10, None, {})
    with pytest.raises(UserError, match=r"on the envelope: give --flops$"):
        evaluated(published_fit("kaplan_compute:kaplan"), None, None, None, {})


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        (BESIROGLU, {"G": 3.0}, "chinchilla has no such input; it has none besides N and D"),
        ("krajewski", {"g": 3.0}, r"--with g \(perhaps G\): krajewski has no such input; it has G"),
        ("krajewski", {"G": float("nan")}, "--with G=nan: give a positive number"),
        ("abnar", {"density": 1.5}, "--with density=1.5: give a positive number, at most 1; density: 1 - S"),
        ("clark:s-base", {"E": 0.5}, "--with E=0.5: give a positive number, at least 1"),
        ("muennighoff", {"U": 25.4}, "--with U 25.4: give tokens, not billions"),
        ("performance", {"layers": 0.0}, "--with layers=0: give a positive number; layers: layers"),
    ],
)
def test_inputs_that_cannot_be_are_refused(name: str, given: dict[str, float], words: str) -> None:
    with pytest.raises(UserError, match=words):
        evaluated(published_fit(name), 1e9, 1e11, None, given)


def test_a_budget_alone_is_split_as_the_law_does_at_its_inputs() -> None:
    """As `compare_at_equal_flops` spends it; a run off that split has a higher loss."""
    law, inputs = published_fit("krajewski"), {"G": 8.0}
    found = evaluated(law, None, None, 1e21, inputs)
    spent = compare_at_equal_flops(law, 1e21, given=inputs).a
    assert found.best_split
    assert (found.inputs["N"], found.inputs["D"], found.value) == pytest.approx(
        (spent.n, spent.d, spent.loss)
    )
    for factor in (0.7, 1.4):
        assert evaluated(law, factor * spent.n, None, 1e21, inputs).value > found.value


def test_a_prediction_beyond_the_sources_runs_says_how_far() -> None:
    (far,) = evaluated(published_fit("muennighoff"), 1e12, 1e14, None, {}).warnings
    assert "times beyond the fitted budgets" in far


def test_what_a_source_leaves_open_carries_no_extrapolation() -> None:
    """The runs of Tao et al. do not tell a2: `docs/not-reproducible.md`."""
    tao = published_fit("vocabulary:tao")
    with pytest.raises(UserError, match="a2 not identified by the runs of vocabulary's source: no ext"):
        predict(tao, 1e23)
    assert any("read these numbers as a guess" in w for w in predict(tao, 1e23, force=True).warnings)
    assert any("read these numbers as a guess" in w for w in evaluated(tao, 1e9, 2e10, None, {}).warnings)


@pytest.mark.parametrize("name", published_names())
def test_every_published_set(name: str) -> None:
    found = published_fit(name)
    assert all(math.isfinite(value) for value in found.params.values() if value is not None)
    assert found.is_published
    assert LawFit.from_json(found.to_json()).params == found.params
    if found.law and found.exponents["a"] is not None:
        n = found.optimum(np.array([1e20, 1e22]), found.params_P)
        slope = np.log(n[1] / n[0]) / np.log(100)
        assert slope == pytest.approx(found.exponents["a"], abs=1e-9)


def test_options_are_those_of_the_command() -> None:
    assert set(OPTIONS) == set(Question.__dataclass_fields__)
