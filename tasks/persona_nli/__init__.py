"""Which profile sentence follows from an utterance? A warm-up for the Receiver."""
