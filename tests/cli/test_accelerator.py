"""Commands leave the accelerator to the workers, which want nearly all of its memory."""

from __future__ import annotations

import importlib

import pytest

from isoflop.base.errors import UserError


@pytest.mark.parametrize(
    "line",
    [
        *(
            ["fit", "nowhere.csv"],
            ["compare", "nowhere.csv"],
            ["report", "nowhere.csv"],
            ["score", "nowhere"],
        ),
        *(["predict", "nowhere", "--flops", "1e15"], ["register", "nowhere", "--flops", "1e15"]),
        ["plan", "--next", "nowhere.csv"],
    ],
    ids=lambda line: line[0],
)
def test_a_command_that_computes_stays_off_it(line: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it reads what it is given."""
    asked = []
    name, *rest = line
    where = "next_runs" if "--next" in rest else name
    command = importlib.import_module(f"isoflop.commands.{where}")
    monkeypatch.setattr(command, "stay_off_the_accelerator", lambda: asked.append(name))
    with pytest.raises(UserError):
        importlib.import_module(f"isoflop.commands.{name}").run(rest)
    assert asked == [name]
