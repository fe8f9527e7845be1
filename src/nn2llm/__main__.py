"""`python -m nn2llm` is the `nn2llm` command."""

import sys

from nn2llm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
