"""`figaro check`: what a FHIR server lets us do, and what we fall back to where it does not. Writes nothing.

What the CapabilityStatement says is tried where trying changes nothing: each search for a patient who does not exist, a posted search, a
transaction without entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import SecretStr
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text
from yarl import URL

from shared.fhir.capability import Capabilities
from shared.fhir.client import FhirClient
from shared.fhir.guard import fhir_base
from shared.fhir.outcome import FigaroError, NotFound, Rejected, ServerAnswer, Unauthorised, Unavailable, printable
from shared.fhir.write_mode import CHOICE, Offer, writing
from shared.service.settings import Settings
from shared.smart.clients import Open, Role
from shared.smart.discovery import Discovery
from shared.smart.issuers import Issuer, Issuers, issuers_of
from shared.smart.servers import reaching
from shared.smart.tokens import authority

Answer = Literal["yes", "no", "fallback"]
NOBODY = "figaro-check-nobody"
_SKEW = 120  # seconds that a clock may be off before tokens are refused
_COLOURS = {"yes": "green", "no": "bold red", "fallback": "yellow"}


class CheckSettings(Settings):
    """What `check` reads of the environment: who we are at the server that it asks about, if that is in the settings."""

    issuers: Path | None = None
    fhir_base: str | None = None
    fhir_bases: tuple[str, ...] = ()
    fhir_token: SecretStr | None = None
    fhir_write_token: SecretStr | None = None
    fhir_networks: tuple[str, ...] = ()

    def issuer(self, base: URL, role: Role) -> Issuer:
        """Who we are there: as the settings say, else nobody. A token is for FIGARO_FHIR_BASE or, without that, for `base`."""
        return self._named(base, role) or Issuer(id="asked", base=str(base), write=Open())

    def unnamed(self, base_url: str) -> str | None:
        """What to say of a server that the settings do not name; None of one that they do."""
        if self._named(base := fhir_base(base_url), "read"):
            return None
        where = "in the issuers file" if self.issuers else "FIGARO_FHIR_BASE, nor in FIGARO_FHIR_BASES"
        return f"{base} is not {where}: asked without credentials."

    def _named(self, base: URL, role: Role) -> Issuer | None:
        token = self.fhir_token if role == "read" else self.fhir_write_token
        named = self.fhir_base or (None if self.issuers else str(base))
        known = issuers_of(file=self.issuers, base=named, bases=self.fhir_bases, token=token, role=role)
        return next((issuer for issuer in known if issuer.base == str(base)), None)


class Row(NamedTuple):
    """One thing that we need of a server; without a `needed` one it is not usable."""

    what: str
    answer: Answer
    says: str
    needed: bool = False


async def look(base_url: str, searched: Sequence[tuple[str, bool]], settings: CheckSettings) -> list[Row]:
    """The rows of the table. `searched` are the kinds searched by patient, and whether they are needed.

    Raises what the server answers where it is no FHIR R4 server, or is not there.
    """
    base = fhir_base(base_url)
    reader, writer = settings.issuer(base, "read"), settings.issuer(base, "write")
    async with reaching(Issuers((reader,)), settings.fhir_networks) as session:
        server = FhirClient(base_url, token=authority(reader, "read", session), session=session, retries=1)
        said = await server.capabilities()
        rows = [_version(said)]
        tried = {kind: await _search(server, kind) for kind, _ in searched}
        rows.append(await _auth(said, Discovery(base, session), tried.values(), given=reader.read != Open()))
        rows.append(_clock(server.skew))
        rows += [_found(kind, said, tried[kind], needed) for kind, needed in searched]
        rows += [await _posted(server), _subscriptions(said), _export(said)]
        if writer.write is None:
            return [*rows, Row("the answer", "no", "page: the issuers file says that nothing is written there")]
        return rows + await _writable(FhirClient(base_url, token=authority(writer, "write", session), session=session), said)


async def _writable(server: FhirClient, said: Capabilities) -> list[Row]:
    try:
        return _writes(await server.offer(), "taken when tried, without entries")
    except Unauthorised:
        return _writes(Offer(said, said.system("transaction")), "as it says; not tried without a token")


def usable(rows: Iterable[Row]) -> bool:
    """Whether a case can be carried to its answer there, if only to our own page."""
    return not any(row.needed and row.answer == "no" for row in rows)


def table(rows: Iterable[Row], title: str) -> Table:
    """The rows for a terminal."""
    found = Table(title=title, title_justify="left", box=SIMPLE_HEAD)
    found.add_column("what", no_wrap=True)
    found.add_column("answer", no_wrap=True)
    found.add_column("in detail", overflow="fold")
    for row in rows:
        found.add_row(row.what, Text(row.answer, style=_COLOURS[row.answer]), Text(printable(row.says)))
    return found


def lines(rows: Sequence[Row]) -> str:
    """The rows as plain text, one a line, for a pipe."""
    width = max(len(row.what) for row in rows)
    return "\n".join(f"{row.what:{width}}  {row.answer:8}  {printable(row.says)}" for row in rows)


def _version(said: Capabilities) -> Row:
    name = f", {said.software.name} {said.software.version or ''}".rstrip() if said.software else ""
    return Row("version", "yes", f"FHIR {said.fhir_version}{name}", needed=True)


async def _search(server: FhirClient, kind: str) -> FigaroError | None:
    """What stands in the way of a search; None where it works."""
    try:
        await server.search(kind, {"patient": NOBODY, "_count": "1"})
    except (ServerAnswer, Unavailable) as error:
        return error
    return None


async def _auth(said: Capabilities, discovery: Discovery, tried: Iterable[FigaroError | None], *, given: bool) -> Row:
    shut = next((error for error in tried if isinstance(error, Unauthorised)), None)
    if shut is None:
        return Row("auth", "yes", "our token is taken" if given else "asks for no token", needed=True)
    advice = "our token does not reach this far" if given else "asks for a token: give FIGARO_FHIR_TOKEN, or an issuer"
    try:
        found = await discovery()
        host = URL(found.token_endpoint or "").host
        way = "for backend services" if "client-confidential-asymmetric" in found.capabilities else "without asymmetric client keys"
        advice += f"; SMART configuration {way}" + (f", tokens from {host}" if host else "")
    except (ServerAnswer, Unavailable, ValueError):
        named = f", it says {', '.join(said.security)}" if said.security else ""
        advice += f"; no SMART configuration{named}"
    return Row("auth", "no", f"{advice} ({shut.status})", needed=True)


def _clock(skew: float | None) -> Row:
    if skew is None:
        return Row("clock", "fallback", "it tells no time: not compared")
    off = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} ours"
    if abs(skew) > _SKEW:
        return Row("clock", "no", f"its clock is {off}: tokens will be refused, and dates mistaken; set the time")
    return Row("clock", "yes", f"its clock is {off}" if abs(skew) >= 2 else "agrees with ours")


def _found(kind: str, said: Capabilities, error: FigaroError | None, needed: bool) -> Row:
    what = f"search {kind}"
    if error is None:
        return Row(what, "yes", "by patient", needed)
    if isinstance(error, NotFound | Rejected) and said.searches(kind, "patient"):
        return Row(what, "yes", f"by patient, as it says; it answered {error.status} for nobody", needed)
    return Row(what, "no", f"by patient: it answered {error.status}", needed)


async def _posted(server: FhirClient) -> Row:
    try:
        await server.search("Condition", {"patient": NOBODY, "_count": "1"}, post=True)
    except (ServerAnswer, Unavailable) as error:
        return Row("posted search", "no", f"it answered {error.status}")
    if not server.posts:
        return Row("posted search", "fallback", "searches by GET: what is searched for stands in the server's log")
    return Row("posted search", "yes", "what is searched for stays out of the URL")


def _subscriptions(said: Capabilities) -> Row:
    if said.allows("Subscription", "create"):
        named = f"; topics it names: {len(said.topics)}" if said.topics else ""
        return Row("subscriptions", "yes", f"can be created; whether they fire is seen by `figaro subscribe`{named}")
    return Row("subscriptions", "fallback", "none: it is polled for what has changed")


def _export(said: Capabilities) -> Row:
    levels = [name for name, kind in (("system", None), ("patient", "Patient"), ("group", "Group")) if said.operates("export", kind)]
    if levels:
        return Row("bulk export", "yes", f"$export at level {', '.join(levels)}")
    return Row("bulk export", "fallback", "none: cohorts are read patient by patient, or from files")


_INSTEAD = {
    "CarePlan": "narrative and answer go into a DocumentReference",
    "RequestGroup": "the candidates stand in the narrative of the CarePlan",
    "Observation": "the derived stage stands in the narrative of the CarePlan",
    "Provenance": "the ledger keeps it",
}


def _writes(offer: Offer, transaction: str) -> list[Row]:
    how = writing(offer)
    rows = []
    if how.mode == "transaction":
        rows.append(Row("transaction", "yes", transaction))
    else:
        rows.append(Row("transaction", "fallback", "one conditional write after another" if how.mode == "ordered" else "not needed"))
    for kind, instead in _INSTEAD.items():
        rows.append(_write(offer, kind, instead, lacking=kind in how.lacking, mode=how.mode))
    if "RequestGroup" in how.lacking and offer.takes("RequestGroup"):
        missing = [kind for kind in CHOICE if not offer.takes(kind)]
        rows.append(Row("write options", "fallback", f"it takes no {', '.join(missing)}: candidates stand in the narrative"))
    takes = offer.said.allows("AuditEvent", "create")
    rows.append(Row("write AuditEvent", "yes" if takes else "fallback", "created" if takes else "our own audit log (figaro.audit)"))
    answer: Answer = "yes" if how.mode == "transaction" and not how.lacking else "no" if how.mode == "page" else "fallback"
    rows.append(Row("the answer", answer, f"{how.mode}: {how.why}"))
    return rows


def _write(offer: Offer, kind: str, instead: str, *, lacking: bool, mode: str) -> Row:
    what = f"write {kind}"
    if not lacking or (offer.takes(kind) and mode in ("transaction", "ordered")):
        own = "under an id of ours" if kind == "Provenance" else "conditional create"
        return Row(what, "yes", own if kind == "Provenance" or offer.conditional(kind) else "created after a look by identifier")
    if mode == "page":
        return Row(what, "no", "our own page shows it")
    if mode == "document" and kind != "CarePlan":
        return Row(what, "fallback", "inside the DocumentReference")
    return Row(what, "fallback", instead)
