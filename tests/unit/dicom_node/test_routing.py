"""What rules decide: pure conditions, first match or all, destinations by name or by sender."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from dicom_node.config import Config
from dicom_node.domain import USUAL_OBJECTS, USUAL_ROUTE, Action, Priority, ResultKind, Route
from dicom_node.errors import ConfigError
from dicom_node.routing import AllOf, AnyOf, ComesFrom, Facts, IsPresent, Matches, Not, Within, routed, values_of
from dicom_node.storage import routes

DESTINATIONS = [
    {"name": "pacs", "ae_title": "MAINPACS", "host": "192.0.2.1", "port": 104},
    {"name": "archive", "ae_title": "VNA", "host": "192.0.2.2", "port": 104, "objects": ["original"]},
    {"name": "room", "ae_title": "VOLUSON", "host": "192.0.2.3", "port": 104, "objects": ["pdf", "original"]},
    {"name": "room2", "ae_title": "VOLUSON", "host": "192.0.2.4", "port": 104, "objects": ["pdf"]},
]


def configured(*rules: dict[str, Any], match: str = "first", destinations: Any = DESTINATIONS) -> Config:
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    return Config.model_validate({"rules": named, "routing": {"match": match}, "destinations": destinations})


def route(facts: dict[str, str], *rules: dict[str, Any], match: str = "first") -> Route:
    given_facts = {name: tuple(value.split("\\")) for name, value in facts.items()}
    return configured(*rules, match=match).router().decide(given_facts).route


def holds(when: dict[str, Any], **facts: str) -> bool:
    return bool(route(facts, {"when": when}).rules)


@pytest.mark.parametrize(
    ("when", "facts", "expected"),
    [
        ({"modality": "US"}, {"Modality": "US"}, True),
        ({"modality": "US"}, {"Modality": "us"}, True),
        ({"modality": ["CT", "US"]}, {"Modality": "US"}, True),
        ({"modality": "US"}, {"Modality": "USX"}, False),
        ({"modality": "US"}, {}, False),
        ({"not": {"modality": "US"}}, {}, True),
        ({"study_description": "*fetal*"}, {"StudyDescription": "2nd trimester FETAL biometry"}, True),
        ({"series_description": "head [?x]"}, {"SeriesDescription": "Head [2x]"}, True),
        ({"series_description": "head [?x]"}, {"SeriesDescription": "Head 2"}, False),
        ({"tags": {"ImageType": "*2D*"}}, {"ImageType": "ORIGINAL\\PRIMARY\\2D_GREY"}, True),
        ({"calling_ae": "VOL*"}, {"calling_ae": "VOLUSON"}, True),
        ({"calling_ae": "vol*"}, {"calling_ae": "VOLUSON"}, False),
        ({"called_ae": "FETALHC"}, {"called_ae": "FETALHC"}, True),
        ({"host": ["192.0.2.0/25", "2001:db8::/64"]}, {"host": "192.0.2.7"}, True),
        ({"host": "192.0.2.0/25"}, {"host": "192.0.2.200"}, False),
        ({"host": "192.0.2.0/25"}, {"host": "2001:db8::1"}, False),
        ({"host": "192.0.2.0/25"}, {}, False),
        ({"sop_class": "UltrasoundImageStorage"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1"}, True),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.88.*"}, {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.33"}, True),
        ({"manufacturer": "GE*", "model_name": "Voluson*"}, {"Manufacturer": "GE Healthcare"}, False),
        ({"body_part": "HEART"}, {"BodyPartExamined": "HEART"}, True),
        ({"tags": {"Rows": 480}}, {"Rows": "480"}, True),
        ({"tags": {"NumberOfFrames": {"at_least": 2}}}, {"NumberOfFrames": "30"}, True),
        ({"tags": {"NumberOfFrames": {"at_least": 2}}}, {"NumberOfFrames": "1"}, False),
        ({"tags": {"NumberOfFrames": {"at_least": 2, "at_most": 3}}}, {"NumberOfFrames": "4"}, False),
        ({"tags": {"NumberOfFrames": {"at_most": 3}}}, {"NumberOfFrames": "many"}, False),
        ({"tags": {"ProtocolName": {"present": False}}}, {}, True),
        ({"tags": {"ProtocolName": {"present": True}}}, {"ProtocolName": "OB"}, True),
        (
            {"any": [{"modality": "CT"}, {"all": [{"modality": "US"}, {"not": {"body_part": "NECK"}}]}]},
            {"Modality": "US"},
            True,
        ),
        ({}, {}, True),
    ],
)
def test_conditions(when: dict[str, Any], facts: dict[str, str], expected: bool) -> None:
    assert holds(when, **facts) is expected


WORDS = st.sampled_from(["US", "CT", "*", "?S", "1", "2.5", "[", "\u00dc"])
NAMES = st.sampled_from(["Modality", "NumberOfFrames", "BodyPartExamined"])
LEAVES = (
    st.builds(Matches, NAMES, st.lists(WORDS, min_size=1, max_size=3).map(tuple))
    | st.builds(Within, NAMES, st.floats(allow_nan=False) | st.none(), st.floats(allow_nan=False) | st.none())
    | st.builds(IsPresent, NAMES, st.booleans())
    | st.builds(ComesFrom, st.just(("192.0.2.0/24",)))
)


def branches(parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    several = st.lists(parts, max_size=3).map(tuple)
    return st.builds(AllOf, several) | st.builds(AnyOf, several) | st.builds(Not, parts)


@given(
    condition=st.recursive(LEAVES, branches, max_leaves=12),
    facts=st.dictionaries(NAMES, st.lists(st.text(max_size=8), max_size=3).map(tuple)),
)
def test_an_answer_rests_on_its_parts_and_a_negation_turns_it(condition: Any, facts: Facts) -> None:
    answer = condition.ask(facts)
    assert Not(condition).ask(facts).holds is not answer.holds
    if isinstance(condition, AllOf):
        assert answer.holds is all(part.holds for part in answer.parts)
    if isinstance(condition, AnyOf):
        assert answer.holds is any(part.holds for part in answer.parts)
    assert len(list(answer.lines())) == 1 + sum(len(list(part.lines())) for part in answer.parts)


def test_a_pattern_of_many_wildcards_is_answered_at_once() -> None:
    """One that backtracked would take longer than the universe has been there."""
    assert not holds({"study_description": "*a" * 100 + "b"}, StudyDescription="a" * 60_000)


def test_without_rules_everything_goes_its_usual_way() -> None:
    assert Config().router().decide({}).route == USUAL_ROUTE


def test_the_first_match_speaks_alone() -> None:
    first, second = {"when": {"modality": "US"}, "action": "ignore"}, {"model": "m", "priority": "urgent"}
    assert route({"Modality": "US"}, first, second) == Route(("r0",), Action.IGNORE, forward=("archive", "room"))
    assert route({"Modality": "CT"}, first, second).rules == ("r1",)


def test_of_all_that_match_the_first_word_counts_and_what_they_send_adds_up() -> None:
    said = route(
        {"calling_ae": "SCANNER"},
        {"priority": "low", "send": {"pacs": ["tid1500"]}},
        {"priority": "urgent", "action": "measure", "model": "m", "send": {"pacs": ["pdf"], "archive": None}},
        {"when": {"calling_ae": "OTHER"}, "send": {"room": None}},
        match="all",
    )
    kinds = (ResultKind.TID1500, ResultKind.PDF)
    assert said.rules == ("r0", "r1")
    assert (said.action, said.model, said.priority) == (Action.MEASURE, "m", Priority.LOW)
    assert said.send == (("pacs", kinds), ("archive", (ResultKind.ORIGINAL,)))
    assert said.forward == ("archive",)


def test_sending_nowhere_is_not_sending_as_usual() -> None:
    nowhere = route({}, {"send": {}})
    assert (nowhere.send, nowhere.forward) == ((), ())
    destinations = configured().destination_list()
    assert routed(destinations, [nowhere]) == ()
    assert [d.name for d in routed(destinations, [USUAL_ROUTE])] == ["pacs", "archive", "room", "room2"]


def test_a_study_goes_where_any_of_its_images_goes() -> None:
    pacs, room = route({}, {"send": {"pacs": ["study_sr"]}}), route({}, {"send": {"room": ["study_pdf"]}})
    found = routed(configured().destination_list(), [pacs, room])
    assert [(d.name, d.objects) for d in found] == [("pacs", (ResultKind.STUDY_SR,)), ("room", (ResultKind.STUDY_PDF,))]


@pytest.mark.parametrize(("host", "name"), [("192.0.2.4", "room2"), ("192.0.2.9", "room")])
def test_the_sender_is_found_by_title_and_where_that_is_shared_by_address(host: str, name: str) -> None:
    said = route({"calling_ae": "VOLUSON", "host": host}, {"send": {"sender": None}})
    assert said.send is not None
    assert [found for found, _ in said.send] == [name]


def test_a_sender_without_destination_is_told() -> None:
    decision = configured({"send": {"sender": ["pdf"], "pacs": None}}).router().decide({"calling_ae": ("STRANGER",)})
    assert decision.no_way_back
    assert decision.route.send == (("pacs", USUAL_OBJECTS),)


def test_an_original_never_goes_back_to_the_title_it_came_from() -> None:
    assert route({"calling_ae": "VOLUSON"}).forward == ("archive",)
    assert route({"calling_ae": "VOLUSON"}, {"send": {"sender": ["original"], "archive": None}}).forward == ("archive",)


@pytest.mark.parametrize(
    ("rules", "problem"),
    [
        ([{"when": {"colour": "red"}}], "colour"),
        ([{"when": {"modality": []}}], "modality"),
        ([{"when": {"modality": False}}], "modality"),
        ([{"when": {"any": []}}], "any"),
        ([{"when": {"host": "room 2"}}], "host"),
        ([{"when": {"sop_class": "Ultrasound"}}], "Ultrasound"),
        ([{"when": {"tags": {"Patient": "x"}}}], "no keyword"),
        ([{"when": {"tags": {"PixelData": "x"}}}], "no text or number"),
        ([{"when": {"tags": {"SequenceOfUltrasoundRegions": "x"}}}], "no text or number"),
        ([{"when": {"tags": {"Rows": {"at_least": 1, "present": True}}}}], "present"),
        ([{"when": {"tags": {"Rows": {"at_least": float("nan")}}}}], "a limit is a number"),
        ([{"when": {"modality": "*" * 300}}], "256"),
        ([{"send": {"elsewhere": None}}], "elsewhere"),
        ([{"send": {"pacs": ["photo"]}}], "pacs"),
        ([{"name": "twice"}, {"name": "twice"}], "unique"),
        ([{"name": "with space"}], "name"),
        ([{"action": "delete"}], "action"),
        ([{"then": "ignore"}], "then"),
    ],
)
def test_a_wrong_rule_is_refused_by_its_path(rules: list[dict[str, Any]], problem: str, tmp_path: Any) -> None:
    import yaml

    from dicom_node.config import load_config

    file = tmp_path / "config.yaml"
    named = [{"name": f"r{number}", **rule} for number, rule in enumerate(rules)]
    file.write_text(yaml.safe_dump({"rules": named, "destinations": DESTINATIONS}))
    with pytest.raises(ConfigError, match="rule") as refusal:
        load_config(file)
    assert problem in str(refusal.value)


def test_no_destination_may_be_called_sender() -> None:
    with pytest.raises(ValueError, match="sender"):
        configured(destinations=[{**DESTINATIONS[0], "name": "sender"}])


def test_values_are_text_without_padding_and_without_what_is_empty() -> None:
    header = Dataset()
    header.Modality = "US "
    header.ImageType = ["ORIGINAL", "", "PRIMARY"]
    header.Rows = 480
    header.PatientName = "Müller^Änne"
    header.StudyDescription = ""
    keywords = ("Modality", "ImageType", "Rows", "PatientName", "StudyDescription", "Manufacturer")
    assert values_of(header, keywords) == {
        "Modality": ("US",),
        "ImageType": ("ORIGINAL", "PRIMARY"),
        "Rows": ("480",),
        "PatientName": ("Müller^Änne",),
    }


def test_a_route_is_stored_and_read_as_it_was() -> None:
    said = Route(("a", "b"), Action.MEASURE, "m", Priority.LOW, (("pacs", (ResultKind.PDF,)), ("x", ())), ("archive",))
    assert routes.read(routes.written(said)) == said
    assert routes.written(USUAL_ROUTE) is None
    assert routes.read(None) == USUAL_ROUTE
