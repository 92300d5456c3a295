"""Text out of TensorFlow Datasets, which here runs without TensorFlow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_datasets as tfds

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import prepare
from isoflop.train.data.row_corpus import ROW, SPLITS
from isoflop.train.data.sources import TextSource, open_source
from tests.support.pseudo_english import pseudo_english

TEXTS = {split: pseudo_english(150_000, seed).split("\n\n") for seed, split in enumerate(("train", "test"))}


class MadeUpText(tfds.core.GeneratorBasedBuilder):
    """A data set with a training and a test split; registers itself as `made_up_text`."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        features = {"text": tfds.features.Text(), "number": tfds.features.Scalar(dtype=np.int64)}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Any]:
        return {split: self._generate_examples(split) for split in TEXTS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, text in enumerate(TEXTS[split]):
            yield number, {"text": text, "number": number}


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where TensorFlow Datasets keeps what it made."""
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("data_dir")
def test_a_data_set_becomes_text_without_tensorflow() -> None:
    source = open_source("tfds:made_up_text")
    texts = {split: sorted(source.split(split)) for split in SPLITS}
    assert source.title == "TensorFlow Datasets, made_up_text/1.0.0"
    assert texts["heldout"] == sorted(TEXTS["test"])
    assert sorted(texts["train"] + texts["tune"]) == sorted(TEXTS["train"])
    assert texts["tune"]
    assert "tensorflow" not in sys.modules


@pytest.mark.usefixtures("data_dir")
def test_a_data_set_becomes_a_corpus() -> None:
    corpus = prepare("tfds:made_up_text#text", "bytes")
    rows = corpus.windows("heldout", ROW, np.arange(corpus.n_windows("heldout", ROW)))
    heldout = rows[:, 1:].tobytes().split(b"\0")[1:-1]
    assert set(heldout) <= {text.encode() for text in TEXTS["test"]}
    assert len(heldout) > 0.95 * len(TEXTS["test"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:", "which one"),
        ("tfds:no_such_set", "dataset tfds:no_such_set: "),
        ("tfds:lm1b#image", "has no feature 'image': known are text"),
        ("tfds:mnist", "has text features"),
    ],
)
def test_a_dataset_that_cannot_be_had_is_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        open_source(name)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("data_dir")
def test_a_download_that_fails_is_the_callers_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(self: Any) -> None:
        raise ConnectionError("no route to host\nand more")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", unreachable)
    source = open_source("tfds:lm1b")
    assert isinstance(source, TextSource)
    with pytest.raises(UserError, match=r"tfds:lm1b can't be downloaded: no route to host$"):
        next(iter(source.documents()))
