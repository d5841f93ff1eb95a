// Package simulation plays weeks of voucherd in minutes. Workers, circuit breaker, policy,
// reconciler, the gateway's intake and asynq itself run, as they are, in one testing/synctest
// bubble, whose clock jumps to whatever comes next. Redis is in memory (miniredis), and so is the
// network; the API is package sandbox. `make simulate` plays 50 weeks; a short story is among the
// tests.
//
// A story is drawn from a seed. In each week the API is away for more than a day, and for shorter
// times; it throttles, is slow, forgets the account's secret, moves its endpoint, and has a wrong
// clock. Twelve workers die without goodbye, at some call to the API or to Redis; others are cut
// off from Redis, one way or both. Redis is away, its clock steps, the queue is flushed, and hands
// out again what is under way. Producers enqueue by the gateway, in order queues, and the API will
// not have some of the orders.
//
// At the end an audit holds the ledger against the API's own log: every upload that was accepted is
// delivered, or has come to its end with the reason; the API's calls are the ledger's attempts, and
// no outcome contradicts them; what was sent again is marked as unclear or interrupted, and an
// attempt is interrupted only where its worker died or was cut off; orders keep their order; an open
// breaker, which each outage, lost secret and moved endpoint has to open, sends only probes; and
// these cost no upload more refusals than the two by which they are known. A story that fails tells
// all that happened, upload by upload, and the command that plays it again.
//
// What it does not cover:
//   - The scheduling of goroutines, nonces and jitter are not seeded. The same story takes another
//     course each time, and a failure may need some runs to come again.
//   - Redis is simulated: what miniredis does otherwise than Redis, its persistence, memory,
//     replication, failover and cluster are other harnesses' (test/chaos and the failover tests).
//     Keys expire with a grain of five minutes.
//   - The network is simulated: a cut connection loses no bytes that were sent, and there is no TLS.
//   - All hosts share one clock; only Redis' and the API's can be wrong. Nothing takes time but what
//     waits: there is no load, and no process that stands still.
//   - What ticks in an idle worker is slower than users have it: beats (30 s, and dead after 90 s),
//     polls (2 min), the reconciler (10 min), pings of subscriptions (1 min), asynq's forwarder (30 s); in an outage probes are 3 min
//     apart. What asynq's servers write for asynqmon alone is left out, and so are scripts of its that
//     would find an empty set.
//   - One account, vouchers in Redis, and neither webhooks nor spool.
package simulation
