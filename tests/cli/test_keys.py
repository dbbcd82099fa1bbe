"""`figaro keys`: what it prints, and what it never prints."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def figaro(*words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", "from services.cli import main; main()", "keys", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_key_is_made_rotated_and_published_and_its_private_half_is_never_printed(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    first = figaro("new", folder)
    second = figaro("rotate", folder)
    third = figaro("jwks", folder)
    assert [code for code, _, _ in (first, second, third)] == [0, 0, 0]
    one, two, same = (json.loads(out)["keys"] for _, out, _ in (first, second, third))
    assert (len(one), len(two)) == (1, 2)
    assert two == same
    assert one[0]["kid"] in first[2]
    assert "signs at once" in first[2]
    assert "signs from" in second[2]
    assert "published until" in second[2]
    private: list[dict[str, Any]] = [json.loads(file.read_text()) for file in Path(folder).iterdir()]
    printed = "".join(out + err for _, out, err in (first, second, third))
    assert all(key["d"] and key["d"] not in printed for key in private)


def test_what_cannot_be_done_is_one_sentence(tmp_path: Path) -> None:
    folder = str(tmp_path / "keys")
    for words, told in (
        (("jwks", folder), "figaro keys new"),
        (("rotate", folder), "figaro keys new"),
        (("new", folder, "--alg", "RS256"), "ES384"),
    ):
        code, out, err = figaro(*words)
        assert (code, out) == (2, "")
        assert told in err
        assert "Traceback" not in err
