"""Files are written whole or not at all."""

import errno
import json
import os
from pathlib import Path

import pytest

from dinoclip_viz.disk import replacing, replacing_in, write_json, write_text


def test_a_file_appears_when_it_is_complete_and_replaces_the_former(tmp_path):
    file = tmp_path / "a.png"
    file.write_text("former")
    with replacing(file) as aside:
        assert (aside.parent, aside.suffix) == (tmp_path, ".png")
        aside.write_text("new")
        assert file.read_text() == "former"
    assert file.read_text() == "new"
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("error", [ValueError("no"), OSError(errno.ENOSPC, "No space"), KeyboardInterrupt()])
def test_after_an_error_the_former_file_is_there_and_nothing_else(tmp_path, error):
    file = tmp_path / "a.txt"
    file.write_text("former")
    with pytest.raises(type(error)), replacing(file) as aside:
        aside.write_text("ne")
        raise error
    assert file.read_text() == "former"
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_without_a_path_is_given_it_and_one_with_another_path_keeps_it(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.txt"))
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.txt"):
        Path(tmp_path / "input.png").read_bytes()
    assert caught.value.filename == str(tmp_path / "input.png")
    with pytest.raises(OSError) as caught, replacing(tmp_path / "a.txt"):
        raise RuntimeError("I/O error: No space left on device (os error 28)")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(RuntimeError, match="of another kind"), replacing(tmp_path / "a.txt"):
        raise RuntimeError("of another kind")


def test_a_missing_folder_is_named_by_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        write_text(tmp_path / "no" / "a.txt", "x")
    assert caught.value.filename == str(tmp_path / "no" / "a.txt")


def test_links_stay_links_modes_stay_and_devices_are_written_to(tmp_path):
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("former")
    real.chmod(0o640)
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640
    write_text("/dev/null", "gone")
    assert not Path("/dev/null").is_file()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_text(pipe, "through")
    assert os.read(reading, 100) == b"through"
    os.close(reading)


def test_files_of_a_folder_move_together_the_settings_last(tmp_path):
    (tmp_path / "other").write_text("stays")
    write_json(tmp_path / "config.json", {"old": 1})
    with pytest.raises(ValueError), replacing_in(tmp_path) as aside:
        (aside / "weights").write_text("half")
        raise ValueError("no")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "other"]
    with replacing_in(tmp_path) as aside:
        (aside / "weights").write_text("whole")
        write_json(aside / "config.json", {"new": 2})
    assert json.loads((tmp_path / "config.json").read_text()) == {"new": 2}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["config.json", "other", "weights"]
