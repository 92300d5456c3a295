"""Sweeps trained inside the test's own process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.config import SweepConfig
from isoflop.sweeps.plan import make_plan
from isoflop.sweeps.progress.console import Reporter
from isoflop.sweeps.queue.heartbeats import HeartbeatWriter
from isoflop.sweeps.queue.process_identity import ProcessIdentity
from isoflop.sweeps.queue.store import Store
from isoflop.sweeps.queue.task import Task
from isoflop.sweeps.registered import registered_cells
from isoflop.sweeps.run import run_sweep
from isoflop.sweeps.workers.execute import PackContext, execute
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.sweeps.workers.worker import Worker
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.device import find_device
from tests.support.tables import read_rows

Refuse = Callable[[Task], str | None]


class InProcess:
    """A launcher without processes. `given`: the tasks it has done; `refuse` may say why to fail one."""

    worker_count = 1

    def __init__(self, store: Store, options: WorkerOptions, given: list[Task], refuse: Refuse) -> None:
        process = ProcessIdentity.own()
        heartbeats = HeartbeatWriter(store.path / "workers", process, 5.0)
        self.worker = Worker(
            store, process, heartbeats, find_device(options.execution), options, lambda: False
        )
        self.given, self.refuse = given, refuse

    def scale(self, wanted: int) -> list[str]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("isoflop.sweeps.workers.worker.execute", self._execute)
            self.worker.run(idle_seconds=0)
        return []

    def close(self) -> None:
        pass

    def _execute(self, tasks: Sequence[Task], store: Store, done: int, context: PackContext) -> None:
        self.given.extend(tasks)
        for task in tasks:
            if reason := self.refuse(task):
                raise RuntimeError(reason)
        execute(tasks, store, done, context)


class Runner:
    """Runs sweeps on the small corpus and remembers what was trained and what was said."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.given: list[Task] = []
        self.said: list[str] = []

    def __call__(
        self,
        config: SweepConfig,
        out: Path,
        refuse: Refuse = lambda task: None,
        open_launcher: Any = None,
        worker_options: WorkerOptions = WorkerOptions(),
        adaptive: Adaptive | None = None,
    ) -> list[dict[str, str]]:
        """The rows of runs.csv of the sweep, trained here unless another launcher is named."""
        self.given.clear()
        self.said.clear()
        reporter = Reporter()
        reporter.say = lambda text, style="": self.said.append(text)

        def here(store: Store, options: WorkerOptions) -> InProcess:
            return InProcess(store, options, self.given, refuse)

        further = [prepare(name, config.tokenizer, config.data) for name in config.eval_data]
        varied = [prepare(name, config.tokenizer, config.data) for name in config.axis_values("data")]
        plan = make_plan(config, self.corpus, further, registered_cells(out, config), varied)
        run_sweep(plan, out, open_launcher or here, reporter, worker_options, adaptive)
        return read_rows(out)

    def failures(self, out: Path) -> dict[str, int]:
        """Segments that failed, and how often."""
        return Store(out).contents().failures
