"""The process that holds W&B's client: takes runs as lines of JSON, answers each once W&B has it.

The first line says where to write: a `Destination`, the folder, and the seconds in which an answer is wanted.
It is answered once the client is there. The process ends with its input, or with an error.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

REQUEST_SECONDS = 20
"""Time limit of one question to the server, and of the start of a run."""

CONFIRM_SHARE = 0.25
"""How long the server may take to show a run that it was sent, as a share of the seconds for an answer."""

DIGEST = "_isoflop"
"""The summary's key that says what a run holds."""

OVER = ("finished", "failed")


@dataclass
class _Open:
    """A run that is being written. `next_step`: the first that it lacks; `is_live`: begun half-way."""

    run: Any
    next_step: int
    is_live: bool


class Writer:
    """Writes runs to one destination."""

    def __init__(self, to: Mapping[str, Any]) -> None:
        import wandb

        self.wandb, self.to = wandb, to
        self.online = to["mode"] == "online"
        self._there: dict[str, str] | None = None
        self._open: dict[str, _Open] = {}
        self._entity = to["entity"]

    def write(self, run: Mapping[str, Any]) -> bool:
        """Writes the run, unless the server has it as it is; returns whether it had to."""
        if not run["over"]:
            self._log_points(self._opened(run), run)
            return False
        if self.online and run["id"] not in self._open and self._has(run):
            return False
        self._log(run)
        if self.online:
            self._confirm(run)
        return True

    def _log(self, run: Mapping[str, Any]) -> None:
        opened = self._opened(run)
        self._log_points(opened, run)
        del self._open[run["id"]]
        logged = opened.run
        if opened.is_live:  # as it began, its row was not known
            logged.config.update(run["config"], allow_val_change=True)
            logged.tags = run["tags"]
        if run["table"] and logged.summary.get(DIGEST) != run["digest"]:
            logged.log({"runs": self.wandb.Table(**run["table"], allow_mixed_types=True)})
        if run["files"]:
            logged.log_artifact(self._artifact(run))
        logged.summary.update({**run["summary"], DIGEST: run["digest"]})
        logged.finish(exit_code=int(run["failed"]))

    def _opened(self, run: Mapping[str, Any]) -> _Open:
        """The run, begun if need be; one that goes on has the points before its next step."""
        if run["id"] not in self._open:
            logged = self._start(run)
            for axis in ("tokens", "flops"):
                logged.define_metric(axis, hidden=True, summary="none")
            logged.define_metric("train_loss_by_flops", step_metric="flops", summary="none")
            for name in {key for point in run["points"] for key in point} - {"step", "tokens", "flops"}:
                if name != "train_loss_by_flops":
                    logged.define_metric(name, step_metric="tokens")
            self._open[run["id"]] = _Open(logged, logged.starting_step, not run["over"])
        return self._open[run["id"]]

    def _log_points(self, opened: _Open, run: Mapping[str, Any]) -> None:
        for point in run["points"]:
            if point["step"] >= opened.next_step:
                values = {name: value for name, value in point.items() if name != "step"}
                opened.run.log(values, step=point["step"], commit=True)
                opened.next_step = point["step"] + 1

    def _start(self, run: Mapping[str, Any]) -> Any:
        return self.wandb.init(
            project=self.to["project"],
            entity=self.to["entity"],
            group=run["group"],
            id=run["id"],
            name=run["name"],
            job_type=run["job_type"],
            tags=run["tags"],
            config=run["config"],
            mode=self.to["mode"],
            dir=self.to["folder"],
            allow_val_change=True,
            resume="allow" if self.online else None,
            reinit="create_new",  # several cells train at once
            settings=self.wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,  # of this process, which trains nothing
                x_save_requirements=False,
                init_timeout=REQUEST_SECONDS,
            ),
        )

    def _artifact(self, run: Mapping[str, Any]) -> Any:
        artifact = self.wandb.Artifact(run["id"], type="report")
        for name, path in run["files"].items():
            artifact.add_file(path, name=name, skip_cache=True)
        return artifact

    def _has(self, run: Mapping[str, Any]) -> bool:
        if self._there is None:
            self._there = self._listed({"group": run["group"]})
        return self._there.get(run["id"]) == run["digest"]

    def _confirm(self, run: Mapping[str, Any]) -> None:
        """W&B's client ends quietly where the server turned the data down."""
        until = time.monotonic() + CONFIRM_SHARE * self.to["answer_seconds"]
        while self._listed({"name": run["id"]}).get(run["id"]) != run["digest"]:
            if time.monotonic() > until:
                raise ConnectionError(f"the server did not take run {run['id']}")
            time.sleep(0.5)

    def _listed(self, filters: dict[str, str]) -> dict[str, str]:
        """What the project's runs that are over hold, by id."""
        api = self.wandb.Api(timeout=REQUEST_SECONDS)
        self._entity = self._entity or api.default_entity
        path = f"{self._entity}/{self.to['project']}"
        try:
            runs = list(api.runs(path, filters=filters, per_page=500, lazy=False))
        except ValueError as error:
            if "could not find project" in str(error).lower():  # the first run makes it
                return {}
            raise
        return {run.id: str(dict(run.summary.items()).get(DIGEST)) for run in runs if run.state in OVER}


def main() -> None:
    """Serves until the input ends."""
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what W&B prints is no reply
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(requests,), daemon=True).start()
    to = requests.get()
    try:
        writer = Writer(to)
        replies.write("{}\n")
        while True:
            replies.write(json.dumps({"sent": writer.write(requests.get())}) + "\n")
    except Exception as error:
        replies.write(json.dumps({"error": _why(error, to["mode"])}) + "\n")
        replies.flush()
        os._exit(1)  # without W&B's own farewell, which would try the server again


def _read(requests: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        requests.put(json.loads(line))
    os._exit(0)  # whoever asked is gone, or has given up


def _why(error: Exception, mode: str) -> str:
    message = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, ModuleNotFoundError) and error.name == "wandb":
        return "W&B is not installed: pip install wandb"
    if mode == "offline":
        return f"W&B's client failed ({message})"
    if "api key" in message.lower() or "log in" in message.lower():
        return "W&B has no login here: run `wandb login` or set WANDB_API_KEY"
    return f"W&B can't be reached ({message})"


if __name__ == "__main__":
    main()
