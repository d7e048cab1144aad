"""Rules about received objects: pure decisions on who sent an object and what its header says.

Nothing is evaluated as code. A condition is a small tree; asking it gives the answer together with its reasons, so that
`dicom-node rules test` tells the very decision that the receiver makes. The decision is stored with the object in the
commit that acknowledges it: a later change of the rules is for later objects.

Text is compared with `*` (any text) and `?` (one character), without regard to case; AE titles with regard to it
(PS3.5 6.2). An attribute that is absent or empty matches nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from pydicom import Dataset

from dicom_node.domain import Action, Destination, Priority, ResultKind, Route

SENDER = "sender"
"""In `send`: the destination whose AE title is the calling one."""

CALLING_AE, CALLED_AE, HOST = "calling_ae", "called_ae", "host"
ASSOCIATION_FACTS = (CALLING_AE, CALLED_AE, HOST)

Facts = Mapping[str, tuple[str, ...]]
"""What is known of an object: its values by DICOM keyword, and of the association `calling_ae`, `called_ae`, `host`."""

_LONGEST_TOLD = 64


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a condition holds, in words, and the answers that this rests on."""

    holds: bool
    text: str
    parts: tuple[Answer, ...] = ()

    def lines(self, indent: int = 0) -> Iterator[str]:
        """The tree, one line each."""
        yield f"{'  ' * indent}{'yes' if self.holds else 'no '}  {self.text}"
        for part in self.parts:
            yield from part.lines(indent + 1)


class Condition(Protocol):
    """Something that holds of an object, or does not."""

    @property
    def names(self) -> frozenset[str]:
        """The facts that it looks at."""

    def ask(self, facts: Facts) -> Answer: ...


@dataclass(frozen=True, slots=True)
class Matches:
    """One of the values of a fact looks like one of the patterns."""

    name: str
    patterns: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def ask(self, facts: Facts) -> Answer:
        values = facts.get(self.name, ())
        holds = any(self._like(value, pattern) for value in values for pattern in self.patterns)
        return Answer(holds, f"{self.name} like {' or '.join(self.patterns)} ({_told(values)})")

    def _like(self, value: str, pattern: str) -> bool:
        if self.name not in ASSOCIATION_FACTS:
            value, pattern = value.casefold(), pattern.casefold()
        return fnmatchcase(value, pattern.replace("[", "[[]"))  # a bracket is a bracket


@dataclass(frozen=True, slots=True)
class ComesFrom:
    """The peer's address lies in one of the networks."""

    networks: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset({HOST})

    def ask(self, facts: Facts) -> Answer:
        values = facts.get(HOST, ())
        networks = [ipaddress.ip_network(network, strict=False) for network in self.networks]
        holds = any(ipaddress.ip_address(value) in network for value in values for network in networks)
        return Answer(holds, f"host in {' or '.join(self.networks)} ({_told(values)})")


@dataclass(frozen=True, slots=True)
class Within:
    """One of the values is a number within limits, both included; None is no limit."""

    name: str
    at_least: float | None
    at_most: float | None

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def ask(self, facts: Facts) -> Answer:
        values = facts.get(self.name, ())
        limits = (("at least", self.at_least), ("at most", self.at_most))
        wanted = " and ".join(f"{word} {limit:g}" for word, limit in limits if limit is not None)
        return Answer(any(map(self._is_within, values)), f"{self.name} {wanted} ({_told(values)})")

    def _is_within(self, value: str) -> bool:
        try:
            number = float(value)
        except ValueError:
            return False
        above = self.at_least is None or number >= self.at_least
        return above and (self.at_most is None or number <= self.at_most)


@dataclass(frozen=True, slots=True)
class IsPresent:
    """There is a value, or, where that is wanted, none."""

    name: str
    wanted: bool

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def ask(self, facts: Facts) -> Answer:
        values = facts.get(self.name, ())
        return Answer(bool(values) is self.wanted, f"{self.name} {_is(self.wanted)} ({_told(values)})")


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; so does none at all."""

    parts: tuple[Condition, ...]

    @property
    def names(self) -> frozenset[str]:
        return _names(self.parts)

    def ask(self, facts: Facts) -> Answer:
        answers = tuple(part.ask(facts) for part in self.parts)
        return Answer(all(a.holds for a in answers), "all of" if answers else "anything", answers)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]

    @property
    def names(self) -> frozenset[str]:
        return _names(self.parts)

    def ask(self, facts: Facts) -> Answer:
        answers = tuple(part.ask(facts) for part in self.parts)
        return Answer(any(a.holds for a in answers), "any of", answers)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition

    @property
    def names(self) -> frozenset[str]:
        return self.part.names

    def ask(self, facts: Facts) -> Answer:
        answer = self.part.ask(facts)
        return Answer(not answer.holds, "not", (answer,))


@dataclass(frozen=True, slots=True)
class Rule:
    """What is to be done where `condition` holds; None: the rule says nothing about that.

    `send`: to which destination (or SENDER) which kinds go; None for the kinds: what the destination lists.
    """

    name: str
    condition: Condition
    action: Action | None = None
    model: str | None = None
    priority: Priority | None = None
    send: Mapping[str, tuple[ResultKind, ...] | None] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """The route of an object, what each rule answered, and what of the rules could not be done."""

    route: Route
    answers: tuple[tuple[Rule, Answer], ...]
    no_way_back: bool = False


@dataclass(frozen=True, slots=True)
class Router:
    """Rules in their order. `first_only`: the first one that matches speaks alone.

    Otherwise all that match speak: of action, model and priority the first that says it, of `send` all together.
    """

    rules: tuple[Rule, ...] = ()
    first_only: bool = True
    destinations: tuple[Destination, ...] = ()

    @property
    def keywords(self) -> frozenset[str]:
        """The attributes that the rules look at."""
        return _names(rule.condition for rule in self.rules) - frozenset(ASSOCIATION_FACTS)

    def decide(self, facts: Facts) -> Decision:
        """Never raises: what an object does not say does not match."""
        answers = tuple((rule, rule.condition.ask(facts)) for rule in self.rules)
        matching = [rule for rule, answer in answers if answer.holds]
        if self.first_only:
            matching = matching[:1]
        sends = [rule.send for rule in matching if rule.send is not None]
        way_back = self._sender(facts)
        send = self._send(sends, way_back) if sends else None
        route = Route(
            rules=tuple(rule.name for rule in matching),
            action=next((rule.action for rule in matching if rule.action is not None), Action.USUAL),
            model=next((rule.model for rule in matching if rule.model is not None), None),
            priority=next((rule.priority for rule in matching if rule.priority is not None), Priority.NORMAL),
            send=send,
        )
        calling = facts.get(CALLING_AE, ())
        others = (d for d in self.destinations if d.ae_title not in calling)  # whoever sent the object has it
        originals = (d.name for d in others if ResultKind.ORIGINAL in kinds_for(route, d))
        lost = way_back is None and any(SENDER in one for one in sends)
        return Decision(replace(route, forward=tuple(originals)), answers, lost)

    def _send(
        self, sends: Sequence[Mapping[str, tuple[ResultKind, ...] | None]], way_back: str | None
    ) -> tuple[tuple[str, tuple[ResultKind, ...]], ...]:
        """Destinations by name with all that any of the rules sends there, in the order of the configuration."""
        wanted: dict[str, set[ResultKind]] = {}
        listed = {d.name: d.objects for d in self.destinations}
        for one in sends:
            for given, kinds in one.items():
                name = way_back if given == SENDER else given
                if name is not None and name in listed:
                    wanted.setdefault(name, set()).update(listed[name] if kinds is None else kinds)
        return tuple((name, tuple(k for k in ResultKind if k in wanted[name])) for name in listed if name in wanted)

    def _sender(self, facts: Facts) -> str | None:
        """The destination that the sender is: by its AE title, and by its address where several share that."""
        (calling, *_), (host, *_) = ((*facts.get(name, ()), "") for name in (CALLING_AE, HOST))
        named = [d for d in self.destinations if d.ae_title == calling]
        there = [d for d in named if d.host == host]
        return next((d.name for d in (*there, *named)), None)


NO_RULES = Router()


def kinds_for(route: Route, destination: Destination) -> tuple[ResultKind, ...]:
    """Which kinds of objects about an object on that route go to the destination."""
    return destination.objects if route.send is None else dict(route.send).get(destination.name, ())


def routed(destinations: Iterable[Destination], routes: Sequence[Route]) -> tuple[Destination, ...]:
    """The destinations with the kinds that go there on any of the routes; those that get nothing are left out."""
    found = []
    for destination in destinations:
        wanted = {kind for route in routes for kind in kinds_for(route, destination)}
        if wanted:
            found.append(replace(destination, objects=tuple(kind for kind in ResultKind if kind in wanted)))
    return tuple(found)


def values_of(header: Dataset, keywords: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The values of these attributes as text without padding; those that are absent or empty are left out."""
    found = {}
    for keyword in keywords:
        value = header.get(keyword)
        values = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else (value,)
        texts = tuple(text for one in values if one is not None and (text := str(one).strip(" \0")))
        if texts and not isinstance(value, bytes):
            found[keyword] = texts
    return found


def _names(parts: Iterable[Condition]) -> frozenset[str]:
    return frozenset().union(*(part.names for part in parts))


def _is(present: bool) -> str:
    return "is present" if present else "is absent"


def _told(values: Sequence[str]) -> str:
    if not values:
        return "there is none"
    text = ", ".join(values)
    return f"it is {text if len(text) <= _LONGEST_TOLD else text[: _LONGEST_TOLD - 1] + '…'}"
