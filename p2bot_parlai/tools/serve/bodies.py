"""What requests may hold. The names and limits are in the OpenAPI description."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from p2bot_parlai.chat.replies import Decoding

BODY = 2**18  # bytes of a request
TURNS = 1000  # of a conversation

Text = Annotated[str, Field(max_length=4000)]
Persona = Annotated[list[Annotated[str, Field(max_length=500)]], Field(max_length=100)]


class Body(BaseModel):
    """A name that is not known is an error: what it asks for would not be done."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def null_is_not_given(cls, given: Any) -> Any:
        """OpenAI's clients send what they received, with null where there is nothing."""
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class Sampling(Body):
    temperature: Annotated[
        float | None,
        Field(
            ge=0,
            le=2,
            description="above 0 samples, 0 takes the likeliest token; default: "
            "what the server was started with, the paper's beam search if nothing else",
        ),
    ] = None
    top_p: Annotated[
        float | None, Field(gt=0, le=1, description="samples from the tokens that have p together")
    ] = None
    max_tokens: Annotated[
        int | None, Field(ge=1, description="of a reply; the model's --label-truncate holds too")
    ] = None
    seed: Annotated[
        int | None, Field(ge=0, lt=2**63, description="makes sampled replies repeat")
    ] = None

    def decoding(self) -> Decoding:
        return Decoding(self.temperature, self.top_p, self.max_tokens)


class NewConversation(Sampling):
    persona: Annotated[Persona, Field(description="the bot's, one sentence each")] = []
    partner_persona: Annotated[
        Persona, Field(description="of who talks with it, for a model that learnt to be told")
    ] = []


class Saying(Body):
    text: Annotated[Text, Field(description='what the partner says; "": the bot goes on')] = ""
    stream: Annotated[bool, Field(description="as server-sent events, piece by piece")] = False


class Ranking(Body):
    candidates: Annotated[list[Text], Field(min_length=1, max_length=1000)]


class Perceiving(Body):
    utterance: Text
    persona: Annotated[Persona, Field(min_length=1)]


# ------------------------------------------------------------------------ OpenAI's clients
class Part(Body):
    type: Literal["text"]
    text: Text


class Message(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] = ""
    name: str = ""

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content)


class StreamOptions(Body):
    include_usage: bool = False


Zero = Annotated[float, Field(ge=0, le=0, description="no other value can be honoured")]


class Completion(Sampling):
    model: str
    messages: Annotated[
        list[Message],
        Field(
            min_length=1,
            max_length=TURNS,
            description="system: the persona, a profile sentence each sentence",
        ),
    ]
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    stop: str | Annotated[list[str], Field(max_length=4)] = []
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    n: Literal[1] = 1
    frequency_penalty: Zero = 0
    presence_penalty: Zero = 0
    user: str = ""

    def decoding(self) -> Decoding:
        most = self.max_completion_tokens or self.max_tokens
        return Decoding(self.temperature, self.top_p, most)

    def stops(self) -> list[str]:
        return [one for one in ([self.stop] if isinstance(self.stop, str) else self.stop) if one]
