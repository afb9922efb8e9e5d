"""Whole files of every kind that the suite reads, to be damaged."""

import csv
import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pydicom
from PIL import Image
from pyarrow import parquet
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

ROWS = 40
TABLES = {
    "texts": {
        "text": lambda i: f"a {'good' if i % 2 else 'bad'} film, number {i}",
        "label": lambda i: "positive" if i % 2 else "negative",
    },
    "payments": {
        "TRANSACTION_ID": lambda i: i,
        "TX_DATETIME": lambda i: f"2024-01-{1 + i // 2:02d} 10:{i:02d}:00",
        "CUSTOMER_ID": lambda i: i % 3,
        "TERMINAL_ID": lambda i: i % 5,
        "TX_AMOUNT": lambda i: 1.5 * i + 1,
        "TX_FRAUD": lambda i: int(i % 9 == 0),
    },
    "ratings": {
        "user_id": lambda i: f"u{i % 5}",
        "item_id": lambda i: f"i{i % 8}",
        "timestamp": lambda i: 1_700_000_000 + i,
    },
}


def write(folder: Path) -> None:
    """Writes all samples that need no model."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.arange(24 * 24 * 3, dtype=np.uint8).reshape(24, 24, 3)
    picture = Image.fromarray(pixels)
    for ending in ("png", "jpg", "gif", "bmp", "tiff"):
        picture.save(folder / f"image.{ending}")
    dicom(folder / "scan.dcm")
    for name, columns in TABLES.items():
        table(folder, name, columns)
    rng = np.random.default_rng(0)
    x = rng.random((64, 6), np.float32)
    np.savez(folder / "calibration.npz", x=x)
    np.savez(folder / "labelled.npz", x=x, y=np.arange(64) % 3)
    lines = [f"a {'good' if i % 2 else 'bad'} film" for i in range(ROWS)]
    (folder / "texts.txt").write_text("\n".join(lines) + "\n", "utf-8")
    (folder / "users.txt").write_text("u1\nu2\n", "utf-8")


def write_models(folder: Path) -> None:
    """Writes a `.keras` file and weights; runs TensorFlow."""
    import keras

    from apps.image_classify import model as networks

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,), name="x"), keras.layers.Dense(8, activation="relu"),
         keras.layers.Dense(3, activation="softmax")]
    )  # fmt: skip
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    model.save(folder / "model.keras")
    lenet = networks.build("lenet5", (12, 12, 1), 10)
    lenet.save_weights(folder / "lenet5.weights.h5")


def dicom(path: Path) -> None:
    """Writes a grey DICOM image of 24 x 24 pixels of 16 bits."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = pydicom.uid.UID("1.2.3")
    scan = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    scan.Rows = scan.Columns = 24
    scan.SamplesPerPixel, scan.PhotometricInterpretation = 1, "MONOCHROME2"
    scan.BitsAllocated, scan.BitsStored, scan.HighBit = 16, 12, 11
    scan.PixelRepresentation = 0
    scan.PatientID, scan.PatientName = "17", "Doe^Jane"
    scan.PixelData = np.arange(576, dtype=np.uint16).tobytes()
    scan.save_as(path)


def table(folder: Path, name: str, columns: dict) -> None:
    """Writes a table in the four formats."""
    rows = [
        {key: value(i) for key, value in columns.items()} for i in range(ROWS)
    ]
    for ending, delimiter in (("csv", ","), ("tsv", "\t")):
        path = folder / f"{name}.{ending}"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(lines, "utf-8")
    parquet.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")


def large_png(side: int) -> bytes:
    """Returns a grey, black PNG of few bytes and many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        size = len(content)
        return (
            struct.pack(">I", size) + kind + content + struct.pack(">I", check)
        )

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = bytes(side + 1)
    data = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", data)
        + chunk(b"IEND", b"")
    )
