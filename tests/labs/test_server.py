"""Call by call, as the course's client makes them; who may call, and how often."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from isoflop.labs.contract.fields import now
from isoflop.labs.contract.messages import ExperimentResponse, FinalSubmissionResponse, SubmitResponse
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.opening import open_store
from tests.support.lab_server import Server, finished, serving
from tests.support.labs import config_json, make_lab

students = (f"student-{number:03}" for number in itertools.count(1))
BUDGET = {"used_seconds": 0.0, "remaining_seconds": 1000.0, "total_budget_seconds": 1000.0}
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    names = [f"student-{number:03}" for number in range(1, 60)]
    lab = make_lab(tmp_path_factory.mktemp("served") / "lab", names)
    with serving(lab) as server:
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    """A student of the test's own, who has spent nothing and called nothing."""
    with server.client(next(students)) as client:
        yield client


def test_budget(client: httpx.Client) -> None:
    answer = client.get("/budget")
    assert (answer.status_code, answer.json()) == (200, BUDGET)


def test_submit_wait_and_read_the_result(client: httpx.Client) -> None:
    assert client.get("/experiments").json() == []
    answer = client.post("/submit", json=config_json())
    assert answer.status_code == 200
    number = answer.json()["experiment_id"]
    assert answer.json() == {
        "experiment_id": number,
        "budget_summary": {
            "used_seconds": 120.0,
            "remaining_seconds": 880.0,
            "total_budget_seconds": 1000.0,
        },
    }
    SubmitResponse.model_validate(answer.json())
    status = finished(client, number)
    assert set(status) == {
        "status_type", "queued_at", "dispatched_at", "run_id", "val_losses", "used_runtime_seconds",
        "completed_at",
    }  # fmt: skip
    assert all(MOMENT.fullmatch(status[name]) for name in ("queued_at", "dispatched_at", "completed_at"))
    losses = status["val_losses"]
    assert len(losses) == 4
    assert losses == sorted(losses, reverse=True)
    assert 0 < status["used_runtime_seconds"] < 120
    proof = client.get(f"/experiment/{number}/receipt").json()
    assert f":{number}:" in proof["receipt"]
    assert f":{losses[-1]!r}:" in proof["receipt"]
    listed = client.get("/experiments").json()
    assert listed == [client.get(f"/experiment/{number}").json()]
    assert listed[0]["training_config"]["optimizer_config"]["beta2"] == 0.95
    ExperimentResponse.model_validate(listed[0])
    assert client.get("/budget").json()["used_seconds"] == 1.0  # not under a second


def test_experiments_are_listed_oldest_first(client: httpx.Client) -> None:
    numbers = [
        client.post("/submit", json=config_json(model_seed=seed)).json()["experiment_id"] for seed in range(3)
    ]
    assert [run["experiment_id"] for run in client.get("/experiments").json()] == numbers


def test_a_reservation_above_what_remains(client: httpx.Client) -> None:
    answer = client.post("/submit", json=config_json(max_runtime_seconds=1000.5))
    assert answer.status_code == 400
    assert answer.json() == {"detail": {"message": "insufficient budget", "budget_summary": BUDGET}}
    assert client.get("/budget").json() == BUDGET


def test_the_same_config_again(client: httpx.Client) -> None:
    number = client.post("/submit", json=config_json()).json()["experiment_id"]
    finished(client, number)
    before = client.get("/budget").json()
    answer = client.post("/submit", json=config_json(max_runtime_seconds=120, train_batch_size=8.0))
    assert answer.status_code == 409
    assert answer.json() == {"detail": "experiment already exists for this training config"}
    assert answer.headers["Location"] == f"/experiment/{number}"
    assert client.get("/budget").json() == before


def test_a_run_out_of_time(client: httpx.Client) -> None:
    long = config_json(total_train_tokens=4096 * 16_000, max_runtime_seconds=16.5)  # takes 36 s
    status = finished(client, client.post("/submit", json=long).json()["experiment_id"])
    assert set(status) == {
        "status_type", "queued_at", "dispatched_at", "run_id", "used_runtime_seconds", "failed_at", "reason",
    }  # fmt: skip
    reason = status["reason"]
    assert set(reason) == {"reason", "partial_val_losses"}
    assert reason["reason"] == "timeout"
    assert len(reason["partial_val_losses"]) == 1
    assert status["used_runtime_seconds"] > 16.5
    assert client.get("/budget").json()["used_seconds"] == 16.5


def test_a_diverged_run(client: httpx.Client) -> None:
    hot = config_json(optimizer_config={"lr_scheduler": {"peak_value": 50.0}, "eps": 1e-8})
    status = finished(client, client.post("/submit", json=hot).json()["experiment_id"])
    assert status["reason"] == {"reason": "unexpected", "failure": "diverged: the loss became NaN"}


def test_final_submissions(client: httpx.Client) -> None:
    answer = client.get("/final_submission")
    assert (answer.status_code, answer.json()) == (200, None)
    for loss in (3.25, 3.5):
        sent = {"training_config": config_json(max_runtime_seconds=1), "predicted_final_loss": loss}
        answer = client.post("/final_submission", json=sent)
        assert answer.status_code == 200
        assert set(answer.json()) == {"training_config", "predicted_final_loss", "submitted_at"}
        FinalSubmissionResponse.model_validate(answer.json())
        assert client.get("/final_submission").json() == answer.json()
    assert answer.json()["predicted_final_loss"] == 3.5
    assert client.get("/budget").json() == BUDGET
    for wrong in (0, -1, None, "3"):
        sent = {"training_config": config_json(), "predicted_final_loss": wrong}
        refused = client.post("/final_submission", json=sent)
        assert refused.status_code == 422
        assert refused.json()["detail"][0]["loc"] == ["body", "predicted_final_loss"]


def test_another_students_experiment_is_not_found(server: Server, client: httpx.Client) -> None:
    number = client.post("/submit", json=config_json()).json()["experiment_id"]
    with server.client(next(students)) as other:
        for path in (f"/experiment/{number}", "/experiment/999999", f"/experiment/{10**30}", "/experiment/0"):
            answer = other.get(path)
            assert (answer.status_code, answer.json()) == (404, {"detail": "not found"})
        assert other.post(f"/experiment/{number}/cancel").status_code == 404
        assert other.get(f"/experiment/{number}/receipt").status_code == 404
        assert other.get("/experiments").json() == []
        assert other.get("/budget").json() == BUDGET
        assert other.get("/experiment/x").status_code == 422


CALLS = [
    ("GET", "/budget"), ("POST", "/submit"), ("GET", "/experiments"), ("GET", "/experiment/1"),
    ("POST", "/final_submission"), ("GET", "/final_submission"), ("POST", "/estimate"), ("GET", "/lab"),
    ("POST", "/experiment/1/cancel"), ("GET", "/experiment/1/receipt"), ("GET", "/final_submission/interval"),
    ("POST", "/final_submission/interval"), ("GET", "/isoflop"), ("GET", "/fit"), ("GET", "/leaderboard"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), CALLS)
@pytest.mark.parametrize(("key", "detail"), [(None, "missing X-API-Key"), ("", "missing X-API-Key")])
def test_a_key_is_asked_for_before_anything_is_read(
    method: str, path: str, key: str | None, detail: str, server: Server
) -> None:
    with server.anyone(key) as nobody:
        for body in (b"", b"{nonsense", b'{"a": NaN}'):
            answer = nobody.request(method, path, content=body, headers={"Content-Type": "application/json"})
            assert (answer.status_code, answer.json()) == (401, {"detail": detail})


def test_every_call_is_in_the_list_above(server: Server) -> None:
    with server.anyone(None) as nobody:
        schema = nobody.get("/openapi.json").json()
    paths = {
        (method.upper(), path.replace("{experiment_id}", "1"))
        for path, methods in schema["paths"].items()
        for method in methods
        if not path.startswith("/instructor/")
    }
    assert paths == set(CALLS)


@pytest.mark.parametrize(
    ("body", "at"),
    [
        (config_json(more=1), ["body", "more"]),
        (config_json({"dtype": "int8"}), ["body", "architecture_config", "dtype"]),
        (config_json({"hidden_size": 128}), ["body", "architecture_config", "hidden_size"]),
        (config_json(n_evals=5), ["body", "n_evals", "total_train_tokens", "train_batch_size"]),
        (
            config_json(optimizer_config={"lr_scheduler": {}, "beta1": 2}),
            ["body", "optimizer_config", "beta1"],
        ),
        ({}, ["body", "architecture_config"]),
        ([], ["body"]),
    ],
)
def test_wrong_fields(body: Any, at: list[str], client: httpx.Client) -> None:
    for path in ("/submit", "/estimate"):
        answer = client.post(path, json=body)
        assert answer.status_code == 422
        detail = answer.json()["detail"]
        assert detail[0]["loc"][: len(at)] == at
        assert all({"loc", "msg", "type"} <= set(one) for one in detail)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"{", 422),
        (b'"\xff"', 422),
        (b"[" * 60_000, 422),
        (b"9" * 50_000, 422),
        (b'{"max_runtime_seconds": NaN, "x": Infinity}', 422),
        (b"x" * 70_000, 413),
    ],
)
def test_bodies_that_are_no_config(body: bytes, status: int, client: httpx.Client) -> None:
    answer = client.post("/submit", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == status
    assert answer.json()["detail"]
    chunked = client.post("/submit", content=iter([body]), headers={"Content-Type": "application/json"})
    assert chunked.status_code == status
    assert client.get("/budget").json() == BUDGET


def test_a_price_before_paying(client: httpx.Client) -> None:
    answer = client.post("/estimate", json=config_json())
    assert answer.status_code == 200
    price = answer.json()
    assert price["remaining_seconds"] == 1000
    assert price["fits_reservation"] is True
    status = finished(client, client.post("/submit", json=config_json()).json()["experiment_id"])
    assert status["used_runtime_seconds"] == price["seconds"]
    short = config_json(total_train_tokens=4096 * 16_000, max_runtime_seconds=2)
    assert client.post("/estimate", json=short).json()["fits_reservation"] is False


def test_interval_submissions(client: httpx.Client) -> None:
    path = "/final_submission/interval"
    assert client.get(path).json() is None
    sent = {"training_config": config_json(), "predicted_final_loss": 3.0}
    answer = client.post(path, json=sent | {"interval": {"low": 2.9, "high": 3.2, "level": 0.8}})
    assert answer.status_code == 200
    assert client.get(path).json() == answer.json()
    assert client.get("/final_submission").json() is None
    for wrong in ({"low": 3.1, "high": 3.2}, {"low": 2, "high": 4, "level": 1}, {"low": -1, "high": 4}):
        assert client.post(path, json=sent | {"interval": wrong}).status_code == 422


def test_the_labs_rules(client: httpx.Client, server: Server) -> None:
    rules = client.get("/lab").json()
    assert rules["target_seconds"] == server.lab.settings.target_seconds
    assert rules["deadline"] is None


def test_twenty_calls_a_second_a_key(client: httpx.Client, server: Server) -> None:
    with httpx.Client(base_url=server.address, headers=client.headers, trust_env=False) as hasty:
        answers = [hasty.get("/budget") for _ in range(60)]
    refused = [answer for answer in answers if answer.status_code == 429]
    took = sum(answer.elapsed.total_seconds() for answer in answers)
    assert len(answers) - len(refused) <= 20 * (took + 1)
    if took < 1:
        assert refused
    for answer in refused:
        assert 1 <= int(answer.headers["Retry-After"]) <= 2
    with server.client(next(students)) as other:
        assert other.get("/budget").status_code == 200


def test_cors_is_for_pages_on_this_machine(server: Server) -> None:
    allowed = "Access-Control-Allow-Origin"
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key,content-type",
    }
    with server.anyone(None) as nobody:
        for origin in ("null", "http://localhost:8080", "http://127.0.0.1:3000"):
            answer = nobody.options("/submit", headers=asked | {"Origin": origin})
            assert answer.status_code == 200
            assert answer.headers[allowed] == origin
            assert "x-api-key" in answer.headers["Access-Control-Allow-Headers"].lower()
            # The refusal too is for the page to read.
            assert nobody.get("/budget", headers={"Origin": origin}).headers[allowed] == origin
        for origin in ("https://example.org", "http://localhost.example.org", "http://xlocalhost"):
            assert allowed not in nobody.get("/budget", headers={"Origin": origin}).headers


@pytest.mark.parametrize(
    "path", ["/dashboard", "/", "/docs", "/static/dashboard.js", "/static/page.css", "/instructor"]
)
def test_pages_need_no_key_and_run_no_scripts_but_their_own(path: str, server: Server) -> None:
    with server.anyone(None) as nobody:
        answer = nobody.get(path)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert not re.search(r"<script(?! src=\"static/)| on\w+=|style=|https?://(?!www\.w3\.org)", answer.text)


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e%2fapp.py", "/static/docs.html.jinja", "/secret"]
)
def test_no_other_file_is_served(path: str, server: Server) -> None:
    with server.anyone(None) as nobody:
        assert nobody.get(path).status_code == 404


def test_after_the_deadline_nothing_is_taken(server: Server, client: httpx.Client) -> None:
    final = {"training_config": config_json(), "predicted_final_loss": 3.0}
    interval = {"interval": {"low": 2.9, "high": 3.1}}
    store = open_store(server.lab, None)
    try:
        with store.write() as connection:
            freeze(connection, now())
        for path, body in (
            ("/submit", config_json()),
            ("/final_submission", final),
            ("/final_submission/interval", final | interval),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code == 403
            assert "frozen since" in answer.json()["detail"]
        assert client.get("/budget").json() == BUDGET
        assert client.post("/estimate", json=config_json()).status_code == 200
    finally:
        with store.write() as connection:
            freeze(connection, None)
        store.close()
    assert client.post("/final_submission", json=final).status_code == 200


def test_no_key_is_logged(server: Server) -> None:
    printed = server.log.read_text()
    assert not [key for key in server.lab.keys().values() if key in printed]
    assert "Traceback" not in printed


def test_wrong_keys_are_limited_and_nobody_is_shut_out(server: Server) -> None:
    """Last: from here on this address may try no new key for a minute."""
    name, unseen = next(students), next(students)
    keys = set(server.lab.keys().values())
    with server.client(name) as seen, server.anyone(None) as guesser:
        assert seen.get("/budget").status_code == 200
        statuses = []
        lock = threading.Lock()

        def guess(key: str) -> None:
            answer = guesser.get("/budget", headers={"X-API-Key": key})
            with lock:
                statuses.append(answer.status_code)
                if answer.status_code == 429:
                    assert 1 <= int(answer.headers["Retry-After"]) <= 60
                else:
                    assert answer.json() == {"detail": "invalid API key"}

        wrong = [key for number in range(40) if (key := f"{number:08}") not in keys]
        threads = [threading.Thread(target=guess, args=[key]) for key in wrong]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses.count(401) == 20
        assert statuses.count(429) == len(wrong) - 20
        assert seen.get("/budget").status_code == 200
        # A right key that was not seen before is told no more than a wrong one.
        with server.client(unseen) as late:
            assert late.get("/budget").status_code == 429
