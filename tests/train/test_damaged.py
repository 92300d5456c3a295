"""Damaged texts: what is spoilt, how, and what stays."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from isoflop.base.errors import UserError
from isoflop.train.data.corpus import prepare
from isoflop.train.data.sources import TextSource, open_source
from isoflop.train.data.sources.damaged import KINDS, POOL_SHARE
from tests.support.pseudo_english import pseudo_english


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> str:
    """300 KB of text in paragraphs."""
    path = tmp_path_factory.mktemp("clean") / "text.txt"
    text = pseudo_english(300_000, seed=3).split(" ")
    paragraphs = [" ".join(text[i : i + 4]) for i in range(0, len(text), 4)]
    path.write_text("\n\n".join(paragraphs))
    return f"text:{path}"


def texts(name: str, split: str = "train") -> list[str]:
    """The texts of a split."""
    return list(open_source(name).split(split))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", KINDS)
def test_a_share_of_the_training_text_is_spoilt_and_the_rest_stays(clean: str, kind: str) -> None:
    whole = texts(clean)
    assert len(whole) > 500
    spoilt: list[set[int]] = []
    for share in (0.25, 0.5):
        name = f"damaged:{kind}={share}:{clean}"
        found = texts(name)
        assert found == texts(name)
        assert len(found) == len(whole)
        changed = {i for i, (a, b) in enumerate(zip(found, whole, strict=True)) if a != b}
        assert len(changed) / len(whole) == pytest.approx(share, abs=0.06)
        spoilt.append(changed)
        for split in ("tune", "heldout"):
            assert texts(name, split) == texts(clean, split)
    assert spoilt[0] < spoilt[1]


def test_what_each_kind_leaves(clean: str) -> None:
    whole = texts(clean)
    for before, noise, shuffled in zip(
        whole, texts(f"damaged:noise=1:{clean}"), texts(f"damaged:shuffle=1:{clean}"), strict=True
    ):
        assert Counter(noise) == Counter(before)
        assert Counter(shuffled.split()) == Counter(before.split())
        assert noise.split() != before.split()
        assert [c for c in shuffled if c.isspace()] == [c for c in before if c.isspace()]
    copies = Counter(texts(f"damaged:duplicates=1:{clean}"))
    assert copies.keys() <= set(whole)
    assert 0 < len(copies) / len(whole) < 2.5 * POOL_SHARE


def test_cells_on_damaged_text_have_the_held_out_windows_of_the_clean_one(clean: str) -> None:
    corpora = [prepare(name, "bytes") for name in (clean, f"damaged:noise=0.5:{clean}")]
    one, two = (corpus.evaluation_windows("heldout", 64, 100) for corpus in corpora)
    np.testing.assert_array_equal(one, two)
    assert corpora[0].spec.digest != corpora[1].spec.digest


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("", "names no damaged text: write damaged:KIND=SHARE:SOURCE"),
        ("noise:wiki-intro", "names no damaged text"),
        ("typos=0.5:wiki-intro", "typos is no kind of damage: take one of noise, shuffle, duplicates"),
        ("noise=0:wiki-intro", "must be above 0 and at most 1"),
        ("noise=1.5:wiki-intro", "must be above 0 and at most 1"),
        ("noise=0.5:imagenet", "unknown dataset 'imagenet'"),
        ("noise=0.5:synthetic:zipf", "synthetic:zipf has no documents of its own to spoil"),
    ],
)
def test_damage_that_cannot_be_is_one_line(argument: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(f"damaged:{argument}")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damage_may_be_nested_and_mixed(clean: str) -> None:
    twice = open_source(f"damaged:shuffle=1:damaged:noise=0.5:{clean}")
    assert isinstance(twice, TextSource)
    assert [Counter(text) for text in twice.split("train")] == [Counter(text) for text in texts(clean)]
    mixed = open_source(f"mix:damaged:noise=0.25:{clean}=0.5+{clean}=0.5")
    assert [part.name for part in mixed.sources] == [f"damaged:noise=0.25:{clean}", clean]  # pyright: ignore
