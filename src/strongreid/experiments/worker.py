"""A process of its own that performs runs, one after another: `python -m strongreid.experiments.worker`.

It reads jobs as JSON lines from its input and answers each with a line: {"run": ..., "error": null or why}. When the
input ends it stops at once, in the middle of a run if need be: then the process that gave it work is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sys
import threading
from typing import IO

from strongreid.experiments.jobs import Job, attempt


def main() -> int:
    """Work until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupt is for who gave the work, who then ends the input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else prints must not be taken for an answer
    lines: queue.Queue[str] = queue.Queue()
    working = threading.Event()
    threading.Thread(target=_read, args=(sys.stdin, lines, working), daemon=True).start()
    while line := lines.get():
        job = Job.from_dict(json.loads(line))
        job.folder.mkdir(parents=True, exist_ok=True)
        with (job.folder / "output.txt").open("a", encoding="utf-8") as output, contextlib.redirect_stderr(output):
            error = attempt(job, progress=False)
        working.clear()
        answers.write(json.dumps({"run": job.fingerprint, "error": error}) + "\n")
        answers.flush()
    return 0


def _read(source: IO[str], lines: queue.Queue[str], working: threading.Event) -> None:
    for line in source:
        working.set()
        lines.put(line)
    if working.is_set():
        os._exit(3)
    lines.put("")


if __name__ == "__main__":
    sys.exit(main())
