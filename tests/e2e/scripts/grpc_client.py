"""A gRPC client without a proxy: $GRPC_XDS_BOOTSTRAP says where the mesh is.

Calls TARGET (an xds:/// URI) once for each line of standard input, a JSON object of metadata, and answers with one line:
{"ok": the server's answer} or {"error": code, "details": text}.
"""

import json
import sys

import grpc

# Without xDS's word on security there is none: the mesh decides.
credentials = grpc.xds_channel_credentials()
with grpc.secure_channel(sys.argv[1], credentials) as channel:
    say = channel.unary_unary("/test.Echo/Say")
    for line in sys.stdin:
        metadata = tuple(json.loads(line).items())
        try:
            answer = {"ok": json.loads(say(b"hello", timeout=5, metadata=metadata, wait_for_ready=True))}
        except grpc.RpcError as error:
            answer = {"error": error.code().name, "details": error.details()}
        print(json.dumps(answer), flush=True)
