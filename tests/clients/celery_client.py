"""Sends tasks of celery_app and counts what waits, as Celery's own library sees it.

    celery_client.py send QUEUE COUNT [--task noop] [--arg X] [--priority P] [--countdown S]
                                      [--timestamp] [--payload BYTES]
                                      [--record PATH] [--work S] [--due-later N]
    celery_client.py depth QUEUE...
    celery_client.py purge QUEUE

Prints JSON: what was sent with the times before and after, the depth of each queue, or what was
purged.
"""

import argparse
import json
import os
import time

import celery_app
from celery_app import app


def send(args):
    task = getattr(celery_app, args.task)
    options = {"queue": args.queue}
    if args.priority is not None:
        options["priority"] = args.priority
    if args.countdown is not None:
        options["countdown"] = args.countdown
    positional = [json.loads(args.arg)] if args.arg else []
    if args.payload:
        positional = ["x" * args.payload]
    before = time.time()
    with app.producer_or_acquire() as producer:
        for number in range(args.count):
            if args.timestamp:
                options["timestamp"] = int(time.time())
            if args.record:
                task, positional = celery_app.record, [args.record, time.time(), args.work]
            if args.due_later and number % args.due_later == 0:
                # Nobody wants to know when it starts.
                positional = [os.devnull, time.time(), 0]
                task.apply_async(args=positional, producer=producer, countdown=3, **options)
                continue
            task.apply_async(args=positional, producer=producer, **options)
    return {"sent": args.count, "before": before, "after": time.time()}


def depth(args):
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        return {
            queue: channel.queue_declare(queue, passive=True).message_count
            for queue in args.queues
        }


def purge(args):
    with app.connection_for_write() as connection:
        return {"purged": connection.default_channel.queue_purge(args.queue)}


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True)
command = commands.add_parser("send")
command.set_defaults(run=send)
command.add_argument("queue")
command.add_argument("count", type=int)
command.add_argument("--task", default="noop")
command.add_argument("--arg", help="JSON of the task's only argument")
command.add_argument("--priority", type=int)
command.add_argument("--countdown", type=float)
command.add_argument("--timestamp", action="store_true", help="set the message property")
command.add_argument("--payload", type=int, help="bytes of the argument")
command.add_argument("--record", help="file in which each task writes its own times")
command.add_argument("--work", type=float, default=0.005, help="for how long each of these runs")
command.add_argument("--due-later", type=int, help="one in so many of these is due in three seconds")
command = commands.add_parser("depth")
command.set_defaults(run=depth)
command.add_argument("queues", nargs="+")
command = commands.add_parser("purge")
command.set_defaults(run=purge)
command.add_argument("queue")
args = parser.parse_args()
print(json.dumps(args.run(args)))
