"""``parlai p2bot_serve``, and OpenAI's package as its client."""

import re
import signal
import subprocess
import sys

import pytest

from p2bot_parlai.errors import P2botError, UsageError
from p2bot_parlai.scripts.p2bot_serve import P2botServe


def test_what_is_missing_is_named(tiny_model, convai2, monkeypatch):
    given = {"model_file": tiny_model, "datapath": convai2, "loglevel": "error"}
    with pytest.raises(UsageError, match="--max-conversations 0"):
        P2botServe.main(**given, max_conversations=0)
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(P2botError, match=r"needs fastapi: pip install .*\[serve\]"):
        P2botServe.main(**given)


@pytest.mark.slow
def test_openais_package_talks_with_it_and_sigterm_ends_it(tiny_model, convai2, tmp_path):
    from openai import BadRequestError, OpenAI

    command = [sys.executable, "-m", "p2bot_parlai", "p2bot_serve", "-mf", tiny_model]
    command += ["--port", "0", "--api-key", "secret", "-dp", convai2, "--loglevel", "error"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        line = next(line for line in process.stdout if "P²Bot is at" in line)
        address = re.search(r"http://[\d.:]+", line).group()
        with OpenAI(base_url=f"{address}/v1", api_key="secret", max_retries=0) as client:
            (model,) = client.models.list().data
            messages = [
                {"role": "system", "content": "I like tea. I have two dogs."},
                {"role": "user", "content": "Hello!"},
            ]
            given = {"model": model.id, "temperature": 0.8, "top_p": 0.9, "seed": 4}
            answer = client.chat.completions.create(messages=messages, **given)
            said = answer.choices[0].message
            stream = client.chat.completions.create(messages=messages, stream=True, **given)
            pieces = [chunk.choices[0].delta.content or "" for chunk in stream]
            assert "".join(pieces) == said.content != ""
            messages += [said, {"role": "user", "content": "Do you like tea?"}]
            later = client.chat.completions.create(messages=messages, model=model.id)
            assert later.choices[0].message.content and later.usage.prompt_tokens > 10
            with pytest.raises(BadRequestError, match="logprobs: Extra inputs"):
                client.chat.completions.create(messages=messages, model=model.id, logprobs=True)
        process.send_signal(signal.SIGTERM)
        assert process.wait(180) == -signal.SIGTERM
        assert "Traceback" not in process.stderr.read()
