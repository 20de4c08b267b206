"""
``parlai p2bot_web``: talk with the bot in a browser and see what it perceives.

    limits    what a visitor may send, and how often
    judge     the rewards of a reply (Eq. 6-10)
    talk      one conversation: who, what was said, what it shows
    visitors  who is there, each with conversations of their own
    render    a conversation as HTML
    page      the gradio page
    guard     what reaches the server at all
    server    page, guard and downloads together, on a port
"""
