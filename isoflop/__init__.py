"""Small-scale scaling laws: the names a notebook imports. The command line is `isoflop --help`.

import isoflop
isoflop.sweep("cpu-demo")
isoflop.fit(isoflop.load_runs("outputs/cpu-demo")).exponents
"""

import lazy_loader

from isoflop.base.provenance import version as _version

__version__ = _version(__name__) or "unknown"

# The names stand in __init__.pyi; each is imported at its first use, so that none costs what it doesn't need.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
