__version__: str

from .analysis import FitOptions as FitOptions
from .analysis import LawFit as LawFit
from .analysis import RunTable as RunTable
from .analysis import compare as compare
from .analysis import fit as fit
from .analysis import load_runs as load_runs
from .analysis import predict as predict
from .base.errors import UserError as UserError
from .running import plan as plan
from .running import prepare as prepare
from .running import report as report
from .running import sweep as sweep
