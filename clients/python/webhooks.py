"""A receiver of webhooks that checks them with OpenAI's own client, which knows the scheme of Standard Webhooks."""

import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import openai

from parlance import call, cases, ended, eventually

client = openai.OpenAI(api_key="unused", webhook_secret=os.environ["PARLANCE_WEBHOOK_SECRET"])
received = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        payload = self.rfile.read(int(self.headers["content-length"]))
        received.append((dict(self.headers.items()), payload.decode()))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()


def an_end_is_told_and_the_signature_is_right():
    body = {"content": "hello [[mock tokens=5]]", "webhook_url": f"http://127.0.0.1:{server.server_port}/hook"}
    status, accepted = call("POST", "/v1/messages", body)
    assert status == 202, accepted
    task = ended(accepted["task_id"])
    headers, payload = eventually("the webhook", lambda: received and received[0])
    client.webhooks.verify_signature(payload, headers)
    event = json.loads(payload)
    assert (event["type"], event["data"]) == ("task.completed", task), event


def whatever_was_changed_on_the_way_is_noticed():
    headers, payload = received[0]
    for changed in (payload + " ", payload.replace("completed", "cancelled")):
        try:
            client.webhooks.verify_signature(changed, headers)
        except openai.InvalidWebhookSignatureError:
            continue
        raise AssertionError("it was taken")


cases(an_end_is_told_and_the_signature_is_right, whatever_was_changed_on_the_way_is_noticed)
