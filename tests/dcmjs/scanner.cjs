// A scanner made of dcmjs-dimse: C-ECHO and C-STORE of one file on one association; prints what became of each.
// Arguments: port, calling and called AE title, file, and over TLS the PEM files of authority, key and certificate.
const { readFileSync } = require("node:fs");
const { Client, requests } = require("dcmjs-dimse");

const [port, calling, called, file, authority, key, certificate] = process.argv.slice(2);
const secure = authority && {
  securityOptions: {
    ca: readFileSync(authority),
    key: readFileSync(key),
    cert: readFileSync(certificate),
    rejectUnauthorized: true,
  },
};
const client = new Client();
for (const request of [new requests.CEchoRequest(), new requests.CStoreRequest(file)]) {
  request.on("response", (response) => console.log(`status ${response.getStatus()}`));
  client.addRequest(request);
}
client.on("associationRejected", () => console.log("rejected"));
client.on("networkError", (error) => console.log(`network error ${error.code}`));
client.send("127.0.0.1", Number(port), calling, called, { pduTimeout: 60000, ...secure });
