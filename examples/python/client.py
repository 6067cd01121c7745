"""A jetiter client in Python: nats-py and docs/protocol.md, nothing else.

    python3 client.py submit GROUP FUNCTION ARGUMENT...   arguments are JSON
    python3 client.py follow GROUP                        how far it is, until it is done
    python3 client.py stream GROUP                        each outcome as soon as it is there
    python3 client.py read GROUP                          the list with its records

NATS_URL and JETITER_NAMESPACE say where. Everything is printed as one JSON value a line.
"""

import asyncio
import base64
import json
import os
import sys
import uuid

import nats
from nats.errors import TimeoutError
from nats.js.errors import NotFoundError

NS = os.environ.get("JETITER_NAMESPACE", "jetiter")
LOOK_AGAIN = 5  # seconds: events can be lost, so whoever waits looks now and then
IN_FLIGHT = 256  # items published and not yet acknowledged


async def store(js, subject, payload, headers):
    """Publishes until the server says that it is stored. Its message id makes a second try harmless."""
    while True:
        try:
            return await js.publish(subject, payload, headers=headers)
        except TimeoutError:
            continue


async def submit(js, group, function, arguments, queue="default"):
    """Publishes the items, and after the last acknowledgement the seal: it says how many there are."""
    run = uuid.uuid4().hex
    subject = f"{NS}.item.{queue}.{group}.{function}"
    free = asyncio.Semaphore(IN_FLIGHT)

    async def item(index, argument):
        headers = {"Jetiter-Index": str(index), "Nats-Msg-Id": f"{run}.{index}"}
        async with free:
            await store(js, subject, json.dumps(argument).encode(), headers)

    await asyncio.gather(*(item(index, argument) for index, argument in enumerate(arguments)))
    headers = {"Jetiter-Function": function, "Nats-Msg-Id": f"{run}.seal"}
    await store(js, f"{NS}.seal.{group}", str(len(arguments)).encode(), headers)


async def summary(js, name):
    """What is said of a group's result, or of its records; None while there is none."""
    # Read as the message that it is: nats-py leaves out the metadata of an object.
    token = base64.urlsafe_b64encode(name.encode()).decode()
    try:
        message = await js.get_last_msg(f"OBJ_{NS}-results", f"$O.{NS}-results.M.{token}")
    except NotFoundError:
        return None
    info = json.loads(message.data)
    return None if info.get("deleted") else info["metadata"]


async def follow(nc, js, group):
    """Yields each event's kind and content, until the group is done."""
    events = await nc.subscribe(f"{NS}.event.{group}.*")
    await nc.flush()  # subscribed before the first look: nothing falls between the two
    while (found := await summary(js, group)) is None:
        try:
            while True:
                event = await events.next_msg(timeout=LOOK_AGAIN)
                kind = event.subject.rsplit(".", 1)[1]
                if kind == "done":
                    break
                yield kind, json.loads(event.data)
        except TimeoutError:
            pass
    await events.unsubscribe()
    yield "done", found


async def stream(nc, js, group):
    """Yields (index, value, error) of each item as soon as it has an outcome, each once.

    The keys of the cache tell them while the group lives. When it is done its keys are removed, also
    those that have not come here yet: these are read from the list. So none is missed and none comes
    twice, whenever one begins to look.
    """
    news = asyncio.Queue()
    await nc.subscribe(f"{NS}.event.{group}.done", cb=news.put)
    # Not `kv.watch`: it hides the headers, which say whether this is a value or an error.
    keys = f"$KV.{NS}-cache.item.{group}.>"
    await js.subscribe(keys, stream=f"KV_{NS}-cache", ordered_consumer=True, cb=news.put)
    seen = set()
    while await summary(js, group) is None:
        try:
            while (message := await asyncio.wait_for(news.get(), LOOK_AGAIN)).subject.startswith("$KV."):
                for index, value, error in outcomes(message):
                    if index not in seen:
                        seen.add(index)
                        yield index, value, error
        except asyncio.TimeoutError:
            pass
    for value, record in await read(js, group):
        if record["index"] not in seen:
            yield record["index"], value, record.get("error")


def outcomes(message):
    """The outcomes in one entry of the cache: one, or those of several neighbours."""
    body = json.loads(message.data)
    failed = (message.headers or {}).get("Jetiter-Status") == "error"
    key = message.subject.rsplit(".", 1)[1]
    if key.startswith("n"):  # an item that was published without an index
        return [(key, None, body) if failed else (key, body, None)]
    if "-" not in key:
        return [(int(key), None, body) if failed else (int(key), body, None)]
    first = int(key.split("-")[0])
    errors = dict(body.get("errors", []))
    return [(first + at, value, errors.get(at)) for at, value in enumerate(body["values"])]


async def read(js, group):
    """The list in completion order, each value with its record; None for the value of a failed item."""
    found = await summary(js, group)
    if found is None:
        sys.exit(f"there is no result of {group}")
    # The records are there a moment after the list; those of an earlier group of this name are not ours.
    for _ in range(300):
        records = await summary(js, f"{group}.records")
        if records is not None and records["records"] == found["records"]:
            break
        await asyncio.sleep(0.1)
    else:
        sys.exit(f"the records of {group} do not come")
    results = await js.object_store(f"{NS}-results")
    values = json.loads((await results.get(group)).data)
    records = json.loads((await results.get(f"{group}.records")).data)
    return list(zip(values, records))  # behind the list's records stand those of items out of range


def show(**what):
    print(json.dumps(what), flush=True)


async def main(command, group, *rest):
    nc = await nats.connect(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
    js = nc.jetstream()
    if command == "submit":
        function, *arguments = rest
        await submit(js, group, function, [json.loads(argument) for argument in arguments])
    elif command == "follow":
        async for kind, content in follow(nc, js, group):
            show(event=kind, content=content)
    elif command == "stream":
        async for index, value, error in stream(nc, js, group):
            show(index=index, value=value, error=error)
    elif command == "read":
        for value, record in await read(js, group):
            show(value=value, record=record)
    else:
        sys.exit(f"{command} is no command: use submit, follow, stream or read")
    await nc.close()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    asyncio.run(main(*sys.argv[1:]))
