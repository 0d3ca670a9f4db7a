"""As much of the Kubernetes API as a Collector asks for: lists and watches of pods, namespaces and endpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

POD = {"namespace": "shop", "name": "credit-7d9f8c5b64-x2x4v", "deployment": "credit", "node": "node-1"}
SERVICE = "otel-gateway-headless.observability"


def _objects(gateways: list[str]) -> dict[str, tuple[str, str, list[dict[str, Any]]]]:
    """By path: the kind, its version, and what there is of it."""
    namespace = {"metadata": {"name": POD["namespace"], "uid": "1"}}
    pod = {
        "metadata": {
            "name": POD["name"],
            "namespace": POD["namespace"],
            "uid": "2",
            "ownerReferences": [
                {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "credit-7d9f8c5b64",
                    "uid": "3",
                    "controller": True,
                }
            ],
            "labels": {"pod-template-hash": "7d9f8c5b64"},
        },
        "spec": {"nodeName": POD["node"], "containers": [{"name": "app", "image": "credit:1"}]},
        "status": {"phase": "Running", "podIP": "127.0.0.1", "podIPs": [{"ip": "127.0.0.1"}]},
    }
    name, space = SERVICE.split(".")
    endpoints = {
        "metadata": {"name": f"{name}-1", "namespace": space, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}} for address in gateways],
        "ports": [{"port": 4317}],
    }
    return {
        "/api/v1/namespaces": ("Namespace", "v1", [namespace]),
        "/api/v1/pods": ("Pod", "v1", [pod]),
        f"/apis/discovery.k8s.io/v1/namespaces/{space}/endpointslices": (
            "EndpointSlice",
            "discovery.k8s.io/v1",
            [endpoints],
        ),
    }


@contextmanager
def kubernetes(folder: Path, gateways: list[str]) -> Iterator[dict[str, str]]:
    """The variables that let a Collector find it: one pod, at 127.0.0.1, and gateways at these addresses."""
    objects = _objects(gateways)
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = parse_qs(parts.query)
            if parts.path not in objects:
                self.send_error(404)
                return
            kind, version, items = objects[parts.path]
            each = [
                {"apiVersion": version, "kind": kind, **item, "metadata": {**item["metadata"], "resourceVersion": "1"}}
                for item in items
            ]
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            if asked.get("watch", ["false"])[0] not in ("1", "true"):
                found = {
                    "apiVersion": version,
                    "kind": f"{kind}List",
                    "metadata": {"resourceVersion": "1"},
                    "items": each,
                }
                self.wfile.write(json.dumps(found).encode())
                return
            if asked.get("sendInitialEvents") == ["true"]:
                for one in each:
                    self._tell("ADDED", one)
                end = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}
                self._tell("BOOKMARK", {"apiVersion": version, "kind": kind, "metadata": end})
            over.wait()

        def _tell(self, what: str, thing: dict[str, Any]) -> None:
            self.wfile.write(json.dumps({"type": what, "object": thing}).encode() + b"\n")
            self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "test", "user": {}}],
    }
    file = folder / "kubeconfig"
    file.write_text(json.dumps(config), encoding="utf-8")
    try:
        yield {"KUBECONFIG": str(file), "OTELCOL_K8S_AUTH": "kubeConfig", "OTELCOL_NODE": POD["node"]}
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
