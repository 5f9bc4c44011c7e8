"""Reads an exposition from standard input with the parser of prometheus_client and prints its
samples as a JSON list of [name, labels, value, exemplar]. `parse_exposition.py openmetrics` reads that
format."""

import json
import sys

if sys.argv[1:] == ["openmetrics"]:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
else:
    from prometheus_client.parser import text_string_to_metric_families as parse

text = sys.stdin.buffer.read().decode("utf-8")
samples = [
    [
        sample.name,
        sample.labels,
        sample.value,
        sample.exemplar and [sample.exemplar.labels, sample.exemplar.value],
    ]
    for family in parse(text) for sample in family.samples
]
print(json.dumps(samples))
