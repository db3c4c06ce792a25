"""A gRPC server for the tests: each method answers with the server's name and what it was sent.

Listens in plain text on $LENO_ADDRESS:$PORT, as `leno run` sets them; the sidecar does the rest.
"""

import json
import os
import signal
import sys
from concurrent import futures

import grpc

NAME = sys.argv[1]


def say(request, context):
    metadata = {key: value for key, value in context.invocation_metadata() if isinstance(value, str)}
    return json.dumps({"app": NAME, "said": request.decode(), "metadata": metadata}).encode()


server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
handlers = {"Say": grpc.unary_unary_rpc_method_handler(say)}
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Echo", handlers)])
server.add_insecure_port(f"{os.environ['LENO_ADDRESS']}:{os.environ['PORT']}")
server.start()
signal.signal(signal.SIGTERM, lambda *_: server.stop(0))
server.wait_for_termination()
