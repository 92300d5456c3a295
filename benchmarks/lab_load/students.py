"""Scripted students: each calls again as soon as it is answered, and remembers what it was told."""

from __future__ import annotations

import http.client
import json
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from isoflop.labs.demo.configs import CONTEXT, config

PATIENCE_SECONDS = 120.0
"""A call that is not answered by then hangs."""
RETRY_SECONDS = 0.1
STEPS = (1000, 4000, 8000)
"""Of the runs: from three seconds of the reference machine to more than a short reservation pays for."""
BATCH, HEADS = 64, 4
RESERVED = (10.0, 20.0, 40.0)
BUDGET_SECONDS = 250.0
"""A student's: those who submit most spend it."""
ENDED = ("completed", "failed")


@dataclass(frozen=True)
class Answer:
    """An answer, and the seconds from the first try to it. `broken_off`: tries that the server's end met."""

    status: int
    body: Any
    seconds: float
    broken_off: int


@dataclass
class Connection:
    """One student's connection to the lab, made anew whenever the server is gone."""

    port: int
    key: str
    _open: http.client.HTTPConnection | None = None

    def call(self, method: str, path: str, body: Any = None) -> Answer:
        """The answer, of as many tries as it takes. Raises `TimeoutError` where none comes."""
        began = time.monotonic()
        broken_off = 0
        while time.monotonic() - began < PATIENCE_SECONDS:
            try:
                status, found, headers = self._try(method, path, body)
            except (OSError, http.client.HTTPException):
                self.close()
                broken_off += 1
                time.sleep(RETRY_SECONDS)
                continue
            if status in (429, 503):  # too often, or the database's turn is awaited for too long
                time.sleep(float(headers["Retry-After"]))
                continue
            return Answer(status, found, time.monotonic() - began, broken_off)
        raise TimeoutError(f"{method} {path}: no answer in {PATIENCE_SECONDS:g} seconds")

    def close(self) -> None:
        """Ends the connection."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _try(self, method: str, path: str, body: Any) -> tuple[int, Any, Any]:
        if self._open is None:
            self._open = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        data = None if body is None else json.dumps(body)
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        self._open.request(method, path, data, headers)
        answer = self._open.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers


@dataclass
class Student:
    """A scripted student. `submitted`: by seed, the number of the run that was accepted; `ended`: by number,
    the status that was first seen of a run that was over; `wrong`: answers that should not have been."""

    name: str
    connection: Connection
    draw: random.Random
    submitted: dict[int, int] = field(default_factory=dict)
    ended: dict[int, dict[str, Any]] = field(default_factory=dict)
    answers: list[Answer] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    refused: int = 0
    """Submissions that the budget did not pay for."""

    def __post_init__(self) -> None:
        self.eagerness = self.draw.uniform(0.02, 0.3)  # share of the calls that submit

    def act(self) -> None:
        """Makes one call of those that a student makes."""
        if self.draw.random() < self.eagerness:
            self._submit()
            return
        look: Callable[[], object] = self.draw.choice(
            (self.look_at_budget, self.look_at_runs, self._look_at_one, self._estimate)
        )
        look()

    def look_at_budget(self) -> dict[str, float]:
        """The budget, which must not be overspent."""
        budget = self._call("GET", "/budget").body
        if not 0 <= budget["used_seconds"] <= BUDGET_SECONDS == budget["total_budget_seconds"]:
            self.wrong.append(f"{self.name}: budget {budget}")
        return budget

    def look_at_runs(self) -> list[dict[str, Any]]:
        """All of the student's runs."""
        runs = self._call("GET", "/experiments").body
        for run in runs:
            self._note(run)
        return runs

    def _submit(self) -> None:
        seed = len(self.submitted) + self.refused
        wanted = config(HEADS, self.draw.choice(STEPS) * CONTEXT * BATCH, batch=BATCH) | {
            "max_runtime_seconds": self.draw.choice(RESERVED),
            "model_seed": seed,
        }
        answer = self._call("POST", "/submit", wanted, (200, 400, 409))
        if answer.status == 200:
            self.submitted[seed] = answer.body["experiment_id"]
        elif answer.broken_off and (found := self._number_of(seed)) is not None:
            # Accepted at a try whose answer the kill took away. By the contract the budget, which that try
            # may have used up, is looked at before the config.
            self.submitted[seed] = found
        elif answer.status == 400:
            self.refused += 1
        else:
            self.wrong.append(f"{self.name}: {wanted} is said to have been submitted before")

    def _number_of(self, seed: int) -> int | None:
        runs = self.look_at_runs()
        return next((r["experiment_id"] for r in runs if r["training_config"]["model_seed"] == seed), None)

    def _look_at_one(self) -> None:
        if self.submitted:
            number = self.draw.choice([*self.submitted.values()])
            self._note(self._call("GET", f"/experiment/{number}").body)

    def _estimate(self) -> None:
        self._call("POST", "/estimate", config(HEADS, STEPS[0] * CONTEXT * BATCH, batch=BATCH))

    def _note(self, run: dict[str, Any]) -> None:
        """A run that has ended has ended: nothing of it changes any more."""
        number, status = run["experiment_id"], run["status"]
        if number in self.ended and self.ended[number] != status:
            self.wrong.append(f"{self.name}: run {number} was {self.ended[number]} and is {status}")
        elif status["status_type"] in ENDED:
            self.ended[number] = status

    def _call(self, method: str, path: str, body: Any = None, expected: tuple[int, ...] = (200,)) -> Answer:
        answer = self.connection.call(method, path, body)
        self.answers.append(answer)
        if answer.status not in expected:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {answer.body}")
        return answer


def play(students: list[Student], pause: float, is_over: Callable[[], bool]) -> list[Answer]:
    """Lets all students call at once until it is over; what was answered.

    `pause`: seconds between a student's calls, on average.
    """
    before = [len(student.answers) for student in students]

    def work(student: Student) -> None:
        try:
            while not is_over():
                student.act()
                if pause:
                    time.sleep(student.draw.uniform(0, 2 * pause))
        except Exception as error:
            student.wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(student,)) for student in students]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [a for student, n in zip(students, before, strict=True) for a in student.answers[n:]]
