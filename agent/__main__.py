"""Start the command line with one thread per matrix product: the matrices are small, and a gateway has other work."""

from __future__ import annotations

import os


def main() -> None:
    """Run `forewarn`."""
    # Numpy's BLAS reads this once, when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from agent.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
