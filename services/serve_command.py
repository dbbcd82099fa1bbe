"""The command `figaro serve`: one service, or all three in one process."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from shared.fhir.outcome import Refused


def serve(
    service: Annotated[
        str | None, typer.Argument(metavar="[ingest|staging|recommend]", help="One service; all three when none is named.")
    ] = None,
) -> None:
    """Runs one service, or all three in one process. Settings come from the environment (FIGARO_…)."""
    from shared.service.log import configure
    from shared.service.serving import run
    from shared.service.settings import load

    settings: Any
    application: Any
    if service is None:
        from services.together import TogetherSettings, create_together

        settings = load(TogetherSettings)
        application = create_together(settings)
    elif service == "ingest":
        from services.ingest.app import create as create_ingest
        from services.ingest.settings import IngestSettings

        settings = load(IngestSettings)
        application = create_ingest(settings)
    elif service == "staging":
        from services.staging.app import create as create_staging
        from services.staging.settings import StagingSettings

        settings = load(StagingSettings)
        application = create_staging(settings)
    elif service == "recommend":
        from services.recommend.app import create as create_recommend
        from services.recommend.settings import RecommendSettings

        settings = load(RecommendSettings)
        application = create_recommend(settings)
    else:
        raise Refused(f"There is no service {service[:20]}: give ingest, staging or recommend, or none for all three.")
    configure(settings.log_level)
    run(
        application,
        host=settings.host,
        port=settings.port,
        trusted_proxies=settings.trusted_proxies,
        connections=settings.connections,
    )
