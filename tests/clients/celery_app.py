"""The Celery application of the live tests, on the broker in BROKER_URL.

STAMPING is the code that the documentation recommends for writing the time of sending into every
message: a module of its own, run as it is printed.
"""

import json
import os
import time

from celery import Celery
from celery.exceptions import Reject

app = Celery("clients", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options=json.loads(os.environ.get("TRANSPORT_OPTIONS", "{}")),
    task_ignore_result=True,
    **json.loads(os.environ.get("CELERY_SETTINGS", "{}")),
)

# Kept: Celery holds its handlers weakly.
stamping = {}
exec(os.environ.get("STAMPING", ""), stamping)


@app.task
def noop(*_):
    pass


@app.task
def sleep(seconds):
    time.sleep(seconds)


@app.task
def record(path, sent, work=0.005):
    """Writes down when it was sent and when it started."""
    with open(path, "a") as file:
        file.write(f"{sent} {time.time()}\n")
    time.sleep(work)


@app.task
def hold(path):
    """Runs until the file exists, so that a test decides how long a job is in progress."""
    while not os.path.exists(path):
        time.sleep(0.02)


@app.task
def hold_late(path):
    """The same, acknowledged when done."""
    hold(path)


hold_late.acks_late = True


@app.task(bind=True, max_retries=100)
def retry_in(self, seconds):
    raise self.retry(countdown=seconds)


@app.task
def fail():
    raise ValueError("wanted")


@app.task
def reject():
    raise Reject("wanted", requeue=False)


reject.acks_late = True


@app.task(bind=True, max_retries=100)
def retry_twice(self, path):
    """Writes down each start with the number of retries; the third is its last."""
    with open(path, "a") as file:
        file.write(f"{self.request.retries} {time.time()}\n")
    if self.request.retries < 2:
        raise self.retry(countdown=1)
