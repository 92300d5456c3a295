"""Command lines as dataclasses, by tyro; a wrong one is a `UserError` of one line."""

from __future__ import annotations

import contextlib
import io
from typing import Any, TypeVar

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from isoflop.base.errors import UserError
from isoflop.base.formatting import compact
from isoflop.base.ranges import OutOfRangeError
from isoflop.refusals import refusal

T = TypeVar("T")

_NUMBERS = ConstructorRegistry()


@_NUMBERS.primitive_rule
def _short_number(kind: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[float] | None:
    """Numbers that `--help` shows as defaults: 1e+11, not 100000000000.0."""
    if kind.type is not float:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda words: float(words[0]),
        is_instance=lambda value: isinstance(value, float | int),
        str_from_instance=lambda value: [compact(value)],
    )


def parse(cls: type[T], argv: list[str], command: str, default: Any = None) -> T:
    """The value that `argv` spells; `--help` prints and exits as usual."""
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint), _NUMBERS:
            if default is not None:
                return tyro.cli(cls, args=argv, prog=f"isoflop {command}", default=default)
            return tyro.cli(cls, args=argv, prog=f"isoflop {command}")
    except OutOfRangeError as error:
        raise _by_option(error) from None
    except SystemExit as stop:
        if not stop.code:
            raise
        cause = stop.__context__
        while cause is not None and not isinstance(cause, UserError):  # wrapped once for each dataclass
            cause = cause.__context__
        if isinstance(cause, OutOfRangeError):
            raise _by_option(cause) from None
        if cause is not None:  # a value's own refusal
            raise cause from None
        raise UserError(f"{refusal(complaint.getvalue())}; see isoflop {command} --help") from None


def _by_option(error: OutOfRangeError) -> UserError:
    """The same refusal, of the option, which may be spelled as the field is."""
    return UserError(f"--{error}")
