"""stomp-py over WebSocket, and waiting with a bound."""

import json
import socket
import threading

import stomp
from stomp.adapter.ws import WSStompConnection, WSTransport
from stomp.connect import BaseConnection
from stomp.protocol import Protocol10, Protocol11

PATIENCE_S = 20


class Over10(stomp.StompConnection10):
    """STOMP 1.0 on a WebSocket: stomp-py has these two only apart."""

    def __init__(self, address, **transport):
        BaseConnection.__init__(self, WSTransport(address, **transport))
        Protocol10.__init__(self, self.transport)


class Over11(stomp.StompConnection11):
    """STOMP 1.1 on a WebSocket."""

    def __init__(self, address, **transport):
        BaseConnection.__init__(self, WSTransport(address, **transport))
        Protocol11.__init__(self, self.transport)


class Heard(stomp.ConnectionListener):
    """Gathers what comes; `until` waits for it with a bound."""

    def __init__(self):
        self.changed = threading.Condition()
        self.messages, self.receipts, self.errors = [], [], []
        self.connected = None
        self.beats_in, self.beats_out, self.beats_missed, self.ends = 0, 0, 0, 0

    def _note(self, act):
        with self.changed:
            act()
            self.changed.notify_all()

    def _count(self, name):
        self._note(lambda: setattr(self, name, getattr(self, name) + 1))

    def on_connected(self, frame):
        self._note(lambda: setattr(self, "connected", frame.headers))

    def on_message(self, frame):
        self._note(lambda: self.messages.append(frame))

    def on_receipt(self, frame):
        self._note(lambda: self.receipts.append(frame.headers["receipt-id"]))

    def on_error(self, frame):
        self._note(lambda: self.errors.append(frame.headers))

    def on_disconnected(self):
        self._count("ends")

    def on_heartbeat(self):
        self._count("beats_in")

    def on_heartbeat_timeout(self):
        self._count("beats_missed")

    def on_send(self, frame):
        if frame.cmd is None:
            self._count("beats_out")

    def until(self, what, holds):
        with self.changed:
            assert self.changed.wait_for(holds, PATIENCE_S), f"in vain: {what}; errors: {self.errors}"

    def texts(self):
        with self.changed:
            return [json.loads(frame.body)["message"] for frame in self.messages]


class Client:
    """A connection and what it heard; `token` goes into CONNECT."""

    def __init__(self, server, token=None, kind=WSStompConnection, **transport):
        self.heard = Heard()
        self.stomp = kind([(server.host, server.port)], ws_path="/conn", **transport)
        self.stomp.set_listener("test", self.heard)
        self.asked = 0
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.stomp.connect(headers=headers)

    def logged_in(self):
        self.heard.until("connected", lambda: self.heard.connected)
        return self

    def receipt(self, act):
        """Does what `act` does with a receipt id, and waits for the RECEIPT."""
        self.asked += 1
        wanted = f"r{self.asked}"
        act(wanted)
        self.heard.until(f"receipt {wanted}", lambda: wanted in self.heard.receipts)

    def subscribe(self, destination, **more):
        self.receipt(lambda wanted: self.stomp.subscribe(destination, id="s", receipt=wanted, **more))

    def say(self, text, room=1, **more):
        self.stomp.send(f"/pub/{room}", json.dumps({"message": text}), **more)

    def tell(self, text, **more):
        """Says it and waits for its RECEIPT."""
        self.receipt(lambda wanted: self.say(text, receipt=wanted, **more))

    def leave(self):
        """DISCONNECT; stomp-py closes at its RECEIPT."""
        self.stomp.disconnect(receipt="bye")
        self.heard.until("the receipt of DISCONNECT", lambda: "bye" in self.heard.receipts)
        self.heard.until("the end", lambda: self.heard.ends > 0)
        assert self.heard.errors == [], self.heard.errors

    def drop(self):
        """Closes the socket without a word."""
        self.stomp.transport.socket.sock.shutdown(socket.SHUT_RDWR)
        self.heard.until("the end", lambda: self.heard.ends > 0)
