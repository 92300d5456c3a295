"""The caller's mistakes."""


class UserError(ValueError):
    """Something the caller asked for can't be had: one line that names the thing and the mend."""
