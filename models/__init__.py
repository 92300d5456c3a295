"""What is trained: configurations, the family rule, the modules, and the parameter and FLOP ledger."""

from models.config import ModelConfig
from models.family import family, family_of_size
from models.ledger import Ledger
from models.registry import build, ledger

__all__ = ["Ledger", "ModelConfig", "build", "family", "family_of_size", "ledger"]
