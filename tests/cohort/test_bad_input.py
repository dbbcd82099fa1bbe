"""What an export may lack or have too much of: it is said, with file and line, and the rest is used."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.study_cohort import bundles
from services.cohort.blocks import BROKEN_GZIP
from services.cohort.report import of_result
from services.cohort.result import MANIFEST, ROWS, Manifest
from services.cohort.summary import notes
from services.cohort.torn import NO_JSON
from services.cohort_study import STUDY
from shared.fhir.outcome import Refused, Unreadable
from tests import synthetic
from tests.cohort.export import Json, done, planned, resources, write
from tests.docs.markdown import ROOT

CASES = ("ivb-cps-10", "equivocal-lung-nodules", "carcinoma-in-situ")
HERS: list[Json] = list(resources(synthetic.bundle(case) for case in CASES))


def patient_of(case: str) -> str:
    return f"Patient/{synthetic.bundle(case)['entry'][0]['resource']['id']}"


def said(manifest: Manifest) -> str:
    return "\n".join(notes(manifest))


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write(tmp_path / "export", HERS)


def add(export: Path, name: str, *lines: bytes) -> None:
    with (export / name).open("ab") as file:
        file.writelines(line + b"\n" for line in lines)


def condition(patient: str, code: str = "I10", **more: object) -> Json:
    coding = {"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": code}
    return {"resourceType": "Condition", "id": "x", "subject": {"reference": patient}, "code": {"coding": [coding]}} | more


def test_broken_lines_are_named_by_file_and_line_in_whatever_piece_they_stand(export: Path) -> None:
    count = len((export / "Observation.ndjson").read_bytes().splitlines())
    add(
        export,
        "Observation.ndjson",
        b'{"resourceType":"Observation","note":"Mrs Example',
        b"[]",
        b"",
        b'{"resourceType":"Observation","subject":1}',
    )
    for piece in (1 << 20, 3_000):
        manifest, rows = done(planned(export, to=export.with_name(f"by-{piece}"), piece=piece))
        found = [(fault.file, fault.line, fault.text) for fault in manifest.counts.faults]
        assert found == [
            ("Observation.ndjson", count + 1, NO_JSON),
            ("Observation.ndjson", count + 2, NO_JSON),
            ("Observation.ndjson", count + 4, "cannot be read as Observation; it is not used."),
        ]
        assert manifest.counts.unreadable == 3
        assert len(rows) == 3
        assert "Example" not in said(manifest)


def test_a_resource_in_several_lines_is_no_ndjson(export: Path) -> None:
    add(export, "Condition.ndjson", *json.dumps(condition("Patient/other", "C53.9"), indent=1).encode().splitlines())
    manifest, rows = done(planned(export))
    assert manifest.counts.unreadable > 5
    assert "Patient/other" not in rows


def test_line_ends_empty_lines_and_a_byte_order_mark_change_nothing(export: Path) -> None:
    first = planned(export, to=export.with_name("first"))
    done(first)
    for file in export.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n\r\n").removesuffix(b"\r\n\r\n"))
    second = planned(export, to=export.with_name("second"), piece=5_000)
    manifest, _ = done(second)
    assert manifest.counts.unreadable == 0
    assert (second.folder / ROWS).read_bytes() == (first.folder / ROWS).read_bytes()


def test_of_a_truncated_gzip_what_stands_before_the_break_is_used(tmp_path: Path) -> None:
    export = write(tmp_path / "export", HERS, packed=True)
    # The end of the Observations is gone.
    path = export / "Observation.ndjson.gz"
    plain = gzip.decompress(path.read_bytes())
    many = b"".join(line.replace(b'"syn-', b'"another-%d-' % n) for n in range(60) for line in plain.splitlines(keepends=True))
    path.write_bytes(gzip.compress(plain + many)[:-40])
    manifest, rows = done(planned(export))
    assert [fault.text for fault in manifest.counts.faults] == [BROKEN_GZIP]
    assert manifest.counts.faults[0].line == manifest.counts.kinds["Observation"] + 1
    assert manifest.counts.kinds["Observation"] > 40 * len(plain.splitlines())
    assert rows[patient_of("ivb-cps-10")]["figo_2018"]["stage"] == "IVB"


def test_of_a_resource_that_stands_twice_the_newest_is_used_and_the_copies_are_counted(export: Path) -> None:
    who = patient_of("ivb-cps-10")
    (at,) = [one for one in HERS if one["resourceType"] == "Condition" and one["subject"]["reference"] == who and "primary" in one["id"]]
    newer = at | {"meta": {"lastUpdated": "2026-11-01T00:00:00Z", "versionId": "9"}}
    newer["verificationStatus"] = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "refuted"}]}
    add(export, "again.ndjson", json.dumps(newer).encode())
    manifest, rows = done(planned(export))
    assert manifest.counts.copies == 1
    assert rows[who]["why_not"] == "the diagnosis of cervical cancer is refuted"
    assert "1 resource of these patients stands more than once" in said(manifest)


@pytest.mark.parametrize(
    ("kind", "words"),
    [("Observation", "no Observation: stages rest on Conditions alone"), ("Patient", "no Patient"), ("Condition", "no Condition")],
)
def test_a_type_that_is_missing_is_said(tmp_path: Path, kind: str, words: str) -> None:
    manifest, rows = done(planned(write(tmp_path / "export", [one for one in HERS if one["resourceType"] != kind])))
    assert words in said(manifest)
    assert len(rows) == 3 or kind == "Condition"


def test_patients_without_conditions_and_patients_that_the_export_has_not_are_counted(export: Path) -> None:
    add(export, "Patient.ndjson", b'{"resourceType":"Patient","id":"nothing-else"}')
    add(export, "Condition.ndjson", json.dumps(condition("Patient/elsewhere", "C53.9")).encode())
    manifest, rows = done(planned(export))
    assert (manifest.counts.patients.without_conditions, manifest.counts.patients.unknown) == (1, 1)
    assert rows["Patient/elsewhere"]["applies"]
    assert "1 patients have no Condition." in said(manifest)
    assert "1 patients are named by resources, and have no Patient in the export" in said(manifest)


@pytest.mark.parametrize("reference", [{"reference": "Group/1"}, {"reference": "#p"}, {"identifier": {"value": "17"}}, {}])
def test_what_names_no_patient_is_counted_and_not_used(export: Path, reference: Json) -> None:
    add(export, "Condition.ndjson", json.dumps(condition("", "C53.9") | {"subject": reference}).encode())
    manifest, rows = done(planned(export))
    assert len(rows) == 3
    assert "1 x Condition name no patient that can be told; they are not used." in said(manifest)


def test_a_patient_by_her_whole_address_is_the_same_patient(export: Path) -> None:
    first = done(planned(export, to=export.with_name("first")))[1]
    for file in export.iterdir():
        file.write_bytes(file.read_bytes().replace(b'"reference": "Patient/', b'"reference": "https://ehr.example/fhir/Patient/'))
    assert done(planned(export))[1] == first


def test_patients_of_two_servers_under_one_id_are_no_one(export: Path) -> None:
    add(
        export,
        "Condition.ndjson",
        *(json.dumps(condition(f"https://{host}.example/Patient/1", "C53.9", id=host)).encode() for host in "ab"),
    )
    manifest, rows = done(planned(export))
    assert "more than one server" in rows["Patient/1"]["error"]
    assert manifest.counts.errors == 1


def test_shapes_of_other_versions_are_named(export: Path) -> None:
    count = len((export / "Condition.ndjson").read_bytes().splitlines())
    stu3 = condition("Patient/old", "C53.9", assertedDate="2017-01-01", clinicalStatus="active", verificationStatus="confirmed")
    r5 = {
        "resourceType": "MedicationRequest",
        "id": "m",
        "subject": {"reference": "Patient/new"},
        "medication": {"concept": {"text": "cisplatin"}},
    }
    add(export, "Condition.ndjson", json.dumps(stu3).encode())
    add(export, "MedicationRequest.ndjson", json.dumps(r5).encode())
    manifest, rows = done(planned(export))
    found = {(each.version, each.kind): (each.count, each.file, each.line) for each in manifest.counts.foreign}
    assert found[("STU3", "Condition")] == (1, "Condition.ndjson", count + 1)
    assert ("R5", "MedicationRequest") in found
    assert "in the shape of FHIR STU3" in said(manifest)
    assert [issue["code"] for issue in rows["Patient/old"]["issues"]] == ["resource-unreadable"]


def test_types_that_are_not_read_and_types_that_nobody_knows_are_passed_over(export: Path) -> None:
    add(
        export,
        "other.ndjson",
        b'{"resourceType":"Encounter","subject":7}',
        b'{"resourceType":"Tricorder","id":"1"}',
        b'{"id":"1","resourceType":"Claim"}',
    )
    manifest, _ = done(planned(export))
    assert manifest.counts.unreadable == 0
    assert {kind: manifest.counts.kinds[kind] for kind in ("Encounter", "Tricorder", "Claim")} == {
        "Encounter": 1,
        "Tricorder": 1,
        "Claim": 1,
    }


def test_a_medication_is_found_wherever_it_stands(export: Path) -> None:
    who = patient_of("ivb-cps-10")
    order = {"resourceType": "MedicationRequest", "id": "o", "status": "active", "intent": "order", "subject": {"reference": who}}
    order["medicationReference"] = {"reference": "Medication/cis"}
    add(export, "MedicationRequest.ndjson", json.dumps(order).encode())
    without = done(planned(export, to=export.with_name("without")))[1][who]
    assert "MedicationRequest/o: its medication is not in the record" in str(without["issues"])
    add(
        export,
        "a.ndjson",
        b'{"resourceType":"Medication","id":"cis","code":{"text":"cisplatin"}}',
        b'{"resourceType":"Medication","id":"not-hers"}',
    )
    assert "its medication is not in the record" not in str(done(planned(export))[1][who]["issues"])


def test_an_order_that_cannot_be_read_is_an_issue_of_her_row(export: Path) -> None:
    who = patient_of("ivb-cps-10")
    order = {"resourceType": "MedicationRequest", "id": "o", "subject": {"reference": who}, "medicationReference": 7}
    add(export, "MedicationRequest.ndjson", json.dumps(order).encode())
    assert "MedicationRequest/o cannot be read" in str(done(planned(export))[1][who]["issues"])


FULL = """
import resource, sys
from pathlib import Path
from services.cohort.engines import engine
from services.cohort.run import run
from shared.fhir.outcome import Refused
from tests.cohort.export import planned

if __name__ == "__main__":
    plan = planned(Path(sys.argv[1]))
    # No file may grow beyond this: what a full disk is to whoever writes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        with engine(sys.argv[3]) as working:
            run(plan, working)
    except Refused as error:
        print(error)
"""


@pytest.mark.server
@pytest.mark.parametrize("size", [2_000, 5_500, 9_000])
def test_a_disk_that_fills_is_one_sentence_and_leaves_nothing_half_written(export: Path, size: int) -> None:
    script = export.with_name("full.py")
    script.write_text(FULL)
    command = [sys.executable, str(script), str(export), str(size), "process"]
    done_ = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert "No room is left on the disk" in done_.stdout, done_.stderr
    assert "the same command goes on where it stopped" in done_.stdout
    plan = planned(export)
    assert not (plan.folder / MANIFEST).exists()
    assert len(done(plan)[1]) == 3


def test_a_folder_without_ndjson_or_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(Unreadable):
            planned(path)


def test_an_export_of_nobody_is_a_result_of_nobody(tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "Condition.ndjson").touch()
    manifest, rows = done(planned(tmp_path / "export"))
    assert (manifest.counts.patients.patients, rows) == (0, {})


def _interrupted_after(step: str) -> Callable[[str, int, int], None]:
    def told(name: str, count: int, total: int) -> None:
        if name == step and count:
            raise KeyboardInterrupt

    return told


@pytest.mark.parametrize("step", ["read the export", "gather the patients", "stage", "write the rows"])
def test_what_was_cut_off_goes_on_and_nothing_half_done_is_taken_for_whole(export: Path, step: str) -> None:
    from services.cohort.engines import OneProcess
    from services.cohort.run import run

    whole = planned(export, to=export.with_name("whole"), piece=20_000)
    done(whole)
    plan = planned(export, piece=20_000)
    with pytest.raises(KeyboardInterrupt):
        run(plan, OneProcess(), _interrupted_after(step))
    assert not (plan.folder / MANIFEST).exists()
    before = {path: path.stat().st_mtime_ns for path in (plan.work / "scan").glob("*.parquet")}
    assert before
    passed: list[str] = []
    run(plan, OneProcess(), lambda name, count, total: passed.append(name))
    for name in (ROWS, "cohort.parquet"):
        assert (plan.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert not plan.work.exists()


def test_what_is_done_is_not_done_again_until_the_export_changes(export: Path) -> None:
    plan = planned(export)
    done(plan)
    first = (plan.folder / ROWS).stat().st_mtime_ns
    done(planned(export))
    assert (plan.folder / ROWS).stat().st_mtime_ns == first
    add(export, "Condition.ndjson", json.dumps(condition("Patient/new", "C53.9")).encode())
    assert "Patient/new" in done(planned(export))[1]


def test_a_type_that_is_absent_or_cut_off_is_unread_to_staging_and_to_the_study(tmp_path: Path) -> None:
    """Silence there is unknown (ADR 0020): no group is assigned, and what the file should hold is named."""
    hers = list(resources(bundles()[:3]))
    whole, _ = done(planned(write(tmp_path / "whole", hers), study=STUDY))
    assert (whole.counts.unread, whole.counts.counted, whole.counts.marked) == ((), 3, 3)
    without = write(tmp_path / "without", [one for one in hers if one["resourceType"] != "Procedure"])
    manifest, rows = done(planned(without, study=STUDY))
    assert manifest.counts.absent == ("Procedure",)
    assert {(row["counted"], row["group"], row["pelvic_radiotherapy"]) for row in rows.values()} == {(True, None, None)}
    assert {"treatments" in row["figo_2018"]["missing"] for row in rows.values()} == {True}
    (without / "Procedure.ndjson").write_bytes(b"")
    assert done(planned(without, study=STUDY))[0].counts.unread == ()  # the file is there: nobody had any
    for name, cut in (("gzip", gzip.compress((tmp_path / "whole/Procedure.ndjson").read_bytes())[:-40]), ("plain", None)):
        broken = write(tmp_path / name, hers)
        data = (broken / "Procedure.ndjson").read_bytes()
        (broken / "Procedure.ndjson").write_bytes(cut or data[:-30])
        manifest, rows = done(planned(broken, study=STUDY))
        assert manifest.counts.cut == ("Procedure",)
        assert {row["group"] for row in rows.values()} == {None}
        assert "A file breaks off, so that not all is here of Procedure." in said(manifest)


def test_why_a_group_or_cycles_are_open_is_said_in_the_row_exactly(tmp_path: Path) -> None:
    hers = list(resources(bundles()[:2]))
    whole = write(tmp_path / "whole", hers)
    cut = write(tmp_path / "cut", hers)
    (cut / "Procedure.ndjson").write_bytes((whole / "Procedure.ndjson").read_bytes()[:-30])
    without = write(tmp_path / "without", [one for one in hers if one["resourceType"] not in ("Procedure", "MedicationAdministration")])
    for export, told in (
        (whole, {}),
        (cut, {"group open": "radiotherapy is not known: a file of Procedure breaks off"}),
        (
            without,
            {
                "group open": "radiotherapy is not known: the export has no Procedure",
                "cycles open": "chemotherapy is not known: the export has no medication of any kind",
            },
        ),
    ):
        for row in done(planned(export, study=STUDY))[1].values():
            reasons = {each["assigned"]: each["says"] for each in row["reasons"]}
            assert {name: says for name, says in reasons.items() if name.endswith(" open")} == told
            assert any(name.startswith("group ") for name in reasons)
            assert any("cycles" in name for name in reasons)


def test_without_any_medication_cycles_are_not_told(tmp_path: Path) -> None:
    hers = [one for one in resources(bundles()[:2]) if not one["resourceType"].startswith("Medication")]
    plan = planned(write(tmp_path / "export", hers), study=STUDY)
    assert {(row["cycles"], row["every_cycle"]) for row in done(plan)[1].values()} == {(None, None)}
    with pytest.raises(Refused, match="no medication of any kind"):
        of_result(plan.folder)


def test_a_result_that_somebody_has_changed_is_made_anew(export: Path) -> None:
    plan = planned(export)
    _, rows = done(plan)
    (plan.folder / ROWS).write_bytes(b"")
    assert done(plan)[1] == rows


def test_work_of_another_question_is_not_gone_on_with(export: Path) -> None:
    from services.cohort.engines import OneProcess
    from services.cohort.run import run

    with pytest.raises(KeyboardInterrupt):
        run(planned(export, all=True), OneProcess(), _interrupted_after("stage"))
    assert len(done(planned(export, as_of="2026-11-01"))[1]) == 3


def test_an_export_that_changes_while_it_is_read_is_refused_and_read_anew(export: Path) -> None:
    from services.cohort.engines import OneProcess
    from services.cohort.run import run

    def change(name: str, count: int, total: int) -> None:
        if name == "stage" and not count:
            add(export, "Condition.ndjson", json.dumps(condition("Patient/new", "C53.9")).encode())

    with pytest.raises(Refused, match="have changed"):
        run(planned(export), OneProcess(), change)
    assert "Patient/new" in done(planned(export))[1]


def test_the_results_do_not_go_among_the_files_of_the_export(export: Path) -> None:
    with pytest.raises(Refused, match="--to"):
        done(planned(export, to=export))


def test_what_the_server_could_not_export_is_said(export: Path) -> None:
    add(
        export,
        "z.ndjson",
        b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"timeout","diagnostics":"Mrs Example"}]}',
    )
    assert "1 OperationOutcomes of the server are among the lines" in said(done(planned(export))[0])


def test_two_runs_in_one_folder_at_once_are_refused(export: Path) -> None:
    from services.cohort.engines import OneProcess
    from services.cohort.run import run

    plan = planned(export)

    def again(name: str, count: int, total: int) -> None:
        with pytest.raises(Refused, match=re.escape(str(plan.folder))):
            run(plan, OneProcess())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(plan, OneProcess(), again)
