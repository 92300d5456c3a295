"""The end of a test run names what was skipped, and how to cover it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from tests.conftest import pytest_terminal_summary
from tests.support.optional import NEEDS, lacking


class Reporter:
    """Stands in for pytest's terminal."""

    def __init__(self, reasons: list[str]) -> None:
        skipped = [SimpleNamespace(longrepr=("test_x.py", 1, f"Skipped: {reason}")) for reason in reasons]
        self.stats = {"skipped": skipped} if skipped else {}
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        self.lines.append(title)

    def line(self, text: str) -> None:
        self.lines.append(text)


def test_a_line_a_need_with_its_count() -> None:
    reporter = Reporter([NEEDS["ray"], NEEDS["gpu"], NEEDS["ray"]])
    pytest_terminal_summary(reporter)  # pyright: ignore[reportArgumentType]  # stands in for it
    assert reporter.lines == ["not covered here", f"2 tests of {NEEDS['ray']}", f"1 test of {NEEDS['gpu']}"]


def test_nothing_where_nothing_was_skipped() -> None:
    reporter = Reporter([])
    pytest_terminal_summary(reporter)  # pyright: ignore[reportArgumentType]  # stands in for it
    assert reporter.lines == []


def test_a_need_that_is_required_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOFLOP_REQUIRE", "slurm,ray")
    with pytest.raises(pytest.fail.Exception, match="ISOFLOP_REQUIRE names ray, which is not here"):
        lacking("ray")
    with pytest.raises(pytest.skip.Exception, match="cuDNN's attention: on a machine"):
        lacking("gpu")
