"""`python -m sslcourse` is the `sslcourse` command, also under torchrun."""

from sslcourse.cli import main

main()
