"""What befalls files: cut, flipped, emptied, swapped, blown up, replaced."""

import io
import os
import random
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.reliability import samples

LARGE_SIDE = 13_000
LONG_CELL = 70_000
# Of a member in an archive, in bytes; compressed it takes a thousandth.
LARGE_MEMBER = 300 * 2**20
TEXTS = (".csv", ".tsv", ".jsonl", ".txt", ".flags", ".config", ".json")


def apply(path: Path, rng: random.Random) -> str:
    """Damages a file in place; returns the name of what was done."""
    name = rng.choice(sorted((*CONTENTS, *PLACES)))
    if name in CONTENTS:
        content = CONTENTS[name](path.read_bytes(), path.suffix, rng)
        path.write_bytes(content)
    else:
        PLACES[name](path)
    return name


def nothing(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Leaves it as it is: what is whole must not be refused."""
    return content


def truncate(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Cuts the end off."""
    return content[: rng.randrange(len(content) or 1)]


def flip(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Turns up to 16 bits around."""
    changed = bytearray(content)
    for _ in range(rng.randint(1, 16) if content else 0):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flip_start(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Turns bits of the first 64 bytes around, where headers are."""
    return flip(content[:64], suffix, rng) + content[64:]


def empty(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Leaves no byte."""
    return b""


def zero(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Fills a part with zeros, as a crash of the machine does."""
    start = rng.randrange(len(content) or 1)
    end = rng.randint(start, len(content))
    return content[:start] + bytes(end - start) + content[end:]


def noise(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Puts random bytes in its place."""
    return rng.randbytes(rng.randint(1, 4000))


def wrong_type(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Puts a file of another kind under its name."""
    return rng.choice(
        [b"PK\x03\x04" + bytes(40), b"%PDF-1.7\n", b"\x89HDF\r\n\x1a\n",
         b"GIF89a\x01\x00\x01\x00", b"{}", b"[1, 2]\n", b"a,b\n1,2\n",
         "caf\u00e9\n".encode("latin-1"), "text\n".encode("utf-16")]
    )  # fmt: skip


def repeat(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Appends the file to itself."""
    return content + content


def blow_up(content: bytes, suffix: str, rng: random.Random) -> bytes:
    """Declares or holds far more than there was."""
    if suffix == ".png":
        return samples.large_png(LARGE_SIDE)
    if suffix == ".npz":
        return blow_up_array(content)
    if suffix == ".keras":
        return blow_up_member(content, "config.json")
    if suffix == ".dcm":  # Rows and Columns.
        most = struct.pack("<H", 65_535)
        return re.sub(rb"(\x28\0[\x10\x11]\0US\x02\0)..", rb"\g<1>" + most,
                      content, flags=re.DOTALL)  # fmt: skip
    if suffix in TEXTS:
        return blow_up_cell(content, rng)
    place = rng.randrange(max(1, len(content) - 4))
    return content[:place] + b"\xff\xff\xff\x7f" + content[place + 4 :]


def blow_up_array(content: bytes) -> bytes:
    """Lets a `.npy` member claim 4 TiB; its header keeps its length."""

    def change(match: re.Match) -> bytes:
        shape = b"(1099511627776,), }"
        return b"'shape': " + shape.ljust(len(match[0]) - 9)

    return rewrite(
        content,
        lambda name, data: re.sub(rb"'shape': .*", change, data, count=1),
    )


def blow_up_member(content: bytes, member: str) -> bytes:
    """Makes one member of an archive very long."""
    return rewrite(
        content,
        lambda name, data: (
            data + b" " * LARGE_MEMBER if name == member else data
        ),
    )


def rewrite(content: bytes, change: Callable[[str, bytes], bytes]) -> bytes:
    """Returns an archive with other members."""
    target = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(content)) as source,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in source.namelist():
            archive.writestr(name, change(name, source.read(name)))
    return target.getvalue()


def blow_up_cell(content: bytes, rng: random.Random) -> bytes:
    """Makes a text very long in one place."""
    place = rng.randrange(len(content) or 1)
    long = rng.choice([b"x", b"9", b"=", b"\xc3\xa9"]) * LONG_CELL
    return content[:place] + long + content[place:]


def fifo(path: Path) -> None:
    """Puts a named pipe in its place: to read it is to wait for ever."""
    path.unlink()
    os.mkfifo(path)


def directory(path: Path) -> None:
    """Puts a directory in its place."""
    path.unlink()
    path.mkdir()


def device(path: Path) -> None:
    """Puts a link to a device that has no end in its place."""
    path.unlink()
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    """Puts a link to nothing in its place."""
    path.unlink()
    path.symlink_to("nowhere")


def forbid(path: Path) -> None:
    """Takes the permission to read; the superuser keeps it."""
    path.chmod(0)


CONTENTS: dict[str, Callable[[bytes, str, random.Random], bytes]] = {
    change.__name__: change
    for change in (nothing, truncate, flip, flip_start, empty, zero, noise,
                wrong_type, repeat, blow_up)
}  # fmt: skip
PLACES: dict[str, Callable[[Path], None]] = {
    put.__name__: put for put in (fifo, directory, device, dangling, forbid)
}
