"""Our keys: who may read them, what is published of them, and how one takes the place of another."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from shared.fhir.outcome import Refused
from shared.smart.keys import ASSERTION_LIFE, jwks, keys_in, new_key, rotate, signing_key

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_key(tmp_path / "keys", "ES384")
    return tmp_path / "keys"


def published(folder: Path, at: float | None = None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(json.dumps(jwks(keys_in(folder), at=at)))["keys"]
    return found


def test_sm71_what_is_published_holds_no_private_part(folder: Path) -> None:
    new_key(folder, "RS384")
    rotate_at_once(folder)
    keys = published(folder)
    assert len(keys) == 4
    for key in keys:
        assert not PRIVATE & set(key)
        assert {"kty", "kid", "use", "alg"} <= set(key)
        assert {"EC": {"crv", "x", "y"}, "RSA": {"n", "e"}}[key["kty"]] <= set(key)
        assert not {"nbf", "exp", "iat"} & set(key)


def rotate_at_once(folder: Path) -> None:
    """The waiting RS384 key of these tests is ready by now."""
    for file in folder.glob("*.json"):
        plain = json.loads(file.read_text())
        file.write_text(json.dumps(plain | {"nbf": 0}))
    rotate(folder)


def test_a_private_key_is_readable_by_its_owner_only(folder: Path) -> None:
    rotate(folder)
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.suffix for file in folder.iterdir()} == {".json"}


def test_sm71_a_new_key_is_published_first_signs_later_and_the_old_one_goes_last(folder: Path) -> None:
    (old,) = keys_in(folder)
    now = time.time()
    (new,) = rotate(folder, wait=1000, grace=500)

    def kids(at: float) -> set[str]:
        return {key["kid"] for key in published(folder, at)}

    assert kids(now) == {old.kid, new.kid}
    assert signing_key(folder, at=now + 990).kid == old.kid
    assert signing_key(folder, at=now + 1010).kid == new.kid
    # Until the last assertion of the old key has expired, and the grace is over, nobody finds it missing.
    assert kids(now + 1000 + ASSERTION_LIFE + 490) == {old.kid, new.kid}
    assert kids(now + 1000 + ASSERTION_LIFE + 510) == {new.kid}


def test_what_is_retired_is_removed_by_the_next_rotation(folder: Path) -> None:
    (old,) = keys_in(folder)
    (new,) = rotate(folder, wait=-ASSERTION_LIFE - 1, grace=0)  # as if that long had passed
    (newer,) = rotate(folder, wait=0, grace=0)
    assert {key.kid for key in keys_in(folder)} == {new.kid, newer.kid}
    assert not old.file.exists()


def test_a_rotation_under_way_is_not_begun_again(folder: Path) -> None:
    rotate(folder)
    with pytest.raises(Refused, match="under way"):
        rotate(folder)


def test_sm75_a_kid_is_published_once_however_many_files_have_it(folder: Path) -> None:
    (key,) = keys_in(folder)
    (folder / "copy.json").write_text(json.dumps({"keys": published(folder)}))
    assert [one["kid"] for one in published(folder)] == [key.kid]


def test_a_folder_of_public_keys_publishes_and_does_not_sign(folder: Path, tmp_path: Path) -> None:
    public = tmp_path / "public"
    public.mkdir()
    (public / "jwks.json").write_text(json.dumps({"keys": published(folder)}))
    assert published(public) == published(folder)
    with pytest.raises(Refused, match="no signing key"):
        signing_key(public)


def test_a_second_key_of_one_algorithm_is_a_rotation(folder: Path) -> None:
    with pytest.raises(Refused, match="rotate"):
        new_key(folder, "ES384")


def test_a_key_of_the_other_algorithm_waits_unless_the_server_takes_no_other(folder: Path) -> None:
    (first,) = keys_in(folder)
    second = new_key(folder, "RS384")
    assert signing_key(folder).kid == first.kid
    assert signing_key(folder, ["RS384", "ES384"]).kid == first.kid
    assert signing_key(folder, ["RS384"]).kid == second.kid


def test_sm70_nothing_weaker_than_smart_asks_for_is_signed_with(folder: Path) -> None:
    with pytest.raises(Refused, match="nothing weaker"):
        signing_key(folder, ["RS256", "none"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "canary",
        "{}",
        '{"kty": "oct", "k": "canary"}',
        '{"kty": "EC", "crv": "P-256", "x": "canary", "y": "AA"}',
        '{"keys": "canary"}',
        "[]",
    ],
)
def test_a_file_that_is_no_key_is_named_without_its_content(folder: Path, text: str) -> None:
    (folder / "odd.json").write_text(text)
    with pytest.raises(Refused) as refused:
        keys_in(folder)
    assert "odd.json" in refused.value.text
    assert "canary" not in refused.value.text


def test_an_empty_folder_says_how_to_make_a_key(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="figaro keys new"):
        signing_key(tmp_path / "none")
    with pytest.raises(Refused, match="figaro keys new"):
        rotate(tmp_path / "none")
