"""Receipts: one line that proves a result in a student's write-up to whoever has the lab's secret.

`isoflop-receipt:1:RUN:CONFIG:LOSS:SIGNATURE`: the run's number, its config's name, its last loss in nats per
token, and a keyed hash over them, the lab and the student. The student's name is not spelled: checking finds
whose receipt it is, and that it is nobody else's.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from isoflop.labs.contract.messages import ExperimentResponse
from isoflop.labs.contract.statuses import Completed
from isoflop.labs.lab import Lab

RECEIPT = re.compile(r"isoflop-receipt:1:(\d+):([0-9a-f]+):([-+.\de]+):([0-9a-f]{32})")


@dataclass(frozen=True)
class Checked:
    """A receipt found in a text. `student`: whose it is; None where nobody's, forged or of another lab."""

    text: str
    experiment_id: int
    loss: str
    student: str | None


def receipt(lab: Lab, student: str, run: ExperimentResponse) -> str | None:
    """The receipt of a completed run; None for any other."""
    if not isinstance(run.status, Completed):
        return None
    loss = repr(run.status.val_losses[-1])
    config_id = run.training_config.config_id
    signature = _signature(lab, student, str(run.experiment_id), config_id, loss)
    return f"isoflop-receipt:1:{run.experiment_id}:{config_id}:{loss}:{signature}"


def check_receipts(lab: Lab, students: Iterable[str], text: str) -> Iterator[Checked]:
    """Every receipt in a text, and whose it is."""
    names = list(students)
    for found in RECEIPT.finditer(text):
        number, config_id, loss, signature = found.groups()
        owners = (
            name
            for name in names
            if hmac.compare_digest(_signature(lab, name, number, config_id, loss), signature)
        )
        yield Checked(found[0], int(number), loss, next(owners, None))


def _signature(lab: Lab, student: str, number: str, config_id: str, loss: str) -> str:
    # The name comes last: the parts before it hold no colon, so that no two lists of parts read alike.
    text = ":".join(("receipt", lab.settings.lab_id, number, config_id, loss, student))
    return hmac.new(lab.secret, text.encode(), hashlib.sha256).hexdigest()[:32]
