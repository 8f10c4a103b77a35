"""Ollama's hot routes, each as an `Api`: chat, generate, embed and the older embeddings."""

from __future__ import annotations

import msgspec
import orjson

from inhouse.engines.base import Embeddings
from inhouse.gateway.ollama_answers import OllamaAnswer, embed_document, error_bytes
from inhouse.gateway.ollama_requests import (
    EmbedBody,
    GenerateBody,
    OldEmbedBody,
    OllamaChatBody,
    chat_request,
    embed_texts,
    generate_request,
)
from inhouse.gateway.openai_requests import decode_body
from inhouse.gateway.wire import Api, Asked, ChatCall, EmbedCall

_chat_body = msgspec.json.Decoder(OllamaChatBody)
_generate_body = msgspec.json.Decoder(GenerateBody)
_embed_body = msgspec.json.Decoder(EmbedBody)
_old_embed_body = msgspec.json.Decoder(OldEmbedBody)


def _read_chat(data: bytes, asked: Asked) -> ChatCall:
    body: OllamaChatBody = decode_body(_chat_body, data)
    form = OllamaAnswer(asked, body.model, "chat", stream=body.stream is not False)
    request = chat_request(body)
    return ChatCall(request, form, loads=None if request.messages else form.loaded)


def _read_generate(data: bytes, asked: Asked) -> ChatCall:
    body: GenerateBody = decode_body(_generate_body, data)
    form = OllamaAnswer(asked, body.model, "generate", stream=body.stream is not False)
    return ChatCall(generate_request(body), form, loads=None if body.prompt else form.loaded)


def _read_embed(data: bytes, asked: Asked) -> EmbedCall:
    body: EmbedBody = decode_body(_embed_body, data)
    return EmbedCall(
        body.model, tuple(embed_texts(body)), lambda embeddings: embed_document(embeddings, body.model, asked)
    )


def _read_old_embed(data: bytes, asked: Asked) -> EmbedCall:
    body: OldEmbedBody = decode_body(_old_embed_body, data)

    def document(embeddings: Embeddings) -> bytes:
        return orjson.dumps({"embedding": embeddings.vectors[0] if embeddings.vectors else []})

    return EmbedCall(body.model, (body.prompt,), document)


CHAT = Api("ollama.chat", _read_chat, error_bytes)
GENERATE = Api("ollama.generate", _read_generate, error_bytes)
EMBED = Api("ollama.embed", _read_embed, error_bytes)
OLD_EMBED = Api("ollama.embeddings", _read_old_embed, error_bytes)
