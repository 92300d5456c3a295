"""Fixed, tied and shared parameters: the law of what is left, what it recovers, and what is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from isoflop.__main__ import _run
from isoflop.analysis import (
    FitOptions,
    LawFit,
    RunTable,
    UserError,
    check_coverage,
    compete,
    find_law,
    fit,
    known_laws,
    report,
    rolling,
    table_of,
)
from isoflop.analysis.laws.constrained import Form, constrain, form_of
from isoflop.analysis.laws.evaluate import decoded, encoded, evaluate
from isoflop.commands.fit_text import fit_lines
from tests.support.law_points import D0, N0, inputs, inside
from tests.support.surfaces import BESIROGLU
from tests.support.true_laws import TRUTH, isoflop, simulate, spread

FAST = FitOptions(bootstrap=0, starts=64)
OFFSETS = {"c4": 0.0, "rp": 0.3}


def fast(**asked: object) -> FitOptions:
    """The cheapest options, and what is asked for."""
    return dataclasses.replace(FAST, **asked)


@pytest.fixture(scope="module")
def noisy() -> RunTable:
    return table_of(simulate(*spread(), 0.01, 0))


def two_groups(sd: float = 0.0, exponent: float = 0.3478) -> RunTable:
    """Besiroglu's law for one text; for the other E is .3 higher, and alpha may differ."""
    parts = []
    for seed, (name, more) in enumerate(OFFSETS.items()):
        frame = simulate(*isoflop(4, 6), 0.0, 0)
        truth = BESIROGLU + np.array([more, 0, 0, 0, 0])
        if name == "rp":
            truth[2] = exponent
        clean = evaluate(find_law("chinchilla"), truth, frame["n_params"], frame["n_tokens"])
        noise = np.exp(sd * np.random.default_rng(seed).standard_normal(len(frame)))
        parts.append(frame.assign(loss=clean * noise, text=name))
    return table_of(pd.concat(parts, ignore_index=True))


@pytest.fixture(scope="module")
def shared() -> LawFit:
    return fit(two_groups(0.003), FitOptions(bootstrap=40, starts=64, share=("alpha,beta",), by="text"))


@pytest.mark.parametrize("name", known_laws())
def test_every_law_can_have_its_first_and_its_last_parameter_fixed(name: str) -> None:
    law, params = find_law(name), inside(find_law(name))
    for p in (0, len(params) - 1):
        found = constrain(law, ((law.parameters[p], float(params[p])),), ())
        free = np.delete(params, p)
        np.testing.assert_allclose(found.map.full(free), params, rtol=1e-12)
        theta = encoded(found.law, free, (N0, D0))
        np.testing.assert_allclose(decoded(found.law, theta, (N0, D0)), free, rtol=1e-9)
        at = inputs(law, np.array([1e8, 1e9]), np.array([1e10, 5e10]))
        np.testing.assert_allclose(evaluate(found.law, free, *at), evaluate(law, params, *at), rtol=1e-12)
        if law.allocate and found.law.allocate:
            there = law.allocate(params, np.array(1e21))
            assert found.law.allocate(free, np.array(1e21)) == pytest.approx(there)


def test_constraints_that_leave_as_many_free_share_a_program() -> None:
    law = find_law("chinchilla")
    fixed = [
        constrain(law, ((name, value),), ()).law for name, value in (("alpha", 0.3), ("E", 1.7), ("E", 1.8))
    ]
    tied = constrain(law, (), (("alpha", "beta"),)).law
    forms = {form_of(each)[0] for each in (*fixed, tied)}
    assert forms == {Form(law, free=4, passes=1)}
    assert form_of(constrain(law, (("E", 1.7), ("alpha", 0.3)), ()).law)[0].free == 3
    assert form_of(law) == (Form(law), None)


def test_what_is_left_is_recovered_without_noise() -> None:
    table = table_of(simulate(*isoflop(), 0.0, 0))
    found = fit(table, fast(fix=("alpha=0.3478", "B=2085.43")))
    np.testing.assert_allclose(found.params_P, TRUTH["chinchilla"], rtol=1e-5)
    assert found.trusted
    assert set(found.identified) == {"E", "A", "beta", "a", "b"}


def test_a_tie_of_the_exponents_is_the_law_of_one_exponent(noisy: RunTable) -> None:
    tied, gadre = fit(noisy, fast(tie=("alpha=beta",))), fit(noisy, fast(law="gadre"))
    assert tied.objective is not None
    assert gadre.objective is not None
    assert tied.objective.value == pytest.approx(gadre.objective.value, rel=1e-9)
    for name in ("E", "A", "B", "alpha"):
        assert tied.params[name] == pytest.approx(gadre.params[name], rel=1e-5)
    assert tied.params["beta"] == tied.params["alpha"]
    assert tied.conventions.residual_log_sd == pytest.approx(gadre.conventions.residual_log_sd, rel=1e-6)
    assert tied.constraints is not None
    assert tied.constraints.tied == {"beta": "alpha"}


def test_skaling_with_k_of_one_is_chinchilla(noisy: RunTable) -> None:
    held, plain = fit(noisy, fast(law="skaling", fix=("k=1",))), fit(noisy, FAST)
    for name in plain.params:
        assert held.params[name] == pytest.approx(plain.params[name], rel=1e-4)


def test_intervals_leave_out_what_is_fixed_and_come_back_from_json(noisy: RunTable) -> None:
    found = fit(noisy, fast(bootstrap=40, fix=("E=1.8172",)))
    back = LawFit.from_json(json.loads(json.dumps(found.to_json())))
    assert back.intervals is not None
    assert back.intervals.params["E"] == (None, None)
    low, high = back.intervals.params["alpha"]
    assert low is not None
    assert high is not None
    assert low < 0.3478 < high
    assert float(back.predict(1e9, 2e10)) == pytest.approx(float(found.predict(1e9, 2e10)))
    assert np.all(back.draws_BxP[:, 0] == 1.8172)
    assert any("E " in str(line) and "fixed" in str(line) for line in fit_lines(back))


def test_the_sensitivity_is_that_of_refits(noisy: RunTable) -> None:
    """N_opt and the loss at ten times the largest budget, with E a step less and a step more."""
    found = fit(noisy, fast(fix=("E=1.75",)))
    assert found.constraints is not None
    (moved,) = found.constraints.sensitivity
    assert moved.step_is == "standard error"
    assert moved.flops == pytest.approx(10 * noisy.C_R.max())
    again = fit(noisy, fast(fix=(f"E={1.75 - moved.step!r}",)))
    n, d = again.allocate(moved.flops)
    assert moved.n_opt[0] == pytest.approx(float(n), rel=1e-6)
    assert moved.loss[0] == pytest.approx(float(again.predict(n, d)), abs=1e-7)
    n, d = found.allocate(moved.flops)
    assert (moved.n_opt[1], moved.loss[1]) == pytest.approx((float(n), float(found.predict(n, d))), rel=1e-6)


class TestShared:
    def test_every_group_is_recovered_without_noise(self) -> None:
        found = fit(two_groups(), fast(share=("alpha,beta",), by="text"))
        assert found.trusted
        for name, more in OFFSETS.items():
            np.testing.assert_allclose(
                found.group(name).params_P, BESIROGLU + np.array([more, 0, 0, 0, 0]), rtol=1e-4
            )

    def test_each_group_predicts_by_its_own_law(self, shared: LawFit) -> None:
        back = LawFit.from_json(json.loads(json.dumps(shared.to_json())))
        assert set(back.params) == {"E[c4]", "A[c4]", "alpha", "B[c4]", "beta", "E[rp]", "A[rp]", "B[rp]"}
        one, other = (back.group(name) for name in OFFSETS)
        assert (one.n_runs, len(one.params)) == (24, 5)
        assert one.params["alpha"] == other.params["alpha"] == back.params["alpha"]
        assert float(other.predict(1e9, 2e10) - one.predict(1e9, 2e10)) == pytest.approx(0.3, abs=0.01)
        assert one.exponents["a"] == pytest.approx(back.exponents["a"])
        assert one.draws_BxP.shape == (40, 5)

    def test_without_a_group_nothing_is_predicted(self, shared: LawFit) -> None:
        with pytest.raises(UserError, match="choose one with --group: c4, rp"):
            shared.predict(1e9, 2e10)
        with pytest.raises(UserError, match="--group x: no such group; there are c4, rp"):
            shared.group("x")

    def test_groups_that_differ_in_what_they_share_are_a_misfit(self, shared: LawFit) -> None:
        assert shared.misfit is not None
        assert not shared.misfit.rejected
        unlike = fit(two_groups(0.003, exponent=0.42), fast(share=("alpha,beta",), by="text"))
        assert unlike.misfit is not None
        assert unlike.misfit.rejected

    def test_held_out_runs_are_scored_by_their_own_group(self) -> None:
        found = fit(two_groups(), fast(share=("alpha,beta",), by="text", holdout=5e20))
        assert found.holdout is not None
        assert found.holdout.n_held_out == 12
        assert found.holdout.mean_abs_error == pytest.approx(0, abs=1e-4)


REFUSED = [
    ({"fix": ("E=-1",)}, "--fix E=-1: chinchilla takes values of at least 0"),
    ({"fix": ("A=-3",)}, "--fix A=-3: chinchilla takes values above 0"),
    ({"fix": ("alpha=99",)}, "--fix alpha=99: chinchilla takes values from -2 to 8"),
    ({"fix": ("zeta=1",)}, "--fix zeta: chinchilla has no such parameter; it has E, A, alpha, B, beta"),
    ({"fix": ("E=1.6,E=1.7",)}, "--fix E: two values, 1.6 and 1.7"),
    ({"fix": ("E",)}, "fix E: must be a name and a number, as E=1.6"),
    ({"fix": ("E=x",)}, "fix E=x: must be a name and a number"),
    ({"fix": ("E=1,A=9,alpha=.3,B=9,beta=.3",)}, "every parameter of chinchilla is fixed or tied"),
    ({"tie": ("alpha=zeta",)}, "--tie zeta: chinchilla has no such parameter"),
    ({"tie": ("alpha",)}, "tie alpha: must be two names"),
    ({"tie": ("A=alpha",)}, "A is an amplitude and alpha an exponent: tie parameters of one kind"),
    ({"tie": ("alpha=beta",), "fix": ("alpha=.3",)}, "alpha is fixed already; --fix beta=0.3 instead"),
    ({"tie": ("alpha=alpha",)}, "a parameter is equal to itself"),
    ({"tie": ("alpha=beta",), "approach": 2}, "are for approach 3"),
    ({"share": ("alpha",)}, "--share without --by"),
    ({"by": "text"}, "--by without --share"),
    ({"share": ("alpha",), "by": "nowhere"}, "--by nowhere: .* has no such column; it has n_params"),
    ({"share": ("zeta",), "by": "text"}, "--share zeta: chinchilla has no such parameter"),
]


@pytest.mark.parametrize(("asked", "why"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_refused(asked: dict[str, object], why: str) -> None:
    with pytest.raises(UserError, match=why.replace("(", r"\(")):
        fit(two_groups(), fast(**asked))


def test_a_group_with_too_few_runs_is_refused() -> None:
    table = two_groups()
    few = table.where((table.frame["text"] != "rp").to_numpy() | (np.arange(len(table)) < 26))
    with pytest.raises(UserError, match=r"group rp has 2 distinct .* for 3 parameters of its own"):
        fit(few, fast(share=("alpha,beta",), by="text"))
    one = table.where((table.frame["text"] == "c4").to_numpy())
    with pytest.raises(UserError, match="all runs are of one group, c4"):
        fit(one, fast(share=("alpha",), by="text"))


@pytest.mark.parametrize("further", ["--compete", "--rolling", "--check-coverage"])
def test_what_needs_one_law_refuses_shared_parameters_before_the_fit(
    further: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    two_groups().frame.to_csv(runs := tmp_path / "runs.csv", index=False)
    monkeypatch.setattr("isoflop.analysis.fit", lambda *_: pytest.fail("fitted"))
    assert _run(["fit", str(runs), "--share", "alpha,beta", "--by", "text", further]) == 2
    assert capsys.readouterr().err == (
        f"isoflop: {further} takes no --share: it needs one law for all runs; choose one group instead, as "
        "in --where text=NAME\n"
    )


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (compete, "--compete"),
        (rolling, "--rolling"),
        (check_coverage, "--check-coverage"),
        (report, "a report"),
    ],
)
def test_functions_that_need_one_law_refuse_shared_parameters(use: Any, what: str) -> None:
    with pytest.raises(UserError, match=f"{what} takes no --share: .* --where text=NAME"):
        use(two_groups(), options=fast(share=("alpha",), by="text"))


def test_a_constrained_law_competes_beside_the_free_one(noisy: RunTable) -> None:
    found = compete(noisy, fast(fix=("E=1.8172",)), ("chinchilla",))
    free = {row.name: row.parameters for row in found.rows if row.kind == "law"}
    assert free == {"chinchilla": 5, "chinchilla with E = 1.8172": 4}


def test_the_command_line_takes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = tmp_path / "runs.csv", tmp_path / "out"
    two_groups(0.003).frame.to_csv(runs, index=False)
    asked = ["--share", "alpha", "--share", "beta", "--by", "text", "--fix", "E[c4]=1.8", "--bootstrap", "0"]
    assert _run(["fit", str(runs), *asked, "--starts", "32", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "shared      alpha, beta by text: c4 (24 runs), rp (24 runs)" in printed
    assert "E[c4] = 1.8; " in printed
    assert _run(["predict", str(out), "--flops", "1e21"]) == 2
    assert "choose one with --group: c4, rp" in capsys.readouterr().err
    assert _run(["predict", str(out), "--flops", "1e21", "--group", "rp"]) == 0
