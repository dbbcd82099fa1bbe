"""Every way in which a launch can fail, as a page a person understands (SM-10, SM-11, SM-30 to SM-37). Nothing received is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from services.ingest.pages.errors import PageError
from shared.fhir.outcome import FigaroError, Unavailable
from shared.smart.app import App

_AGAIN: Final = "Open Figaro from the patient's chart again."
_TELL: Final = "Tell the people who look after Figaro in your hospital; the number below helps them."


class _Case(NamedTuple):
    title: str
    text: str
    advice: str
    status: int


_CASES: Final = {
    "launch-incomplete": _Case(
        "This launch is not complete", "The EHR did not say, once each, where the patient's data is and which launch this is.", _TELL, 400
    ),
    "issuer-unknown": _Case("Figaro does not work with this EHR", "The system that opened Figaro is not on its list.", _TELL, 403),
    "standalone-unknown": _Case("There is no such way in", "Nothing can be launched at this address.", _TELL, 404),
    "callback-incomplete": _Case(
        "The sign-in came back incomplete", "What the EHR sent back is missing a part, or has a part twice.", _AGAIN, 400
    ),
    "state-unknown": _Case("This sign-in is not known here", "It did not begin in Figaro, or it began long ago.", _AGAIN, 400),
    "state-used": _Case("This sign-in was used before", "Each sign-in works once; reloading its address does not repeat it.", _AGAIN, 400),
    "state-expired": _Case("The sign-in took too long", "More than ten minutes have passed since Figaro was opened.", _AGAIN, 400),
    "state-elsewhere": _Case(
        "This sign-in began in another browser",
        "It was begun elsewhere, or your browser keeps no cookies for Figaro.",
        "Open Figaro from the patient's chart again; if that does not help, allow its cookies in this browser.",
        400,
    ),
    "issuer-mismatch": _Case(
        "The answer came from another system",
        "Another system than the one you signed in to has answered, so it was not believed.",
        _TELL,
        400,
    ),
    "refused": _Case("The sign-in was declined", "The EHR was not allowed to share this patient's data with Figaro.", _AGAIN, 403),
    "sign-in-needed": _Case(
        "The EHR wants you to sign in first",
        "It could not let you in without asking you.",
        "Sign in to the EHR, then open Figaro again.",
        403,
    ),
    "app-not-allowed": _Case(
        "Figaro is not allowed in this EHR", "The EHR does not accept Figaro as it is registered there, or one of its scopes.", _TELL, 403
    ),
    "ehr-failed": _Case(
        "The EHR could not sign you in", "Its sign-in failed, and not by anything you did.", "Try again in a few minutes.", 502
    ),
    "ehr-away": _Case(
        "The EHR does not answer", "Figaro could not reach the EHR's sign-in in time.", "Wait a minute, then open Figaro again.", 502
    ),
    "token-refused": _Case(
        "The EHR did not complete the sign-in", "You signed in, but the EHR then gave Figaro nothing that it can use.", _AGAIN, 502
    ),
    "discovery": _Case(
        "The EHR's sign-in cannot be used", "What the EHR says about its sign-in is missing, or is not safe enough to use.", _TELL, 502
    ),
    "no-patient": _Case(
        "No patient was chosen",
        "The EHR did not say whose chart is open, and Figaro never guesses.",
        "Open a patient's chart, then Figaro.",
        502,
    ),
    "no-identity": _Case(
        "It is not certain who you are", "The EHR's statement about the person who signed in is missing or does not hold.", _TELL, 502
    ),
    "not-for-patients": _Case(
        "This page is for clinicians",
        "Figaro prepares decisions of a tumour board, and you are not signed in as a clinician.",
        "Talk to your care team about your treatment.",
        403,
    ),
    "not-a-clinician": _Case(
        "This page is for clinicians", "The EHR does not say that you are one, and Figaro lets nobody else in.", _TELL, 403
    ),
    "scope-missing": _Case(
        "Figaro may not see enough",
        "The EHR does not let it read the patient, her conditions and observations; all three are needed.",
        _TELL,
        403,
    ),
    "not-ready": _Case(
        "Figaro is not ready", "A part of it does not answer at this moment.", "Wait a minute, then open Figaro again.", 503
    ),
    "failed-here": _Case("Figaro failed", "Something went wrong here, and not by anything you did.", _TELL, 500),
    "throttled": _Case(
        "Too many attempts", "Figaro was opened from here too often in a short time.", "Wait a minute, then try again.", 429
    ),
}
_OF_OAUTH: Final = {
    "access_denied": "refused",
    "login_required": "sign-in-needed",
    "interaction_required": "sign-in-needed",
    "consent_required": "sign-in-needed",
    "unauthorized_client": "app-not-allowed",
    "invalid_scope": "app-not-allowed",
    "invalid_request": "app-not-allowed",
    "unsupported_response_type": "app-not-allowed",
    "temporarily_unavailable": "ehr-away",
}


def failed(case: str, *, retry_after: float | None = None) -> PageError:
    """The error of one case; `retry_after` is in seconds."""
    title, text, advice, status = _CASES[case]
    return PageError(title, text, advice, status=status, retry_after=retry_after)


def declined(error: str) -> PageError:
    """The error for an `error` in the answer of an authorization server (RFC 6749, 4.1.2.1; OpenID Connect Core, 3.1.2.6)."""
    return failed(_OF_OAUTH.get(error, "ehr-failed"))


def here(error: FigaroError) -> PageError:
    """The error for what went wrong on our side."""
    if not isinstance(error, Unavailable):
        return failed("failed-here")
    return failed("throttled" if error.status == 429 else "not-ready", retry_after=error.retry_after)


def of(error: FigaroError, otherwise: str) -> PageError:
    """The error for what went wrong behind the page: away, or as told."""
    return failed("ehr-away" if isinstance(error, Unavailable) else otherwise)


@contextmanager
def framed(app: App | None) -> Iterator[None]:
    """Errors in here are pages that the EHR of this app may show in its frame; else its users see the browser's refusal instead."""
    try:
        yield
    except FigaroError as error:
        page = error if isinstance(error, PageError) else here(error)
        page.frames = app.launch.framed_by if app else ()
        raise page from error
