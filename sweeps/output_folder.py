"""Which folder a sweep goes to where nobody says: sweeps that differ never meet in one."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from isoflop.base.json_values import content_id
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import SweepConfig, config_names, load_config
from isoflop.sweeps.queue.store import GRID

OUTPUTS = Path("outputs")

LONGEST = 48
"""Characters in which the changes of a sweep are spelled out; longer ones give their hash."""


def default_folder(
    config: SweepConfig, base: SweepConfig | None = None, adaptive: Adaptive | None = None
) -> Path:
    """`outputs/NAME`, with what differs from `base`, the config as its file has it, and from a fixed grid.

    Without `base` the config that is known by the same name is taken, if there is one.
    """
    if base is None:
        known = config.name in config_names()
        base = load_config(config.name) if known else config
    changes = "-".join(_changes(config, base))
    if len(changes) > LONGEST:
        changes = content_id(config)[:8]
    return OUTPUTS / "-".join(filter(None, (config.name, changes, _suffix(adaptive))))


def kind_of(adaptive: Adaptive | None) -> str:
    """What a folder's sweep is called, so that another kind keeps out of it."""
    return GRID if adaptive is None else f"adaptive sweep for {adaptive.target}"


def _changes(value: Any, base: Any) -> list[str]:
    """A word for each field that differs, in the fields' order; of a field of fields for each of those."""
    words = []
    for name in (f.name for f in fields(value)):
        new, old = getattr(value, name), getattr(base, name)
        if new == old or name == "name":
            continue
        flag = name.replace("_", "-")
        if is_dataclass(new):
            words += [f"{flag}-{word}" for word in _changes(new, old)]
        elif isinstance(new, bool):
            words.append(flag if new else f"no-{flag}")
        else:
            words.append(f"{flag}-{_spelled(new)}")
    return words


def _spelled(value: Any) -> str:
    if isinstance(value, tuple):
        return "-".join(map(_spelled, value))
    text = f"{value:.6g}".replace("e+", "e") if isinstance(value, float) else str(value)
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")


def _suffix(adaptive: Adaptive | None) -> str:
    if adaptive is None:
        return ""
    return "adaptive" if adaptive.target == Adaptive.target else f"adaptive-{_spelled(adaptive.target)}"
