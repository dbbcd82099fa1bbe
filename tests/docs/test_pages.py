"""What the documents say is so: links lead somewhere, commands exist, settings and names are complete."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from services.cli import app
from services.ingest.settings import IngestSettings
from services.recommend.library import FOLDER, check, library, show
from services.recommend.settings import RecommendSettings
from services.staging import soundness
from services.staging.knowledge import rules
from services.staging.settings import StagingSettings
from services.staging.stage import stage
from shared.fhir.reader import read_bundle
from shared.knowledge.loader import load
from shared.knowledge.table import Review
from shared.oncology.record import Finding, Record, encode
from shared.service.settings import PREFIX, Settings
from tests.docs.markdown import PAGES, ROOT, anchors, blocks, commands, files, links, name, rows, spans
from tests.knowledge.planted import planted
from tests.staging.case import Case, bundle

DOCS = [page for page in PAGES if page.is_relative_to(ROOT / "docs")]
DECISIONS = [page for page in DOCS if page.parent.name == "decisions" and page.name != "README.md"]
TREE = typer.main.get_command(app)
_NAMED = re.compile(r"\bFIGARO_[A-Z_]*[A-Z]\b")
HEADINGS = ["Context", "Decision", "Consequences", "Alternatives", "What became of it"]

every_page = pytest.mark.parametrize("page", PAGES, ids=map(name, PAGES))
every_doc = pytest.mark.parametrize("page", DOCS, ids=map(name, DOCS))


@every_page
def test_a_link_leads_to_a_file_and_a_heading_that_are_there(page: Path) -> None:
    for link in links(page):
        if link.startswith(("https://", "http://")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name(page)} links to {link}"
        assert not anchor or anchor in anchors(target), f"{name(page)} links to {link}"


@every_page
def test_a_command_of_ours_that_is_named_exists_with_its_options(page: Path) -> None:
    for line in commands(page):
        if found := re.search(r"(?:^|\s|/)figaro((?: [^|>;]+)?)$", line):
            _known(found[1].split(), f"{name(page)}: {line}")


def _known(words: list[str], where: str) -> None:
    command: Any = TREE
    while (below := getattr(command, "commands", None)) and words and not words[0].startswith("-"):
        assert words[0] in below, where
        command, words = below[words[0]], words[1:]
    options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {"--help"}
    assert {word for word in words if word.startswith("--")} <= options, where


@every_page
def test_a_target_of_make_and_a_module_that_are_named_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(page):
        if found := re.match(r"make ([a-z]+)", line):
            assert found[1] in targets, f"{name(page)}: {line}"
        if found := re.search(r"python -m ((?:examples|tests|benchmarks)[\w.]*)", line):
            path = ROOT / found[1].replace(".", "/")
            assert path.with_suffix(".py").is_file() or path.is_dir(), f"{name(page)}: {line}"


@every_page
def test_a_test_that_is_named_exists(page: Path) -> None:
    for span in spans(page):
        if "::" in span:
            file, _, test = span.partition("::")
            assert re.search(rf"def {test}\(", (ROOT / file).read_text()), f"{name(page)}: {span}"


@pytest.mark.parametrize("folder", ["services/staging", "services/recommend", "services/ingest", "shared", "examples"])
def test_a_file_that_a_folder_s_readme_lists_is_there(folder: str) -> None:
    for path in [span for span in spans(ROOT / folder / "README.md") if re.fullmatch(r"[\w/-]+(\.py|\.yaml|/)", span)]:
        assert (ROOT / folder / path).exists() or (ROOT / path).exists() or list((ROOT / folder).glob(f"*/{path}")), path


def test_an_import_contract_that_is_named_is_one() -> None:
    contracts = set(re.findall(r'^name = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    named = re.findall(r'import contracts? ((?:"[^"]+"(?:, )?)+)', (ROOT / "ARCHITECTURE.md").read_text())
    quoted = {title for text in named for title in re.findall(r'"([^"]+)"', text)}
    assert quoted
    assert quoted <= contracts


@every_doc
def test_a_page_says_for_whom_it_is_and_of_what_kind(page: Path) -> None:
    lines = page.read_text().splitlines()
    assert lines[0].startswith("# ")
    assert re.fullmatch(r"audience: \S.*", lines[2])
    assert re.fullmatch(r"type: (tutorial|how-to|reference|explanation)", lines[3])


@pytest.mark.parametrize("page", DECISIONS, ids=map(name, DECISIONS))
def test_a_decision_is_numbered_dated_and_listed_and_has_five_headings(page: Path) -> None:
    text = page.read_text()
    assert text.startswith(f"# {page.name[:4]}: ")
    assert re.search(r"^date: \d{4}-\d{2}-\d{2}$", text, re.MULTILINE)
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == HEADINGS
    assert page.name in links(page.parent / "README.md")


def test_decisions_are_numbered_without_a_gap() -> None:
    assert [page.name[:4] for page in DECISIONS] == [f"{number:04}" for number in range(1, len(DECISIONS) + 1)]


@pytest.mark.parametrize(
    ("section", "settings"),
    [("Every service", Settings), ("Ingest", IngestSettings), ("Staging", StagingSettings), ("Recommend", RecommendSettings)],
)
def test_every_setting_stands_in_the_reference_with_its_default_and_no_other(section: str, settings: type[Settings]) -> None:
    common = set() if settings is Settings else set(Settings.model_fields)
    wanted = {f"`{PREFIX}{field.upper()}`": _shown(it.default) for field, it in settings.model_fields.items() if field not in common}
    told = rows(ROOT / "docs/settings.md", section)
    assert {row[0]: row[1] for row in told} == wanted
    assert all(row[2] for row in told)


def test_every_setting_that_the_code_names_stands_in_the_reference() -> None:
    code = [file.read_text() for folder in ("services", "shared") for file in (ROOT / folder).rglob("*.py")]
    named = {name for text in code for name in _NAMED.findall(text)}
    assert "FIGARO_HOST" in named
    page = (ROOT / "docs/settings.md").read_text()
    assert {name for name in named if f"| `{name}` |" not in page} == set()


def _shown(default: Any) -> str:
    if default is None:
        return "–"
    if isinstance(default, bool | tuple):
        return f"`{msgspec.json.encode(default).decode()}`"
    return f"`{default}`"


def test_the_record_of_the_reference_is_one() -> None:
    (example,) = blocks(ROOT / "docs/record.md", "json")
    record = msgspec.json.decode(example, type=Record)
    assert msgspec.json.decode(encode(record)) == msgspec.json.decode(example)


@pytest.mark.parametrize(("kind", "head"), [(Record, "of the record"), (Finding, "of a finding")])
def test_every_field_of_the_record_is_explained(kind: type[msgspec.Struct], head: str) -> None:
    table = (ROOT / "docs/record.md").read_text().partition(f"| {head} | means |")[2].partition("\n\n")[0]
    assert {field.encode_name for field in msgspec.structs.fields(kind)} == set(re.findall(r"`(\w+)`", _first_cells(table)))


def _first_cells(table: str) -> str:
    return "\n".join(line.split(" | ")[0] for line in table.splitlines() if line.startswith("| `"))


def test_every_fact_of_the_extent_that_can_be_sent_is_named_and_no_other() -> None:
    named = set(re.findall(r"`([\w-]+)`", "\n".join(row[0] for row in rows(ROOT / "docs/record.md", "Facts of the extent"))))
    assert named == {fact.replace("_", "-") for fact, rule in rules().facts.items() if rule.code}


def test_every_fact_that_a_regimen_may_ask_for_is_named_and_no_other() -> None:
    section = (ROOT / "docs/record.md").read_text().partition("\n## Facts that regimens ask for\n")[2]
    table = "\n".join(line for line in section.splitlines() if line.startswith("| "))
    assert set(re.findall(r"`([\w-]+)`", table)) == set(library().book.units)


def test_the_case_that_contributing_shows_comes_out_as_it_says(tmp_path: Path) -> None:
    (example,) = blocks(ROOT / "CONTRIBUTING.md", "yaml")
    (tmp_path / "case.yaml").write_text(example)
    (case,) = load(tmp_path / "case.yaml", list[Case])
    for chart in case.charts():
        answer = stage(read_bundle(bundle(chart)), rules())
        assert answer.editions["figo-2018"].label == case.expect.label
        assert list(answer.editions["figo-2018"].could_be) == case.expect.could_be
        assert answer.editions["figo-2009"].label == case.expect.stage_2009
        assert [site.site for site in answer.metastases] == [site.site for site in case.expect.sites]


def test_what_is_shown_of_rules_and_cases_stands_in_them() -> None:
    """Word for word."""
    page = ROOT / "docs/from-finding-to-stage.md"
    case = ROOT / "tests/cases/figo-2018/IIIC1/a-node-upstages-a-small-tumour.yaml"
    files = [case, *sorted((ROOT / "services/staging/rules").glob("*.yaml"))]
    written = [file.read_text() for file in files]
    shown = blocks(page, "yaml")
    assert len(shown) == 5
    for block in shown:
        assert any(block.rstrip("\n") in text for text in written), block
    assert str(case.relative_to(ROOT)) in page.read_text()


def test_the_refusal_that_is_shown_is_what_is_said(tmp_path: Path) -> None:
    (shown,) = blocks(ROOT / "docs/from-finding-to-stage.md", "text")
    size = "{fact: tumour_size, at_most: 20, unit: mm}"
    changed = planted(tmp_path, ("figo-2018.yaml", size, size.replace("20", "19")))
    assert [str(each) for each in soundness.refusals(changed)] == [shown.strip()]


AUTHORING = {page: ROOT / f"docs/{page}.md" for page in ("add-a-regimen", "change-a-criterion", "check-a-figure")}
SPOILT = {
    "add-a-regimen": [
        ("policy/default.yaml", "[topotecan, vinorelbine, ", "[topotecan, "),
        ("regimens/vinorelbine.yaml", "fact: ecog", "fact: ecgo"),
    ],
    "change-a-criterion": [("precautions/bevacizumab.yaml", "{value: 1, unit: g/g}", "{value: 1, unit: mg/g}")],
    "check-a-figure": [
        ("evidence/keynote-826.yaml", "ci: [0.50, 0.77]", "ci: [0.65, 0.77]"),
        ("evidence/keynote-826.yaml", "    hazard_ratio: 0.62", "    hazard_ratio: 0,62"),
        ("evidence/impower133.yaml", "    checked: false", "    checked: true"),
    ],
}


@pytest.mark.parametrize("page", AUTHORING.values(), ids=AUTHORING)
def test_what_an_author_is_shown_of_the_knowledge_and_its_cases_stands_in_them(page: Path) -> None:
    """Word for word."""
    folders = [FOLDER, ROOT / "tests/cases/regimens"]
    written = [path.read_text() for folder in folders for path in folder.rglob("*.yaml")]
    shown = blocks(page, "yaml")
    assert shown
    for block in shown:
        assert any(block.rstrip("\n") in text for text in written), block


@pytest.mark.parametrize("page", AUTHORING)
def test_what_an_author_is_told_to_expect_is_what_is_printed(page: str, tmp_path: Path) -> None:
    """The refusals of the faults that the page describes, and the lines that `figaro knowledge show` prints."""
    printed = "".join(show(name) for name in ("vinorelbine", "precautions/bevacizumab", "keynote-826")).splitlines()
    told = [block.strip() for block in blocks(AUTHORING[page], "text")]
    refused = [line for line in told if line.startswith("refused  ")]
    assert set(told) - set(refused) <= set(printed)
    for number, (file, old, new) in enumerate(SPOILT[page]):
        copy = Path(shutil.copytree(FOLDER, tmp_path / str(number), ignore=shutil.ignore_patterns("*.py", "__pycache__", "pages")))
        text = (copy / file).read_text()
        assert old in text
        (copy / file).write_text(text.replace(old, new, 1))
        assert refused[number] in [f"refused  {refusal}" for refusal in check(copy)]
    assert len(refused) == len(SPOILT[page])


def test_the_review_that_is_to_be_entered_is_one(tmp_path: Path) -> None:
    before, after = blocks(ROOT / "docs/review.md", "yaml")
    (tmp_path / "after.yaml").write_text(after)
    assert before in (ROOT / "services/staging/rules/figo-2018.yaml").read_text()
    assert load(tmp_path / "after.yaml", dict[str, Review])["review"].state == "reviewed"


def test_what_the_tutorial_prints_is_what_is_printed() -> None:
    """The note on syn-123, word for word but for the digest."""
    from examples.resources import collection, key_of
    from examples.synthetic_patients import patients
    from services.note import note

    page = ROOT / "docs/first-case.md"
    (shown,) = [block for block in blocks(page, "") if block.startswith("Patient/syn-123")]
    (patient,) = [each for each in patients() if key_of(each) == "syn-123"]
    record = read_bundle(msgspec.json.encode(collection(patient)))
    known = rules()
    assert shown == note(record, stage(record, known), known).replace(known.knowledge.digest[:8], "…")


@pytest.mark.parametrize(("page", "lines"), [("README.md", 120), ("services/staging/README.md", 40), ("services/recommend/README.md", 40)])
def test_a_first_page_is_short(page: str, lines: int) -> None:
    assert len((ROOT / page).read_text().splitlines()) < lines


def test_the_pages_are_found() -> None:
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= {name(page) for page in PAGES}
    assert len(DOCS) >= 9
    assert len(files()) > len(PAGES)
