"""Asks the server 200 times, eight at once; `python client.py PORT`."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx


def ask(number: int) -> Any:
    """One customer."""
    customer = {"age": number / 100 - 1, "calls": 0.5}
    return httpx.post(f"http://127.0.0.1:{sys.argv[1]}/predict", json=customer, timeout=30).raise_for_status().json()


with ThreadPoolExecutor(8) as pool:
    answers = list(pool.map(ask, range(200)))
print(f"{len(answers)} answers, {sum(answer['score'] > 0.5 for answer in answers)} of them expect to lose the customer")
print(f"{len({answer['ticket'] for answer in answers})} tickets")
