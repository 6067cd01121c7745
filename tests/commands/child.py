"""A child that does what its argument says, well or badly."""

import json
import os
import signal
import subprocess
import sys
import time


def answer(value):
    print(json.dumps({"value": value}), flush=True)


def note(path, text):
    with open(path, "a") as file:
        file.write(f"{text}\n")


def lines(path):
    with open(path) as file:
        return len(file.readlines())


def do(what, given, asked):
    if what == "echo":
        answer(given)
    elif what == "asked":
        answer(asked)
    elif what == "pid":
        answer(os.getpid())
    elif what == "env":
        answer(os.environ.get(given))
    elif what == "nap":
        time.sleep(given)
        answer(given)
    elif what == "cwd":
        answer(os.getcwd())
    elif what == "fail":
        print(json.dumps({"error": given}), flush=True)
    elif what == "fail_times":
        if asked["attempt"] > given:
            answer(asked["attempt"])
        else:
            print(json.dumps({"error": f"attempt {asked['attempt']}"}), flush=True)
    elif what == "crash":
        sys.exit(given)
    elif what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif what == "last":
        # Answers and is gone before the next line.
        answer(given)
        sys.exit(0)
    elif what == "write":
        # In one go, so that whoever reads the first byte has them all.
        sys.stdout.write(given)
        sys.stdout.flush()
        time.sleep(0 if "\n" in given else 1000)
    elif what == "later":
        answer(1)
        answer("nobody asked")
        note(given, "written")
    elif what == "say":
        print(given, file=sys.stderr, flush=True)
        answer(given)
    elif what == "hang":
        # With a child of its own, which must not stay either.
        own = subprocess.Popen(["sleep", "1000"])
        note(given, os.getpid())
        note(given, own.pid)
        time.sleep(1000)
    elif what == "meet":
        path, count = given
        note(path, os.getpid())
        while lines(path) < count:
            time.sleep(0.01)
        answer(os.getpid())
    else:
        raise ValueError(what)


for line in sys.stdin:
    asked = json.loads(line)
    try:
        do(*asked["argument"], asked)
    except ValueError as error:
        print("before the end", file=sys.stderr)
        print(f"the end: {error}", file=sys.stderr, flush=True)
        sys.exit(3)
if "STAY" in os.environ:
    note(os.environ["STAY"], "told")
    time.sleep(1000)
