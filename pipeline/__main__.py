"""``python -m pipeline COMMAND``, and the script ``tagproof``."""

import gc
import sys

from pipeline.cli import main as cli

MAX_YOUNG_OBJECTS = 100_000
"""Objects between two looks for garbage. Imports make none, and a command is mostly imports."""


def main() -> int:
    """Run the command of this process; nothing is cleaned up that ends with the process anyhow."""
    gc.set_threshold(MAX_YOUNG_OBJECTS)
    code = cli.main()
    gc.freeze()  # or the interpreter would look through all objects once more at its end
    return code


if __name__ == "__main__":
    sys.exit(main())
