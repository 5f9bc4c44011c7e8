"""Works on Redis Streams as producers and consumer groups do, with redis-py. Prints as one JSON
object what is true of the group: told entry by entry, without `lag`.

stream_client.py URL STREAM GROUP [COMMAND [NUMBER]]...
"""

import json
import sys

import redis

url, stream, group, *rest = sys.argv[1:]
client = redis.from_url(url, decode_responses=True, protocol=2)


def add(count):
    with client.pipeline(transaction=False) as pipe:
        for number in range(count):
            pipe.xadd(stream, {"number": number})
        pipe.execute()


def undelivered():
    last = next(
        each["last-delivered-id"] for each in client.xinfo_groups(stream) if each["name"] == group
    )
    return [entry for entry, _ in client.xrange(stream, min="(" + last)]


def read(count):
    client.xreadgroup(group, "reader", {stream: ">"}, count=count)


def ack(count):
    for entry in client.xpending_range(stream, group, "-", "+", count):
        client.xack(stream, group, entry["message_id"])


COMMANDS = {
    "add": add,
    "read": read,
    "ack": ack,
    "create": lambda start: client.xgroup_create(stream, group, start or "$", mkstream=True),
    # Deletes the last entry but so many, of those that were not delivered yet.
    "delete": lambda number: client.xdel(stream, undelivered()[-1 - number]),
    "trim": lambda keep: client.xtrim(stream, maxlen=keep, approximate=False),
    "rewind": lambda _: client.execute_command("XGROUP", "SETID", stream, group, "0"),
}
while rest:
    command, number, *rest = rest
    COMMANDS[command](int(number))

waiting = undelivered()
pending = client.xpending_range(stream, group, "-", "+", 10000)
print(
    json.dumps(
        {
            "ready": len(waiting),
            "in_progress": client.xpending(stream, group)["pending"],
            "head_added_at": int(waiting[0].split("-")[0]) / 1000 if waiting else None,
            "longest_ms": max((entry["time_since_delivered"] for entry in pending), default=None),
            "lag": next(
                each["lag"] for each in client.xinfo_groups(stream) if each["name"] == group
            ),
        }
    )
)
