"""A gRPC server for the tests: `Say` answers with the server's name and what it was sent.

`Count`, `Sum` and `Chat` are streams.

Listens in plain text on $LENO_ADDRESS:$PORT, as `leno run` sets them; the sidecar does the rest.
"""

import json
import os
import signal
import sys
import threading
from concurrent import futures

import grpc

NAME = sys.argv[1]


CANCELLED = threading.Event()


def say(request, context):
    if request == b"fail":
        context.set_trailing_metadata((("x-trailer", "here"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")
    if request == b"hang":
        # Until the caller gives up.
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(20)
    if request == b"cancelled?":
        request = b"yes" if CANCELLED.wait(5) else b"no"
    metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    return json.dumps({"app": NAME, "said": request.decode(), "metadata": metadata}).encode()


def count(request, context):
    if request == b"endless":
        context.add_callback(CANCELLED.set)
        yield b"1"
        CANCELLED.wait(20)
    elif request == b"flood":
        for _ in range(100):
            yield b"y" * 50_000
    elif request == b"fail":
        yield b"1"
        context.set_trailing_metadata((("x-trailer", "late"),))
        context.abort(grpc.StatusCode.DATA_LOSS, "in the middle")
    else:
        for number in range(int(request)):
            yield str(number).encode()


def total(requests, _context):
    return str(sum(int(request) for request in requests)).encode()


def chat(requests, _context):
    for request in requests:
        yield b"re: " + request


server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
handlers = {
    "Say": grpc.unary_unary_rpc_method_handler(say),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Sum": grpc.stream_unary_rpc_method_handler(total),
    "Chat": grpc.stream_stream_rpc_method_handler(chat),
}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
server.add_insecure_port(f"{os.environ['LENO_ADDRESS']}:{os.environ['PORT']}")
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
server.wait_for_termination()
