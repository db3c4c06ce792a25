"""Logs each request it has parsed, then answers. Arguments: port, log. Its parser is as lenient as they come."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.serve
        raise AttributeError(name)

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            pieces = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(pieces)
        length = int(self.headers.get("content-length", 0))
        body = self.rfile.read(length)
        if len(body) < length:
            raise ConnectionResetError("the client went away")
        return body

    def serve(self):
        try:
            body = self.body()
        except ConnectionResetError:
            self.close_connection = True
            return
        line = {
            "method": self.command,
            "target": self.requestline.split(" ")[1],
            "host": self.headers.get("host", ""),
            "body": body.decode(errors="replace"),
        }
        with open(sys.argv[2], "a") as log:
            log.write(json.dumps(line) + "\n")
        self.send_response(200)
        self.send_header("x-final", "1")
        self.send_header("content-length", "2")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"ok")
        self.wfile.flush()

    def log_message(self, *_):
        pass


ThreadingHTTPServer.request_queue_size = 128
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
