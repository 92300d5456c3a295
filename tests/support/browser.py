"""A headless Chromium for tests: what a page becomes, and how it is laid out at a given width."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.optional import lacking

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--enable-logging=stderr", "--virtual-time-budget=20000", "--window-size=1320,4000", "--dump-dom",
)  # fmt: skip
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
MEASURE = """
<script>addEventListener("load", () => setTimeout(() => {
  const shown = (e) => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height > 0; };
  const within = (e, left, right) => {
    const r = e.getBoundingClientRect();
    return r.left >= left - 1 && r.right <= right + 1;
  };
  const clipped = [...document.querySelectorAll("p, li, h1, h2, h3, .card, .scroll, .plot text")]
    .filter((e) => shown(e) && !within(e, 0, innerWidth) && !e.closest("table"))
    .map((e) => e.textContent.slice(0, 60));
  const cells = [...document.querySelectorAll("th, td")].filter(shown);
  const lost = cells.filter((e) => {
    const box = e.closest(".scroll"), r = box?.getBoundingClientRect();
    return !box || getComputedStyle(box).overflowX !== "auto" || r.right > innerWidth + 1 ||
      e.getBoundingClientRect().right - r.left > box.scrollWidth + 1;
  }).map((e) => e.textContent.slice(0, 60));
  const scrolled = [...document.querySelectorAll(".scroll")].filter((e) => e.scrollWidth > e.clientWidth + 1)
    .map((e) => e.parentElement.querySelector("h3, summary").textContent);
  const crossed = [];
  for (const plot of document.querySelectorAll(".plot")) {
    const texts = [...plot.querySelectorAll("text")].filter(shown);
    for (const [k, one] of texts.entries()) for (const other of texts.slice(k + 1)) {
      const a = one.getBoundingClientRect(), b = other.getBoundingClientRect();
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      const pair = `${plot.closest("figure").id}: ${one.textContent} / ${other.textContent}`;
      if (width > 3 && height > 4) crossed.push(pair);
    }
  }
  const page = document.scrollingElement;
  parent.postMessage(JSON.stringify({
    width: innerWidth, page: page.scrollWidth, clipped, cells: cells.length, lost, scrolled, crossed
  }), "*");
}, 2000));</script></body>"""
FRAME = """<body style="margin: 0">
<iframe src="page.html" style="border: 0; width: {width}px; height: 4000px"></iframe>
<script>addEventListener("message", (event) => {{
  const found = document.createElement("pre"); found.id = "found"; found.textContent = event.data;
  document.body.append(found);
}})</script>"""
"""A window is never narrower than 500 pixels, a frame is."""


@dataclass(frozen=True)
class Layout:
    """A page at one width, pixels: `page` is how wide it would scroll, `clipped` the texts that leave the
    window, `lost` the cells that no scrolling shows, `scrolled` the tables that are wider than their box,
    `crossed` pairs of labels that lie upon each other."""

    width: int
    page: int
    clipped: list[str]
    cells: int
    lost: list[str]
    scrolled: list[str]
    crossed: list[str]


def browser() -> str:
    """A chromium's path; without one the test skips."""
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    return found[0] if found else lacking("browser", f"None of {', '.join(BROWSERS)} is installed.")


def opened(page: Path, profile: Path) -> tuple[str, str]:
    """Return the page's DOM after its scripts ran, and the browser's console lines."""
    command = [browser(), *FLAGS, f"--user-data-dir={profile}", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


def laid_out(page: Path, width: int, folder: Path) -> Layout:
    """The page's layout at a width; its policy is taken out of a copy, for a script that measures."""
    text = POLICY.sub("", page.read_text(encoding="utf-8")).replace("</body>", MEASURE)
    folder.mkdir()
    (folder / "page.html").write_text(text.replace("<details>", "<details open>"), encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")
    dom, _ = opened(folder / "frame.html", folder / "profile")
    found = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert found is not None, "the page was not measured"
    return Layout(**json.loads(html.unescape(found.group(1))))
