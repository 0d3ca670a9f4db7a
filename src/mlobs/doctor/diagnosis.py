"""Why an export failed, and what to do about it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from mlobs.doctor.reach import reach, words
from mlobs.doctor.setup import GRPC
from mlobs.otel.proxy import CURE
from mlobs.otel.secrets import shown

if TYPE_CHECKING:
    from mlobs.doctor.canary import Sent
    from mlobs.doctor.reach import Reach
    from mlobs.doctor.setup import Setup, Way
    from mlobs.otel.answer import Answer

_STATUS: Final = re.compile(r" answered (\d{3}) ?([^.]*)")  # as mlobs.otel.http says it
_CODE: Final = re.compile(r" answered ([A-Z_]{2,}) \((.*)\)\. ")  # as mlobs.otel.grpc says it
_UNREACHED: Final = re.compile(r" cannot be reached \((.*)\)\. Start an OTLP")
_WORDS: Final = 200
_LOOK: Final = 2.0  # seconds for each closer look
_OTLP_GRPC: Final = "an OTLP/gRPC receiver, port 4317 by custom"
_OTLP_HTTP: Final = "an OTLP/HTTP receiver, port 4318 by custom"

_CURES: Final = {
    200: "Something in between answers for it, a proxy or a network's page to log in: look at the endpoint from here.",
    408: "Something in front of it gave up waiting: look at proxies, or raise their timeouts.",
    411: "A proxy in front of it wants a length; let it pass POST requests as they are.",
    413: "It takes only smaller requests: raise its limit (the Collector's max_request_body_size, nginx' "
    "client_max_body_size), or set OTEL_EXPORTER_OTLP_COMPRESSION=gzip.",
    415: "It does not take protobuf, or nothing compressed: unset OTEL_EXPORTER_OTLP_COMPRESSION, or send to a Collector.",
    429: "It has had too much: lengthen OTEL_METRIC_EXPORT_INTERVAL, or raise the tenant's limit there. Nothing is lost, "
    "counts are sent later.",
    502: "A proxy found nothing behind it: start the receiver, or correct the proxy's address for it.",
    503: "It is not ready, or protects its memory (memory_limiter): look at its log and its queue. Counts are sent later.",
    504: "A proxy waited for what is behind it in vain: look at that one's log.",
}


class Diagnosis(NamedTuple):
    """One line of what is wrong, and the cure."""

    said: str
    cure: str


def diagnose(setup: Setup, way: Way, sent: Sent, timeout: float) -> Diagnosis:
    """What comes of an answer that was not delivered, and of what the exporter said beside it.

    ``timeout`` is for each closer look, in seconds.
    """
    look, answer = min(timeout, _LOOK), sent.answer
    if answer.rejected:
        return Diagnosis(
            f"{shown(way.url)} took the request and refused what was in it: {answer.problem}",
            "What it says is its own configuration's: look there.",
        )
    if way.protocol == GRPC:
        return _grpc(way, answer, look)
    status = _STATUS.search(answer.problem)
    if status:
        headers = {"Content-Type": "application/x-protobuf", **dict(way.endpoint.headers)}
        quoted = words(way.endpoint, sent.body, headers, look)
        said = f"{shown(way.url)} answered {status[1]} {status[2].strip()}" + (f": {quoted}" if quoted else "")
        return Diagnosis(said, _cure(setup, way, int(status[1]), quoted) + _or_the_proxy(way))
    unreached = _UNREACHED.search(answer.problem)
    return _unreached(way, unreached[1], look) if unreached else _itself(answer)


def _unreached(way: Way, reason: str, look: float) -> Diagnosis:
    """Over HTTP, why there was no answer."""
    found = reach(way.endpoint, look)
    known = _reached(way, found)
    if known is not None:
        return known
    if found.stage == "http":
        return Diagnosis(
            f"{shown(way.url)} speaks HTTP, and did not answer the export: {reason}",
            f"Look at what listens there; it may be slow ({way.endpoint.variable('TIMEOUT')} is {way.endpoint.timeout:g} s), "
            "or close connections half way.",
        )
    return Diagnosis(f"{shown(way.url)} cannot be reached: {reason}", f"Start {_OTLP_HTTP}, there.")


def _in_force(way: Way, cure: str) -> str:
    """A cure by the variables that are in force: a signal's own wins over the general one, which would change nothing."""
    for piece, name in way.endpoint.named:
        cure = cure.replace(f"OTEL_EXPORTER_OTLP_{piece}", name)
    return cure


def _or_the_proxy(way: Way) -> str:
    """Whose answer it may be, too."""
    return f" Or it is the answer of the proxy {way.proxy}: {CURE[0].lower()}{CURE[1:]}." if way.proxy else ""


def _itself(answer: Answer) -> Diagnosis:
    """What was wrong before anything was sent: an endpoint or a file, which the answer names with the cure."""
    said, _, cure = answer.problem.rpartition(". ")
    return Diagnosis(said, cure)


# ── how far one got ─────────────────────────────────────────────────────────────────────────────────────────────────


def _reached(way: Way, found: Reach) -> Diagnosis | None:
    """Where what is spoken there is not the reason: None."""
    host = way.url.partition("//")[2].partition("/")[0] or way.url
    start = _OTLP_GRPC if way.protocol == GRPC else _OTLP_HTTP
    table = {
        "name": (
            f"the name in {shown(way.url)} is not known here: {found.detail}",
            "Correct the host in OTEL_EXPORTER_OTLP_ENDPOINT; in a container `localhost` is the container itself.",
        ),
        "refused": (
            f"nothing listens at {host}: connection refused",
            f"Start {start}, or set OTEL_EXPORTER_OTLP_ENDPOINT to where it listens.",
        ),
        "unanswered": (
            f"{host} does not answer: {found.detail}",
            "Look at firewalls, network policies and the address; nothing there says no, and nothing says yes.",
        ),
        "untrusted": (
            f"the certificate of {host} is not trusted: {found.detail}",
            "Set OTEL_EXPORTER_OTLP_CERTIFICATE to the file of its authority; its names have to include the host's.",
        ),
        "plain": (
            f"{host} does not speak TLS",
            "Write http:// instead of https://, or turn TLS on there.",
        ),
        "tls": (
            f"{host} wants TLS, or a client certificate: {found.detail}",
            "Write https://; where it asks for a certificate, set OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and ..._CLIENT_KEY.",
        ),
        "closed": (
            f"{host} takes connections and closes them without an answer: {found.detail}",
            f"What listens there is not {start}; or a proxy in between has nothing behind it.",
        ),
        "silent": (
            f"{host} takes connections and says nothing: {found.detail}",
            "What listens there is stuck, overloaded or something else. Look at its log; restart it.",
        ),
    }
    if found.stage in table:
        said, cure = table[found.stage]
        return Diagnosis(said, _in_force(way, cure))
    if found.stage == "grpc" and way.protocol != GRPC:
        return Diagnosis(
            f"{host} speaks gRPC, and OTLP over HTTP was sent",
            f"Set {way.endpoint.variable('PROTOCOL')}=grpc, or the endpoint to the port for HTTP, 4318 by custom.",
        )
    if found.stage == "http" and way.protocol == GRPC:
        return Diagnosis(
            f"{host} speaks HTTP, and OTLP over gRPC was sent",
            f"Set {way.endpoint.variable('PROTOCOL')}=http/protobuf, or the endpoint to the port for gRPC, 4317 by custom.",
        )
    return None


# ── what HTTP answers ───────────────────────────────────────────────────────────────────────────────────────────────


def _cure(setup: Setup, way: Way, status: int, quoted: str) -> str:
    if "HTTPS server" in quoted or status == 497:
        return "It wants TLS: write https:// in the endpoint."
    if status in (401, 403):
        return _credentials(way, known=status == 403)
    if status in (404, 405):
        return _path(way, quoted)
    if setup.temporality == "delta" and (status == 400 or "temporality" in quoted):
        return (
            "Prometheus takes no deltas: unset OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE, or send to a Collector "
            "with delta_to_cumulative."
        )
    if 300 <= status < 400:
        return f"mlobs follows no redirect: set {way.endpoint.variable('ENDPOINT')} to where it leads."
    inside = "It failed inside: look at its log. Counts are kept and sent later."
    cure = _CURES.get(status, inside if status >= 500 else f"What it says is its reason; is it {_OTLP_HTTP}?")
    return _in_force(way, cure)


def _credentials(way: Way, *, known: bool) -> str:
    keys, variable = ", ".join(key for key, _ in way.endpoint.headers), way.endpoint.variable("HEADERS")
    if not keys:
        return f"It wants credentials, and none are sent: {variable}=authorization=Bearer%20..."
    if known:
        return f"The credentials sent ({keys}) may not write there: ask for the right, or set others."
    return f"It does not accept the credentials sent ({keys}): check their value in {variable}, percent-encoded."


def _path(way: Way, quoted: str) -> str:
    path = urlsplit(way.url).path
    tail = f"/v1/{way.signal}"
    own, variable = f"OTEL_EXPORTER_OTLP_{way.signal.upper()}_ENDPOINT", way.endpoint.variable("ENDPOINT")
    if "otlp" in quoted.lower() and "enable" in quoted.lower():
        return "Start Prometheus with --web.enable-otlp-receiver."
    if path.endswith(tail * 2):
        used = "is used as it is" if variable == own else f"is the base, and {tail} is appended"
        return f"{tail} stands there twice: {variable} {used}."
    if not path.endswith(tail):
        return f"{own} is used as it is: write {tail} at its end, or use OTEL_EXPORTER_OTLP_ENDPOINT."
    if way.signal == "traces":
        return (
            "It takes no spans. Send them elsewhere with OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, or set "
            "OTEL_TRACES_EXPORTER=none."
        )
    there = "/api/v1/otlp" + (tail if variable == own else "")
    return f"Point {variable} at {_OTLP_HTTP}; of Prometheus 3 it is ...:9090{there}, with --web.enable-otlp-receiver."


# ── what gRPC answers ───────────────────────────────────────────────────────────────────────────────────────────────


def _grpc(way: Way, answer: Answer, look: float) -> Diagnosis:
    found = _CODE.search(answer.problem)
    if found is None:
        return _itself(answer)
    code, details = found[1], found[2]
    if code == "UNAVAILABLE" and way.proxy:
        said = f"{shown(way.url)} cannot be called through the proxy {way.proxy}: {details[:_WORDS]}"
        return Diagnosis(said, f"{CURE}.")
    if code in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNKNOWN", "INTERNAL"):
        known = _reached(way, reach(way.endpoint, look, 4317))
        if known is not None:
            return known
    cures = {
        "UNAUTHENTICATED": _credentials(way, known=False),
        "PERMISSION_DENIED": _credentials(way, known=True),
        "UNIMPLEMENTED": f"It is a gRPC server that takes no OTLP {way.signal}: correct the endpoint, or OTEL_{way.signal.upper()}_EXPORTER=none.",
        "RESOURCE_EXHAUSTED": "It has had too much, or the message is larger than it takes: raise its limit (max_recv_msg_size_mib).",
        "DEADLINE_EXCEEDED": "It is slow: look at its log and its queue, or raise OTEL_EXPORTER_OTLP_TIMEOUT.",
        "UNAVAILABLE": "It is not ready, or protects its memory: look at its log. Counts are kept and sent later.",
        "INVALID_ARGUMENT": "It refuses what was sent; deltas, where it takes none?",
    }  # fmt: skip
    if code == "UNAVAILABLE" and "connect" in details:
        cures[code] = f"Start {_OTLP_GRPC}, there, or look at its log."
    quoted = f": {details[:_WORDS]}" if details else ""
    return Diagnosis(
        f"{shown(way.url)} answered {code} (gRPC){quoted}",
        _in_force(way, cures.get(code, "Look at what listens there, and its log.")),
    )
