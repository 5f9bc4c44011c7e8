"""A fan-out with real Celery workers on a real Redis, scaled by what tailback says over gRPC. Each
competitor has a queue, workers and an autoscaler of its own. Prints Markdown tables and draws a
picture; bench/README.md says how to read them.

usage: bench.py --tailback PATH --decide PATH [--quick] [--picture FILE] [--only KEY,KEY]

--decide is the example `autoscale`, which decides as Kubernetes does.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "proto")]

import chart  # noqa: E402
import grpc  # noqa: E402
import redis  # noqa: E402
from children import Children, free_port  # noqa: E402

messages, services = grpc.protos_and_services("externalscaler.proto")


@dataclass
class Load:
    """Real time in everything: nothing is compressed."""

    jobs: int = 10_000
    job_secs: float = 0.15
    target_wait: float = 30.0
    max_pods: int = 50
    start_secs: float = 20.0
    sync_secs: float = 15.0
    # The fan-out comes in the middle between two syncs.
    first_sync: float = 7.5
    # How long is counted from the fan-out on.
    horizon: float = 600.0
    # Between one competitor's fan-out and the next one's, so that their rushes do not meet.
    apart: float = 150.0


QUICK = Load(
    jobs=250, job_secs=0.1, target_wait=3.0, max_pods=8, start_secs=2.0, sync_secs=2.0,
    first_sync=1.0, horizon=8.0, apart=0.0,
)  # fmt: skip


@dataclass
class Result:
    key: str
    name: str
    # Seconds after the fan-out at which each job started, ascending.
    starts: list = field(default_factory=list)
    # (seconds after the fan-out, pods ordered, pods running).
    pods: list = field(default_factory=list)
    worker_secs: float = 0.0
    refused: int = 0


class Pods:
    """The workers of one queue."""

    def __init__(self, children, broker, queue):
        self.starts = children.folder / f"starts-{queue}"
        self.starts.touch()
        self.log = open(children.folder / f"pods-{queue}.log", "wb")
        self.host = subprocess.Popen(
            [sys.executable, HERE / "pods.py", queue],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1,
            env={
                **os.environ, "BROKER_URL": broker, "STARTS": str(self.starts), "C_FORCE_ROOT": "1",
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            start_new_session=True,
        )  # fmt: skip
        # By number: when the pod was prepared, ordered, ready, asked to go, gone.
        self.pods = {}
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.host.stdout:
            what, number, at = line.split()
            self.pods[int(number)][what] = float(at)

    def tell(self, *words):
        print(*words, file=self.host.stdin)

    def prepare(self):
        """One more that can be ordered."""
        number = len(self.pods)
        self.pods[number] = {}
        self.tell("prepare", number)
        while "prepared" not in self.pods[number]:
            if self.host.poll() is not None:
                raise RuntimeError("no worker starts: " + Path(self.log.name).read_text())
            time.sleep(0.05)

    def ordered(self):
        return [number for number, pod in self.pods.items() if "ordered" in pod and "asked" not in pod]

    def running(self):
        return [number for number in self.ordered() if "ready" in self.pods[number]]

    def scale(self, count, delay):
        """Orders or takes away pods. Those that have not started go first, then the newest."""
        now, ordered = time.time(), self.ordered()
        for _ in range(count - len(ordered)):
            spare = [number for number, pod in self.pods.items() if "ordered" not in pod]
            if not spare:
                self.prepare()
                spare = [len(self.pods) - 1]
            self.pods[spare[0]]["ordered"] = now
            self.tell("start", spare[0], now + delay)
        for number in ordered[count:]:
            self.pods[number]["asked"] = now
            self.tell("stop", number)

    def worker_secs(self, start, end):
        """From the order to the end of the process, within these times."""
        ordered = (pod for pod in self.pods.values() if "ordered" in pod)
        lives = ((pod["ordered"], pod.get("gone", end)) for pod in ordered)
        return sum(max(0.0, min(gone, end) - max(born, start)) for born, gone in lives)

    def started(self):
        return [float(line) for line in self.starts.read_text().split()]

    def close(self):
        self.host.stdin.close()
        self.host.wait()
        self.log.close()


class Scaler:
    """Asks tailback as KEDA does and decides as Kubernetes does."""

    def __init__(self, options, load, key, queue, address):
        self.decides = subprocess.Popen(
            [options.decide, "scale", key, "--queue", queue, "--max", str(load.max_pods)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        self.metadata = json.loads(self.decides.stdout.readline())
        self.stub = services.ExternalScalerStub(grpc.insecure_channel(address))

    def metric(self):
        """What the autoscaler gets; None where KEDA would get an error."""
        if self.metadata is None:
            return None
        ref = messages.ScaledObjectRef(name=self.metadata["queue"], namespace="bench", scalerMetadata=self.metadata)
        try:
            spec = self.stub.GetMetricSpec(ref, timeout=5).metricSpecs[0]
            name = spec.metricName
            request = messages.GetMetricsRequest(scaledObjectRef=ref, metricName=name)
            (value,) = self.stub.GetMetrics(request, timeout=5).metricValues
            self.stub.IsActive(ref, timeout=5)
        except grpc.RpcError:
            return None
        # With one pod at least, nothing follows from IsActive; KEDA asks all the same.
        return value.metricValueFloat if value.metricValueFloat > 0 else float(value.metricValue)

    def decide(self, now, current, ready):
        metric = self.metric()
        sync = {"now": now, "current": current, "ready": ready, "metric": metric}
        self.decides.stdin.write(json.dumps(sync) + "\n")
        return int(self.decides.stdout.readline()), metric

    def close(self):
        self.decides.stdin.close()
        self.decides.wait()


class Bench:
    def __init__(self, options, load, children):
        self.options, self.load, self.children = options, load, children
        _, port = children.redis()
        self.broker = f"redis://127.0.0.1:{port}/0"
        self.server = redis.Redis(port=port)
        os.environ["BROKER_URL"] = self.broker
        listed = subprocess.run([options.decide, "competitors"], check=True, capture_output=True)
        self.names = dict(json.loads(listed.stdout))
        self.address = self.start_tailback()

    def start_tailback(self):
        load, folder = self.load, self.children.folder
        keda = f"127.0.0.1:{free_port()}"
        (folder / "tailback.toml").write_text(
            f"[keda]\nlisten = '{keda}'\n"
            f"[[objectives]]\nqueue = '*'\nwait = '{load.target_wait:.0f}s'\n"
            f"service_time = '{load.job_secs * 1000:.0f}ms'\n"
            f"[brokers.bench.redis]\nurl = '{self.broker}'\ndiscovery_interval = '1s'\n"
        )
        child = self.children.start(
            "tailback", self.options.tailback, "run", "--config", folder / "tailback.toml",
            "--listen", "127.0.0.1:0",
        )  # fmt: skip
        self.children.wait_ready(child, lambda: '"serving HTTP' in self.children.log(child))
        return keda

    def payloads(self):
        """What Celery writes for the jobs of a fan-out; it sends them to another database."""
        from app import app, work

        where = self.broker.removesuffix("/0") + "/1"
        with app.connection_for_write(where) as connection:
            with connection.Producer() as producer:
                for _ in range(self.load.jobs):
                    work.apply_async((self.load.job_secs,), queue="jobs", producer=producer)
        other = redis.Redis(port=self.server.connection_pool.connection_kwargs["port"], db=1)
        return other.lrange("jobs", 0, -1)

    def run(self, key, after, payloads, results):
        """One competitor from before its fan-out to the end of its horizon."""
        try:
            pods = Pods(self.children, self.broker, key)
            scaler = Scaler(self.options, self.load, key, key, self.address)
            begin = time.time() + after
            for _ in range(self.load.max_pods if scaler.metadata else 1):
                pods.prepare()
            pods.scale(1, 0.0)
            time.sleep(max(0.0, begin - time.time()))
            # There is no number in the first minute.
            while scaler.metadata and scaler.metric() is None:
                time.sleep(0.5)
            results[key] = self.watch(key, pods, scaler, payloads)
            scaler.close()
            pods.close()
        except BaseException as error:
            results[key] = error
            raise

    def watch(self, key, pods, scaler, payloads):
        load, result = self.load, Result(key, self.names[key])
        at = time.time()
        for start in range(0, len(payloads), 1000):
            self.server.lpush(key, *payloads[start : start + 1000])
        next_sync, next_look, last = load.first_sync, 0.0, None
        while True:
            passed = time.time() - at
            if passed >= next_look:
                ordered, running = len(pods.ordered()), len(pods.running())
                result.pods.append((passed, ordered, running))
                next_look += 1.0
            if passed >= next_sync:
                wanted, metric = scaler.decide(next_sync, len(pods.ordered()), len(pods.running()))
                result.refused += scaler.metadata is not None and metric is None
                pods.scale(wanted, load.start_secs)
                next_sync += load.sync_secs
            done = len(pods.starts.read_bytes().splitlines()) >= load.jobs
            if done and last is None:
                last = passed
            if done and (passed >= load.horizon or scaler.metadata is None):
                break
            time.sleep(0.2)
        result.starts = sorted(start - at for start in pods.started())
        end = max(load.horizon, last) if scaler.metadata else last
        result.worker_secs = pods.worker_secs(at, at + end)
        print(f"{result.name}: all started after {result.starts[-1]:.1f} s", file=sys.stderr, flush=True)
        return result

    def all(self, keys):
        payloads, results = self.payloads(), {}
        for number, key in enumerate(keys):
            arguments = (key, number * self.load.apart, payloads, results)
            # Where one fails all end: with us, its workers too.
            threading.Thread(target=self.run, args=arguments, daemon=True).start()
        while len(results) < len(keys):
            time.sleep(0.5)
            for key, result in list(results.items()):
                if isinstance(result, BaseException):
                    raise SystemExit(f"{key} failed: {result!r}")
        return [results[key] for key in keys]

    def bound(self):
        load = self.load
        numbers = {
            "jobs": load.jobs, "job-secs": load.job_secs, "first-sync": load.first_sync,
            "sync-secs": load.sync_secs, "start-secs": load.start_secs, "max": load.max_pods,
        }  # fmt: skip
        options = [f"--{name}={number}" for name, number in numbers.items()]
        found = subprocess.run([self.options.decide, "bound", *options], check=True, capture_output=True)
        return json.loads(found.stdout)


def reversals(pods):
    counts = [ordered for _, ordered, _ in pods]
    steps = [b - a for a, b in zip(counts, counts[1:]) if a != b]
    return sum((a > 0) != (b > 0) for a, b in zip(steps, steps[1:]))


def summary(result, load):
    waits = result.starts
    late = sum(wait > load.target_wait for wait in waits) / len(waits)
    ideal = load.jobs * load.job_secs
    return {
        "key": result.key,
        "name": result.name,
        "max_wait": waits[-1],
        "mean_wait": sum(waits) / len(waits),
        "late_share": late,
        "worker_secs": result.worker_secs,
        "product": late * result.worker_secs / ideal,
        "reversals": reversals(result.pods),
        "most_pods": max(ordered for _, ordered, _ in result.pods),
        "last_pods": result.pods[-1][1],
        "refused": result.refused,
    }


def table(rows, bound, load):
    print(
        f"{load.jobs:,} jobs of {load.job_secs} s ({load.jobs * load.job_secs / 60:.1f} minutes of work for one "
        f"worker), at most {load.max_pods} workers, each {load.start_secs:g} s after it was ordered; a sync "
        f"every {load.sync_secs:g} s, the first {load.first_sync:g} s after the fan-out.\n"
    )
    print("| | max wait s | mean wait s | late | worker-seconds | late × cost | reversals | most workers |")
    print("|---|---|---|---|---|---|---|---|")
    print(f"| *bound* | {bound['max']:.1f} | {bound['mean']:.1f} | | | | | |")
    for row in rows:
        print(
            f"| {row['name']} | {row['max_wait']:.1f} | {row['mean_wait']:.1f} | {row['late_share']:.1%} "
            f"| {row['worker_secs']:,.0f} | {row['product']:.2f} | {row['reversals']} | {row['most_pods']} |"
        )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tailback", required=True, type=Path)
    parser.add_argument("--decide", required=True, type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    options.tailback, options.decide = options.tailback.resolve(), options.decide.resolve()
    load = QUICK if options.quick else Load()
    keys = ["none", "required"] if options.quick else ["none", "latency", "step", "depth", "depth-advised", "required"]
    with Children() as children:
        bench = Bench(options, load, children)
        results = bench.all(options.only or keys)
        bound = bench.bound()
    rows = [summary(result, load) for result in results]
    table(rows, bound, load)
    if options.json:
        options.json.write_text(json.dumps({"rows": rows, "bound": bound, "results": [vars(each) for each in results]}))
    if options.picture:
        options.picture.write_text(chart.draw(results, rows, load))


if __name__ == "__main__":
    main()
