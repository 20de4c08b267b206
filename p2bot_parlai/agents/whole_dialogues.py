"""
Training on whole dialogues: all turns of an episode in one row (`p2bot_parlai.method.layout`).

The same examples with the same loss as turn by turn, without reading every context anew.
"""

import random
from collections.abc import Sequence

import torch
from parlai.core.message import Message
from parlai.core.metrics import Metric

from p2bot_parlai.method.layout import Turn, pack
from p2bot_parlai.parlai_support.batches import Batch


class WholeDialogues:
    """
    What `TransmitterAgent` does with messages of `WholeDialogueMutator`.

    To be named before ParlAI's TorchAgent among the bases.
    """

    reads_whole_dialogues = True

    def vectorize(self, obs: Message, history, **kwargs):
        if "dialogue" not in obs:
            return super().vectorize(obs, history, **kwargs)
        history.reset()
        turns, words, lengths = [], [], []
        for said in obs["dialogue"]:
            history.update_history(Message(said))
            context = history.context(self.text_truncate)
            label = random.choice(said["labels"]) if said.get("labels") else ""
            response = self.response_ids(label, self.label_truncate)
            wrong = self._drawn_distractors(said, self.label_truncate)
            turns.append(Turn(context.ids, response, wrong))
            words.append(self._words(response, label))
            lengths.append(context.full_length)
            history.add_reply(label)
        history.reset()
        obs["turns"], obs["label_words"], obs["context_lengths"] = turns, words, lengths
        # for ParlAI's dynamic batching, which asks for lengths
        obs["text_vec"] = torch.tensor(turns[-1].context, dtype=torch.long)
        obs["labels_vec"] = torch.tensor(turns[-1].response, dtype=torch.long)
        return obs

    def _drawn_distractors(self, message, truncate: int) -> list[list[int]]:
        """Wrong candidates of a training message, drawn at random, as ids."""
        labels = message.get("labels") or ()
        others = [c for c in message.get("label_candidates") or () if c not in labels]
        if not others or self.nup_coef <= 0:
            return []
        chosen = random.sample(others, min(self.num_distractors, len(others)))
        return [self.response_ids(text, truncate) for text in chosen]

    def batch_of_dialogues(self, rows: Sequence[Message], valid_indices) -> Batch:
        """
        A batch whose examples are turns: ``responses``, ``distractors`` and ``label_words``
        are lists over all turns of all dialogues, ``packed`` is what the network reads.
        """
        turns = [turn for row in rows for turn in row["turns"]]
        responses = [turn.response for turn in turns]
        offered = [{"distractor_vecs": t.distractors} if t.distractors else {} for t in turns]
        distractors = self._distractors(offered, responses)
        tokens = self.dict.p2bot
        filled = [
            Turn(turn.context, turn.response, wrong)
            for turn, wrong in zip(turns, distractors, strict=True)
        ]
        packed = pack(filled, tokens.self_, tokens.cls, tokens.pad).to(self.device)
        batch = Batch(
            batchsize=len(turns),
            is_training=True,
            valid_indices=valid_indices,
            text_vec=packed.inputs,
            label_vec=packed.targets,
        )
        batch["packed"] = packed
        batch["responses"], batch["distractors"] = responses, distractors
        batch["label_words"] = [count for row in rows for count in row["label_words"]]
        batch["turns_of"] = [len(row["turns"]) for row in rows]
        return batch

    def merge_by_dialogue(self, batch: Batch) -> None:
        """ParlAI takes one metric a message: the turns of each are added up."""
        for name, values in self._local_metrics.items():
            if len(values) == batch.batchsize:
                merged, start = [], 0
                for count in batch.turns_of:
                    merged.append(_sum(values[start : start + count]))
                    start += count
                self._local_metrics[name] = merged


def _sum(metrics: Sequence[Metric | None]) -> Metric | None:
    found = None
    for metric in metrics:
        if metric is not None:
            found = metric if found is None else found + metric
    return found
