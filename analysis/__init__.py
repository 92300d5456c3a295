"""What a table of runs says about scaling: load it, fit it, judge the fit, predict, draw.

Serves anyone who has runs, from any trainer. Importing it changes no global JAX setting, and is light: each
name of `__init__.pyi` is imported at its first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
