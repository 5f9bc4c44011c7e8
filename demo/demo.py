"""A private Redis, a real Celery application that gets more work than it can do at once, and
tailback beside it. Everything ends with Ctrl-C, or after DEMO_SECONDS.

usage: TAILBACK=path/to/tailback demo.py
"""

import json
import os
import sys
import time
import urllib.request

import shop
from children import Children


def queues(address):
    with urllib.request.urlopen(f"http://{address}/api/v1/queues", timeout=5) as answer:
        return json.load(answer)["queues"]


def number(value):
    return "?" if value is None else str(value)


def latency(queue):
    seconds = queue["latency_seconds"]
    if seconds is None:
        return f"? ({queue['latency_unknown_reason']})"
    return f"{seconds:.1f} s"


def table(found):
    yield f"{'QUEUE':<10}{'READY':>7}{'HELD':>7}{'LATER':>7}  LATENCY"
    for queue in found:
        jobs = queue["jobs"]
        yield (
            f"{queue['queue']:<10}{number(jobs['ready']):>7}{number(jobs['in_progress']):>7}"
            f"{number(jobs['scheduled']):>7}  {latency(queue)}"
        )
    if not found:
        yield "(no queue yet)"


def watch(children, broker, address, seconds):
    head = [
        f"tailback watches {broker}",
        f"  status page  http://{address}/",
        f"  metrics      http://{address}/metrics",
        f"  JSON         http://{address}/api/v1/queues",
        f"  or try       {os.path.relpath(os.environ['TAILBACK'])} check {broker}",
        "",
        "Fan-outs come every 10 s. READY waits, HELD is with workers, LATER has a due time.",
        "Ctrl-C ends the demo and everything that it has started.",
        "",
    ]
    on_terminal = sys.stdout.isatty()
    if not on_terminal:
        print("\n".join(head), flush=True)
    until = time.monotonic() + seconds if seconds else float("inf")
    while time.monotonic() < until:
        children.check()
        lines = list(table(queues(address)))
        if on_terminal:
            # Home, then each line with the rest of the old one erased, then all that is below.
            shown = "".join(f"{line}\x1b[K\n" for line in head + lines)
            print(f"\x1b[H{shown}\x1b[J", end="", flush=True)
        else:
            print("\n".join(lines), flush=True)
        time.sleep(1 if on_terminal else 2)


def main():
    seconds = float(os.environ.get("DEMO_SECONDS") or 0)
    with Children() as children:
        try:
            broker, address, _ = shop.start(children)
            if sys.stdout.isatty():
                print("\x1b[2J", end="")
            watch(children, broker, address, seconds)
        except KeyboardInterrupt:
            pass
    print(shop.ENDED)


main()
