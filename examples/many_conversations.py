"""
Two conversations in two threads that share one loaded model; then ranking of candidates.

Each has its own persona and seed, so neither affects the other.

usage: python examples/many_conversations.py
"""

from concurrent.futures import ThreadPoolExecutor

from p2bot_parlai import P2Bot

PERSONAS = {
    "nurse": ["I work as a nurse.", "I have two dogs."],
    "teacher": ["I am a teacher.", "I like tea."],
}
QUESTIONS = ["Hi, how are you?", "What do you do for a living?"]


def main() -> None:
    bot = P2Bot.load("zoo:p2bot/smollm2/model", inference="nucleus", topp=0.9)
    talks = {name: bot.conversation(who, seed=1) for name, who in PERSONAS.items()}

    def interview(name: str) -> None:
        for question in QUESTIONS:
            talks[name].reply(question)

    with ThreadPoolExecutor() as pool:
        list(pool.map(interview, talks))
    for name, talk in talks.items():
        print(f"the {name}:")
        for speaker, text in talk.turns:
            print(f"  {speaker}: {text}")

    print("what would the nurse say to: Do you have any pets?")
    answers = ["I have two dogs.", "I love to cook.", "I'm fine, thanks."]
    for text, score in talks["nurse"].rank("Do you have any pets?", answers):
        print(f"  {score:6.2f}  {text}")


if __name__ == "__main__":
    main()
