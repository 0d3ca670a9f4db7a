"""Talks to OpenTelemetry: names, points, spans, exporters. Knows no sketch."""
