"""The files of a Bulk Data export, several at once, each piece by piece onto the disk.

A file that breaks off goes on where it broke (Range), or starts anew where the server cannot do that. A file stands under its own name
only when it is whole; what is on the way is called `….part`. What came packed is unpacked, within bounds.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import BinaryIO, Final

import aiohttp
import stamina

from shared.fhir.bulk_manifest import NDJSON, File
from shared.fhir.bulk_wire import BulkWire
from shared.fhir.outcome import FigaroError, NotFhir, Refused, Rejected, Unavailable

_GZIP: Final = b"\x1f\x8b"
_CHUNK: Final = 1 << 20
Placed = tuple[str, File]


class BulkFiles:
    """The downloads of one export into `folder`. `with_token` is the manifest's `requiresAccessToken`: else the token must not be sent."""

    def __init__(self, wire: BulkWire, folder: Path, *, with_token: bool) -> None:
        self._wire = wire
        self._limits = wire.limits
        self._folder = folder
        self._with_token = with_token
        self._stored = 0

    async def fetch(self, files: Iterable[Placed], *, again: Container[str] = (), stored: Callable[[], None] = lambda: None) -> None:
        """Every file that is not there yet, or whose name is in `again`; `stored` is called after each.

        Raises the first error there is, and leaves what is whole: called again, it goes on. NotFound and Gone: an address has expired.
        """
        waiting = iter([(self._folder / name, file, name in again) for name, file in files])
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(4):
                    group.create_task(self._some(waiting, stored))
        except BaseExceptionGroup as errors:
            raise next((error for error in errors.exceptions if isinstance(error, FigaroError)), errors.exceptions[0]) from errors

    async def _some(self, waiting: Iterable[tuple[Path, File, bool]], stored: Callable[[], None]) -> None:
        for target, file, anew in waiting:
            if anew or not target.exists():
                try:
                    async with asyncio.timeout(self._limits.transfer):
                        await self._file(target, file)
                except TimeoutError:
                    text = f"{self._wire.place(target.name)} was not here within {self._limits.transfer / 3600:.3g} h."
                    raise Unavailable(text, code="timeout") from None
                except OSError as error:
                    reason = (error.strerror or "no reason given").lower()
                    raise Refused(f"{target} cannot be written ({reason}): make room, or choose another folder.") from None
            self._count(target.stat().st_size)
            stored()

    async def _file(self, target: Path, file: File) -> None:
        url = self._wire.admitted(file.url)
        part = _Part(target.with_name(f"{target.name}.part"))
        await asyncio.to_thread(part.clear)

        def again(error: Exception) -> bool | float:
            if not isinstance(error, Unavailable) or error.code == "security":
                return False
            return True if error.retry_after is None else self._limits.clamped(error.retry_after)

        async for attempt in stamina.retry_context(on=again, **self._limits.repetition):
            with attempt:
                try:
                    headers = {"Accept": NDJSON, "Accept-Encoding": "gzip", **part.rest()}
                    async with self._wire.ask(
                        "GET", url, what=target.name, headers=headers, with_token=self._with_token, raw=True
                    ) as answer:
                        await self._take(answer, part, target.name)
                    await asyncio.to_thread(part.unpack, target, self._limits.file)
                except (_Broken, Rejected) as error:
                    if isinstance(error, Rejected) and error.status != 416:
                        raise
                    await asyncio.to_thread(part.clear)
                    raise Unavailable(f"{self._wire.place(target.name)} sent a file that is not whole, and again.") from error
                except _TooLarge:
                    await asyncio.to_thread(part.clear)
                    raise self._too_large(target.name) from None

    async def _take(self, answer: aiohttp.ClientResponse, part: _Part, name: str) -> None:
        place = self._wire.place(name)
        if "html" in answer.content_type:
            raise NotFhir(f"{place} answered with a web page and no NDJSON: is there a log-in in between?")
        with await asyncio.to_thread(part.opened, answer) as file:
            async for chunk in self._wire.chunks(answer, place):
                part.size += len(chunk)
                if part.size > self._limits.file:
                    raise _TooLarge
                await asyncio.to_thread(file.write, chunk)

    def _count(self, size: int) -> None:
        self._stored += size
        if self._stored > self._limits.whole:
            text = f"{self._wire.place('export')} is larger than {self._limits.whole // 1_000_000_000} GB"
            raise Refused(f"{text}: export less at once (types, a Group, since).")

    def _too_large(self, name: str) -> Refused:
        size = f"{self._limits.file // 1_000_000_000} GB" if self._limits.file >= 1_000_000_000 else f"{self._limits.file} bytes"
        return Refused(f"{self._wire.place(name)} sends a file of more than {size}: export less at once (types, a Group, since).")


class _Broken(Exception):
    """What came is not what was to come: from the beginning, then."""


class _TooLarge(Exception):
    pass


class _Part:
    """A file on its way, as sent: `size` bytes of it, and how the server knows that it is still the same."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._same: str | None = None
        self._ranges = False

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.size, self._same, self._ranges = 0, None, False

    def rest(self) -> dict[str, str]:
        """The headers that ask for what is missing; none where all is, or where the server cannot go on."""
        if not self.size or not (self._same or self._ranges):
            return {}
        return {"Range": f"bytes={self.size}-", **({"If-Range": self._same} if self._same else {})}

    def opened(self, answer: aiohttp.ClientResponse) -> BinaryIO:
        """The file to be written to: at its end where the answer goes on, else anew."""
        if answer.status == 206:
            if not answer.headers.get("Content-Range", "").startswith(f"bytes {self.size}-"):
                raise _Broken
            return self.path.open("ab")
        tag = answer.headers.get("ETag", "")
        self._same = tag if tag.startswith('"') else None
        self._ranges = answer.headers.get("Accept-Ranges") == "bytes"
        self.size = 0
        return _private(self.path)

    def unpack(self, target: Path, most: int) -> None:
        """Puts the whole file under its name. Raises _Broken where it is half a gzip, _TooLarge where it unpacks to more than `most`."""
        with self.path.open("rb") as file:
            packed = file.read(2) == _GZIP
        if not packed:
            self.path.rename(target)
            return
        unpacked = target.with_name(f"{target.name}.unpacked")
        try:
            _unpack(self.path, unpacked, most)
        except BaseException:
            unpacked.unlink(missing_ok=True)
            raise
        unpacked.rename(target)
        self.path.unlink()


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner can read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")


def _unpack(packed: Path, unpacked: Path, most: int) -> None:
    size = 0
    try:
        with gzip.open(packed) as source, _private(unpacked) as sink:
            while chunk := source.read(_CHUNK):
                size += len(chunk)
                if size > most:
                    raise _TooLarge
                sink.write(chunk)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _Broken from error
