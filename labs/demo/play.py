"""Plays a class: makes a lab, serves it, lets every student work at once, freezes it, and grades it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from isoflop.base.formatting import pluralize
from isoflop.labs.contract.fields import now
from isoflop.labs.demo.client import Client, RefusedError, StoppedError
from isoflop.labs.demo.configs import at_target
from isoflop.labs.demo.students import CLASS, HandIn, Student
from isoflop.labs.lab import Lab, new_lab, new_lab_id
from isoflop.labs.server.serve import serving
from isoflop.labs.settings import Settings
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.opening import open_store

LEVEL = 0.9
Say = Callable[[str], None]


def play_class(folder: Path, say: Say, students: Mapping[str, Student] = CLASS) -> Lab:
    """Makes a surrogate lab of the scripted students in a folder, and plays it to its deadline.

    `say` gets a line for each thing that happens. Whatever ends it, no server, worker or student is left.
    Raises `UserError` for a folder that holds a lab.
    """
    lab = new_lab(folder, Settings(lab_id=new_lab_id(), backend="surrogate"), list(students))
    stop = threading.Event()
    with serving(lab, "127.0.0.1", 0, 1, None) as address:
        say(f"the lab is at {address}; {pluralize(len(students), 'student')} at work")
        clients = {name: Client(address, key, stop) for name, key in lab.keys().items()}

        def work(name: str) -> tuple[str, HandIn | None]:
            return name, _work(name, students[name], clients[name], say)

        with ThreadPoolExecutor(len(students)) as pool:
            try:
                results = dict(pool.map(work, students))
            finally:
                stop.set()  # after an interrupt the others end at their next call
        _freeze(lab)
        say("the deadline: the lab is frozen")
        stop.clear()
        for name, hand_in in results.items():
            if hand_in is not None and hand_in.late:
                _hand_in(name, clients[name], hand_in, say)
    return lab


def _work(name: str, student: Student, client: Client, say: Say) -> HandIn | None:
    """A student's runs, and the final submission if it is in time; None where the class ended first."""
    try:
        hand_in = student(client)
        if not hand_in.late:
            _hand_in(name, client, hand_in, say)
    except StoppedError:
        return None
    return hand_in


def _hand_in(name: str, client: Client, hand_in: HandIn, say: Say) -> None:
    final = at_target(
        client, hand_in.heads, overspent=hand_in.overspent, rate=hand_in.rate, rate_left=hand_in.rate_left
    )
    submission = {"training_config": final, "predicted_final_loss": hand_in.loss}
    used = client.get("/budget")["used_seconds"]
    try:
        client.post("/final_submission", submission)
        if hand_in.interval is not None:
            ends = {"low": hand_in.loss - hand_in.interval, "high": hand_in.loss + hand_in.interval}
            client.post("/final_submission/interval", submission | {"interval": ends | {"level": LEVEL}})
    except RefusedError as refused:
        say(f"{name}: refused, {refused}")
        return
    runs = pluralize(len(client.get("/experiments")), "run")
    say(f"{name}: {runs}, {pluralize(used, 'second', ',.0f')}; predicts {hand_in.loss:.3f}")


def _freeze(lab: Lab) -> None:
    store = open_store(lab, None)
    with store.write() as connection:
        freeze(connection, now())
    store.close()
