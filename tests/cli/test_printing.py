"""How results are printed."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from rich.table import Table

from isoflop.base.json_values import Serializable
from isoflop.printing import print_result


@dataclass(frozen=True)
class Found(Serializable):
    """A result with a warning."""

    interval: tuple[float | None, float | None] = (None, 0.6)
    warnings: tuple[str, ...] = ("few runs",)


def test_an_open_end_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("interval")
    table.add_row("[open, 0.7]")
    print_result(Found(), False, ["a 0.5 [open, 0.6]", table])
    out, err = capsys.readouterr()
    assert "a 0.5 [open, 0.6]\n" in out
    assert "[open, 0.7]" in out
    assert err == "warning: few runs\n"


def test_json_stands_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(Found(), True, ["for a person"])
    out, err = capsys.readouterr()
    assert json.loads(out)["interval"] == [None, 0.6]
    assert err == "warning: few runs\n"
