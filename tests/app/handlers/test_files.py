"""Files that the page serves: complete for every reader at any time, once per content, bounded in bytes."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dinoclip_viz.app.handlers.files import ServedFiles


def noise(seed, side=300):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8))


@pytest.fixture
def files():
    return ServedFiles()


def test_readers_never_see_an_incomplete_file_while_many_threads_write_the_same(files):
    pictures = [noise(seed) for seed in range(3)]
    stop, wrong, read = threading.Event(), [], []

    def write(number):
        while not stop.is_set():
            files._kept.clear()  # as if no thread had written the image yet
            files.image(pictures[number % 3])

    def check():
        while not stop.is_set():
            for path in files.folder.glob("figure-*.png"):
                try:
                    with Image.open(path) as image:
                        image.load()
                    read.append(path)
                except Exception as error:
                    wrong.append(repr(error))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    threads += [threading.Thread(target=check) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and len(read) > 20
    assert sorted(path.name for path in files.folder.iterdir()) == sorted({path.name for path in read})


def test_an_image_is_written_once_and_its_pixels_are_kept(files):
    path = files.image(noise(0))
    before = Path(path).stat().st_mtime_ns
    assert files.image(noise(0)) == path and Path(path).stat().st_mtime_ns == before
    assert Image.open(path).tobytes() == noise(0).tobytes()
    assert files.image(noise(1)) != path


def test_images_of_the_same_indices_and_other_colours_have_other_files(files):
    paths = set()
    for colour in ((255, 0, 0), (0, 255, 0)):
        image = Image.new("P", (4, 4), 1)
        image.putpalette([0, 0, 0, *colour])
        paths.add(files.image(image))
    assert len(paths) == 2


def test_the_least_recently_used_files_go_and_pinned_and_recent_ones_stay():
    measured = ServedFiles()
    size = Path(measured.image(noise(0))).stat().st_size
    files = ServedFiles(limit=round(2.5 * size), grace=0)
    pinned = files.image(noise(0), pinned=True)
    first, second = files.image(noise(1)), files.image(noise(2))
    assert Path(pinned).exists() and not Path(first).exists() and Path(second).exists()
    assert files.nbytes <= files.limit
    assert not files.still([first]) and files.still([second])
    patient = ServedFiles(limit=size, grace=60)
    kept = [patient.image(noise(seed)) for seed in range(3)]
    assert all(Path(path).exists() for path in kept)


def test_a_deleted_file_is_written_again(files):
    path = Path(files.image(noise(0)))
    path.unlink()
    assert not files.still([path])
    assert files.image(noise(0)) == str(path) and path.exists()
    assert files.nbytes == path.stat().st_size


def test_downloads_of_a_visitor_are_counted_and_deleted_with_their_folder():
    files = ServedFiles(limit=10, grace=0)
    folder = files.folder / "visitor"
    folder.mkdir()
    (folder / "masks.json").write_text("[]" * 10)
    assert files.adopted([str(folder / "masks.json")]) == [str(folder / "masks.json")]
    files.image(noise(0))
    assert not folder.exists()


def test_a_failed_write_leaves_nothing(files):
    with pytest.raises(ValueError, match="broken"):
        files.write(files.folder / "a.txt", lambda aside: aside.write_text("half") and int("broken"))
    assert list(files.folder.iterdir()) == []


def test_every_image_of_an_answer_becomes_a_path(files):
    answer = files.served(([(noise(0), "a"), (noise(1), "b")], "text", {"value": (noise(0), [(noise(2), "c")])}))
    (first, caption), (second, _) = answer[0]
    assert caption == "a" and first == answer[2]["value"][0] and first != second
    assert sorted(files.paths_in(answer)) == sorted([first, second, first, answer[2]["value"][1][0][0]])
    assert all(Path(path).exists() for path in files.paths_in(answer))


def test_the_folder_goes_with_the_page():
    files = ServedFiles()
    folder = files.folder
    files.image(noise(0))
    files._remove()
    assert not folder.exists()
