// Package sandbox is a stand-in for the PandaPon OpenAPI. It checks what the real API would check,
// keeps a log of every request, and fails on demand. It serves voucherd's own tests, the demo, and
// integration tests of backends.
//
// # What it answers
//
// A POST to the upload path is checked: headers, access key, signature, timestamp, sub-account,
// base64, order id. Paths under /open/, /alibaba/ and /v2/ answer an echo of the call when it is
// signed, so that a pass-through can be tested; its data holds method, path, query, bodySha256 and
// bodySize. Other paths, and neighbours of the upload path, answer 404. Every answer is the
// documented envelope: requestId, code, developId, msg, data.
//
// Of the API's codes only 200 is documented. The Code constants, and the HTTP status that goes with
// each, are inventions of the sandbox: the real API may answer otherwise. Nothing may be built on
// them but tests of the sandbox.
//
// # Control
//
// Control calls are neither signed nor logged and no fault strikes them, so the sandbox belongs on
// a loopback address.
//
//	GET    /_sandbox/health    {"status":"ok","requests":12,"faults":1}
//	GET    /_sandbox/faults    {"faults":[{"kind":"outage","for":"10s","struck":3,"until":"…"}]}
//	POST   /_sandbox/faults    {"faults":[{"kind":"outage","for":"10s"}]} replaces all, answers as GET
//	DELETE /_sandbox/faults    clears all, answers as GET
//	GET    /_sandbox/requests  the log as NDJSON, one [Request] a line, oldest first;
//	                           ?since=N leaves out numbers up to N, ?limit=N stops after N lines
//	DELETE /_sandbox/requests  empties the log; numbers go on
//
// A control call that cannot be read answers 400 and {"error":"…"}.
package sandbox
