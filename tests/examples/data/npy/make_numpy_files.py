"""Writes numpy_files.inc beside this file: .npy files as numpy itself writes them, as hex, with the values they hold.

Every element type x byte order x memory order x format version, shape (3, 2); vectors and scalars for a few.
Run: python3 make_numpy_files.py (numpy 1.14 or newer; the headers of the stored file are numpy 2.4's).
"""
import io
import pathlib

import numpy as np

REAL = [0.1, -0.0, float("inf"), float("nan"), None, None]  # then the least subnormal and the largest number


def values(kind, size):
    if kind == "b":
        return np.array([1, 0, 0, 1, 1, 0], bool)
    dtype = np.dtype(f"{kind}{size}")
    if kind == "f":
        info = np.finfo(dtype)
        return np.array([info.smallest_subnormal if v is None else v for v in REAL[:5]] + [info.max], dtype)
    low, high = np.iinfo(dtype).min, min(np.iinfo(dtype).max, np.iinfo(np.int64).max)
    return np.array([low, high, 0, 1, high // 3, low + 7], dtype)


def literal(value):
    if isinstance(value, (bool, np.bool_, np.integer)):
        return str(int(value)) if int(value) > -(2**63) else "(-9223372036854775807 - 1)"
    value = float(value)
    if np.isnan(value):
        return "nan"
    return "inf" if np.isinf(value) else value.hex()


def lines(array, version):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version, allow_pickle=False)
    text = file.getvalue().hex()
    return "\n".join(f'     "{text[at:at + 108]}"' for at in range(0, len(text), 108))


def main():
    types = [("b", 1)] + [(k, s) for k in "iu" for s in (1, 2, 4, 8)] + [("f", s) for s in (2, 4, 8)]
    out = ["// Written by make_numpy_files.py; not to be edited.", "// clang-format off"]
    out.append("const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();")
    for kind, size in types:
        array = values(kind, size)
        kept = "double" if kind == "f" else "std::int64_t"
        out.append(f"const std::vector<{kept}> {array.dtype.name}_values{{{', '.join(literal(v) for v in array)}}};")
    out.append("const std::vector<numpy_file> numpy_files{")
    for kind, size in types:
        for order in "<>" if size > 1 else "|":
            array = values(kind, size).astype(f"{order}{kind}{size}")
            names = {"<": "little-endian", ">": "big-endian", "|": "one-byte"}
            for version in (1, 2, 3):
                for memory in "CF":
                    matrix = np.asarray(array.reshape(3, 2), order=memory)
                    about = f"{names[order]} {array.dtype.name} in {memory} order, version {version}"
                    out.append(f'    {{"{about}", npy::element::{element(array)}, {str(memory == "F").lower()}, 2, 3, 2,')
                    out.append(lines(matrix, (version, 0)) + "},")
            if (kind, size) in (("f", 4), ("i", 8)):
                about = f"{names[order]} {array.dtype.name}"
                out.append(f'    {{"vector of {about}", npy::element::{element(array)}, false, 1, 6, 1,')
                out.append(lines(array, (1, 0)) + "},")
                out.append(f'    {{"scalar of {about}", npy::element::{element(array)}, false, 0, 1, 1,')
                out.append(lines(array[:1].reshape(()), (1, 0)) + "},")
    out.append("};")
    out.append("// clang-format on")
    (pathlib.Path(__file__).parent / "numpy_files.inc").write_text("\n".join(out) + "\n")


def element(array):
    return {"bool": "boolean"}.get(array.dtype.name, array.dtype.name)


if __name__ == "__main__":
    main()
