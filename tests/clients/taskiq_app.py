"""A TaskIQ application on Redis: its producer and its worker.

The environment says where and what: BROKER_URL, BROKER (`list` or `stream`), QUEUE.
taskiq_app.py send TASK COUNT [ARGUMENT]: sends so many, prints the times before and after.
taskiq_app.py work: runs two tasks at once and prefetches one, for ever.
"""

import asyncio
import json
import logging
import os
import pathlib
import sys
import time

from taskiq.api import run_receiver_task
from taskiq_redis import ListQueueBroker, RedisStreamBroker

BROKERS = {"list": ListQueueBroker, "stream": RedisStreamBroker}
broker = BROKERS[os.environ["BROKER"]](os.environ["BROKER_URL"], queue_name=os.environ["QUEUE"])


@broker.task(task_name="noop")
async def noop():
    pass


@broker.task(task_name="hold")
async def hold(release):
    while not pathlib.Path(release).exists():
        await asyncio.sleep(0.02)


async def send(task, count, arguments):
    await broker.startup()
    before = time.time()
    for _ in range(count):
        await broker.find_task(task).kiq(*arguments)
    after = time.time()
    await broker.shutdown()
    print(json.dumps({"before": before, "after": after}))


async def work():
    await run_receiver_task(
        broker, max_async_tasks=2, max_prefetch=1, max_async_tasks_jitter=0, run_startup=True
    )


logging.basicConfig(level=logging.INFO)
if sys.argv[1] == "work":
    asyncio.run(work())
else:
    asyncio.run(send(sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
