"""Flow files: reading one, with its faults named."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from flowrt.errors import Fault, FlowBuildError, did_you_mean
from flowrt.flowtext import BYTES_LIMIT

if TYPE_CHECKING:
    from os import PathLike

NEIGHBOURS_READ = 1_000  # files of a folder that are looked at for a name that was probably meant; arbitrary


def read_flow_file(path: str | PathLike[str]) -> str:
    """Read a file of UTF-8; a little more than the limit of a text at most.

    Raises:
        FlowBuildError: it does not exist, cannot be read, or is not UTF-8.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(name := os.fspath(path), str):
        raise FlowBuildError(f"the path of a flow file is a str or a Path, got {type(path).__qualname__}.")
    try:
        with open(name, "rb") as file:  # noqa: PTH123 - importing pathlib costs more than this
            content = file.read(BYTES_LIMIT + 4)  # with a byte order mark, and one more to be too large
    except FileNotFoundError as error:
        folder, base = os.path.split(name)
        raise FlowBuildError(
            Fault(f'there is no flow file "{name}".{_neighbours(folder, base)}', name)
        ) from error
    except (OSError, ValueError) as error:  # a path with a null byte is a ValueError
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise FlowBuildError(Fault(f"the flow file {name!r} cannot be read: {why}.", name)) from error
    return decoded(content, name)


def decoded(content: bytes, name: str) -> str:
    """Return what was read of a flow text, up to a little more than its limit; `FlowBuildError` if it is not UTF-8."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        if len(content) > BYTES_LIMIT:  # it may just be cut; what is read is too large anyway
            return content.decode("utf-8", "replace")
        before = content[: error.start].decode("utf-8")
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        place = f"{name}:{line}:{column}"
        raise FlowBuildError(
            Fault(
                f"{place}: the byte 0x{content[error.start]:02X} is not UTF-8. Save the file as UTF-8.", place
            )
        ) from error


def _neighbours(folder: str, base: str) -> str:
    try:
        with os.scandir(folder or ".") as entries:
            names = [entry.name for entry, _ in zip(entries, range(NEIGHBOURS_READ), strict=False)]
    except OSError:
        return f' There is no folder "{folder}" either.'
    suffix = os.path.splitext(base)[1]  # noqa: PTH122 - as above
    return did_you_mean(base, [name for name in names if name.endswith(suffix or ".flow")])
