"""The Celery application whose workers are scaled. The broker is in BROKER_URL; a task writes down
when it started, in the file in STARTS."""

import os
import time

from celery import Celery

app = Celery("bench", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    task_acks_late=True,
    # A worker that is asked to go holds nothing that others could run.
    worker_prefetch_multiplier=1,
    worker_enable_remote_control=False,
    worker_hijack_root_logger=False,
)


@app.task
def work(seconds):
    with open(os.environ["STARTS"], "a") as starts:
        starts.write(f"{time.time()}\n")
    time.sleep(seconds)
