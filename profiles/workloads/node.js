// A web service in Node.js of the usual kind: HTTP, files, child processes, worker threads, compression, crypto.
'use strict';
const childProcess = require('child_process');
const crypto = require('crypto');
const dns = require('dns').promises;
const fs = require('fs');
const http = require('http');
const https = require('https');
const net = require('net');
const os = require('os');
const path = require('path');
const stream = require('stream').promises;
const { promisify } = require('util');
const { isMainThread, parentPort, Worker } = require('worker_threads');
const zlib = require('zlib');

if (!isMainThread) {
  parentPort.on('message', (n) => {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += i % 7;
    parentPort.postMessage({ sum, file: fs.readFileSync(__filename).length });
  });
} else if (process.send) {
  process.on('message', (message) => process.send({ echo: message }, () => process.disconnect()));
} else {
  serve();
}

async function files(body) {
  const top = await fs.promises.mkdtemp(path.join(os.tmpdir(), 'node-'));
  const file = path.join(top, 'a');
  await fs.promises.writeFile(file, body.repeat(10000));
  await fs.promises.appendFile(file, 'end');
  await fs.promises.copyFile(file, file + '2');
  await fs.promises.rename(file + '2', file + '3');
  await fs.promises.symlink('a', file + '4');
  await fs.promises.chmod(file, 0o600);
  await fs.promises.utimes(file, new Date(), new Date());
  await stream.pipeline(fs.createReadStream(file), zlib.createGzip(), fs.createWriteStream(file + '.gz'));
  const handle = await fs.promises.open(file, 'r+');
  await handle.truncate(10);
  await handle.sync();
  await handle.datasync();
  await handle.close();
  const watched = new Promise((resolve) => {
    const watcher = fs.watch(top, () => { watcher.close(); resolve(true); });
    fs.writeFileSync(path.join(top, 'b'), 'x');
  });
  const missing = await fs.promises.stat(path.join(top, 'missing')).catch((error) => error.code);
  const names = (await fs.promises.readdir(top)).sort();
  const real = await fs.promises.realpath(file + '4');
  await watched;
  await fs.promises.rm(top, { recursive: true });
  return { names, missing, real: path.basename(real) };
}

async function child(body) {
  const sort = childProcess.spawn('/usr/bin/sort', ['-r']);
  sort.stdin.end(body);
  let sorted = '';
  for await (const part of sort.stdout) sorted += part;
  const echo = await promisify(childProcess.exec)('echo from a shell');
  const missing = await new Promise((resolve) =>
    childProcess.spawn('/no/such/program').on('error', (error) => resolve(error.code)));
  const slow = childProcess.spawn('/bin/sleep', ['60']);
  const ended = new Promise((resolve) => slow.on('exit', (code, signal) => resolve(signal)));
  slow.kill();
  const fork = childProcess.fork(__filename);
  const echoed = new Promise((resolve) => fork.on('message', (message) => resolve(message.echo)));
  const gone = new Promise((resolve) => fork.on('exit', resolve));
  fork.send('hello');
  const result = { sorted, echo: echo.stdout, missing, ended: await ended, fork: await echoed };
  await gone;
  return result;
}

async function threads() {
  const workers = [1, 2].map(() => new Worker(__filename));
  const answers = await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
    worker.once('message', resolve).once('error', reject);
    worker.postMessage(1e6);
  })));
  await Promise.all(workers.map((worker) => worker.terminate()));
  return { sums: answers.map((answer) => answer.sum) };
}

async function digest(body) {
  const key = await promisify(crypto.scrypt)(body, 'salt', 32);
  const zipped = await promisify(zlib.brotliCompress)(Buffer.alloc(100000, body));
  const pair = await promisify(crypto.generateKeyPair)('ec', { namedCurve: 'P-256' });
  return {
    sha256: crypto.createHash('sha256').update(body).digest('hex'), key: key.length, zipped: zipped.length,
    signed: crypto.sign('sha256', Buffer.from(body), pair.privateKey).length, random: crypto.randomUUID(),
    cpus: os.cpus().length, free: os.freemem(), load: os.loadavg(), who: os.userInfo().username, up: process.uptime(),
    memory: process.memoryUsage().rss,
  };
}

async function fetches() {
  const secure = await new Promise((resolve, reject) => https.get(
    { host: 'localhost', port: 8443, path: '/health', rejectUnauthorized: false },
    (answer) => { answer.resume(); answer.on('end', () => resolve(answer.statusCode)); }).on('error', reject));
  const refused = await new Promise((resolve) => http.get('http://127.0.0.1:9/').on('error', (e) => resolve(e.code)));
  const named = await dns.lookup('localhost');
  const service = [(await dns.lookup('service.test')).address, ...await dns.resolve4('service.test')];
  const unknown = await dns.lookup('service.invalid').catch((error) => error.code);
  const local = await new Promise((resolve, reject) => {
    const server = net.createServer((socket) => socket.end('local'));
    server.listen('local.sock', () => net.connect('local.sock', function () {
      this.on('data', (data) => { server.close(); resolve(String(data)); }).on('error', reject);
    }));
  });
  return { secure, refused, named: named.address, service, unknown, local };
}

function serve() {
  const routes = { '/files': files, '/child': child, '/threads': threads, '/digest': digest, '/fetch': fetches };
  let log = fs.createWriteStream('app.log', { flags: 'a' });
  const answer = (request, response) => {
    let body = '';
    request.on('data', (data) => { body += data; });
    request.on('end', async () => {
      let [status, result] = [200, { healthy: true }];
      try {
        if (request.url === '/page.html') {
          response.writeHead(200);
          return await stream.pipeline(fs.createReadStream('page.html'), response);
        }
        if (request.url !== '/health') result = await routes[request.url](body);
      } catch (error) {
        [status, result] = [routes[request.url] ? 500 : 404, { error: String(error) }];
      }
      log.write(`${new Date().toISOString()} ${request.url} ${status}\n`);
      response.writeHead(status, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify(result));
    });
  };
  const plain = http.createServer(answer).listen(8000, '127.0.0.1');
  const tls = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };
  const secure = https.createServer(tls, answer).listen(8443, '127.0.0.1');
  const beat = setInterval(() => {}, 100);
  // Rubbish, so that the collector's threads have work.
  const waste = setInterval(() => Array.from({ length: 20000 }, (_, i) => ({ i, text: `${i}` })), 50);
  process.on('SIGHUP', () => { log.end(); log = fs.createWriteStream('app.log', { flags: 'a' }); });
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => {
      clearInterval(beat);
      clearInterval(waste);
      for (const server of [plain, secure]) {
        server.close();
        server.closeAllConnections();
      }
      log.end('ended\n');
    });
  }
}
