"""Tables from Weights & Biases and from public repositories, with stand-ins for both: no network."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from isoflop.analysis import UserError, load_runs
from isoflop.analysis.sources import public
from isoflop.analysis.sources.public import (
    chinchilla,
    datablations,
    gadre,
    known_tables,
    olmo_ladder,
    read_public,
)
from isoflop.analysis.sources.public.table import PublicTable


def run(number: int, state: str = "finished", **summary: Any) -> SimpleNamespace:
    """A run as W&B's public API gives it."""
    N = 1e7 * 2**number
    return SimpleNamespace(
        id=f"run{number}",
        state=state,
        config={"model": {"n_layers": 2}, "n_params": N, "lr": 1e-3, "loss": 99.0, "tags": ["a"]},
        summary={"n_tokens": 20 * N, "loss": 3.0 - 0.1 * number, "_step": 7, **summary},
    )


class StandIn:
    """A W&B whose `Api().runs` answers with these runs, or raises this."""

    def __init__(self, answer: list | Exception) -> None:
        self.answer, self.asked = answer, []

    def Api(self, timeout: int | None = None) -> StandIn:
        return self

    def runs(self, path: str, filters: dict, per_page: int, lazy: bool) -> list:
        self.asked.append((path, filters))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def stand_in(monkeypatch: pytest.MonkeyPatch, answer: list | Exception) -> StandIn:
    found = StandIn(answer)
    monkeypatch.setitem(sys.modules, "wandb", found)
    return found


def test_runs_of_a_project_are_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [
        run(0),
        run(1),
        run(2),
        run(3, "crashed"),
        run(4, "running"),
        run(5, status="diverged", reason="NaN"),
    ]
    wandb = stand_in(monkeypatch, runs)
    table = load_runs("wandb:me/scaling/first/try")
    assert wandb.asked == [("me/scaling", {"group": "first/try"})]
    np.testing.assert_allclose(table.N_R, [1e7, 2e7, 4e7])
    np.testing.assert_allclose(table.loss_R, [3.0, 2.9, 2.8])
    assert [each.why for each in table.excluded] == [
        "status crashed",
        "status running",
        "status diverged: NaN",
    ]
    assert table.frame["run"].tolist() == ["run0", "run1", "run2"]
    assert set(table.frame["model.n_layers"]) == {2}
    assert not {"_step", "tags"} & set(table.frame.columns)
    assert table.source == "wandb:me/scaling/first/try"


def test_aliases_hold_in_a_project_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def levanter(number: int) -> SimpleNamespace:
        N = 1e7 * 2**number
        summary = {
            "parameter_count": N, "throughput/total_tokens": 20 * N, "throughput/total_gflops": 120e-9 * N**2,
            "eval/paloma/macro_loss": 3.0, "train/loss": 2.5,
        }  # fmt: skip
        return SimpleNamespace(
            id=f"r{number}", state="finished", config={"trainer": {"seed": 0}}, summary=summary
        )

    wandb = stand_in(monkeypatch, [levanter(0), levanter(1)])
    table = load_runs("wandb:me/levanter")
    assert wandb.asked == [("me/levanter", {})]
    np.testing.assert_allclose(table.C_R, 6 * table.N_R * table.D_R)
    assert table.conventions.columns["loss"] == "eval/paloma/macro_loss"


def test_finished_runs_without_a_result_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = SimpleNamespace(id="sweeper", state="finished", config={}, summary={})
    stand_in(monkeypatch, [run(0), bare, run(1)])
    table = load_runs("wandb:me/scaling")
    assert len(table) == 2
    assert [each.why for each in table.excluded] == ["status incomplete: no loss in its summary or config"]


UsageError = type("UsageError", (Exception,), {})
CommError = type("CommError", (Exception,), {})

REFUSALS = {
    "no login": (UsageError("No API key configured. Use `wandb login` to log in."), "run `wandb login`"),
    "no network": (
        CommError("Failed to execute\nAPI request"),
        "can't be reached .Failed to execute API request",
    ),
    "no project": (ValueError("Could not find project scaling"), "no project me/scaling"),
    "no runs": ([], "has no runs"),
}


@pytest.mark.parametrize(("answer", "says"), REFUSALS.values(), ids=REFUSALS.keys())
def test_what_wandb_refuses_is_one_line(monkeypatch, answer, says: str) -> None:
    stand_in(monkeypatch, answer)
    with pytest.raises(UserError, match=says) as caught:
        load_runs("wandb:me/scaling")
    assert len(str(caught.value).splitlines()) == 1


def test_wandb_absent_or_shadowed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (None, SimpleNamespace()):
        monkeypatch.setitem(sys.modules, "wandb", module)
        with pytest.raises(UserError, match="pip install wandb"):
            load_runs("wandb:me/scaling")


@pytest.mark.parametrize("address", ["", "me", "me/", "/scaling", "/"])
def test_an_address_names_entity_and_project(address: str) -> None:
    with pytest.raises(UserError, match="write wandb:entity/project"):
        load_runs(f"wandb:{address}")


def test_unknown_public_tables_are_answered_with_the_known() -> None:
    with pytest.raises(
        UserError, match="unknown table public:kaplan: known are chinchilla, clark, datablations, gadre"
    ):
        load_runs("public:kaplan")


@pytest.mark.parametrize("name", known_tables())
def test_every_public_table_states_itself(name: str) -> None:
    table: PublicTable = importlib.import_module(f"{public.__name__}.{name}").TABLE
    assert len(table.commit) == 40
    assert {"count_meaning", "loss"} <= set(table.meanings)
    assert all(len(sha256) == 64 and int(sha256, 16) for _, sha256 in table.files)
    assert len({table.file_name(path) for path, _ in table.files}) == len(table.files)


def test_the_figure_of_hoffmann_et_al(tmp_path: Path) -> None:
    path = tmp_path / "figure.csv"
    path.write_text(
        "x,y,color,Model Size,Training FLOP,hex_color,loss\n1,2,#faebdd,6795600349.2,9.99e18,#faebdd,5.0\n"
    )
    (row,) = chinchilla.convert([path]).to_dict("records")
    assert row == {"n_params": 6795600349.2, "flops": 9.99e18, "loss": 5.0}


def notebook(path: Path) -> Path:
    """Two cells with the literals; the second is the one that was fitted. Running it would fail."""
    names = '{{"7m200m100m": {loss}, "2b855b1b25": 3.4, "1b55b5b": 0, "7m1b1bdedup": 1.0}}'
    cell = f"NAMES_TO_VAL_LOSSES = {names}\n"
    maps = 'TOKENS_MAP = {"100m": 0.1, "200m": 0.2}\nPARAMS_MAP = {"7m": 7.1e6, "2b8": 2.81e9}\n1 / 0\n'
    cells = [{"cell_type": "code", "source": [cell.format(loss=loss), maps]} for loss in (9.0, 7.4)]
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": []}, *cells]}))
    return path


def test_run_names_of_muennighoff_et_al(tmp_path: Path) -> None:
    rows = datablations.convert([notebook(tmp_path / "fit.ipynb")])
    assert rows["name"].tolist() == ["7m200m100m", "2b855b1b25"]
    np.testing.assert_allclose(rows["n_params"], [7.1e6, 2.81e9])
    np.testing.assert_allclose(rows["n_tokens"], [2e8, 5.5e10])
    np.testing.assert_allclose(rows["n_tokens_unique"], [1e8, 1.25e9])
    np.testing.assert_allclose(rows["loss"], [7.4, 3.4])


def test_runs_of_gadre_et_al(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    texts = {"c4_val/shard-{0..10}.tar": 3.5, "val_tok_mult/paloma_ptb/1.tar": 4.9}
    results = [{"loss": loss, "val_data": [f"training/eval_data/{text}"]} for text, loss in texts.items()]
    used = {"params": 411, "params_no_embed": 359, "tokens": 2058, "lr": 0.003}
    path.write_text(
        json.dumps({"name": "c4-d=96", "dataset_name": "c4", "hyperparameters": used, "results": results})
    )
    (row,) = gadre.convert([path]).to_dict("records")
    assert (row["n_params"], row["n_tokens"], row["loss"], row["loss_paloma_ptb"]) == (411, 2058, 3.5, 4.9)


def test_runs_of_the_olmo_ladder(tmp_path: Path) -> None:
    names = (
        "_step,eval/c4_en-validation/CrossEntropyLoss,eval/downstream_bpb/arc_easy_test_rc_5shot_bpb,"
        "eval/downstream/arc_easy_test_rc_5shot_len_norm,eval/downstream/boolq_val_rc_5shot_acc,"
        "eval/downstream_soft/boolq_val_rc_5shot_soft,throughput/total_tokens,"
        "throughput/total_training_Gflops,learning_rate_peak,batch_size_in_tokens"
    )
    path = tmp_path / "370M-2xC.csv"
    path.write_text(f"{names}\n1,8.0,2,.25,.5,.5,1e6,1e3,1e-3,5e5\n9,3.5,1,.6,.7,.5,1.5e10,5e10,1e-3,5e5\n")
    (row,) = olmo_ladder.convert([path]).to_dict("records")
    assert (row["name"], row["n_params"], row["n_tokens"], row["flops"]) == (
        "370M-2xC",
        371262464,
        1.5e10,
        5e19,
    )
    assert (row["loss"], row["lr"], row["batch_tokens"]) == (3.5, 1e-3, 5e5)
    assert (row["bits_per_byte_arc_easy_test"], row["accuracy_arc_easy_test"]) == (1, 0.6)
    assert row["accuracy_boolq_val"] == 0.7
    assert "accuracy_soft" not in row


@pytest.fixture
def pooch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SimpleNamespace:
    """A pooch whose web is the folder `web`; `asked` holds the addresses; `fail` is raised instead."""
    found = SimpleNamespace(asked=[], fail=None, web=tmp_path)

    def retrieve(url: str, known_hash: str, fname: str, path: Path, downloader: object) -> str:
        found.asked.append(url)
        if found.fail:
            raise found.fail
        file = found.web / fname
        if f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}" != known_hash:
            raise ValueError(f"SHA256 hash of downloaded file ({fname})\n does not match the known hash")
        return str(file)

    found.retrieve, found.HTTPDownloader = retrieve, lambda timeout: None
    found.get_logger = lambda: SimpleNamespace(setLevel=lambda level: None)
    monkeypatch.setitem(sys.modules, "pooch", found)
    return found


@pytest.fixture
def figure(monkeypatch: pytest.MonkeyPatch, pooch: SimpleNamespace) -> PublicTable:
    """The table `chinchilla` as it would be were its file this short."""
    text = "Model Size,Training FLOP,loss\n" + "".join(f"{n}e8,{60 * n}e17,{3 - n / 10}\n" for n in (1, 2, 4))
    (pooch.web / "short.csv").write_text(text)
    files = (("data/short.csv", hashlib.sha256(text.encode()).hexdigest()),)
    short = PublicTable(
        "t", "owner/repository", "c" * 40, files, chinchilla.convert, chinchilla.TABLE.meanings
    )
    monkeypatch.setattr(chinchilla, "TABLE", short)
    return short


def test_a_public_table_is_fetched_by_commit_and_states_its_conventions(pooch, figure) -> None:
    table = load_runs("public:chinchilla")
    assert pooch.asked == [f"https://raw.githubusercontent.com/owner/repository/{'c' * 40}/data/short.csv"]
    np.testing.assert_allclose(table.N_R, [1e8, 2e8, 4e8])
    assert table.conventions.data == "t, owner/repository at ccccccc"
    assert "read off its vector graphics" in table.conventions.count_meaning
    assert table.conventions.loss.startswith("training loss")
    again = table.counted("non_embedding", "6nd").conventions
    assert (again.data, again.flops_meaning) == (table.conventions.data, "6 N D")
    chosen = load_runs("public:chinchilla", columns="loss=flops,flops=loss").conventions
    assert chosen.loss == "the loss as the table gives it (its column 'flops')"


def test_no_network_is_one_line_with_the_place_for_the_file(pooch, figure, cache: Path) -> None:
    pooch.fail = ConnectionError("Max retries\nexceeded")
    with pytest.raises(UserError, match="try again with a connection, or put the file at") as caught:
        read_public("chinchilla")
    assert str(cache / "public" / "chinchilla" / "short.csv") in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_another_file_than_the_hashed_one_is_refused(pooch, figure) -> None:
    (pooch.web / "short.csv").write_text("changed")
    with pytest.raises(UserError, match="is not the file it was when its hash was taken"):
        read_public("chinchilla")


def test_pooch_itself_takes_a_file_that_was_put_in_place(figure, pooch, monkeypatch, cache: Path) -> None:
    monkeypatch.delitem(sys.modules, "pooch")
    place = cache / "public" / "chinchilla" / "short.csv"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes((pooch.web / "short.csv").read_bytes())
    assert len(load_runs("public:chinchilla")) == 3


def test_without_pooch_the_mend_is_named(figure, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(UserError, match="pip install pooch"):
        read_public("chinchilla")


def test_importing_analysis_loads_neither_wandb_nor_pooch() -> None:
    code = "import sys, analysis; assert not {'wandb', 'pooch', 'requests'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
