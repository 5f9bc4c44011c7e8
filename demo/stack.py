"""The demo's shop with Prometheus and Alertmanager beside it, wired together with the rules and
inhibitions of alerts/. Everything ends with Ctrl-C.

usage: TAILBACK=path/to/tailback stack.py [--hurry] [--webhook URL] [--any-port]
"""

import argparse
import json
import re
import shutil
import time
import urllib.request

import shop
from children import Children, free_port

RULES = shop.ROOT / "alerts/tailback.yaml"
INHIBITIONS = shop.ROOT / "alerts/alertmanager.yaml"

PROMETHEUS = """
global: {{scrape_interval: {interval}, evaluation_interval: {interval}}}
rule_files: [tailback.yaml]
alerting: {{alertmanagers: [{{static_configs: [{{targets: ["{alertmanager}"]}}]}}]}}
scrape_configs: [{{job_name: tailback, static_configs: [{{targets: ["{tailback}"]}}]}}]
"""

ALERTMANAGER = """
route:
  receiver: somebody
  group_by: [alertname, broker, system]
  group_wait: {interval}
  group_interval: {interval}
receivers: [{{name: somebody{webhook}}}]
{inhibitions}"""

SAID = """tailback     http://{tailback}/
Prometheus   http://{prometheus}/alerts
Alertmanager http://{alertmanager}/

Let the workers of emails hang, and let them go on:
  kill -STOP {worker}
  kill -CONT {worker}
TailbackQueueStalled then fires after a quarter of {an_hour}.
Ctrl-C ends all of it."""


def hurried(rules):
    """The rules with a minute made a second: every duration, of windows, offsets and `for`, is a sixtieth.
    Nothing else is changed: thresholds and numbers of seconds are as shipped."""
    seconds = {"m": 1, "h": 60, "d": 24 * 60}
    return re.sub(
        r"(\[|for: |offset )(\d+)([mhd])\b",
        lambda found: f"{found[1]}{int(found[2]) * seconds[found[3]]}s",
        rules,
    )


def start(children, asked):
    """Starts everything; returns what to tell."""

    def address(port):
        return f"127.0.0.1:{free_port(0 if asked.any_port else port)}"

    interval = "1s" if asked.hurry else "5s"
    _, tailback, workers = shop.start(children, 0 if asked.any_port else 9828)
    prometheus, alertmanager = address(9090), address(9093)

    def write(name, text):
        file = children.folder / name
        file.write_text(text)
        return file

    webhook = ""
    if asked.webhook:
        webhook = f", webhook_configs: [{{url: {json.dumps(asked.webhook)}}}]"
    text = ALERTMANAGER.format(
        interval=interval, webhook=webhook, inhibitions=INHIBITIONS.read_text()
    )
    config = write("alertmanager.yml", text)
    # The cluster port is for several Alertmanagers; empty, it stays closed.
    child = children.start(
        "alertmanager", "prometheus-alertmanager", f"--config.file={config}",
        f"--web.listen-address={alertmanager}", f"--web.external-url=http://{alertmanager}/", "--cluster.listen-address=",
        f"--storage.path={children.folder / 'alertmanager'}", "--log.level=warn",
    )  # fmt: skip
    children.wait_ready(child, lambda: answers(alertmanager))

    rules = RULES.read_text()
    write("tailback.yaml", hurried(rules) if asked.hurry else rules)
    text = PROMETHEUS.format(interval=interval, alertmanager=alertmanager, tailback=tailback)
    config = write("prometheus.yml", text)
    child = children.start(
        "prometheus", "prometheus", f"--config.file={config}",
        f"--web.listen-address={prometheus}", f"--web.external-url=http://{prometheus}/",
        f"--storage.tsdb.path={children.folder / 'prometheus'}", "--log.level=warn",
    )  # fmt: skip
    children.wait_ready(child, lambda: answers(prometheus))

    return SAID.format(
        tailback=tailback,
        prometheus=prometheus,
        alertmanager=alertmanager,
        worker=workers["emails"].pid,
        an_hour="a minute" if asked.hurry else "an hour",
    )


def answers(address):
    try:
        with urllib.request.urlopen(f"http://{address}/-/ready", timeout=5):
            return True
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description="tailback, Prometheus and Alertmanager")
    parser.add_argument("--hurry", action="store_true", help="a minute of the rules is a second")
    parser.add_argument("--webhook", metavar="URL", help="where Alertmanager posts notifications")
    parser.add_argument("--any-port", action="store_true", help="leave the usual ports alone")
    asked = parser.parse_args()
    for name in ("prometheus", "prometheus-alertmanager"):
        if not shutil.which(name):
            raise SystemExit(f"{name} is not installed: scripts/setup.sh stack")
    with Children() as children:
        try:
            print(start(children, asked), flush=True)
            while True:
                children.check()
                time.sleep(1)
        except KeyboardInterrupt:
            pass
    print(shop.ENDED)


main()
