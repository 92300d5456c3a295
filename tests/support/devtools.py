"""A headless Chromium that is clicked and typed into, over the pipe of its own debugging protocol."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, Any

from tests.support.browser import BROWSERS
from tests.support.optional import lacking

SECONDS = 40.0
"""What takes longer hangs."""
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe",
)  # fmt: skip
KEYS = {"Enter": (13, "\r"), "Tab": (9, "")}


@dataclass
class Tab:
    """One page of a browser."""

    to: IO[bytes]
    answers: IO[bytes]
    session: str = ""
    _number: int = 0
    errors: list[str] = field(default_factory=list)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls the protocol, and notes errors that the page's console shows meanwhile."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.to.write(json.dumps(message).encode() + b"\0")
        self.to.flush()
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.errors.append(json.dumps(answer["params"]))

    def _read(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self.answers.read(1)) not in (b"\0", b""):
            text += byte
        assert text, "the browser is gone"
        return json.loads(text)

    def open(self, address: str) -> None:
        """Goes to an address."""
        self.call("Page.navigate", url=address)

    def value(self, expression: str) -> Any:
        """What an expression is in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, expression: str) -> None:
        """Waits until an expression is true in the page."""
        until = time.monotonic() + SECONDS
        while not self.value(f"!!({expression})"):
            assert time.monotonic() < until, (
                f"never true: {expression}\n{self.value('document.body.innerText')}"
            )
            time.sleep(0.1)

    def type(self, text: str) -> None:
        """Types text where the focus is."""
        for character in text:
            self.call("Input.dispatchKeyEvent", type="keyDown", text=character, key=character)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=character)

    def press(self, key: str) -> None:
        """Presses Enter or Tab."""
        code, text = KEYS[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """Clicks with the mouse in the middle of an element."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.scrollIntoView(); "
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)


@contextmanager
def browser_tab() -> Iterator[Tab]:
    """A new browser's empty page, gone at the end."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        lacking("browser")
    read_by_it, to_it = os.pipe()
    from_it, written_by_it = os.pipe()

    def give_pipes() -> None:  # the protocol's are the file descriptors 3 and 4
        given = [os.dup(read_by_it), os.dup(written_by_it)]
        os.dup2(given[0], 3)
        os.dup2(given[1], 4)

    # The browser's own children may still write there after it has ended.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [browser, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            preexec_fn=give_pipes, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_by_it)
        os.close(written_by_it)
        with os.fdopen(to_it, "wb") as to, os.fdopen(from_it, "rb", buffering=65536) as answers:
            tab = Tab(to, answers)
            target = tab.call("Target.createTarget", url="about:blank")["targetId"]
            tab.session = tab.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log"):
                tab.call(f"{domain}.enable")
            try:
                yield tab
            finally:
                process.kill()
                process.wait()
