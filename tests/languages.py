"""Small dialogues in three languages, as the files that ``parlai import_dialogues`` reads."""

import csv
import io
import json

# what differs between people, profile sentences, and what the partner asks and the owner answers
ENGLISH = {
    "things": ("soup", "rice", "bread", "pears", "beans", "honey"),
    "places": ("Bern", "Oslo", "Lima", "Kyoto", "Cairo", "Perth"),
    "persona": ("I eat {thing} every day.", "I live in {place}."),
    "turns": (
        ("Hello, where do you live?", "Hi, my home is in {place}."),
        ("What do you like to eat?", "Nothing is better than {thing}."),
    ),
}
GERMAN = {
    "things": ("Suppe", "Reis", "Brötchen", "Äpfel", "Grünkohl", "Honig"),
    "places": ("Köln", "Münster", "Zürich", "Graz", "Würzburg", "Lübeck"),
    "persona": ("Ich esse jeden Tag {thing}.", "Ich wohne in {place} an der Straße."),
    "turns": (
        ("Hallo, wo wohnst du?", "Grüß dich! Ich bin in {place} zu Hause."),
        ("Was isst du gern?", "Nichts schmeckt mir besser als {thing}."),
    ),
}
CHINESE = {
    "things": ("汤", "米饭", "面包", "梨", "豆子", "蜂蜜"),
    "places": ("北京", "上海", "成都", "西安", "广州", "台北"),
    "persona": ("我每天吃{thing}。", "我住在{place}。"),
    "turns": (
        ("你好，你住在哪里？", "你好！我家在{place}。"),
        ("你喜欢吃什么？", "{thing}最好吃。"),
    ),
}


def talks(language: dict) -> list[tuple[list[str], list[tuple[str, str]]]]:
    """(profile sentences, (heard, reply) of each turn) of six people."""

    def filled(text, thing, place):
        return text.format(thing=thing, place=place)

    return [
        (
            [filled(s, *person) for s in language["persona"]],
            [tuple(filled(text, *person) for text in turn) for turn in language["turns"]],
        )
        for person in zip(language["things"], language["places"], strict=True)
    ]


def as_personachat(language: dict) -> str:
    """Hugging Face's JSON, with two distractors; the first dialogue is opened by its owner."""
    found = []
    for persona, turns in talks(language):
        history, utterances = [], []
        for heard, reply in turns:
            history.append(heard if history or found else "__ SILENCE __")
            wrong = ["no .", "not | that ."]
            utterances.append({"candidates": [*wrong, reply], "history": list(history)})
            history.append(reply)
        found.append({"personality": persona, "utterances": utterances})
    return json.dumps({"train": found[:4], "valid": found[4:]})


def as_chat(language: dict) -> str:
    """JSONL; the persona is in a field and in a system message by turns."""
    lines = []
    for number, (persona, turns) in enumerate(talks(language)):
        messages = [
            {"role": role, "content": text}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]
        if number % 2:
            entry = {"persona": persona, "messages": messages}
        else:
            entry = {"messages": [{"role": "system", "content": "".join(persona)}, *messages]}
        lines.append(json.dumps(entry, ensure_ascii=False))
    return "\n".join(lines) + "\n"


def as_synthetic(language: dict) -> str:
    """The CSV: the next person is the partner."""
    file = io.StringIO()
    rows = csv.writer(file)
    rows.writerow(["user 1 personas", "user 2 personas", "Best Generated Conversation"])
    found = talks(language)
    for number, (persona, turns) in enumerate(found):
        said = [
            f"User {who}: {text}" for turn in turns for who, text in zip("12", turn, strict=True)
        ]
        other = found[number - 1][0]
        rows.writerow(["\n".join(other), "\n".join(persona), "\n".join(said)])
    return file.getvalue()
