"""Plug-ins in files of the user's own that import modules beside them, down to the workers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("isoflop")

FILES = {
    "my_sweep.py": (
        "from isoflop import ModelOptions, Rates, SweepConfig\nfrom my_grid import LADDER\n"
        "SWEEP = SweepConfig(name='mine', title='Mine', budgets=(2e8,), ladder=LADDER, sizes=1,\n"
        "    centre_width=8, centre_budget=2e8, parametrization='standard', rates=Rates(coefficient=0.06),\n"
        "    data='./my_data.py:300', batch_size=4, eval_windows=64, seeds=1,\n"
        "    checks=False, trackers=('./my_tracker.py',),\n"
        "    model=ModelOptions(context_length=32, architecture='./my_model.py'))\n"
    ),
    "my_grid.py": "LADDER = (8,)\n",
    "my_data.py": (
        "from isoflop.train.data.sources import Document, TextSource\n"
        "def open_source(argument):\n"
        "    def documents():\n"
        "        from my_words.poems import line\n"
        "        return [Document(str(i), line(i)) for i in range(int(argument))]\n"
        "    return TextSource('mine', 'Mine', 'mine', 'mine', 300_000, documents)\n"
    ),
    "my_words/__init__.py": "",
    "my_words/poems.py": "def line(i):\n    return f'the {i}-th of many lines that are much alike. ' * 20\n",
    "my_model.py": (
        "import types\nfrom isoflop.models.decoder import Model as Decoder, ledger\n"
        "from my_layers import scaled\n"
        "class Model(Decoder):\n"
        "    def features(self, tokens_BxT):\n"
        "        features, aux = super().features(tokens_BxT)\n"
        "        return scaled(features), aux\n"
    ),
    "my_layers.py": "def scaled(x):\n    return 0.5 * x\n",
    "my_tracker.py": (
        "import my_log\ndef open_tracker(sweep, folder, warn):\n    return my_log.Log(folder / 'my.log')\n"
    ),
    "my_log.py": (
        "class Log:\n    address = ''\n    def __init__(self, path):\n        self.path = path\n"
        "    def log_cell(self, config, curve, row):\n"
        "        self.path.open('a').write(row.cell_id + '\\n')\n"
        "    def log_sweep(self, folder, rows):\n        pass\n    def close(self):\n        pass\n"
    ),
    # Names that others have: theirs are found first.
    "types.py": "raise RuntimeError('types')\n",
    "isoflop.py": "raise RuntimeError('isoflop')\n",
    "wandb.py": "raise RuntimeError('wandb')\n",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def isoflop(folder: Path, *line: str) -> subprocess.CompletedProcess[str]:
    """What a command in the folder says."""
    return subprocess.run(
        [COMMAND, *line], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.slow
def test_a_sweep_of_ones_own_files_and_their_helpers(folder: Path) -> None:
    done = isoflop(folder, "sweep", "my_sweep.py", "--no-report")
    assert done.returncode == 0, done.stderr
    out = folder / "outputs" / "mine"
    cells = sorted(path.name for path in out.glob("cells/*"))
    assert len(cells) == 1
    assert sorted((out / "my.log").read_text().split()) == cells
    assert not list(folder.glob("**/__pycache__"))
    again = isoflop(folder, "sweep", "my_sweep.py", "--no-report")
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in out.glob("cells/*")) == cells
    check_edited_helper(folder, cells)


def check_edited_helper(folder: Path, cells: list[str]) -> None:
    """Another version of the model is another sweep: refused in this folder, with other ids elsewhere."""
    (folder / "my_layers.py").write_text("def scaled(x):\n    return 0.6 * x\n")
    refused = isoflop(folder, "sweep", "my_sweep.py", "--no-report", "--out", "outputs/mine")
    assert refused.returncode == 2
    assert "architecture is my_model.py@" in refused.stderr
    assert "holds another sweep" in refused.stderr
    planned = json.loads(isoflop(folder, "plan", "my_sweep.py", "--json", "--no-calibration").stdout)
    assert not set(cells) & {cell["cell_id"] for cell in planned["cells"]}
    named = isoflop(
        folder, "plan", "my_sweep.py", "--json", "--no-calibration", "--architecture", "no_such.py"
    )
    assert (named.returncode, named.stderr) == (
        2,
        "isoflop: no architecture file no_such.py: check the path\n",
    )
