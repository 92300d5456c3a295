"""The instructor's calls, what the class sees after the deadline, and the practice lab."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from fastapi import HTTPException
from fastapi.testclient import TestClient
from sqlalchemy import update

from isoflop.__main__ import _run
from isoflop.labs.backends import load_backend
from isoflop.labs.contract.fields import now
from isoflop.labs.lab import Lab, add_practice, open_lab
from isoflop.labs.roster import numbered
from isoflop.labs.server.app import create_app
from isoflop.labs.server.gate import Gate, Limits
from isoflop.labs.server.service import Service
from isoflop.labs.settings import Settings
from isoflop.labs.store.audit import audit
from isoflop.labs.store.database import Database
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.leaderboard import Place, publish
from isoflop.labs.store.opening import open_store
from isoflop.labs.store.queue import claim
from isoflop.labs.store.tables import experiments
from isoflop.labs.truth import truth_of
from isoflop.labs.workers.worker import run_next
from tests.support.labs import config_json, isoflop_configs, make_lab

TOKEN = {"X-Instructor-Token": "t" * 43}


def service_of(lab: Lab) -> Service:
    return Service(lab, open_store(lab, None), load_backend(lab))


def client_of(service: Service, student: str | None = None, practice: Service | None = None) -> TestClient:
    headers = {} if student is None else {"X-API-Key": service.lab.keys()[student]}
    return TestClient(create_app(service, practice, TOKEN["X-Instructor-Token"]), headers=headers)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    opened = service_of(make_lab(tmp_path / "lab", budget_seconds=43_200.0))
    yield opened
    opened.store.close()


def run_all(service: Service) -> None:
    while run_next(service.store, service.backend, "w"):
        pass


def instructor_paths(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    found = [(m.upper(), path) for path in paths if path.startswith("/instructor/") for m in paths[path]]
    assert len(found) == 3
    return found


def test_only_the_token_opens_the_instructors_calls(service: Service) -> None:
    client = client_of(service, "ann")
    for method, path in instructor_paths(client):
        for headers in ({}, {"X-Instructor-Token": ""}, {"X-Instructor-Token": "t" * 42}):
            assert client.request(method, path, headers=headers, content=b"{no").status_code == 401
    statuses = [
        client.get("/instructor/overview", headers={"X-Instructor-Token": "x"}).status_code for _ in range(20)
    ]
    assert statuses[-1] == 429  # together with those above, as wrong keys of one address
    assert client.get("/instructor/overview", headers=TOKEN).status_code == 200
    nobody = TestClient(create_app(service))
    assert nobody.get("/instructor/overview", headers=TOKEN).status_code == 401


class Slow:
    """A database that takes its time to read, so that calls overlap."""

    def __init__(self, store: Database) -> None:
        self.store = store

    @contextmanager
    def read(self) -> Iterator[Any]:
        time.sleep(0.01)
        with self.store.read() as connection:
            yield connection


def test_a_class_that_comes_at_once_from_one_address_is_no_guesser(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", numbered(40))
    store: Any = Slow(open_store(lab, None))
    gate = Gate(lab, store, Limits())

    def status(key: str) -> int:
        try:
            gate.admit("10.0.0.1", key)
        except HTTPException as refused:
            return refused.status_code
        return 200

    with ThreadPoolExecutor(40) as pool:
        assert [*pool.map(status, lab.keys().values())] == [200] * 40
        wrong = [*pool.map(status, (f"{number:08}" for number in range(40)))]
        assert (wrong.count(401), wrong.count(429)) == (20, 20)
        assert {*pool.map(status, lab.keys().values())} == {200}  # seen before
    store.store.close()


def test_keys_that_could_not_be_looked_up_are_not_wrong_ones(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", numbered(25))
    store: Any = open_store(lab, None)

    class OutOfReach:
        def read(self) -> Any:
            raise ConnectionError

    limits = Limits()
    away, back = Gate(lab, cast("Database", OutOfReach()), limits), Gate(lab, store, limits)
    for key in lab.keys().values():
        with pytest.raises(ConnectionError):
            away.admit("10.0.0.1", key)
    assert [back.admit("10.0.0.1", key).name for key in lab.keys().values()] == list(lab.keys())
    store.close()


def test_the_class_at_a_glance_and_refunds(service: Service) -> None:
    client = client_of(service, "ann")
    for seed in range(3):
        assert client.post("/submit", json=config_json(model_seed=seed)).status_code == 200
    assert run_next(service.store, service.backend, "w")
    with service.store.write() as connection:
        assert claim(connection, "gone") is not None
        # The worker's last heartbeat is a minute old, and no other worker has looked since.
        connection.execute(
            update(experiments)
            .where(experiments.c.worker == "gone")
            .values(lease_until=experiments.c.lease_until - 60_000_000)
        )
    seen = client.get("/instructor/overview", headers=TOKEN).json()
    ann = seen["students"][0]
    assert (ann["student"], ann["queued"], ann["running"], ann["completed"]) == ("ann", 1, 1, 1)
    assert ann["budget_summary"] == client.get("/budget").json()
    assert [(run["state"], run["stuck"]) for run in seen["unfinished"]] == [
        ("running", True),
        ("queued", False),
    ]
    assert 59 < seen["unfinished"][0]["heartbeat_seconds"] < 90
    (ended,) = seen["ended"]
    back = {"experiment_id": ended["experiment_id"], "reason": "a node failed"}
    post = client.post
    assert post("/instructor/refund", json=back | {"reason": " "}, headers=TOKEN).status_code == 422
    assert post("/instructor/refund", json=back, headers=TOKEN).json() == {"seconds": 1.0}
    assert post("/instructor/refund", json=back, headers=TOKEN).status_code == 409
    more = {"student": "ann", "seconds": 50.0, "reason": "an extension"}
    assert post("/instructor/grant", json=more, headers=TOKEN).json() == {"seconds": 50.0}
    assert post("/instructor/grant", json=more | {"student": "x"}, headers=TOKEN).status_code == 409
    assert post("/instructor/grant", json=more | {"seconds": 1e300}, headers=TOKEN).status_code == 422
    assert client.get("/budget").json()["remaining_seconds"] == 43_200 - 240 + 50
    with service.store.read() as connection:
        assert audit(connection) == []


def test_a_body_sent_as_a_form_is_told_which_header_it_needs(service: Service) -> None:
    form = {"Content-Type": "application/x-www-form-urlencoded"}  # what curl says of --data
    answer = client_of(service, "ann").post("/submit", content=json.dumps(config_json()), headers=form)
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"][0]["msg"]


@pytest.mark.parametrize("shown", ["off", "pseudonyms", "names"])
def test_the_leaderboard_opens_after_the_deadline(shown: Any, tmp_path: Path) -> None:
    service = service_of(make_lab(tmp_path / "lab", leaderboard=shown))
    client = client_of(service, "bob")
    with service.store.write() as connection:
        publish(connection, [Place("ann", 1, 0.01, 2), Place("bob", 1, 0.011, 2), Place("eve", 3, 0.2, 2)])
    assert client.get("/leaderboard").status_code == 403
    with service.store.write() as connection:
        freeze(connection, now())
    answer = client.get("/leaderboard")
    if shown == "off":
        assert answer.status_code == 403
    else:
        places = answer.json()["places"]
        assert [place["rank"] for place in places] == [1, 1, 3]
        assert [place["is_you"] for place in places] == [False, True, False]
        names = [place["name"] for place in places]
        assert names == ["ann", "bob", "eve"] if shown == "names" else len({*names, "ann", "bob", "eve"}) == 6
    with service.store.write() as connection:
        publish(connection, [])
    assert client.get("/leaderboard").status_code == (403 if shown == "off" else 404)
    service.store.close()


def test_grading_publishes_the_ranks(service: Service, tmp_path: Path) -> None:
    client = client_of(service, "ann")
    final = {"training_config": config_json(), "predicted_final_loss": 3.0}
    assert client.post("/final_submission", json=final).status_code == 200
    folder = str(service.lab.folder)
    assert _run(["lab", "freeze", folder]) == 0
    assert _run(["lab", "finals", folder]) == 0
    assert _run(["lab", "grade", folder, "--out", str(tmp_path / "grades")]) == 0
    (place,) = client.get("/leaderboard").json()["places"]
    assert (place["rank"], place["n_seeds"], place["is_you"]) == (1, 2, True)
    assert "Rank" in (tmp_path / "grades" / "class.html").read_text()


def test_fits_see_the_callers_runs_alone(service: Service) -> None:
    ann, bob = client_of(service, "ann"), client_of(service, "bob")
    assert bob.get("/isoflop").json() == {"runs": [], "budgets": []}
    for config in isoflop_configs(1e17, (4, 6, 8, 10)):
        assert ann.post("/submit", json=config).status_code == 200
    run_all(service)
    found = ann.get("/isoflop").json()
    assert [run["budget"] for run in found["runs"]] == [0, 0, 0, 0]
    assert len(found["budgets"][0]["curve"]) == 40
    minimum = found["budgets"][0]["minimum"]
    if minimum is not None:
        assert found["runs"][0]["n_params_non_embedding"] < minimum["n_params"]
    assert bob.get("/isoflop").json() == {"runs": [], "budgets": []}
    assert bob.get("/fit").json() == {"n_runs": 0, "identified": None, "warnings": ["no completed runs"]}
    said = ann.get("/fit").json()
    assert (said["n_runs"], said["identified"]) == (4, None)
    assert any("4 usable runs for the 5 parameters" in line for line in said["warnings"])
    assert [ann.get("/fit").status_code for _ in range(6)][-1] == 429


def test_a_lab_may_keep_fits_to_itself(tmp_path: Path) -> None:
    service = service_of(make_lab(tmp_path / "lab", budget_seconds=43_200.0, show_fits=False))
    client = client_of(service, "ann")
    for config in isoflop_configs(1e17, (4, 6, 8)):
        client.post("/submit", json=config)
    run_all(service)
    (budget,) = client.get("/isoflop").json()["budgets"]
    assert (budget["curve"], budget["minimum"]) == ([], None)
    assert client.get("/fit").status_code == 403
    service.store.close()


def test_a_practice_lab_has_the_same_keys_and_nothing_else_in_common(tmp_path: Path) -> None:
    folder = tmp_path / "course"
    assert _run(["lab", "init", str(folder), "--students", "2", "--budget", "500", "--practice"]) == 0
    lab = open_lab(folder)
    practice = lab.practice()
    assert practice is not None
    assert truth_of(lab.secret, "student-001") != truth_of(practice.secret, "student-001")
    graded, practised = service_of(lab), service_of(practice)
    client = client_of(graded, "student-001", practised)
    assert client.post("/practice/submit", json=config_json()).status_code == 200
    again = client.post("/practice/submit", json=config_json())
    assert (again.status_code, again.headers["Location"]) == (409, "/practice/experiment/1")
    assert client.get("/practice/budget").json()["used_seconds"] == 120
    assert client.get("/budget").json()["used_seconds"] == 0
    assert client.get("/experiments").json() == []
    assert client.get("/practice/instructor/overview", headers=TOKEN).status_code == 404
    for path in ("/practice/dashboard", "/practice/docs", "/practice/static/page.css"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    # One limit for guesses at both doors.
    guesses = [
        client.get(f"{door}/budget", headers={"X-API-Key": f"{number:08}"}).status_code
        for number in range(15)
        for door in ("", "/practice")
    ]
    assert guesses.count(401) == 20
    for each in (graded, practised):
        each.store.close()


def test_a_replaced_key_is_replaced_in_both(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab")
    practice = add_practice(lab)
    service_of(lab).store.close()
    (lab.folder / "keys.csv").write_text("student,key\nann,12345678\n")
    opened = service_of(lab)
    assert practice.keys() == {"ann": "12345678"}
    client = client_of(opened, "ann", service_of(practice))
    assert client.get("/practice/budget").status_code == 200


def test_practice_of_a_lab_that_trains_is_a_surrogate(tmp_path: Path) -> None:
    lab = make_lab(tmp_path / "lab", backend="mine.py", budget_seconds=10.0)
    settings = add_practice(lab).settings
    assert (settings.backend, settings.leaderboard) == ("surrogate", "off")
    assert settings.budget_seconds == Settings(lab_id="x" * 8, backend="surrogate").budget_seconds
