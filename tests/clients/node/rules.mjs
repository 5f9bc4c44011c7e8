// A PrometheusRule, held to the schema of the Prometheus Operator, and its expressions to the grammar of
// Prometheus 3. Prints how many rules it has.
//
// usage: node rules.mjs FILE

import { readFileSync } from "node:fs";
import { PrometheusRule } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { parser } from "@prometheus-io/lezer-promql";
import { parse } from "yaml";

const rule = parse(readFileSync(process.argv[2], "utf8"));
new PrometheusRule(rule).validate();
const rules = rule.spec.groups.flatMap((group) => group.rules);
for (const { expr } of rules) {
  parser.parse(expr).iterate({
    enter(node) {
      if (node.type.isError) throw new Error(`at ${node.from}: ${expr}`);
    },
  });
}
console.log(rules.length);
