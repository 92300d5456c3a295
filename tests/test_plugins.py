"""The contract of every kind of plug-in; each kind's files are found here by themselves."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import re
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from isoflop.base import plugins
from isoflop.base.errors import UserError
from isoflop.base.plugin_files import pin
from isoflop.models import build, family, ledger
from isoflop.sweeps.grids.config import SweepConfig, load_config
from isoflop.sweeps.launchers import load_launcher
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.trackers import load_tracker
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.data import processes as synthetic
from isoflop.train.data.sources import open_source


class Kind(NamedTuple):
    """A package of plug-ins, and the name that each of its files defines."""

    package: str
    attribute: str
    word: str


KINDS = (
    Kind("isoflop.models", "Model", "architecture"),
    Kind("isoflop.train.data.sources", "open_source", "dataset"),
    Kind("isoflop.evals", "measure", "measurement"),
    Kind("isoflop.sweeps.trackers", "open_tracker", "tracker"),
    Kind("isoflop.train.data.processes", "Process", "synthetic process"),
    Kind("isoflop.sweeps.launchers", "open_launcher", "launcher"),
    Kind("isoflop.sweeps.configs", "SWEEP", "sweep config"),
    Kind("isoflop.labs.backends", "open_backend", "backend"),
)
kinds = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.package)
every = pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind in KINDS for name in plugins.names(kind.package, kind.attribute)],
    ids=lambda value: value if isinstance(value, str) else value.package,
)


def of_kind(package: str) -> pytest.MarkDecorator:
    """The names of one kind's plug-ins."""
    kind = next(kind for kind in KINDS if kind.package == package)
    return pytest.mark.parametrize("name", plugins.names(kind.package, kind.attribute))


@kinds
def test_there_is_at_least_one(kind: Kind) -> None:
    assert plugins.names(kind.package, kind.attribute)


@every
def test_each_is_found_by_name_and_says_what_it_is(kind: Kind, name: str) -> None:
    module = plugins.load(kind.package, kind.attribute, name.replace("_", "-"), kind.word)
    assert module is importlib.import_module(f"{kind.package}.{name}")
    assert inspect.getdoc(module), "a plug-in's first line is what a person is told of it"


@kinds
@pytest.mark.parametrize("wrong", ["no-such", "", "os.path", "__init__", "plugins", "../models"])
def test_an_unknown_name_is_answered_with_the_known_ones(kind: Kind, wrong: str) -> None:
    with pytest.raises(UserError) as caught:
        plugins.load(kind.package, kind.attribute, wrong, kind.word)
    assert f"unknown {kind.word} {wrong!r}" in str(caught.value)
    for name in plugins.names(kind.package, kind.attribute):
        assert name.replace("_", "-") in str(caught.value)


@kinds
def test_a_file_of_the_users_own_works(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        f"@dataclass(frozen=True)\nclass Own:\n    size: int = 3\n\n{kind.attribute} = Own()\n"
    )
    module = plugins.load(kind.package, kind.attribute, str(path), kind.word)
    assert getattr(module, kind.attribute).size == 3


@kinds
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no {word} file"),
        ("x = 1", "defines no '{attribute}'"),
        ("x = ", "failed on import: SyntaxError"),
        ("import no_such_module", "failed on import: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "failed on import: ZeroDivisionError"),
    ],
)
def test_a_file_that_is_no_plug_in_is_refused(
    kind: Kind, text: str | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as caught:
        plugins.load(kind.package, kind.attribute, str(path), kind.word)
    assert message.format(word=kind.word, attribute=kind.attribute) in str(caught.value)
    assert "mine.py" in str(caught.value)


@kinds
def test_a_file_may_import_what_lies_beside_it(kind: Kind, tmp_path: Path) -> None:
    """Also late, also where two folders have a helper of one name, and where a helper was edited."""
    loaded = []
    for number, folder in enumerate((tmp_path / "one", tmp_path / "two", tmp_path / "one")):
        folder.mkdir(exist_ok=True)
        (folder / "their_shapes.py").write_text(f"import colorsys\nSIZE = {number}\n")
        (folder / "their_late.py").write_text("SIZE = 7\n")
        (folder / "colorsys.py").write_text("raise RuntimeError('not the standard library')\n")
        (folder / "mine.py").write_text(
            f"from their_shapes import SIZE\ndef {kind.attribute}():\n    import their_late\n"
            "    return SIZE, their_late.SIZE\n"
        )
        module = plugins.load(kind.package, kind.attribute, str(folder / "mine.py"), kind.word)
        loaded.append(getattr(module, kind.attribute)())
    assert loaded == [(0, 7), (1, 7), (2, 7)]
    assert not any(str(tmp_path) in entry for entry in sys.path)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("mine")


@kinds
def test_a_pinned_file_stays_as_it_was(kind: Kind, tmp_path: Path) -> None:
    names = []
    for size in (1, 2, 1):
        (tmp_path / "their_size.py").write_text(f"SIZE = {size}\n")
        (tmp_path / "mine.py").write_text(f"import their_size\n{kind.attribute} = their_size.SIZE\n")
        names.append(pin(str(tmp_path / "mine.py"), kind.word))
    assert names[0] == names[2] != names[1]
    assert pin(names[0], kind.word) == names[0]
    loaded = [plugins.load(kind.package, kind.attribute, name, kind.word) for name in names]
    assert [getattr(module, kind.attribute) for module in loaded] == [1, 2, 1]
    with pytest.raises(UserError, match=r"mine\.py@0{16} is not in the cache"):
        plugins.load(kind.package, kind.attribute, f"mine.py@{'0' * 16}", kind.word)


def test_a_process_of_ones_own_is_named_by_its_content(tmp_path: Path) -> None:
    text = (Path(synthetic.__file__).parent / "zipf.py").read_text()
    names = []
    for note in ("", "# another version\n"):
        (tmp_path / "mine.py").write_text(text + note)
        names.append(open_source(f"synthetic:{tmp_path / 'mine.py'},vocab=16").name)
    assert all(re.fullmatch(r"synthetic:mine\.py@[0-9a-f]{16},vocab=16", name) for name in names)
    assert names[0] != names[1]


def test_a_dataset_of_ones_own_is_another_when_its_code_changes(tmp_path: Path) -> None:
    fingerprints = []
    for word in ("one", "two"):
        (tmp_path / "mine.py").write_text(
            "from isoflop.train.data.sources import Document, TextSource\n"
            "def open_source(argument):\n"
            f"    return TextSource('m', 'M', '', 'mine', 9, lambda: [Document('0', '{word}')])\n"
        )
        fingerprints.append(open_source(str(tmp_path / "mine.py")).fingerprint)
    assert fingerprints[0] != fingerprints[1]


@of_kind("isoflop.models")
def test_an_architecture_counts_itself_and_gives_logits(name: str) -> None:
    config = family(8, vocab_size=40, context_length=10, architecture=name)
    model = nnx.eval_shape(lambda: build(config, seed=0))
    shapes = [leaf.shape for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))]
    assert sum(map(math.prod, shapes)) == ledger(config).params("total")
    graph, params = nnx.split(model)
    tokens = jax.ShapeDtypeStruct((2, 10), jnp.int32)
    logits = jax.eval_shape(lambda p, t: nnx.merge(graph, p)(t), params, tokens)  # pyright: ignore[reportCallIssue]  # a module
    assert logits.shape == (2, 10, 40)
    assert logits.dtype == jnp.float32


def test_an_unknown_architecture_is_refused() -> None:
    config = family(8, vocab_size=40, context_length=10, architecture="perceptron")
    with pytest.raises(UserError, match="unknown architecture 'perceptron': known are decoder"):
        ledger(config)


@of_kind("isoflop.train.data.sources")
def test_a_dataset_refuses_what_it_cannot_be_asked_for(name: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(f"{name.replace('_', '-')}:no such thing")
    assert "\n" not in str(caught.value)


@of_kind("isoflop.sweeps.trackers")
def test_a_tracker_opens_and_closes_on_an_empty_folder(name: str, tmp_path: Path) -> None:
    said: list[str] = []
    with contextlib.closing(load_tracker(name)("s", tmp_path, said.append)) as tracker:
        assert tracker.address == ""  # nothing leaves the machine unless asked to
    assert said == []


@of_kind("isoflop.sweeps.launchers")
def test_a_launcher_opens_and_closes_without_work_or_says_what_it_lacks(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # none is started here
    refused = ""
    try:
        launcher = load_launcher(name)(Store(tmp_path), WorkerOptions())
    except UserError as error:
        refused = str(error)
    else:
        with contextlib.closing(launcher):
            assert launcher.worker_count >= 1
    assert "\n" not in refused
    assert not (refused and name == "local")
    assert list(tmp_path.iterdir()) == []


class Bytes:
    """What a model's shape takes of a corpus of bytes."""

    vocab_size = 256
    eos = 0


@of_kind("isoflop.sweeps.configs")
def test_a_sweep_config_can_be_planned(name: str) -> None:
    config = load_config(name)
    assert isinstance(config, SweepConfig)
    assert config.name == name.replace("_", "-")
    for budget in config.budgets:
        widths = config.widths_at(budget, Bytes())
        assert len(widths) == config.sizes
        assert all(ledger(config.model_at(width, Bytes())).params() > 0 for width in widths)
    assert config.title


def test_a_config_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("SWEEP = {'budgets': [1e9]}")
    with pytest.raises(UserError, match="SWEEP is a dict, not a SweepConfig"):
        load_config(str(tmp_path / "mine.py"))
