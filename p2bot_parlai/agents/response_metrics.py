"""``--persona-metrics``: metrics of responses that need no reference (docs/metrics.md)."""

from collections.abc import Sequence

from parlai.core.metrics import AverageMetric, InterDistinctMetric, Metric
from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from p2bot_parlai.agents.options.common import flag
from p2bot_parlai.agents.words import content_words, words
from p2bot_parlai.errors import P2botError
from p2bot_parlai.method.model_files import load_perceiver
from p2bot_parlai.method.perceiver import Perceiver
from p2bot_parlai.metrics import persona_metrics as measures
from p2bot_parlai.metrics.nli import NliJudge, load_judge
from p2bot_parlai.parlai_support.names import zoo_path

HUMAN = "human_"  # how the names of what labels come to begin
# one entry per example, as ParlAI requires
Values = dict[str, list[Metric | None]]


class ResponseMetrics:
    """
    The metrics of a batch of responses.

    :param perceiver: for ``perception``. :param nli: for ``c_score``, ``entails`` and
        ``contradicts``. Where one is None its metrics are left out.
    """

    def __init__(self, perceiver: Perceiver | None = None, nli: NliJudge | None = None):
        self.perceiver, self.nli = perceiver, nli

    @classmethod
    def asked_for(cls, opt: Opt) -> "ResponseMetrics | None":
        """
        What this command asks for: a saved model may still name the models of its training run.

        :raises P2botError: for files that are missing or of another kind, and for options
            that contradict each other.
        """
        given = opt.get("override", opt)
        if not given.get("persona_metrics"):
            if given.get("nli_model"):
                raise P2botError("--nli-model is for --persona-metrics true: add it")
            return None
        if given.get("skip_generation"):
            raise P2botError(
                "--persona-metrics true needs responses, and --skip-generation true generates "
                "none: drop one"
            )
        paths = {}
        for name in ("receiver", "nli_model"):
            path = zoo_path(opt.get("datapath"), given.get(name), flag(name))
            if path and not PathManager.exists(path):
                raise P2botError(f"{flag(name)} {path}: there is no such file")
            paths[name] = path
        perceiver = load_perceiver(paths["receiver"]) if paths["receiver"] else None
        nli = load_judge(paths["nli_model"]) if paths["nli_model"] else None
        return cls(perceiver, nli)

    def to(self, device) -> None:
        """Move the models there."""
        for model in (self.perceiver, self.nli):
            if model is not None:
                model.network.to(device)

    def __call__(
        self,
        responses: Sequence[str],
        personas: Sequence[Sequence[str]],
        earlier: Sequence[Sequence[str]],
    ) -> tuple[Values, list[list[str]] | None]:
        """
        :param personas: of the speaker of each response; without one the metrics about it are
            left out. :param earlier: the speaker's turns before each response.
        :return: metrics by name, and what each response is to each of its profile sentences
            (`nli.LABELS`) where there is a classifier.
        """
        metrics: Values = {
            "response_len": _means([len(words(r)) for r in responses]),
            "repetition": _means(measures.repetition_within(r, words) for r in responses),
            "self_repetition": _means(
                measures.repetition_across(r, before, words)
                for r, before in zip(responses, earlier, strict=True)
            ),
        }
        for order in (1, 2):
            metrics[f"distinct-{order}"] = [
                InterDistinctMetric.compute(response, order) for response in responses
            ]
        about, labels = self._about_persona(responses, personas)
        return metrics | about, labels

    def of_humans(self, labels: Sequence[str | None], personas: Sequence[Sequence[str]]) -> Values:
        """
        The metrics about the persona of the true responses, a ceiling for those of a model.

        :param labels: None where an example has none, which is left out.
        """
        known = [p if label else [] for label, p in zip(labels, personas, strict=True)]
        found, _ = self._about_persona([label or "" for label in labels], known)
        return {f"{HUMAN}{name}": values for name, values in found.items()}

    def _about_persona(
        self, responses: Sequence[str], personas: Sequence[Sequence[str]]
    ) -> tuple[Values, list[list[str]] | None]:
        metrics: Values = {
            "persona_f1": _means(
                measures.persona_f1(r, p, content_words) if p else None
                for r, p in zip(responses, personas, strict=True)
            )
        }
        if self.perceiver:
            scores = self.perceiver.score(responses, personas).tolist()
            metrics["perception"] = _means(
                score if persona else None for score, persona in zip(scores, personas, strict=True)
            )
        labels = self._labels(responses, personas) if self.nli else None
        if labels is not None:
            metrics["c_score"] = _means(measures.c_score(row) if row else None for row in labels)
            for name, label in (("entails", "positive"), ("contradicts", "negative")):
                metrics[name] = _means((label in row) if row else None for row in labels)
        return metrics, labels

    def _labels(self, responses, personas) -> list[list[str]]:
        pairs = [(r, s) for r, p in zip(responses, personas, strict=True) for s in p]
        found = iter(self.nli.labels(pairs))
        return [[next(found) for _ in persona] for persona in personas]


def _means(values) -> list[Metric | None]:
    return [None if value is None else AverageMetric(value) for value in values]
