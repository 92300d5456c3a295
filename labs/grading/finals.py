"""Final submissions run at the target budget: which are still to be run, and running them."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import count, takewhile
from pathlib import Path

from sqlalchemy import Connection

from isoflop.base.errors import UserError
from isoflop.labs.backends import load_backend
from isoflop.labs.backends.backend import Backend, Outcome
from isoflop.labs.contract.training_config import TrainingConfig
from isoflop.labs.lab import Lab, open_lab
from isoflop.labs.settings import Settings
from isoflop.labs.store.database import Database
from isoflop.labs.store.final_runs import all_final_runs, save_final_run
from isoflop.labs.store.finals import all_finals
from isoflop.labs.store.freezing import frozen_since
from isoflop.labs.store.students import all_students


@dataclass(frozen=True)
class FinalJob:
    """A run that is to be made: a student's config, with the target reserved and a seed of its own."""

    student_id: int
    student: str
    config: TrainingConfig


def final_run_config(config: TrainingConfig, settings: Settings, replicate: int = 0) -> TrainingConfig:
    """A submitted config as it is run: its own seed first, the next ones after it, the target reserved."""
    # A target may be above what the contract lets a student reserve, so that nothing is checked here.
    return config.model_copy(
        update={
            "max_runtime_seconds": settings.target_seconds,
            "model_seed": config.model_seed + replicate,
        }
    )


def runs_of(
    runs: dict[tuple[int, str], Outcome], student_id: int, config: TrainingConfig, settings: Settings
) -> list[Outcome]:
    """The runs that there are of a submitted config, its own seed's first."""
    found = (
        runs.get((student_id, final_run_config(config, settings, replicate).config_id))
        for replicate in count()
    )
    return [run for run in takewhile(lambda run: run is not None, found) if run is not None]


def jobs_to_run(connection: Connection, settings: Settings, n_seeds: int) -> list[FinalJob]:
    """What is still to be run: of every final and interval submission that counts, each seed.

    Raises `UserError` before the deadline, when submissions may still change, and where there are none.
    """
    if frozen_since(connection) is None:
        raise UserError(
            "the lab is not frozen, so that submissions may still change: isoflop lab freeze DIR first"
        )
    submitted = [
        final
        for with_interval in (False, True)
        for final in all_finals(connection, with_interval=with_interval).values()
    ]
    if not submitted:
        raise UserError(
            "there are no final submissions to run: to let students hand in, isoflop lab freeze DIR --lift, "
            "or --at a later deadline"
        )
    done = all_final_runs(connection)
    names = {student.id: student.name for student in all_students(connection)}
    wanted: dict[tuple[int, str], FinalJob] = {}
    for replicate in range(n_seeds):  # everybody's first seed before anybody's second
        for final in submitted:
            config = final_run_config(final.config, settings, replicate)
            job = FinalJob(final.student_id, names[final.student_id], config)
            wanted.setdefault((final.student_id, config.config_id), job)
    return [job for key, job in wanted.items() if key not in done]


def run_finals(
    lab: Lab,
    store: Database,
    jobs: list[FinalJob],
    n_workers: int,
    announce: Callable[[FinalJob, Outcome], None],
) -> int:
    """Runs jobs and records each as it ends, so that a run that has ended is never made again.

    Returns how many failed for no reason of their config's, which nothing is recorded of.
    """
    failed = 0
    for job, outcome in _outcomes(lab, jobs, n_workers):
        if outcome is None:
            failed += 1
            continue
        with store.write() as connection:
            save_final_run(connection, job.student_id, job.config.config_id, outcome)
        announce(job, outcome)
    return failed


def _outcomes(lab: Lab, jobs: list[FinalJob], n_workers: int) -> Iterator[tuple[FinalJob, Outcome | None]]:
    """Each job with what came of it, as it comes; None where running it failed."""
    if n_workers == 1:
        backend = load_backend(lab)
        yield from ((job, _attempt(backend, job)) for job in jobs)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork of a process that JAX runs in may hang
    with ProcessPoolExecutor(n_workers, spawn, _start_worker, (lab.folder,)) as pool:
        running = {pool.submit(_attempt_in_worker, job): job for job in jobs}
        try:
            for future in as_completed(running):
                yield running[future], _result(future)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _result(future: Future[Outcome | None]) -> Outcome | None:
    try:
        return future.result()
    except BrokenProcessPool:
        raise UserError(
            "a worker died, of too little memory perhaps: what has ended is recorded; run isoflop lab finals "
            "again to go on, with fewer --workers"
        ) from None


_backend: Backend
"""The backend of a worker process, which `_start_worker` opens."""


def _start_worker(folder: Path) -> None:
    global _backend
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _backend = load_backend(open_lab(folder))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _attempt_in_worker(job: FinalJob) -> Outcome | None:
    return _attempt(_backend, job)


def _attempt(backend: Backend, job: FinalJob) -> Outcome | None:
    """Runs a job; a config that the backend cannot run, or a table does not hold, has no losses."""
    if refused := [*backend.violations(job.config)]:
        return Outcome(0.0, (), f"not run: {refused[0].message}")
    try:
        return backend.train(job.student, job.config, _ignore)
    except Exception:
        print(f"the run of {job.student} failed:", file=sys.stderr)
        traceback.print_exc()
        return None


def _ignore(_: tuple[float, ...]) -> None:
    """Takes losses that nobody waits for."""
