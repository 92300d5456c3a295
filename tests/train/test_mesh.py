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

from isoflop.base.errors import UserError
from isoflop.train.execution import Execution
from isoflop.train.mesh import mesh_over
from tests.support.spread import train

STEPS = 30
HALF = STEPS // 2
SHAPES: dict[str, dict[str, Any]] = {"dense": {}, "experts": {"experts": 4, "experts_per_token": 2}}


@pytest.fixture(scope="module", params=SHAPES.values(), ids=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What the model has beside its width."""
    return request.param


@pytest.fixture(scope="module")
def single(
    source_name: str, shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The run on one device."""
    folder = tmp_path_factory.mktemp("single") / "end"
    return train(source_name, 1, shape, steps=(0, STEPS, STEPS), save=str(folder))


@pytest.fixture(scope="module")
def eight(
    source_name: str, shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """The run's first half over eight devices; `folder`: its checkpoint."""
    folder = str(tmp_path_factory.mktemp("eight") / "half")
    return train(source_name, 8, shape, steps=(0, HALF, STEPS), save=folder) | {"folder": folder}


@pytest.mark.slow
def test_eight_devices_give_the_losses_of_one(single: dict[str, Any], eight: dict[str, Any]) -> None:
    half = single["losses"][:HALF]
    np.testing.assert_allclose(eight["losses"], half, rtol=2e-4)
    np.testing.assert_allclose(eight["losses"][:3], half[:3], rtol=1e-5)


@pytest.mark.slow
def test_parameters_and_moments_are_sharded(eight: dict[str, Any]) -> None:
    assert {"P('data', None)", "P(None, 'data')"} <= set(eight["shards"])


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_a_checkpoint_of_eight_devices_goes_on_elsewhere(
    devices: int,
    source_name: str,
    shape: dict[str, Any],
    single: dict[str, Any],
    eight: dict[str, Any],
    tmp_path: Path,
) -> None:
    steps = (HALF, STEPS, STEPS)
    rest = train(source_name, devices, shape, steps=steps, save=str(tmp_path / "end"), parent=eight["folder"])
    np.testing.assert_allclose(rest["losses"], single["losses"][HALF:], rtol=2e-3)
    np.testing.assert_allclose(rest["windows"], single["windows"], rtol=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [SHAPES["dense"]], indirect=True)
def test_two_processes_give_the_losses_of_one(
    source_name: str, shape: dict[str, Any], single: dict[str, Any], tmp_path: Path
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    end = str(tmp_path / "end")
    asked = {"source": source_name, "devices": 4, "model": shape, "steps": (0, STEPS, STEPS), "save": end}
    command = [sys.executable, "-m", "tests.support.spread"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [subprocess.Popen(command, text=True, **pipes) for _ in range(2)]
    for i, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(json.dumps(asked | {"port": port, "processes": 2, "process": i}))
        process.stdin.close()
        process.stdin = None
    said = [process.communicate(timeout=300) for process in processes]
    for process, (_, error) in zip(processes, said, strict=True):
        assert process.returncode == 0, error[-3000:]
    first, second = (json.loads(out.splitlines()[-1]) for out, _ in said)
    assert first == second
    np.testing.assert_allclose(first["losses"], single["losses"], rtol=2e-3)
    np.testing.assert_allclose(first["windows"], single["windows"], rtol=5e-3)
    steps = (STEPS - 1, STEPS, STEPS)
    again = train(source_name, 1, shape, steps=steps, save=str(tmp_path / "again"), parent=end)
    assert again["losses"][0] < single["losses"][0] - 0.5


def test_more_devices_than_there_are() -> None:
    with pytest.raises(UserError, match="devices 1000: JAX sees"):
        mesh_over(1000)
    with pytest.raises(UserError, match="pack cells on one device"):
        Execution(devices=2, members=2)
