"""Which package may know of which."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

MAY_IMPORT = {
    "base": set[str](),
    "models": {"base"},
    "train": {"models", "base"},
    "evals": {"train", "models", "base"},
    "sweeps": {"evals", "train", "models", "analysis", "base"},
    "analysis": {"base"},
    "labs": {"sweeps", "evals", "train", "models", "analysis", "base"},
    "isoflop": {"labs", "sweeps", "evals", "train", "models", "analysis", "base"},
}
PACKAGES = sorted(name for name in MAY_IMPORT if (ROOT / name / "__init__.py").exists())
NOTEBOOKS = ROOT / "labs" / "notebooks"
"""A user's code, which imports isoflop as users do."""
SOURCES = sorted(
    path for name in PACKAGES for path in (ROOT / name).rglob("*.py") if not path.is_relative_to(NOTEBOOKS)
)


def imported(path: Path) -> Iterator[str]:
    """The packages of ours that a file imports, at any depth of its code."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for module in modules:
            top, _, rest = module.partition(".")
            if top == "isoflop":
                part = rest.split(".")[0]
                yield part if part in MAY_IMPORT else "isoflop"


def test_the_packages_are_those_of_the_design() -> None:
    assert {"base", "models", "train", "evals", "sweeps", "analysis", "isoflop"} <= set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(package: str) -> None:
    forbidden = set(MAY_IMPORT) - MAY_IMPORT[package] - {package}
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in SOURCES
        if path.is_relative_to(ROOT / package)
        for name in imported(path)
        if name in forbidden
    ]
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_no_relative_imports_hide_from_these_rules(package: str) -> None:
    relative = [
        path
        for path in (ROOT / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_this_checkouts(package: str) -> None:
    file = importlib.import_module("isoflop" if package == "isoflop" else f"isoflop.{package}").__file__
    assert file is not None
    assert Path(file).is_relative_to(ROOT / "isoflop")
    assert Path(file).resolve().is_relative_to(ROOT / package)


def test_what_tests_share_stands_in_their_support() -> None:
    """A test imports no other test: what two of them need is in tests/support."""
    shared = re.compile(r"^\s*from tests\.(?!support\b|docs\.commands\b|conftest\b)", re.MULTILINE)
    assert not [path for path in (ROOT / "tests").rglob("*.py") if shared.search(path.read_text())]


@pytest.mark.parametrize("x64", ["0", "1"])
def test_importing_analysis_is_light_and_leaves_jax_alone(x64: str) -> None:
    code = (
        "import sys, isoflop.analysis\n"
        "for name in dir(isoflop.analysis): getattr(isoflop.analysis, name)\n"
        "heavy = {'flax', 'wandb', 'tensorflow_datasets', 'optax', 'orbax'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "import jax\n"
        f"assert jax.config.jax_enable_x64 is bool({x64})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"JAX_ENABLE_X64": x64, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_file_of_tests_is_taken_whole_by_one_process(request: pytest.FixtureRequest) -> None:
    """Its fixtures are built once. By the id shows whether xdist grouped it, as it can't with pytest 9.2."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@tests/test_layout.py")
