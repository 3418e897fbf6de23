"""The `sslcourse` command: one subcommand per verb, a table for people, `--json` for machines."""

from __future__ import annotations

import contextlib
import json
import os
import sys

from sslcourse.cli.arguments import parser
from sslcourse.errors import Diverged, UserError


def main(arguments: list[str] | None = None) -> None:
    a = parser().parse_args(arguments)
    a.stdout = sys.stdout
    try:
        with contextlib.redirect_stdout(sys.stderr if a.json else sys.stdout):
            document, text = a.function(a)
        if int(os.environ.get("RANK", 0)) == 0 and (a.json or text):
            print(json.dumps(document, indent=1) if a.json else text, flush=True)
    except UserError as error:
        sys.exit(_complain(error, 2))
    except Diverged as error:
        sys.exit(_complain(error, 1))
    except KeyboardInterrupt:
        print(f"\nsslcourse: stopped{_how_to_go_on(a)}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader has gone; nothing more is said, also not by Python as it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("SSLCOURSE_DEBUG"):
            raise
        sys.exit(_complain(f"{type(error).__name__}: {error} (set SSLCOURSE_DEBUG=1 for the traceback)", 1))


def _how_to_go_on(a) -> str:
    if a.verb != "pretrain" or not (a.out / "state.safetensors").exists():
        return ""
    fresh = " without --fresh" if a.fresh else ""
    return f"; to go on, give the same command again{fresh} ({a.out} holds what was trained)"


def _complain(error: Exception | str, status: int) -> int:
    print("sslcourse: " + " ".join(str(error).split()), file=sys.stderr)
    return status
