"""The example worker with functions that misbehave, and a log of what ran.

    odd_worker.py LOG [die]
"""

import asyncio
import os
import signal
import sys
import time

import worker
from nats.aio.msg import Msg

log, die = sys.argv[1], "die" in sys.argv[2:]
tried = set()


def second(argument):
    """Fails the first time."""
    if argument not in tried:
        tried.add(argument)
        raise ValueError("not yet")
    return argument


def sleep(seconds):
    time.sleep(seconds)
    return seconds


def logged(name, function):
    def call(argument):
        with open(log, "a") as file:
            file.write(f"{name} {argument}\n")
        return function(argument)

    return call


async def dies(_message):
    os.kill(os.getpid(), signal.SIGKILL)


worker.FUNCTIONS |= {
    "test.echo_json": lambda value: value,
    "test.echo_cbor": lambda value: value,
    "test.second": second,
    "test.sleep": sleep,
    "test.nan": lambda _: float("nan"),
    "test.large": lambda size: "x" * size,
}
worker.FUNCTIONS = {name: logged(name, function) for name, function in worker.FUNCTIONS.items()}
if die:
    Msg.ack = dies
asyncio.run(worker.main("default"))
