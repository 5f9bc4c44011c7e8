"""Events through a real kombu producer, on the broker in BROKER_URL.

echo   hears every event and publishes it once more, as it was.
flood  tells of tasks that a host has sent (`--started`: and that have started at once there).
"""

import argparse
import json
import os
import time
import uuid

from celery.events import EventDispatcher
from celery.events.event import get_exchange
from kombu import Consumer, Queue

from celery_app import app


def echo(args):
    seen = set()
    with app.connection_for_read() as connection, app.connection_for_write() as out:
        exchange = get_exchange(connection, name=app.conf.event_exchange)
        producer = out.Producer(serializer="json")

        def again(body, message):
            text = json.dumps(body, sort_keys=True)
            if text in seen:
                return
            seen.add(text)
            producer.publish(
                body,
                exchange=exchange,
                declare=[exchange],
                routing_key=message.delivery_info["routing_key"],
                headers=message.headers,
                delivery_mode=1,
            )

        queue = Queue(
            f"celeryev.echo-{os.getpid()}",
            exchange=exchange,
            routing_key="#",
            durable=False,
            auto_delete=True,
            expires=60,
        )
        with Consumer(connection, [queue], callbacks=[again], accept=["json"], no_ack=True):
            print("listening", flush=True)
            while True:
                connection.drain_events()


def flood(args):
    with app.connection_for_write() as connection:
        events = EventDispatcher(
            connection, hostname=f"gen@{args.host}", app=app, buffer_group=None
        )
        for _ in range(args.count):
            task = str(uuid.uuid4())
            events.send(
                "task-sent", uuid=task, name="celery_app.flood", queue=args.queue, retries=0,
                args="()", kwargs="{}", exchange="", routing_key=args.queue,
            )
            if args.started:
                events.send("task-started", uuid=task)
    print(json.dumps({"at": time.time()}))


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True)
command = commands.add_parser("echo")
command.set_defaults(run=echo)
command = commands.add_parser("flood")
command.set_defaults(run=flood)
command.add_argument("host")
command.add_argument("queue")
command.add_argument("count", type=int)
command.add_argument("--started", action="store_true")
args = parser.parse_args()
args.run(args)
