"""What the demo and the stack have in common: a private Redis, a real Celery application that gets more
work than it can do at once, and tailback beside it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from children import free_port  # noqa: E402

WORKERS = [("emails", 4), ("invoices", 4), ("reports", 2)]
ENDED = "Everything that was started has ended."

# Of a running shop the queues are known at once; here they come into being with us.
CONFIG = """
[brokers.demo.redis]
url = '{broker}'
discovery_interval = '2s'

[[objectives]]
queue = '*'
wait = '30s'
"""


def start(children, port=9828):
    """Starts everything, tailback on this port if it is free. Returns the addresses of the broker
    and of tailback, and the workers by their queue."""
    _, redis_port = children.redis()
    broker = f"redis://127.0.0.1:{redis_port}/0"
    variables = {
        "BROKER_URL": broker,
        "PYTHONPATH": str(ROOT / "demo"),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "C_FORCE_ROOT": "1",
    }
    children.start("producer", sys.executable, ROOT / "demo/producer.py", **variables)
    workers = {
        queue: children.start(
            f"worker-{queue}", sys.executable, "-m", "celery", "-A", "app", "worker",
            "-Q", queue, "-c", slots, "-P", "threads", "-n", f"{queue}@demo",
            "--without-gossip", "--without-mingle",
            **variables,
        )
        for queue, slots in WORKERS
    }  # fmt: skip
    address = f"127.0.0.1:{free_port(port)}"
    config = children.folder / "config.toml"
    config.write_text(CONFIG.format(broker=broker))
    tailback = children.start(
        "tailback", os.environ["TAILBACK"], "run", "--config", config, "--listen", address
    )
    children.wait_ready(tailback, lambda: '"serving HTTP' in children.log(tailback))
    return broker, address, workers
