"""What a FHIR server says it can do. Knows CapabilityStatements, opens no connection. Source: FHIR R4 4.0.1, CapabilityStatement."""

from __future__ import annotations

from typing import Final

import msgspec

# Source: Subscriptions R5 Backport 1.1.0; its context is CapabilityStatement.rest.resource.
_NAMES_A_TOPIC: Final = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical"


class _Code(msgspec.Struct, frozen=True, rename="camel"):
    code: str = ""


class _SearchParam(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    type: str = ""


class _Operation(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""


class _Extension(msgspec.Struct, frozen=True, rename="camel"):
    url: str = ""
    value_canonical: str | None = None


class _Service(msgspec.Struct, frozen=True, rename="camel"):
    coding: tuple[_Code, ...] = ()
    text: str | None = None


class _Security(msgspec.Struct, frozen=True, rename="camel"):
    service: tuple[_Service, ...] = ()


class ResourceCapability(msgspec.Struct, frozen=True, rename="camel"):
    """What is offered for one resource type."""

    type: str
    interaction: tuple[_Code, ...] = ()
    search_param: tuple[_SearchParam, ...] = ()
    search_include: tuple[str, ...] = ()
    operation: tuple[_Operation, ...] = ()
    conditional_create: bool = False
    conditional_update: bool = False
    update_create: bool = False
    versioning: str | None = None
    extension: tuple[_Extension, ...] = ()


class _Rest(msgspec.Struct, frozen=True, rename="camel"):
    mode: str = "server"
    resource: tuple[ResourceCapability, ...] = ()
    interaction: tuple[_Code, ...] = ()
    operation: tuple[_Operation, ...] = ()
    security: _Security | None = None


class _Software(msgspec.Struct, frozen=True, rename="camel"):
    name: str = ""
    version: str | None = None


class Capabilities(msgspec.Struct, frozen=True, rename="camel", tag_field="resourceType", tag="CapabilityStatement"):
    """A CapabilityStatement, as far as we ask it."""

    fhir_version: str = ""
    software: _Software | None = None
    rest: tuple[_Rest, ...] = ()
    format: tuple[str, ...] = ()

    def of(self, type: str) -> ResourceCapability | None:
        """What is offered for a resource type; None when nothing is."""
        return next((offer for rest in self.rest if rest.mode == "server" for offer in rest.resource if offer.type == type), None)

    def allows(self, type: str, interaction: str) -> bool:
        """Whether e.g. `search-type`, `read`, `create`, `update` is offered for the type."""
        offer = self.of(type)
        return offer is not None and any(one.code == interaction for one in offer.interaction)

    def searches(self, type: str, name: str) -> bool:
        """Whether the type can be searched by that parameter."""
        offer = self.of(type)
        return offer is not None and any(one.name == name for one in offer.search_param)

    def system(self, interaction: str) -> bool:
        """Whether e.g. `transaction`, `batch`, `history-system` is offered for the whole server."""
        return any(one.code == interaction for rest in self.rest if rest.mode == "server" for one in rest.interaction)

    def operates(self, name: str, type: str | None = None) -> bool:
        """Whether an operation such as `export` is offered, for the whole server or for a type."""
        offer = self.of(type) if type else None
        listed = offer.operation if offer else () if type else [one for rest in self.rest for one in rest.operation]
        return any(one.name.removeprefix("$") == name for one in listed)

    @property
    def topics(self) -> tuple[str, ...]:
        """The topics that Subscriptions may be to, by canonical, each once; what they fire at is not said here."""
        offer = self.of("Subscription")
        named = [one.value_canonical for one in offer.extension if one.url == _NAMES_A_TOPIC] if offer else []
        return tuple(dict.fromkeys(filter(None, named)))

    @property
    def security(self) -> tuple[str, ...]:
        """How it says that a client signs in, such as `SMART-on-FHIR` or `OAuth`."""
        services = [service for rest in self.rest if rest.security for service in rest.security.service]
        return tuple(code.code for service in services for code in service.coding if code.code)
