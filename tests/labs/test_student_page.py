"""What the students' page shows works as it is written."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

from tests.support.lab_server import finished, serving
from tests.support.labs import make_lab

PAGE = Path(__file__).parents[2] / "docs" / "lab-students.md"


def test_the_example_runs(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert '"06123456"' in code
    assert '"http://127.0.0.1:8000"' in code
    lab = make_lab(tmp_path / "lab")
    with serving(lab) as server, server.client("ann") as client:
        code = code.replace("06123456", lab.keys()["ann"]).replace("http://127.0.0.1:8000", server.address)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(code, {})
        assert "'fits_reservation': True" in said.getvalue()
        assert "'experiment_id': 1" in said.getvalue()
        status = finished(client, 1)
        assert status["status_type"] == "completed"
        assert status["val_losses"][-1] < 7  # below what the frequencies of tokens alone give
        assert client.post("/experiment/1/cancel").status_code == 409
