"""Sends values in one encoding, asks for the list in the other, and compares.

    encodings.py GROUP FUNCTION ENCODING < rows

ENCODING is the arguments': `json` or `cbor`; the list comes in the other. A row is `<argument> -> <value>`,
each as JSON writes it or, in CBOR, as Python does. Each line printed is
[row, kind of error or null, what came, what should have come].
"""

import asyncio
import json
import math
import os
import sys

import cbor2
import client
import nats

TYPES = {"json": "application/json", "cbor": "application/cbor"}
KNOWN = {"nan": math.nan, "inf": math.inf, "tag": cbor2.CBORTag, "undefined": cbor2.undefined}


def value_of(encoding, text):
    return json.loads(text) if encoding == "json" else eval(text, KNOWN)


def bytes_of(encoding, text):
    return text.encode() if encoding == "json" else cbor2.dumps(eval(text, KNOWN))


async def whole(js, name, encoding):
    data = (await (await js.object_store(f"{client.NS}-results")).get(name)).data
    return json.loads(data) if encoding == "json" else cbor2.loads(data)


async def run(group, function, encoding, rows):
    other = "cbor" if encoding == "json" else "json"
    nc = await nats.connect(os.environ["NATS_URL"])
    js = nc.jetstream()
    for index, (argument, _) in enumerate(rows):
        headers = {"Jetiter-Index": str(index), "Content-Type": TYPES[encoding]}
        subject = f"{client.NS}.item.default.{group}.{function}"
        await client.store(js, subject, bytes_of(encoding, argument), headers)
    seal = {"Content-Type": TYPES[other]}
    await client.store(js, f"{client.NS}.seal.{group}", str(len(rows)).encode(), seal)
    async for _ in client.follow(nc, js, group):
        pass
    while await client.summary(js, f"{group}.records") is None:
        await asyncio.sleep(0.05)
    values, records = await whole(js, group, other), await whole(js, f"{group}.records", other)
    for value, record in zip(values, records):
        argument, wanted = rows[record["index"]]
        kind = record.get("error", {}).get("kind")
        wanted = wanted if kind else repr(value_of(other, wanted))
        print(json.dumps([argument, kind, kind or repr(value), wanted]))
    await nc.close()


rows = [tuple(line.rstrip("\n").split(" -> ")) for line in sys.stdin]
asyncio.run(run(*sys.argv[1:], rows))
