#!/usr/bin/env python3
"""Writes digits.csv from the copy of the UCI optical digits that the PyPI package scikit-learn carries.

usage: pip install scikit-learn && python3 make_digits.py
"""

import csv
import gzip
import importlib.util
import io
import pathlib
import sys

spec = importlib.util.find_spec("sklearn")
if spec is None or spec.origin is None:
    sys.exit("make_digits.py: scikit-learn is not installed: pip install scikit-learn")

source = pathlib.Path(spec.origin).parent / "datasets" / "data" / "digits.csv.gz"
rows = [[int(cell) for cell in row] for row in csv.reader(io.StringIO(gzip.decompress(source.read_bytes()).decode()))]

if len(rows) != 1797 or any(len(row) != 65 for row in rows):
    sys.exit(f"make_digits.py: {source} is not the table of 1797 rows with 64 pixels and a label")
if any(not 0 <= pixel <= 16 for row in rows for pixel in row[:64]) or any(not 0 <= row[64] <= 9 for row in rows):
    sys.exit(f"make_digits.py: {source} holds a pixel outside 0..16 or a label outside 0..9")

target = pathlib.Path(__file__).with_name("digits.csv")
target.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
print(f"{target}: {len(rows)} rows")
