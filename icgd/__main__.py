"""Entry point of `icgd` and `python -m icgd`: loads the libraries only for what needs them."""

from __future__ import annotations

import os
import sys
import traceback

from icgd import __version__
from icgd.reports.command.loading import begin_loading, end_loading


def main() -> int:
    """Run the command in sys.argv; returns its exit code."""
    if sys.argv[1:2] == ["--version"]:
        return _print(f"icgd {__version__}")
    try:
        if sys.argv[1:] in ([], ["--help"]):
            from icgd.first_page import first_page

            return _print(first_page())
        begin_loading()
        from icgd.cli import main as run
    except Exception as error:  # Python's own exit code, 1, would say that a claim failed
        end_loading()
        traceback.print_exc()
        print(f"icgd: it cannot be loaded ({type(error).__name__}); install it again", file=sys.stderr)
        return 70
    return run()


def _print(text: str) -> int:
    try:
        print(text, flush=True)
    except OSError as error:
        # Otherwise Python writes again at exit, and prints a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"icgd: the output: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
