"""The command line: what it says, where, and with which status."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from isoflop.__main__ import COMMANDS, _run
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.queue.store import Store
from tests.support.pseudo_english import pseudo_english
from tests.support.small import small_sweep

GOOD = "n_params,n_tokens,flops,loss\n1e4,1e6,6e10,3.0\n2e4,1e6,1.2e11,2.9\n"


class Said(NamedTuple):
    """What a command left."""

    status: int
    out: str
    err: str


Command = Callable[..., Said]


@pytest.fixture
def isoflop(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def command(*argv: str | Path) -> Said:
        capfd.readouterr()
        try:
            status = _run([str(word) for word in argv])
        except SystemExit as stop:
            status = int(stop.code or 0)
        out, err = capfd.readouterr()
        return Said(status, out, err)

    return command


def refused(said: Said, *parts: str) -> None:
    """Status 2, and one line on stderr that names the thing; nothing else."""
    assert said.status == 2, said.err
    assert said.out == ""
    assert said.err.startswith("isoflop: ")
    assert said.err.count("\n") == 1, said.err
    assert "Traceback" not in said.err
    for part in parts:
        assert part in said.err


@pytest.fixture
def mine(tmp_path: Path, source_name: str) -> Path:
    """The small sweep as a file of the user's own."""
    path = tmp_path / "mine.py"
    path.write_text(f"from tests.support.small import small_sweep\nSWEEP = small_sweep({source_name!r})\n")
    return path


def test_no_command_is_a_plea_for_help(isoflop: Command) -> None:
    for argv in ([], ["--help"], ["-h"]):
        said = isoflop(*argv)
        assert said.status == 0
        assert all(command in said.out for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_for_a_person(isoflop: Command, command: str) -> None:
    said = isoflop(command, "--help")
    assert said.status == 0
    assert f"isoflop {command}" in said.out
    assert said.err == ""


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_a_configs_help_shows_its_fields_and_values(isoflop: Command, mine: Path, command: str) -> None:
    said = isoflop(command, mine, "--help")
    assert said.status == 0
    for word in ("--budgets", "2e+08", "--rates.coefficient", "--seed"):
        assert word in said.out


def test_an_unknown_command(isoflop: Command) -> None:
    refused(isoflop("tune"), "unknown command 'tune'", "sweep", "report")


@pytest.mark.parametrize("command", ["plan", "sweep"])
def test_an_unknown_config(isoflop: Command, command: str) -> None:
    refused(isoflop(command, "gpt-5"), "unknown sweep config 'gpt-5'", "cpu-demo")
    refused(isoflop(command, "./nowhere.py"), "no sweep config file nowhere.py")
    refused(isoflop(command), "which one? Known are cpu-adapters, cpu-arithmetic, cpu-context")
    refused(isoflop(command, "--seed", "1"), "which one?")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--sede", "1"], "--sede"),
        (["--seed", "x"], "seed"),
        (["--seed", "-1"], "seed -1"),
        (["--seed"], "seed"),
        (["--schedule", "constant"], "schedule"),
        (["--budgets", "0"], "budgets"),
        (["--budgets", "nan"], "budgets"),
        (["--budgets", "1e6"], "under one step"),
        (["--budgets", "1e12"], "is too small: it has"),
        (["--context-length", "48"], "48"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--data", "imagenet"], "unknown dataset 'imagenet'"),
        (["--data", "text:nowhere/*.txt"], "matches no file"),
        (["--tokenizer", "gpt2"], "unknown tokenizer 'gpt2'"),
        (["--eval-windows", "1000000"], "lower eval_windows to at most"),
        (["--ladder", "8", "16", "18"], "--ladder 18: must be"),
        (["--trackers", "mlflow"], "unknown tracker 'mlflow'"),
        (["--optimizer", "sgd"], "--optimizer sgd: choose adamw or muon"),
        (["--dtype", "float7"], "--dtype float7: choose"),
        (["--parametrization", "ntk"], "--parametrization ntk: choose"),
        (["--experts", "2", "--experts-per-token", "3"], "--experts-per-token 3"),
        (["--data", "synthetic:noise"], "unknown synthetic process 'noise'"),
        (["--remat", "some"], "--remat some: choose"),
        (["--members", "0"], "members 0"),
        (["--devices", "2", "--members", "2"], "pack cells on one device"),
        (["stray"], "stray"),
    ],
)
def test_a_wrong_override(
    isoflop: Command, mine: Path, tmp_path: Path, arguments: list[str], part: str
) -> None:
    refused(isoflop("sweep", mine, "--out", tmp_path / "out", *arguments), part)
    assert not (tmp_path / "out" / "runs.csv").exists()
    if "--trackers" not in arguments:
        refused(isoflop("plan", mine, "--no-calibration", *arguments), part)


def test_an_unknown_launcher(isoflop: Command, mine: Path, tmp_path: Path) -> None:
    refused(isoflop("sweep", mine, "--launcher", "kubernetes"), "unknown launcher 'kubernetes'", "local")
    refused(isoflop("sweep", mine, "--launcher"), "launcher")
    assert not (tmp_path / "outputs").exists()


def test_a_folder_that_is_not_this_sweeps(isoflop: Command, mine: Path, tmp_path: Path) -> None:
    Store.open(tmp_path / "other", small_sweep("text:other"))
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.tex").touch()
    refused(isoflop("sweep", mine, "--out", tmp_path / "other"), "holds another sweep: data is text:other")
    refused(isoflop("sweep", mine, "--out", tmp_path / "papers"), "not a sweep")
    refused(isoflop("sweep", mine, "--out", mine), "mine.py")
    last = isoflop("sweep", mine, "--out", "/proc/here").err.splitlines()[-1]
    assert last.startswith("isoflop: can't make the folder /proc/here")


def test_a_full_disk(isoflop: Command, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    said = isoflop("sweep", mine, "--out", tmp_path / "out")
    assert said.status == 2
    assert said.err.splitlines()[-1].startswith("isoflop: no disk space: the sweep's checkpoints take up to")


def test_a_plan_is_told_and_trains_nothing(isoflop: Command, mine: Path, tmp_path: Path) -> None:
    said = isoflop("plan", mine, "--no-calibration")
    assert said.status == 0
    for word in ("A small sweep", "2e+08", "shared trunks", "disk:", "6 in the grid"):
        assert word in said.out
    assert [p.name for p in tmp_path.iterdir()] == ["mine.py"]


def test_a_plan_as_json(isoflop: Command, mine: Path, config: SweepConfig) -> None:
    said = isoflop("plan", mine, "--no-calibration", "--json", "--seed", "7")
    plan = json.loads(said.out)
    assert said.err == ""
    assert plan["config"]["seed"] == 7
    assert [cell["role"] for cell in plan["cells"]] == ["grid"] * 6
    assert plan["price"]["total_flops"] <= sum(cell["flops"] for cell in plan["cells"])
    assert plan["price"]["seconds"] is None


@pytest.fixture(scope="session")
def config(source_name: str) -> SweepConfig:
    """The small sweep."""
    return small_sweep(source_name)


def test_data_is_prepared_and_listed(isoflop: Command, source_name: str) -> None:
    said = isoflop("data", "prepare", source_name)
    assert said.status == 0
    assert "1 text file" in said.out
    assert "heldout" in said.out
    listed = isoflop("data", "list")
    assert listed.status == 0
    for word in ("wiki-intro", "tfds:NAME", "bpe-SIZE", "text:"):
        assert word in listed.out


def test_data_that_cannot_be_had(isoflop: Command, tmp_path: Path) -> None:
    (tmp_path / "few.txt").write_text(pseudo_english(500))
    refused(isoflop("data", "prepare", "imagenet"), "unknown dataset 'imagenet'", "wiki-intro")
    refused(isoflop("data", "prepare", "text:few.txt"), "too small")
    refused(isoflop("data", "prepare", "tfds:no_such_set"), "tfds:no_such_set")
    refused(isoflop("data", "prepare"), "NAME")
    refused(isoflop("data", "prepare", "text:few.txt", "--tokenizer", "gpt2"), "unknown tokenizer")
    refused(isoflop("data", "remove"), "unknown action 'remove'")


def test_the_state_of_a_folder(isoflop: Command, tmp_path: Path, config: SweepConfig) -> None:
    Store.open(tmp_path / "out", config)
    said = isoflop("status", tmp_path / "out")
    assert said.status == 0
    assert "stopped: run it again to go on" in said.out
    assert json.loads(isoflop("status", tmp_path / "out", "--json").out)["flops_done"] == 0
    refused(isoflop("status", tmp_path / "nowhere"), "no folder")
    refused(isoflop("status", tmp_path), "is not a sweep's folder")
    refused(isoflop("status"), "folder")


READERS = ("fit", "report", "compare")


def read(isoflop: Command, command: str, path: Path, *more: str) -> Said:
    """A command that reads tables, on one."""
    paths = [path, path] if command == "compare" else [path]
    return isoflop(command, *paths, *more)


@pytest.mark.parametrize("command", READERS)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nowhere.csv", None),
        ("empty.csv", ""),
        ("header.csv", "n_params,n_tokens,loss\n"),
        ("binary.csv", "\0\1\2\xff"),
        ("runs.json", "{"),
        ("runs.jsonl", "{}\n{"),
        ("runs.parquet", "PAR1"),
        ("runs.xlsx", "x"),
        ("noloss.csv", GOOD.replace("loss", "score")),
        ("lonely.csv", "n_params,loss\n1e4,3.0\n2e4,2.9\n"),
        ("nan.csv", GOOD.replace("2.9", "nan")),
        ("words.csv", GOOD.replace("2.9", "low")),
        ("zero.csv", GOOD.replace("2.9", "0")),
        ("negative.csv", GOOD.replace("2.9", "-1")),
        ("noparams.csv", GOOD.replace("2e4", "0")),
        ("notokens.csv", GOOD.replace("1e6", "-5")),
        ("noflops.csv", GOOD.replace("6e10", "0")),
        ("infinite.csv", GOOD.replace("3.0", "inf")),
    ],
)
def test_a_table_that_cannot_be_read(
    isoflop, tmp_path: Path, command: str, name: str, content: str | None
) -> None:
    if content is not None:
        (tmp_path / name).write_text(content, encoding="latin-1")
    refused(read(isoflop, command, tmp_path / name), name)


def test_columns_that_are_not_there(isoflop: Command, tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(GOOD)
    refused(isoflop("fit", "runs.csv", "--columns", "loss=score"), "score")
    refused(isoflop("fit", "runs.csv", "--columns", "loss"), "--columns")
    refused(isoflop("fit", "runs.csv", "--count", "body"), "--count body")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--law", "kaplan-mccandlish-2"], "unknown law"),
        (["--approach", "4"], "approach"),
        (["--delta", "-1"], "delta"),
        (["--bootstrap", "-1"], "bootstrap"),
        (["--drop-worst", "-1"], "drop"),
        (["--drop-worst", "1000"], "drop"),
        (["--holdout", "1"], "holdout"),
        (["--seed", "x"], "seed"),
        (["--loss", "l2"], "loss"),
        (["--jsno"], "--jsno"),
    ],
)
def test_a_wrong_option_of_fit(isoflop: Command, table: Path, arguments: list[str], part: str) -> None:
    refused(isoflop("fit", table, *arguments), part)


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty runs drawn from a known law."""
    path = tmp_path_factory.mktemp("table") / "runs.csv"
    draw = np.random.default_rng(0)
    N = np.exp(draw.uniform(np.log(1e6), np.log(1e9), 40))
    D = np.exp(draw.uniform(np.log(1e8), np.log(1e11), 40))
    loss = 1.7 + 400 * N**-0.34 + 2000 * D**-0.37
    loss *= np.exp(1e-3 * draw.standard_normal(40))
    rows = "".join(f"{n},{d},{y}\n" for n, d, y in zip(N, D, loss, strict=True))
    path.write_text("n_params,n_tokens,loss\n" + rows)
    return path


@pytest.mark.slow
def test_a_fit_is_one_json_object_alone_on_stdout(isoflop: Command, table: Path, tmp_path: Path) -> None:
    said = isoflop("fit", table, "--json", "--bootstrap", "20", "--out", tmp_path / "fitted")
    assert said.status == 0
    assert said.out.count("\n") == 1
    fit = json.loads(said.out)
    assert {"approach", "law", "params", "exponents", "objective", "intervals", "certificate"} <= fit.keys()
    assert {"identified", "budgets", "holdout", "n_runs", "excluded", "conventions", "warnings"} <= fit.keys()
    assert fit["params"]["E"] == pytest.approx(1.7, abs=0.1)
    assert fit["n_runs"] == 40
    assert json.loads((tmp_path / "fitted" / "fit.json").read_text()) == fit
    assert all(line.startswith("warning: ") for line in said.err.splitlines())
    predicted = isoflop("predict", tmp_path / "fitted" / "fit.json", "--flops", "1e20", "--json")
    assert predicted.status == 0
    answer = json.loads(predicted.out)
    assert 1.7 < answer["loss"] < 4
    compared = isoflop("compare", tmp_path / "fitted", tmp_path / "fitted" / "fit.json")
    assert compared.status == 0, compared.err
    refused(isoflop("predict", tmp_path / "fitted" / "fit.json", "--flops", "-1"), "flops")
    refused(isoflop("predict", tmp_path / "fitted" / "fit.json", "--flops", "nan"), "flops")


@pytest.mark.parametrize("content", [None, "", "{}", "[1]", '{"approach": 3}'])
def test_a_file_that_is_no_fit(isoflop: Command, tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "fit.json").write_text(content)
    refused(isoflop("predict", "fit.json", "--flops", "1e12"), "fit.json")


def shell(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "isoflop", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_from_a_shell(tmp_path: Path) -> None:
    good, bad = shell(tmp_path, "--help"), shell(tmp_path, "fit", "nowhere.csv")
    assert (good.returncode, good.stderr) == (0, "")
    assert (bad.returncode, bad.stdout) == (2, "")
    assert bad.stderr.count("\n") == 1
