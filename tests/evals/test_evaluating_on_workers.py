"""Measurements of kept models on workers: the same table whatever becomes of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from isoflop.base.errors import UserError
from isoflop.commands.evaluate import run as command
from isoflop.running import evaluate
from isoflop.sweeps import stage
from isoflop.sweeps.launchers import Launcher
from isoflop.sweeps.queue.heartbeats import read_heartbeats
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data.corpus import Corpus
from tests.support.in_process import InProcess, Runner
from tests.support.small import small_sweep
from tests.support.tables import read_rows

OWN = """
import os, signal, time
from dataclasses import dataclass
from pathlib import Path

@dataclass(frozen=True)
class Options:
    place: str = ""
    powers: tuple[int, ...] = (1, 2)

def measure(model, options):
    '''Parameters to some powers. The first worker that comes is killed in the middle.'''
    if options.place:
        try:
            (Path(options.place) / "killed").mkdir()
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    total = model.recipe.ledger.params('total')
    return [{"power": power, "answer": total**power} for power in options.powers]
"""
FAILING = OWN.replace("    total =", "    assert model.recipe.model.width < 16, 'too wide'\n    total =")


@pytest.fixture(scope="module")
def trained(source_name: str, corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of two models of two widths, kept."""
    config = small_sweep(source_name, budgets=(1e8,), ladder=(8, 16), sizes=2, centre_width=8, keep="all")
    folder = tmp_path_factory.mktemp("evals") / "kept"
    Runner(corpus)(config, folder)
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """A copy of it, to write to."""
    return Path(shutil.copytree(trained, tmp_path / "kept"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A measurement of the user's own."""
    path = tmp_path / "my_powers.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The local launcher's workers are this process."""
    monkeypatch.setattr(stage, "POLL_SECONDS", 0.0)

    def open_here(store: Store, options: WorkerOptions, options_text: str = "") -> Launcher:
        return InProcess(store, options, [], lambda task: None)

    monkeypatch.setattr("isoflop.sweeps.evaluate.load_launcher", lambda name, options: open_here)


@pytest.mark.slow
def test_a_killed_workers_model_is_taken_over(folder: Path, own: Path, tmp_path: Path) -> None:
    """By real workers, on a file of the user's own, which they have a copy of."""
    undisturbed = evaluate(folder, str(own), place="", table="undisturbed").table.read_text()
    found = evaluate(folder, str(own), place=str(tmp_path), workers=2, table="disturbed")
    assert (tmp_path / "killed").exists()
    assert found.table.read_text() == undisturbed
    assert (found.measured, found.models) == (2, 2)
    assert not read_heartbeats(folder / "evals" / "disturbed" / "workers")
    # The next command finds it done, and starts nobody.
    assert evaluate(folder, str(own), place=str(tmp_path), workers=2, table="disturbed").measured == 0


@pytest.mark.usefixtures("here")
def test_workers_give_the_table_of_one_process(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    alone = evaluate(folder, "quantization", bits=(4,), windows=16, table="alone").table.read_text()
    progress: list[tuple[int, int]] = []
    shared = evaluate(
        folder, "quantization", bits=(4,), windows=16, launcher="local",
        on_model=lambda done, total: progress.append((done, total)),
    )  # fmt: skip
    assert shared.table.read_text() == alone
    assert (progress[0], progress[-1]) == ((0, 2), (2, 2))
    # What is torn is measured again, like what is missing.
    record = next((folder / "evals" / "quantization" / "cells").iterdir())
    record.write_text('[{"cell_id"')
    line = [str(folder), "quantization", "--bits", "4", "--windows", "16", "--workers", "2"]
    assert command(line) == 0
    assert "2 models, 1 of them measured now" in capsys.readouterr().out
    assert shared.table.read_text() == alone


@pytest.mark.usefixtures("here")
def test_models_that_cannot_be_measured_are_named_when_the_others_are_done(folder: Path, own: Path) -> None:
    own.write_text(FAILING)
    with pytest.raises(UserError, match=r"could not be measured.*: AssertionError: too wide$"):
        evaluate(folder, str(own), workers=1)
    measured = {row["cell_id"] for row in read_rows(folder / "evals", "my-powers.csv")}
    assert measured == {run["cell_id"] for run in read_rows(folder) if int(run["d_model"]) < 16}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--workers", "0"], "workers 0: must be at least 1"),
        (["--workers", "two"], "--workers two: must be a whole number"),
        (["--launcher", "moon"], "unknown launcher 'moon'"),
        (["--launcher-options", "workers=2"], "of which launcher\\? Say --launcher too"),
        (["--launcher", "local", "--launcher-options", "cores=2"], "unknown option 'cores' of the launcher"),
        (["--workers", "2", "--lease-seconds", "0"], "lease"),
        (["--workers", "2", "--platform", "tpu"], "platform tpu was asked for"),
    ],
)
def test_bad_options_of_workers_are_refused_in_one_line(line: list[str], message: str, trained: Path) -> None:
    with pytest.raises(UserError, match=message) as caught:
        command([str(trained), "positions", "--windows", "16", *line])
    assert "\n" not in str(caught.value)
    assert not list(trained.glob("evals/*.csv"))
