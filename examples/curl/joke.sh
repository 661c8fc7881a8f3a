#!/bin/sh
# A fixture, a request and a verdict with nothing but curl. It wants a weir whose journal keeps bodies:
#   weir serve --set ops.journal=bodies
set -eu
weir=${1:-http://127.0.0.1:8080}
json='content-type: application/json'
session='x-weir-session: curl-example'

curl -fsS "$weir/__weir/fixtures" -H "$json" -H "$session" -d '{
  "fixtures": [{ "match": { "userMessage": "joke" }, "response": { "content": "Knock, knock." } }]
}' > /dev/null

curl -fsS "$weir/v1/chat/completions" -H "$json" -H "$session" -d '{
  "model": "gpt-4o",
  "messages": [{ "role": "user", "content": "Tell me a joke" }]
}'

# Ends with an error unless there was exactly one such request.
curl -fsS "$weir/__weir/verify" -H "$json" -H "$session" -d '{
  "match": { "userMessage": "joke" },
  "times": 1
}'
curl -fsS -X POST "$weir/__weir/reset" -H "$session" > /dev/null
