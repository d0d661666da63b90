"""OpenAI's own client for Python on `/v1/chat/completions`."""

import uuid

import openai

from parlance import CUT_URL, KEY, URL, call, cases, cut_within, ended, eventually


def client_of(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, **{"max_retries": 0, "timeout": 90, **more})


client = client_of(URL)
cut_client = client_of(CUT_URL)


def user(text):
    return [{"role": "user", "content": text}]


def task_of(completion_id):
    return completion_id.replace("chatcmpl-", "tsk_")


def retrieved(completion_id):
    ended(task_of(completion_id))
    return client.chat.completions.retrieve(completion_id)


def read(stream):
    """What a stream says, until it ends or fails."""
    text, chunk_id, reason, error = "", None, None, None
    try:
        for chunk in stream:
            chunk_id = chunk.id
            for choice in chunk.choices:
                text += choice.delta.content or ""
                reason = choice.finish_reason or reason
    except Exception as caught:  # A cut connection has many faces.
        error = caught
    return text, chunk_id, reason, error


def models():
    listed = [model.id for model in client.models.list()]
    assert listed == ["mock-model"], listed
    assert client.models.retrieve("mock-model").id == "mock-model"


def a_chat():
    messages = [{"role": "developer", "content": "Be brief."}, *user("hello [[mock tokens=9]]")]
    raw = client.chat.completions.with_raw_response.create(model="mock-model", messages=messages, temperature=0.5, user="u")
    completion = raw.parse()
    choice = completion.choices[0]
    assert choice.finish_reason == "stop" and choice.message.role == "assistant", completion
    assert completion.usage.completion_tokens == 9
    assert raw.headers["x-task-id"] == task_of(completion.id)
    assert completion._request_id.startswith("call_"), completion._request_id
    assert retrieved(completion.id).choices[0].message.content == choice.message.content
    assert ended(task_of(completion.id))["reply"]["content"] == choice.message.content


def a_stream_with_usage():
    stream = client.chat.completions.create(
        model="mock-model",
        messages=user("stream äöü€😀 [[mock tokens=200]]"),
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 200, chunks[-1]
    assert text == ended(task_of(chunks[0].id))["reply"]["content"] and len(text) > 200


def tools_and_a_form():
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages = user('look it up [[mock tokens=3 tool=weather args={"city":"Zürich"}]]')
    with client.chat.completions.stream(model="mock-model", messages=messages, tools=tools) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    called = message.tool_calls[0]
    assert (called.function.name, called.function.arguments) == ("weather", '{"city":"Zürich"}'), message
    result = {"role": "tool", "tool_call_id": called.id, "content": "rain"}
    messages = [*messages, {"role": "assistant", "content": message.content, "tool_calls": [called.to_dict()]}, result]
    answer = client.chat.completions.create(model="mock-model", messages=messages, response_format={"type": "json_object"})
    assert answer.choices[0].message.content


def cut_hundreds_of_times_and_asked_again_under_the_same_key():
    before = cuts = cut_within(6_000)
    rounds = 0
    while cuts - before < 220:
        rounds += 1
        assert rounds < 1_000, "nothing is cut"
        key, tries = uuid.uuid4().hex, 0
        seen, completion_id, whole = [], None, None
        while whole is None:
            tries += 1
            assert tries < 1_000, "it makes no progress"
            try:
                stream = cut_client.chat.completions.create(
                    model="mock-model",
                    messages=user(f"cut {rounds} äöü€😀 [[mock tokens=20 delay_ms={rounds % 2}]]"),
                    stream=True,
                    extra_headers={"Idempotency-Key": key},
                )
            except openai.APIConnectionError:
                continue
            text, chunk_id, reason, _ = read(stream)
            assert chunk_id is None or completion_id in (None, chunk_id), "a key is one reply"
            completion_id = completion_id or chunk_id
            seen.append(text)
            whole = text if reason else None
        cut_within(6_000)
        stored = retrieved(completion_id).choices[0].message.content
        assert whole == stored and all(stored.startswith(part) for part in seen), (seen, stored)
        cuts = cut_within(6_000)
    print(f"  {cuts - before} cuts")
    cut_within(0)


def a_client_that_leaves_finds_its_reply_later():
    stream = client.chat.completions.create(
        model="mock-model", messages=user("leave [[mock tokens=60 delay_ms=5]]"), stream=True
    )
    completion_id = next(iter(stream)).id
    stream.close()
    try:
        client.chat.completions.retrieve(completion_id)
        raise AssertionError("it was complete at once")
    except openai.ConflictError as error:
        assert error.code == "task_not_ended", error
    # The client's own retries wait for what is not complete.
    patient = client_of(URL, max_retries=20)
    assert patient.chat.completions.retrieve(completion_id).usage.completion_tokens == 60


def a_cancel_is_an_error_and_keeps_what_was_said():
    stream = client.chat.completions.create(
        model="mock-model", messages=user("long [[mock tokens=3000 delay_ms=5]]"), stream=True
    )
    chunks = iter(stream)
    task = task_of(next(chunks).id)
    eventually("it says something", lambda: len(call("GET", f"/v1/tasks/{task}")[1]["reply"]["content"]) > 50)
    assert call("POST", f"/v1/tasks/{task}/cancel")[0] == 200
    text, _, reason, error = read(chunks)
    assert reason is None and isinstance(error, openai.APIError) and error.code == "cancelled", (reason, error)
    assert text == ended(task)["reply"]["content"]


def another_attempt_is_an_error_and_never_mixed():
    said = "restart [[mock tokens=30 fault=cut_mid_stream after=7 times=1 vary=1]]"
    text, chunk_id, reason, error = read(client.chat.completions.create(model="m", messages=user(said), stream=True))
    assert reason is None and isinstance(error, openai.APIError) and error.code == "reply_restarted", (reason, error)
    whole = retrieved(chunk_id).choices[0].message.content
    assert text and not whole.startswith(text), (text, whole)


def fails(kind, code, ask):
    try:
        ask()
    except kind as error:
        assert type(error) is kind and error.code == code, (error, error.code)
        return error
    raise AssertionError(f"{code}: no error")


def each_class_of_error():
    def asking(text, **more):
        return lambda: client.chat.completions.create(**{"model": "mock-model", "messages": user(text), **more})

    refused = fails(openai.BadRequestError, "invalid_field", asking("a", n=2))
    assert refused.param == "n" and refused.type == "invalid_request_error"
    fails(openai.BadRequestError, "missing_field", asking("a", messages=None))
    fails(openai.BadRequestError, "context_length_exceeded", asking("[[mock fault=context_too_long]]"))
    fails(openai.NotFoundError, "model_not_found", asking("[[mock fault=http_404]]"))
    fails(openai.NotFoundError, "model_not_found", lambda: client.models.retrieve("nothing/of this"))
    fails(openai.NotFoundError, "task_not_found", lambda: client.chat.completions.retrieve("chatcmpl-1"))
    fails(openai.InternalServerError, "provider_unauthorized", asking("[[mock fault=http_401]]"))
    key = {"extra_headers": {"Idempotency-Key": uuid.uuid4().hex}}
    asking("one [[mock tokens=3]]", **key)()
    # With retries: the server says that they can't help.
    retrying = client.with_options(max_retries=5)
    conflict = lambda: retrying.chat.completions.create(model="mock-model", messages=user("two"), **key)
    error = fails(openai.ConflictError, "idempotency_key_reused", conflict)
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.request.headers["x-stainless-retry-count"] == "0"


cases(
    models,
    a_chat,
    a_stream_with_usage,
    tools_and_a_form,
    cut_hundreds_of_times_and_asked_again_under_the_same_key,
    a_client_that_leaves_finds_its_reply_later,
    a_cancel_is_an_error_and_keeps_what_was_said,
    another_attempt_is_an_error_and_never_mixed,
    each_class_of_error,
)
