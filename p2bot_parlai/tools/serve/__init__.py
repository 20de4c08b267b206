"""
``parlai p2bot_serve``: conversations over HTTP.

    bodies         what requests may hold
    conversations  the latest used ones, each with its requests in order
    completions    chat completions for OpenAI's clients
    app            the addresses, who may call them, errors
    page           the OpenAPI description as a page
"""
