// Holds Kubernetes objects to their schemas: Kubernetes' own, KEDA's and the Prometheus Operator's.
//
//   node kubernetes.js < OBJECTS      a JSON list
//
// Prints a JSON list of what is wrong, empty if nothing is. The schemas let unknown fields pass, which a
// server drops without a word: a field that no schema asks for is wrong here.
"use strict";

const API = {
  "keda.sh/v1alpha1": "@kubernetes-models/keda/keda.sh/v1alpha1",
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
};

/** The module with the classes of an API group: of a custom resource, or Kubernetes' own. */
const moduleOf = (group) => API[group] ?? `kubernetes-models/${group}`;

/** The object, remembering in `asked` which of its fields are looked at. */
function watched(value, path, asked) {
  if (value === null || typeof value !== "object") return value;
  return new Proxy(value, {
    get(target, key) {
      const below = `${path}/${String(key)}`;
      asked.add(below);
      return typeof key === "string" && Object.hasOwn(target, key) ? watched(target[key], below, asked) : target[key];
    },
  });
}

function fields(value, path = "") {
  if (value === null || typeof value !== "object") return [];
  return Object.keys(value).flatMap((key) => [`${path}/${key}`, ...fields(value[key], `${path}/${key}`)]);
}

async function faults(object) {
  const models = await import(moduleOf(object.apiVersion));
  const asked = new Set(["/apiVersion", "/kind"]);
  const model = Object.create(models[object.kind].prototype);
  const faults = [];
  try {
    model.validate.call(watched(object, "", asked));
  } catch (error) {
    faults.push(`${object.kind}: ${error.message}`);
  }
  const unknown = fields(object).filter((path) => !asked.has(path));
  return faults.concat(unknown.map((path) => `${object.kind}: ${path} is no field of it`));
}

(async () => {
  const objects = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
  const found = await Promise.all(objects.map(faults));
  console.log(JSON.stringify(found.flat()));
})();
