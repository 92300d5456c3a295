"""What every test shares: a cache of its own, one small corpus, and no way out to W&B."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.examples import TIMES, examples
from tests.support.pseudo_english import pseudo_english

if TYPE_CHECKING:
    from isoflop.train.data.corpus import Corpus

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Eight virtual devices for the tests of meshes. Tests compile more than they compute; level 0 slows the fits.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=1"
)

# A test is not a timing: a first example that compiles, or a busy machine, is no failure.
# The same examples in every run of `make test`, so that it passes or fails by the code alone.
hypothesis.settings.register_profile(
    "tests", deadline=None, max_examples=examples(100), derandomize=TIMES == 1, database=None
)
hypothesis.settings.load_profile("tests")

HERMETIC = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
UNSET = ("WANDB_API_KEY", "WANDB_BASE_URL", "WANDB_PROJECT", "WANDB_ENTITY", "WANDB_RUN_GROUP")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Make each file a group, which one process takes whole for its fixtures' sake, but where tests name a
    smaller one."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in a line each what was not covered here, and how to cover it."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    if reasons:
        terminalreporter.section("not covered here")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} test{'s' if count > 1 else ''} of {reason}")


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder of this session's own, also for the compiled programs."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in HERMETIC.items():
            patch.setenv(name, value)
        for name in UNSET:
            patch.delenv(name, raising=False)
        patch.setenv("ISOFLOP_CACHE", str(folder))
        from isoflop.train.device import set_up

        set_up()
        yield folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 300 KB of made-up English; always the same."""
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(pseudo_english(300_000), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def source_name(text_file: Path) -> str:
    """The dataset name of that file."""
    return f"text:{text_file}"


@pytest.fixture(scope="session")
def corpus(source_name: str) -> Corpus:
    """That file as bytes."""
    from isoflop.train.data.corpus import prepare

    return prepare(source_name, "bytes")
