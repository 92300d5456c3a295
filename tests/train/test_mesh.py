"""A model over several devices and processes, against the same model on one."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.errors import UserError
from train.execution import Execution
from train.mesh import mesh_over

pytestmark = pytest.mark.slow

STEPS = 30
SHAPES: dict[str, dict[str, Any]] = {"dense": {}, "experts": {"experts": 4, "experts_per_token": 2}}


def spread(source: str, *asked: dict[str, Any]) -> list[dict[str, Any]]:
    """What each process says, all started together."""
    whole = {"source": source, "start": 0, "stop": STEPS, "total": STEPS, "model": {}}
    processes = []
    for one in asked:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.train.spread"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(whole | one))
        process.stdin.close()
        process.stdin = None
        processes.append(process)
    said = []
    for process in processes:
        out, error = process.communicate(timeout=300)
        assert process.returncode == 0, error[-3000:]
        said.append(json.loads(out.splitlines()[-1]))
    return said


@pytest.fixture(scope="module", params=SHAPES.values(), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the model has beside its width."""
    return request.param


@pytest.fixture(scope="module")
def single(
    source_name: str, shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The run on one device; `folder`: its checkpoint."""
    folder = tmp_path_factory.mktemp("single") / "end"
    (said,) = spread(source_name, {"devices": 1, "save": str(folder), "model": shape})
    return said


@pytest.fixture(scope="module")
def eight(
    source_name: str, shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The run's first half over eight devices; `folder`: its checkpoint."""
    folder = tmp_path_factory.mktemp("eight") / "half"
    asked = {"devices": 8, "stop": STEPS // 2, "save": str(folder), "model": shape}
    (said,) = spread(source_name, asked)
    return said | {"folder": folder}


def test_eight_devices_give_the_losses_of_one(single: dict[str, Any], eight: dict[str, Any]) -> None:
    half = single["losses"][: STEPS // 2]
    np.testing.assert_allclose(eight["losses"], half, rtol=2e-4)
    np.testing.assert_allclose(eight["losses"][:3], half[:3], rtol=1e-5)


def test_parameters_and_moments_are_sharded(eight: dict[str, Any]) -> None:
    assert "P('data', None)" in eight["shards"]
    assert "P(None, 'data')" in eight["shards"]


@pytest.mark.parametrize("devices", [1, 2])
def test_a_checkpoint_of_eight_devices_goes_on_elsewhere(
    devices: int,
    source_name: str,
    shape: dict[str, Any],
    single: dict[str, Any],
    eight: dict[str, Any],
    tmp_path: Path,
) -> None:
    asked = {"devices": devices, "start": STEPS // 2, "parent": str(eight["folder"]), "model": shape}
    (said,) = spread(source_name, asked | {"save": str(tmp_path / "end")})
    np.testing.assert_allclose(said["losses"], single["losses"][STEPS // 2 :], rtol=2e-3)
    np.testing.assert_allclose(said["windows"], single["windows"], rtol=5e-3)


def test_two_processes_give_the_losses_of_one(
    source_name: str, shape: dict[str, Any], single: dict[str, Any], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = {"devices": 4, "processes": 2, "port": port, "save": str(tmp_path / "end"), "model": shape}
    first, second = spread(source_name, *(asked | {"process": i} for i in range(2)))
    assert first == second
    np.testing.assert_allclose(first["losses"], single["losses"], rtol=2e-3)
    np.testing.assert_allclose(first["windows"], single["windows"], rtol=5e-3)
    again = {"devices": 1, "start": STEPS - 1, "parent": str(tmp_path / "end"), "model": shape}
    (said,) = spread(source_name, again | {"save": str(tmp_path / "again")})
    assert said["losses"][0] < single["losses"][0]


def test_more_devices_than_there_are() -> None:
    with pytest.raises(UserError, match="devices 1000: JAX sees"):
        mesh_over(1000)
    with pytest.raises(UserError, match="pack cells on one device"):
        Execution(devices=2, members=2)
