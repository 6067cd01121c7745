import collections, json, sys

for line in sys.stdin:
    text = json.loads(line)["argument"]
    try:
        answer = {"value": collections.Counter(text.split())}
    except Exception as error:
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
