"""Anything in TensorFlow Datasets, without TensorFlow: `tfds:NAME[/CONFIG][:VERSION][#FEATURE]`."""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Iterator
from typing import Any

from isoflop.base.errors import UserError
from isoflop.train.data.sources import Document, TextSource
from isoflop.train.spec import Split

TEXT_BUILDERS = {"wiki40b": "tensorflow_datasets.text.wiki40b", "c4": "tensorflow_datasets.text.c4"}
"""Builders that the registry doesn't find without TensorFlow until their module is imported by name."""

SPLITS: dict[str, Split] = {"test": "heldout", "validation": "heldout"}


def open_source(argument: str) -> TextSource:
    """The dataset `argument`: its `train` split, and `validation` (else `test`) as held-out text.

    `#FEATURE` names the text feature; without it the dataset's single text feature is taken.
    """
    if not argument:
        raise UserError("dataset tfds: which one? Write tfds:NAME, for example tfds:tiny_shakespeare")
    name, _, feature = argument.partition("#")
    builder = _builder(name)
    feature = feature or _text_feature(builder, name)
    if feature not in (builder.info.features or {}):
        known = ", ".join(builder.info.features or {})
        raise UserError(f"tfds:{name} has no feature {feature!r}: known are {known}")
    return TextSource(
        name=f"tfds:{argument}",
        title=f"TensorFlow Datasets, {builder.info.full_name}",
        licence=builder.info.redistribution_info.license or "as the dataset's authors say",
        fingerprint=f"{builder.info.full_name}#{feature}",
        n_bytes=int(builder.info.dataset_size or builder.info.download_size or 0),
        documents=lambda: _documents(builder, name, feature),
    )


def _builder(name: str) -> Any:
    import tensorflow_datasets as tfds

    base = name.split("/")[0].split(":")[0]
    if base in TEXT_BUILDERS:
        importlib.import_module(TEXT_BUILDERS[base])
    try:
        return tfds.builder(name, file_format="array_record")
    except (ValueError, ImportError) as error:
        raise UserError(f"dataset tfds:{name}: {_first_line(error)}") from error


def _text_feature(builder: Any, name: str) -> str:
    import tensorflow_datasets as tfds

    features = builder.info.features or {}
    texts = [key for key in features if isinstance(features[key], tfds.features.Text)]
    if len(texts) != 1:
        raise UserError(f"tfds:{name} has text features {texts}: name one, as in tfds:{name}#FEATURE")
    return texts[0]


def _documents(builder: Any, name: str, feature: str) -> Iterator[Document]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
    except Exception as error:  # TFDS lets through whatever its download stack raises
        raise UserError(f"dataset tfds:{name} can't be downloaded: {_first_line(error)}") from error
    own_heldout = "validation" if "validation" in builder.info.splits else "test"
    for split in ("train", own_heldout):
        if split not in builder.info.splits:
            continue
        for number, record in enumerate(builder.as_data_source(split=split)):
            text = record[feature]
            text = text.decode("utf-8", errors="replace") if isinstance(text, bytes) else str(text)
            own = SPLITS.get(split)
            for start, part in _parts(text):
                yield Document(f"{split}/{number}/{start}", part, own, own_heldout in builder.info.splits)


def _parts(text: str) -> Iterator[tuple[int, str]]:
    """One part a record; a record that holds a whole corpus is cut, so that it can be split."""
    size = 100_000
    for start in range(0, max(len(text), 1), size):
        yield start, text[start : start + size]


def _first_line(error: BaseException) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
