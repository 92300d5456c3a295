"""Options of a sweep: each number has a range that is checked, and each field a sentence."""

from __future__ import annotations

import ast
import hashlib
import inspect
import math
import types
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoflop.__main__ import _run
from isoflop.base.errors import UserError
from isoflop.base.json_values import content_id
from isoflop.models.config import ModelOptions
from isoflop.sweeps.caps import Caps
from isoflop.sweeps.grids.adaptive import Adaptive
from isoflop.sweeps.grids.cells import grid_cells, tuning_cells
from isoflop.sweeps.grids.config import GROUPS, Rates, SweepConfig, load_config
from isoflop.sweeps.workers.options import WorkerOptions
from isoflop.train.execution import Execution
from isoflop.train.spec import DataSpec, ScheduleOptions
from tests.support.small import small_sweep

TUNED = small_sweep("text:nowhere", rates=Rates(0.06, tried=(0.5, 1.0, 2.0), widths=(8,), horizons=(1.5e4,)))
VALUES = (TUNED, Execution(), WorkerOptions(), Caps(), Adaptive())


class Bounds(NamedTuple):
    """What an annotation says of a number; None is no bound."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None


class Number(NamedTuple):
    """A number among the options: `put` gives the value that has another in its place."""

    field: str
    kind: type
    allowed: Bounds
    put: Callable[[Any], Any]


def bounds(extras: tuple[Any, ...]) -> Bounds:
    """Those of pydantic's fields."""
    constraints = [c for extra in extras for c in getattr(extra, "metadata", ())]
    return Bounds(
        *(next((getattr(c, n) for c in constraints if hasattr(c, n)), None) for n in Bounds._fields)
    )


def numbers(hint: Any, value: Any) -> Iterator[tuple[type, Bounds, Callable[[Any], Any]]]:
    """The numbers in a value of this type."""
    origin, args = get_origin(hint), get_args(hint)
    if hint in (int, float):
        yield hint, Bounds(), lambda number: number
    elif origin is Annotated and args[0] in (int, float):
        yield args[0], bounds(args[1:]), lambda number: number
    elif origin in (Union, types.UnionType):
        yield from (found for arg in args for found in numbers(arg, value))
    elif origin is tuple:
        for i, part in enumerate(args[:1] if args[1:] == (...,) else args):
            if i == len(value):  # such as axes, of which the config has none
                break
            for kind, allowed, put in numbers(part, value[i]):
                yield kind, allowed, lambda n, i=i, put=put: (*value[:i], put(n), *value[i + 1 :])


def numbers_of(value: Any, prefix: str = "") -> Iterator[Number]:
    """The numbers among a dataclass' fields."""
    for name, hint in get_type_hints(type(value), include_extras=True).items():
        found = getattr(value, name)
        if is_dataclass(found):
            for n in numbers_of(found, f"{name}."):
                yield n._replace(put=lambda x, name=name, n=n: replace(value, **{name: n.put(x)}))
        for kind, allowed, put in numbers(hint, found):
            yield Number(
                prefix + name, kind, allowed, lambda n, name=name, put=put: replace(value, **{name: put(n)})
            )


NUMBERS = [
    number
    for value in VALUES
    for number in numbers_of(value)
    if not number.field.startswith("execution.")  # it checks itself
]


def test_there_are_many() -> None:
    assert len({n.field for n in NUMBERS}) > 36
    assert {
        *("optimizer.clip", "optimizer.eps", "model.norm_eps", "schedule.final_fraction"),
        *("rates.tried", "half_width", "max_hours", "devices"),
    } <= {n.field for n in NUMBERS}


@pytest.mark.parametrize("number", NUMBERS, ids=lambda n: n.field)
def test_each_has_a_range(number: Number) -> None:
    if number.field not in ("rates.exponent", "rates.token_exponent"):
        assert (number.allowed.ge, number.allowed.gt) != (None, None)


@st.composite
def outside(draw: st.DrawFn) -> tuple[Number, Any]:
    """An option, and a number that it doesn't take."""
    number = draw(st.sampled_from(NUMBERS))
    allowed = number.allowed
    wrong: list[st.SearchStrategy[Any]] = [st.sampled_from(["2", True, None, 1j])]
    if number.kind is float:
        wrong.append(st.sampled_from([math.nan, math.inf, -math.inf]))
    else:
        wrong.append(st.floats(0.1, 1e6).filter(lambda x: not x.is_integer()))
    numeric: Any = st.integers if number.kind is int else st.floats
    if allowed.ge is not None:
        wrong.append(numeric(max_value=allowed.ge).filter(lambda x: x < allowed.ge))
    if allowed.gt is not None:
        wrong.append(numeric(max_value=allowed.gt))
    if allowed.le is not None:
        wrong.append(numeric(min_value=allowed.le).filter(lambda x: x > allowed.le))
    if allowed.lt is not None:
        wrong.append(numeric(min_value=allowed.lt))
    found = draw(st.one_of(wrong))
    if found is None and number.field in ("members", "max_flops", "max_hours"):  # None is no cap
        found = math.nan
    return number, found


@given(outside())
def test_a_number_outside_is_refused_by_its_field_in_a_line(drawn: tuple[Number, Any]) -> None:
    number, wrong = drawn
    with pytest.raises(UserError) as caught:
        number.put(wrong)
    said = str(caught.value)
    assert said.startswith(f"{number.field} ")
    assert ": must be " in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--eps 0", "--eps 0.0: must be a positive number"),
        ("--experts-per-token 2", "--experts-per-token 2: must be at most the number of experts, 1"),
        ("--beta2 1.5", "--beta2 1.5: must be below 1"),
        ("--clip -1", "--clip -1.0: must be at least 0"),
        ("--weight-decay -0.1", "--weight-decay -0.1: must be at least 0"),
        ("--batch-size 0", "--batch-size 0: must be at least 1"),
        ("--seeds 0", "--seeds 0: must be at least 1"),
        ("--rates.seeds 0", "--rates.seeds 0: must be at least 1"),
        ("--rates.coefficient nan", "--rates.coefficient nan: must be a finite number"),
        ("--budgets 1e11 inf", "--budgets inf: must be a finite number"),
        ("--lease-seconds 0", "--lease-seconds 0.0: must be a positive number"),
    ],
)
def test_the_command_line_says_so_by_the_option(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["plan", "cpu-demo", "--no-calibration", *words.split()]) == 2
    assert capsys.readouterr().err == f"isoflop: {said}\n"


@pytest.mark.parametrize(
    "cls",
    [SweepConfig, ModelOptions, ScheduleOptions, Rates, Execution, WorkerOptions, Caps, Adaptive],
    ids=lambda cls: cls.__name__,
)
def test_each_field_has_its_sentence(cls: Any) -> None:
    """As a string below it, where `--help` finds it."""
    (tree,) = ast.parse(inspect.getsource(cls)).body
    assert isinstance(tree, ast.ClassDef)
    described = {
        field.target.id
        for field, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if str(below.value.value).strip()
    }
    assert [f.name for f in fields(cls) if f.name not in {*described, *GROUPS}] == []


@pytest.mark.parametrize(
    ("config", "digest"),
    [(TUNED, "3c7e3311ae256552"), (load_config("h200-ladder"), "c66bb22238b008b6")],
    ids=["small", "h200-ladder"],
)
def test_names_of_cells_are_as_they_were(config: SweepConfig, digest: str) -> None:
    """A digest of the ids of a sweep's cells on a corpus of bytes, as of results' version 3: new options may
    not rename the cells that lie in anyone's folder."""
    corpus: Any = types.SimpleNamespace(spec=DataSpec("nowhere", "bytes", "0"), vocab_size=256, eos=0)
    cells = [*grid_cells(config, corpus, config.rates), *tuning_cells(config, corpus)]
    ids = " ".join(planned.cell.cell_id for planned in cells)
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == digest


def test_an_option_at_its_default_leaves_a_sweeps_identity_as_it_was() -> None:
    """Finished folders are recognized by it: an option that comes is left out of it where nobody sets it."""
    assert content_id(load_config("cpu-repetition")) == "28ee2bf517184c4b"
