"""Every page, for every role, over a node on which things happened; and text of patients that is a script."""

from __future__ import annotations

from html import escape
from typing import Any

import pytest

from dicom_node.domain import DeliveryState, JobKind, JobState
from dicom_node.storage.study_list import Page, Standing, StudyWish
from dicom_node.storage.trail import Wanted
from dicom_node.users import UserRole
from dicom_node.web.console import Console
from dicom_node.web.gate import is_public
from tests.unit.dicom_node.web.browser import NAMES, PASSWORD, Browser
from tests.unit.dicom_node.web.stage import NAME, PATIENT_ID, SCRIPT, STUDY, Stage, filled, still

PAGES = (
    "/",
    "/overview/now",
    "/studies",
    f"/studies/{STUDY}",
    "/work",
    "/work?shelf=waiting",
    "/work?shelf=held",
    "/me",
)
FOR_ADMINS = ("/users", "/setup")


@pytest.fixture
def stage(console: Console) -> Stage:
    return filled(console.repository, console.data_dir)


def dead(console: Console) -> tuple[int, int]:
    """The dead job and the dead delivery of the stage."""
    (job,) = console.repository.jobs([JobState.DEAD], 10)
    (delivery,) = console.repository.deliveries([DeliveryState.DEAD], 10)
    return job.id, delivery.id


@pytest.mark.parametrize("page", PAGES)
def test_a_viewer_sees_every_page_of_daily_work(stage: Stage, viewer: Browser, page: str) -> None:
    assert viewer.get(page).status_code == 200


@pytest.mark.parametrize("page", FOR_ADMINS)
def test_the_pages_of_administrators_are_theirs(viewer: Browser, operator: Browser, admin: Browser, page: str) -> None:
    assert [browser.get(page).status_code for browser in (viewer, operator, admin)] == [403, 403, 200]
    assert "/users" not in operator.get("/").text


@pytest.mark.parametrize("page", [*PAGES, *FOR_ADMINS])
def test_text_from_outside_never_becomes_markup(stage: Stage, admin: Browser, page: str) -> None:
    assert SCRIPT not in admin.get(page).text


def test_what_a_patient_is_called_stands_on_the_page_and_not_in_its_title(stage: Stage, viewer: Browser) -> None:
    page = viewer.get(f"/studies/{STUDY}").text
    assert escape(NAME.replace("^", ", ")) in page
    assert escape(PATIENT_ID) in page
    title = page.partition("<title>")[2].partition("</title>")[0]
    assert "Doe" not in title
    assert "P1" not in title


def test_no_inline_script_and_no_inline_style(stage: Stage, admin: Browser) -> None:
    """The policy would stop them in the browser; here it is told which page has one."""
    for page in (*PAGES, *FOR_ADMINS):
        text = admin.get(page).text
        assert "<script>" not in text
        assert " style=" not in text
        assert " onclick=" not in text


def test_only_what_is_meant_to_be_is_public(browser: Browser) -> None:
    """Whatever part is added: without a session it leads to the sign-in, or is refused."""
    app: Any = browser.client.app
    for path in app.openapi()["paths"]:
        if not is_public(path):
            assert browser.get(path.replace("{", "").replace("}", "")).status_code in (303, 401)
    assert browser.get("/events").status_code == 303
    assert browser.get("/instances/1/frames/1.png").status_code == 303


def test_the_overview_counts_what_stands_there(stage: Stage, viewer: Browser) -> None:
    page = " ".join(viewer.get("/").text.split())
    assert "<dt>Received</dt><dd>5</dd>" in page
    assert "<dt>Delivered</dt><dd>1</dd>" in page
    assert '<a href="/work">2</a>' in page
    assert "measured 2" in page
    assert "abstained 1" in page


def test_the_list_of_studies_is_narrowed_and_paged(stage: Stage, console: Console) -> None:
    browsing = console.repository.browsing
    everything = [line.study_instance_uid for line in browsing.studies(StudyWish(), Page(10))]
    assert everything == ["1.2.826.0.1.2", STUDY]
    first = browsing.studies(StudyWish(), Page(1))
    assert [line.study_instance_uid for line in browsing.studies(StudyWish(), Page(1, first[0].last_id))] == [STUDY]

    def found(**wish: Any) -> list[str]:
        return [line.study_instance_uid for line in browsing.studies(StudyWish(**wish), Page(10))]

    assert found(text=PATIENT_ID) == everything
    assert found(text="1.2.826.0.1.2") == ["1.2.826.0.1.2"]
    assert found(text="1.2.826.0.1.") == everything
    assert found(text="nobody") == []
    assert found(text="%") == []
    assert found(standing=Standing.MEASURED) == found(standing=Standing.ABSTAINED) == [STUDY]
    assert found(standing=Standing.FAILED) == ["1.2.826.0.1.2"]
    assert found(calling_ae="VOLUSON1") == everything
    assert found(since=stage.at) == []
    assert found(until=stage.at) == everything


def test_a_study_tells_its_numbers_and_its_way(stage: Stage, viewer: Browser) -> None:
    page = viewer.get(f"/studies/{STUDY}").text
    assert "197.1 mm" in page
    assert "194.6 – 199.6 mm" in page
    assert 'class="growth"' in page
    places = [page.index(word) for word in ("Received</strong>", "Measured</strong>", "Delivered</strong>")]
    assert places == sorted(places)
    assert "Study reported" in page


def test_a_cine_tells_what_its_frames_agree_on_and_how_much_each_counts(stage: Stage, viewer: Browser) -> None:
    page = viewer.get(f"/studies/{STUDY}").text
    assert escape("[[1, 0.6], [2, 0.4], [3, 0.0]]") in page
    assert "2 of 3 frames agree on 197.6 mm, with a deviation of 0.8 mm; reliability 0.67." in page
    assert "take the sweep again" in page
    assert page.count("frames agree on") == 1, "nothing is said of a still"


def test_a_study_that_is_not_there_is_told_so(viewer: Browser) -> None:
    assert viewer.get("/studies/1.2.3").status_code == 404


def test_frames_are_pictures_and_objects_files(stage: Stage, viewer: Browser) -> None:
    assert viewer.get("/instances/2/frames").json() == {"count": 3}
    picture = viewer.get("/instances/2/frames/3.png")
    assert (picture.headers["content-type"], picture.content[:4]) == ("image/png", b"\x89PNG")
    assert viewer.get("/instances/2/frames/4.png").status_code == 404
    assert viewer.get("/instances/2/frames/0.png").status_code == 404
    assert viewer.get("/instances/77/frames/1.png").status_code == 404
    assert viewer.get("/objects/1/file").content[128:132] == b"DICM"
    assert viewer.get("/objects/1/pdf").status_code == 404
    assert viewer.get("/objects/77/file").status_code == 404


def test_a_file_that_is_gone_is_no_failure_of_the_page(stage: Stage, console: Console, viewer: Browser) -> None:
    for file in (console.data_dir / "objects").iterdir():
        file.unlink()
    assert viewer.get(f"/studies/{STUDY}").status_code == 200
    assert viewer.get("/instances/1/frames/1.png").status_code == 404
    assert viewer.get("/instances/1/file").status_code == 404


def test_looking_at_a_study_is_in_the_trail(stage: Stage, console: Console, viewer: Browser) -> None:
    viewer.get(f"/studies/{STUDY}")
    (newest,) = console.repository.audit_trail(Wanted(), 1)
    assert (newest.entry.event, newest.entry.actor) == ("study.viewed", "vera")
    assert newest.entry.study_instance_uid == STUDY


def test_a_viewer_changes_nothing(stage: Stage, console: Console, viewer: Browser) -> None:
    job, delivery = dead(console)
    for path in (
        f"/work/jobs/{job}/retry",
        f"/work/jobs/{job}/cancel",
        f"/work/deliveries/{delivery}/retry",
        f"/work/deliveries/{delivery}/resend",
        f"/work/jobs/{job}/rerun",
        "/work/retry",
        "/work/retry-all",
        "/users",
    ):
        assert viewer.post(path, page="/").status_code == 403
    assert dead(console) == (job, delivery)
    assert "Run again" not in viewer.get("/work").text


def test_an_operator_brings_a_dead_letter_back_under_their_name(
    stage: Stage, console: Console, operator: Browser
) -> None:
    job, delivery = dead(console)
    assert operator.post(f"/work/jobs/{job}/retry", page="/work").headers["location"] == "/work"
    assert operator.post(f"/work/deliveries/{delivery}/retry", page="/work").status_code == 303
    assert console.repository.jobs([JobState.DEAD], 10) == ()
    assert console.repository.deliveries([DeliveryState.DEAD], 10) == ()
    told = {(r.entry.event, r.entry.actor) for r in console.repository.audit_trail(Wanted(), 5)}
    assert {("admin.job", "oskar"), ("admin.delivery", "oskar")} <= told


@pytest.mark.parametrize("path", ["/work/retry", "/work/retry-all"])
def test_dead_letters_come_back_together(stage: Stage, console: Console, operator: Browser, path: str) -> None:
    job, delivery = dead(console)
    assert operator.post(path, page="/work", job=[job, 999], delivery=[delivery]).status_code == 303
    assert console.repository.counts(console.now())["jobs_dead"] == 0
    assert console.repository.counts(console.now())["deliveries_dead"] == 0


def test_an_operator_has_an_image_measured_and_an_object_sent_again(
    stage: Stage, console: Console, operator: Browser
) -> None:
    page = f"/studies/{STUDY}"
    repository = console.repository
    done = next(job for job in repository.jobs([JobState.DONE], 20) if job.kind is JobKind.MEASURE)
    (sent,) = repository.deliveries([DeliveryState.SENT], 10)
    text = operator.get(page).text
    assert f"/work/jobs/{done.id}/rerun" in text
    assert f"/work/deliveries/{sent.id}/resend" in text
    answer = operator.post(f"/work/deliveries/{sent.id}/resend", page=page, after=page)
    assert (answer.status_code, answer.headers["location"]) == (303, page)
    assert operator.post(f"/work/jobs/{done.id}/rerun", page=page, after=page).status_code == 303
    assert [delivery.id for delivery in repository.deliveries([DeliveryState.PENDING], 10)] == [sent.id]
    (queued,) = repository.jobs([JobState.QUEUED], 10)
    assert queued.instance_id == done.instance_id


def test_what_renews_itself_tells_nothing_about_the_patient(stage: Stage, viewer: Browser) -> None:
    """And opening it is no look at the study: it would be one a second."""
    text = viewer.get(f"/studies/{STUDY}/now").text
    assert 'id="study-objects"' in text
    assert 'id="study-steps"' in text
    assert escape(PATIENT_ID) not in text
    assert viewer.get("/studies/1.2.3.4/now").status_code == 404


def test_what_the_state_does_not_allow_is_told(stage: Stage, console: Console, operator: Browser) -> None:
    answer = operator.post(f"/work/jobs/{dead(console)[0]}/confirm", page="/work")
    assert answer.status_code == 409
    assert "only a held job can be confirmed" in answer.text


def test_an_administrator_adds_somebody_who_then_sets_a_password(admin: Browser, console: Console) -> None:
    page = admin.post("/users", page="/users", name="nina", role="operator").text
    link = "/welcome/" + page.partition("/welcome/")[2].partition("<")[0]
    nina = Browser(console)
    assert nina.post(link, page=link, password=PASSWORD, again=PASSWORD).status_code == 303
    assert nina.get("/work").status_code == 200
    assert nina.get("/users").status_code == 403


@pytest.mark.parametrize("name", ["", "a b", "../x", SCRIPT, "x" * 65])
def test_a_bad_name_is_refused(admin: Browser, name: str) -> None:
    answer = admin.post("/users", page="/users", name=name, role="viewer")
    assert answer.status_code == 422
    assert SCRIPT not in answer.text


def test_a_user_who_loses_a_role_is_signed_out(admin: Browser, operator: Browser) -> None:
    assert admin.post("/users/oskar/role", page="/users", role="viewer", active="true").status_code == 303
    assert operator.get("/").status_code == 303


def test_nobody_locks_all_administrators_out(admin: Browser, console: Console) -> None:
    assert admin.post("/users/ada/role", page="/users", role="viewer", active="true").status_code == 409
    with pytest.raises(Exception, match="Somebody has to be left"):
        console.repository.accounts.change_user("ada", UserRole.ADMIN, False, console.now())


def test_ones_own_password_needs_the_old_one_and_ends_other_sessions(viewer: Browser, console: Console) -> None:
    other = Browser(console).sign_in(UserRole.VIEWER)
    fields = {"password": "four other words here", "again": "four other words here"}
    assert viewer.post("/me/password", page="/me", old="wrong", **fields).status_code == 403
    assert viewer.post("/me/password", page="/me", old=PASSWORD, **fields).status_code == 200
    assert viewer.get("/").status_code == 200
    assert other.get("/").status_code == 303


def test_a_token_is_made_shown_once_and_removed_by_its_owner(
    viewer: Browser, operator: Browser, console: Console
) -> None:
    page = viewer.post("/me/tokens", page="/me", label=SCRIPT, role="viewer", days=30).text
    secret = page.partition('class="secret">')[2].partition("<")[0]
    assert console.repository.accounts.token_caller(secret, console.now()) is not None
    assert secret not in viewer.get("/me").text
    assert SCRIPT not in page
    (token,) = console.repository.accounts.tokens()
    assert operator.post(f"/tokens/{token.id}/remove", page="/me").status_code == 409
    assert viewer.post(f"/tokens/{token.id}/remove", page="/me").status_code == 303
    assert console.repository.accounts.tokens() == ()


def test_no_token_may_more_than_its_owner(viewer: Browser) -> None:
    assert viewer.post("/me/tokens", page="/me", label="script", role="admin", days=30).status_code == 403


def test_a_program_needs_no_form_token_and_cannot_make_tokens(viewer: Browser, console: Console) -> None:
    page = viewer.post("/me/tokens", page="/me", label="script", role="viewer", days=30).text
    secret = page.partition('class="secret">')[2].partition("<")[0]
    program, headers = Browser(console), {"authorization": f"Bearer {secret}"}
    fields = {"label": "again", "role": "viewer", "days": 1}
    assert program.client.post("/me/tokens", data=fields, headers=headers).status_code == 403
    assert program.client.post("/studies", data={"text": "x"}, headers=headers).status_code == 200


def test_every_page_says_what_the_error_is_and_no_more(stage: Stage, console: Console, viewer: Browser) -> None:
    console.repository.close()
    (console.data_dir / "node.sqlite3").write_bytes(b"no database")
    answer = viewer.get("/studies")
    assert answer.status_code in (500, 503)
    assert "Traceback" not in answer.text


def test_one_page_of_every_name_in_german(stage: Stage, admin: Browser) -> None:
    for page in (*PAGES, *FOR_ADMINS):
        answer = admin.get(page, headers={"accept-language": "de"})
        assert answer.status_code == 200
    assert "197,1 mm" in admin.get(f"/studies/{STUDY}", headers={"accept-language": "de"}).text


def test_a_study_without_an_answer_yet_has_its_page(console: Console, viewer: Browser) -> None:
    stage = Stage(console.repository, console.data_dir)
    stage.receive(still())
    page = viewer.get(f"/studies/{STUDY}").text
    assert "The study has no report yet" in page
    assert NAMES[UserRole.VIEWER] in page
