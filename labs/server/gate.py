"""Who calls: keys, and how often a key or an address may be tried."""

from __future__ import annotations

import hmac
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from isoflop.labs.contract.messages import INVALID_KEY, MISSING_KEY
from isoflop.labs.lab import Lab
from isoflop.labs.server.limits import SlidingWindow, network_of
from isoflop.labs.store.database import Database
from isoflop.labs.store.students import Student, student_of_key

KEY_HEADER = "X-API-Key"
TOKEN_HEADER = "X-Instructor-Token"
CALLS_A_SECOND = 20
WRONG_KEYS_A_MINUTE = 20
MAX_KNOWN = 20_000
LOOKUP_SECONDS = 5.0
"""What a key waits for those before it to be looked up."""


class Limits:
    """How often is called and guessed: shared by all labs that a server has, which know the same keys."""

    def __init__(self) -> None:
        self.calls = SlidingWindow(CALLS_A_SECOND, 1.0)
        self.wrong = SlidingWindow(WRONG_KEYS_A_MINUTE, 60.0)
        self.looking = threading.Lock()
        """Held while a key that was not seen before is looked up: the count of wrong ones is exact."""


class Gate:
    """Lets students in by their keys, and the instructor by a token (nobody, where there is none)."""

    def __init__(self, lab: Lab, store: Database, limits: Limits, token: str | None = None) -> None:
        self._lab, self._store, self._limits, self._token = lab, store, limits, token
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def admit(self, address: str, key: str | None) -> Student:
        """The student whose key this is. Raises `HTTPException` 401 or 429.

        An address that tried too many wrong keys is not told whether another is right; keys that were
        seen from it before still work, so that nobody shuts a whole classroom out.
        """
        if not key:
            raise HTTPException(401, MISSING_KEY)
        network, key_hash = network_of(address), self._lab.key_hash(key)
        if (network, key_hash) in self._known:
            student = self._student_of(key_hash)
        else:
            student = self._newly_seen(network, key_hash)
        if student is None:
            self._known.pop((network, key_hash), None)
            raise HTTPException(401, INVALID_KEY)
        if wait := self._limits.calls.wait(student.name, time.monotonic()):
            raise too_many(wait)
        return student

    def _student_of(self, key_hash: str) -> Student | None:
        with self._store.read() as connection:
            return student_of_key(connection, key_hash)

    def _newly_seen(self, network: str, key_hash: str) -> Student | None:
        """Whose key this is that was not seen from there before: it counts as a wrong one until it is found.

        One at a time: a class that comes at once, as after a restart, is not taken for a guesser.
        """
        if not self._limits.looking.acquire(timeout=LOOKUP_SECONDS):
            raise HTTPException(503, "the lab's database is slow: try again", {"Retry-After": "1"})
        try:
            if wait := self._limits.wrong.wait(network, time.monotonic()):
                raise too_many(wait)
            student, is_wrong = None, False
            try:
                student = self._student_of(key_hash)
                is_wrong = student is None
            finally:
                if not is_wrong:  # nor where the database could not be asked
                    self._limits.wrong.take_back(network)
        finally:
            self._limits.looking.release()
        if student is not None:
            self._known[network, key_hash] = None
            if len(self._known) > MAX_KNOWN:
                self._known.popitem(last=False)
        return student

    def admit_instructor(self, address: str, token: str | None) -> None:
        """Raises `HTTPException` 401 or 429 unless this is the server's token.

        A wrong one counts as a wrong key of its address. The right one always works: 256 random bits are not
        guessed, so that nothing is told by it.
        """
        if not token:
            raise HTTPException(401, f"missing {TOKEN_HEADER}")
        if self._token is not None and hmac.compare_digest(token.encode(), self._token.encode()):
            return
        if wait := self._limits.wrong.wait(network_of(address), time.monotonic()):
            raise too_many(wait)
        raise HTTPException(401, "invalid instructor token")


def too_many(wait: float) -> HTTPException:
    """429, with the whole seconds to wait."""
    seconds = str(max(1, math.ceil(wait)))
    return HTTPException(429, f"too many requests: wait {seconds} s", {"Retry-After": seconds})


class GatedRoute(APIRoute, ABC):
    """A call of which nothing else is looked at before the gate has admitted the caller."""

    @abstractmethod
    def admit(self, gate: Gate, address: str, request: Request) -> None:
        """Raises `HTTPException` for a caller who may not come in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The usual handler, behind the gate."""
        handle = super().get_route_handler()

        async def admitted(request: Request) -> Response:
            gate: Gate = request.app.state.gate
            address = request.client.host if request.client else ""
            await run_in_threadpool(self.admit, gate, address, request)
            return await handle(request)

        return admitted


class StudentRoute(GatedRoute):
    """A call that needs a student's key."""

    def admit(self, gate: Gate, address: str, request: Request) -> None:
        """Notes whose key it is, for `Caller`."""
        request.state.student = gate.admit(address, request.headers.get(KEY_HEADER))


class InstructorRoute(GatedRoute):
    """A call that needs the instructor's token."""

    def admit(self, gate: Gate, address: str, request: Request) -> None:
        """Lets the server's token in."""
        gate.admit_instructor(address, request.headers.get(TOKEN_HEADER))


def _caller(request: Request) -> Student:
    return request.state.student


Caller = Annotated[Student, Depends(_caller)]
"""The student that the gate let in."""
