"""Child processes for the demo and the bench: servers and workers that end with us, however we
end, and a temporary folder for their files."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


def free_port(wanted=0):
    """`wanted` if nothing listens there, else any."""
    for port in (wanted, 0):
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise OSError("no free port")


class RabbitMq(NamedTuple):
    """Where a node listens, and its process."""

    amqp: int
    management: int
    prometheus: int
    pid: int


class Children:
    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="tailback-"))
        self.running = []

    def __enter__(self):
        # A plain `kill` shall clean up as Ctrl-C does.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        return self

    def __exit__(self, *_):
        for child in list(self.running):
            self.stop(child)
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, *command, **variables):
        """Starts a command; its output goes to NAME.log in the folder."""
        log = open(self.folder / f"{name}.log", "wb")
        child = subprocess.Popen(
            [ROOT / "scripts/watched.sh", self.folder, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **variables},
            start_new_session=True,
        )
        log.close()
        child.name = name
        self.running.append(child)
        return child

    def stop(self, child):
        """Ends a child and everything that it has started."""
        self.running.remove(child)
        child.terminate()
        try:
            child.wait(3)
        except subprocess.TimeoutExpired:
            pass
        try:
            # What has not ended, and the watchdog, which is in the group as well.
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.stdin.close()
        child.wait()

    def check(self):
        """Fails with the log of a child that has ended by itself."""
        for child in self.running:
            if child.poll() is not None:
                raise SystemExit(f"{child.name} has ended:\n{self.log(child)}")

    def log(self, child):
        return (self.folder / f"{child.name}.log").read_text(errors="replace")

    def wait_ready(self, child, ready, seconds=30):
        """Waits until `ready()` is true; fails with the log if the child ends before."""
        until = time.monotonic() + seconds
        while not ready():
            if child.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{child.name} did not start:\n{self.log(child)}")
            time.sleep(0.02)

    def redis(self, *options, name="redis"):
        """Starts an empty Redis that writes nothing to disk. Returns it and its port."""
        port = free_port()
        server = self.start(
            name, "redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
            "--dir", self.folder, *options,
        )  # fmt: skip
        self.wait_ready(server, lambda: listens(port))
        return server, port

    def rabbitmq(self, *plugins):
        """Starts a RabbitMQ node with its management API and further plugins."""
        script = next(Path("/usr/lib/rabbitmq/lib").glob("*/sbin/rabbitmq-server"))
        amqp, management, prometheus, dist, epmd = (free_port() for _ in range(5))
        home = self.folder / "rabbitmq"
        home.mkdir()
        (home / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{amqp}\nmanagement.tcp.ip = 127.0.0.1\n"
            f"management.tcp.port = {management}\nlog.file = false\nlog.console = true\n"
            "disk_free_limit.absolute = 10MB\n"
            + f"prometheus.tcp.ip = 127.0.0.1\nprometheus.tcp.port = {prometheus}\n"
            * ("rabbitmq_prometheus" in plugins)
        )
        enabled = ",".join(("rabbitmq_management", *plugins))
        (home / "enabled_plugins").write_text(f"[{enabled}].\n")
        mapper = self.start("epmd", "epmd", "-port", epmd, "-address", "127.0.0.1")
        self.wait_ready(mapper, lambda: listens(epmd))
        folders = {
            name: str(home)
            for name in (
                "HOME",
                "RABBITMQ_MNESIA_BASE",
                "RABBITMQ_LOG_BASE",
                "RABBITMQ_SCHEMA_DIR",
                "RABBITMQ_GENERATED_CONFIG_DIR",
            )
        }
        node = self.start(
            "rabbitmq",
            script,
            **folders,
            RABBITMQ_PLUGINS_EXPAND_DIR=str(home / "plugins"),
            RABBITMQ_NODENAME=f"bench-{amqp}@localhost",
            RABBITMQ_DIST_PORT=str(dist),
            ERL_EPMD_PORT=str(epmd),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_CONF_ENV_FILE="/dev/null",
            RABBITMQ_CONFIG_FILE=str(home / "rabbitmq.conf"),
            RABBITMQ_ENABLED_PLUGINS_FILE=str(home / "enabled_plugins"),
            RABBITMQ_PID_FILE=str(home / "pid"),
        )
        self.wait_ready(node, lambda: "completed with" in self.log(node), 90)
        return RabbitMq(amqp, management, prometheus, int((home / "pid").read_text()))


def listens(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
