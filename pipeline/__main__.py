"""``python -m pipeline COMMAND``, and the script ``tagproof``."""

import sys

from pipeline.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
