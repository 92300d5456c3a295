"""What a scripted student calls: the lab's own calls over HTTP, with waiting where the lab asks for it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

POLL_SECONDS = 0.5
TIMEOUT_SECONDS = 30.0
PATIENCE = 240
"""Looks at runs that do not end before a student gives up: two minutes."""
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""The lab is on this machine: no proxy stands between."""


class StoppedError(Exception):
    """The class is over before this student is done."""


class RefusedError(Exception):
    """The lab refused a call. `status`: HTTP's."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status


@dataclass(frozen=True)
class Client:
    """One student's connection. `stop`: set when the class is over."""

    address: str
    key: str
    stop: threading.Event

    def get(self, path: str) -> Any:
        """The answer to a GET."""
        return self._call("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        """The answer to a POST."""
        return self._call("POST", path, body)

    def run(self, configs: Sequence[dict[str, Any]]) -> pd.DataFrame:
        """Submits configs that the budget still pays for, waits for them, and returns all completed runs.

        Columns `n_params` (without the embedding), `n_tokens`, `flops`, `loss`, `lr` and `heads`, in order of
        submission.
        """
        for config in configs:
            try:
                self.post("/submit", config)
            except RefusedError as refused:
                if refused.status not in (400, 409):  # no budget left, or run before
                    raise
        return self._table(self._ended())

    def _ended(self) -> list[dict[str, Any]]:
        for _ in range(PATIENCE):
            runs = self.get("/experiments")
            if all(run["status"]["status_type"] in ("completed", "failed") for run in runs):
                return runs
            self._sleep(POLL_SECONDS)
        raise RefusedError(504, "runs do not end: does a worker run?")

    def _table(self, runs: list[dict[str, Any]]) -> pd.DataFrame:
        rows = []
        for run in runs:
            config, status = run["training_config"], run["status"]
            if status["status_type"] == "completed":
                price = self.post("/estimate", config)
                rate = config["optimizer_config"]["lr_scheduler"]["peak_value"]
                rows.append(
                    (price["n_params_non_embedding"], config["total_train_tokens"], price["flops"],
                     status["val_losses"][-1], rate, config["architecture_config"]["num_attention_heads"])
                )  # fmt: skip
        return pd.DataFrame(rows, columns=pd.Index(["n_params", "n_tokens", "flops", "loss", "lr", "heads"]))

    def _call(self, method: str, path: str, body: Any) -> Any:
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        request = urllib.request.Request(self.address + path, data, headers, method=method)
        while True:
            if self.stop.is_set():
                raise StoppedError
            try:
                with DIRECT.open(request, timeout=TIMEOUT_SECONDS) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    raise RefusedError(error.code, json.load(error)["detail"]) from None
                self._sleep(float(error.headers["Retry-After"]))

    def _sleep(self, seconds: float) -> None:
        if self.stop.wait(seconds):
            raise StoppedError
