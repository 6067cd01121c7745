"""Prints python.tsv, what Python's own math answers: python3 python_table.py > python.tsv

Needs Python 3.11 or later. Leaves out what Python has no word for: fma and sumprod before 3.13.
"""

import json
import math

ONE = [0, 0.5, -0.5, 1, -1, 1.5, 2, -2.5, 3, 10, 100.25, 170.5, -170.5, 1000, 1e-300, -1e10, 1e300]
FLOAT = "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh"
FLOAT += " asinh acosh atanh fabs degrees radians erf erfc gamma lgamma ulp modf frexp"
WHOLE = "floor ceil trunc"
TWO = "atan2 copysign fmod remainder pow hypot nextafter log isclose"
PAIRS = [(1, -1), (-7.5, 2), (7, 0), (0, -1), (2, 0.5), (-8, 1 / 3), (1e300, 1e10), (8, 2), (0, 0)]
INTEGERS = {
    "gcd": [(), (12,), (12, -18), (2**100, 6**40), (0, 0), (2**127 - 1, 2**61 - 1)],
    "lcm": [(), (4, 6), (-4, 10), (0, 3), (2**70, 2**90), (3, 5, 7, 11, 13)],
    "factorial": [(0,), (1,), (20,), (33,), (34,), (-1,)],
    "isqrt": [(0,), (15,), (16,), (10**30,), (2**127 - 1,), (-4,)],
    "comb": [(5, 2), (5, 7), (52, 26), (130, 60), (10**12, 3), (10**30, 1), (-1, 2), (10**9, 0)],
    "perm": [(5,), (5, 2), (5, 7), (30, 10), (10**12, 3), (3, -1), (10**30, 0)],
}
ROUND = [0.5, 1.5, 2.5, -0.5, -1.5, 2.675, 1234.5, 0.125, 1e22, 7, 25, -35, 9.999999999999999e22]
DIGITS = [0, 1, 2, 3, 20, 400, -1, -2, -3, -22, -23, -24]
LISTS = [[], [0.1] * 10, [1e16, 1.0, -1e16], [1, 2, 3], [1, 2.5, -3], [1e308, 1.0, -1e308], [1e16, 1.0, 1e-16], [2**53, 1.0, 1e-9]]


def row(name, function, *arguments, bare=None):
    try:
        answer = json.dumps(function(*arguments))
        if "Infinity" in answer or "NaN" in answer:
            return
    except (ValueError, ZeroDivisionError):
        answer = f"failed: math domain error: {name}("
    except OverflowError:
        answer = f"failed: math range error: {name}("
    argument = bare if bare is not None else list(arguments)
    print(name, json.dumps(argument), answer, sep="\t")


for name in FLOAT.split():
    for x in ONE:
        row(name, getattr(math, name), x, bare=x)
for name in WHOLE.split():
    for x in [-2.5, -0.5, 0, 0.5, 2.5, 1e20, -1e20, 7]:
        row(name, getattr(math, name), x, bare=x)
for name in TWO.split():
    for pair in PAIRS:
        row(name, getattr(math, name), *pair)
for name, rows in INTEGERS.items():
    for integers in rows:
        row(name, getattr(math, name), *integers)
for x in ROUND:
    row("round", round, x, bare=x)
    for digits in DIGITS:
        row("round", round, x, digits)
for x, power in [(0.75, 3), (1, -1074), (1, -1080), (3, 1023), (-1, 4000), (0, 10**30), (1.5, -(10**30))]:
    row("ldexp", math.ldexp, x, power)
for numbers in LISTS:
    row("fsum", math.fsum, numbers, bare=numbers)
    row("prod", math.prod, numbers, bare=numbers)
    row("hypot", math.hypot, *numbers)
    row("dist", math.dist, numbers, numbers[::-1])
