"""isoflop lab init"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from pydantic import Field

from isoflop.arguments import Flag, parse
from isoflop.base.errors import UserError
from isoflop.base.fields import check_fields
from isoflop.base.formatting import pluralize
from isoflop.labs.contract.fields import BudgetSeconds

if TYPE_CHECKING:
    from isoflop.labs.contract.rules import Windows
    from isoflop.labs.settings import Settings, TrainingData
    from isoflop.labs.training.setup import TrainingSettings


@dataclass(frozen=True)
class Init:
    """Makes a lab's folder, with a key of eight random digits for each student."""

    folder: tyro.conf.Positional[Path]
    """The new folder."""
    students: int | None = None
    """How many students; they are called student-001 and so on."""
    roster: Path | None = None
    """A file of names instead, one a line or in a CSV's first column."""
    backend: str = "surrogate"
    """What answers: surrogate (a law of each student's own, at once), table (replays a run table) or train
    (trains on this machine, which is measured for its prices)."""
    table: Path | None = None
    """The run table that --backend table replays."""
    data: str = "wiki-intro"
    """The text that --backend train trains on, by a name of isoflop data list."""
    tokenizer: str = "bytes"
    """Its tokenizer: bytes, or bpe-SIZE."""
    context_length: Annotated[int, Field(ge=1)] = 512
    """Tokens of a window. The course's own client checks with 512."""
    val_tokens: Annotated[int, Field(ge=1)] | None = None
    """Held-out tokens of an evaluation; fewer make it cheaper, and noisier. 262,144 if not given, or the
    largest power of two that the data of --backend train have."""
    budget: BudgetSeconds = 43_200.0
    """Seconds that each student has."""
    target: BudgetSeconds | None = None
    """Seconds that the final submission's run may cost; four budgets if not given."""
    budget_unit: Literal["seconds", "flops"] = "seconds"
    """What a second is: the machine's, or its FLOPs per second, in which the price is exact."""
    practice: Flag = False
    """Also a practice lab of other laws, at /practice, with the same keys and a budget of its own."""

    def __post_init__(self) -> None:
        check_fields(self)


def run(argv: list[str]) -> int:
    """Makes the lab, and says what to do next."""
    from isoflop.labs.backends import check_backend
    from isoflop.labs.lab import KEYS, PRACTICE, add_practice, new_lab, new_lab_id
    from isoflop.labs.settings import TARGET_OVER_BUDGET, Settings

    given = parse(Init, argv, "lab init")
    if given.table is not None and given.backend in ("surrogate", "train"):
        raise UserError(
            f"--table: --backend {given.backend} reads no table; add --backend table to replay it"
        )
    names = _names(given)
    settings = Settings(
        lab_id=new_lab_id(),
        backend=given.backend,
        budget_seconds=given.budget,
        budget_unit=given.budget_unit,
        target_seconds=TARGET_OVER_BUDGET * given.budget if given.target is None else given.target,
        table=None if given.table is None else str(given.table.absolute()),
    )
    if given.backend == "train":
        settings = replace(settings, **_trained(given))
    else:
        settings = replace(settings, windows=_windows(given))
    check_backend(given.folder, settings)
    lab = new_lab(given.folder, settings, names)
    if given.practice:
        add_practice(lab)
    print(f"a lab of {pluralize(len(names), 'student')} in {given.folder}")
    if settings.data is not None:
        _say_what_was_measured(settings, settings.data)
    print(f"  give each their key:  {given.folder / KEYS}")
    print(f"  serve it:             isoflop lab serve {given.folder}")
    print(f"  after the deadline:   isoflop lab grade {given.folder} --out {given.folder / 'grades'}")
    if given.practice:
        print(f"  practice:             students add /practice to the address; {given.folder / PRACTICE}")
    print("  keep a backup of the folder: keys and answer keys depend on the file `secret` in it")
    return 0


def _windows(given: Init) -> Windows:
    from isoflop.labs.contract.rules import Windows

    n_val_tokens = Windows.n_val_tokens if given.val_tokens is None else given.val_tokens
    if n_val_tokens % given.context_length:
        raise UserError(
            f"--val-tokens {n_val_tokens}: must be a multiple of --context-length {given.context_length}"
        )
    return Windows(given.context_length, n_val_tokens)


def _trained(given: Init) -> TrainingSettings:
    from isoflop.labs.lab import refuse_lab
    from isoflop.labs.training.setup import measured_settings

    refuse_lab(given.folder)  # before a minute is spent
    print("preparing the data and measuring this machine: a minute or so", flush=True)
    return measured_settings(given.data, given.tokenizer, given.context_length, given.val_tokens)


def _say_what_was_measured(settings: Settings, data: TrainingData) -> None:
    machine, windows = settings.machine, settings.windows
    print(
        f"  data: {data.n_train_tokens:,} training tokens of {data.source}, none of them repeated; a "
        f"vocabulary of {settings.data_vocab_size}; evaluated on {windows.n_val_tokens:,} held-out tokens"
    )
    print(
        f"  this machine, measured: {machine.flops_per_second:.3g} FLOPs a second, and beside them "
        f"{machine.step_seconds:.3g} s a step and {machine.evaluation_seconds:.3g} s an evaluation; prices "
        "are predicted from it"
    )


def _names(given: Init) -> list[str]:
    from isoflop.labs.roster import numbered, read_roster

    if given.students is not None and given.roster is None:
        return numbered(given.students)
    if given.roster is not None and given.students is None:
        return read_roster(given.roster)
    raise UserError("the students: give --students N, or --roster FILE")
