"""The shared join store: a Redis server for the processes of a fleet."""

from __future__ import annotations

import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mlobs.errors import ConfigurationError, MissingDependencyError
from mlobs.release.store import Met, Swept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlobs.release.store import Remembered, Told

_PREFIX: Final = b"mlobs:{join}:"  # what stands in braces puts all keys on one node of a cluster
_TIMES: Final = _PREFIX + b"times"
_ENTRY: Final = _PREFIX + b"entry:"
_STEP: Final = 1000  # entries that one sweep forgets: Redis serves nobody else meanwhile
_PATIENCE: Final = 1.0  # seconds that one operation waits for the server; the caller tries again
_MARGIN: Final = 86400.0  # seconds after the time to live at which Redis forgets by itself, should nobody sweep

# An entry is a hash: b body, r truth, t when it was told, k its token, m when its prediction was made, e that it was
# the prediction which found its truth. A sorted set has all of them by time.
_PUT: Final = """
local now, keep, answers = ARGV[1], ARGV[2], {}
for i = 2, #KEYS do
    local at = 3 * (i - 2) + 3
    local member, body, time = ARGV[at], ARGV[at + 1], ARGV[at + 2]
    local e = redis.call('HMGET', KEYS[i], 'b', 'r', 't', 'e')
    local answer = {}
    if not e[1] and not e[2] then
        redis.call('HSET', KEYS[i], 'b', body, 'm', time)
        redis.call('PEXPIRE', KEYS[i], keep)
        redis.call('ZADD', KEYS[1], time, member)
    elseif not e[1] then
        redis.call('HSET', KEYS[i], 'b', body, 'e', '1')
        answer = {e[2], e[3]}
    elseif e[1] ~= body then
        answer = {'duplicate_id'}
    elseif e[4] then
        answer = {e[2], e[3]}
    end
    answers[i - 1] = answer
end
redis.call('PEXPIRE', KEYS[1], keep)
return answers
"""
_TAKE: Final = """
local oldest, keep, answers = tonumber(ARGV[1]), ARGV[2], {}
for i = 2, #KEYS do
    local at = 5 * (i - 2) + 3
    local member, truth, token, told, time = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
    local e = redis.call('HMGET', KEYS[i], 'b', 'k', 'e', 'm')
    local answer = {}
    if not e[1] and not e[2] then
        redis.call('HSET', KEYS[i], 'r', truth, 't', told, 'k', token)
        redis.call('PEXPIRE', KEYS[i], keep)
        redis.call('ZADD', KEYS[1], time, member)
    elseif e[2] and e[2] ~= token then
        answer = {'duplicate', ''}
    elseif e[2] then
        if e[1] and not e[3] then answer = {e[1]} end
    elseif tonumber(e[4]) < oldest then
        answer = {'expired', ''}
    else
        redis.call('HSET', KEYS[i], 'r', truth, 't', told, 'k', token)
        answer = {e[1]}
    end
    answers[i - 1] = answer
end
redis.call('PEXPIRE', KEYS[1], keep)
return answers
"""
_SWEEP: Final = """
local oldest, entries, step, prefix = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local function forget(members)
    local predictions, truths = 0, 0
    for _, member in ipairs(members) do
        local key = prefix .. member
        local e = redis.call('HMGET', key, 'b', 'r')
        if not e[2] then predictions = predictions + 1
        elseif not e[1] then truths = truths + 1 end
        redis.call('DEL', key)
        redis.call('ZREM', KEYS[1], member)
    end
    return predictions, truths, #members
end
local expired, unknown, old = forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. oldest, 'LIMIT', 0, step))
local over, full = 0, 0
if old < step then over = redis.call('ZCARD', KEYS[1]) - entries end
if over > 0 then
    local predictions, truths = forget(redis.call('ZRANGE', KEYS[1], 0, math.min(over, step) - 1))
    full = predictions + truths
end
return {expired, unknown, full, (old == step or over > step) and 1 or 0}
"""


class RedisStore:
    """A `Store` on a Redis server, one script an operation.

    Redis may lose what the embedded store keeps: an entry evicted because its memory is full, what was written since
    the last snapshot or append when it is killed, a failover's last moments. Give it `maxmemory-policy noeviction` and
    the append-only file where truths matter. Entries end by themselves a day after the time to live; if no mlobs was
    there to sweep them until then, nobody counts them. The bound on entries is enforced by sweeps, and is exceeded
    between two of them by what came in. All keys are on one node of a cluster; clusters have not been tried.

    Raises MissingDependencyError where the package `redis` is not installed, ConfigurationError for a URL that is none.
    """

    def __init__(self, url: str, *, ttl: float, entries: int) -> None:
        try:
            # the first connection loads these, when forks no longer wait
            import email.parser  # noqa: F401
            import encodings.idna  # noqa: F401

            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as error:
            raise MissingDependencyError(
                f"a join store on Redis needs the package redis, which cannot be loaded ({error}). "
                "Try: pip install redis"
            ) from error
        try:
            self._client: Any = redis.Redis.from_url(
                url,
                socket_timeout=_PATIENCE,
                socket_connect_timeout=_PATIENCE,
                retry=Retry(NoBackoff(), 1),  # one: the connection was of a server that has been started again
                decode_responses=False,
            )
        except (ValueError, TypeError) as error:  # it may quote the password
            raise ConfigurationError(
                "the join store's address is no URL of a Redis server. "
                "Expected: redis://user:password@host:6379/0, rediss://…, or unix:///path/of/socket?db=0"
            ) from error
        self._put, self._take, self._sweep = (self._client.register_script(text) for text in (_PUT, _TAKE, _SWEEP))
        self._ttl = ttl
        self._keep = max(1, math.ceil((ttl + _MARGIN) * 1000))
        self._entries = entries

    @contextmanager
    def session(self) -> Iterator[RedisStore]:
        """Itself: the client keeps its connections, and opens others in a forked child."""
        yield self

    def put(self, rows: Sequence[Remembered], now: float) -> list[Met | str | None]:
        """As `Session` says."""
        values: list[Any] = [repr(now), self._keep]
        for row in rows:
            values += (row.key, row.body, repr(float(min(row.time, now))))
        answers = self._put(keys=_keys(rows), args=values)
        return [None if not answer else Met(answer[0], float(answer[1])) if len(answer) == 2 else answer[0].decode()
                for answer in answers]  # fmt: skip

    def take(self, rows: Sequence[Told], now: float) -> list[bytes | str | None]:
        """As `Session` says."""
        values: list[Any] = [repr(now - self._ttl), self._keep]
        for row in rows:
            values += (row.key, row.truth, row.token, repr(float(row.time)), repr(float(min(row.time, now))))
        answers = self._take(keys=_keys(rows), args=values)
        return [None if not answer else answer[0] if len(answer) == 1 else answer[0].decode() for answer in answers]

    def sweep(self, now: float) -> Swept:
        """As `Session` says."""
        values = (repr(now - self._ttl), self._entries, _STEP, _ENTRY)
        expired, unknown, full, more = self._sweep(keys=[_TIMES], args=values)
        return Swept(expired, unknown, full, more=bool(more))


def _keys(rows: Sequence[Remembered] | Sequence[Told]) -> list[bytes]:
    return [_TIMES, *(_ENTRY + row.key for row in rows)]
