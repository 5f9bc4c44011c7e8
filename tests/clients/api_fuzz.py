"""Holds the API to its own description, with schemathesis.

usage: api_fuzz.py URL SECONDS ['Name: value' …]

First every queue that the API lists is read alone, then each operation is fuzzed for so long in all, with
good and with bad data, and with all checks. The headers are sent along; with one, schemathesis also
tries without. The last line says how many queues were read.
"""

import json
import os
import sys
import tempfile
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import strategies
from schemathesis.cli import schemathesis as command

PLAIN = strategies.text(strategies.characters(codec="utf-8", exclude_characters="[]{}\\"), max_size=20)
schemathesis.openapi.format("glob", strategies.one_of(PLAIN, PLAIN.map(lambda text: f"{{a,[b-d]}}*{text}\\[")))


def read_all(url, headers):
    """Every queue, whatever its name, by both operations that name one."""
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", headers=headers)
    queues = requests.get(f"{url}/api/v1/queues", headers=headers, timeout=10).json()["queues"]
    # To its client a path ends there, however it is written.
    queues = [queue for queue in queues if queue["queue"] not in (".", "..")]
    for queue in queues:
        names = {key: queue[key] for key in ("broker", "system", "queue")}
        for end in ("", "/history"):
            operation = schema["/api/v1/queues/{broker}/{system}/{queue}" + end]["GET"]
            encoded = {key: quote(name, safe="") for key, name in names.items()}
            answer = operation.Case(path_parameters=encoded).call_and_validate(headers=headers)
            assert answer.status_code == 200, (names, answer.text)
            assert {key: answer.json()[key] for key in names} == names, (names, answer.text)
    return len(queues)


def main():
    url, seconds, *headers = sys.argv[1:]
    count = read_all(url, dict(header.split(": ", 1) for header in headers))
    # What schemathesis leaves behind is of no use.
    os.chdir(tempfile.mkdtemp(dir=os.environ["DIR"]))
    arguments = ["run", f"{url}/openapi.json", "--max-time", seconds, "--checks", "all"]
    arguments += ["--continue-on-failure", "--generation-database", "none", "--no-color"]
    arguments += [word for header in headers for word in ("-H", header)]
    try:
        command(arguments)
    except SystemExit as end:
        if end.code:
            raise
    print(json.dumps({"queues": count}))


main()
