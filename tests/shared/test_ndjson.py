"""A folder of NDJSON: what cannot be read is named by file and line, and everything else is used."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.fhir.ndjson import Fault, files, lines
from shared.fhir.outcome import Unreadable

GOOD = b'{"resourceType":"Condition","id":"c%d"}\n'


def read(path: Path, *, longest: int = 1_000) -> tuple[list[tuple[str, int]], list[Fault]]:
    faults: list[Fault] = []
    return [(line.kind, line.number) for line in lines(path, faults.append, longest=longest)], faults


@pytest.mark.parametrize("packed", [False, True])
def test_bd_06_a_broken_line_is_named_and_the_rest_is_used(packed: bool, tmp_path: Path) -> None:
    broken = [
        b"\xef\xbb\xbf" + GOOD % 1,
        b"\r\n",
        b'{"resourceType":"Cond\n',
        b"[1]\n",
        b'{"id":"x"}\n',
        b"\xff\xfe\n",
        b"x" * 5_000 + b"\n",
    ]
    data = b"".join([*broken, GOOD % 2, b'{"resourceType":"Patient","id":"p"}\r\n', (GOOD % 3).strip()])
    path = tmp_path / ("a.ndjson.gz" if packed else "a.ndjson")
    path.write_bytes(gzip.compress(data) if packed else data)
    assert files(tmp_path) == [path]
    got, faults = read(path)
    assert got == [("Condition", 1), ("Condition", 8), ("Patient", 9), ("Condition", 10)]
    assert [fault.number for fault in faults] == [3, 4, 5, 6, 7]
    assert str(faults[0]) == f"{path.name}, line 3: is no FHIR resource in JSON; it is not used."
    assert "is longer than" in faults[-1].text


def test_bd_06_a_truncated_file_loses_its_last_line_only(tmp_path: Path) -> None:
    data = b"".join(GOOD % n for n in range(1_000))
    (tmp_path / "plain.ndjson").write_bytes(data[:-10])
    got, faults = read(tmp_path / "plain.ndjson")
    assert (len(got), [fault.number for fault in faults]) == (999, [1_000])
    (tmp_path / "packed.ndjson.gz").write_bytes(gzip.compress(os.urandom(1) + b"\n" + data)[:-400])
    got, faults = read(tmp_path / "packed.ndjson.gz")
    assert len(got) < 1_000
    assert "the gzip is broken from here on" in faults[-1].text


def test_a_folder_without_ndjson_or_none_at_all_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(Unreadable, match="holds no NDJSON: its files end in"):
        files(tmp_path)
    with pytest.raises(Unreadable, match="cannot be opened as a folder: no such file"):
        files(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "little"), [("sum(1 for _ in read)", True), ("len(list(read))", False)])
def test_a_large_file_is_read_in_little_memory(kept: str, little: bool, tmp_path: Path) -> None:
    """200 MB; the second reading, which keeps every line, shows that the measure can tell."""
    line = b'{"resourceType":"Observation","id":"o","text":{"div":"' + b"x" * 100_000 + b'"}}\n'
    with gzip.open(tmp_path / "o.ndjson.gz", "wb", compresslevel=1) as file:
        for _ in range(2_000):
            file.write(line)
    program = (
        "import re, sys; from pathlib import Path; from shared.fhir.ndjson import lines\n"
        "def peak(): return int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])\n"
        f"before = peak(); read = lines(Path(sys.argv[1]), print); print({kept}, peak() - before)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "o.ndjson.gz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    count, grown = map(int, done.stdout.split())
    assert count == 2_000
    assert (grown < 20_000) is little  # kB
