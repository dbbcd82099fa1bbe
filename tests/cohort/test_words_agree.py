"""What page, terminal and refusals say of an export agrees with the figures, and one odd line is named instead of silencing a cohort."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from examples.study_cohort import bundles
from services.cohort.document import html
from services.cohort.report import made, of_result
from services.cohort.result import Manifest
from services.cohort.summary import notes, without_numbers
from services.cohort.terminal import tables
from services.cohort_study import STUDY
from shared.fhir.outcome import Refused
from tests.cohort.export import Json, done, planned, resources, write
from tests.cohort.study_rows import rows
from tests.cohort.test_command import figaro

HERS: list[Json] = list(resources(bundles()[:4]))
LINES = {kind: sum(one["resourceType"] == kind for one in HERS) for kind in ("Condition", "Observation", "Procedure")}
pytestmark = pytest.mark.usefixtures("fitted_once")


def result(
    tmp_path: Path, given: list[Json], mend: Callable[[Path], Any] = lambda export: None, **asked: Any
) -> tuple[Manifest, list[Json]]:
    export = write(tmp_path / "export", given)
    mend(export)
    manifest, found = done(planned(export, study=STUDY, **asked))
    return manifest, [row for row in found.values() if row["applies"]]


def said(manifest: Manifest) -> str:
    return "\n".join(notes(manifest))


def renamed(given: list[Json], name: str, reference: str) -> list[Json]:
    """The resources of one patient under another id, and called so by the others."""
    text = json.dumps(given).replace('"reference": "Patient/study-01"', f'"reference": "{reference}"').replace('"study-01"', f'"{name}"')
    found: list[Json] = json.loads(text)
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Json]:
    return result(tmp_path_factory.mktemp("whole"), HERS)[1]


def torn(export: Path) -> None:
    file = export / "Procedure.ndjson"
    file.write_bytes(file.read_bytes()[:-5])


def in_the_shape_of_r5(export: Path) -> None:
    file = export / "Procedure.ndjson"
    file.write_text(file.read_text().replace('"performedPeriod"', '"occurrencePeriod"'))


@pytest.mark.parametrize("broken", [torn, in_the_shape_of_r5])
def test_nobody_is_said_to_be_left_out_who_is_counted(tmp_path: Path, whole: list[Json], broken: Callable[[Path], None]) -> None:
    manifest, found = result(tmp_path, HERS, broken)
    assert {(row["group"], row["counted"]) for row in found} == {(None, True)}
    for told in (said(manifest), " ".join(without_numbers(manifest.counts)), html(of_result(tmp_path / "export-cohort"))):
        assert "their treatment group is open, as that of all is" in told
        assert "left out of the study" not in told


def test_one_whose_procedure_is_torn_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    def mend(export: Path) -> None:
        lines = (export / "Procedure.ndjson").read_text().splitlines()
        (export / "Procedure.ndjson").write_text("\n".join([lines[0][:-5], *lines[1:]]) + "\n")

    manifest, found = result(tmp_path, HERS, mend)
    assert sum(not row["counted"] for row in found) == 1
    assert "their treatment group is open, and they are left out of the study" in said(manifest)


def test_an_empty_file_says_that_nobody_had_any_and_is_counted_so(tmp_path: Path) -> None:
    manifest, found = result(tmp_path, HERS, lambda export: (export / "Procedure.ndjson").write_text(""))
    assert {row["group"] for row in found} == {"B"}
    report = of_result(tmp_path / "export-cohort")
    assert (report.sizes[1:], report.apart) == (("0", "4"), "")
    for told in (said(manifest), " ".join(without_numbers(manifest.counts)), html(report)):
        assert (
            "A file of Procedure is there and empty: that says that nobody had an operation or radiotherapy, and it is counted so" in told
        )
        assert "radiotherapy are not known" not in told
        assert "Not read" not in told


def test_without_a_file_of_them_radiotherapy_is_not_known_and_nobody_is_in_a_group(tmp_path: Path) -> None:
    manifest, found = result(tmp_path, HERS, lambda export: (export / "Procedure.ndjson").unlink())
    assert {row["group"] for row in found} == {None}
    assert "The export has no Procedure: operations and radiotherapy are not known" in said(manifest)
    assert "there and empty" not in said(manifest)


def test_empty_files_of_medication_leave_no_cycles_and_the_refusal_says_so(tmp_path: Path) -> None:
    result(tmp_path, HERS, lambda export: (export / "MedicationAdministration.ndjson").write_text(""))
    with pytest.raises(Refused, match="an empty file of medication, which says that nobody had any"):
        of_result(tmp_path / "export-cohort")


def influenza(number: int = 1, subject: Json | None = None) -> list[Json]:
    subject = {"identifier": {"value": "123"}} if subject is None else subject
    return [{"resourceType": "Condition", "id": f"flu-{n}", "code": {"text": "flu"}, "subject": subject} for n in range(number)]


@pytest.mark.parametrize(
    ("subject", "why"),
    [
        ({"identifier": {"value": "123"}}, "its subject is an identifier alone"),
        ({"reference": "#patient"}, "its subject stands inside it"),
        ({"reference": "Patient?identifier=17"}, "its subject is a search"),
        ({"display": "Mrs Example"}, "its subject has no reference"),
    ],
)
def test_the_first_line_of_nobody_is_named_with_the_way_out(tmp_path: Path, subject: Json, why: str) -> None:
    manifest, found = result(tmp_path, [*HERS, *influenza(2, subject)])
    assert {(row["progressed"], row["counted"]) for row in found} == {(None, False)}
    first = f"The first: Condition.ndjson, line {LINES['Condition'] + 1}: {why}. Mend it, or take it out"
    assert first in said(manifest)
    with pytest.raises(Refused) as refused:
        of_result(tmp_path / "export-cohort")
    assert first in str(refused.value)
    assert "123" not in str(refused.value)
    hidden = " ".join(without_numbers(manifest.counts))
    assert "withheld for all; without --hide-below it is said which" in hidden
    assert not any(letter.isdigit() for letter in hidden)


def test_a_line_that_is_too_long_or_broken_is_named_too(tmp_path: Path) -> None:
    manifest, _ = result(tmp_path, HERS, lambda export: (export / "zz.ndjson").write_text('\n{"resourceType":"Procedure","id":"x","stat\n'))
    assert "The first: zz.ndjson, line 2: is no FHIR resource in JSON" in said(manifest)


def haemoglobins(number: int) -> list[Json]:
    some = next(one for one in HERS if one["resourceType"] == "Observation" and "718-7" in json.dumps(one))
    return [some | {"id": f"again-{n}"} for n in range(number)]


@pytest.mark.parametrize("every", [False, True])
def test_lines_of_nobody_that_are_less_than_one_in_a_thousand_of_these_patients_own_withhold_nothing(
    tmp_path: Path, whole: list[Json], every: bool
) -> None:
    """Others, who have no row without --all, do not make them fewer."""
    someone = [{"resourceType": "Patient", "id": "other"}]
    others = [one | {"id": f"o{one['id']}", "subject": {"reference": "Patient/other"}} for one in haemoglobins(1_000)]
    lost = [one | {"id": f"lost-{n}", "subject": {"display": "?"}} for n, one in enumerate(haemoglobins(2))]
    manifest, found = result(tmp_path / "few", [*HERS, *haemoglobins(1_000), *someone, *others, *lost[:1]], all=every)
    assert found == whole
    assert (manifest.counts.lost, manifest.counts.spared, manifest.counts.unread) == ({"Observation": 1}, ("Observation",), ())
    assert "not one in 1,000 of their lines would be missing: nothing is withheld. The first: Observation.ndjson, line" in said(manifest)
    assert "withheld" not in " ".join(without_numbers(manifest.counts))
    manifest, found = result(tmp_path / "many", [*HERS, *haemoglobins(1_000), *someone, *others, *lost], all=every)
    assert (manifest.counts.spared, {row["progressed"] for row in found}) == ((), {None})


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("under_score", "Patient/under_score"),
        ("under_score", "https://fhir.example/r4/Patient/under_score"),
        ("under_score", "Patient/under_score/_history/2"),
        ("long" * 20, f"Patient/{'long' * 20}"),
        ("0c9f6a1e-0000-4000-8000-000000000001", "urn:uuid:0c9f6a1e-0000-4000-8000-000000000001"),
    ],
)
def test_an_id_that_fhir_does_not_allow_or_a_urn_is_still_hers(tmp_path: Path, whole: list[Json], name: str, reference: str) -> None:
    manifest, found = result(tmp_path, renamed(HERS, name, reference))
    assert manifest.counts.lost == {}
    hers = next(row for row in found if row["patient"] == f"Patient/{name}")
    before = next(row for row in whole if row["patient"] == "Patient/study-01")
    same = ("counted", "group", "os_days", "pfs_days", "figo_2018", "cycles", "died", "best_locoregional")
    assert {column: hers[column] for column in same} == {column: before[column] for column in same}
    assert [row for row in found if row is not hers] == [row for row in whole if row is not before]


@pytest.mark.parametrize("reference", ["Patient/under_score", "urn:uuid:under_score"])
def test_a_broken_line_of_such_a_patient_is_unknown_of_her_alone(tmp_path: Path, whole: list[Json], reference: str) -> None:
    def breaks(export: Path) -> None:
        lines = (export / "Procedure.ndjson").read_text().splitlines()
        place = next(n for n, line in enumerate(lines) if reference in line)
        lines[place] = json.dumps({"subject": None} | json.loads(lines[place]))[:-5]
        (export / "Procedure.ndjson").write_text("\n".join(lines) + "\n")

    manifest, found = result(tmp_path, renamed(HERS, "under_score", reference), breaks)
    assert manifest.counts.lost == {}
    assert [row["patient"] for row in found if row["group"] is None] == ["Patient/under_score"]


def test_no_sentence_counts_nobody(tmp_path: Path, whole: list[Json]) -> None:
    manifest, _ = result(tmp_path, HERS)
    assert "no cervical cancer found" not in said(manifest)
    one = {"resourceType": "Patient", "id": "other"}
    assert "1 patients: no cervical cancer found" in said(result(tmp_path / "more", [*HERS, one])[0])


def test_too_few_to_show_is_said_only_where_few_are_hidden() -> None:
    nobody = [row | {"counted": False, "left_out": "cycles"} for row in rows()[:3]]
    with pytest.raises(Refused, match="study's criteria: its rows"):
        made(nobody)
    with pytest.raises(Refused, match="study's criteria, or too few to show: its rows"):
        made(nobody, threshold=5)


def test_a_p_below_a_thousandth_is_written_without_an_equals_sign() -> None:
    apart = [row | {"os_days": 900 + n if row["group"] == "A" else 100 + n, "died": True} for n, row in enumerate(rows())]
    report = made(apart)
    assert report.parts["os"].p == "< 0.001"
    captions = " ".join(str(table.caption) for table in tables(report))
    for told in (captions, html(report).replace("&lt;", "<")):
        assert "og-rank p < 0.001" in told
        assert "= <" not in told


@pytest.mark.server
def test_the_report_is_not_written_among_the_files_of_the_export(tmp_path: Path) -> None:
    export = write(tmp_path / "export", HERS)
    before = sorted(path.name for path in export.iterdir())
    refused = figaro("cohort", export, "--to", tmp_path / "to", "--report", tmp_path / "to" / ".." / "export")
    assert refused.returncode == 2
    assert "The report cannot go among the files of the export: give another folder with --report." in refused.stderr
    assert sorted(path.name for path in export.iterdir()) == before
    assert not (tmp_path / "to").exists()


@pytest.mark.slow
def test_dask_logs_nothing_over_the_progress(tmp_path: Path) -> None:
    ran = figaro("cohort", write(tmp_path / "export", HERS), "--engine", "dask", "--workers", "1", "--to", tmp_path / "to")
    assert ran.returncode == 0, ran.stderr
    assert '"level"' not in ran.stderr
    assert "distributed" not in ran.stderr
