"""What following one very long queue costs: 1,000,000 messages of 1 kB without times, with producers
and consumers at work, first without and then with tailback; as Celery's queue, and then as a plain
list. Prints Markdown tables; bench/README.md says how to read them.

usage: million.py --tailback PATH [--messages 1000000] [--seconds 30]
"""

import argparse
import json
import statistics
import sys
import threading
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import redis  # noqa: E402
from bench import SEPARATOR, get, reading_redis, start_tailback, value  # noqa: E402
from children import Children  # noqa: E402

QUEUE = "long"
RATE = 250


def message():
    """Unlike any other, as Celery's are, and 1 kB long."""
    tag = str(uuid.uuid4())
    headers = {"id": tag, "task": "shop.send_email", "eta": None}
    return json.dumps({"body": "x" * 850, "headers": headers, "properties": {"delivery_tag": tag}})


PLAIN = f"[brokers.main.redis.list]\nkeys = ['{QUEUE}']"


def fill(server, messages, is_plain):
    if not is_plain:
        server.sadd(f"_kombu.binding.{QUEUE}", SEPARATOR.join([QUEUE, "", QUEUE]))
    for start in range(0, messages, 1000):
        server.lpush(QUEUE, *[message() for _ in range(min(1000, messages - start))])


def work(server, stop):
    """As many come as go."""
    while not stop.is_set():
        began = time.perf_counter()
        for _ in range(RATE // 10):
            server.lpush(QUEUE, message())
            server.rpop(QUEUE)
        stop.wait(max(0.0, 0.1 - (time.perf_counter() - began)))


def ping(server, seconds):
    """Round trips of another client, in seconds."""
    trips, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.perf_counter()
        server.ping()
        trips.append(time.perf_counter() - began)
        time.sleep(0.001)
    return trips


def stretch(server, seconds):
    server.config_resetstat()
    server.slowlog_reset()
    trips = ping(server, seconds)
    stats = server.info("commandstats")
    return {"trips": trips, "stats": stats, "slow": server.slowlog_get(1000)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tailback", required=True, type=Path)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    options.tailback = options.tailback.resolve()
    for is_plain in (False, True):
        measure(options, is_plain)


def measure(options, is_plain):
    with Children() as children:
        _, port = children.redis("--slowlog-log-slower-than", "1000", "--appendonly", "no")
        server = redis.Redis(port=port)
        fill(server, options.messages, is_plain)
        stop = threading.Event()
        worker = threading.Thread(target=work, args=(redis.Redis(port=port), stop))
        worker.start()
        without = stretch(server, options.seconds)
        config = reading_redis(port, PLAIN if is_plain else "")
        _, own = start_tailback(children, options, config)
        time.sleep(5)
        name = "tailback_broker_bytes_total"
        polls, moved = value(own, "tailback_poll_duration_seconds_count"), value(own, name)
        with_it = stretch(server, options.seconds)
        polls = value(own, "tailback_poll_duration_seconds_count") - polls
        moved = value(own, name) - moved
        shown = get(own, "/api/v1/queues")[1]
        stop.set()
        worker.join()
    queue = json.loads(shown)["queues"][0]
    kind = "a plain list" if is_plain else "Celery's queue"
    print(f"\n{options.messages:,} messages of 1 kB in {kind}, {RATE} a second in and out, {polls:.0f} polls.\n")
    show(without, with_it, polls, moved)
    print(f"\nlatency {queue['latency_seconds']} s, source {queue['source']}, ready {queue['jobs']['ready']:,}")


def show(without, with_it, polls, moved):
    ours = ("llen", "lindex", "lrange", "lpos", "memory|usage", "exec", "multi", "info", "time")
    print("| what | without | with tailback |\n|---|---|---|")
    for share in (50, 99, 99.9):
        row = [quantile(each["trips"], share) * 1e6 for each in (without, with_it)]
        print(f"| PING of another client, p{share} | {row[0]:.0f} µs | {row[1]:.0f} µs |")
    row = [max((slow["duration"] for slow in each["slow"]), default=0) for each in (without, with_it)]
    row = [f"{each} µs" if each else "none over 1 ms" for each in row]
    print(f"| slowest command | {row[0]} | {row[1]} |")
    print(f"| bytes a poll, both ways | – | {moved / polls:,.0f} |")
    print("\n| command | a poll | server time each |\n|---|---|---|")
    for command in ours:
        stats = with_it["stats"].get(f"cmdstat_{command}")
        if stats:
            calls = stats["calls"] / polls
            print(f"| {command} | {calls:.1f} | {stats['usec_per_call']:.1f} µs |")


def quantile(values, share):
    return statistics.quantiles(values, n=1000)[min(998, int(share * 10) - 1)]


if __name__ == "__main__":
    main()
