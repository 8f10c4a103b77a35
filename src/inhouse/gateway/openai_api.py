"""OpenAI's three hot routes, each as an `Api`: chat completions, completions, embeddings."""

from __future__ import annotations

import msgspec
import orjson

from inhouse.core.errors import InhouseError
from inhouse.engines.base import Embeddings
from inhouse.gateway.openai_answers import ChatAnswer, CompletionAnswer, embeddings_document, error_document
from inhouse.gateway.openai_requests import (
    ChatBody,
    CompletionBody,
    EmbeddingsBody,
    chat_request,
    completion_request,
    decode_body,
    embedding_texts,
)
from inhouse.gateway.wire import Api, Asked, ChatCall, EmbedCall

_chat_body = msgspec.json.Decoder(ChatBody)
_completion_body = msgspec.json.Decoder(CompletionBody)
_embeddings_body = msgspec.json.Decoder(EmbeddingsBody)


def _read_chat(data: bytes, asked: Asked) -> ChatCall:
    body: ChatBody = decode_body(_chat_body, data)
    form = ChatAnswer(
        asked.id,
        int(asked.at),
        body.model,
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
        logprobs=bool(body.logprobs),
    )
    return ChatCall(chat_request(body), form, person=body.user)


def _read_completion(data: bytes, asked: Asked) -> ChatCall:
    body: CompletionBody = decode_body(_completion_body, data)
    form = CompletionAnswer(
        asked.id,
        int(asked.at),
        body.model,
        stream=bool(body.stream),
        usage=bool(body.stream_options and body.stream_options.include_usage),
        logprobs=body.logprobs is not None,
    )
    return ChatCall(completion_request(body), form, person=body.user)


def _read_embeddings(data: bytes, asked: Asked) -> EmbedCall:
    body: EmbeddingsBody = decode_body(_embeddings_body, data)

    def document(embeddings: Embeddings) -> bytes:
        return embeddings_document(embeddings, body.model, in_base64=body.encoding_format == "base64")

    return EmbedCall(body.model, tuple(embedding_texts(body)), document)


def error_bytes(error: InhouseError) -> bytes:
    """An error's document in OpenAI's form."""
    return orjson.dumps(error_document(error))


CHAT = Api("openai.chat", _read_chat, error_bytes)
COMPLETION = Api("openai.completion", _read_completion, error_bytes)
EMBEDDINGS = Api("openai.embeddings", _read_embeddings, error_bytes)
