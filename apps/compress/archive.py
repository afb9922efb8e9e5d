"""Zip files handed in: what they claim is checked before it is believed."""

import os
import zipfile


def check(file: zipfile.ZipFile) -> None:
    """Refuses a zip file that this machine could not hold.

    `zipfile` never gives more of a member than it claims, so that the claims
    bound what is inflated.

    Raises:
        ValueError: If it could not; says why.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    size = sum(member.file_size for member in file.infolist())
    if size > memory:
        raise ValueError(
            f"it claims {size / 2**30:,.1f} GiB, and this machine has "
            f"{memory / 2**30:,.1f}"
        )


def check_member(member: zipfile.ZipInfo, most_bytes: int) -> None:
    """Refuses a member that claims more than `most_bytes`.

    Raises:
        ValueError: If it does.
    """
    if member.file_size > most_bytes:
        raise ValueError(
            f"{member.filename} claims {member.file_size / 2**20:,.0f} MiB, "
            f"and {most_bytes / 2**20:,.0f} are the most"
        )


def first_line(error: Exception) -> str:
    """Returns the first line of an error's text."""
    text = str(error).strip().strip("'\"") or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")
