// A monitoring mixin of the files beside it: dashboards, recording rules and alerts, as they are.
{
  grafanaDashboardFolder:: 'mlobs',
  grafanaDashboards+:: {
    'mlobs-fleet.json': import 'dashboards/mlobs-fleet.json',
    'mlobs-model.json': import 'dashboards/mlobs-model.json',
    'mlobs-data.json': import 'dashboards/mlobs-data.json',
    'mlobs-outcomes.json': import 'dashboards/mlobs-outcomes.json',
    'mlobs-comparison.json': import 'dashboards/mlobs-comparison.json',
    'mlobs-resources.json': import 'dashboards/mlobs-resources.json',
    'mlobs-slo.json': import 'dashboards/mlobs-slo.json',
    'mlobs-traces.json': import 'dashboards/mlobs-traces.json',
    'mlobs-telemetry.json': import 'dashboards/mlobs-telemetry.json',
  },
  prometheusRules+:: {
    groups+:
      std.parseYaml(importstr '../prometheus/mlobs-drift.rules.yml').groups
      + std.parseYaml(importstr '../prometheus/mlobs-quality.rules.yml').groups
      + std.parseYaml(importstr '../prometheus/mlobs-serving.rules.yml').groups,
  },
  prometheusAlerts+:: {
    groups+:
      std.parseYaml(importstr '../prometheus/mlobs-drift.alerts.yml').groups
      + std.parseYaml(importstr '../prometheus/mlobs-quality.alerts.yml').groups
      + std.parseYaml(importstr '../prometheus/mlobs-serving.alerts.yml').groups,
  },
}
