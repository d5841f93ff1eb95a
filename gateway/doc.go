// Package gateway is voucherd over HTTP: backends in any language enqueue vouchers, people see and
// act.
//
// There are three kinds of path. Below /v1/ is voucherd's own API, described by /openapi.json; its
// errors are problem+json (RFC 9457). PandaPon's own paths (/open/, /alibaba/, /v2/ and each
// account's upload path) take calls signed with an account's secret: vouchers are enqueued,
// everything else is passed on to the API unchanged. What is left are web pages at /, asynqmon at
// /queues/, and health and metrics.
//
// This package is the server: it listens, knows who calls, bounds what callers can hold, writes the
// access log, and composes the handlers. Those are in the packages api, dropin and web. What api
// and dropin share is below them: intake takes a voucher out of a request, and problem says why a
// request is refused.
//
// Every path but health and PandaPon's wants a token. A gateway without tokens is for one person at
// one machine: it listens on loopback only, and whoever gets there is an operator.
package gateway
