"""Measures tailback beside Debian's prometheus-redis-exporter on one Redis with 10,000 Celery
queues, and prints Markdown tables. bench/README.md says how to read them.

usage: bench.py --tailback PATH [--queues 10000] [--polls 30]
"""

import argparse
import http.client
import json
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import kombu  # noqa: E402
import redis  # noqa: E402
from children import Children, free_port  # noqa: E402

SEPARATOR = "\x06\x16"
# What Celery 5.7 writes for a task with two arguments, with the signal handler that adds the time.
HEADERS = {
    "lang": "py", "task": "shop.send_email", "id": "5fe2b0a5-95a5-44bd-a31f-a9b0b5f4fd1e",
    "shadow": None, "eta": None, "expires": None, "group": None, "group_index": None, "retries": 0,
    "timelimit": [None, None], "root_id": "5fe2b0a5-95a5-44bd-a31f-a9b0b5f4fd1e",
    "parent_id": None, "argsrepr": "(4711, 'welcome')", "kwargsrepr": "{}",
    "origin": "gen123@host", "ignore_result": False, "replaced_task_nesting": 0,
    "stamped_headers": None, "stamps": {},
}  # fmt: skip
PROPERTIES = {
    "correlation_id": "5fe2b0a5-95a5-44bd-a31f-a9b0b5f4fd1e",
    "reply_to": "2f9e2d8c-6e42-3f3f-9d3f-0c5e6b1e3c55", "delivery_mode": 2,
    "delivery_info": {"exchange": "", "routing_key": "q"}, "priority": 0,
    "body_encoding": "base64", "delivery_tag": "b9a1c9e7-60bd-47e5-a4a5-8a7a5e3e4f3a",
}  # fmt: skip


def message():
    return json.dumps(
        {
            "body": "W1s0NzExLCAid2VsY29tZSJdLCB7fSwgeyJjYWxsYmFja3MiOiBudWxsfV0=" * 3,
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": HEADERS | {"enqueued_at": time.time()},
            "properties": PROPERTIES,
        }
    )


def queue_names(count):
    return [f"q-{number:05}" for number in range(count)]


def bind(server, queues):
    """What kombu writes when a queue is declared."""
    with server.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.sadd(f"_kombu.binding.{queue}", SEPARATOR.join([queue, "", queue]))
        pipe.execute()


def fill(server, queues):
    """Five messages at the lowest step and two at a higher one."""
    body = message()
    with server.pipeline(transaction=False) as pipe:
        for queue in queues:
            pipe.lpush(queue, *[body] * 5)
            pipe.lpush(f"{queue}{SEPARATOR}6", *[body] * 2)
        pipe.execute()


def get(port, path, **headers):
    """One request on a connection of its own: status, body, seconds."""
    started = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body, time.perf_counter() - started


def value(port, name):
    """The sum of all series of a name in /metrics."""
    text = get(port, "/metrics")[1].decode()
    found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)
    return sum(map(float, found))


def memory(child):
    """Resident bytes of a process."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


class Cost:
    """What a stretch of time has cost the server, without what it does when idle."""

    def __init__(self, server):
        self.server = server
        self.idle_rate = 0.0
        started, cpu = time.monotonic(), self.read()["cpu"]
        time.sleep(5)
        self.idle_rate = (self.read()["cpu"] - cpu) / (time.monotonic() - started)

    def read(self):
        info = self.server.info("everything")
        return {
            "at": time.monotonic(),
            "cpu": info["used_cpu_user"] + info["used_cpu_sys"],
            "commands": info["total_commands_processed"],
            "bytes": info["total_net_input_bytes"] + info["total_net_output_bytes"],
        }

    def start(self):
        self.server.slowlog_reset()
        self.before = self.read()

    def stop(self, rounds):
        """The cost of each of so many rounds."""
        after = self.read()
        took = after["at"] - self.before["at"]
        slow = [entry["duration"] for entry in self.server.slowlog_get(1000)]
        return {
            "cpu": (after["cpu"] - self.before["cpu"] - took * self.idle_rate) / rounds,
            # The two INFO calls are ours.
            "commands": (after["commands"] - self.before["commands"] - 2) / rounds,
            "bytes": (after["bytes"] - self.before["bytes"]) / rounds,
            "slowest": max(slow, default=0) / 1e6,
            "over_1ms": sum(duration > 1000 for duration in slow) * 1e6
            / (after["commands"] - self.before["commands"]),
        }


def start_tailback(children, args, config, name="tailback"):
    """Returns the process and its port."""
    file = children.folder / f"{name}.toml"
    file.write_text(config)
    port = free_port()
    child = children.start(
        name, args.tailback, "run", "--config", file, "--listen", f"127.0.0.1:{port}"
    )
    children.wait_ready(child, lambda: "serving HTTP" in children.log(child))
    return child, port


def reading_redis(port, more=""):
    return f"[brokers.main.redis]\nurl = 'redis://127.0.0.1:{port}/0'\n{more}\n"


def wait_for(condition, seconds=120):
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("waited in vain")
        time.sleep(0.1)


def measure_tailback(children, args, redis_port, cost, queues, more=""):
    child, port = start_tailback(children, args, reading_redis(redis_port, more))
    wait_for(lambda: value(port, "tailback_broker_queues") == queues)
    # The search for queues comes every 30 s; it is measured with the polls that it lies among.
    polls = "tailback_poll_duration_seconds"
    time.sleep(2)
    cost.start()
    first, spent = value(port, f"{polls}_count"), value(port, f"{polls}_sum")
    wait_for(lambda: value(port, f"{polls}_count") >= first + args.polls)
    count, total = value(port, f"{polls}_count"), value(port, f"{polls}_sum")
    result = cost.stop(count - first)
    result["wall"] = (total - spent) / (count - first)
    result["interval"] = value(port, "tailback_poll_interval_seconds")
    result["rss"] = memory(child)
    children.stop(child)
    return result


def measure_exporter(children, args, redis_port, cost, queues):
    port = free_port()
    child = children.start(
        "exporter", "prometheus-redis-exporter", "-redis.addr", f"redis://127.0.0.1:{redis_port}",
        "-web.listen-address", f"127.0.0.1:{port}", "-check-single-keys", ",".join(queues),
    )  # fmt: skip
    children.wait_ready(child, lambda: "Providing metrics" in children.log(child))
    get(port, "/metrics")
    cost.start()
    times = []
    for _ in range(args.polls):
        times.append(get(port, "/metrics")[2])
        time.sleep(0.2)
    result = cost.stop(args.polls)
    result["wall"] = statistics.mean(times)
    result["rss"] = memory(child)
    children.stop(child)
    return result


def measure_scrapes(children, args, redis_port, queues):
    """How long /metrics takes, and what memory it needs."""
    child, port = start_tailback(children, args, reading_redis(redis_port))
    wait_for(lambda: value(port, "tailback_broker_queues") == queues)
    result = {"rss_before": memory(child)}
    body = get(port, "/metrics")[1]
    result["series"] = sum(not line.startswith(b"#") for line in body.splitlines())
    result["size"] = len(body)
    for name, headers in [("plain", {}), ("gzip", {"Accept-Encoding": "gzip"})]:
        fresh = []
        for _ in range(30):
            # Longer than the interval: each scrape meets a snapshot that nobody has asked for yet.
            time.sleep(1.1)
            fresh.append(get(port, "/metrics", **headers)[2])
        result[f"{name}_fresh"] = statistics.median(fresh)
        again = [get(port, "/metrics", **headers)[2] for _ in range(30)]
        result[f"{name}_again"] = statistics.median(again)
    result["rss_scraped"] = memory(child)
    for _ in range(1000):
        get(port, "/metrics", **{"Accept-Encoding": "gzip"})
    result["rss_after_1000"] = memory(child)
    children.stop(child)
    return result


def measure_start(children, args, redis_port):
    """From the start of the process to its first good answer."""
    times = []
    for _ in range(11):
        port = free_port()
        command = [args.tailback, f"redis://127.0.0.1:{redis_port}", "--listen", f"127.0.0.1:{port}"]
        started = time.perf_counter()
        # Without the watchdog of the other children, whose shell would be measured, too.
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
            try:
                while True:
                    try:
                        if get(port, "/live")[0] == 200:
                            break
                    except OSError:
                        time.sleep(0.0005)
                times.append(time.perf_counter() - started)
            finally:
                child.terminate()
    return statistics.median(times)


def measure_small(children, args):
    """Memory with ten queues, scraped a hundred times."""
    _, redis_port = children.redis(name="redis-small")
    server = redis.Redis(port=redis_port)
    bind(server, queue_names(10))
    fill(server, queue_names(10))
    child, port = start_tailback(children, args, reading_redis(redis_port))
    wait_for(lambda: value(port, "tailback_broker_queues") == 10)
    for _ in range(100):
        get(port, "/metrics", **{"Accept-Encoding": "gzip"})
    rss = memory(child)
    children.stop(child)
    return rss


def measure_rabbitmq(children, args, queues=1000):
    """Wall time of a poll of many queues, one in ten with messages."""
    amqp, management, *_ = children.rabbitmq()
    with kombu.Connection(f"amqp://guest:guest@127.0.0.1:{amqp}//") as connection:
        channel = connection.default_channel
        producer = connection.Producer()
        for number, name in enumerate(queue_names(queues)):
            channel.queue_declare(name, durable=True, auto_delete=False)
            if number % 10 == 0:
                producer.publish({}, routing_key=name)
    config = (
        f"[brokers.main.rabbitmq]\nurl = 'amqp://127.0.0.1:{amqp}/%2f'\n"
        f"management_url = 'http://127.0.0.1:{management}'\n"
    )
    child, port = start_tailback(children, args, config)
    wait_for(lambda: value(port, "tailback_broker_queues") == queues)
    polls = "tailback_poll_duration_seconds"
    first, spent = value(port, f"{polls}_count"), value(port, f"{polls}_sum")
    wait_for(lambda: value(port, f"{polls}_count") >= first + 5)
    wall = (value(port, f"{polls}_sum") - spent) / (value(port, f"{polls}_count") - first)
    rss = memory(child)
    children.stop(child)
    return wall, rss


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def mib(size):
    return f"{size / 2**20:.1f} MiB"


def print_comparison(title, ours, theirs):
    print(f"\n### {title}\n")
    print("| each poll or scrape | tailback | redis_exporter | ratio |\n|---|---|---|---|")

    def row(name, key, form):
        ratio = f"{ours[key] / theirs[key]:.2f}" if theirs[key] else "–"
        print(f"| {name} | {form(ours[key])} | {form(theirs[key])} | {ratio} |")

    row("broker CPU", "cpu", ms)
    row("wall time", "wall", ms)
    row("commands", "commands", lambda count: f"{count:,.0f}")
    row("bytes", "bytes", lambda size: f"{size / 1000:,.0f} kB")
    row("slowest command", "slowest", lambda seconds: f"{seconds * 1e6:.0f} µs")
    row("of a million commands over 1 ms", "over_1ms", lambda count: f"{count:.1f}")
    row("resident memory", "rss", mib)
    print(f"\ntailback's interval in force: {ours['interval']:.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tailback", required=True, type=Path)
    parser.add_argument("--queues", type=int, default=10_000)
    parser.add_argument("--polls", type=int, default=30)
    args = parser.parse_args()
    args.tailback = args.tailback.resolve()
    names = queue_names(args.queues)
    with Children() as children:
        _, port = children.redis(
            "--slowlog-log-slower-than", "100", "--slowlog-max-len", "1000", "--appendonly", "no"
        )
        server = redis.Redis(port=port)
        bind(server, names)
        fill(server, names[:: max(1, args.queues // 100)])
        print(f"{args.queues:,} Celery queues, Redis {server.info()['redis_version']}", flush=True)
        cost = Cost(server)
        quiet = measure_tailback(children, args, port, cost, args.queues)
        print_comparison(
            "100 queues with jobs, the others empty",
            quiet,
            measure_exporter(children, args, port, cost, names),
        )
        scrapes = measure_scrapes(children, args, port, args.queues)
        start = measure_start(children, args, port)
        small = measure_small(children, args)
        fill(server, names)
        # The budget would move polls of so many busy queues far apart; it is lifted to see their cost.
        lifted = "max_broker_cpu_ratio = 1.0"
        busy = measure_tailback(children, args, port, cost, args.queues, lifted)
        print_comparison(
            "all queues with jobs, the CPU budget lifted",
            busy,
            measure_exporter(children, args, port, cost, names),
        )
        rabbitmq, rabbitmq_rss = measure_rabbitmq(children, args)
    print("\n### tailback alone\n\n| what | value | limit |\n|---|---|---|")
    rows = [
        (f"/metrics, {scrapes['series']:,} series, {mib(scrapes['size'])}, new snapshot",
         ms(scrapes["plain_fresh"]), "30 ms"),
        ("the same with gzip", ms(scrapes["gzip_fresh"]), "30 ms"),
        ("/metrics again", ms(scrapes["plain_again"]), "30 ms"),
        ("the same with gzip", ms(scrapes["gzip_again"]), "30 ms"),
        ("memory with 10 queues", mib(small), "12 MB"),
        (f"memory with {args.queues:,} queues, before the first scrape",
         mib(scrapes["rss_before"]), "60 MB"),
        ("after 120 scrapes", mib(scrapes["rss_scraped"]), "60 MB"),
        ("after 1,000 more", mib(scrapes["rss_after_1000"]), "flat"),
        ("start to first /live", ms(start), "20 ms"),
        ("poll of 1,000 RabbitMQ queues", ms(rabbitmq), "1 s"),
        ("memory with them", mib(rabbitmq_rss), ""),
        ("binary", mib(args.tailback.stat().st_size), "12 MB"),
    ]  # fmt: skip
    for row in rows:
        print("| {} | {} | {} |".format(*row))


if __name__ == "__main__":
    main()
