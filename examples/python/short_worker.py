"""The shortest worker: JSON items, one function. worker.py beside it does all that the protocol asks."""

import asyncio, json, os, sys
import nats
from nats.js.errors import APIError

NS = os.environ.get("JETITER_NAMESPACE", "jetiter")


async def lane(js, queue, number):
    pull = await js.pull_subscribe_bind(f"worker-{queue}-{number}", stream=f"{NS}-items")
    while True:
        try:
            [message] = await pull.fetch(1, timeout=30)
        except nats.errors.TimeoutError:
            continue
        group, ack = message.subject.split(".")[4], message.reply.split(".")
        sequence, _, stored_at = ack[5:8] if len(ack) == 9 else ack[7:10]
        index = (message.headers or {}).get("Jetiter-Index") or f"n{sequence}-{stored_at}"
        headers = {"Nats-Expected-Last-Subject-Sequence": "0"}
        try:
            outcome = len(json.loads(message.data))
        except Exception as error:
            headers["Jetiter-Status"] = "error"
            outcome = {"kind": "failed", "message": str(error)}
        try:
            key = f"$KV.{NS}-cache.item.{group}.{index}"
            await js.publish(key, json.dumps(outcome).encode(), headers=headers)
        except APIError as error:
            if error.err_code != 10071:  # stored already
                raise  # unacknowledged, the item comes again
        await message.ack()


async def main():
    js = (await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))).jetstream()
    await asyncio.gather(*(lane(js, sys.argv[1], number) for number in range(10)))


asyncio.run(main())
