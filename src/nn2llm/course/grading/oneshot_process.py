"""`python -m nn2llm.course.grading.oneshot_process`: a process for one job, warm before the job comes.

Read inside.py before; started by oneshot.py where a warm server cannot be forked safely. The job comes on
stdin, the verdict leaves on what was stdout, and what the learner's code prints on stderr: three pipes that
every system has.
"""

import argparse
import json
import os
import sys
import threading

from nn2llm.course.grading.containment import can_change_user
from nn2llm.course.grading.inside import Place, import_what_jobs_use, run_inside
from nn2llm.course.grading.limits import GradingJob, Limits
from nn2llm.course.grading.reading import remove_folder

__all__ = ["READY", "main"]

READY = b"ready\n"


def main() -> None:
    """Get warm, say so, take one job, and end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", required=True)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--import", dest="imports", action="append", default=[])
    parser.add_argument("--user", type=int, default=None)
    options = parser.parse_args()
    user = options.user if options.user is not None and can_change_user() else None
    if user is not None:
        os.chown(options.folder, user, user)
    requests, channel = os.dup(0), os.dup(1)
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(2, 1)
    os.close(nowhere)
    import_what_jobs_use(options.runner, options.imports)
    os.write(channel, READY)
    with os.fdopen(requests, "rb", buffering=0) as lines:
        line = lines.readline()
        if not line.endswith(b"\n"):
            remove_folder(options.folder)  # nobody wants it any more
            return
        request = json.loads(line)
        threading.Thread(target=_end_when_nobody_waits, args=(requests,), daemon=True).start()
        run_inside(
            GradingJob.from_json(request["job"]),
            Limits(**request["limits"]),
            options.runner,
            Place(
                folder=options.folder,
                channel=channel,
                secret=request["secret"],
                user=user,
                protected=(os.getppid(),) if hasattr(os, "getppid") else (),
                dies_with_parent=False,
            ),
        )


def _end_when_nobody_waits(requests: int, leave: object = os._exit) -> None:
    """The service holds the other end of stdin as long as it waits for the verdict."""
    try:
        while os.read(requests, 1):
            pass
    except OSError:
        return  # closed by the learner's code: the service will end this process in time
    leave(0)  # type: ignore[operator]


if __name__ == "__main__":
    main()
    sys.exit(0)
