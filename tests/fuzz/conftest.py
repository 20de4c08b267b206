import pytest
from parlai.core.teachers import DataLoader


@pytest.fixture(autouse=True)
def no_threads_of_teachers(monkeypatch):
    """
    ParlAI starts a thread with every teacher, which never ends: after 30,000 teachers a process
    gets no more threads. Nothing here loads in the background.
    """
    monkeypatch.setattr(DataLoader, "start", lambda self: None)
