"""Sweeps trained inside the test's own process, and one by the local launcher that many tests look at."""

from __future__ import annotations

import pytest

from isoflop.sweeps.grids.config import SweepConfig
from isoflop.train.data.corpus import Corpus
from tests.support.in_process import Runner
from tests.support.small import small_sweep


@pytest.fixture
def run(corpus: Corpus) -> Runner:
    """Runs a sweep in this process."""
    return Runner(corpus)


@pytest.fixture(scope="session")
def config(source_name: str) -> SweepConfig:
    """Two budgets by three widths."""
    return small_sweep(source_name)


@pytest.fixture(scope="session")
def narrow(source_name: str) -> SweepConfig:
    """One width, three budgets on a shared trunk."""
    return small_sweep(
        source_name,
        budgets=(1e8, 2e8, 4e8),
        ladder=(8,),
        sizes=1,
        centre_width=8,
    )
