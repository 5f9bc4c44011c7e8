"""Brings jobs into each state of RQ and counts them, as RQ's own library sees it.

    rq_client.py URL send QUEUE COUNT [--task noop] [--arg X] [--at-front] [--result-ttl S]
    rq_client.py URL schedule QUEUE COUNT SECONDS     due in SECONDS
    rq_client.py URL defer QUEUE COUNT                waiting for a job that waits in QUEUE-before
    rq_client.py URL dangle QUEUE COUNT               delete the jobs of the first COUNT ids
    rq_client.py URL suspend | resume
    rq_client.py URL counts QUEUE

Every command prints what `counts` prints: a JSON object. Works with RQ 2 and RQ 3.
"""

import argparse
import json
from datetime import timedelta

import redis
import rq
import rq_tasks
from rq import Queue, Worker, suspension
from rq.job import Job


def counts(queue):
    head = queue.job_ids[:1]
    job = Job.fetch(head[0], connection=queue.connection) if job_exists(queue, head) else None
    return {
        "version": rq.VERSION,
        "ready": queue.count,
        "in_progress": queue.started_job_registry.get_job_count(cleanup=False),
        "failed": queue.failed_job_registry.get_job_count(cleanup=False),
        "finished": queue.finished_job_registry.get_job_count(cleanup=False),
        "scheduled": queue.scheduled_job_registry.get_job_count(cleanup=False),
        "deferred": queue.deferred_job_registry.get_job_count(cleanup=False),
        "workers": Worker.count(queue=queue),
        "paused": bool(suspension.is_suspended(queue.connection)),
        "head_enqueued_at": job and job.enqueued_at and job.enqueued_at.timestamp(),
    }


def job_exists(queue, ids):
    return ids and Job.exists(ids[0], connection=queue.connection)


def send(queue, args):
    function = getattr(rq_tasks, args.task)
    positional = [args.arg] if args.arg else []
    for _ in range(args.count):
        queue.enqueue(
            function, *positional, at_front=args.at_front, result_ttl=args.result_ttl
        )


def schedule(queue, args):
    for _ in range(args.count):
        queue.enqueue_in(timedelta(seconds=args.seconds), rq_tasks.noop)


def defer(queue, args):
    before = Queue(queue.name + "-before", connection=queue.connection)
    job = before.enqueue(rq_tasks.noop)
    for _ in range(args.count):
        queue.enqueue(rq_tasks.noop, depends_on=job)


def dangle(queue, args):
    for job_id in queue.job_ids[: args.count]:
        queue.connection.delete(Job.key_for(job_id))


parser = argparse.ArgumentParser()
parser.add_argument("url")
commands = parser.add_subparsers(required=True)


def command(name, run, *arguments):
    sub = commands.add_parser(name)
    sub.set_defaults(run=run)
    for argument, options in arguments:
        sub.add_argument(argument, **options)


QUEUE = ("queue", {})
COUNT = ("count", {"type": int})
command(
    "send",
    send,
    QUEUE,
    COUNT,
    ("--task", {"default": "noop"}),
    ("--arg", {}),
    ("--at-front", {"action": "store_true"}),
    ("--result-ttl", {"type": int}),
)
command("schedule", schedule, QUEUE, COUNT, ("seconds", {"type": float}))
command("defer", defer, QUEUE, COUNT)
command("dangle", dangle, QUEUE, COUNT)
command("suspend", lambda queue, _: suspension.suspend(queue.connection), QUEUE)
command("resume", lambda queue, _: suspension.resume(queue.connection), QUEUE)
command("counts", lambda *_: None, QUEUE)
args = parser.parse_args()
queue = Queue(args.queue, connection=redis.from_url(args.url))
args.run(queue, args)
print(json.dumps(counts(queue)))
