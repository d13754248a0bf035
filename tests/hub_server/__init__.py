"""A local server that plays the Hugging Face hub: `python -m tests.hub_server --folder F --port P`."""

from tests.hub_server.faults import Fault
from tests.hub_server.server import Hub

__all__ = ["Fault", "Hub"]
