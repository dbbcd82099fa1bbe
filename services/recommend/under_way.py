"""The line of systemic treatment that is being given: which candidate it is, and what it leaves open for every other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from services.recommend.codes import CodeBook
from services.recommend.eligibility import UNCHECKED, Fact, Facts, Measured, Told
from services.recommend.regimen import Need, Regimen
from services.recommend.treatments import swaps
from shared.oncology.recommendation import Ongoing, Reason
from shared.oncology.stage import Missing


class UnderWay(msgspec.Struct, frozen=True):
    """An ongoing line, seen from the candidates."""

    line: Ongoing
    book: CodeBook

    def is_(self, regimen: Regimen) -> bool:
        """Whether this regimen is what she is being given."""
        return not regimen.radiotherapy and set(regimen.drugs) == set(self.line.drugs)

    def changed_by(self, regimen: Regimen) -> bool:
        """Whether the regimen would be another treatment. Drugs beside radiotherapy are none; nor, in the first weeks, is a drug more."""
        if not regimen.gives or regimen.radiotherapy or self.is_(regimen):
            return False
        return self.line.settled or not all(self._kept(drug, regimen) for drug in self.line.drugs)

    def _kept(self, drug: str, regimen: Regimen) -> bool:
        return any(name == drug or swaps(self.book.drug(name), self.book.drug(drug)) for name in regimen.drugs)

    @property
    def words(self) -> str:
        """Drugs, cycles and days."""
        cycles = f"{self.line.cycles} cycle{'' if self.line.cycles == 1 else 's'}"
        return f"{' and '.join(self.line.drugs)}, {cycles} since {self.line.since}, last given on {self.line.last}"

    def opened(self, facts: Facts) -> Facts:
        """The facts for another treatment: whether it would be this line or a further one is open."""
        line = facts.known.get("line")
        if not isinstance(line, Measured):
            return facts
        how = f"{line.how}; a change of treatment is the board's question"
        return msgspec.structs.replace(facts, known={**facts.known, "line": msgspec.structs.replace(line, high=line.high + 1, how=how)})

    def asked(self, needs: Iterable[Need]) -> list[Need]:
        """The criteria, with the question to the board in the stead of the question what was given, which is known."""
        return [msgspec.structs.replace(need, ask=self._ask) if need.fact == "line" else need for need in needs]

    def criterion(self) -> tuple[Reason, Missing]:
        """Where no criterion asks for the line, one of its own: another treatment is ongoing."""
        says = f"No other systemic treatment under way. On record: ongoing, {self.words}; a change of treatment is the board's question."
        return Reason(criterion="none-ongoing", verdict="unknown", says=says, sources=self.line.sources), Missing("line", self._ask)

    @property
    def _ask(self) -> str:
        return f"Whether the board changes the treatment that is ongoing: {self.words}"

    def given(self) -> tuple[Reason, None]:
        """Of the regimen that is being given: that it is."""
        return Reason(criterion="ongoing", verdict="holds", says=f"Being given already: {self.words}.", sources=self.line.sources), None

    def leads(self, regimen: Regimen) -> bool:
        """Whether going on stands before what would change the treatment; in the first weeks a drug may still be added."""
        return self.line.settled and self.is_(regimen)

    def remarks(self, regimen: Regimen) -> list[str]:
        """Of the regimen that is being given: cycles given and left, as it counts them; of one that adds a drug: to what."""
        if not regimen.gives or regimen.radiotherapy or self.changed_by(regimen):
            return []
        if not self.is_(regimen):
            return [f"Adds to, or exchanges within, what is ongoing: {self.words}."]
        left = [
            f"{given.drug} {max(given.cycles - self.line.cycles, 0)} of {given.cycles}{UNCHECKED if 'cycles' in given.unchecked else ''}"
            for given in regimen.gives
            if given.cycles
        ]
        return [f"Ongoing, to go on with: {self.words}." + (f" Cycles left: {', '.join(left)}." if left else "")]


def response(known: Mapping[str, Fact], line: Ongoing | None) -> dict[str, Fact]:
    """The newest response, where it was seen since the ongoing line began."""
    seen = known.get("response")
    if line is None or not isinstance(seen, Told) or (seen.when or "") < line.since:
        return {}
    return {"response-to-line": seen}
