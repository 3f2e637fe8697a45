"""Entry point of `icgd` and `python -m icgd`: answers `--version` without loading the libraries."""

from __future__ import annotations

import sys

from icgd import __version__


def main() -> int:
    """Run the command in sys.argv; returns its exit code."""
    if sys.argv[1:2] == ["--version"]:
        print(f"icgd {__version__}")
        return 0
    from icgd.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
