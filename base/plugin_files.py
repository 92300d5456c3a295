"""Plug-ins in files of the user's own, and the modules beside them that they import.

A file is loaded from where it lies. Where its content is part of a result's identity it is pinned first:
copied into the cache, with the modules beside it that it imports, and from then on called `FILE.py@ID` by a
hash of all of them: two versions of a file are two names, and an edit changes nothing that is under way.

The user's folder never goes on `sys.path`: a module of it is found only by a name that the plug-in itself, or
a module it imports, asks for, and only if nothing else has that name.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

from isoflop.base.cache import cache_dir
from isoflop.base.durable import new_folder
from isoflop.base.errors import UserError

PINNED = re.compile(r"([^/]+\.py)@([0-9a-f]{16})")


def pin(name: str, kind: str) -> str:
    """`FILE.py@ID` for the path of a `.py` file; any other name as it is.

    Raises `UserError` for a file that can't be read.
    """
    if not name.endswith(".py"):
        return name
    path = Path(name)
    files = _files(path, kind)
    identity = content_id(name, kind)
    folder = cache_dir("plugins") / identity
    if not folder.exists():
        with new_folder(folder) as scratch:
            for relative, content in files.items():
                (scratch / relative).parent.mkdir(parents=True, exist_ok=True)
                (scratch / relative).write_bytes(content)
    return f"{path.name}@{identity}"


def content_id(name: str, kind: str) -> str:
    """Sixteen hexadecimal digits of a hash of the `.py` file and of all that it imports from its folder."""
    digest = hashlib.sha256()
    for relative, content in sorted(_files(Path(name), kind).items()):
        digest.update(relative.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def load_file(path: Path, attribute: str, kind: str) -> ModuleType:
    """The module of a file as it is now. Raises `UserError` for one that is no plug-in of that kind."""
    return _load(path, f"isoflop_{kind.replace(' ', '_')}_{path.stem}", attribute, kind)


def load_pinned(file: str, identity: str, attribute: str, kind: str) -> ModuleType:
    """The module of a pinned file, loaded once. Raises `UserError` for one that is not in the cache."""
    name = f"isoflop_{kind.replace(' ', '_')}_{Path(file).stem}_{identity}"
    if name in sys.modules:
        return sys.modules[name]
    path = cache_dir("plugins") / identity / file
    if not path.is_file():
        raise UserError(
            f"{kind} {file}@{identity} is not in the cache ({path.parent}): name the file itself again, and "
            "give all machines one cache folder by ISOFLOP_CACHE"
        )
    return _load(path, name, attribute, kind)


class _UncompiledLoader(SourceFileLoader):
    """Neither reads nor writes compiled files: Python knows them by size and second, and an edit may change
    neither."""

    def path_stats(self, path: str) -> Mapping[str, Any]:
        raise OSError("no compiled file")  # which is how a loader says so


class _BesideFinder:
    """The first of Python's finders: gives plug-ins the modules that lie beside them, which nothing else has.

    `folders`: top-level name -> the folder of the plug-in that asks for it, the latest one where several do.
    """

    def __init__(self) -> None:
        self.folders: dict[str, Path] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        folder = self.folders.get(fullname.partition(".")[0])
        spec = PathFinder.find_spec(fullname, path or [str(folder)]) if folder else None
        if spec and spec.origin and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _UncompiledLoader(fullname, spec.origin)
        return spec

    def offer(self, names: set[str], folder: Path) -> None:
        """Makes the modules `names` of a folder known, and forgets others of those names."""
        for name in names:
            if name in self.folders:  # another plug-in's, or this one's before it was edited
                for loaded in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
                    del sys.modules[loaded]
            self.folders[name] = folder
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)


_beside = _BesideFinder()


def _load(path: Path, name: str, attribute: str, kind: str) -> ModuleType:
    tops = {relative.split("/")[0].removesuffix(".py") for relative in _files(path, kind)}
    spec = importlib.util.spec_from_file_location(name, path, loader=_UncompiledLoader(name, str(path)))
    if spec is None or spec.loader is None:
        raise UserError(f"{path} can't be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    _beside.offer(tops - {path.stem}, path.parent.resolve())
    sys.modules[name] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"{kind} file {path} failed on import: {type(error).__name__}: {error}") from error
    if not hasattr(module, attribute):
        del sys.modules[name]
        raise UserError(f"{kind} file {path} defines no {attribute!r}")
    return module


def _files(path: Path, kind: str) -> dict[str, bytes]:
    """The file and the modules of its folder that it imports, wherever in its code: content by relative
    path."""
    if not path.is_file():
        raise UserError(f"no {kind} file {path}: check the path")
    folder, found, waiting = path.parent, dict[str, bytes](), [path]
    while waiting:
        file = waiting.pop()
        relative = file.relative_to(folder).as_posix()
        if relative not in found:
            try:
                found[relative] = file.read_bytes()
            except OSError as error:
                raise UserError(f"{kind} file {file} can't be read: {error.strerror}") from error
            for name in _imported(found[relative]):
                waiting += _modules_beside(folder, name)
    return found


def _imported(source: bytes) -> set[str]:
    """Top-level names of what a source imports; none of one that is no Python."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return set()
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    named = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | named} - {""}


def _modules_beside(folder: Path, name: str) -> list[Path]:
    """The files of the module or package `name` in the folder; none if the name is found elsewhere."""
    if _is_elsewhere(name, folder):
        return []
    package = sorted(p for p in (folder / name).rglob("*.py") if not p.name.startswith("."))
    module = folder / f"{name}.py"
    return package if (folder / name / "__init__.py").is_file() or not module.is_file() else [module]


def _is_elsewhere(name: str, folder: Path) -> bool:
    if name in sys.builtin_module_names or name in sys.stdlib_module_names:
        return True
    own = folder.resolve()
    path = [entry for entry in sys.path if Path(entry or ".").resolve() != own]
    for finder in sys.meta_path:
        if isinstance(finder, _BesideFinder):
            continue
        spec = finder.find_spec(name, path if finder is PathFinder else None)
        if spec and not (spec.origin and Path(spec.origin).is_relative_to(own)):
            return True
    return False
