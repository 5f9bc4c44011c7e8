"""A Huey application on Redis: `huey_consumer huey_app.huey`, and as a script a producer.

The environment says where and what: REDIS_URL, STORAGE (`list` or `priority`), NAME.
huey_app.py TASK COUNT [--delay SECONDS] [--priority N] [ARGUMENT]: sends so many, prints the times
before and after and Huey's own counts.
"""

import argparse
import json
import os
import pathlib
import time

from huey import PriorityRedisHuey, RedisHuey

STORAGES = {"list": RedisHuey, "priority": PriorityRedisHuey}
huey = STORAGES[os.environ["STORAGE"]](os.environ["NAME"], url=os.environ["REDIS_URL"])


@huey.task()
def noop():
    pass


@huey.task()
def hold(release):
    while not pathlib.Path(release).exists():
        time.sleep(0.02)


if __name__ == "__main__":
    # The module's name is part of a task's; the consumer knows them by this one.
    from huey_app import hold, huey, noop

    parser = argparse.ArgumentParser()
    parser.add_argument("task")
    parser.add_argument("count", type=int)
    parser.add_argument("--delay", type=float)
    parser.add_argument("--priority", type=int)
    parser.add_argument("argument", nargs="?")
    args = parser.parse_args()
    before = time.time()
    for _ in range(args.count):
        arguments = (args.argument,) if args.argument else ()
        options = {"priority": args.priority} if args.priority else {}
        if args.delay:
            options["delay"] = args.delay
        huey.enqueue({"noop": noop, "hold": hold}[args.task].s(*arguments, **options))
    after = time.time()
    counts = {"ready": huey.pending_count(), "scheduled": huey.scheduled_count()}
    print(json.dumps({"before": before, "after": after, **counts}))
