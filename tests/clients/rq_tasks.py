"""What the RQ workers of the live tests run."""

import os
import time


def noop():
    pass


def fail():
    raise RuntimeError("as it should")


def hold(path):
    """Runs until the file exists, so that a test decides how long a job is in progress."""
    while not os.path.exists(path):
        time.sleep(0.02)
