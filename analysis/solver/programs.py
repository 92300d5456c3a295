"""Traced programs, kept from one process to the next.

Most of a first fit is no arithmetic: JAX traces the solver, lowers it, and compiles it. Where JAX keeps its
compiled programs in a folder (`jax_compilation_cache_dir`), the traced ones are kept beside them
(`jax.export`), so that a later process has neither to do.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
from jax import export

from isoflop.analysis.laws.constrained import Form
from isoflop.analysis.laws.evaluate import in_package

TRACED = "traced"
"""The folder, within that of the compiled programs."""
SOURCES = ("laws", "solver")
"""Folders of `analysis` that a program is made of."""


class Program:
    """`function` of arrays, compiled: a trace of it that is on disk is taken, one that is not is put there.

    `key`: what distinguishes it from the folder's others, besides the arguments' shapes and the sources.
    """

    def __init__(self, function: Callable[..., Any], key: tuple[str, ...]) -> None:
        self._function, self._key = function, key
        self._plain = jax.jit(function)
        self._exported: dict[str, Callable[..., Any]] = {}

    def __call__(self, *arguments: Any) -> Any:
        folder = _folder()
        if folder is None:
            return self._plain(*arguments)
        leaves, tree = jax.tree_util.tree_flatten(arguments)
        kinds = [repr(jax.typeof(leaf)) for leaf in leaves]
        name = _digest((*self._key, str(tree), *kinds))
        if name not in self._exported:
            self._exported[name] = self._load(folder / f"{name}.stablehlo", leaves, tree)
        return self._exported[name](*leaves)

    def _load(self, path: Path, leaves: list[Any], tree: Any) -> Callable[..., Any]:
        exported = _read(path)
        if exported is None:
            flat = jax.jit(lambda *values: self._function(*jax.tree_util.tree_unflatten(tree, values)))
            exported = export.export(flat, platforms=["cpu"])(*leaves)
            _write(path, bytes(exported.serialize()))
        return jax.jit(exported.call)


def program_of(form: Form, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, of a law's form, compiled. Only programs of this package's own laws are kept: of a law of
    the user's own no file says all that it does, nor of one of several groups.
    """
    if not in_package(form.whole):
        return jax.jit(function)
    constrained = () if form.free is None else (str(form.free), str(form.passes), str(form.linear))
    return Program(function, (form.whole.name, name, *constrained))


def _folder() -> Path | None:
    """Where traces are kept; None where JAX keeps no programs, or elsewhere than in a folder."""
    root = jax.config.values["jax_compilation_cache_dir"]
    if not root or "://" in root or not _can_export():
        return None
    return Path(root) / TRACED


@functools.cache
def _can_export() -> bool:
    return importlib.util.find_spec("flatbuffers") is not None


def _digest(parts: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join((_sources(), *parts)).encode()).hexdigest()[:32]


@functools.cache
def _sources() -> str:
    """A hash of everything that a program is made of: JAX's version and the code of laws and solver."""
    found = hashlib.sha256(f"{jax.__version__} {version('jaxlib')}".encode())
    for folder in SOURCES:
        for path in sorted((Path(__file__).parents[1] / folder).glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()


def _read(path: Path) -> Any:
    """The program in a file; None where there is none, or what is there can't be read."""
    try:
        return export.deserialize(bytearray(path.read_bytes()))
    except Exception:  # a file cut short, or of another version's format: anything its parser raises
        return None


def _write(path: Path, content: bytes) -> None:
    """Writes the file whole or not at all. A folder that can't be written costs the next process its time."""
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_bytes(content)
        temporary.replace(path)
