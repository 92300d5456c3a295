"""What answers a submission: a file in this package that defines `open_backend` is one, by its name.

`open_backend(lab)` returns a `Backend` (isoflop.labs.backends.backend). A lab's settings may also name the
path of a .py file of one's own.
"""

from __future__ import annotations

from pathlib import Path

from isoflop.base import plugins
from isoflop.labs.backends.backend import Backend
from isoflop.labs.lab import Lab
from isoflop.labs.settings import Settings


def load_backend(lab: Lab) -> Backend:
    """The lab's backend. Raises `UserError` for an unknown one, or for one that the settings do not suit."""
    plugin = plugins.load("isoflop.labs.backends", "open_backend", lab.settings.backend, "backend")
    return plugin.open_backend(lab)


def check_backend(folder: Path, settings: Settings) -> None:
    """Refuses settings of a lab-to-be that its backend could not be opened with, before anything is made."""
    load_backend(Lab(folder, settings, b""))


def known_backends() -> list[str]:
    """Names of the backends that this package holds."""
    return plugins.names("isoflop.labs.backends", "open_backend")
