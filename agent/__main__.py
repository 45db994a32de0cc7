"""Start the command line: one thread per matrix product, as a gateway has other work, and nothing sent to anyone."""

from __future__ import annotations

import os


def main() -> None:
    """Run `forewarn`."""
    # Numpy's BLAS reads this once, when numpy is first imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Builds of onnxruntime that gather telemetry read this when it is first imported.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from agent.cli import main as command_line

    command_line()


if __name__ == "__main__":
    main()
