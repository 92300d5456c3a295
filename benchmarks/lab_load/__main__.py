"""A class's load on a served lab: latencies, and that kills lose nothing and charge nothing twice.

    python -m benchmarks.lab_load [--students 200] [--requests 10000] [--kills 50] [--workers 2]
        [--database URL] [--seed 0] [--small] [--json]

One lab is served three times: to one student who calls now and then (`idle`); to all students at once, who
call again as soon as they are answered, until so many requests are answered (`load`); and so once more while
server and workers are killed at random moments (SIGKILL) and started again (`kills`). Runs are a surrogate's
that take a moment, so that kills meet some. A latency is the time until the answer, tries that a kill broke
off included. When all runs have ended, what every student was told is held to what the lab remembers, and the
ledger to the runs; anything wrong ends the benchmark with exit status 1.

Without --database in SQLite, in a temporary folder. A PostgreSQL database must be new and empty.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.lab_load.checks import check, drain
from benchmarks.lab_load.server import LabServer, kill_at_random
from benchmarks.lab_load.students import BUDGET_SECONDS, Answer, Connection, Student, play
from benchmarks.timing import print_results
from isoflop.labs.lab import Lab, new_lab, new_lab_id
from isoflop.labs.roster import numbered
from isoflop.labs.settings import Settings

IDLE_PAUSE = 0.1
"""Seconds between the calls of the one student, on average."""
SHOWN = 40
"""As many of the things that are wrong."""
BACKEND = """
import time
from isoflop.labs.backends.surrogate import Surrogate

class Slow(Surrogate):
    # The surrogate's answer, evaluation by evaluation.
    def train(self, student, config, report):
        found = super().train(student, config, report)
        for n in range(1, len(found.val_losses) + 1):
            time.sleep(0.02)
            report(found.val_losses[:n])
        return found

def open_backend(lab):
    return Slow(lab)
"""


def main() -> None:
    """Prints the figures of the three, and what was checked."""
    asked = options()
    with tempfile.TemporaryDirectory() as name:
        lab = make_lab(Path(name), asked.students)
        database = asked.database or lab.default_database
        students = []
        with LabServer(lab, database, asked.workers) as server:
            for number, (student, key) in enumerate(lab.keys().items()):
                draw = random.Random(f"{asked.seed} {number}")
                students.append(Student(student, Connection(server.port, key), draw))
            results = measure(server, students, asked)
            results["drained_after_s"] = drain(lab, database)
            counts, wrong = check(students, lab, database)
            for student in students:
                student.connection.close()
    print_results(results | counts | {"load_average": os.getloadavg()[1]})
    if wrong:
        raise SystemExit("\n".join(wrong[:SHOWN]))


def measure(server: LabServer, students: list[Student], asked: argparse.Namespace) -> dict[str, Any]:
    """The figures of the three."""
    results = latencies("idle", students[:1], asked.idle_requests, IDLE_PAUSE)
    results |= latencies("load", students, asked.requests)
    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill_at_random, server, asked.kills, random.Random(asked.seed))
        results |= latencies("kills", students, asked.requests, killer=killer)
        outages = killer.result()
    return results | {
        "kills": asked.kills,
        "kills_of_the_server": len(outages),
        "back_after_s": float(np.median(outages)) if outages else float("nan"),
    }


def latencies(
    name: str,
    students: list[Student],
    n_requests: int,
    pause: float = 0.0,
    killer: Future[list[float]] | None = None,
) -> dict[str, Any]:
    """Plays students until so many requests are answered, and the killer, if there is one, is done."""
    began, before = time.monotonic(), sum(len(student.answers) for student in students)

    def is_over() -> bool:
        answered = sum(len(student.answers) for student in students) - before
        return answered >= n_requests and (killer is None or killer.done())

    answers = play(students, pause, is_over)
    if not answers:
        raise SystemExit("\n".join(line for student in students for line in student.wrong[:1]) or "no answer")
    return figures(name, answers, time.monotonic() - began)


def figures(name: str, answers: list[Answer], wall: float) -> dict[str, Any]:
    """Of one way of playing, by names that begin with its own."""
    p50, p99 = np.percentile([answer.seconds for answer in answers], (50, 99))
    found = {
        "requests": len(answers),
        "requests_per_s": len(answers) / wall,
        "p50_ms": 1000 * float(p50),
        "p99_ms": 1000 * float(p99),
        "broken_off": sum(answer.broken_off > 0 for answer in answers),
    }
    return {f"{name}_{key}": value for key, value in found.items()}


def make_lab(folder: Path, n_students: int) -> Lab:
    """A lab whose runs take a moment."""
    backend = folder / "slow.py"
    backend.write_text(BACKEND)
    settings = Settings(lab_id=new_lab_id(), backend=str(backend), budget_seconds=BUDGET_SECONDS)
    return new_lab(folder / "lab", settings, numbered(n_students))


def options() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--students", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--idle-requests", type=int, default=200)
    parser.add_argument("--database")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    if asked.small:
        asked.students, asked.requests, asked.kills, asked.idle_requests = 4, 60, 2, 5
    return asked


if __name__ == "__main__":
    main()
