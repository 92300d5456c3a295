"""What is trained: configurations, the family rule, the modules, and the parameter and FLOP ledger."""

from isoflop.models.config import ModelConfig
from isoflop.models.family import family, family_of_size
from isoflop.models.ledger import Ledger
from isoflop.models.registry import build, ledger

__all__ = ["Ledger", "ModelConfig", "build", "family", "family_of_size", "ledger"]
