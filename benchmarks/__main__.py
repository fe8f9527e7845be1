"""`python -m benchmarks [NAME …]`: measure, print, and write benchmarks/RESULTS.md.

Figures are ratios from one run on one machine: both sides take turns, so that a busy moment hits both.
"""

import importlib
import os
import sys
import tempfile
from collections.abc import Sequence

from benchmarks.options import BENCHMARKS, parse_options
from benchmarks.results import RESULTS, describe, write_section
from nn2llm.core.errors import Nn2llmError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmarks asked for, all by default, and rewrite their sections of RESULTS.md.

    One that cannot run (no data, no peer) says so and is left out; its old section stays. Returns 1 where
    none has run.
    """
    # Before torch is loaded, as the nn2llm command does: all get it, the peers too. Without it, on a machine
    # that does other things, the time of a step is mostly that of threads that wait for each other.
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    try:
        options = parse_options(argv)
        if options.nanogpt is not None:
            from benchmarks.peers import import_nanogpt  # a wrong path is said before anything is measured

            import_nanogpt(options.nanogpt)
    except Nn2llmError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    num_done = 0
    with tempfile.TemporaryDirectory() as home:
        os.environ["NN2LLM_HOME"] = home  # tokenised texts: nothing is left behind, nothing taken up
        for name in options.names:
            # imported one by one: transformers alone takes seconds
            module = importlib.import_module(f"benchmarks.{name}")
            print(f"--- {name}", flush=True)
            try:
                section = module.run(options)
            except Nn2llmError as error:
                print(f"{name}: skipped. {error}", flush=True)
                continue
            print(section, flush=True)
            if not options.dry_run:
                write_section(RESULTS, name, f"{section}\n\n{describe(options.nanogpt)}", order=BENCHMARKS)
            num_done += 1
    return 0 if num_done else 1


if __name__ == "__main__":
    sys.exit(main())
