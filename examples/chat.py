"""
Talk with a bot that has a persona: complete replies, then a streamed one.

usage: python examples/chat.py
"""

from p2bot_parlai import P2Bot


def main() -> None:
    bot = P2Bot.load("zoo:p2bot/smollm2/model", inference="nucleus", topp=0.9, seed=1)
    bot.persona = ["I have two dogs.", "I work as a nurse."]
    for said in ("Hi, how are you?", "What do you do for a living?"):
        print("you:", said)
        print("bot:", bot.reply(said))

    print("you: Do you have any pets?")
    print("bot: ", end="")
    for piece in bot.stream("Do you have any pets?"):
        print(piece, end="", flush=True)
    print()


if __name__ == "__main__":
    main()
