"""A gRPC client: without a proxy when TARGET is an xds:/// URI ($GRPC_XDS_BOOTSTRAP says where the mesh is), else in plain text.

Makes one call for each line of standard input, a JSON object of metadata, and answers with one line:
{"ok": the server's answer} or {"error": code, "details": text}.
"""

import json
import sys

import grpc


def connect(target):
    if target.startswith("xds:"):
        return grpc.secure_channel(target, grpc.xds_channel_credentials())
    return grpc.insecure_channel(target)


with connect(sys.argv[1]) as channel:
    say = channel.unary_unary("/test.Echo/Say")
    for line in sys.stdin:
        metadata = tuple(json.loads(line).items())
        try:
            answer = {"ok": json.loads(say(b"hello", timeout=5, metadata=metadata, wait_for_ready=True))}
        except grpc.RpcError as error:
            answer = {"error": error.code().name, "details": error.details()}
        print(json.dumps(answer), flush=True)
