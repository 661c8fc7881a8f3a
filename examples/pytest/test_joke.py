import json
import urllib.error
import urllib.request

import pytest


def joke(base_url, headers):
    """The program under test: it asks a model for a joke, and once more when it is told to wait."""
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Tell me a joke"}]}
    headers = {"content-type": "application/json", **headers}
    request = urllib.request.Request(f"{base_url}/chat/completions", json.dumps(body).encode(), headers)
    for _ in range(2):
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)["choices"][0]["message"]["content"]
        except urllib.error.HTTPError as error:
            if error.code != 429:
                raise
    raise RuntimeError("no joke today")


def test_what_the_file_says_is_told(weir):
    assert joke(weir.base_url, weir.headers) == "Knock, knock."
    weir.verify({"userMessage": "joke"}, 1)


def test_a_fixture_of_the_test_stands_before_the_file(weir):
    weir.add({"match": {"userMessage": "joke"}, "response": {"content": "Why did the chicken …"}})
    assert joke(weir.base_url, weir.headers) == "Why did the chicken …"


def test_it_asks_again_when_it_is_told_to_wait(weir):
    weir.next({"error": {"message": "Slow down"}, "status": 429, "retryAfter": 1})
    assert joke(weir.base_url, weir.headers) == "Knock, knock."
    assert [request["status"] for request in weir.requests()] == [429, 200]


def test_a_verdict_says_what_came_instead(weir):
    joke(weir.base_url, weir.headers)
    with pytest.raises(AssertionError, match="nearest"):
        weir.verify({"userMessage": "poem"}, 1)
