"""The one error that a caller's mistake is answered with."""


class UserError(ValueError):
    """A mistake in what was asked or in a table: one line that names the thing and the mend.

    The command line prints the message on stderr and ends with exit status 2.
    """
