"""OpenAI's own client for Python on `/v1/responses`."""

import random

import openai
from pydantic import BaseModel

from parlance import CUT_URL, KEY, URL, cases, cut_within, eventually


def client_of(url, **more):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, **{"max_retries": 0, "timeout": 90, **more})


client = client_of(URL)
cut_client = client_of(CUT_URL)
ENDS = ("response.completed", "response.failed", "response.incomplete")


class Seen:
    """What a client has seen of a response, over as many connections as it took."""

    def __init__(self, response_id):
        self.id, self.texts, self.last, self.end, self.connections = response_id, {}, None, None, 0

    def take(self, event):
        assert self.last is None or event.sequence_number > self.last, (self.last, event)
        assert self.end is None, event
        self.last = event.sequence_number
        if event.type == "response.output_text.delta":
            self.texts[event.output_index] = self.texts.get(event.output_index, "") + event.delta
        elif event.type == "response.output_item.done" and getattr(event.item, "content", None) == []:
            self.texts.pop(event.output_index, None)
        elif event.type in ENDS:
            self.end = event

    def text(self):
        return "".join(self.texts[index] for index in sorted(self.texts))

    def follow(self, through):
        while self.end is None:
            self.connections += 1
            assert self.connections < 5_000, "it makes no progress"
            after = {} if self.last is None else {"starting_after": self.last}
            try:
                for event in through.responses.retrieve(self.id, stream=True, **after):
                    self.take(event)
            except AssertionError:
                raise
            except Exception:  # A cut connection has many faces.
                pass
        return self


def ended(response_id):
    def probe():
        response = client.responses.retrieve(response_id)
        return response if response.status not in ("queued", "in_progress") else None

    return eventually("the response ends", probe)


def a_chat():
    response = client.responses.create(
        model="mock-model", input="hello [[mock tokens=9]]", instructions="Be brief.", temperature=0.5, metadata={"a": "b"}
    )
    assert response.status == "completed" and response.output_text, response
    assert response.usage.output_tokens == 9 and response.usage.output_tokens_details.reasoning_tokens == 0
    assert response._request_id.startswith("call_"), response._request_id
    assert client.responses.retrieve(response.id).to_dict() == response.to_dict()
    following = client.responses.create(model="mock-model", input="and?", previous_response_id=response.id)
    assert following.conversation.id == response.conversation.id
    items = client.responses.input_items.list(following.id).data
    assert [item.content[0].text for item in items] == ["and?"], items


def a_stream():
    with client.responses.stream(model="mock-model", input="hello [[mock tokens=30 delay_ms=1]]") as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed", kinds
    assert response.output_text == client.responses.retrieve(response.id).output_text
    # The helper reads all of it again and gives what comes after the number.
    with client.responses.stream(response_id=response.id, starting_after=0) as stream:
        again = stream.get_final_response()
    assert again.output_text == response.output_text
    with client.responses.with_streaming_response.create(model="mock-model", input="raw [[mock tokens=5]]") as raw:
        assert raw.parse().output_text


def an_attempt_that_was_given_up():
    with client.responses.stream(model="mock-model", input="cut [[mock tokens=20 fault=cut_mid_stream after=7 times=1]]") as stream:
        added = [event.output_index for event in stream if event.type == "response.output_item.added"]
        response = stream.get_final_response()
    assert added == [0, 1], added
    assert len(response.output) == 1 and response.output_text == ended(response.id).output_text


def tools():
    tool = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": False}
    question = 'look [[mock tokens=3 tool=weather args={"city":"Bern"}]]'
    with client.responses.stream(model="mock-model", input=question, tools=[tool]) as stream:
        deltas = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        response = stream.get_final_response()
    call = response.output[1]
    assert call.type == "function_call" and call.arguments == "".join(deltas) == '{"city":"Bern"}', response
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}
    after = client.responses.create(model="mock-model", input=[output], previous_response_id=response.id)
    assert after.status == "completed" and after.output_text


class Thing(BaseModel):
    name: str


def a_form():
    try:
        client.responses.parse(model="mock-model", input="form [[mock tokens=2]]", text_format=Thing)
    except ValueError:
        pass  # The mock's words are no JSON; the form was accepted and the reply was parsed.
    response = client.responses.create(
        model="mock-model",
        input="form [[mock tokens=2]]",
        text={"format": {"type": "json_schema", "name": "thing", "schema": Thing.model_json_schema(), "strict": True}},
    )
    assert response.text.format.type == "json_schema" and response.text.format.name == "thing", response


def cut_hundreds_of_times():
    before = cuts = cut_within(9_000)
    rounds = 0
    while cuts - before < 220:
        assert rounds < 100
        question = f"cut {rounds} äöü€😀 [[mock tokens=100 delay_ms={rounds % 2}]]"
        created = client.responses.create(model="mock-model", input=question, background=True)
        assert created.status == "queued"
        seen = Seen(created.id).follow(cut_client)
        response = ended(created.id)
        assert seen.end.type == "response.completed" and seen.text() == response.output_text
        assert seen.end.response.to_dict() == response.to_dict()
        again = Seen(created.id).follow(cut_client)
        assert again.text() == response.output_text
        cuts = cut_within(9_000)
        rounds += 1
    print(f"  {cuts - before} cuts")
    cut_within(0)


def resumed_from_any_number():
    created = client.responses.create(model="mock-model", input="any [[mock tokens=80 delay_ms=2]]", background=True)
    events = list(client.responses.retrieve(created.id, stream=True))
    text = client.responses.retrieve(created.id).output_text
    for _ in range(60):
        at = random.randrange(len(events))
        seen = Seen(created.id)
        for event in events[: at + 1]:
            seen.take(event)
        seen.follow(client)
        assert seen.text() == text, f"after {events[at]}"


def a_cancel_keeps_what_was_said():
    created = client.responses.create(model="mock-model", input="long [[mock tokens=3000 delay_ms=5]]", background=True)
    seen = Seen(created.id)
    for event in client.responses.retrieve(created.id, stream=True):
        seen.take(event)
        if len(seen.text()) > 50 and event.type == "response.output_text.delta" and len(seen.text()) < 200:
            client.responses.cancel(created.id)
    assert seen.end.response.status == "cancelled", seen.end
    kept = ended(created.id)
    assert kept.status == "cancelled" and kept.output_text == seen.text()


def a_background_response_fetched_later():
    created = client.responses.create(model="mock-model", input="later [[mock tokens=20 delay_ms=5]]", background=True)
    assert created.status == "queued" and created.output == []
    response = ended(created.id)
    assert response.status == "completed" and response.output_text
    client.responses.delete(created.id)
    fails(openai.NotFoundError, "response_not_found", lambda: client.responses.retrieve(created.id))


def fails(kind, code, ask):
    try:
        ask()
    except kind as error:
        assert error.code == code, error
        return error
    raise AssertionError(f"{code} was not raised")


def each_class_of_error():
    create = client.responses.create
    error = fails(openai.BadRequestError, "invalid_field", lambda: create(model="m", input="a", temperature=7))
    assert error.param == "temperature" and error.type == "invalid_request_error"
    error = fails(openai.NotFoundError, "previous_response_not_found", lambda: create(input="a", previous_response_id="resp_1"))
    assert error.param == "previous_response_id"
    fails(openai.NotFoundError, "response_not_found", lambda: client.responses.retrieve("resp_1"))
    create(input="once", extra_headers={"Idempotency-Key": "responses-python"})
    retrying = client_of(URL, max_retries=5)
    again = {"extra_headers": {"Idempotency-Key": "responses-python"}}
    fails(openai.ConflictError, "idempotency_key_reused", lambda: retrying.responses.create(input="twice", **again))
    failed = create(input="refused [[mock fault=http_400]]")
    assert failed.status == "failed" and failed.error.code == "invalid_prompt" and failed.error.message, failed
    with client.responses.stream(model="m", input="refused [[mock fault=http_400]]") as stream:
        assert [event.type for event in stream][-1] == "response.failed"


cases(
    a_chat,
    a_stream,
    an_attempt_that_was_given_up,
    tools,
    a_form,
    cut_hundreds_of_times,
    resumed_from_any_number,
    a_cancel_keeps_what_was_said,
    a_background_response_fetched_later,
    each_class_of_error,
)
