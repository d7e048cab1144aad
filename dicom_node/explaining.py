"""`dicom-node rules test`: what the receiver would decide about a file, and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dicom_node.config import Config
from dicom_node.domain import Action, ResultKind
from dicom_node.part10 import read_part10
from dicom_node.receive.contexts import measurable
from dicom_node.routing import CALLED_AE, CALLING_AE, HOST, Answer, Decision, routed, values_of
from sr_templates.uids import is_own_object


@dataclass(frozen=True, slots=True)
class Sender:
    """What an association would say; None where nobody said it."""

    calling_ae: str | None
    called_ae: str | None
    host: str | None

    def facts(self) -> dict[str, tuple[str, ...]]:
        said = {CALLING_AE: self.calling_ae, CALLED_AE: self.called_ae, HOST: self.host}
        return {name: (value,) for name, value in said.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Explained:
    """What would become of a file. `sends`: the kinds by destination; the original is one of them."""

    file: str
    is_own: bool
    measured: bool
    model: str
    sends: tuple[tuple[str, tuple[ResultKind, ...]], ...]
    decision: Decision

    def document(self) -> dict[str, Any]:
        """For machines."""
        route = self.decision.route
        return {
            "file": self.file,
            "rules": [] if self.is_own else list(route.rules),
            "measured": self.measured,
            "model": self.model if self.measured else None,
            "priority": route.priority.value,
            "send": {name: [kind.value for kind in kinds] for name, kinds in self.sends},
            "own_object": self.is_own,
            "no_way_back": self.decision.no_way_back,
            "answers": [
                {"rule": rule.name, "holds": answer.holds, "why": _tree(answer)}
                for rule, answer in self.decision.answers
            ],
        }

    def lines(self) -> Iterator[str]:
        """For people."""
        yield self.file
        if self.is_own:
            yield "  is an object that this node made: it is kept, neither measured nor sent on"
            return
        speaking = self.decision.route.rules
        for rule, answer in self.decision.answers:
            unheard = answer.holds and rule.name not in speaking
            yield f"  rule {rule.name}{': an earlier rule spoke already' if unheard else ''}"
            yield from answer.lines(2)
        yield f"  decided by: {', '.join(speaking) or 'no rule'}"
        yield f"  measured: {f'with {self.model}, {self.decision.route.priority} priority' if self.measured else 'no'}"
        for name, kinds in self.sends:
            yield f"  to {name}: {', '.join(kinds)}"
        if not self.sends:
            yield "  to nobody"
        if self.decision.no_way_back:
            yield "  to the sender: nothing, no destination has its AE title"


def explain(path: Path, config: Config, sender: Sender) -> Explained:
    """What the receiver would decide about the file.

    Raises:
        InstanceRefused: it is not a DICOM file that can be read.
        OSError: it cannot be read.
    """
    header, router = read_part10(path).header, config.router()
    decision = router.decide({**values_of(header, router.keywords), **sender.facts()})
    route, is_own = decision.route, is_own_object(header)
    captures = config.inference.secondary_captures == "measure" or route.action is Action.MEASURE
    wanted = measurable(str(header.get("SOPClassUID", "")), secondary_captures=captures)
    measured = wanted and not is_own and route.action is not Action.IGNORE
    return Explained(
        file=str(path),
        is_own=is_own,
        measured=measured,
        model=route.model or config.inference.model,
        sends=() if is_own else _sends(config, decision, measured),
        decision=decision,
    )


def _sends(config: Config, decision: Decision, measured: bool) -> tuple[tuple[str, tuple[ResultKind, ...]], ...]:
    """Results only where there may be some; the original where the route forwards it."""
    found = []
    for destination in routed(config.destination_list(), [decision.route]):
        original = (ResultKind.ORIGINAL,) if destination.name in decision.route.forward else ()
        results = (kind for kind in destination.objects if measured and kind is not ResultKind.ORIGINAL)
        kinds = (*results, *original)
        if kinds:
            found.append((destination.name, kinds))
    return tuple(found)


def _tree(answer: Answer) -> dict[str, Any]:
    return {"holds": answer.holds, "text": answer.text, "parts": [_tree(part) for part in answer.parts]}
