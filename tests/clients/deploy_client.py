"""Renders what is under deploy/ with kustomize and with Helm, and holds it to Kubernetes' schemas.

usage: deploy_client.py kustomize FOLDER
       deploy_client.py helm CHART VALUES      values as JSON
       deploy_client.py lint CHART VALUES

Prints JSON: `objects` and `faults`, what is wrong with them in the oldest and the newest Kubernetes that is
meant; or `refused`, why Helm does not render; or what `helm lint --strict` finds.
"""

import json
import subprocess
import sys
from pathlib import Path

import helm_python
import kubernetes_validate
import yaml
from helm_python import chart

KUBERNETES = ["1.25", kubernetes_validate.latest_version()]


def faults(each):
    # Custom resources have schemas of their own.
    if each["apiVersion"].endswith(".coreos.com/v1"):
        return
    for version in KUBERNETES:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            where = "/".join(map(str, error.path))
            yield f"{version}: {each['kind']} {where}: {error.message}"


def rendered(texts):
    objects = [each for text in texts for each in yaml.safe_load_all(text) if each]
    return {"objects": objects, "faults": [fault for each in objects for fault in faults(each)]}


def kustomize(folder):
    kubectl = Path(yaml.__file__).parents[1] / "bin/kubectl"
    found = subprocess.run([kubectl, "kustomize", folder], check=True, capture_output=True, text=True)
    return rendered([found.stdout])


def helm(path, values):
    try:
        files = chart.Chart.load(path).render(json.loads(values), name="mine", namespace="jobs")
    except helm_python.HelmError as error:
        return {"refused": str(error)}
    notes = [text for name, text in files.items() if name.endswith("NOTES.txt")]
    found = rendered(text for name, text in files.items() if not name.endswith("NOTES.txt"))
    return found | {"notes": notes}


def lint(path, values):
    found = chart.lint(path, json.loads(values), strict=True)
    # An icon is all that it misses.
    said = [each["error"] for each in found["messages"] if each["severity"] > 1]
    return {"found": found["errors"] + said}


what, *arguments = sys.argv[1:]
print(json.dumps({"kustomize": kustomize, "helm": helm, "lint": lint}[what](*arguments)))
