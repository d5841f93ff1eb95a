package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
)

// role is what a child does.
type role interface {
	// do carries out an order.
	do(ctx context.Context, o order) (reply, error)
	// url is where it can be reached, if it listens.
	url() string
	close() error
}

// serveChild is a child's main: it takes orders from standard input until that ends.
func serveChild() int {
	orders, out := gob.NewDecoder(os.Stdin), gob.NewEncoder(os.Stdout)
	var s spec
	if err := orders.Decode(&s); err != nil {
		complain(err)
		return 2
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r, err := newRole(ctx, s)
	if err != nil {
		complain(err)
		_ = out.Encode(reply{Error: err.Error()}) // the exit code says it too
		return 1
	}
	err = out.Encode(reply{URL: r.url()})
	for err == nil {
		var o order
		if err = orders.Decode(&o); err != nil {
			break
		}
		answer, doErr := obey(ctx, r, o)
		if doErr != nil {
			answer.Error = doErr.Error()
		}
		err = out.Encode(answer)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err = errors.Join(err, r.close()); err != nil {
		complain(err)
		return 1
	}
	return 0
}

func newRole(ctx context.Context, s spec) (role, error) {
	switch s.Role {
	case roleRedis:
		return newRedisRole(ctx, s)
	case roleAPI:
		return newAPI(ctx)
	case roleProxy:
		return newProxy(ctx, s)
	case rolePlain:
		return newPlain(s), nil
	case roleProducer:
		return newProducer(ctx, s)
	case roleWorker:
		return newWorker(ctx, s)
	default:
		return nil, fmt.Errorf("%q is no role", s.Role)
	}
}

// obey carries out an order that every role knows, or leaves it to the role.
func obey(ctx context.Context, r role, o order) (reply, error) {
	if o.Do != "profile" {
		return r.do(ctx, o)
	}
	if o.Path == "" {
		pprof.StopCPUProfile()
		return reply{}, nil
	}
	f, err := os.Create(o.Path) // closed by the end of the process
	if err != nil {
		return reply{}, fmt.Errorf("make the profile: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return reply{}, fmt.Errorf("start the profile: %w", err)
	}
	return reply{}, nil
}

var errOrder = errors.New("this child does not take such an order")
