"""
Score how strongly each utterance reveals each profile sentence, and find the sentences of a bank
that describe the speaker best.

usage: python examples/perception.py
"""

from p2bot_parlai import P2Bot

SAID = ["I walk my dogs every morning.", "The hospital was busy today."]
PERSONA = ["I have two dogs.", "I work as a nurse.", "I like to play chess."]
BANK = [*PERSONA, "I am a teacher.", "I have three cats.", "I love to cook."]


def main() -> None:
    bot = P2Bot.load("zoo:p2bot/smollm2/model")
    for utterance in SAID:
        print(utterance)
        for sentence, score in bot.perceive(utterance, PERSONA):
            print(f"  {score:6.2f}  {sentence}")

    print("who is this?")
    for found in bot.impression(SAID, BANK, top=3):
        print(f"  {found.score:6.2f}  {found.sentence}  <- {found.utterance}")


if __name__ == "__main__":
    main()
