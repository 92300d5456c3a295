"""Measurements on the kept models of a small real sweep, against what is known of them otherwise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from isoflop.base.errors import UserError
from isoflop.commands.evaluate import run as command
from isoflop.evals.degradation import change_matrices
from isoflop.evals.measurement import load_measurement, measurements
from isoflop.evals.pruning import prune
from isoflop.evals.run import Evaluated
from isoflop.evals.trained_model import TrainedModel
from isoflop.models import build
from isoflop.models.rounding import levels_of, quantize
from isoflop.running import evaluate
from isoflop.sweeps.kept_models import kept_models
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.step import programs
from tests.support.in_process import Runner
from tests.support.small import small_model, small_sweep
from tests.support.tables import read_rows

WINDOWS = 64
"""As many as give the run table's loss."""
NEED_PROBLEMS = ("attempts", "difficulty", "exact-match", "revision", "search")
"""Measurements of models that solve problems: test_countdown_search.py, test_exact_match.py and
test_revision.py have them."""


@pytest.fixture(scope="session")
def trained(source_name: str, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of three models of two widths on one trunk each, all kept."""
    config = small_sweep(source_name, budgets=(1e8, 2e8), ladder=(8, 16), sizes=2, centre_width=8, keep="all")
    folder = tmp_path_factory.mktemp("evals") / "kept"
    Runner(corpus)(config, folder)
    return folder


ASKS_FOR = {"recall": "synthetic:facts,facts=60,answers=5,exponent=1"}
"""By measurement, the corpus of the models that it is for; others take any."""


@pytest.fixture(scope="session")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], TrainedModel]:
    """One small kept model of the synthetic corpus of that name."""

    @cache
    def train(source: str) -> TrainedModel:
        folder = tmp_path_factory.mktemp("evals") / "kept"
        config = small_sweep(source, budgets=(1e8,), ladder=(8,), sizes=1, centre_width=8, keep="all")
        Runner(prepare(source, "bytes"))(config, folder)
        return kept_models(folder)[0][0]

    return train


SMALLER: dict[str, dict[str, Any]] = {
    "adapters": {
        "windows": 16,
        "tune_windows": 16,
        "tokens": (256,),
        "ranks": (1, 2),
        "rates": (0.01,),
        "adapter_rates": (0.01,),
    },
    "serving": {
        "batch": (2,),
        "prompt": (4,),
        "output": 2,
        "weights": ("int8",),
        "rounds": 3,
        "stream_megabytes": 1.0,
    },
}
"""By measurement, options with which it is quick; `windows` of others."""


def rows_of(found: Evaluated) -> list[dict[str, str]]:
    """The table, read back."""
    return read_rows(found.table.parent, found.table.name)


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to write to."""
    return Path(shutil.copytree(trained, tmp_path / "kept"))


@pytest.fixture(scope="session")
def model(trained: Path) -> TrainedModel:
    """One of its models."""
    return kept_models(trained)[0][0]


def test_losses_by_position_average_to_the_run_tables_loss(folder: Path) -> None:
    """And the models are those of the run table, in its order."""
    found = evaluate(folder, "positions", windows=WINDOWS)
    rows, runs = rows_of(found), read_rows(folder)
    assert (found.models, found.measured, found.rows) == (len(runs), len(runs), 32 * len(runs))
    assert list(dict.fromkeys(row["cell_id"] for row in rows)) == [run["cell_id"] for run in runs]
    for run in runs:
        own = [row for row in rows if row["cell_id"] == run["cell_id"]]
        assert [int(row["position"]) for row in own] == list(range(1, 33))
        assert np.mean([float(row["loss"]) for row in own]) == pytest.approx(float(run["loss"]), rel=1e-6)
        for column in ("n_params_non_embedding", "n_tokens", "flops", "d_model", "init_seed"):
            assert {row[column] for row in own} == {run[column]}


@pytest.mark.parametrize("name", [name for name in measurements() if name not in NEED_PROBLEMS])
def test_every_measurement_fills_a_table(
    name: str, model: TrainedModel, trained_on: Callable[[str], TrainedModel]
) -> None:
    """Whatever its file: its default options can be had, and its rows have the same columns."""
    measurement = load_measurement(name)
    if name in ASKS_FOR:
        with pytest.raises(UserError, match=f"--data {ASKS_FOR[name].partition(',')[0]}"):
            measurement.refuse(model, measurement.options())
        model = trained_on(ASKS_FOR[name])
    assert measurement.title
    options = measurement.options(**SMALLER.get(name, {"windows": 16}))
    if hasattr(options, "data"):
        options = replace(options, data=model.recipe.data.source)  # for the other domain's
    rows, again = measurement.rows(model, options), measurement.rows(model, options)
    assert rows
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    for row in (*rows, *again):
        for column in measurement.timed:
            assert float(row.pop(column)) >= 0
    assert again == rows  # bit for bit, what is no time


def test_a_table_stopped_halfway_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undisturbed = evaluate(folder, "positions", windows=16, table="undisturbed").table.read_text()
    measured: list[int] = []

    def stop_at_the_second(done: int, total: int) -> None:
        measured.append(done)
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(folder, "positions", windows=16, on_model=stop_at_the_second)
    table = folder / "evals" / "positions.csv"
    assert len({row["cell_id"] for row in read_rows(folder / "evals", table.name)}) == 1
    torn = next((table.with_suffix("") / "cells").iterdir())
    found = evaluate(folder, "positions", windows=16)
    assert found.measured == found.models - 1
    assert table.read_text() == undisturbed
    torn.write_text('[{"cell_id"')  # measured again, like one that is missing
    assert evaluate(folder, "positions", windows=16).measured == 1
    assert table.read_text() == undisturbed


def test_other_options_are_refused_and_kept_apart_by_name(folder: Path) -> None:
    evaluate(folder, "quantization", bits=(8,), windows=16)
    with pytest.raises(UserError, match=r"measured with bits .*8.* and not .*8, ?4.*: give this one another"):
        evaluate(folder, "quantization", bits=(8, 4), windows=16)
    with pytest.raises(UserError, match="another measurement, quantization"):
        evaluate(folder, "pruning", table="quantization")
    apart = evaluate(folder, "quantization", bits=(8, 4), windows=16, table="two-widths")
    assert apart.table == folder / "evals" / "two-widths.csv"
    assert apart.rows == 2 * apart.models


def test_a_table_older_than_an_option_goes_on_with_its_default(folder: Path) -> None:
    first = evaluate(folder, "quantization", bits=(8,), windows=16)
    record = folder / "evals" / "quantization" / "options.json"
    known = json.loads(record.read_text())
    assert known["options"].pop("embeddings") is False
    record.write_text(json.dumps(known))
    assert evaluate(folder, "quantization", bits=(8,), windows=16).rows == first.rows
    with pytest.raises(UserError, match="embeddings False and not True"):
        evaluate(folder, "quantization", bits=(8,), windows=16, embeddings=True)


OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Options:
    power: int = 1

def measure(model, options):
    '''The count of parameters, to a power.'''
    return [{'answer': COUNT * options.power}]
"""


def test_a_file_of_ones_own_measures_too(folder: Path, tmp_path: Path) -> None:
    own = tmp_path / "my_count.py"
    own.write_text(OWN.replace("COUNT", "model.recipe.ledger.params('total')"))
    found = evaluate(folder, str(own), power=2)
    for row in rows_of(found):
        assert int(row["answer"]) == 2 * int(row["n_params_total"])
    assert found.table.name == "my-count.csv"
    own.write_text(OWN.replace("COUNT", "float('nan')"))
    with pytest.raises(UserError, match="other code of that name"):
        evaluate(folder, str(own), power=2)
    with pytest.raises(UserError, match=r"answer of \w+ is nan: a column holds finite numbers or text"):
        evaluate(folder, str(own), table="again")
    own.write_text("def measure(model, options): ...")
    with pytest.raises(UserError, match="has no Options"):
        evaluate(folder, str(own))


def test_models_that_were_not_kept_are_named_with_the_option_that_keeps_them(folder: Path) -> None:
    models, _ = kept_models(folder)
    shutil.rmtree(models[0].checkpoint.parent)
    found = evaluate(folder, "positions", windows=16)
    assert found.models == len(models) - 1
    assert found.warnings == (
        "1 finished models were not kept, and are not in the table: a sweep keeps all by --keep all",
    )
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(
        UserError, match=r"none of the \d models of .* was kept .*: a sweep keeps them by --keep"
    ):
        evaluate(folder, "positions", windows=16)
    with pytest.raises(UserError, match="is not a sweep's folder"):
        evaluate(folder / "cells", "positions")


def test_the_command_says_what_it_measured(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = [str(folder), "quantization", "--bits", "4", "--windows", "16"]
    assert command([*line, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["measurement"], said["measured"], said["rows"]) == (
        "quantization",
        said["models"],
        said["models"],
    )
    assert command(line) == 0
    out = capsys.readouterr().out
    assert f"{said['models']} models, 0 of them measured now" in out
    assert f"isoflop fit {folder}/evals/quantization.csv --metric loss_increase" in out


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["quantization", "--bits", "1"], "bits 1: must be at least 2"),
        (["quantization", "--bits", "4", "33"], "bits 33: must be at most 16"),
        (["quantization", "--bits", "4", "4"], "bits 4, 4: give each once"),
        (["quantization", "--bits", "x"], "--bits x: must be a whole number"),
        (["pruning", "--sparsities", "1"], "sparsities 1.0: must be below 1"),
        (["positions", "--windows", "0"], "--windows 0: must be at least 1"),
        (["positions", "--windows", "100000"], "held-out windows|heldout windows"),
        (["serving", "--batch", "0"], "--batch 0: must be at least 1"),
        (["serving", "--batch", "2", "2"], "batch 2, 2: give each once"),
        (["serving", "--output", "3"], "--output 3: must be a multiple of 2"),
        (["serving", "--prompt", "17"], "16 tokens after a prompt of 17 are 33, and the context of .* is 32"),
        (["serving", "--weights", "int4"], "--weights int4: .*fp32.*bf16.*int8"),
        (["no-such"], "unknown measurement 'no-such': known are .*positions, pruning"),
        ([], "which measurement\\? Known are .*attempts, coord"),
    ],
)
def test_bad_options_are_refused_in_one_line(line: list[str], message: str, trained: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        command([str(trained), *line])
    assert "\n" not in str(caught.value)
    assert not list(trained.glob("evals/*.csv"))


def test_options_that_measured_nothing_bind_nobody(folder: Path) -> None:
    with pytest.raises(UserError, match=r"\d windows|asked for"):
        evaluate(folder, "positions", windows=100_000)
    assert evaluate(folder, "positions", windows=16).measured > 0


def test_rounding_is_exact_where_the_matrix_has_few_values() -> None:
    """Integers times a step a column, of which the largest is 2^(bits - 1) - 1: nothing changes."""
    draw = np.random.default_rng(0)
    whole = draw.integers(-7, 8, (30, 5))
    whole[0] = 7
    matrix = jnp.float32(whole * np.array([0.5, 1.0, 2.0, 0.25, 8.0]))
    np.testing.assert_array_equal(quantize(matrix, levels_of(4)), matrix)
    halved = np.asarray(quantize(jnp.float32([[3.0, 0.0], [1.4, 0.0], [-1.6, 0.0]]), levels_of(3)))
    np.testing.assert_allclose(halved, [[3.0, 0.0], [1.0, 0.0], [-2.0, 0.0]])
    for bits in (2, 3, 8):
        noise = jnp.float32(draw.standard_normal((40, 6)))
        rounded = np.asarray(quantize(noise, levels_of(bits)))
        step = np.abs(noise).max(axis=0) / (2 ** (bits - 1) - 1)
        assert (np.abs(rounded - noise) <= step / 2 * (1 + 1e-5)).all()
        assert max(len(np.unique(column)) for column in rounded.T) <= 2**bits - 1


@pytest.mark.parametrize("sparsity", [0.0, 0.25, 0.5, 0.9])
def test_pruning_takes_the_smallest_of_each_matrix(sparsity: float) -> None:
    stack = jnp.float32(np.random.default_rng(0).permutation(120).reshape(2, 6, 10) - 60.0)
    pruned = np.asarray(prune(stack, sparsity))
    for before, after in zip(np.asarray(stack), pruned, strict=True):
        kept = np.argsort(np.abs(before).ravel(), kind="stable")[round(sparsity * 60) :]
        expected = np.zeros(60)
        expected[kept] = before.ravel()[kept]
        np.testing.assert_array_equal(after.ravel(), expected)
    ties = np.asarray(prune(jnp.ones((4, 4)), 0.25))
    assert (ties == 0).sum() == 4


def test_the_matrices_that_change_are_those_of_blocks_and_head() -> None:
    config = small_model(8, experts=2, context_length=8)
    params = nnx.state(build(config, seed=0), nnx.Param)

    def changed(embeddings: bool) -> set[str]:
        after = change_matrices(params, lambda x: x + 1, embeddings=embeddings)
        moved = nnx.to_flat_state(after)
        before = dict(nnx.to_flat_state(params))
        names = {path: [str(part) for part in path if str(part) != "kernel"][-1] for path in before}
        return {names[path] for path, x in moved if (x[...] != before[path][...]).any()}

    assert changed(False) == {"qkv", "out", "up", "down", "head"}
    assert changed(True) - changed(False) == {"embedding"}


def test_coordinates_are_what_training_moved(model: TrainedModel) -> None:
    """Nothing, of a model as it is initialized; logits start at zero, so that theirs are the whole logits."""
    tokens = jnp.asarray(model.windows(4)[:, :-1])
    now = nnx.merge(model.graph, model.params)
    coordinates = load_measurement("coordinates")
    (row,) = coordinates.rows(model, coordinates.options(windows=4))
    assert row["logits_change"] == pytest.approx(float(jnp.sqrt(jnp.mean(now(tokens) ** 2))), rel=1e-5)
    assert 0 < float(row["features_change"]) < 2  # of vectors of root mean square 1
    untrained = copy(model)
    untrained.__dict__["params"] = programs(model.recipe).init(model.recipe.init_seed).params
    assert coordinates.rows(untrained, coordinates.options(windows=4)) == [
        {"features_change": pytest.approx(0, abs=1e-5), "logits_change": 0.0}
    ]
