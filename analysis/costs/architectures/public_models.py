"""Public models by name, and shapes in files: our own .toml, and the config.json of Hugging Face."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isoflop.analysis.costs import data_files
from isoflop.analysis.costs.architectures.model_shape import ForecastModel, ModelShape, PublicShape
from isoflop.base.errors import UserError

FOLDER = Path(__file__).parent

PLAIN_FEED_FORWARD = ("bloom", "codegen", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj",
                      "mpt", "opt", "phi", "starcoder2")  # fmt: skip
"""Values of `model_type` whose feed-forward block has two matrices."""
TIED_UNLESS_SAID = ("bloom", "falcon", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_bigcode", "gpt_neo",
                    "mpt", "opt")  # fmt: skip
"""Values of `model_type` whose head is the embedding where the file does not say."""
NOT_FORECAST = {
    "kv_lora_rank": "a compressed cache of keys and values (MLA)",
    "moe_intermediate_size": "experts of a width of their own",
    "ssm_cfg": "state-space layers",
    "mamba_d_state": "state-space layers",
    "state_size": "state-space layers",
    "rescale_every": "a recurrent state (RWKV)",
    "linear_num_key_heads": "linear attention",
}
"""Keys of a config.json that stand for what is not forecast."""


def known_models() -> tuple[str, ...]:
    """Names of the public models in this package, sorted."""
    return data_files.known(FOLDER)


def find_model(name: str) -> ForecastModel:
    """The public model of that name, or in the .toml or config.json file that `name` is the path of.

    Raises `UserError` for a name nobody knows, and for a file that describes none.
    """
    if name.endswith(".json"):
        return _hugging_face(Path(name))
    return data_files.read(PublicShape, FOLDER, name, "model").model()


def is_config(path: Path) -> bool:
    """Whether a file is a Hugging Face config."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError):
        return False
    return isinstance(raw, dict) and bool({"hidden_size", "n_embd", "text_config", "model_type"} & set(raw))


def _hugging_face(path: Path) -> ForecastModel:
    """The model of a Hugging Face config. Raises `UserError` for one that is no plain decoder."""
    try:
        raw = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"model file {path} can't be read: {error}") from error
    raw = raw.get("text_config", raw) if isinstance(raw, dict) else {}
    for key, what in NOT_FORECAST.items():
        if raw.get(key):
            raise UserError(
                f"{path}: {what} ({key}) is not forecast; give the nearest plain shape by options"
            )

    def size(*keys: str, default: int | None = None) -> int:
        found = next((raw[key] for key in keys if raw.get(key) is not None), default)
        if not isinstance(found, int) or isinstance(found, bool):
            raise UserError(f"{path}: {' or '.join(keys)} is missing, or no whole number")
        return found

    width, heads = size("hidden_size", "n_embd", "d_model"), size("num_attention_heads", "n_head", "n_heads")
    kind = str(raw.get("model_type", ""))
    shape = ModelShape(
        layers=size("num_hidden_layers", "n_layer", "n_layers"),
        width=width,
        heads=heads,
        kv_heads=1 if raw.get("multi_query") else size("num_key_value_heads", "num_kv_heads", default=heads),
        head_dim=size("head_dim", default=width // heads),
        ff_width=size("intermediate_size", "n_inner", "ffn_dim", default=4 * width),
        vocab=size("vocab_size"),
        gated=kind not in PLAIN_FEED_FORWARD,
        tied=bool(raw.get("tie_word_embeddings", kind in TIED_UNLESS_SAID)),
        positions=size("n_positions", default=0) if kind in ("gpt2", "gpt_bigcode") else 0,
        experts=size("num_local_experts", default=1),
        experts_per_token=size("num_experts_per_tok", default=1),
    )
    windowed = raw.get("sliding_window") and raw.get("use_sliding_window", True)
    origin = (
        f"{path}{'; its sliding window is left out: the KV cache is counted in full' if windowed else ''}"
    )
    return ForecastModel.of_shape(_title(raw, path), shape, origin)


def _title(raw: dict[str, Any], path: Path) -> str:
    given = raw.get("_name_or_path")
    return str(given) if given else path.parent.name or path.stem
