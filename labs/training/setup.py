"""What a lab that trains is made with: its data, and the machine as measured."""

from __future__ import annotations

import math
from typing import TypedDict

from isoflop.base.errors import UserError
from isoflop.labs.contract.rules import Windows
from isoflop.labs.pricing import Machine
from isoflop.labs.settings import TrainingData
from isoflop.labs.training.calibration import measured_machine
from isoflop.train.data.corpus import Corpus, prepare
from isoflop.train.device import set_up


class TrainingSettings(TypedDict):
    """The fields of `Settings` that the data and the machine decide."""

    data: TrainingData
    data_vocab_size: int
    machine: Machine
    windows: Windows


def training_settings(corpus: Corpus, machine: Machine, windows: Windows) -> TrainingSettings:
    """What a lab on a corpus and a machine is made with."""
    spec = corpus.spec
    data = TrainingData(
        source=spec.source,
        tokenizer=spec.tokenizer,
        digest=spec.digest,
        n_train_tokens=corpus.n_tokens("train"),
    )
    return {"data": data, "data_vocab_size": corpus.vocab_size, "machine": machine, "windows": windows}


def measured_settings(
    source: str, tokenizer: str, context_length: int, n_val_tokens: int | None
) -> TrainingSettings:
    """The same of a source by name and of this machine, which is measured.

    `n_val_tokens`: None for the contract's, or what the held-out text has. Raises `UserError` for data that
    cannot be had, or have too little held-out text.
    """
    set_up()
    corpus = prepare(source, tokenizer)
    available = corpus.n_windows("heldout", context_length)
    if available < 1:
        raise UserError(f"data {source}: has no held-out window of {context_length} tokens: take more text")
    if n_val_tokens is None:
        # A power of two of windows, which every batch size that is one divides.
        n_val_tokens = min(Windows.n_val_tokens, context_length * 2 ** int(math.log2(available)))
    if n_val_tokens % context_length or n_val_tokens > available * context_length:
        raise UserError(
            f"--val-tokens {n_val_tokens}: must be a multiple of the context length {context_length}, and at "
            f"most the {available * context_length} held-out tokens of {source} under {tokenizer}"
        )
    windows = Windows(context_length, n_val_tokens)
    return training_settings(corpus, measured_machine(corpus, windows), windows)
