package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/test/bench/naive"
)

// plain is the yardstick: encode, sign and send in a loop, without queue or record. Nothing that delivers over HTTP can
// be faster by much.
type plain struct {
	spec   spec
	client *http.Client
}

func newPlain(s spec) *plain { return &plain{spec: s, client: pooled(s.Concurrency)} }

func pooled(conns int) *http.Client {
	return &http.Client{
		Timeout:   time.Minute,
		Transport: &http.Transport{MaxIdleConns: conns, MaxIdleConnsPerHost: conns, DisableCompression: true},
	}
}

func account() pandapon.Credentials {
	return pandapon.Credentials{AccessKey: "0123456789abcdef0123456789abcdef", Secret: "bench-secret", UserID: "1"}
}

func uploadURL(base string) string { return base + pandapon.DefaultUploadPath }

func (*plain) url() string { return "" }

func (p *plain) close() error {
	p.client.CloseIdleConnections()
	return nil
}

func (p *plain) do(ctx context.Context, o order) (reply, error) {
	switch o.Do {
	case "usage":
		u, err := used(nil)
		return reply{Usage: u}, err
	case "run":
		raw := voucher(o.Size)
		return many(ctx, o, p.spec.Concurrency, func(ctx context.Context) func(int) error {
			return p.sender(ctx, raw)
		})
	default:
		return reply{}, errOrder
	}
}

// sender gives one goroutine's loop body, with a buffer of its own.
func (p *plain) sender(ctx context.Context, raw []byte) func(int) error {
	var body []byte
	return func(i int) error {
		body = append(body[:0], uploadPrefix...)
		body = base64.StdEncoding.AppendEncode(body, raw)
		body = append(body, `","orderId":"`...)
		body = append(body, orderID(i)...)
		body = append(body, `"}`...)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, uploadURL(p.spec.API), bytes.NewReader(body))
		if err != nil {
			return err
		}
		naive.Sign(req, account())
		return naive.Send(p.client, req)
	}
}

// many does something N times, several at a time, until the limit, and says how often and how long.
func many(ctx context.Context, o order, atOnce int, each func(context.Context) func(int) error) (reply, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next, done atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range atOnce {
		all.Go(func() {
			do := each(ctx)
			for ctx.Err() == nil && time.Since(began) < o.Limit {
				i := int(next.Add(1)) - 1
				if i >= o.N {
					return
				}
				if err := do(o.From + i); err != nil {
					cancel(err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	return reply{Count: int(done.Load()), Elapsed: time.Since(began)}, context.Cause(ctx)
}
