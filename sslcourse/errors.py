"""The one exception for mistakes that the user can mend."""


class UserError(ValueError):
    """Bad input. Its message is one line: what is wrong, where, and what to do.

    The `sslcourse` command prints the message alone and exits with status 2.
    """
