"""The exceptions whose message is all that a user needs, and warnings of one line."""

import functools
import sys


@functools.cache
def warn_once(text: str) -> None:
    """Print "warning: text" on stderr, the first time that this process says it."""
    print(f"warning: {text}", file=sys.stderr)


class UserError(ValueError):
    """Bad input. Its message is one line: what is wrong, where, and what to do.

    The `sslcourse` command prints the message alone and exits with status 2.
    """


class Diverged(RuntimeError):
    """The loss stopped being finite. What was saved before stands; the command exits with status 1."""
