"""
The page on which people rate responses.

The server reads the study but never its key, so it cannot reveal which system answered.
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from p2bot_parlai.errors import P2botError
from p2bot_parlai.parlai_support.files import parse_json
from p2bot_parlai.tools.human_eval.ratings import RatingLog, check_rater
from p2bot_parlai.tools.human_eval.scale import SCALE
from p2bot_parlai.tools.human_eval.study import Study
from p2bot_parlai.tools.web.guard import guarded

PAGE = Path(__file__).with_name("page")
MAX_BODY = 4096  # bytes of a rating
# nothing from elsewhere and nothing inline: a model's text can never run
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def rating_app(study: Study, log: RatingLog, host: str) -> ASGIApp:
    """
    ``GET /scale``, ``GET /study?rater=NAME``, ``POST /rate``, and the page itself.

    :param host: address that it is served on.
    """
    grades = [grade._asdict() for grade in SCALE]
    items = [
        {"persona": i.persona, "context": i.context, "response": r.text, "id": r.id}
        for i, r in study.responses()
    ]

    def scale(request: Request) -> JSONResponse:
        return JSONResponse({"scale": grades})

    def show(request: Request) -> JSONResponse:
        rater = check_rater(request.query_params.get("rater"))
        content = {"study": study.id, "scale": grades, "items": items, "rater": rater}
        headers = {"cache-control": "no-store"}
        return JSONResponse({**content, "ratings": log.of(rater)}, headers=headers)

    async def rate(request: Request) -> JSONResponse:
        try:
            given = parse_json(await request.body())
            rated, rating = given["study"], (given["rater"], given["response"], given["rating"])
        except (ValueError, KeyError, TypeError):
            return JSONResponse({"error": "this is not a rating"}, 400)
        if rated != study.id:
            return JSONResponse({"error": "another study is open here now: reload the page"}, 409)
        await run_in_threadpool(log.add, *rating)
        return JSONResponse({"saved": rating[1]})

    routes = [
        Route("/scale", scale),
        Route("/study", show),
        Route("/rate", rate, methods=["POST"]),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]
    app = Starlette(routes=routes, exception_handlers={P2botError: _refused})
    return guarded(app, host, POLICY, MAX_BODY)


def _refused(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"error": str(error)}, 400)
