"""Measures what tailback costs a RabbitMQ with 10,000 queues: how long its polls take, and the share
of a core that the broker uses beside what it uses by itself, with and without the help of the
broker's own Prometheus plugin; then the same of that plugin, scraped as often. Prints a Markdown table; bench/README.md says how to read it.

usage: rabbitmq.py --tailback PATH [--queues 10000] [--busy 100] [--interval 15] [--rounds 1]
"""

import argparse
import os
import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import kombu  # noqa: E402
from bench import get, memory, queue_names, start_tailback, value  # noqa: E402
from children import Children  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
# Polls or scrapes in one measurement: as many as fall into the two minutes after which RabbitMQ wakes
# all its queues.
TIMES = 8
# Polls before that.
WARM = 4
FAMILIES = ("queue_coarse_metrics", "queue_metrics")
DETAILED = "/metrics/detailed?" + "&".join(f"family={family}" for family in FAMILIES)


class Traffic(threading.Thread):
    """A message in and one out for each busy queue, once a second."""

    def __init__(self, port, names):
        super().__init__(daemon=True)
        self.port, self.names, self.ended = port, names, threading.Event()

    def run(self):
        with kombu.Connection(f"amqp://guest:guest@127.0.0.1:{self.port}//") as connection:
            channel, producer = connection.default_channel, connection.Producer()
            while not self.ended.wait(1):
                for name in self.names:
                    producer.publish({}, routing_key=name)
                    channel.basic_get(name, no_ack=True)


def cpu(pid):
    """Seconds of processor time so far."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / TICK


def share(pid, seconds):
    """The share of a core that a process takes meanwhile."""
    started, used = time.monotonic(), cpu(pid)
    time.sleep(seconds)
    return (cpu(pid) - used) / (time.monotonic() - started)


def measure_alone(node, args):
    return {"cpu": share(node.pid, TIMES * args.interval)}


def measure_scrapes(node, args, path):
    """The broker's own plugin, scraped as Prometheus would."""
    times, sizes = [], []

    def scrape():
        for number in range(TIMES):
            time.sleep(max(0.0, began + number * args.interval - time.monotonic()))
            _, body, seconds = get(node.prometheus, path)
            times.append(seconds)
            sizes.append(len(body))

    began = time.monotonic()
    scraper = threading.Thread(target=scrape)
    scraper.start()
    used = share(node.pid, TIMES * args.interval)
    scraper.join()
    return {"cpu": used, "times": times, "bytes": statistics.mean(sizes)}


def measure_tailback(children, node, args, options=""):
    config = (
        f"[brokers.main.rabbitmq]\nurl = 'amqp://127.0.0.1:{node.amqp}/%2f'\n"
        f"management_url = 'http://127.0.0.1:{node.management}'\n"
        f"interval = '{args.interval}s'\ntimeout = '14s'\n{options}\n"
    )
    child, port = start_tailback(children, args, config)
    polls = "tailback_poll_duration_seconds"

    def wait_for_poll(count):
        while value(port, f"{polls}_count") < count:
            time.sleep(0.1)

    # The first poll asks for the past, which later ones do not, and the first few read all queues.
    wait_for_poll(WARM)
    received = "tailback_broker_bytes_total"
    before = value(port, received)
    started, used, times = time.monotonic(), cpu(node.pid), []
    spent = value(port, f"{polls}_sum")
    for count in range(WARM + 1, WARM + 1 + TIMES):
        wait_for_poll(count)
        now = value(port, f"{polls}_sum")
        times.append(now - spent)
        spent = now
    result = {
        "cpu": (cpu(node.pid) - used) / (time.monotonic() - started),
        "times": times,
        "bytes": (value(port, received) - before) / TIMES,
        "queues": value(port, "tailback_broker_queues"),
        "errors": value(port, "tailback_poll_errors_total"),
        "rss": memory(child),
    }
    children.stop(child)
    return result


def line(what, results, alone):
    times = [seconds for result in results for seconds in result["times"]]
    cells = [
        what,
        f"{statistics.median(times):.2f} s",
        f"{max(times):.2f} s",
        f"{statistics.median(result['bytes'] for result in results) / 1e6:.2f} MB",
        f"{statistics.median(result['cpu'] for result in results) - alone:.1%}",
    ]
    return f"| {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tailback", required=True, type=Path)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--busy", type=int, default=100)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--rounds", type=int, default=1)
    args = parser.parse_args()
    args.tailback = args.tailback.resolve()
    names = queue_names(args.queues)
    with Children() as children:
        node = children.rabbitmq("rabbitmq_prometheus")
        with kombu.Connection(f"amqp://guest:guest@127.0.0.1:{node.amqp}//") as connection:
            channel, producer = connection.default_channel, connection.Producer()
            for number, name in enumerate(names):
                channel.queue_declare(name, durable=True, auto_delete=False)
                if number % 10 == 0:
                    producer.publish({}, routing_key=name)
        time.sleep(15)
        for title, busy in (("all queues still", 0), (f"{args.busy} queues at work", args.busy)):
            traffic = Traffic(node.amqp, names[:busy])
            traffic.start()
            with_plugin = f"prometheus_url = 'http://127.0.0.1:{node.prometheus}'"
            ways = {
                "alone": lambda: measure_alone(node, args),
                "tailback": lambda: measure_tailback(children, node, args, with_plugin),
                "tailback without the plugin": lambda: measure_tailback(children, node, args),
                "plugin, the same families": lambda: measure_scrapes(node, args, DETAILED),
                "plugin, per object": lambda: measure_scrapes(node, args, "/metrics/per-object"),
            }
            results = {way: [] for way in ways}
            for _ in range(args.rounds):
                for way, measure in ways.items():
                    results[way].append(measure())
            traffic.ended.set()
            traffic.join()
            alone = statistics.median(result["cpu"] for result in results.pop("alone"))
            ours = results["tailback"]
            print(
                f"\n### {title}\n\n{ours[0]['queues']:,.0f} queues exported, "
                f"{sum(result['errors'] for result in ours):.0f} errors, resident memory "
                f"{max(result['rss'] for result in ours) / 2**20:.1f} MiB; broker alone "
                f"{alone:.1%} of a core.\n\n| every {args.interval} s | poll or scrape, median "
                "| slowest | received | broker, of a core |\n|---|---|---|---|---|"
            )
            for way, found in results.items():
                print(line(way, found, alone), flush=True)


if __name__ == "__main__":
    main()
