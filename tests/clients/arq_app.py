"""An ARQ application: its producer and its worker. The environment says where: BROKER_URL, QUEUE.

arq_app.py send TASK COUNT [--defer SECONDS] [ARGUMENT]: sends so many, prints the times before and
after and what ARQ itself tells of the jobs in the queue.
arq_app.py work: runs two jobs at once, for ever.
"""

import argparse
import asyncio
import json
import os
import pathlib
import time
from collections import Counter

from arq import Retry, Worker, create_pool
from arq.connections import RedisSettings
from arq.jobs import Job

SETTINGS = RedisSettings.from_dsn(os.environ["BROKER_URL"])
QUEUE = os.environ["QUEUE"]


async def noop(ctx):
    pass


async def hold(ctx, release):
    while not pathlib.Path(release).exists():
        await asyncio.sleep(0.02)


async def later(ctx):
    raise Retry(defer=3600)


async def send(args):
    pool = await create_pool(SETTINGS, default_queue_name=QUEUE)
    before = time.time()
    for _ in range(args.count):
        arguments = [args.argument] if args.argument else []
        await pool.enqueue_job(args.task, *arguments, _defer_by=args.defer)
    after = time.time()
    jobs = [] if args.count > 100 else await pool.queued_jobs()
    status = [await Job(job.job_id, pool, _queue_name=QUEUE).status() for job in jobs]
    await pool.aclose()
    print(json.dumps({"before": before, "after": after, **Counter(status)}))


async def work():
    worker = Worker(
        functions=[noop, hold, later],
        redis_settings=SETTINGS,
        queue_name=QUEUE,
        max_jobs=2,
        poll_delay=0.05,
        health_check_interval=1,
        handle_signals=False,
    )
    print("starting", flush=True)
    await worker.async_run()


parser = argparse.ArgumentParser()
commands = parser.add_subparsers(required=True, dest="command")
commands.add_parser("work")
sender = commands.add_parser("send")
sender.add_argument("task")
sender.add_argument("count", type=int)
sender.add_argument("--defer", type=float)
sender.add_argument("argument", nargs="?")
args = parser.parse_args()
asyncio.run(work() if args.command == "work" else send(args))
