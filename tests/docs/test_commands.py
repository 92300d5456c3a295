"""Every command of README and docs, as it is written and in the order written, in a clean folder.

A page is a session: its commands find what those before them left. Home and cache are empty at the README's
first command, the demo, and every page starts from what it left. Training alone is pretended
(tests/docs/world), so that the demo's real grid takes seconds; with a file of one's own (./NAME.py), which
docs show in full, it is real, but for the README's, which docs/sweeps.md trains. Whatever is not run as it
stands is in the tables below, with the reason; a command that is new in docs is run without being asked for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.commands import PAGES, ROOT, Command, commands, examples
from tests.support.built_once import built_once
from tests.support.optional import lacking
from tests.support.pseudo_english import pseudo_english
from tests.support.wandb_server import Server, serving

SECONDS = 900
"""What takes longer hangs."""

BENCHMARKS = (
    "python -m benchmarks.accelerator --out outputs/accelerator",
    "python -m benchmarks.family --small",
    "python -m benchmarks.first_fit",
    "python -m benchmarks.fit",
    "python -m benchmarks.grid_cost",
    "python -m benchmarks.lab_load",
    "python -m benchmarks.multiplier --out docs/results/multiplier",
    "python -m benchmarks.rolling",
    "python -m benchmarks.train",
)
INSTEAD = {
    command: (f"python -c 'import {command.split()[2]}'", "tests/test_benchmarks.py runs it")
    for command in BENCHMARKS
} | {
    "make demo": (
        "isoflop status outputs/cpu-demo",
        "every page starts from what its last line left; .ci/run does all of it, in a fresh clone",
    ),
    "make test": ("make -n test", "this is it"),
    "make chaos KILLS=30": ("make -n chaos KILLS=30", "tests/sweeps runs a few"),
    "isoflop sweep h200-ladder --launcher ray --out /shared/sweeps/ladder": (
        "isoflop sweep h200-ladder --help",
        "tests/sweeps/test_ray.py has a cluster",
    ),
    "isoflop lab serve course": (
        "timeout --preserve-status -s INT 20 isoflop lab serve course --port 0",
        "it serves until it is stopped; tests/labs calls it",
    ),
    "isoflop lab build --out notebooks": (
        "isoflop lab build --help",
        "tests/labs/test_notebooks.py builds it",
    ),
    "isoflop lab build --out ada --student Ada": ("isoflop lab build --help", "it takes as long again"),
    "isoflop sweep cpu-quantization": (
        "isoflop plan cpu-quantization --no-calibration",
        "pretended training keeps no models; docs/evaluate.md has some of seconds",
    ),
    "isoflop sweep cpu-distillation --no-report": (
        "isoflop sweep cpu-distillation --help",
        "pretended training keeps no teachers; tests/sweeps/test_teachers.py has one",
    ),
    "isoflop evaluate outputs/cpu-quantization quantization": ("isoflop evaluate --help", "the same"),
    "isoflop fit measured:training-bits --law kumar --fix gamma_a=1,gamma_kv=1 --bootstrap 200 --starts 32": (
        "isoflop fit measured:training-bits --law kumar --fix gamma_a=1,gamma_kv=1 --bootstrap 0 --starts 8",
        "its resamples take a minute",
    ),
    "isoflop fit measured:granularity --law krajewski --fix c=.47,gamma=.58,alpha=.115,beta=.147 "
    "--bootstrap 300 --starts 64": ("isoflop laws krajewski", "the page of the table has a shorter one"),
    "isoflop sweep cpu-recurrence": (
        "isoflop plan cpu-recurrence --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop sweep cpu-context": (
        "isoflop plan cpu-context --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/cpu-context positions --tokens 97792": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-adapters": (
        "isoflop plan cpu-adapters --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/cpu-adapters adapters": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-adapters pruning": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-adapters low-rank": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-facts": (
        "isoflop plan cpu-facts --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop sweep cpu-facts --data synthetic:facts,facts=1024,exponent=0 --out outputs/cpu-facts-alike": (
        "isoflop plan cpu-facts --data synthetic:facts,facts=1024,exponent=0 --no-calibration",
        "the same",
    ),
    "isoflop evaluate outputs/cpu-facts recall": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-facts-alike recall": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-countdown": (
        "isoflop plan cpu-countdown --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop sweep cpu-arithmetic": (
        "isoflop plan cpu-arithmetic --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/cpu-arithmetic exact-match": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-countdown attempts": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-countdown search --samples 1 4 16": ("isoflop evaluate --help", "the same"),
    "isoflop evaluate outputs/cpu-countdown difficulty": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-arithmetic --ladder 24 --sizes 1 --budgets 2.8e10 4e10 5.6e10 --out outputs/chains": (
        "isoflop plan cpu-arithmetic --ladder 24 --sizes 1 --budgets 2.8e10 4e10 5.6e10",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/chains search": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-revision": (
        "isoflop plan cpu-revision --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/cpu-revision revision": ("isoflop evaluate --help", "the same"),
    "isoflop sweep cpu-serving --no-report": (
        "isoflop plan cpu-serving --no-calibration",
        "pretended training keeps no models",
    ),
    "isoflop evaluate outputs/cpu-serving serving --batch 1 16 --prompt 32 160 480": (
        "isoflop evaluate --help",
        "the same",
    ),
    "isoflop serving outputs/cpu-serving/evals/serving.csv": (
        "isoflop serving docs/results/serving-measured/serving.csv",
        "the table that comes along",
    ),
    "isoflop data prepare debian-docs": (
        "isoflop data prepare --help",
        "fetches 245 MB by apt-get; tests/train/test_debian_docs.py has its parts",
    ),
}
"""By command, what is run in its place, and why."""

REPORTED = "other reports are drawn"
ONE_CELL = ("--budgets 1e9 --sizes 1", "one cell shows that the file is taken, and each width is compiled")
SHORTER = {
    "isoflop plan h200-ladder": ("--data synthetic:markov", "its text is 245 MB by apt-get"),
    "isoflop sweep h200-ladder": (
        "--data synthetic:markov --out outputs/h200-ladder --trackers jsonl --no-report",
        f"its text is 245 MB by apt-get; {REPORTED}",
    ),
    "isoflop sweep h200-ladder --budgets 1e13 3e13 1e14 3e14 --out outputs/ladder-ahead": (
        "--data synthetic:markov --trackers jsonl --no-report",
        f"its text is 245 MB by apt-get; {REPORTED}",
    ),
    "isoflop sweep cpu-ladder": (
        "--data synthetic:markov --out outputs/cpu-ladder --trackers jsonl --no-report",
        f"its text is 245 MB by apt-get; {REPORTED}",
    ),
    "isoflop lab init hands-on --students 5 --backend train --data wiki-intro --budget 3600": (
        "--val-tokens 4096",
        "measures this machine for a minute",
    ),
    "isoflop sweep h200-synthetic": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --adaptive": (
        "--half-width 0.1 --no-report",
        f"narrower intervals take dozens of fits; {REPORTED}",
    ),
    "isoflop sweep ./my_sweep.py --budgets 3e9 1e10 3e10 4e10 --out outputs/my-sweep": (
        "--no-report",
        REPORTED,
    ),
    "isoflop sweep ./tiny_sweep.py --no-report --data ./my_data.py:notes.jsonl": ONE_CELL,
    "isoflop sweep ./tiny_sweep.py --no-report --data synthetic:./my_process.py,branch=4": ONE_CELL,
    "isoflop sweep ./tiny_sweep.py --no-report --architecture ./my_model.py": ONE_CELL,
    "isoflop sweep ./tiny_sweep.py --no-report --seed 1 --launcher ./my_launcher.py": ONE_CELL,
    "isoflop sweep cpu-demo --budgets 1e11 3e11": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --out outputs/mine": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --axes dtype=float32,bfloat16": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --out outputs/again": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --parametrization mup --optimizer muon": ("--no-report", REPORTED),
    "isoflop sweep cpu-demo --experts 8 --experts-per-token 2": ("--no-report", REPORTED),
    "isoflop sweep cpu-teachers --no-report": ("--trackers jsonl", "other sweeps are logged"),
    "isoflop sweep cpu-mixture": ("--trackers jsonl --no-report", REPORTED),
    "isoflop sweep cpu-granularity": ("--trackers jsonl --no-report", REPORTED),
    "isoflop sweep cpu-quality": ("--trackers jsonl --no-report", REPORTED),
    "isoflop sweep cpu-repetition": ("--trackers jsonl --no-report", REPORTED),
    "isoflop sweep two-recipes": ("--trackers jsonl --no-report", REPORTED),
    "isoflop sweep cpu-demo --profile": ("--no-report", REPORTED),
}
"""By command, the options that shrink it, and why."""

NO_NETWORK = "can't be fetched"
REFUSED = {
    "isoflop sweep h200-ladder --launcher slurm": "SLURM",
    "isoflop evaluate /shared/sweeps/ladder quantization --launcher slurm": "SLURM|/shared/sweeps/ladder",
    "isoflop status /shared/sweeps/ladder": "/shared/sweeps/ladder",
    "isoflop fit public:": NO_NETWORK,
    "isoflop fit --curves public:": NO_NETWORK,
    "isoflop fit wandb:me/scaling": "me/scaling",
    "isoflop lab data --lab course": "has no runs yet",
    "isoflop lab finals course": "there are no final submissions",
}
"""By the beginning of a command that needs a cluster, an account, the network or a class that trained, the
refusal where there is none. Where there is, it succeeds."""


@dataclass
class Session:
    """A folder and an environment, and what was said there."""

    folder: Path
    variables: dict[str, str]
    said: list[str] = field(default_factory=list)

    def run(self, command: Command) -> None:
        """Runs a command by the shell. It must succeed, or be refused in one line as REFUSED has it."""
        text = INSTEAD.get(command.text, (command.text, ""))[0]
        text += " " + SHORTER.get(command.text, ("", ""))[0]
        # A cluster's shared folder lies within the test's own: nothing is left elsewhere on this machine.
        text = text.replace("/shared/", f"{self.folder}/shared/")
        outside = text.startswith(("make", "python"))  # what only a clone has
        really = outside or ("./" in text and command.page != "README.md")
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=ROOT if outside else self.folder,
            env=self.variables | ({} if really else {"PYTHONPATH": str(ROOT / "tests" / "docs" / "world")}),
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        self.said.append(f"$ {text}\n{done.stdout}{done.stderr}")
        assert "Warning:" not in done.stderr, f"{command}: a warning of Python's own\n{done.stderr}"
        refusal = next((why for start, why in REFUSED.items() if command.text.startswith(start)), None)
        if done.returncode == 2 and refusal:
            assert re.search(refusal, done.stderr), f"{command}\n{done.stderr}"
            assert "Traceback" not in done.stderr
        else:
            assert done.returncode == 0, f"{command}\n" + "\n".join(self.said)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A stand-in for W&B."""
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory, server: Server) -> dict[str, str]:
    """An environment in which `isoflop` is this one and training is pretended."""
    kept = {
        name: os.environ[name]
        for name in os.environ
        if not name.startswith(("ISOFLOP", "WANDB", "XLA", "PYTHONPATH"))
    }
    return kept | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        **{name: value for name, value in server.environment.items() if name != "WANDB_MODE"},
        "WANDB_ENTITY": "me",
        # Reports compile the same programs again and again: JAX may keep them from one to the next.
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("jax")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Session:
    """A home and a folder, both empty before, after the demo."""

    def session_in(place: Path) -> Session:
        return Session(place / "demo", variables | {"HOME": str(place / "home")})

    def build(place: Path) -> None:
        session = session_in(place)
        session.folder.mkdir()
        (place / "home").mkdir()
        try:
            session.run(Command("first", 0, "isoflop demo"))
        except AssertionError as error:
            if "could not download" in str(error):
                lacking("wiki-intro", str(error))
            raise

    return session_in(built_once(tmp_path_factory, "finished-demo", build))


def give(folder: Path, demo: Path) -> None:
    """What the pages take a user to have: tables, texts, and the files that they show."""
    shutil.copytree(ROOT / "docs" / "results", folder / "docs" / "results")
    shutil.copy(demo / "runs.csv", folder / "runs.csv")
    frame = pd.read_csv(demo / "runs.csv")
    frame[::2].to_csv(folder / "a.csv", index=False)
    frame[1::2].to_csv(folder / "b.csv", index=False)
    own = frame[["n_params_non_embedding", "n_tokens", "loss"]].set_axis(["N", "D", "val_loss"], axis=1)
    own = own.assign(corpus=["web" if row % 2 else "books" for row in range(len(own))])
    own.to_csv(folder / "my_runs.csv", index=False)
    texts = [pseudo_english(3000, seed=number) for number in range(300)]
    (folder / "notes.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "books").mkdir()
    for number in range(3):
        (folder / "books" / f"{number}.txt").write_text("\n\n".join(texts[number::3]))
    for name, text in examples().items():
        (folder / name).write_text(text)


SESSIONS = [
    # Three groups, for as many processes: these are the longest tests of all.
    pytest.param(page, id=str(page.relative_to(ROOT)), marks=pytest.mark.xdist_group(f"pages {number % 3}"))
    for number, page in enumerate(page for page in PAGES if commands(page))
]


@pytest.mark.slow
@pytest.mark.parametrize("page", SESSIONS)
def test_a_page(page: Path, tmp_path: Path, finished: Session) -> None:
    give(tmp_path, finished.folder / "outputs" / "cpu-demo")
    shutil.copytree(finished.folder / "outputs", tmp_path / "outputs")
    session = Session(tmp_path, finished.variables)
    for command in commands(page):
        session.run(command)


@pytest.mark.slow
def test_options_of_training_really_train(tmp_path: Path, finished: Session) -> None:
    """Those that the page on training shows, on the sweep of seconds of the page on extending."""
    give(tmp_path, finished.folder / "outputs" / "cpu-demo")
    session = Session(tmp_path, finished.variables)
    shown = [
        c for c in commands(ROOT / "docs" / "training.md") if c.text.startswith("isoflop sweep cpu-demo ")
    ]
    assert shown
    for command in shown:
        text = command.text.replace("cpu-demo", "./tiny_sweep.py") + " --no-report"
        session.run(Command(command.page, command.line, text))
    assert len(list(tmp_path.glob("outputs/tiny*/runs.csv"))) == len(shown)


def test_what_is_not_run_as_it_stands_is_in_docs() -> None:
    texts = [command.text for page in PAGES for command in commands(page)]
    assert len(texts) > 40
    assert set(INSTEAD) | set(SHORTER) <= set(texts)
    assert [start for start in REFUSED if not any(text.startswith(start) for text in texts)] == []
