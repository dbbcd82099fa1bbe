"""A knowledge file that is not exactly what its schema says is refused, with file and line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from shared.fhir.outcome import KnowledgeError
from shared.knowledge.loader import digest, load, load_all


class Dose(msgspec.Struct, forbid_unknown_fields=True):
    drug: str
    amount: Decimal
    given: bool
    note: str | None = None
    days: tuple[int, ...] = ()


class Sheet(msgspec.Struct, forbid_unknown_fields=True):
    title: str
    doses: tuple[Dose, ...] = ()


GOOD = """\
# a comment
title: Weekly
doses:
  - drug: cisplatin
    amount: 40.50
    given: true
    days: [1, 8]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sheet.yaml"


def refused(file: Path, text: str) -> KnowledgeError:
    file.write_text(text)
    with pytest.raises(KnowledgeError) as caught:
        load(file, Sheet)
    return caught.value


def test_a_good_file_is_read_with_its_decimals_exact(file: Path) -> None:
    file.write_text(GOOD)

    sheet = load(file, Sheet)

    assert sheet.title == "Weekly"
    assert sheet.doses[0].amount == Decimal("40.5")
    assert sheet.doses[0].days == (1, 8)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD + "title: Again\n", 8, "`title` stands twice"),
        (GOOD + "    drug: carboplatin\n", 8, "`drug` stands twice"),
        (GOOD + "dose: []\n", 8, "no key `dose` here. Is `doses` meant?"),
        (GOOD.replace("    days", "    day"), 7, "no key `day` here. Is `days` meant?"),
        ("title: &t Weekly\ndoses: []\nother: *t\n", 1, "Aliases are not allowed"),
        ("title: a\ndoses: &d []\nothers: *d\n", 2, "Aliases are not allowed"),
        (GOOD.replace("title: Weekly", "title: 7"), 2, "Expected words, found `7`; put it in quotes"),
        (GOOD.replace("40.50", "plenty"), 5, "decimal"),
        (GOOD.replace("true", "yes"), 6, "Expected true or false"),
        (GOOD.replace("true", "on"), 6, "Expected true or false"),
        (GOOD.replace("true", "1"), 6, "found `1`"),
        (GOOD.replace("[1, 8]", "[1, eight]"), 7, "Expected a whole number"),
        (GOOD.replace("    given: true\n", ""), 4, "The key `given` is missing here"),
        ("doses: []\n", 1, "The key `title` is missing here"),
        ("- title\n", 1, "Expected keys with values"),
        ("", 1, "empty"),
        ("# nothing but a comment\n", 1, "empty"),
        ("title: [unfinished\n", 2, "Not readable as YAML"),
        ("title: a\n\tdoses: []\n", 2, "Not readable as YAML"),
        ("title: !!python/object:os.system x\n", 1, "Not readable as YAML"),
        ("title: a\n---\ntitle: b\n", 2, "Not readable as YAML"),
    ],
)
def test_what_is_not_in_the_schema_is_refused_with_file_and_line(file: Path, text: str, line: int, words: str) -> None:
    error = refused(file, text)

    assert words in error.text
    assert (error.file, error.line) == (f"{file.parent.name}/sheet.yaml", line)
    assert str(error).startswith(f"{file.parent.name}/sheet.yaml:{line}: ")


def test_of_a_mapping_by_name_the_line_is_where_it_begins(file: Path) -> None:
    file.write_text("# doses by drug\ncisplatin: {drug: cisplatin, amount: 40, given: true}\ncarboplatin: {drug: carboplatin, amount: 5}\n")

    with pytest.raises(KnowledgeError, match="The key `given` is missing here") as caught:
        load(file, dict[str, Dose])

    assert (caught.value.file, caught.value.line) == (f"{file.parent.name}/sheet.yaml", 2)


@pytest.mark.parametrize("data", [b"title: \xff\n", b"title: a\x00b\n", b"title: \x07\n"])
def test_bytes_that_are_no_text_are_refused_with_the_file(file: Path, data: bytes) -> None:
    file.write_bytes(data)

    with pytest.raises(KnowledgeError, match="Not readable as YAML") as caught:
        load(file, Sheet)

    assert (caught.value.file, caught.value.line) == (f"{file.parent.name}/sheet.yaml", 1)


@pytest.mark.parametrize(
    "word", ["no", "NO", "off", "on", "yes", "y", "2026-02-11", "12:30:00", "0x1F", "1_000", "0o7", "010", "1e3", ".5"]
)
def test_what_older_yaml_guesses_at_is_text(file: Path, word: str) -> None:
    """Norway is not false, and a date is what somebody wrote."""
    file.write_text(f"title: {word}\n")

    assert load(file, Sheet).title == word


@pytest.mark.parametrize(("word", "value"), [("null", None), ("~", None), ("", None), ("'null'", "null"), ('"7"', "7")])
def test_null_is_null_and_quoted_is_text(file: Path, word: str, value: str | None) -> None:
    file.write_text(GOOD.replace("    days: [1, 8]\n", f"    note: {word}\n"))

    assert load(file, Sheet).doses[0].note == value


def test_a_folder_is_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        (tmp_path / f"{name}.yaml").write_text(f"title: {name}\n")
    (tmp_path / "d.txt").write_text("not YAML")

    assert [(path.stem, sheet.title) for path, sheet in load_all(tmp_path, Sheet)] == [("a", "a"), ("b", "b"), ("c", "c")]


def test_the_digest_names_the_bytes_and_not_their_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one.yaml", tmp_path / "two.yaml"
    one.write_text("title: 1\n")
    two.write_text("title: 2\n")
    before = digest([one, two])

    assert digest([two, one]) == before
    assert len(before) == 32
    two.write_text("title: 3\n")
    assert digest([one, two]) != before
    two.write_text("title: 2\n")
    two.rename(tmp_path / "three.yaml")
    assert digest([one, tmp_path / "three.yaml"]) != before
