"""Calls models with OpenAI's own library, as clients and Dify's plugins do, and tells what came.

Arguments: the base URL, the key. Prints one JSON object.
"""

import json
import sys

import openai

base_url, key = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=key)
messages = [{"role": "user", "content": "Hello"}]


def chat(user, **more):
    return client.chat.completions.create(
        model="gpt-4", user=user, max_tokens=100, messages=messages, **more
    )


def streamed(**more):
    chunks = list(chat("u1", stream=True, **more))
    text = "".join(
        choice.delta.content or "" for chunk in chunks for choice in chunk.choices
    )
    usages = [chunk.usage.total_tokens for chunk in chunks if chunk.usage]
    return {"text": text, "usages": usages, "chunks": len(chunks)}


whole = chat("u1")
try:
    chat("broke")
    refused = None
except openai.APIStatusError as error:
    refused = {"status": error.status_code, "code": error.code, "message": str(error)}

try:
    openai.OpenAI(base_url=base_url, api_key="tg_oa_wrong").models.list()
    stranger = None
except openai.AuthenticationError as error:
    stranger = error.code

print(
    json.dumps(
        {
            "whole": {
                "text": whole.choices[0].message.content,
                "reasoning": whole.usage.completion_tokens_details.reasoning_tokens,
            },
            "plain": streamed(),
            "told": streamed(stream_options={"include_usage": True}),
            "embedding": client.embeddings.create(
                model="text-embedding-3-small",
                input="Hello",
                user="u1",
                encoding_format="float",
            ).usage.total_tokens,
            "models": [model.id for model in client.models.list()],
            "refused": refused,
            "stranger": stranger,
        }
    )
)
