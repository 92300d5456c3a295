"""Kills a real sweep again and again, lets it end, and compares its tables with an undisturbed one's.

python -m tests.support.chaos --kills 30 --seed 0     (or `make chaos KILLS=30`)

The last line says how many kills there were and how many rows differ, columns of time aside. What a kill is,
is drawn: the launching process, one worker or all of them by SIGKILL; SIGTERM or SIGUSR2; a worker that
stands still for longer than its lease and wakes up late; a record that is torn or altered while nobody works;
now and then a second launcher works on the same folder.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.support.pseudo_english import pseudo_english
from tests.support.tables import read_rows, timeless

CONFIG = """
from isoflop.sweeps.grids.config import Rates
from tests.support.small import small_sweep
SWEEP = small_sweep(
    {source!r}, seeds=2, budgets=(4e8, 8e8, 1.6e9), ladder=(8, 16), sizes=2, centre_width=8,
    centre_budget=4e8, checks=True, checkpoint_steps=400,
    rates=Rates(0.06, 0.5, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(3e4,), seeds=1),
)
"""

LEASE_SECONDS = 4.0
TABLES = ("tuning.csv", "runs.csv", "checks.csv")


class Victim:
    """A sweep in `out`, started again whenever it was killed."""

    def __init__(self, config: Path, out: Path, draw: random.Random) -> None:
        self.config, self.out, self.draw = config, out, draw
        self.launchers: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """One launcher more."""
        command = [sys.executable, "-m", "isoflop", "sweep", str(self.config), "--out", str(self.out)]
        command += ["--no-report", "--lease-seconds", str(LEASE_SECONDS), "--checkpoint-minutes", "0.01"]
        with self.out.with_suffix(".log").open("ab") as log:
            self.launchers.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))

    def working(self) -> bool:
        """Whether a launcher is at work, those that ended forgotten."""
        self.launchers = [launcher for launcher in self.launchers if launcher.poll() is None]
        return bool(self.launchers)

    def workers(self) -> list[int]:
        """Their process ids."""
        found = []
        for file in (self.out / "workers").glob("[!.]*.json"):
            with contextlib.suppress(OSError, ValueError):
                found.append(int(json.loads(file.read_text())["process"]["pid"]))
        return [pid for pid in found if _is_worker(pid)]

    def kill_launcher(self) -> None:
        """The workers are left to find out."""
        _signal(self.draw.choice(self.launchers).pid, signal.SIGKILL)

    def kill_worker(self) -> None:
        """One of them."""
        for pid in self.workers()[:1]:
            _signal(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """As a machine that loses its power, but for what it had not written yet."""
        for pid in [*(launcher.pid for launcher in self.launchers), *self.workers()]:
            _signal(pid, signal.SIGKILL)
        for launcher in self.launchers:
            launcher.wait()

    def warn(self) -> None:
        """As a scheduler does before it takes the machine away."""
        number = self.draw.choice([signal.SIGTERM, signal.SIGUSR2])
        for pid in self.workers():
            _signal(pid, number)

    def stop_launcher(self) -> None:
        """As a person does who has seen enough."""
        for launcher in self.launchers:
            _signal(launcher.pid, self.draw.choice([signal.SIGTERM, signal.SIGINT]))
            launcher.wait()

    def freeze_worker(self) -> None:
        """It stands still for longer than its lease, and goes on as if nothing had been."""
        for pid in self.workers()[:1]:
            _signal(pid, signal.SIGSTOP)
            time.sleep(2.0 * LEASE_SECONDS)
            _signal(pid, signal.SIGCONT)

    def damage(self) -> None:
        """While nobody is at work, a record is torn, or a bit of it turns."""
        self.kill_all()
        kinds = ("cells", "segments", "checkpoints", "partial")
        files = [f for kind in kinds for f in sorted((self.out / kind).rglob("*")) if f.is_file()]
        if files:
            file = self.draw.choice(files)
            data = bytearray(file.read_bytes())
            if data and self.draw.random() < 0.5:
                data[self.draw.randrange(len(data))] ^= 1 << self.draw.randrange(8)
            else:
                del data[len(data) // 2 :]
            file.write_bytes(data)


KILLS: list[Callable[[Victim], None]] = [
    Victim.kill_launcher,
    Victim.kill_worker,
    Victim.kill_worker,
    Victim.kill_all,
    Victim.kill_all,
    Victim.warn,
    Victim.stop_launcher,
    Victim.freeze_worker,
    Victim.damage,
]


def chaos(kills: int, seed: int, folder: Path, say: Callable[[str], None] = print) -> int:
    """Rows that differ from the undisturbed sweep's after so many kills."""
    source = folder / "words.txt"
    source.write_text(pseudo_english(300_000), encoding="utf-8")
    config = folder / "mine.py"
    config.write_text(CONFIG.format(source=f"text:{source}"))
    draw = random.Random(seed)
    began = time.monotonic()
    reference = Victim(config, folder / "reference", draw)
    reference.start()
    _end(reference)
    say(f"undisturbed: {time.monotonic() - began:.0f} s")
    victim, differences = Victim(config, folder / "victim", draw), 0
    for number in range(kills):
        if not victim.working() or draw.random() < 0.15:
            victim.start()
        _wait(victim, draw)
        kill = draw.choice(KILLS)
        if victim.working():
            kill(victim)
        say(f"{number + 1:>4} {kill.__name__}: {len(list(victim.out.glob('cells/*')))} cells there")
        if not victim.working() and (victim.out / "summary.json").exists():  # it is done: begin again
            differences += _differences(victim, reference)
            shutil.rmtree(victim.out)
    victim.start()
    _end(victim)
    return differences + _differences(victim, reference)


def _wait(victim: Victim, draw: random.Random) -> None:
    """A while: seldom only into the start, mostly until some segments more are filed, and a moment longer."""
    if draw.random() < 0.15:
        time.sleep(draw.uniform(0, 4))
        return
    wanted = _filed(victim) + draw.randint(0, 4)
    deadline = time.monotonic() + 60
    while victim.working() and time.monotonic() < deadline:
        if victim.workers() and _filed(victim) >= wanted:
            break
        time.sleep(0.05)
    time.sleep(draw.uniform(0, 0.5))


def _filed(victim: Victim) -> int:
    return len(list((victim.out / "segments").glob("[!.]*")))


def _end(victim: Victim) -> None:
    for launcher in victim.launchers:
        launcher.wait(timeout=600)
    assert (victim.out / "summary.json").exists(), victim.out.with_suffix(".log").read_text()[-3000:]


def _differences(victim: Victim, reference: Victim) -> int:
    differing = 0
    for name in TABLES:
        mine, theirs = (timeless(read_rows(v.out, name)) for v in (victim, reference))
        differing += abs(len(mine) - len(theirs))
        differing += sum(a != b for a, b in zip(mine, theirs, strict=False))
    return differing


def _is_worker(pid: int) -> bool:
    try:
        return b"isoflop.sweeps.workers.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def main() -> int:
    """As the module says; exit status 1 if anything differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        differences = chaos(asked.kills, asked.seed, Path(folder), lambda line: print(line, flush=True))
    print(f"{asked.kills} kills, {differences} differences")
    return int(differences > 0)


if __name__ == "__main__":
    sys.exit(main())
