"""What the RQ workers of the live tests run."""

import json
import os
import time
from datetime import timezone

from rq import get_current_job


def noop():
    pass


def fail():
    raise RuntimeError("as it should")


def timed(path):
    """Writes down how long it has waited, as it sees it, and runs for a moment."""
    started = time.time()
    enqueued = get_current_job().enqueued_at
    if enqueued.tzinfo is None:
        enqueued = enqueued.replace(tzinfo=timezone.utc)
    time.sleep(0.05)
    line = json.dumps([started - enqueued.timestamp(), time.time() - started])
    with open(path, "a") as file:
        file.write(line + "\n")


def timed_fail(path):
    timed(path)
    fail()


def hold(path):
    """Runs until the file exists, so that a test decides how long a job is in progress."""
    while not os.path.exists(path):
        time.sleep(0.02)
