"""How sure: resampling, profiles, identifiability, noise of runs and trunks, lack of fit."""
