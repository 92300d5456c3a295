"""isoflop lab estimate"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from isoflop.arguments import JsonFlag, parse
from isoflop.base.errors import UserError


@dataclass(frozen=True)
class Estimate:
    """What a training config costs, and every rule that it breaks."""

    config: tyro.conf.Positional[Path]
    """A JSON file, as POST /submit takes it."""
    lab: Path | None = None
    """A lab's folder, for its machine and its rules; without it the defaults."""
    as_json: JsonFlag = False


def run(argv: list[str]) -> int:
    """Prints the price."""
    from pydantic import ValidationError

    from isoflop.base.formatting import pluralize, short
    from isoflop.labs.admission import run_violations
    from isoflop.labs.backends import load_backend
    from isoflop.labs.contract.training_config import TrainingConfig
    from isoflop.labs.lab import Lab, open_lab
    from isoflop.labs.settings import Settings

    given = parse(Estimate, argv, "lab estimate")
    settings = Settings(lab_id="estimates", backend="surrogate")
    lab = open_lab(given.lab) if given.lab else Lab(Path(), settings, b"")
    try:
        config = TrainingConfig.model_validate_json(given.config.read_bytes())
    except OSError as error:
        raise UserError(f"{given.config}: {error.strerror}") from None
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join(filter(None, (".".join(map(str, one["loc"])), one["msg"]))) for one in error.errors()
        )
        raise UserError(f"{given.config}: {wrong}") from None
    backend = load_backend(lab)
    if found := run_violations(config, lab.settings, backend):
        raise UserError(f"{given.config}: {'; '.join(one.message for one in found)}")
    price = backend.price(config)
    if given.as_json:
        print(json.dumps({**vars(price), "max_runtime_seconds": config.max_runtime_seconds}))
        return 0
    total, body = price.n_params_total, price.n_params_non_embedding
    print(
        f"{short(total)} parameters ({short(body)} without the embedding), {pluralize(price.n_steps, 'step')}"
    )
    print(f"{price.flops:.4g} training FLOPs by the ledger")
    seconds = pluralize(price.seconds, "second", ".6g")
    print(f"{seconds} of the lab's machine; {config.max_runtime_seconds:g} reserved")
    if price.seconds > config.max_runtime_seconds * (1 + lab.settings.grace):
        print("it would be stopped before its end: reserve more, or train less")
    return 0
