"""What some tests need and a machine may lack. They skip, and the end of the run says how to cover them."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NEEDS = {
    "ray": "the Ray launcher: make EXTRAS=dev,slurm,ray test",
    "slurm": (
        "the SLURM launcher: as root, after apt-get install --no-install-recommends slurmctld slurmd "
        "slurm-client slurm-wlm-basic-plugins munge"
    ),
    "postgresql": "the lab on PostgreSQL: apt-get install postgresql",
    "browser": "the report in a browser: apt-get install chromium",
    "gpu": "cuDNN's attention: on a machine with an NVIDIA GPU, make EXTRAS=dev,slurm,cuda test",
    "torch": "the comparison with PyTorch: make EXTRAS=dev,slurm,torch test",
    "tables": "published tables whose authors' files are not here: ISOFLOP_REFERENCE=FOLDER make test",
    "chinchilla": "public:chinchilla: isoflop fit public:chinchilla fetches it into ~/.cache/isoflop",
    "clark": "public:clark: isoflop fit public:clark --law clark fetches it into ~/.cache/isoflop",
    "packages": "Debian's documentation: on Debian or Ubuntu with a network, after apt-get update",
    "wiki-intro": "the demo's text: with a network",
}
"""By need, what is not covered without it, and how to cover it."""


def lacking(need: str, why: str = "") -> NoReturn:
    """Skips the test, or fails it where ISOFLOP_REQUIRE names the need: `ISOFLOP_REQUIRE=ray,slurm`."""
    if need in os.environ.get("ISOFLOP_REQUIRE", "").split(","):
        pytest.fail(f"ISOFLOP_REQUIRE names {need}, which is not here. {why}")
    pytest.skip(NEEDS[need])


def require_ray() -> None:
    """Skips the test where Ray is not installed."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        lacking("ray", str(error))
