// Answers everything the same, and ends when asked for /end. Prints its port.
const http = require("http");
const body = "x".repeat(1024);
const server = http.createServer((request, response) => {
	response.setHeader("Content-Length", body.length);
	response.end(body, () => {
		if (request.url === "/end") process.exit(0);
	});
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
