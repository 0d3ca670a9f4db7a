"""A LitAPI for each of LitServe's loops; `python litserve_loops.py PORT by-hand|agent`."""

import asyncio
import sys
from typing import Any

import litserve as ls
from fastapi import HTTPException

import mlobs

if "by-hand" in sys.argv:
    mlobs.instrument("litserve", "starlette")


def answer(row: Any) -> Any:
    if row == "value":
        raise ValueError("theirs")
    if row == "http":
        raise HTTPException(418, "theirs")
    return sum(row)


class Single(ls.LitAPI):
    def setup(self, device: Any) -> None:
        mlobs.register(self, name="single", version="7")

    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    def predict(self, x: Any, context: Any) -> Any:
        context["seen"] = True
        return answer(x)

    def encode_response(self, output: Any, context: Any) -> Any:
        return {"score": output, "seen": context["seen"], "ticket": mlobs.ticket()}


class Batch(ls.LitAPI):
    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    def predict(self, x: Any) -> Any:
        return [answer(row) for row in x]

    def unbatch(self, output: Any) -> Any:
        return list(zip(output, mlobs.tickets(), strict=True))

    def encode_response(self, output: Any) -> Any:
        score, ticket = output
        return {"score": score, "ticket": ticket}


class Numbers(ls.LitAPI):
    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["number"]

    def predict(self, x: Any) -> Any:
        return [2 * one for one in x]

    def encode_response(self, output: Any) -> Any:
        return {"score": output}


class Soon(ls.LitAPI):
    async def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    async def predict(self, x: Any) -> Any:
        await asyncio.sleep(0.01)
        return answer(x)

    async def encode_response(self, output: Any) -> Any:
        return {"score": output}


class Stream(ls.LitAPI):
    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    def predict(self, x: Any) -> Any:
        for one in x:
            yield 2 * one

    def encode_response(self, output: Any) -> Any:
        for one in output:
            yield f"{one} "


class StreamSoon(ls.LitAPI):
    async def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    async def predict(self, x: Any) -> Any:
        for one in x:
            await asyncio.sleep(0)
            yield 2 * one

    async def encode_response(self, output: Any) -> Any:
        async for one in output:
            yield f"{one} "


class StreamBatch(ls.LitAPI):
    def decode_request(self, request: dict[str, Any]) -> Any:
        return request["row"]

    def predict(self, x: Any) -> Any:
        for number in range(2):
            yield [2 * row[number] for row in x]

    def encode_response(self, output: Any) -> Any:
        for batch in output:
            yield [f"{one} " for one in batch]


if __name__ == "__main__":
    apis = [Single(api_path="/single"), Batch(api_path="/batch", max_batch_size=4, batch_timeout=0.3)]
    if "by-hand" in sys.argv:
        apis += [
            Numbers(api_path="/numbers", max_batch_size=4, batch_timeout=0.3),
            Soon(api_path="/soon", enable_async=True),
            Stream(api_path="/stream", stream=True),
            StreamSoon(api_path="/stream-soon", stream=True, enable_async=True),
            StreamBatch(api_path="/stream-batch", stream=True, max_batch_size=4, batch_timeout=0.3),
        ]
    server = ls.LitServer(apis, accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=2, generate_client_file=False)
