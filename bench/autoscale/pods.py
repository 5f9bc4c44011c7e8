"""Starts and stops real Celery workers as a cluster starts and stops pods.

usage: BROKER_URL=… STARTS=… pods.py QUEUE

On standard input: `prepare NUMBER` starts a worker up to where it would consume, `start NUMBER TIME`
lets it consume at that time and not earlier (scheduling, image and interpreter of a pod take a
while), `stop NUMBER` ends it as Kubernetes does: SIGTERM, upon which Celery ends the job at hand. On
standard output `prepared NUMBER TIME`, `ready …` and `gone …` tell when it happened.

A worker is what `celery worker` starts, forked from this process, which has the modules loaded, and
prepared beforehand: fifty interpreters that start at once would measure this machine's two cores.
"""

import os
import select
import signal
import sys
import time

import celery.bin.worker  # noqa: F401
import kombu.transport.redis  # noqa: F401
from app import app
from celery import bootsteps
from celery.worker import state
from celery.worker.consumer.tasks import Tasks


# What Celery prints goes elsewhere.
TOLD = os.dup(1)
os.dup2(2, 1)


def tell(what, number):
    os.write(TOLD, f"{what} {number} {time.time()}\n".encode())


class Gate(bootsteps.StartStopStep):
    """After all else that a worker does before it consumes."""

    requires = (Tasks,)
    number = None
    orders = None

    def start(self, parent):
        tell("prepared", self.number)
        while not select.select([self.orders], [], [], 0.5)[0]:
            if state.should_stop is not None:
                return
        opens = float(os.read(self.orders, 64))
        while time.time() < opens and state.should_stop is None:
            time.sleep(max(0.0, min(0.5, opens - time.time())))
        tell("ready", self.number)


def pod(number, orders, queue):
    Gate.number, Gate.orders = number, orders
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    app.steps["consumer"].add(Gate)
    app.worker_main(
        ["worker", "-P", "solo", "-Q", queue, "-n", f"pod-{number}@{queue}", "-l", "WARNING",
         "--without-gossip", "--without-mingle", "--without-heartbeat"]
    )  # fmt: skip


class Pods:
    def __init__(self, queue):
        self.queue = queue
        # By number: process, and where its order is written.
        self.pods = {}

    def prepare(self, number):
        orders, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                pod(number, orders, self.queue)
            finally:
                os._exit(0)
        os.close(orders)
        self.pods[number] = child, writer

    def start(self, number, opens):
        os.write(self.pods[number][1], opens.encode())

    def stop(self, number):
        os.kill(self.pods[number][0], signal.SIGTERM)

    def reap(self):
        while self.pods:
            gone, _ = os.waitpid(-1, os.WNOHANG)
            if not gone:
                return
            number = next(number for number, (child, _) in self.pods.items() if child == gone)
            os.close(self.pods.pop(number)[1])
            tell("gone", number)


def main():
    pods, buffer = Pods(sys.argv[1]), b""
    while True:
        if select.select([0], [], [], 0.05)[0]:
            data = os.read(0, 65536)
            if not data:
                # Whoever gave orders is gone: end with all workers.
                os.killpg(0, signal.SIGKILL)
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                what, *words = line.decode().split()
                getattr(pods, what)(*words)
        pods.reap()


if __name__ == "__main__":
    main()
