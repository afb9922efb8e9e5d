"""Checks of what a user's files claim, before their content is read."""

import os
import zipfile


def memory() -> int:
    """Returns the bytes of this machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def check_claim(size: int) -> None:
    """Refuses content that does not fit in this machine's memory.

    Args:
        size: The bytes that a file claims.

    Raises:
        ValueError: If it claims more; the message says how much.
    """
    if size > memory():
        raise ValueError(
            f"it claims {size / 2**30:,.1f} GiB, and this machine has "
            f"{memory() / 2**30:,.1f}"
        )


def check(file: zipfile.ZipFile) -> None:
    """Refuses a zip file whose content does not fit in this machine's memory.

    `zipfile` never inflates more of a member than the size that the file
    claims for it, so that it suffices to check these sizes.

    Raises:
        ValueError: If the file claims more; the message says how much.
    """
    check_claim(sum(member.file_size for member in file.infolist()))


def check_member(member: zipfile.ZipInfo, max_bytes: int) -> None:
    """Refuses a member that claims to be larger than `max_bytes`.

    Raises:
        ValueError: If it claims more.
    """
    if member.file_size > max_bytes:
        raise ValueError(
            f"{member.filename} claims {member.file_size / 2**20:,.0f} MiB, "
            f"and {max_bytes / 2**20:,.0f} are allowed"
        )


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, at most 300 characters."""
    text = str(error).strip().strip("'\"") or type(error).__name__
    return text.splitlines()[0][:300].rstrip(".")
