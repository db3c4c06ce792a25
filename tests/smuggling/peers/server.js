// Logs each request it has parsed, then answers. Arguments: port, log.
const http = require('node:http');
const fs = require('node:fs');
const [port, log] = process.argv.slice(2);
http.createServer((request, response) => {
  const pieces = [];
  request.on('data', (piece) => pieces.push(piece));
  request.on('end', () => {
    const line = {
      method: request.method,
      target: request.url,
      host: request.headers.host ?? '',
      body: Buffer.concat(pieces).toString(),
    };
    fs.appendFileSync(log, JSON.stringify(line) + '\n');
    response.writeHead(200, { 'x-final': '1', 'content-length': 2 });
    response.end('ok');
  });
}).listen(Number(port), '127.0.0.1');
