"""Laws of what is trained on: vocabularies, mixtures, skills of Zipf's frequencies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import zeta

from isoflop.analysis import FitOptions, UserError, compete, find_law, fit
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.laws.vocabulary import ALPHA, BILLION, BY_SIZE, THEIR_TOKENS, best_vocabulary
from isoflop.analysis.laws.vocabulary import B as PRINTED_B
from isoflop.analysis.planning.mixture import best_shares
from isoflop.analysis.published import find_published
from isoflop.commands import fit as fit_command
from tests.support.law_runs import crossed, runs_of

ONE, TWENTY = np.array([1e9]), np.array([2e10])
TAO = np.array(find_published("vocabulary:tao")[1].params)
THREE = "mixture(web,code,books)"


def drawn_shares(names: str, R: int) -> pd.DataFrame:
    """R mixtures spread evenly over all, a third of them without the first domain."""
    shares_RxK = np.random.default_rng(0).dirichlet(np.ones(len(names.split())), R)
    shares_RxK[: R // 3, 0] = 0.0
    shares_RxK /= shares_RxK.sum(axis=1, keepdims=True)
    frame = pd.DataFrame(shares_RxK, columns=[f"share_{name}" for name in names.split()])
    return frame.assign(n_params=1e9, n_tokens=2e10)


def vocabularies() -> pd.DataFrame:
    """Five vocabularies at five sizes and four horizons, H rising by a quarter nat a doubling."""
    frame = crossed(
        n_params=np.geomspace(6e7, 2e9, 5),
        ratio=np.geomspace(5, 80, 4),
        vocab_size=4096.0 * 2 ** np.arange(5),
    )
    d_model = 1.484 * np.cbrt(frame["n_params"])
    frame = frame.assign(
        n_tokens=frame["n_params"] * frame["ratio"],
        d_model=d_model,
        unigram_loss=6.4 + 0.25 * np.log2(frame["vocab_size"] / 4096),
    )
    possible = frame["vocab_size"] * d_model < 0.8 * frame["n_params"]
    return frame.loc[possible].reset_index(drop=True)


CASES = {
    "mixture": ((1.4, 1.2, -3.0), crossed(n_params=ONE, n_tokens=TWENTY, share=np.linspace(0, 1, 12))),
    THREE: ((1.4, 1.2, -3.0, 1.5), drawn_shares("web code books", 24)),
    "mixture(a,b,c,d,e)": ((1.2, 1.5, -3.0, -1.0, 0.5, 1.0), drawn_shares("a b c d e", 40)),
    "bimix": (
        (1.6, 900.0, 0.35, 0.08),
        crossed(n_params=ONE, n_tokens=np.geomspace(1e9, 1e11, 6), share=np.geomspace(0.05, 0.8, 6)),
    ),
    "quantization": (
        (1.8, 40.0, 60.0, 0.3),
        crossed(n_params=np.geomspace(1e7, 1e10, 7), n_tokens=np.geomspace(1e9, 3e12, 9)),
    ),
    "vocabulary": (tuple(TAO), vocabularies()),
}
"""A law's true parameters, and runs as its `needs` describes them."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_law_is_recovered_and_identified_by_what_it_needs(name: str) -> None:
    law, (truth, design) = find_law(name), CASES[name]
    exact = fit(runs_of(name, np.array(truth), design, 0.0), law=name, bootstrap=0, starts=32)
    np.testing.assert_allclose(exact.params_P, truth, rtol=1e-4)
    sd = 0.003
    noisy = fit(runs_of(name, np.array(truth), design, sd), law=name, bootstrap=0, starts=32, loss="mse")
    assert noisy.certificate is not None
    assert noisy.certificate.status == "certified"
    assert all(noisy.identified[parameter] for parameter in law.parameters)
    inputs = [design["n_params"], design["n_tokens"], *(design[c.column] for c in law.covariates)]
    error = np.log(evaluate(law, noisy.params_P, *inputs) / evaluate(law, np.array(truth), *inputs))
    assert np.sqrt(np.mean(error**2)) < 2 * sd * np.sqrt(len(truth) / len(design))
    assert not [line for line in noisy.warnings if "search over learning rates" in line]


class TestMixture:
    """Ye et al. (2024), equation 7."""

    def test_shares_of_five_domains_are_five_columns_less_one(self) -> None:
        law = find_law("mixture(a,b,c,d,e)")
        assert [covariate.column for covariate in law.covariates] == [
            "share_a",
            "share_b",
            "share_c",
            "share_d",
        ]
        assert find_law("mixture(a, b,c,d,e)").parameters == law.parameters

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("mixture(web)", "two different domains or more"),
            ("mixture(web,web)", "two different domains or more"),
            ("mixture(web,)", "two different domains or more"),
            ("chinchilla(web,code)", "chinchilla takes nothing in parentheses"),
            ("mixtur(web,code)", "unknown law 'mixtur'"),
        ],
    )
    def test_other_arguments_are_refused(self, name: str, says: str) -> None:
        with pytest.raises(UserError, match=says):
            find_law(name)

    def test_one_mixture_identifies_nothing(self) -> None:
        design = drawn_shares("web code books", 1).loc[np.zeros(12, dtype=int)].reset_index(drop=True)
        found = fit(
            runs_of(THREE, np.array(CASES[THREE][0]), design, 0.003), law=THREE, bootstrap=0, starts=16
        )
        assert not any(found.identified[name] for name in find_law(THREE).parameters)

    def test_the_best_mixture_is_the_least_of_all(self) -> None:
        """Losses on two texts, one helped by web and one by code: the best shares beat 5,000 others."""
        design = drawn_shares("web code books", 24)
        truths = {"prose": [1.5, 1.2, -3.0, 0.5], "source": [0.8, 1.5, 0.3, -4.0]}
        fits = [
            (fit(runs_of(THREE, np.array(p), design, 0.0), law=THREE, bootstrap=0, starts=16), 1.0)
            for p in truths.values()
        ]
        best = best_shares(fits)
        assert sum(best.values()) == pytest.approx(1)
        others = np.random.default_rng(1).dirichlet(np.ones(3), 5000)
        law = find_law(THREE)
        losses = np.sum(
            [evaluate(law, np.array(p), 1e9, 2e10, *others.T[:2]) for p in truths.values()], axis=0
        )
        least = sum(
            float(evaluate(law, np.array(p), 1e9, 2e10, best["web"], best["code"])) for p in truths.values()
        )
        assert least <= losses.min()
        assert least == pytest.approx(losses.min(), abs=0.01)
        only = best_shares(fits[:1])
        assert only["web"] == pytest.approx(1, abs=1e-6)
        with pytest.raises(UserError, match="these are chinchilla, mixture"):
            best_shares([*fits, (fit(chinchilla_runs(), bootstrap=0, starts=16), 1.0)])
        with pytest.raises(UserError, match="positive numbers"):
            best_shares([(fits[0][0], 0.0)])

    def test_the_command_fits_each_text(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        frame = runs_of(THREE, np.array(CASES[THREE][0]), drawn_shares("web code books", 24), 0.0)
        frame = frame.rename(columns={"loss": "loss_code"}).assign(loss=3.0)
        frame.to_csv(tmp_path / "mixtures.csv", index=False)
        given = ["--law", THREE, "--metric", "loss_code", "--bootstrap", "0", "--json"]
        assert fit_command.run([str(tmp_path / "mixtures.csv"), *given]) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["params"]["t_web"] == pytest.approx(-3, rel=1e-3)
        assert said["law"] == THREE


def chinchilla_runs() -> pd.DataFrame:
    design = crossed(n_params=np.geomspace(1e8, 1e10, 4), n_tokens=np.geomspace(1e9, 1e11, 4))
    return runs_of("chinchilla", np.array([1.8, 480.0, 0.35, 2100.0, 0.37]), design, 0.0)


class TestVocabulary:
    """Tao et al. (2024); sail-sg/scaling-with-vocab at 6701cc2."""

    @pytest.mark.parametrize(
        ("V", "d", "characters", "body"), [(4096, 512, 3.25e9, 33222784.0), (32768, 1024, 2.5e10, 302e6)]
    )
    def test_printed_form(self, V: float, d: float, characters: float, body: float) -> None:
        """Their formula in their units: millions of parameters, and billions of their tokens, which are
        characters times the ratio at V/1000; with real tokens the same but for that ratio's spread.
        """

        def ratio(v: float) -> float:
            return 0.00639222 * np.log(v) ** 2 - 0.15811069 * np.log(v) + 1.20470122

        theirs = characters * ratio(V / 1000) / 1e9
        printed = (
            1.8313851559554126 / (body / 1e6) ** 0.44660634152009615
            + 0.19584238398665638 / (V * d / 1e6) ** 0.6707374679896795
            + 2.1241123120064955 / theirs**0.44660634152009615
            - 5.5327846803337435
        )
        ours = evaluate(find_law("vocabulary"), TAO, body + V * d, theirs * 1e9 / THEIR_TOKENS, V, d, 0.0)
        assert float(ours) == pytest.approx(printed, rel=1e-9)
        real = evaluate(find_law("vocabulary"), TAO, body + V * d, characters * ratio(V), V, d, 0.0)
        assert float(real) == pytest.approx(printed, abs=0.06)

    def test_a_vocabulary_of_their_own_approaches(self) -> None:
        """At 7e9 other parameters and their best budget: 243.9M by the constants as they use them (their
        optimal_Nv_predict.py), 276.3M by the rule of size; a third more where B is for real tokens.
        """
        C = (7e9 / np.exp(-2.4846510161625193)) ** 2
        as_used = TAO.copy()
        as_used[5] = PRINTED_B * BILLION**ALPHA
        assert best_vocabulary(as_used, 7e9, C) == pytest.approx(243.9e6, rel=1e-3)
        assert best_vocabulary(TAO, 7e9, C) == pytest.approx(325.6e6, rel=1e-3)
        scale, base, power = BY_SIZE
        assert scale * (7e9 / base) ** power == pytest.approx(276.3e6, rel=1e-3)

    @pytest.mark.parametrize(("body", "C"), [(1e8, 1e19), (3e9, 1e22)])
    def test_the_best_vocabulary_is_the_least_loss(self, body: float, C: float) -> None:
        found = best_vocabulary(TAO, body, C)
        Nv = found * np.array([0.9, 1.0, 1.1])
        loss = evaluate(find_law("vocabulary"), TAO, body + Nv, C / (6 * (body + Nv)), Nv, 1.0, 7.2)
        assert loss[1] < min(loss[0], loss[2])

    def test_larger_bodies_deserve_larger_vocabularies_but_less_than_in_proportion(self) -> None:
        body = np.array([1e8, 1e9, 1e10])
        best = [best_vocabulary(TAO, n, 120 * n**2) for n in body]
        growth = np.diff(np.log(best)) / np.diff(np.log(body))
        assert np.all((growth > 0.6) & (growth < 1))


class TestZipf:
    """Skills with frequencies i^-1.2: size exponent .2, data exponent 1 - 1/1.2 = .1667, N_opt ~ C^.4545.

    Michaud et al. (2023); the figures are those of NicolasZucchet/Tutorial-scaling-laws.
    """

    @staticmethod
    def sweep() -> pd.DataFrame:
        """IsoFLOPs of a learner that knows the N most frequent skills, each once it was seen; noise .1%.

        The loss is one nat and the frequencies of what is not known: of skill i, p_i exp(-D p_i) or p_i.
        """
        C, ratio = (x.ravel() for x in np.meshgrid(np.geomspace(1e10, 1e16, 7), np.geomspace(0.03, 30, 9)))
        N = ratio * 3 * (C / 6) ** 0.4545
        D = C / (6 * N)
        skill = np.geomspace(0.5, 1e16, 8001)
        p = skill**-1.2 / zeta(1.2)
        beyond = 1e16**-0.2 / 0.2 / zeta(1.2)
        unknown = [
            np.trapezoid(p * skill * np.where(skill <= n, np.exp(-d * p), 1.0), np.log(skill)) + beyond
            for n, d in zip(N, D, strict=True)
        ]
        noise = np.exp(0.001 * np.random.default_rng(0).standard_normal(len(N)))
        loss = (1 + np.array(unknown)) * noise
        return pd.DataFrame({"n_params": N, "n_tokens": D, "budget": C, "loss": loss})

    def test_the_exponents_are_recovered(self) -> None:
        frame = self.sweep()
        parabolas = fit(frame, approach=2, bootstrap=0)
        assert parabolas.exponents["a"] == pytest.approx(0.4545, abs=0.02)
        found = fit(frame, law="maximum", bootstrap=0, starts=64)
        assert found.params["alpha"] == pytest.approx(0.2, abs=0.02)
        assert found.params["beta"] == pytest.approx(0.1667, abs=0.02)
        assert found.exponents["a"] == pytest.approx(0.4545, abs=0.02)
        tied = fit(frame, law="quantization", bootstrap=0, starts=64)
        assert tied.params["alpha"] == pytest.approx(0.2, abs=0.02)
        assert tied.exponents["a"] == pytest.approx(1 / 2.2, abs=0.005)

    def test_the_additive_form_is_wrong_about_them(self) -> None:
        """Skills are short of size or of data, not of both: the sum of two terms has another split."""
        frame = self.sweep()
        found = compete(frame, FitOptions(bootstrap=0), laws=["chinchilla", "maximum", "quantization"])
        errors = {row.name: row.mean_abs_error for row in found.rows}
        assert max(errors["maximum"], errors["quantization"]) < errors["chinchilla"] / 3
        additive = fit(frame, bootstrap=0, starts=64).exponents["a"]
        assert additive is not None
        assert additive < 0.35
