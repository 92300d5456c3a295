"""A worker as a child process: its command, its environment, its start and its end."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import jaxlib.version

from isoflop.base.errors import UserError
from isoflop.base.json_values import to_json
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution

ACCELERATOR_PLUGINS = ("jax_cuda12_plugin", "jax_cuda13_plugin", "jax_rocm7_plugin", "libtpu")

DEVICE_FILES = {"gpu": ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")}
"""What a driver shows of its devices: NVIDIA's, the same under WSL, AMD's."""

# The lowest level that is as fast as the highest for these models is compiled sooner. Reductions by YNNPACK
# are slow at these sizes; another JAX may not know that flag, and would abort.
CPU_XLA_FLAGS = "--xla_backend_optimization_level=1 --xla_disable_hlo_passes=tree_reduction_rewriter"
if jaxlib.version.__version__.startswith("0.10."):
    CPU_XLA_FLAGS += " --xla_cpu_experimental_ynn_fusion_type="

REFUSED, FULL = 2, 74
"""Exit statuses of a worker that can't work here at all, and of one that found the disk full."""

LEFT_BY = (0, -signal.SIGTERM, -signal.SIGUSR2, -signal.SIGINT)
"""Exit codes of a worker that was asked to leave; the signals' own, if it had not yet begun."""


def command(folder: Path, options: WorkerOptions) -> list[str]:
    """What starts a worker of the sweep in `folder`."""
    return [
        sys.executable,
        "-P",
        "-m",
        "isoflop.sweeps.workers.worker_process",
        str(folder.absolute()),
        json.dumps(to_json(options)),
    ]


def devices_a_process(execution: Execution) -> int:
    """The devices of each of a worker's processes, which are on a machine each."""
    return execution.devices // execution.nodes


def cores_and_gpus(execution: Execution, cores: int = 0, gpus: int = -1) -> tuple[int, int]:
    """What a worker's process needs of its machine, where it isn't said: a GPU for each of its devices and
    four cores for each GPU, or one core for each device."""
    if gpus < 0:
        gpus = devices_a_process(execution) if accelerated(execution) and execution.platform != "tpu" else 0
    return cores or (4 * gpus if gpus else devices_a_process(execution)), gpus


def accelerated(execution: Execution) -> bool:
    """Whether workers of this machine train on an accelerator, or on cores."""
    if execution.platform != "auto":
        return execution.platform != "cpu"
    return os.environ.get("JAX_PLATFORMS") != "cpu" and any(
        map(importlib.util.find_spec, ACCELERATOR_PLUGINS)
    )


def refuse_missing_platform(execution: Execution) -> None:
    """Raises `UserError` if this machine lacks the platform that was asked for, without starting JAX."""
    if execution.platform in ("auto", "cpu"):
        return
    plugins = [name for name in ACCELERATOR_PLUGINS if (name == "libtpu") == (execution.platform == "tpu")]
    files = DEVICE_FILES.get(execution.platform, ())
    lacking = ""
    if not any(map(importlib.util.find_spec, plugins)):
        lacking = f"JAX has no plugin for it (extra {'tpu' if execution.platform == 'tpu' else 'cuda'})"
    elif files and not any(Path(file).exists() for file in files):
        lacking = f"there is no device ({', '.join(files)})"
    if lacking:
        raise UserError(
            f"platform {execution.platform} was asked for and this machine has none: {lacking}: drop "
            "--platform, or run where there is one"
        )


def environment(execution: Execution, gpu: str | None = None) -> dict[str, str]:
    """A worker's environment on this machine. `gpu`: the only one that it sees, by number or UUID."""
    if accelerated(execution):
        seen = {} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu, "ROCR_VISIBLE_DEVICES": gpu}
        return os.environ | seen
    share = devices_a_process(execution)
    flags = f"{os.environ.get('XLA_FLAGS', '')} {CPU_XLA_FLAGS}".strip()
    flags += f" --xla_force_host_platform_device_count={share}"
    # XLA takes NPROC for the number of its threads: a worker keeps to its share where nothing pins it.
    return os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, "NPROC": str(share)}


def start(
    folder: Path,
    options: WorkerOptions,
    *,
    core: int | None = None,
    gpu: str | None = None,
    more: Mapping[str, str] = {},
    log: IO[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a worker on this machine, pinned to `core` if one is given, with `more` in its environment.

    What it says goes to `log`, or where this process' own words go.
    """
    process = subprocess.Popen(
        command(folder, options),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT if log else None,
        # The worker leaves when this process is gone, also if that happens before the worker looks.
        env={**environment(options.execution, gpu), "ISOFLOP_PARENT": str(os.getpid()), **more},
        start_new_session=True,  # a terminal's Ctrl-C is its parent's to pass on
    )
    if core is not None and hasattr(os, "sched_setaffinity"):
        # Before the child has imported JAX, which sizes its thread pool by the cores it may use.
        os.sched_setaffinity(process.pid, {core})
    return process


def leave(process: subprocess.Popen[bytes], grace: float) -> int:
    """Asks a worker to leave, and kills one that is still there after `grace` seconds; its exit code."""
    process.terminate()
    try:
        return process.wait(grace)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
