"""One scenario against a running server: main.py SCENARIO HOST PORT TOKEN1 TOKEN2. Exits with 0 if all is as it must be."""

import dataclasses
import json
import sys

from clients import Client, Over10, Over11

MIB = 1 << 20
WINDOW = 1000  # messages that may wait for an ACK


@dataclasses.dataclass
class Server:
    host: str
    port: int


def numbers(count):
    return [str(number) for number in range(1, count + 1)]


def holds(client, count):
    """So many messages have come, and no further one comes before an answer does."""
    client.heard.until(f"message {count}", lambda: len(client.heard.messages) >= count)
    client.receipt(lambda wanted: client.stomp.send("/pub/2", "a question", receipt=wanted))
    assert client.heard.texts() == numbers(count)


def window_full(server, token, ack):
    """More messages than a window holds, at one who has to acknowledge them."""
    client = Client(server, token).logged_in()
    client.subscribe("/sub/1", ack=ack)
    for text in numbers(WINDOW + 19):
        client.say(text)
    client.tell(str(WINDOW + 20))
    holds(client, WINDOW)
    return client, client.heard.messages


def chat(server, token, other):
    one, two = Client(server, token).logged_in(), Client(server, other).logged_in()
    for client in (one, two):
        client.subscribe("/sub/1")
    one.tell("안녕하세요: \\ 줄\n바꿈")
    two.tell("hello")
    for client in (one, two):
        client.heard.until("both messages", lambda: len(client.heard.messages) == 2)
        assert client.heard.texts() == ["안녕하세요: \\ 줄\n바꿈", "hello"]
        assert [frame.headers["seq"] for frame in client.heard.messages] == ["1", "2"]
    one.receipt(lambda wanted: one.stomp.unsubscribe("s", receipt=wanted))
    one.tell("unheard")
    two.heard.until("the third", lambda: len(two.heard.messages) == 3)
    assert len(one.heard.messages) == 2
    one.leave()
    two.leave()


def versions(server, token, _other):
    for version, kind in (("1.0", Over10), ("1.1", Over11)):
        client = Client(server, token, kind).logged_in()
        # 1.0 has no version in CONNECTED.
        assert client.heard.connected.get("version", "1.0") == version
        client.subscribe("/sub/1", ack="client")
        client.tell(version)
        client.heard.until("the message", lambda: client.heard.messages)
        assert client.heard.texts() == [version]
        headers = client.heard.messages[0].headers
        which = {"subscription": headers["subscription"]} if version == "1.1" else {}
        client.receipt(lambda wanted: client.stomp.ack(headers["message-id"], receipt=wanted, **which))
        client.leave()
    client = Client(server, token).logged_in()
    assert client.heard.connected["version"] == "1.2"
    client.leave()


def acks_of_all(server, token, _other):
    """One ACK in the full window of `client` stands for all before it."""
    client, messages = window_full(server, token, "client")
    client.stomp.ack(messages[9].headers["ack"])
    holds(client, WINDOW + 10)
    client.leave()


def acks_of_each(server, token, _other):
    """In that of `client-individual` it stands for one. A refused message comes again."""
    client, messages = window_full(server, token, "client-individual")
    client.stomp.ack(messages[9].headers["ack"])
    holds(client, WINDOW + 1)
    client.stomp.nack(messages[1].headers["ack"])
    client.heard.until("it again", lambda: len(messages) == WINDOW + 2)
    assert client.heard.texts()[-1] == "2"
    assert messages[-1].headers["redelivered"] == "true"
    client.stomp.ack(messages[-1].headers["ack"])
    client.heard.until("one more", lambda: len(messages) == WINDOW + 3)
    assert client.heard.texts()[-1] == str(WINDOW + 2)
    client.leave()


def transactions(server, token, _other):
    client = Client(server, token).logged_in()
    client.subscribe("/sub/1")
    kept, dropped = client.stomp.begin(), client.stomp.begin()
    for text in ("in 1", "in 2"):
        client.say(text, transaction=kept)
    client.say("never", transaction=dropped)
    client.tell("out")
    client.stomp.commit(kept)
    client.stomp.abort(dropped)
    client.tell("last")
    client.heard.until("all", lambda: len(client.heard.messages) == 4)
    assert client.heard.texts() == ["out", "in 1", "in 2", "last"]
    client.leave()


def binary(server, token, _other):
    client = Client(server, token, auto_decode=False, binary_mode=True).logged_in()
    client.subscribe("/sub/2")
    body = bytes(range(256)) * 4
    client.stomp.send("/pub/2", body, content_type="application/octet-stream")
    client.heard.until("the bytes", lambda: client.heard.messages)
    frame = client.heard.messages[0]
    assert frame.body == body
    assert frame.headers["content-type"] == "application/octet-stream"
    client.leave()


def too_large(server, token, _other):
    client = Client(server, token).logged_in()
    client.stomp.send("/pub/2", "x" * MIB)
    client.heard.until("the end", lambda: client.heard.ends > 0)
    assert [error["code"] for error in client.heard.errors] == ["1008"], client.heard.errors


def large(server, token, _other):
    body = "가" * (MIB // 4) + "x" * (MIB // 4)
    assert len(body.encode()) == MIB
    for binary_mode in (False, True):
        client = Client(server, token, binary_mode=binary_mode).logged_in()
        client.subscribe("/sub/2")
        client.receipt(lambda wanted: client.stomp.send("/pub/2", body, receipt=wanted))
        client.heard.until("all of it", lambda: client.heard.messages)
        assert client.heard.messages[0].body == body, "the body is as it was sent"
        client.leave()


def heart_beats(server, token, _other):
    client = Client(server, token, heartbeats=(1000, 1000)).logged_in()
    heard = client.heard
    assert heard.connected["heart-beat"] == "1000,1000"
    heard.until("beats both ways", lambda: heard.beats_in >= 3 and heard.beats_out >= 3)
    assert heard.beats_missed == 0
    client.leave()


def resume(server, token, other):
    """The socket breaks three times, and another member writes before, meanwhile and after."""
    writer = Client(server, other).logged_in()
    texts, last = [], "0"
    for part in range(4):
        reader = Client(server, token).logged_in()
        reader.subscribe("/sub/1", headers={"resume-after": last})
        for number in range(20):
            writer.tell(str(part * 30 + number + 1))
        reader.heard.until("something", lambda: reader.heard.messages)
        if part == 3:
            reader.heard.until("all", lambda: len(texts) + len(reader.heard.messages) >= 110)
            reader.leave()
        else:
            reader.drop()
            for number in range(20, 30):
                writer.tell(str(part * 30 + number + 1))
        texts += reader.heard.texts()
        last = reader.heard.messages[-1].headers["message-id"]
    assert texts == numbers(110), texts
    writer.leave()


def cookie(server, token, _other):
    """The cookie of the upgrade alone says who it is."""
    client = Client(server, header={"Cookie": f"accessToken={token}"}).logged_in()
    client.subscribe("/sub/1")
    client.tell("계세요?")
    client.heard.until("the echo", lambda: client.heard.messages)
    assert json.loads(client.heard.messages[0].body)["senderId"] == 1
    client.leave()

    stranger = Client(server, header={"Cookie": "accessToken=nonsense"})
    stranger.heard.until("the end", lambda: stranger.heard.ends > 0)
    assert [error["message"] for error in stranger.heard.errors] == ["Authentication failed"]
    assert stranger.heard.connected is None


SCENARIOS = (
    chat, versions, acks_of_all, acks_of_each, transactions, binary, too_large, large, heart_beats, resume, cookie,
)


def main(scenario, host, port, *tokens):
    run = next(known for known in SCENARIOS if known.__name__ == scenario)
    run(Server(host, int(port)), *tokens)
    print(f"{scenario} is as it must be")


main(*sys.argv[1:])
