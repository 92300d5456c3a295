"""Traced programs are kept between processes, and only where they are what they were."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from isoflop.analysis import find_law
from isoflop.analysis.laws.constrained import form_of
from isoflop.analysis.laws.evaluate import float64_on_cpu
from isoflop.analysis.solver import programs
from isoflop.analysis.solver.programs import Program, program_of

LAW = find_law("chinchilla")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder in which JAX keeps its compiled programs."""
    before = jax.config.values["jax_compilation_cache_dir"]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path / "traced"
    jax.config.update("jax_compilation_cache_dir", before)


class Counted:
    """A function of a pair and a number, and how often it was traced."""

    def __init__(self) -> None:
        self.traces = 0

    def __call__(self, pair, factor):
        self.traces += 1
        return {"sum": factor * jnp.sum(pair[0] + pair[1]), "first": jnp.linalg.eigh(jnp.outer(*pair))[0]}


def called(function: Counted, *key: str, R: int = 3) -> dict:
    """What a process that knows nothing of earlier ones has of the function."""
    with float64_on_cpu():
        found = Program(function, key)((np.arange(1.0, R + 1), np.ones(R)), 2.0)
        return {name: np.asarray(value) for name, value in found.items()}


def test_a_second_process_traces_nothing(folder: Path) -> None:
    first, second = Counted(), Counted()
    before, after = called(first, "a"), called(second, "a")
    assert (first.traces, second.traces) == (1, 0)
    assert before["sum"] == 18.0
    assert before["sum"].dtype == np.float64
    np.testing.assert_array_equal(before["first"], after["first"])
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(("key", "R"), [("b", 3), ("a", 4)])
def test_another_key_or_shape_is_another_program(folder: Path, key: str, R: int) -> None:
    called(Counted(), "a")
    other = Counted()
    assert called(other, key, R=R)["sum"] == R * (R + 3)
    assert other.traces == 1


def test_changed_sources_are_another_program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called(Counted(), "a")
    monkeypatch.setattr(programs, "_sources", lambda: "edited")
    other = Counted()
    called(other, "a")
    assert other.traces == 1


def test_a_file_that_cannot_be_read_is_traced_anew(folder: Path) -> None:
    called(Counted(), "a")
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    again, third = Counted(), Counted()
    assert called(again, "a")["sum"] == 18.0
    called(third, "a")
    assert (again.traces, third.traces) == (1, 0)


def test_a_folder_that_cannot_be_written_costs_time_alone(folder: Path) -> None:
    folder.write_text("a file in its place")
    found = Counted()
    assert called(found, "a")["sum"] == 18.0
    assert found.traces == 1


@pytest.mark.parametrize("place", [None, "gs://bucket/programs"])
def test_without_a_folder_nothing_is_kept(place: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    before = jax.config.values["jax_compilation_cache_dir"]
    try:
        jax.config.update("jax_compilation_cache_dir", place)
        assert programs._folder() is None
    finally:
        jax.config.update("jax_compilation_cache_dir", before)


def test_without_flatbuffers_nothing_is_kept(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_can_export", lambda: False)
    assert called(Counted(), "a")["sum"] == 18.0
    assert not folder.exists()


def test_only_programs_of_this_packages_laws_are_kept() -> None:
    form, _ = form_of(LAW)
    assert isinstance(program_of(form, "name", jnp.sin), Program)
    other, _ = form_of(dataclasses.replace(LAW, summary="another with the same name"))
    assert not isinstance(program_of(other, "name", jnp.sin), Program)
