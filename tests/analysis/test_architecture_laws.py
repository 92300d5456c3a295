"""Laws of experts, sparsity, low precision and distillation: published figures, blind spots, recovery."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from isoflop.analysis import FitOptions, RunTable, UserError, find_law, fit, load_runs, table_of
from isoflop.analysis.laws import busbridge, clark, krajewski, kumar
from isoflop.analysis.laws.evaluate import evaluate
from isoflop.analysis.laws.experts import active_parameters
from isoflop.analysis.published import published_fit
from isoflop.analysis.solver.search import covariates
from isoflop.analysis.sources.public import clark as clark_runs
from tests.support.optional import lacking
from tests.support.true_laws import spread

KRAJEWSKI, DENSE = published_fit("krajewski"), published_fit("chinchilla:krajewski-dense")
ABNAR, KUMAR = published_fit("abnar"), published_fit("kumar")


class TestPublishedFigures:
    """Values of published constants; where a figure is the paper's, the test says so."""

    @pytest.mark.parametrize(
        ("name", "inputs", "loss"),
        [
            ("krajewski", (1.6e9, 16e9, 1.0), 3.210),
            ("krajewski", (1.6e9, 16e9, 8.0), 3.081),
            ("chinchilla:krajewski-dense", (1.6e9, 16e9), 2.949),
            ("abnar", (1e9, 2e10, 1.0), 2.5657),
            ("abnar", (1e9, 2e10, 0.1), 2.7019),
            ("clark:s-base", (1.3e8, 1.3e11, 64.0), 2.389),
        ],
    )
    def test_losses(self, name: str, inputs: tuple[float, ...], loss: float) -> None:
        assert float(published_fit(name).predict(*inputs)) == pytest.approx(loss, abs=6e-4)

    def test_weights_of_four_bits_are_worth_three_quarters_of_their_number(self) -> None:
        """Kumar et al. (2024), gamma_w 2.6745: 77.6% of N."""
        assert float(kumar.effective_share(np.array(2.6745), 4.0)) == pytest.approx(0.776, abs=5e-4)

    def test_training_flops_grow_with_the_bits(self) -> None:
        """Kumar et al. (2024): C = (6/16) N D P."""
        assert kumar.flops_per_token(1e9, 8.0, 8.0, 8.0) * 2e10 == pytest.approx(6 / 16 * 1e9 * 2e10 * 8)
        assert float(KUMAR.cost(np.array(1e9))) == pytest.approx(6e9)

    @pytest.mark.parametrize("name", ["s-base", "rl-r", "hash"])
    def test_effective_parameters_are_the_dense_model_of_equal_loss(self, name: str) -> None:
        fitted = published_fit(f"clark:{name}")
        N, E = np.array([3e7, 1e9]), np.array([64.0, 8.0])
        dense = clark.effective_parameters(fitted.params_P, N, E)
        np.testing.assert_allclose(fitted.predict(dense, 1.3e11, 1.0), fitted.predict(N, 1.3e11, E))
        beyond = 2 * clark.cutoff(fitted.params_P)
        assert fitted.predict(beyond, 1.3e11, 64.0) > fitted.predict(beyond, 1.3e11, 1.0)

    def test_cutoffs_are_lost_to_rounding(self) -> None:
        """Clark et al. (2022) print 937B, 85B, 83B; three digits of b and c give 1,000B, 32B, 215B."""
        found = [clark.cutoff(published_fit(f"clark:{name}").params_P) for name in ("s-base", "rl-r", "hash")]
        np.testing.assert_allclose(found, [1e12, 3.16e10, 2.15e11], rtol=5e-3)


class TestOptimalPrecision:
    def test_three_equal_gammas(self) -> None:
        """e^x = 1 + 3 x at x = 1.904: the optimum is 1.904 gamma, 5.1 bits at Kumar et al.'s gamma_w."""
        assert kumar.optimal_bits((1.0, 1.0, 1.0)) == pytest.approx(1.904, abs=5e-4)
        assert kumar.optimal_bits((2.6745,) * 3) == pytest.approx(5.09, abs=0.01)

    def test_the_printed_optimum_does_not_follow(self) -> None:
        """The paper's 7 to 8 bits would need a gamma of 3.7 to 4.2, above each of its three."""
        gammas = tuple(KUMAR.params_P[5:])
        assert kumar.optimal_bits(gammas) < kumar.optimal_bits((max(gammas),) * 3) < 5.2

    def test_is_what_a_search_finds_at_every_budget(self) -> None:
        gammas = tuple(KUMAR.params_P[5:])
        P = np.linspace(2, 8, 601)
        for C in (1e19, 1e23):
            N = np.sqrt(C / 120) * np.geomspace(0.05, 20, 401)[:, None]
            losses = KUMAR.predict(N, C / (6 / 16 * N * P), P, P, P)
            assert P[np.argmin(losses.min(axis=0))] == pytest.approx(kumar.optimal_bits(gammas), abs=0.02)


class TestBlindSpots:
    def test_dense_is_lower_at_equal_total_parameters(self) -> None:
        N, D = np.geomspace(1e8, 1e10, 9), 16e9
        assert np.all(DENSE.predict(N, D) < KRAJEWSKI.predict(N, D, 64.0))
        # Far beyond the runs the printed exponents cross: no claim about large models follows from either.
        assert KRAJEWSKI.predict(1e11, D, 64.0) < DENSE.predict(1e11, D)

    def test_experts_are_lower_at_equal_flops(self) -> None:
        N, D = np.geomspace(1e9, 1e12, 7), 16e9
        dense = krajewski.flops_per_token(N, 8.0) / 6
        assert np.all(dense < N / 30)
        assert np.all(KRAJEWSKI.predict(N, D, 8.0) < DENSE.predict(dense, D))

    def test_one_expert_is_a_dense_model(self) -> None:
        assert active_parameters(1e9, 1.0) == pytest.approx(1e9)
        assert krajewski.flops_per_token(1e9, 1.0, 1.0) == pytest.approx(6e9, rel=0.02)

    def test_a_published_law_of_experts_is_planned_by_the_flops_of_a_token(self) -> None:
        n, d = KRAJEWSKI.allocate(1e21)
        assert krajewski.flops_per_token(n, 1.0) * d == pytest.approx(1e21)
        assert n * d * 6 > 30e21

    def test_a_distilled_student_is_never_below_its_teacher(self) -> None:
        taught = published_fit("busbridge")
        teacher = np.linspace(1.8, 3.5, 30)
        assert np.all(taught.predict(1e10, 1e12, teacher, 1.9) >= teacher)
        alone = float(busbridge.supervised_loss(np.array(5e8), np.array(2e10)))
        losses = taught.predict(5e8, 2e10, teacher, alone)
        assert 0 < int(np.argmin(losses)) < 29  # too good a teacher teaches less

    def test_sixteen_and_thirty_two_bits_are_alike(self) -> None:
        at = (np.array(1e8), np.array(2e9))
        wide, half = (float(KUMAR.predict(*at, *(np.array(bits),) * 3)) for bits in (32.0, 16.0))
        assert half == pytest.approx(wide, abs=2e-3)


def drawn(column: str, choices: tuple[float, ...], R: int, seed: int) -> np.ndarray:
    """A covariate's value for each of R runs."""
    return np.random.default_rng([seed, len(column)]).choice(choices, R)


RECOVERED = {
    "krajewski": ("krajewski", {"granularity": (1, 2, 4, 8, 16, 32)}),
    "clark": ("clark:rl-r", {"experts": (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)}),
    "abnar": ("abnar", {"density": (0.02, 0.05, 0.1, 0.25, 0.5, 1)}),
    "kumar": ("kumar", dict.fromkeys(("bits_weights", "bits_activations", "bits_kv"), (3, 4, 6, 8, 16))),
    "kumar_post_training": ("kumar_post_training", {"bits_post": (3, 4, 5, 6)}),
    "busbridge": ("busbridge", {"teacher_loss": (1.9, 2.1, 2.4, 2.8, 3.3), "supervised_loss": (0,)}),
}
"""By law the published set that is the truth, and the values of its covariates."""


@pytest.mark.parametrize("name", RECOVERED)
def test_recovery(name: str) -> None:
    """Runs without noise give their parameters back, certified."""
    published, covariates_of = RECOVERED[name]
    law, truth = find_law(name), published_fit(published).params_P
    R = 150
    N, D = spread(R)
    columns = {
        column: drawn(column, values, R, k) for k, (column, values) in enumerate(covariates_of.items())
    }
    if name == "busbridge":
        columns["supervised_loss"] = busbridge.supervised_loss(N, D)
    loss = evaluate(law, truth, N, D, *columns.values())
    frame = pd.DataFrame({"n_params": N, "n_tokens": D, **columns, "loss": loss})
    metric = law.target if law.target != "loss" else None
    table = (
        table_of(frame)
        if metric is None
        else load_runs(frame.rename(columns={"loss": metric}), metric=metric)
    )
    found = fit(table, FitOptions(law=name, bootstrap=0, starts=48))
    assert found.certificate is not None
    assert found.certificate.status == "certified"
    np.testing.assert_allclose(found.params_P, truth, rtol=2e-3)


class TestColumns:
    """Where a table has a covariate in another form."""

    @pytest.mark.parametrize(
        ("law", "columns", "found"),
        [
            ("abnar", {"sparsity": [0.0, 0.75]}, [[1.0, 0.25]]),
            ("abnar", {"experts": [1, 8], "experts_per_token": [1, 2]}, [[1.0, 0.25]]),
            ("kumar", {"dtype": ["float32", "bfloat16"]}, [[32.0, 16.0]] * 3),
            ("kumar", {"bits": [4, 8], "bits_kv": [16, 16]}, [[4.0, 8.0], [4.0, 8.0], [16.0, 16.0]]),
            ("kumar", {"weight_bits": [0, 4], "dtype": "float32"}, [[32.0, 4.0], [32.0] * 2, [32.0] * 2]),
            ("clark", {"experts": [1, 8]}, [[1.0, 8.0]]),
        ],
    )
    def test_are_derived(self, law: str, columns: dict, found: list) -> None:
        table = table_of(pd.DataFrame({"n_params": [1e8, 2e8], "n_tokens": 2e9, "loss": 3.0, **columns}))
        np.testing.assert_allclose(covariates(table, find_law(law)), found)

    def test_what_is_no_number_of_bits_is_refused(self) -> None:
        table = table_of(pd.DataFrame({"n_params": [1e8], "n_tokens": 2e9, "loss": 3.0, "dtype": ["posit"]}))
        with pytest.raises(UserError, match="bits_weights must be a positive number in every row"):
            covariates(table, find_law("kumar"))

    def test_a_law_without_its_column_is_refused(self) -> None:
        table = table_of(pd.DataFrame({"n_params": [1e8], "n_tokens": 2e9, "loss": 3.0}))
        with pytest.raises(UserError, match="krajewski needs granularity"):
            covariates(table, find_law("krajewski"))

    def test_active_parameters_can_be_counted(self) -> None:
        frame = pd.DataFrame(
            {"n_params_total": [4e8], "n_params_active": [1e8], "n_tokens": 2e9, "flops": 1.2e18, "loss": 3.0}
        )
        assert load_runs(frame, count="active").N_R.tolist() == [1e8]
        assert load_runs(frame, count="total").N_R.tolist() == [4e8]


def test_runs_of_clark_et_al(tmp_path: Path) -> None:
    path = tmp_path / "curves.csv.gz"
    head = (
        "hyper_id,step,loss_c4,loss_validation,num_experts,d_model,num_blocks,flop_increase,k,router_type,seed,"
        "routing_frequency,total_parameter_count,dense_parameter_count,flops_per_step\n"
    )
    rows = (
        "7,250000,2.9,,8,512,8,1.0,1,Hash,42,0.5,1e9,1e8,2e14\n"
        "7,10000,3.9,3.6,8,512,8,1.0,1,Hash,42,0.5,1e9,1e8,2e14\n"
        "7,249000,2.9,2.6,8,512,8,1.0,1,Hash,42,0.5,1e9,1e8,2e14\n"
        "9,249000,3.1,2.8,1,512,8,1.0,1,Dense,42,0.5,1e8,1e8,2e14\n"
    )
    path.write_bytes(gzip.compress((head + rows).encode()))
    found = clark_runs.convert([path])
    assert found["name"].tolist() == ["run 7", "run 9"]
    row = found.iloc[0]
    assert (row["router"], row["experts"], row["n_params"], row["loss"]) == ("Hash", 8, 1e8, 2.6)
    assert row["n_tokens"] == 249000 * 2**19
    assert row["flops"] == pytest.approx(3 * 2e14 * 249000)


@pytest.fixture(scope="module")
def routed() -> RunTable:
    """The 223 runs of `public:clark`, from the user's own cache; the test skips where it isn't."""
    home = Path.home() / ".cache" / "isoflop"
    if not (home / "public" / "clark" / "curves.csv.gz").is_file():
        lacking("clark")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ISOFLOP_CACHE", str(home))
        return load_runs("public:clark", where="routing_frequency=0.5,experts_per_token=1,seed=42")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("router", "runs", "b", "c", "printed", "here", "squares"),
    [
        ("S-Base", 58, -0.1180, 0.0099, 937e9, 783e9, 0.003203),
        ("RL-R", 59, -0.1234, 0.0112, 85e9, 97.1e9, 0.003262),
        ("Hash", 56, -0.1384, 0.0126, 83e9, 89.3e9, 0.002640),
    ],
)
def test_the_runs_of_clark_et_al(
    routed: RunTable,
    router: str,
    runs: int,
    b: float,
    c: float,
    printed: float,
    here: float,
    squares: float,
) -> None:
    """docs/laws-architecture.md: the optimum on the released runs, and the size where experts stop to pay."""
    table = routed.where(np.isin(routed.frame["router"], [router, "Dense"]))
    found = fit(table, FitOptions(law="clark", loss="mse", starts=64, bootstrap=200))
    assert found.n_runs == runs
    assert found.certificate is not None
    assert found.certificate.status == "certified"
    assert found.params_P[1:3] == pytest.approx([b, c], abs=6e-5)
    assert found.objective is not None
    assert found.objective.value == pytest.approx(squares, rel=1e-3)
    assert clark.cutoff(found.params_P) == pytest.approx(here, rel=2e-3)
    low, high = np.quantile(clark.cutoff(found.draws_BxP.T), [0.025, 0.975])
    assert low < printed < high
    told = published_fit(f"clark:{router.lower()}")
    missed = np.log(table.loss_R / told.predict(table.N_R, table.D_R, table.frame["experts"].to_numpy(float)))
    assert found.objective.value < float(missed @ missed) < 6 * found.objective.value
