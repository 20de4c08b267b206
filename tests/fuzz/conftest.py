import pytest
from parlai.core.teachers import DataLoader


@pytest.fixture(autouse=True)
def no_threads_of_teachers(monkeypatch):
    """
    ParlAI starts a thread with every teacher, which waits for ever for something to load: after
    30,000 teachers a process gets no more threads. Here nothing is loaded by them.
    """
    monkeypatch.setattr(DataLoader, "start", lambda self: None)
