"""One scenario of stomp-py over WebSocket: main.py HOST PORT TOKEN. Exits with 0 if all is as it must be."""

import json
import sys
import threading

import stomp

PATIENCE_S = 20


class Heard(stomp.ConnectionListener):
    """Gathers what comes; `until` waits for it with a bound."""

    def __init__(self):
        self.changed = threading.Condition()
        self.messages, self.receipts, self.errors, self.connects, self.ends = [], [], [], 0, 0

    def _add(self, act):
        with self.changed:
            act()
            self.changed.notify_all()

    def on_connected(self, frame):
        self._add(lambda: setattr(self, "connects", self.connects + 1))

    def on_message(self, frame):
        self._add(lambda: self.messages.append(frame))

    def on_receipt(self, frame):
        self._add(lambda: self.receipts.append(frame.headers["receipt-id"]))

    def on_error(self, frame):
        self._add(lambda: self.errors.append(frame.headers))

    def on_disconnected(self):
        self._add(lambda: setattr(self, "ends", self.ends + 1))

    def until(self, what, holds):
        with self.changed:
            assert self.changed.wait_for(holds, PATIENCE_S), f"in vain: {what}"


def chat(text):
    return json.dumps({"message": text})


def main(host, port, token):
    heard = Heard()
    connection = stomp.WSStompConnection([(host, int(port))], ws_path="/conn")
    connection.set_listener("", heard)
    connection.connect(wait=True, headers={"Authorization": f"Bearer {token}"})
    heard.until("connected", lambda: heard.connects == 1)

    connection.subscribe("/sub/1", id="s", ack="client-individual", headers={"receipt": "sub"})
    heard.until("subscribed", lambda: "sub" in heard.receipts)
    connection.send("/pub/1", chat("하나"), receipt="one")
    heard.until("stored", lambda: "one" in heard.receipts)

    transaction = connection.begin()
    connection.send("/pub/1", chat("둘"), transaction=transaction)
    connection.commit(transaction)
    transaction = connection.begin()
    connection.send("/pub/1", chat("never"), transaction=transaction)
    connection.abort(transaction)
    connection.send("/pub/1", chat("셋"), receipt="three")
    heard.until("all", lambda: len(heard.messages) == 3 and "three" in heard.receipts)
    assert [json.loads(frame.body)["message"] for frame in heard.messages] == ["하나", "둘", "셋"]

    connection.ack(heard.messages[0].headers["ack"])
    connection.nack(heard.messages[1].headers["ack"])
    heard.until("again", lambda: len(heard.messages) == 4)
    assert heard.messages[3].headers["redelivered"] == "true"
    connection.unsubscribe("s")

    connection.disconnect(receipt="bye")
    heard.until("the end", lambda: "bye" in heard.receipts)
    assert heard.errors == [], heard.errors


main(*sys.argv[1:])
print("stomp-py is as it must be")
