"""Download the files of a data set: the right bytes or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from numpy_se.data.catalogue import Dataset
from numpy_se.data.errors import DataError, system_errors


def download_missing(spec: Dataset, folder: Path) -> None:
    """Fetch what is not in ``folder`` from the first mirror that serves the right bytes.

    Needs pooch. A file that is not right, whole and of its size never stands in ``folder``. Raises
    DataError when no mirror has one, or when ``folder`` cannot be written.
    """
    with system_errors(folder, "read"):
        missing = [file for file in spec.files if not (folder / f"{file.name}.gz").exists()]
    if not missing:
        return
    if not spec.mirrors:
        raise DataError(
            f"{spec.name} is not in {folder}; give the folder of its files. On Debian, "
            "'apt install dataset-fashion-mnist' puts them into /usr/share/datasets/fashion-mnist"
        )
    try:
        import pooch
        from requests import RequestException  # comes with pooch
    except ImportError as error:
        raise DataError("MNIST is not here, and downloads need pooch") from error
    pooch.get_logger().setLevel("ERROR")
    with system_errors(folder, "written"):
        folder.mkdir(parents=True, exist_ok=True)
        for file in missing:
            failures = []
            for mirror in spec.mirrors:
                host = urlsplit(mirror).netloc
                try:
                    pooch.retrieve(
                        mirror + f"{file.name}.gz",
                        known_hash=f"sha256:{file.gzip_sha256}",
                        fname=f"{file.name}.gz",
                        path=folder,
                        downloader=_Downloader(file.gzip_size),
                    )
                    break
                except RequestException:  # is an OSError, as those of the disk are
                    failures.append(f"no answer from {host}")
                except ValueError:
                    failures.append(f"wrong content from {host}")
            else:
                raise DataError(f"{spec.name} cannot be downloaded: {', '.join(failures)}")


class _Downloader:
    """Downloads as pooch does, and stops with ValueError when more than ``size`` bytes come."""

    def __init__(self, size: int) -> None:
        self.left = size

    def __call__(self, url: str, path: str, manager: Any) -> None:
        import pooch

        http = pooch.HTTPDownloader(progressbar=_has_tqdm(), timeout=10)
        with open(path, "wb") as self.stream:
            http(url, self, manager)

    def write(self, part: bytes) -> None:
        self.left -= len(part)
        if self.left < 0:
            raise ValueError("more bytes came than the file has")
        self.stream.write(part)

    def flush(self) -> None:
        self.stream.flush()


def _has_tqdm() -> bool:
    try:
        import tqdm  # noqa: F401
    except ImportError:
        return False
    return True
