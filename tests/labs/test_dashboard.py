"""The page for people, in a real browser: typed into, clicked, narrow and dark."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from isoflop.labs.contract.fields import now
from isoflop.labs.store.freezing import freeze
from isoflop.labs.store.leaderboard import Place, publish
from isoflop.labs.store.opening import open_store
from tests.support.devtools import Tab, browser_tab
from tests.support.lab_server import Server, finished, serving
from tests.support.labs import config_json, isoflop_configs, make_lab

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(make_lab(tmp_path_factory.mktemp("page") / "lab"), workers=0) as server:
        yield server


@pytest.fixture
def tab() -> Iterator[Tab]:
    with browser_tab() as tab:
        yield tab


def phone_in_the_dark(tab: Tab) -> None:
    tab.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    tab.call("Emulation.setEmulatedMedia", features=dark)


def test_key_budget_queue_and_cancelling_by_keyboard_and_mouse(server: Server, tab: Tab) -> None:
    with server.client("ann") as client:
        for seed in range(2):
            client.post("/submit", json=config_json(model_seed=seed))
        tab.open(f"{server.address}/dashboard")
        tab.wait("document.activeElement?.id === 'key'")
        tab.type("00000000")
        tab.press("Enter")
        tab.wait("document.querySelector('#problem:not([hidden])')?.textContent.includes('not known')")
        tab.wait("document.activeElement?.id === 'key'")
        tab.type(server.lab.keys()["ann"])
        tab.press("Enter")
        tab.wait("document.querySelectorAll('#runs tr').length === 2")
        assert "760 of 1,000 seconds remain" in tab.value("document.querySelector('#budget').textContent")
        assert tab.value("document.querySelector('#count').textContent") == "2 queued"
        assert tab.value("document.querySelector('#problem').hidden")
        tab.click("#runs tr:first-child button")
        tab.wait("document.querySelectorAll('#runs tr').length === 1")
        tab.wait("document.querySelector('#budget').textContent.includes('880')")
        assert client.get("/budget").json()["used_seconds"] == 120
        tab.value("document.querySelector('#runs button').focus()")
        tab.press("Enter")
        tab.wait("document.querySelector('#count').textContent === 'No runs yet.'")
        assert client.get("/budget").json()["used_seconds"] == 0
        tab.click("#leave")
        tab.wait("document.querySelector('#lab').hidden && !sessionStorage.length")
    # The refused key's 401 is the one thing that the browser itself notes.
    assert all("401" in error for error in tab.errors), tab.errors


def test_losses_come_without_a_reload_and_names_are_only_text(tmp_path: Path, tab: Tab) -> None:
    lab = make_lab(tmp_path / "lab", ["<img src=x onerror=alert(1)>"])
    (key,) = lab.keys().values()
    with serving(lab) as server, server.anyone(key) as client:
        tab.open(f"{server.address}/dashboard")
        tab.wait("document.activeElement?.id === 'key'")
        tab.type(key)
        tab.press("Enter")
        tab.wait("document.querySelector('#count')?.textContent === 'No runs yet.'")
        number = client.post("/submit", json=config_json()).json()["experiment_id"]
        losses = finished(client, number)["val_losses"]
        tab.wait("document.querySelector('#runs svg.losses')")
        text = tab.value("document.querySelector('#runs tr').textContent")
        assert f"{losses[-1]:.4f}" in text
        assert "completed" in text
        assert f"to {losses[-1]:.3f}" in tab.value("document.querySelector('svg.losses').ariaLabel")
    assert tab.errors == []


@pytest.mark.parametrize("page", ["/dashboard", "/docs"])
def test_it_fits_a_phone_and_the_dark(page: str, server: Server, tab: Tab) -> None:
    phone_in_the_dark(tab)
    with server.client("bob") as client:
        client.post("/submit", json=config_json())
    tab.open(f"{server.address}{page}")
    tab.wait("document.readyState === 'complete' && document.querySelector('h1')")
    if page == "/dashboard":
        tab.value(f"sessionStorage.setItem('isoflop-lab-key', '{server.lab.keys()['bob']}')")
        tab.open(f"{server.address}{page}")
        tab.wait("document.querySelectorAll('#runs tr').length >= 1")
        heights = tab.value("[...document.querySelectorAll('button')].map((e) => e.offsetHeight)")
        assert all(height == 0 or height >= 44 for height in heights)  # a finger's width
    assert tab.value("document.scrollingElement.scrollWidth") <= 360
    background, ink = (
        tab.value(f"getComputedStyle(document.body).{name}") for name in ("backgroundColor", "color")
    )
    assert background == "rgb(13, 17, 23)"
    assert ink == "rgb(230, 237, 243)"
    assert tab.errors == []


def test_the_leaderboard_comes_after_the_freeze_and_shows_ties(tmp_path: Path, tab: Tab) -> None:
    phone_in_the_dark(tab)
    with serving(make_lab(tmp_path / "lab", leaderboard="names"), workers=0) as server:
        tab.open(f"{server.address}/dashboard")
        tab.wait("document.activeElement?.id === 'key'")
        tab.type(server.lab.keys()["bob"])
        tab.press("Enter")
        tab.wait("document.querySelector('#lab:not([hidden])')")
        assert tab.value("document.querySelector('#board').hidden")
        store = open_store(server.lab, None)
        with store.write() as connection:
            places = [Place("ann", 1, 0.01, 2), Place("bob", 1, 0.0112, 2), Place("eve", 3, 0.2, 2)]
            publish(connection, places)
            freeze(connection, now())
        store.close()
        tab.wait("document.querySelector('#board:not([hidden])')")  # without a reload
        rows = tab.value(
            "[...document.querySelectorAll('#places tr')].map((r) => [...r.cells].map((c) => c.textContent))"
        )
        assert rows == [["1", "ann", "0.0100"], ["1", "bob (you)", "0.0112"], ["3", "eve", "0.2000"]]
        assert tab.value("document.querySelector('#places tr.you').cells[1].textContent") == "bob (you)"
        assert "shares a rank" in tab.value("document.querySelector('#board').innerText")
        assert tab.value("document.scrollingElement.scrollWidth") <= 360
        ink, paper = (
            tab.value(f"getComputedStyle(document.querySelector('{where}')).{name}")
            for where, name in (("#places td", "color"), ("body", "backgroundColor"))
        )
        assert (ink, paper) == ("rgb(230, 237, 243)", "rgb(13, 17, 23)")
        tab.value("document.querySelector('#ask-fit').focus()")
        tab.press("Tab")
        tab.press("Enter")  # the table is no trap: what comes next is the button that forgets the key
        tab.wait("document.querySelector('#lab').hidden && document.querySelector('#board').hidden")
    assert tab.errors == []


def test_the_isoflop_figure_and_what_a_fitter_warns_of(tmp_path: Path, tab: Tab) -> None:
    lab = make_lab(tmp_path / "lab", ["ann"], budget_seconds=43_200.0)
    (key,) = lab.keys().values()
    with serving(lab) as server, server.anyone(key) as client:
        numbers = [
            client.post("/submit", json=config).json()["experiment_id"]
            for flops in (1e17, 4e17)
            for config in isoflop_configs(flops, (14, 16, 18))
        ]
        for number in numbers:
            finished(client, number)
        found = client.get("/isoflop").json()
        assert [budget["minimum"] for budget in found["budgets"]] == [None, None]
        assert [run["budget"] for run in found["runs"]] == [0, 0, 0, 1, 1, 1]
        tab.open(f"{server.address}/dashboard")
        tab.wait("document.activeElement?.id === 'key'")
        tab.type(key)
        tab.press("Enter")
        tab.wait("document.querySelectorAll('svg.isoflop circle').length === 6")
        assert tab.value("document.querySelectorAll('svg.isoflop polyline.open').length") == 2
        assert "10¹⁷" in tab.value("document.querySelector('#budgets').textContent")
        tab.value("document.querySelector('#ask-fit').focus()")
        tab.press("Enter")
        tab.wait("document.querySelector('#warnings').textContent.includes('beyond the smallest size')")
        said = tab.value("document.querySelector('#warnings').textContent")
        assert "exponents" in said
    assert tab.errors == []


def test_the_instructors_page_refunds_by_keyboard(tmp_path: Path, tab: Tab) -> None:
    with serving(make_lab(tmp_path / "lab", ["<b>ann</b>"])) as server:
        (key,) = server.lab.keys().values()
        with server.anyone(key) as client:
            finished(client, client.post("/submit", json=config_json()).json()["experiment_id"])
            found = re.search(r"http://\S+/instructor#\S+", server.log.read_text())
            assert found is not None
            tab.call(
                "Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True
            )
            tab.open(found[0].partition("#")[0])
            tab.wait(
                "document.querySelector('#problem:not([hidden])')?.textContent.includes('lacks the token')"
            )
            tab.errors.clear()  # the browser notes the refusal
            tab.open(found[0])
            tab.wait("document.querySelectorAll('#ended tr').length === 1")
            assert "<b>ann</b>" in tab.value("document.querySelector('#students').textContent")
            assert tab.value("document.scrollingElement.scrollWidth") <= 360
            tab.value("document.querySelector('#ended button').focus()")
            tab.press("Enter")
            tab.wait("document.querySelector('dialog').open && document.activeElement.id === 'reason'")
            tab.type("a node failed")
            tab.press("Enter")
            tab.wait("!document.querySelector('dialog').open && !document.querySelector('#ended button')")
            assert client.get("/budget").json()["used_seconds"] == 0
        assert found[0].partition("#")[2] not in (tmp_path / "lab" / "lab.json").read_text()
    assert tab.errors == []
