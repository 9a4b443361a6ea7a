"""Texts of up to 1 MiB that are hard on Python's compiler."""

MIB = 1 << 20

SLOW = 'f"' + "{a}" * ((MIB - 3) // 3) + '"'
"""One f-string of 349,000 fields: the parser's time grows with their square. Minutes, on any Python so far."""

HOSTILE = {
    "parentheses": "(" * MIB,
    "brackets": ("[" * 90 + "]" * 90 + "\n") * 5000,
    "chained operators": "1" + "+1" * 100_000,
    "long chain": "1" + "+1" * 500_000,
    "comparisons": "a" + "<a" * 500_000,
    "signs": "-" * (MIB - 1) + "1",
    "calls": "f" + "()" * 500_000,
    "attributes": "a" + ".a" * 500_000,
    "elif": "if a: 0\n" + "elif a: 0\n" * 100_000,
    "huge integer": "x = " + "1" * (MIB - 4),
    "huge hexadecimal default": "def f(x=0x" + "f" * (MIB - 100) + "): pass",
    "huge string": "x = '" + "s" * (MIB - 100) + "'",
    "huge name": "def f(" + "n" * (MIB - 100) + "): pass",
    "f-strings within": "f'{" * 3000,
    "open string": "'''" + "a\n" * 500_000,
    "many statements": "a = 1\n" * 170_000,
    "long list": "x = [" + "1," * 500_000 + "]",
    "many functions": "def f(): 0\n" * 90_000,
    "warnings": "1 is 1\n" * 140_000,
    "blank": "\n" * MIB,
    "returns only": "a = 1\r" * 100_000 + "b = = 1",
    "lines of nothing": "\\\n" * 500_000,
    "deep dictionary": "{1:" * 90 + "1" + "}" * 90,
    "nulls": "a\0" * 500_000,
    "wide": "é" * ((MIB - 100) // 2),
}
