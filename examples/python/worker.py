"""A jetiter worker in Python. Put your own functions into FUNCTIONS and start as many as you like.

    jetiter init --queue texts
    python3 worker.py texts

All workers of a queue must serve the same functions. It may be killed at any moment: what it had in
hand comes to another worker after `assets.ack_wait`.
"""

import asyncio
import json
import os
import re
import sys
import time

import cbor2
import nats
from nats.errors import MaxPayloadError, TimeoutError
from nats.js.errors import APIError

NS = os.environ.get("JETITER_NAMESPACE", "jetiter")
LANES = 10
FUNCTIONS = {"text.len": len, "text.upper": str.upper}


def no_json(constant):
    raise ValueError(f"{constant} is not JSON")


CODECS = {
    "application/json": (
        lambda data: json.loads(data, parse_constant=no_json),
        lambda value: json.dumps(value, allow_nan=False).encode(),
    ),
    "application/cbor": (cbor2.loads, cbor2.dumps),
}


class Fault(Exception):
    """Why an item has no value: one of the protocol's kinds of errors, and words for a person."""


async def work(js, queue, lane):
    """Serves one lane, a message at a time. A queue has ten, and every worker serves all of them."""
    pull = await js.pull_subscribe_bind(f"worker-{queue}-{lane}", stream=f"{NS}-items")
    ack_wait = (await pull.consumer_info()).config.ack_wait
    while True:
        try:
            [message] = await pull.fetch(1, timeout=30)
        except TimeoutError:
            continue
        alive = asyncio.create_task(signs_of_life(message, ack_wait / 3))
        again = await run(js, message)
        alive.cancel()
        # Last of all: whatever dies before this line, the server hands the message out again.
        await (message.nak(delay=1) if again else message.ack())


async def signs_of_life(message, every):
    while True:
        await asyncio.sleep(every)
        await message.in_progress()


async def run(js, message):
    """Runs what a message holds and stores each outcome; true if it shall come again."""
    group, function = message.subject.split(".", 5)[4:]
    headers, again = message.headers or {}, False
    # Nine tokens; the newer form has two more in front of the stream's name and one at the end.
    reply = message.reply.split(".")
    attempt, sequence, _, stored_at = reply[4:8] if len(reply) == 9 else reply[6:10]
    codec = encoding(headers)
    dumps = CODECS.get(codec, CODECS["application/json"])[1]
    for index, argument in items(headers, message.data, f"n{sequence}-{stored_at}"):
        began, status = time.time(), {}
        try:
            value = await call(function, argument, number(headers, "Jetiter-Timeout", 300_000) / 1000)
            payload = written(dumps, value)
        except Fault as fault:
            kind, words = fault.args
            if kind in ("failed", "timed_out") and int(attempt) <= number(headers, "Jetiter-Retries", 0):
                again = True
                continue
            status = {"Jetiter-Status": "error"}
            payload = dumps({"kind": kind, "message": words[:2000]})
        took = int((time.time() - began) * 1_000_000)
        ran = {"Jetiter-Run": f"{attempt} {int(began * 1000)} {took} python-{os.getpid()}"}
        if codec in CODECS and codec != "application/json":
            ran["Content-Type"] = codec
        key = f"$KV.{NS}-cache.item.{group}.{index}"
        if not await put(js, key, payload, {**ran, **status}):
            payload = dumps({"kind": "too_large", "message": f"the value has {len(payload)} bytes"})
            await put(js, key, payload, {**ran, "Jetiter-Status": "error"})
    return again


def items(headers, data, stored):
    """Yields the index and the argument of each item of a message, or what is wrong in its place."""
    index, codec = headers.get("Jetiter-Index"), encoding(headers)
    form = re.fullmatch(r"(0|[1-9]\d{0,9})(?:-([1-9]\d{0,4}))?", index or "")
    first, count = (int(form[1]), int(form[2] or 1)) if form else (0, 1)
    if index and (not form or count > 65_536 or first + count > 2**32 - (form[2] is not None)):
        return [(stored, Fault("bad_header", f"Jetiter-Index is {index!r}"))]
    indexes = range(first, first + count) if form else [stored]
    try:
        if codec not in CODECS:
            raise Fault("bad_header", f"the Content-Type {codec!r} is not known")
        number(headers, "Jetiter-Timeout", 1, least=1)
        number(headers, "Jetiter-Retries", 0)
        argument = CODECS[codec][0](data)
        arguments = argument if form and form[2] else [argument]
        if not isinstance(arguments, list) or len(arguments) != count:
            raise ValueError(f"the payload is no list of {count}")
    except Fault as fault:
        arguments = [fault] * count
    except Exception as error:
        arguments = [Fault("bad_argument", str(error))] * count
    return zip(indexes, arguments)


def encoding(headers):
    """How the payload is written, and how its outcome shall be."""
    return headers.get("Content-Type", "application/json").split(";")[0].strip().lower()


def number(headers, name, default, least=0):
    """A header that holds a number."""
    text = headers.get(name, str(default))
    if not re.fullmatch(r"\d{1,15}", text) or int(text) < least:
        raise Fault("bad_header", f"{name} is {text!r}: use a whole number from {least} on")
    return int(text)


async def call(function, argument, seconds):
    """What the function makes of an argument, within its time. It has a thread, so others go on."""
    if isinstance(argument, Fault):
        raise argument
    if function not in FUNCTIONS:
        raise Fault("unknown_function", f"this worker has no {function}")
    try:
        return await asyncio.wait_for(asyncio.to_thread(FUNCTIONS[function], argument), seconds)
    except asyncio.TimeoutError:
        raise Fault("timed_out", f"it took longer than {seconds} s") from None
    except Exception as error:
        raise Fault("failed", f"{type(error).__name__}: {error}") from None


def written(dumps, value):
    try:
        return dumps(value)
    except Exception as error:
        raise Fault("bad_value", str(error)) from None


async def put(js, key, payload, headers):
    """Writes an outcome once. True when it is there, whoever wrote it; false when it is too large."""
    headers["Nats-Expected-Last-Subject-Sequence"] = "0"
    while True:
        try:
            await js.publish(key, payload, headers=headers)
            return True
        except MaxPayloadError:
            return False
        except APIError as refusal:
            if refusal.err_code in (10071, 10054):  # stored already; too large
                return refusal.err_code == 10071
        except TimeoutError:
            pass
        await asyncio.sleep(0.5)  # not certain: write again


async def main(queue):
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    await asyncio.gather(*(work(nc.jetstream(), queue, lane) for lane in range(LANES)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "default"))
