"""Apply other settings to a system that runs.

What is queued, counted, waiting or in flight stays as it is; the numbers that decide about it change. Nothing
is applied where one of the settings is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import msgspec

from ..runtime import Kernel, SettingsError
from ._account import Account, limits_of
from ._budget_settings import budget_words
from ._guarded import GuardedActor
from ._guarded_cell import GuardedCell
from ._keeper import TreeContext
from ._policy_numbers import policy_numbers
from ._service_supervisor import ServiceSupervisor
from ._settings import Settings
from .policies import Policy

_AT_OPENING = ("log_level", "shutdown_timeout", "watchdog_seconds")
"""What a system is opened with, and keeps."""


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that is another one now."""

    provider: str
    """The service, by the id of its child spec; empty for what is about the whole system."""
    name: str
    """The setting, as in ``attempts``, ``operations.ChatCompletion.attempts`` or ``prices.gpt-4o.input``."""
    old: object
    """What it was; None where there was no such number."""
    new: object
    """What it is."""
    is_applied: bool = True
    """It is in force. False: only a system that is opened with these settings has it."""


def apply_settings(kernel: Kernel, context: TreeContext, settings: Settings) -> list[SettingChange]:
    """Put *settings* in force; see `System.apply_settings`."""
    services = list(_services(kernel))
    wanted = [_policy(supervisor, settings) for supervisor, _ in services]
    policies = [_with_account_of(cell, policy) for (_, cell), policy in zip(services, wanted, strict=True)]
    accounts = _by_account([cell for _, cell in services], policies)
    before, context.settings = context.settings, settings
    changes = list(_changes(before, settings))
    for account, members in accounts.items():
        account.readjust(members, kernel.now())
    for (supervisor, cell), asked, policy in zip(services, wanted, policies, strict=True):
        changes += _policy_changes(supervisor.provider, cell.policy, asked)
        supervisor.reconfigure(policy)
        cell.reconfigure(policy)
        cast("GuardedActor", cell.actor).configured(settings)
    for change in changes:
        kernel.events.info(
            "settings.changed",
            provider=change.provider,
            name=change.name,
            old=change.old,
            new=change.new,
            applied=change.is_applied,
        )
    return changes


def _services(kernel: Kernel) -> Iterator[tuple[ServiceSupervisor, GuardedCell]]:
    for cell in kernel.registry.cells():
        if isinstance(cell, GuardedCell) and isinstance(cell.owner, ServiceSupervisor):
            yield cell.owner, cell


def _by_account(cells: list[GuardedCell], policies: list[Policy]) -> dict[Account, list[Policy]]:
    accounts: dict[Account, list[Policy]] = {}
    for cell, policy in zip(cells, policies, strict=True):
        accounts.setdefault(cell.guard.account, []).append(policy)
    for account, members in accounts.items():
        try:
            limits_of(account.name, members)
        except ValueError as error:
            raise SettingsError("providers", str(error)) from error
    return accounts


def _with_account_of(cell: GuardedCell, policy: Policy) -> Policy:
    """Leave a service in its account: its pauses, its spending and its neighbours are that one's."""
    return msgspec.structs.replace(policy, account=cell.policy.account)


def _policy(supervisor: ServiceSupervisor, settings: Settings) -> Policy:
    try:
        return supervisor.policy_by(settings)
    except ValueError as error:
        name = settings.provider_name(supervisor.provider)
        raise SettingsError(f"providers.{name}", str(error)) from error


def _changes(before: Settings, now: Settings) -> Iterator[SettingChange]:
    """Yield what has changed about the system as a whole, and about prices."""
    for name in (*_AT_OPENING, "litellm_prices"):
        old, new = getattr(before, name), getattr(now, name)
        if old != new:
            yield SettingChange("", name, old, new, is_applied=name not in _AT_OPENING)
    yield from _differences("", _prices(before), _prices(now))


def _prices(settings: Settings) -> dict[str, object]:
    return {
        f"prices.{model}.{name}": value
        for model, price in settings.prices.items()
        for name, value in msgspec.structs.asdict(price).items()
        if value is not None
    }


def _policy_changes(provider: str, before: Policy, now: Policy) -> Iterator[SettingChange]:
    if before != now:
        yield from _differences(provider, policy_numbers(before), policy_numbers(now))
        yield from _differences(provider, budget_words(before), budget_words(now))


def _differences(
    provider: str, before: Mapping[str, object], now: Mapping[str, object]
) -> Iterator[SettingChange]:
    for name in {**before, **now}:
        if before.get(name) != now.get(name):
            is_applied = name != "account"
            yield SettingChange(provider, name, before.get(name), now.get(name), is_applied=is_applied)
