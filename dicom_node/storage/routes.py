"""Routes as they are stored with an instance: JSON, or nothing for the usual one."""

from __future__ import annotations

import json
from dataclasses import asdict

from dicom_node.domain import USUAL_ROUTE, Action, Priority, ResultKind, Route


def written(route: Route) -> str | None:
    """None for the usual route."""
    return None if route == USUAL_ROUTE else json.dumps(asdict(route))


def read(text: str | None) -> Route:
    """What `written` wrote."""
    if text is None:
        return USUAL_ROUTE
    told = json.loads(text)
    send = told["send"]
    return Route(
        rules=tuple(told["rules"]),
        action=Action(told["action"]),
        model=told["model"],
        priority=Priority(told["priority"]),
        send=None if send is None else tuple((name, tuple(map(ResultKind, kinds))) for name, kinds in send),
        forward=tuple(told["forward"]),
    )
