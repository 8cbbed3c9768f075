"""Writes the seeds of the fuzzers into corpus/ beside this file: for fuzz_npy what numpy writes and headers bent by hand, for
fuzz_bags bags of several shapes, for fuzz_sets lists of candidates, for fuzz_uai and fuzz_fg small models and damaged ones.

Names starting with "found_" are inputs that a fuzzer found once; they are kept, not made here.
Run: python3 make_corpus.py (needs numpy).
"""
import io
import pathlib
import random

import numpy as np

TYPES = ["|b1", "|i1", "<i2", ">i4", "<i8", "|u1", ">u2", "<u4", ">u8", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
REST = "'fortran_order': False, 'shape': (2, 2)}"


def saved(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def bent(text, data=bytes(range(32)), version=1, length=None):
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + size.to_bytes(2 if version == 1 else 4, "little") + text.encode() + data


def seeds():
    for number, descr in enumerate(TYPES):
        array = np.arange(6).reshape(3, 2).astype(descr)
        order = "CF"[number % 2]
        name = descr.replace("<", "little_").replace(">", "big_").replace("|", "")
        yield f"{name}_{order}", saved(np.asarray(array, order=order), (1 + number % 3, 0))
    yield "vector", saved(np.arange(5, dtype="<i4"))
    yield "scalar", saved(np.array(3.5))
    yield "empty_array", saved(np.zeros((0, 4)))
    yield "wide_fortran", saved(np.asfortranarray(np.arange(120, dtype="u1").reshape(3, 40)))
    yield "no_columns", saved(np.zeros((4, 0), "f4"))
    yield "not_whole", saved(np.array([1, 2.5, np.nan, np.inf]))
    yield "above_int64", saved(np.array([2**63], "u8"))
    yield "strings", saved(np.array(["cat", "dog"]))
    yield "complex", saved(np.array([1j]))
    yield "structured", saved(np.zeros(2, [("x", "f4"), ("y", "i4")]))
    yield "objects", saved(np.array([None, 1], object))
    yield "three_dimensions", saved(np.zeros((2, 1, 2), "u1"))
    yield "truncated", saved(np.zeros((3, 3)))[:-1]
    yield "trailing", saved(np.zeros(2, "u1")) + b"more"
    yield "other_quotes_and_order", bent('{"shape":(2L,2,),"fortran_order":True,"descr":"=f4"}\n')
    yield "gigantic_header", bent("{'descr': '<f4'}", version=2, length=2**32 - 1)
    yield "header_past_the_end", bent("{'descr': '<f4'}", length=65535)
    yield "negative_size", bent("{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 2)}")
    yield "overflowing_size", bent("{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}")
    yield "overflowing_product", bent("{'descr': '<f4', 'fortran_order': True, 'shape': (4294967296, 4294967296)}")
    yield "repeated_key", bent("{'descr': '<f4', 'descr': '<f4', " + REST)
    yield "unclosed", bent("{'descr': '<f4', " + REST[:-2])
    yield "escape", bent("{'descr': '\\x3cf4', " + REST)
    yield "bfloat16", bent("{'descr': '<V2', " + REST)
    yield "version_4", bent("{'descr': '<f4', " + REST, version=4)
    yield "npz", b"PK\x03\x04\x14\x00\x00\x00\x00\x00array.npy"
    yield "text", b"0.25,0.75\n0.5,0.5\n"
    yield "magic_only", b"\x93NUMPY"
    yield "nothing", b""


def bags(classes, items, adds_up, integers, rest):
    """The bytes in the order in which fuzz_bags reads them; two more for the size of the workspace."""
    count = (len(integers) - 1) // (3 + classes)
    return bytes([classes - 1, items, count, adds_up, *integers, 255, 255, *rest])


def bag_seeds():
    numbers = random.Random(1)
    shapes = {"two_bags": (3, 12, 2), "one_long_bag": (2, 23, 1), "no_items": (2, 0, 3), "no_bags": (1, 0, 0), "many": (4, 20, 5)}
    for name, (classes, items, count) in shapes.items():
        integers = [numbers.randrange(8) for _ in range(1 + count * (3 + classes))]
        yield name, bags(classes, items, 1, integers, [numbers.randrange(90, 160) for _ in range(items * classes + items + count)])
    yield "given_offsets", bags(2, 9, 0, [0, 3, 3, 9] + [1] * 12, [124] * 30)
    yield "offsets_run_backwards", bags(2, 9, 0, [0, 7, 3] + [1] * 8, [124] * 30)
    yield "extreme_numbers", bags(2, 9, 1, [3, 3, 3] + [252, 253, 254, 255] * 2, [*range(248, 256), 124] * 4)


def sets(rows, k, slots, plausible, offsets, ids, rest):
    """The bytes in the order in which fuzz_sets reads them; k is one more than its byte up to 40."""
    return bytes([rows, k - 1, slots, plausible, *offsets, *ids, *rest])


def set_seeds():
    numbers = random.Random(2)
    for name, (rows, k, slots) in {"short_rows": (8, 10, 60), "full_and_empty": (3, 2, 4), "no_rows": (0, 3, 0)}.items():
        offsets, ids = [numbers.randrange(7) for _ in range(rows + 1)], [numbers.randrange(k) for _ in range(slots)]
        yield name, sets(rows, k, slots, 1, offsets, ids, [numbers.randrange(256) for _ in range(200)])
    yield "long_row", bytes([1, 48, 40, 1, 6, 6] + list(range(0, 200, 5)) + [130] * 200)
    yield "pointers_run_backwards", sets(3, 4, 6, 0, [0, 4, 2, 6], [0, 1, 2, 3, 0, 1], [124] * 40)
    yield "pointers_past_the_end", sets(2, 4, 4, 0, [0, 2, 63], [0, 1, 2, 3], [124] * 40)
    yield "pointers_that_hurt", sets(3, 4, 4, 0, [255, 252, 253, 254], [0, 1, 2, 3], [124] * 40)
    yield "unsorted", sets(2, 4, 4, 0, [0, 2, 4], [1, 0, 2, 3], [124] * 40)
    yield "repeated", sets(2, 4, 4, 0, [0, 2, 4], [1, 1, 2, 3], [124] * 40)
    yield "labels_that_hurt", sets(2, 4, 4, 0, [0, 2, 4], [0, 253, 254, 255], [124] * 40)
    yield "extreme_scores", sets(2, 4, 4, 0, [0, 2, 4], [0, 1, 2, 3], [0] * 16 + [*range(248, 256)])


def damaged(texts):
    """The texts, and the first of them cut short and with one word at a time replaced by one that hurts."""
    yield from texts.items()
    name, text = next(iter(texts.items()))
    for cut in range(5, len(text), 20):
        yield f"{name}_cut_at_{cut}", text[:cut]
    words = text.split(" ")
    hurtful = ["-1", "4611686018427387904", "99999999999999999999", "1e999", "nan", "65536"]
    for number, at in enumerate(range(1, len(words), 4)):
        bad = hurtful[number % len(hurtful)]
        yield f"{name}_word_{at}_is_{bad}", " ".join(words[:at] + [bad] + words[at + 1 :])


UAI = {
    "markov": "MARKOV 3 2 3 2 4 2 0 1 2 1 2 1 0 0 6 .1 2 0.3 4e-1 5 0 6 1 2 3 4 5 6 2 1 3 1 2.5\0 2 0 1 2 0",
    "bayes": "BAYES\r\n2\r\n2 2\r\n2\r\n1 0\r\n2 0 1\r\n\r\n2\r\n 0.25 0.75\r\n\r\n4\r\n 1 0 0.5 0.5\r\n",
    "evidence_with_a_tail": "MARKOV 1 2 0\0 0\n2 0\n",
    "observed_twice": "MARKOV 1 2 0\0 2 0 1 0 0",
    "one_state": "MARKOV 2 1 2 1 2 0 1 2 1 +2",
    "variable_twice": "MARKOV 1 2 1 2 0 0 4 1 1 1 1",
    "size_is_wrong": "MARKOV 1 2 1 1 0 3 1 1 1",
    "more_than_the_models": "MARKOV 1 2 0 0",
    "product_overflows": "MARKOV 4 65535 65535 65535 65535 1 4 0 1 2 3 1 1",
    "another_format": "2\n\n2\n0 1\n2 2\n",
    "nothing": "",
}
FG = {
    "two_factors": "# two\n2 \n\n 2 \n5 2 \n2 3 \n 4 \n0 1 \n1 2.5 \n3 1e-3 \n5 7 \n\n 1 \n2 \n3 \n 1 \n2 4 # last\n\0 1 5 0",
    "constant": "1\n\n0\n\n\n1\n0 3\n",
    "zero_everywhere": "1\n\n1\n7\n4\n0\n",
    "states_differ": "2\n1\n0\n2\n1\n0 1\n1\n0\n3\n1\n0 1\n",
    "index_twice": "1\n1\n0\n2\n2\n1 1\n1 2\n",
    "greater_than_the_file": "1\n3\n0 1 2\n65535 65535 65535\n1\n0 1\n",
    "comment_without_end": "1 # and then",
    "nothing": "",
}


def main():
    subjects = {
        "npy": seeds(),
        "bags": bag_seeds(),
        "sets": set_seeds(),
        "uai": ((name, text.encode()) for name, text in damaged(UAI)),
        "fg": ((name, text.encode()) for name, text in damaged(FG)),
    }
    for subject, made in subjects.items():
        folder = pathlib.Path(__file__).parent / "corpus" / subject
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in made:
            (folder / name).write_bytes(data)


if __name__ == "__main__":
    main()
