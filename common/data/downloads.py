"""What a TFDS set must download, and whether the hosts can be reached.

On a machine without a network TFDS tries for minutes, without a word.
"""

import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection
from pathlib import Path

import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import resource

from common.options import InputError

ANSWER_SECONDS = 10.0  # A host that takes longer cannot be reached.
SHOWN_FILES = 4


def check(dataset: tfds.core.DatasetBuilder) -> None:
    """Refuses a set that must be downloaded while none of its hosts answers.

    Sets whose files TFDS does not list are not refused.

    Args:
        dataset: The builder of the set, prepared or not.

    Raises:
        InputError: If no host answers; it says what can be placed where.
    """
    if dataset.data_path.exists():
        return
    downloads = Path(dataset.data_dir_root) / "downloads"
    missing = {
        url: info.filename or url
        for url, info in (dataset.url_infos or {}).items()
        if not (
            info.filename and (downloads / "manual" / info.filename).exists()
        )
        and not (downloads / resource.get_dl_fname(url, info.checksum)).exists()
    }
    url_of = {urllib.parse.urlparse(url).netloc: url for url in missing}
    if not url_of or any_answers(url_of.values()):
        return
    names = list(missing.values())
    if len(names) > SHOWN_FILES:
        names[SHOWN_FILES:] = [f"{len(names) - SHOWN_FILES} more"]
    raise InputError(
        f"--dataset={dataset.name} must be downloaded, and "
        f"{', '.join(url_of)} cannot be reached. Place a prepared copy in "
        f"{dataset.data_path}, or the files that it needs of "
        f"{', '.join(names)} in {downloads / 'manual'}."
    )


def any_answers(urls: Collection[str]) -> bool:
    """Tells whether one of several hosts answers within `ANSWER_SECONDS`."""
    answers: list[bool] = []
    threads = [
        # The look-up of a host's name cannot be interrupted: the process must
        # not wait for it when it ends.
        threading.Thread(
            target=lambda url=url: answers.append(_answers(url)), daemon=True
        )
        for url in urls
    ]
    for thread in threads:
        thread.start()
    end = time.monotonic() + ANSWER_SECONDS
    while not any(answers) and len(answers) < len(threads):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return any(answers)


def _answers(url: str) -> bool:
    """Tells whether a host answers at all; a refusal is an answer."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        # `urlopen` would keep the proxies of its first call.
        opener = urllib.request.build_opener()
        opener.open(request, timeout=ANSWER_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except urllib.error.URLError as error:
        return isinstance(error.reason, ssl.SSLError)
    except OSError:
        return False
    return True
