"""One workbench, and one served page, for all tests of the app."""

import pytest


@pytest.fixture(scope="session")
def bench():
    from dinoclip_viz.app.workbench import Workbench

    return Workbench()


@pytest.fixture(scope="session")
def address():
    """Address of the served page."""
    from dinoclip_viz.app import build_demo, launch

    demo = build_demo()
    yield launch(demo, wait=False, quiet=True)
    demo.close()


@pytest.fixture(scope="session")
def photograph(tmp_path_factory):
    from PIL import Image
    from skimage import data

    path = tmp_path_factory.mktemp("photographs") / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(path)
    return str(path)


@pytest.fixture
def drawn(bench, tmp_path):
    """An image that the playground has drawn."""
    path = tmp_path / "drawn.png"
    bench.scenes.draw(1007).save(path)
    return str(path)
