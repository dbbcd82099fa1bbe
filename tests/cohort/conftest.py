"""What the tests of the report share: they make it again and again, of nearly the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import msgspec
import pytest


@pytest.fixture(scope="session")
def fitted_once() -> Iterator[None]:
    """Each curve, test and model is lifelines' own, and each picture Vega's; of what it has answered before, the same answer is given."""
    from services.cohort import comparison, curves, endpoints, statistics
    from services.cohort.kaplan_meier import Curve, curve

    fit, test, fit_model = cache(curve), cache(statistics.logrank_test), statistics.cox

    def fitted(name: str, months: Sequence[float], events: Sequence[bool]) -> Curve:
        return msgspec.structs.replace(fit("", tuple(months), tuple(events)), name=name)

    def tested(*series: Any) -> Any:
        return test(*(tuple(each.tolist()) for each in series))

    models: dict[object, Any] = {}

    def cox(data: Any, endpoint: Any, variables: Sequence[str]) -> Any:
        read = data[[*variables, f"{endpoint}_months", f"{endpoint}_event"]]
        key = endpoint, tuple(variables), tuple(read.itertuples(index=False, name=None))
        if key not in models:
            models[key] = fit_model(data, endpoint, variables)
        return models[key]

    draw = cache(curves.drawn)

    def drawn(title: str, shown: Sequence[Curve], *, threshold: int, sizes: Sequence[int]) -> str:
        return draw(title, tuple(shown), threshold=threshold, sizes=tuple(sizes))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statistics, "curve", fitted)
        patched.setattr(statistics, "logrank_test", tested)
        patched.setattr(comparison, "cox", cox)
        patched.setattr(endpoints, "drawn", drawn)
        yield
