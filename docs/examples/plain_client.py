"""Join a session without a CRDT, print its text, append a line, and print every change.

pip install websockets
python plain_client.py ws://127.0.0.1:8000/ws/sessions/ID ACCESS_TOKEN "print('hello')" [SECONDS]
"""

import asyncio
import json
import sys
import uuid

from websockets.asyncio.client import connect


def apply(text: str, delta: list[dict]) -> str:
    """Return the text after a delta; positions count code points, as in Python."""
    parts, at = [], 0
    for operation in delta:
        if "insert" in operation:
            parts.append(operation["insert"])
            continue
        length = operation.get("retain") or operation["delete"]
        if "retain" in operation:
            parts.append(text[at : at + length])
        at += length
    return "".join(parts) + text[at:]


async def main(url: str, token: str, line: str, seconds: float = 3600) -> None:
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=headers, subprotocols=["codecrafter.json.v1"]) as socket:
        await socket.send(json.dumps({"type": "join-session", "unit": "code_points"}))
        text, version, mine = "", 0, None
        async with asyncio.timeout(seconds):
            async for frame in socket:
                message = json.loads(frame)
                kind = message["type"]
                if kind == "state" or message.get("code") == "version_passed":
                    text, version = message["content"], message["version"]
                    print(f"--- version {version}\n{text}", flush=True)
                    if mine is None or message.get("ref") == mine:
                        mine = str(uuid.uuid4())
                        delta = [{"retain": len(text)}, {"insert": line + "\n"}]
                        change = {"type": "code-change", "delta": delta, "version": version, "ref": mine}
                        await socket.send(json.dumps(change))
                elif kind == "code-change" and message["version"] == version + 1:
                    text, version = apply(text, message["delta"]), message["version"]
                    who = (message["user"] or {}).get("username", "somebody")
                    print(f"--- {who} made version {version}\n{text}", flush=True)
                elif kind == "ack":
                    print(f"--- saved: version {message['version']} is row {message['seq']} of the log", flush=True)
                elif kind in ("refused", "error"):
                    print(f"--- {message['code']}: {message['detail']}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], *map(float, sys.argv[4:5])))
