from tests.rehearsal.conftest import bundle, file

__all__ = ["bundle", "file"]
