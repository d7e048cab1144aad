"""What was tried out is for its owner alone, and goes by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from dicom_node.trial.shelf import FOLDER, KEPT_S, MOST, MOST_KEPT, Forgotten, Shelf, TooManyKept, Trial

TOLD = {"looks": [{"files": ["frame-1.png"]}]}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def shelf(tmp_path: Path, clock: Clock) -> Shelf:
    return Shelf(tmp_path, clock)


def put(shelf: Shelf, owner: str = "ada") -> Trial:
    folder = shelf.open()
    (folder / "0").mkdir()
    (folder / "0" / "frame-1.png").write_bytes(b"picture")
    (folder / "0" / "secret").write_bytes(b"secret")
    return shelf.put(folder, owner, TOLD)


def test_only_its_owner_finds_it(shelf: Shelf) -> None:
    trial = put(shelf)
    assert shelf.get(trial.key, "ada") == trial
    with pytest.raises(Forgotten):
        shelf.get(trial.key, "bob")
    assert shelf.of("ada") == (trial,)
    assert shelf.of("bob") == ()


def test_only_files_that_the_look_wrote_are_given_out(shelf: Shelf) -> None:
    trial = put(shelf)
    assert trial.file("0/frame-1.png").read_bytes() == b"picture"
    for name in ("0/secret", "../0/frame-1.png", "0/../../x", "source.dcm", "/etc/passwd"):
        with pytest.raises(Forgotten):
            trial.file(name)


def test_it_goes_with_time(shelf: Shelf, clock: Clock) -> None:
    trial = put(shelf)
    clock.now_s = KEPT_S + 1
    with pytest.raises(Forgotten):
        shelf.get(trial.key, "ada")
    assert not trial.folder.exists()


def test_the_oldest_goes_where_there_are_too_many(shelf: Shelf) -> None:
    trials = [put(shelf) for _ in range(MOST + 1)]
    assert not trials[0].folder.exists()
    assert all(trial.folder.exists() for trial in trials[1:])


def test_it_goes_when_its_owner_says_so(shelf: Shelf) -> None:
    trial = put(shelf)
    with pytest.raises(Forgotten):
        shelf.drop(trial.key, "bob")
    shelf.drop(trial.key, "ada")
    assert not trial.folder.exists()


def test_what_an_earlier_process_left_behind_is_gone_at_the_start(shelf: Shelf, tmp_path: Path) -> None:
    put(shelf)
    Shelf(tmp_path).clear()
    assert not (tmp_path / FOLDER).exists()


def test_what_is_kept_outlives_time_others_and_the_process(shelf: Shelf, clock: Clock, tmp_path: Path) -> None:
    trial = put(shelf)
    with pytest.raises(Forgotten):
        shelf.keep(trial.key, "bob")
    shelf.keep(trial.key, "ada")
    shelf.keep(trial.key, "ada")
    clock.now_s = KEPT_S + 1
    for _ in range(MOST + 1):
        put(shelf)
    assert not trial.folder.exists(), "it lies elsewhere now"
    again = Shelf(tmp_path)
    again.clear()
    kept = again.get(trial.key, "ada")
    assert (kept.told, kept.kept, again.of("ada"), again.of("bob")) == (TOLD, True, (kept,), ())
    assert kept.file("0/frame-1.png").read_bytes() == b"picture"
    again.drop(trial.key, "ada")
    assert not kept.folder.exists()


def test_only_so_many_are_kept_for_one(shelf: Shelf) -> None:
    for _ in range(MOST_KEPT):
        shelf.keep(put(shelf).key, "ada")
    last = put(shelf)
    with pytest.raises(TooManyKept):
        shelf.keep(last.key, "ada")
    assert shelf.get(last.key, "ada") == last
    shelf.keep(put(shelf, "bob").key, "bob")


def test_what_is_not_ours_is_left_alone(shelf: Shelf, tmp_path: Path) -> None:
    shelf.keep(put(shelf).key, "ada")
    (tmp_path / "kept-trials" / "strange").mkdir()
    (tmp_path / "kept-trials" / "strange" / "trial.json").write_text("[]")
    again = Shelf(tmp_path)
    again.clear()
    assert len(again.of("ada")) == 1
    assert (tmp_path / "kept-trials" / "strange").is_dir()
