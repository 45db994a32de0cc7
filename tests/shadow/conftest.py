from tests.agent.conftest import bundle

__all__ = ["bundle"]
