"""The one error a caller can cause here."""


class UserError(ValueError):
    """A mistake in what was asked or in the table: one line that names the thing and the mend.

    The command line prints the message on stderr and ends with exit code 2.
    """
