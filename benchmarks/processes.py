"""Measurements in processes of their own, which may fail or hang without ending a benchmark."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CLONE = Path(__file__).parents[1]
LONGEST_ERROR = 300


class MeasurementError(Exception):
    """A measurement that gave no result; its text is the last line that the process wrote, or the limit."""


def environment(more: Mapping[str, str] = {}) -> dict[str, str]:
    """That of a measurement: `isoflop` and `benchmarks` are this clone's, and JAX leaves memory to others."""
    path = os.pathsep.join(filter(None, (str(CLONE), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false", **more}


def run_json(command: Sequence[str], seconds: float, env: Mapping[str, str] = {}) -> dict[str, Any]:
    """The JSON object that a command prints last. Raises `MeasurementError`."""
    try:
        return json.loads(run_text(command, seconds, env).splitlines()[-1])
    except (ValueError, IndexError):
        raise MeasurementError(f"{command[0]} printed no JSON") from None


def run_text(command: Sequence[str], seconds: float, env: Mapping[str, str] = {}) -> str:
    """What a command prints. Raises `MeasurementError` if it fails, and if it isn't done in so many seconds:
    then it has been interrupted, and killed where that did not end it."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment(env),
            start_new_session=True,
        )
        try:
            output = process.communicate(timeout=max(1.0, seconds))[0]
        except subprocess.TimeoutExpired:
            end(process, grace=30.0)
            raise MeasurementError(f"took more than {seconds:.0f} s") from None
        if process.returncode:
            raise MeasurementError(last_line(errors) or f"ended with status {process.returncode}")
        return output


def end(process: subprocess.Popen[Any], grace: float) -> None:
    """Interrupt a process and all that it started, and kill what is left after `grace` seconds."""
    for number, patience in ((signal.SIGINT, grace), (signal.SIGKILL, 30.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=patience)


def last_line(errors: Any) -> str:
    """The last line of a file that says something."""
    errors.seek(0)
    lines = [line.strip() for line in errors.read().splitlines() if line.strip()]
    return lines[-1][:LONGEST_ERROR] if lines else ""


class Measurer:
    """A process that calls one function of a module for one setting after the other; a new one takes its
    place after a crash or a time-out.

    The functions take keywords and return a dict, both as JSON holds them.
    """

    def __init__(self, function: str, env: Mapping[str, str] = {}) -> None:
        """`function`: as in `benchmarks.ceilings.matrix_peak`."""
        self.function, self.env = function, env
        self.process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Measurer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def measure(self, setting: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The result for a setting. Raises `MeasurementError`."""
        process = self.process or self._start()
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # that it has ended shows below
            process.stdin.write(json.dumps(dict(setting)) + "\n")
            process.stdin.flush()
        try:
            line = self.lines.get(timeout=max(1.0, seconds))
        except queue.Empty:
            self.close(at_once=True)
            raise MeasurementError(f"took more than {seconds:.0f} s") from None
        if not line:
            reason = last_line(self.errors) or f"ended with status {process.wait()}"
            self.close(at_once=True)
            raise MeasurementError(reason)
        result = json.loads(line)
        if "error" in result:
            raise MeasurementError(result["error"])
        return result

    def close(self, at_once: bool = False) -> None:
        """End the process, if there is one."""
        if self.process is None:
            return
        process, self.process = self.process, None
        with contextlib.suppress(OSError):  # of a pipe whose reader has ended
            if process.stdin:
                process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0 if at_once else 20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        self.reader.join()
        if process.stdout:
            process.stdout.close()
        self.errors.close()

    def _start(self) -> subprocess.Popen[str]:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed by `close`
        self.lines: queue.Queue[str] = queue.Queue()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measurer", self.function],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment(self.env),
            start_new_session=True,
        )
        self.reader = threading.Thread(target=_read, args=(self.process.stdout, self.lines), daemon=True)
        self.reader.start()
        return self.process


def _read(stream: Any, lines: queue.Queue[str]) -> None:
    """Hand on the lines of a stream, and an empty one at its end."""
    for line in stream:
        lines.put(line)
    lines.put("")
