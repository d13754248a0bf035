"""One served page with its MCP server for all tests of the API, and images of the playground as files."""

import pytest
from gradio_client import Client


@pytest.fixture(scope="session")
def demo():
    from dinoclip_viz.app import build_demo

    return build_demo()


@pytest.fixture(scope="session")
def served(demo):
    """Address of the page, without a slash at its end."""
    from dinoclip_viz.app import launch

    yield launch(demo, wait=False, quiet=True, mcp=True).rstrip("/")
    demo.close()


@pytest.fixture(scope="session")
def client(served, tmp_path_factory):
    return Client(served, verbose=False, download_files=str(tmp_path_factory.mktemp("downloads")))


@pytest.fixture(scope="session")
def model():
    import dinoclip_viz as dv

    return dv.load_model("playground")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """Paths of two scenes that the page does not know: it states that its models are for such scenes alone."""
    from dinoclip_viz import playground

    folder = tmp_path_factory.mktemp("scenes")
    paths = [folder / "first.png", folder / "second.png"]
    for seed, path in zip((3086, 3010), paths, strict=True):
        playground.draw(seed, 1, 192)[0].image.save(path)
    return [str(path) for path in paths]
