"""A Dramatiq application on Redis or RabbitMQ: `dramatiq dramatiq_app`, and as a script a producer.

dramatiq_app.py ACTOR COUNT [--delay MS] [--arg ARG]: sends so many, prints the times before and
after and the broker's own count of the queue (on RabbitMQ what no worker holds: waiting, delayed,
dead). BROKER_URL says where, BACKOFF_MS when a failed job is tried again.
"""

import argparse
import json
import os
import pathlib
import time

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

URL = os.environ["BROKER_URL"]
IS_RABBITMQ = URL.startswith("amqp")
broker = RabbitmqBroker(url=URL, confirm_delivery=True) if IS_RABBITMQ else RedisBroker(url=URL)
dramatiq.set_broker(broker)
QUEUE = "mail"


@dramatiq.actor(queue_name=QUEUE)
def noop():
    pass


@dramatiq.actor(queue_name=QUEUE)
def hold(release):
    while not pathlib.Path(release).exists():
        time.sleep(0.02)


@dramatiq.actor(queue_name=QUEUE, max_retries=0)
def fail():
    raise ValueError("as asked")


@dramatiq.actor(queue_name=QUEUE, max_retries=9, min_backoff=int(os.environ["BACKOFF_MS"]))
def flaky():
    raise ValueError("as asked")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("actor")
    parser.add_argument("count", type=int)
    parser.add_argument("--delay", type=int)
    parser.add_argument("--arg")
    args = parser.parse_args()
    before = time.time()
    for _ in range(args.count):
        actor = broker.get_actor(args.actor)
        actor.send_with_options(args=(args.arg,) if args.arg else (), delay=args.delay)
    after = time.time()
    size = broker.get_queue_message_counts(QUEUE) if IS_RABBITMQ else broker.do_qsize(QUEUE)
    print(json.dumps({"before": before, "after": after, "size": size}))
