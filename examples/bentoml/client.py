"""Asks the service 200 times for two customers, eight at once; `python client.py PORT`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import httpx


def ask(number: int) -> tuple[list[float], list[str]]:
    """Two customers: their scores, and their tickets."""
    rows = [[number / 100 - 1, 0.5], [number / 100 - 1, -0.5]]
    url = f"http://127.0.0.1:{sys.argv[1]}/predict"
    answer = httpx.post(url, json={"rows": rows}, timeout=30).raise_for_status()
    return answer.json(), answer.headers["mlobs-ticket"].split(",")


with ThreadPoolExecutor(8) as pool:
    answers = list(pool.map(ask, range(200)))
scores = [score for found, _ in answers for score in found]
print(f"{len(scores)} answers, {sum(score > 0.5 for score in scores)} of them expect to lose the customer")
print(f"{len({ticket for _, tickets in answers for ticket in tickets})} tickets")
