"""Questions to a Prometheus, over its HTTP API."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from typing import Any, Final
from urllib.parse import unquote, urlencode, urlsplit, urlunsplit

from mlobs.errors import MlobsError
from mlobs.otel.proxy import proxy
from mlobs.otel.secrets import shown

_MOST: Final = 64 * 2**20  # bytes of an answer


class PrometheusError(MlobsError):
    """It did not answer, or said no; ``down`` where nothing else will be answered either."""

    def __init__(self, message: str, *, down: bool) -> None:
        super().__init__(message)
        self.down = down


class Prometheus:
    """At a URL, which may have a path, and a user and a password for basic authentication."""

    def __init__(self, url: str, timeout: float = 10.0) -> None:
        parts = urlsplit(url)
        self.shown = shown(url.rstrip("/"))
        self._base = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")).rstrip(
            "/"
        )
        self._headers = {"User-Agent": "mlobs", "Accept": "application/json"}
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        self._timeout = timeout

    def version(self) -> str:
        """Its version. Raises PrometheusError."""
        found = self._ask("status/buildinfo")
        return str(found.get("version", "of no known version")) if isinstance(found, dict) else "of no known version"

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The instant vector of now; one nameless sample of a scalar. Raises PrometheusError."""
        found = self._ask("query", {"query": expr})
        kind, result = found["resultType"], found["result"]
        return [{"metric": {}, "value": result}] if kind in ("scalar", "string") else list(result)

    def groups(self) -> list[dict[str, Any]]:
        """The groups of rules. Raises PrometheusError."""
        return list(self._ask("rules")["groups"])

    def _ask(self, path: str, form: dict[str, str] | None = None) -> Any:  # noqa: ANN401 - JSON
        data = urlencode(form).encode() if form else None
        request = urllib.request.Request(f"{self._base}/api/v1/{path}", data=data, headers=self._headers)  # noqa: S310 - the operator's own
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as response:  # noqa: S310 - as above
                answer = json.loads(response.read(_MOST))
        except urllib.error.HTTPError as error:
            with error:
                raise self._refused(error) from None
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            through = proxy(self._base)
            said = f"{self.shown} does not answer" + (f" through the proxy {through}" if through else "")
            raise PrometheusError(f"{said}: {reason}", down=True) from None
        except Exception as error:  # noqa: BLE001 - http.client's, of what is no HTTP
            raise PrometheusError(f"{self.shown} does not speak HTTP: {type(error).__name__}", down=True) from None
        if not isinstance(answer, dict) or answer.get("status") != "success" or "data" not in answer:
            raise PrometheusError(f"{self.shown} is no Prometheus: its answer is not one", down=True)
        return answer["data"]

    def _refused(self, error: urllib.error.HTTPError) -> PrometheusError:
        try:
            said = str(json.loads(error.read(65536))["error"])
        except (OSError, ValueError, KeyError, TypeError):
            return PrometheusError(f"{self.shown} answered {error.code} {error.reason}", down=True)
        return PrometheusError(f"{error.code} {said}", down=error.code in (401, 403, 503))
