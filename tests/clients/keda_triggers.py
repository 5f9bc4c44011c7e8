"""What KEDA does with the triggers of a ScaledObject that ask over HTTP, done as KEDA does it.

usage: keda_triggers.py parse < YAML              the documents as one JSON list
       keda_triggers.py ask TRIGGERS SECRETS      JSON: triggers, and what their parameters are

`ask` prints a JSON list: for each trigger the value and whether it makes the workers active, or the error,
with which KEDA holds the replicas or falls back.
"""

import json
import math
import re
import sys
import urllib.error
import urllib.parse
import urllib.request

import gjson
import yaml
from prometheus_client.parser import text_string_to_metric_families

MATCHER = re.compile(r'\s*(\w+)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')


def request(url, headers):
    """The body of an answer, with KEDA's time limit."""
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=3) as answer:
        if answer.status != 200:
            raise ValueError(f"api returned {answer.status}")
        return answer.read().decode()


def from_json(body, location):
    value = gjson.get(json.loads(body), location)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"valueLocation must point to value of type number, got {value!r}")
    return value


def from_metrics(body, location):
    """The first series of that name with those labels; only `=` is understood."""
    name, _, rest = location.partition("{")
    wanted = [(label, json.loads(f'"{value}"')) for label, value in MATCHER.findall(rest.rstrip("}"))]
    if rest and MATCHER.sub("", rest.rstrip("}")).strip():
        raise ValueError(f"{location} has other matchers than =")
    for family in text_string_to_metric_families(body):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(label) == value for label, value in wanted):
                return sample.value
    raise ValueError(f"value {location} not found")


def metrics_api(metadata, secrets):
    if float(metadata["targetValue"]) == 0:
        raise ValueError("no targetValue given in metadata")
    url, headers = metadata["url"], {}
    mode = metadata.get("authMode")
    if mode == "bearer":
        headers["Authorization"] = f"Bearer {secrets['bearerToken']}"
    elif mode == "apiKey" and metadata.get("method") == "query":
        parts = urllib.parse.urlsplit(url)
        pairs = urllib.parse.parse_qsl(parts.query) + [("api_key", secrets["apiKey"])]
        url = parts._replace(query=urllib.parse.urlencode(sorted(pairs))).geturl()
    elif mode == "apiKey":
        headers["X-API-KEY"] = secrets["apiKey"]
    read = {"json": from_json, "prometheus": from_metrics}[metadata.get("format", "json")]
    value = read(request(url, headers), metadata["valueLocation"])
    return value, value > float(metadata.get("activationTargetValue", 0))


def prometheus(metadata, secrets):
    query = urllib.parse.urlencode({"query": metadata["query"]})
    result = json.loads(request(f"{metadata['serverAddress']}/api/v1/query?{query}", {}))["data"]["result"]
    is_lenient = metadata.get("ignoreNullValues", "true") == "true"
    if len(result) > 1:
        raise ValueError("multiple elements")
    value = float(result[0]["value"][1]) if result else math.nan
    if not math.isfinite(value):
        if not is_lenient:
            raise ValueError("the result is empty, or no number")
        value = 0.0
    return value, value > float(metadata.get("activationThreshold", 0))


def ask(trigger, secrets):
    try:
        answer = {"metrics-api": metrics_api, "prometheus": prometheus}[trigger["type"]]
        value, active = answer(trigger["metadata"], secrets)
        return {"value": float(value), "active": active}
    except (OSError, ValueError, gjson.GJSONError) as error:
        return {"error": str(error)}


def main():
    what, *rest = sys.argv[1:]
    if what == "parse":
        print(json.dumps(list(yaml.safe_load_all(sys.stdin.read()))))
    else:
        triggers, secrets = map(json.loads, rest)
        print(json.dumps([ask(trigger, secrets) for trigger in triggers]))


main()
