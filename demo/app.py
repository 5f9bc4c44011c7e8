"""A small shop's background jobs, with real Celery: mails, invoices, and a nightly report.

The broker is in BROKER_URL. Workers are started as everywhere: `celery -A app worker -Q emails`;
producer.py sends the work.
"""

import os
import random
import time

from celery import Celery
from celery.signals import before_task_publish

app = Celery("shop", broker=os.environ["BROKER_URL"])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_hijack_root_logger=False,
)


@before_task_publish.connect
def write_enqueue_time(headers, routing_key, **_):
    # With this line tailback knows how long a message has waited. The demo leaves it out for the
    # other queues, to show what is known without it.
    if routing_key == "emails":
        headers["enqueued_at"] = time.time()


@app.task(queue="emails")
def send_email(customer):
    time.sleep(random.uniform(0.04, 0.12))


@app.task(queue="invoices")
def write_invoice(customer):
    time.sleep(random.uniform(0.1, 0.5))


@app.task(queue="reports", acks_late=True)
def write_report(number):
    time.sleep(random.uniform(1, 3))
