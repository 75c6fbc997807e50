"""Sends traces with Langfuse's own SDK, in the calls that Dify makes.

usage: report.py HOST PUBLIC_KEY SECRET_KEY < calls.json

calls.json is a list of [kind, fields], kind being trace, span or generation. First the keys are
tried, as when they are entered in Dify; prints what that told as JSON, {"authorized", "project"}.
Runs with either major version of the SDK: Dify up to 1.12 uses the second, later ones the fourth.
"""

import json
import sys
import uuid
from datetime import datetime, timezone
from importlib.metadata import version

from langfuse import Langfuse

VERSION = version("langfuse")
TIMES = ("start_time", "end_time", "completion_start_time")


def times_parsed(fields):
    return {
        name: datetime.fromisoformat(value) if name in TIMES else value
        for name, value in fields.items()
    }


def send_in_background(client, calls):
    """Version 2 gathers what it is told and sends it in batches."""
    for kind, fields in calls:
        getattr(client, kind)(**times_parsed(fields))
    client.flush()


def send_one_by_one(client, calls):
    """Version 4 as Dify calls it: a request for each event, past the SDK's own tracing."""
    from langfuse.api import (
        CreateGenerationBody,
        CreateSpanBody,
        IngestionEvent_GenerationCreate,
        IngestionEvent_SpanCreate,
        IngestionEvent_TraceCreate,
        TraceBody,
    )
    from langfuse.api.commons.types.usage import Usage

    kinds = {
        "trace": (IngestionEvent_TraceCreate, TraceBody),
        "span": (IngestionEvent_SpanCreate, CreateSpanBody),
        "generation": (IngestionEvent_GenerationCreate, CreateGenerationBody),
    }
    for kind, fields in calls:
        event, body = kinds[kind]
        fields = times_parsed(fields)
        if "usage" in fields:
            fields["usage"] = Usage(**fields["usage"])
        event = event(
            id=str(uuid.uuid4()),
            timestamp=datetime.now(timezone.utc).isoformat(),
            body=body(**fields),
        )
        answer = client.api.ingestion.batch(batch=[event])
        if answer.errors:
            raise RuntimeError(f"refused: {answer.errors}")


def projects(client):
    api = client.client if VERSION.startswith("2.") else client.api
    return api.projects.get().data


def main():
    host, public_key, secret_key = sys.argv[1:]
    client = Langfuse(host=host, public_key=public_key, secret_key=secret_key)
    try:
        authorized = client.auth_check()
    except Exception as error:  # Dify, too, takes any exception for a no.
        print(json.dumps({"authorized": False, "error": type(error).__name__}))
        return
    found = {"authorized": authorized, "project": projects(client)[0].id}
    calls = json.load(sys.stdin)
    if VERSION.startswith("2."):
        send_in_background(client, calls)
    else:
        send_one_by_one(client, calls)
    print(json.dumps(found))


main()
