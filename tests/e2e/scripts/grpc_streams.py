"""A gRPC client that knows nothing of the mesh: all four kinds of call, failures and limits, through two sidecars.

Calls TARGET in plain text and prints one JSON object: what each call gave.
"""

import json
import sys
import threading

import grpc

seen = {}
with grpc.insecure_channel(sys.argv[1]) as channel:
    say = channel.unary_unary("/test.Echo/Say")
    count = channel.unary_stream("/test.Echo/Count")
    total = channel.stream_unary("/test.Echo/Sum")
    chat = channel.stream_stream("/test.Echo/Chat")

    say(b"first", timeout=20, wait_for_ready=True)
    seen["count"] = [int(part) for part in count(b"5", timeout=10)]
    seen["sum"] = int(total(iter([b"1", b"2", b"3"]), timeout=10))

    # One message at a time: the next is sent only when the answer to the last is there.
    answered = threading.Semaphore(1)

    def questions():
        for number in range(5):
            assert answered.acquire(timeout=10)
            yield str(number).encode()

    seen["chat"] = []
    for answer in chat(questions(), timeout=20):
        seen["chat"].append(answer.decode())
        answered.release()

    # Far more than a window of flow control, both ways.
    large = b"x" * 3_000_000
    seen["large"] = len(json.loads(say(large, timeout=20))["said"])
    seen["flood"] = sum(len(part) for part in count(b"flood", timeout=20))

    def failure(call):
        try:
            list(call()) if call else None
        except grpc.RpcError as error:
            trailers = {key: value for key, value in (error.trailing_metadata() or ())}
            return [error.code().name, error.details(), trailers.get("x-trailer", "")]
        return None

    seen["fail"] = failure(lambda: [say(b"fail", timeout=10)])
    seen["fail_late"] = failure(lambda: count(b"fail", timeout=10))
    seen["deadline"] = failure(lambda: [say(b"hang", timeout=0.5)])
    seen["unknown"] = failure(lambda: [channel.unary_unary("/test.Echo/Nothing")(b"", timeout=10)])

    # The server hears that the client has gone.
    stream = count(b"endless", timeout=30)
    next(stream)
    stream.cancel()
    seen["cancelled"] = json.loads(say(b"cancelled?", timeout=10))["said"]

print(json.dumps(seen))
