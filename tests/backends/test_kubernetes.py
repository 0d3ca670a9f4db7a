"""The manifests of deploy/kubernetes: checked against Kubernetes' and KEDA's schemas, and against each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.backends.collector import CONFIG
from tests.backends.deployment import (
    AUTOSCALING,
    DEPLOY,
    KUBERNETES,
    PINNED,
    ROOT,
    VARIABLE,
    conforms,
    manifests,
    named,
    pods,
    read,
    says_yes,
)
from tests.backends.tools import build

KEDA = "github.com/kedacore/keda/v2@v2.21.0"
# Of the prometheus trigger, as KEDA 2.21 documents it: metricName is gone since 2.12.
REQUIRED = {"serverAddress", "query", "threshold"}
OPTIONAL = {
    "activationThreshold",
    "authModes",
    "customHeaders",
    "ignoreNullValues",
    "namespace",
    "queryParameters",
    "timeout",
    "unsafeSsl",
}
KUSTOMIZATION = read(KUBERNETES / "kustomization.yaml")
FILES = [
    file
    for file in sorted(KUBERNETES.rglob("*.yaml"))
    if file.name not in {"kustomization.yaml", "keda.yaml", "prometheus-adapter.yaml"}
]


@pytest.mark.parametrize("kubernetes", ["1.31", "1.37"])
def test_manifests_are_what_kubernetes_reads(kubernetes: str) -> None:
    """Every object conforms, strictly, to the OpenAPI schema of an old and a new Kubernetes."""
    says_yes("kubernetes_validate", "--strict", "-k", kubernetes, *map(str, FILES))


def test_every_manifest_is_listed() -> None:
    """The kustomization has every file beside it; those of autoscaling are a choice, and are not in it."""
    beside = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(KUSTOMIZATION["resources"]) == beside


def sources() -> list[Path]:
    """The files that ConfigMaps are made of."""
    return [
        (KUBERNETES / entry.partition("=")[2] if "=" in entry else KUBERNETES / entry).resolve()
        for one in KUSTOMIZATION["configMapGenerator"]
        for entry in one["files"]
    ]


def test_config_maps_carry_every_rule_and_dashboard() -> None:
    """Both Collector files, all rules and alerts, and all dashboards are made into ConfigMaps, each once."""
    expected = [
        *(CONFIG / name for name in ("agent.yaml", "gateway.yaml")),
        *(ROOT / "prometheus").glob("mlobs-*.yml"),
        *(ROOT / "grafana" / "dashboards").glob("*.json"),
    ]
    assert sorted(sources()) == sorted(expected)


def test_no_config_map_is_too_large() -> None:
    """Kubernetes takes ConfigMaps up to one mebibyte."""
    for one in KUSTOMIZATION["configMapGenerator"]:
        files = [(KUBERNETES / entry.rpartition("=")[2]).stat().st_size for entry in one["files"]]
        assert sum(files) < 1_000_000, one["name"]


def test_kustomize_builds_it(tmp_path: Path) -> None:
    """Built as the README says, every reference to a generated ConfigMap is resolved, and the result conforms."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    command = (DEPLOY / "README.md").read_text("utf-8").partition("kubectl kustomize ")[2].partition(" |")[0].split()
    done = subprocess.run(["kubectl", "kustomize", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    built = tmp_path / "built.yaml"
    built.write_text(done.stdout, encoding="utf-8")
    says_yes("kubernetes_validate", "--strict", "-k", "1.37", str(built))
    objects = list(yaml.safe_load_all(done.stdout))
    made = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in objects if one["kind"] == "ConfigMap"}
    for one in objects:
        for volume in one.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", []):
            if "configMap" in volume:
                assert (one["metadata"]["namespace"], volume["configMap"]["name"]) in made


# ── workloads ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", pods())
def test_a_workload_is_pinned_bounded_probed_and_no_root(name: str) -> None:
    """Each container has a version, requests, a memory limit and three probes, and can gain no right."""
    spec = pods()[name]["spec"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    for container in (*spec.get("initContainers", []), *spec["containers"]):
        assert PINNED.fullmatch(container["image"])
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        context = container["securityContext"]
        assert not context["allowPrivilegeEscalation"]
        assert context["readOnlyRootFilesystem"]
        assert context["capabilities"]["drop"] == ["ALL"]
    for container in spec["containers"]:
        ports = {port["name"] for port in container["ports"]}
        assert {container[f"{kind}Probe"]["httpGet"]["port"] for kind in ("startup", "readiness", "liveness")} <= ports


@pytest.mark.parametrize(
    "service", [one for one in manifests() if one["kind"] == "Service"], ids=lambda one: str(one["metadata"]["name"])
)
def test_a_service_finds_its_pods(service: dict[str, Any]) -> None:
    """Its selector chooses one workload of its namespace, whose container has the ports it names."""
    (template,) = [
        one["spec"]["template"]
        for one in manifests()
        if "template" in one.get("spec", {})
        and one["metadata"]["namespace"] == service["metadata"]["namespace"]
        and service["spec"]["selector"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    ]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["spec"]["ports"]}.items() <= ports.items()


@pytest.mark.parametrize(("name", "file"), [("otel-agent", "agent.yaml"), ("otel-gateway", "gateway.yaml")])
def test_a_collector_gets_what_it_reads(name: str, file: str) -> None:
    """Each variable set is one that the file reads, those without a use of their own are set, and the ports agree."""
    (container,) = pods()[name]["spec"]["containers"]
    there = dict(VARIABLE.findall((CONFIG / file).read_text("utf-8")))
    given = {one["name"] for one in container["env"] if one["name"].startswith("OTELCOL_")}
    assert given <= there.keys()
    assert {variable for variable, default in there.items() if not default} <= given
    assert container["args"] == [f"--config=/etc/otelcol/{file}"]
    ports = {one["name"]: str(one["containerPort"]) for one in container["ports"]}
    assert ports == {
        "otlp-grpc": there["OTELCOL_GRPC_PORT"],
        "otlp-http": there["OTELCOL_HTTP_PORT"],
        "metrics": there["OTELCOL_METRICS_PORT"],
        "health": there["OTELCOL_HEALTH_PORT"],
    }
    assert pods()[name]["metadata"]["annotations"]["prometheus.io/port"] == there["OTELCOL_METRICS_PORT"]
    mounted = {one["name"]: one["mountPath"] for one in container["volumeMounts"]}
    assert there["OTELCOL_QUEUE"].startswith(f"{mounted['queue']}/")


def test_the_agent_finds_the_gateways() -> None:
    """What the agent is told is the gateway's services, one of them headless and the set's own, and it may look them up."""
    (container,) = pods()["otel-agent"]["spec"]["containers"]
    told = {one["name"]: one.get("value") for one in container["env"]}
    host, port = told["OTELCOL_GATEWAY"].split(":")
    name, namespace = host.split(".")
    assert named("Service", name)["metadata"]["namespace"] == namespace
    assert int(port) in {one["port"] for one in named("Service", name)["spec"]["ports"]}
    headless, namespace = told["OTELCOL_GATEWAY_SERVICE"].split(".")
    assert named("Service", headless)["spec"]["clusterIP"] == "None"
    assert named("StatefulSet", "otel-gateway")["spec"]["serviceName"] == headless
    role = named("Role", "otel-agent")
    assert role["metadata"]["namespace"] == namespace
    assert role["rules"] == [
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]}
    ]


def test_queues_fit_their_volume() -> None:
    """The gateway's queues, full, fit the volume that it gets."""
    (container,) = pods()["otel-gateway"]["spec"]["containers"]
    (size,) = [int(one["value"]) for one in container["env"] if one["name"] == "OTELCOL_QUEUE_BYTES"]
    queues = (CONFIG / "gateway.yaml").read_text("utf-8").count("sending_queue:")
    (claim,) = named("StatefulSet", "otel-gateway")["spec"]["volumeClaimTemplates"]
    gibibytes = int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
    assert size * queues < gibibytes * 2**30


def test_the_service_says_who_it_is() -> None:
    """The pod's name makes its instance, and it sends to the agents' service, which stays on the node."""
    (container,) = pods()["quickstart"]["spec"]["containers"]
    given = {one["name"]: one for one in container["env"]}
    known = given["OTEL_RESOURCE_ATTRIBUTES"]["value"]
    attributes = dict(pair.split("=") for pair in known.split(","))
    assert attributes["service.instance.id"] == "$(POD_NAME)"
    used = re.findall(r"\$\((\w+)\)", known)
    order = list(given)
    assert all(order.index(name) < order.index("OTEL_RESOURCE_ATTRIBUTES") for name in used)
    assert all("fieldRef" in given[name]["valueFrom"] for name in used)
    host = re.fullmatch(r"http://([\w-]+)\.observability:4318", given["OTEL_EXPORTER_OTLP_ENDPOINT"]["value"])
    assert host is not None
    assert named("Service", host[1])["spec"]["internalTrafficPolicy"] == "Local"


# ── autoscaling ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_keda_is_asked_as_it_documents() -> None:
    """The trigger has what KEDA requires and nothing it does not know, and lost telemetry never scales in."""
    spec = read(AUTOSCALING / "keda.yaml")["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"].keys() >= REQUIRED
    assert trigger["metadata"].keys() <= REQUIRED | OPTIONAL
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger["metadata"]["ignoreNullValues"] == "false"
    assert trigger["metricType"] == "AverageValue"  # a fallback has no meaning for others
    assert spec["fallback"]["replicas"] >= spec["minReplicaCount"]


def test_keda_reads_it(tmp_path: Path) -> None:
    """The ScaledObject conforms to the definition that KEDA installs, as its Go module carries it."""
    go = build.go()
    if go is None:
        pytest.skip("go is not installed")
    environ = {**os.environ, "GOFLAGS": "-mod=mod", "GO111MODULE": "on"}
    done = subprocess.run(
        [go, "mod", "download", "-json", KEDA], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    bases = Path(json.loads(done.stdout)["Dir"]) / "config" / "crd" / "bases"
    (version,) = read(bases / "keda.sh_scaledobjects.yaml")["spec"]["versions"]
    assert version["name"] == "v1alpha1"
    conforms(strict(version["schema"]["openAPIV3Schema"]), AUTOSCALING / "keda.yaml", tmp_path)
    wrong = read(AUTOSCALING / "keda.yaml")
    wrong["spec"]["minReplicas"] = 2  # HPA's word for it
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong), encoding="utf-8")
    with pytest.raises(AssertionError, match="minReplicas"):
        conforms(strict(version["schema"]["openAPIV3Schema"]), tmp_path / "wrong.yaml", tmp_path)


def strict(schema: Any) -> Any:
    """A schema that refuses fields it does not name, as the API server does when asked to."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: strict(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema and "additionalProperties" not in schema:
        closed["additionalProperties"] = False
    return closed


@pytest.mark.parametrize("file", ["keda.yaml", "hpa.yaml"])
def test_an_autoscaler_scales_the_service(file: str) -> None:
    """It names the quickstart's Deployment, which leaves its replicas to it."""
    scaler = read(AUTOSCALING / file)
    deployment = named("Deployment", scaler["spec"]["scaleTargetRef"]["name"])
    assert scaler["metadata"]["namespace"] == deployment["metadata"]["namespace"]
    assert "replicas" not in deployment["spec"]


def test_the_adapter_gives_what_the_hpa_asks_for() -> None:
    """The pods' metric of the autoscaler is the one that the rule makes, of labels that Prometheus is told to promote."""
    (rule,) = read(AUTOSCALING / "prometheus-adapter.yaml")["rules"]["custom"]
    (metric,) = read(AUTOSCALING / "hpa.yaml")["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    promoted = {
        one.replace(".", "_") for one in read(DEPLOY / "prometheus.yaml")["otlp"]["promote_resource_attributes"]
    }
    assert rule["resources"]["overrides"].keys() <= promoted
