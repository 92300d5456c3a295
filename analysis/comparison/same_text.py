"""Whether the losses of two fits can be compared: one text, one tokenizer, the same windows and metric."""

from __future__ import annotations

from isoflop.analysis.result import LawFit
from isoflop.base.errors import UserError

PER_TOKEN = {
    "dataset": "the text",
    "tokenizer": "the tokenizer",
    "vocab_size": "the vocabulary",
    "context_length": "the context, and with it the held-out windows,",
    "data_digest": "the tokens (a text that has changed since)",
    "eval_windows": "the number of held-out windows",
}
"""Columns that must hold one value in both tables for a loss per token to mean the same, and what differs."""
PER_BYTE = ("dataset",)
"""Those for a loss per byte of the text, which every tokenizer is measured by alike."""


def refuse_unlike(a: LawFit, b: LawFit) -> tuple[str, ...]:
    """Warnings on what is not known of two fits that are to be compared.

    Raises `UserError` where their losses or their FLOPs are not the same thing, and says which.
    """
    here, there = a.conventions, b.conventions
    if (here.quantity, here.unit) != (there.quantity, there.unit):
        raise UserError(
            f"the losses are not the same thing: {here.quantity} ({here.unit}) in A, {there.quantity} "
            f"({there.unit}) in B: choose one for both with --metric"
        )
    if here.flops_meaning != there.flops_meaning:
        raise UserError(
            f"FLOPs are counted otherwise: {here.flops_meaning} in A, {there.flops_meaning} in B: count both "
            "by --flops 6nd"
        )
    return same_tokens(a, b, here.unit)


def same_tokens(a: LawFit, b: LawFit, unit: str) -> tuple[str, ...]:
    """Warnings on what is not known of the texts that two fits' losses, in `unit`, are measured on.

    Raises `UserError` where they are not the same, and says in what.
    """
    measured = [fit.provenance.table.measured if fit.provenance else {} for fit in (a, b)]
    unknown = []
    for column in _columns(unit, *(each.get("data_digest") for each in measured)):
        first, second = (each.get(column) or () for each in measured)
        if not (first and second):
            unknown.append(column)
        elif first != second:
            raise UserError(
                f"{PER_TOKEN[column]} differs: {column} is {', '.join(first)} in A, {', '.join(second)} in "
                f"B: the losses of one can't be set against the other's{_mend(column)}"
            )
    if not unknown:
        return ()
    return (f"not known to be measured on the same text: {', '.join(unknown)} not in both tables",)


def _columns(unit: str, *digests: tuple[str, ...] | None) -> tuple[str, ...]:
    """What must agree for losses of this unit; texts whose tokens are the same go by any name."""
    if unit.endswith("per byte"):
        return PER_BYTE
    if digests[0] and digests[0] == digests[1]:
        return ("context_length", "eval_windows")
    return tuple(PER_TOKEN)


def _mend(column: str) -> str:
    """What else could be compared."""
    if column in ("tokenizer", "vocab_size"):
        return "; bits per byte can (--metric bits_per_byte)"
    return ""
