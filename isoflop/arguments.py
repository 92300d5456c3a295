"""Command lines as dataclasses, by tyro; a wrong one is a `UserError` of one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NoReturn,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import tyro
from tyro import _errors as tyro_errors  # its one way to say what was wrong; pyproject.toml holds its version
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from isoflop.base.errors import UserError, perhaps
from isoflop.base.formatting import compact

T = TypeVar("T")

Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]
"""An option without a value, and without its opposite."""
JsonFlag = Annotated[
    bool,
    tyro.conf.arg(name="json", help="Print one JSON object and nothing else."),
    tyro.conf.FlagCreatePairsOff,
]

_NUMBERS = ConstructorRegistry()
_KINDS = {float: "a number", int: "a whole number"}


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


def parse(cls: type[T], argv: list[str], command: str, default: Any = tyro.MISSING_NONPROP) -> T:
    """The value that `argv` spells; `--help` prints and exits as usual."""

    def refuse(event: tyro_errors.ParseErrorEvent) -> NoReturn:
        if isinstance(event, tyro_errors.InstantiationFailure) and event.argument is None:
            raise UserError(event.message)  # a value's own refusal
        options = [option.name for option in _options(cls)]
        raise UserError(f"{_wrong_words(event, argv, options)}; see isoflop {command} --help")

    _refuse_repeated(cls, argv)
    try:
        with tyro_errors.on_parse_error(refuse):
            return tyro.cli(cls, args=argv, prog=f"isoflop {command}", default=default, registry=_NUMBERS)
    except UserError as error:
        raise UserError(_by_option(str(error), cls)) from None


def _refuse_repeated(cls: type, argv: Sequence[str]) -> None:
    """Raises `UserError` for an option given twice, of which tyro would take the last and say nothing."""
    given = [word.partition("=")[0].replace("_", "-") for word in argv if word.startswith("--")]
    for option in _options(cls):
        if not option.repeatable and given.count(option.name) > 1:
            raise UserError(f"{option.name} is given twice: give it once, with all that it is to hold")


def _by_option(message: str, cls: type) -> str:
    """The message, its field's name at the start replaced by the option's."""
    field, space, reason = message.partition(" ")
    name, colon, _ = field.partition(":")
    found = [option for option in _options(cls) if f".{option.field}".endswith(f".{name}")]
    # A group's field has its group's name, so that the shortest path is the one meant.
    option = min(found, key=lambda option: option.field.count("."), default=None)
    return (option.name + colon if option else field) + space + reason


def _wrong_words(event: tyro_errors.ParseErrorEvent, argv: Sequence[str], options: Sequence[str]) -> str:
    """What was wrong, as one line: the option, what was given, and what it takes."""
    if isinstance(event, tyro_errors.InstantiationFailure) and event.argument:
        option = event.argument.display_name()
        several = " (several may be given)" if event.argument.lowered.nargs == "*" else ""
        return f"{option} {_given(option, argv)}: must be {_wanted(event.argument.field.type)}{several}"
    if isinstance(event, tyro_errors.InvalidChoice):
        return f"{event.argument.display_name()} {event.value}: choose {_either(event.choices)}"
    if isinstance(event, tyro_errors.BadValue):
        return f"{event.argument.display_name()}: its value is missing"
    if isinstance(event, tyro_errors.UnrecognizedArgs):
        return _unknown(event.tokens, options)
    if isinstance(event, tyro_errors.MissingArgs):
        return f"missing: {', '.join(_described(one.arg) for one in event.missing_arguments)}"
    return "wrong arguments"


def _given(option: str, argv: Sequence[str]) -> str:
    """The words that follow an option, where it stands last."""
    for i, word in reversed([*enumerate(argv)]):
        name, equals, value = word.partition("=")
        if name.replace("_", "-") == option:
            return value if equals else " ".join(takewhile(lambda w: not w.startswith("--"), argv[i + 1 :]))
    return ""


def _wanted(kind: Any) -> str:
    """What an option of this type takes."""
    parts = [part for part in get_args(kind) if part is not Ellipsis]
    if get_origin(kind) is Literal:
        return _either(parts)
    if get_origin(kind) is Annotated:
        return _wanted(parts[0])
    if get_origin(kind) is tuple:
        return " and ".join(dict.fromkeys(_wanted(part) for part in parts))
    if parts:
        return " or ".join(_wanted(part) for part in parts if part is not type(None))
    return _KINDS.get(kind, f"a {getattr(kind, '__name__', kind)}".lower())


def _either(choices: Sequence[Any]) -> str:
    *others, last = map(str, choices)
    return f"{', '.join(others)} or {last}" if others else last


def _unknown(words: Sequence[str], options: Sequence[str]) -> str:
    unknown = [word.partition("=")[0] for word in words if word.startswith("-")]
    if not unknown:
        return f"unexpected {words[0]!r}"
    return f"unknown option {', '.join(unknown)}{perhaps(unknown[0], options)}"


def _described(argument: Any) -> str:
    """The name of an option is enough; of a positional argument its help says what it is."""
    if not argument.is_positional():
        return argument.display_name()
    text = argument.field.helptext
    about = str(text() if callable(text) else text).rstrip(".")
    return about[0].lower() + about[1:]


class _Option(NamedTuple):
    """`field`: of a dataclass or of one within it, dotted. `repeatable`: may be given several times."""

    field: str
    name: str
    repeatable: bool


def _options(cls: type, path: str = "", prefix: str = "") -> Iterator[_Option]:
    """The options of a dataclass and of those within it."""
    for name, hint in get_type_hints(cls, include_extras=True).items():
        marks = getattr(hint, "__metadata__", ())
        named = next((mark.name for mark in marks if getattr(mark, "name", None) is not None), name)
        named = "" if tyro.conf.OmitArgPrefixes in marks else named
        kind = get_args(hint)[0] if marks else hint
        if dataclasses.is_dataclass(kind) and isinstance(kind, type):
            yield from _options(kind, f"{path}{name}.", f"{prefix}{named}." if named else prefix)
        elif tyro.conf.Positional not in marks:
            option = f"--{prefix}{named}".replace("_", "-")
            yield _Option(f"{path}{name}", option, tyro.conf.UseAppendAction in marks)
