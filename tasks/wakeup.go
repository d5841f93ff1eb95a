package tasks

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// A worker does not poll: whoever puts a task that is due publishes an empty message on the
// account's channel. On a cluster that is a sharded channel, beside the account's keys. Nothing
// depends on the message: a worker that gets none asks once a second.

// wakeups publishes such messages and listens to them.
type wakeups struct {
	rdb   redis.UniversalClient
	plain atomic.Bool  // the cluster is older than Redis 7, which brought sharded channels
	quiet atomic.Int64 // Unix nanoseconds until which nothing is published, for Redis refused it
}

// quietFor is how long nothing is published after a refusal, which only a person can change.
const quietFor = time.Minute

func wakeChannel(account string) string { return "voucherd:{" + ledger.Queue(account) + "}:wake" }

func (w *wakeups) sharded() bool {
	_, cluster := w.rdb.(*redis.ClusterClient)
	return cluster && !w.plain.Load()
}

// exec sends a pipeline, which may be empty, and the message behind it. Each command has its own
// error, and the message's is nobody's trouble.
func (w *wakeups) exec(ctx context.Context, pipe redis.Pipeliner, channel string) {
	if time.Now().UnixNano() < w.quiet.Load() {
		redisconn.ExecEach(ctx, pipe)
		return
	}
	publish := "publish"
	if w.sharded() {
		publish = "spublish"
	}
	message := pipe.Do(ctx, publish, channel, "")
	redisconn.ExecEach(ctx, pipe)
	w.learn(message.Err())
}

// learn remembers what Redis does not allow or does not know.
func (w *wakeups) learn(err error) {
	switch {
	case redis.HasErrorPrefix(err, "NOPERM"):
		w.quiet.Store(time.Now().Add(quietFor).UnixNano())
	case redis.HasErrorPrefix(err, "ERR unknown command"):
		w.plain.Store(true)
	}
}

// Wake tells the workers of an account that a task of theirs may be due. Put and Enqueue do so
// themselves.
func (c *Client) Wake(ctx context.Context, account string) {
	c.wakeups.exec(ctx, c.cfg.Redis.Pipeline(), wakeChannel(account))
}

// Listen calls woke for each message that a task of an account may be due, and whenever messages
// may have been missed, until the context ends. While Redis is away or refuses, it tries again.
func (c *Client) Listen(ctx context.Context, accounts []string, woke func(account string)) {
	channels := map[string]string{}
	var groups [][]string // a subscription each
	for _, a := range accounts {
		channels[wakeChannel(a)] = a
		groups = append(groups, []string{wakeChannel(a)})
	}
	if !c.wakeups.sharded() {
		groups = [][]string{slices.Concat(groups...)}
	}
	var all sync.WaitGroup
	for _, g := range groups {
		all.Go(func() { c.wakeups.listen(ctx, g, func(channel string) { woke(channels[channel]) }) })
	}
	all.Wait()
}

const (
	listenPause = time.Second     // before a subscription that was cut is made anew
	refusePause = 5 * time.Second // before one that Redis refused is tried again
	pingAfter   = 5 * time.Second // of silence: meanwhile a connection that the network has lost costs every task up to a second
	pongWithin  = 2 * time.Second
)

// listen keeps one subscription.
func (w *wakeups) listen(ctx context.Context, channels []string, woke func(channel string)) {
	for ctx.Err() == nil {
		err := w.receive(ctx, channels, woke)
		w.learn(err)
		pause := listenPause
		if _, refused := errors.AsType[redis.Error](err); refused {
			pause = refusePause
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// errSubscriptionEnded means that the channel has moved to another node.
var errSubscriptionEnded = errors.New("the subscription was ended")

// receive subscribes and reads until an error. A connection that stays silent is asked once.
func (w *wakeups) receive(ctx context.Context, channels []string, woke func(channel string)) error {
	var sub *redis.PubSub
	if w.sharded() {
		sub = w.rdb.SSubscribe(ctx, channels...)
	} else {
		sub = w.rdb.Subscribe(ctx, channels...)
	}
	release := context.AfterFunc(ctx, func() { _ = sub.Close() }) // ends a read
	defer func() {
		if release() {
			_ = sub.Close()
		}
	}()
	asked, limit := false, pingAfter
	for {
		got, err := sub.ReceiveTimeout(ctx, limit)
		var network net.Error
		switch {
		case err != nil && !asked && errors.As(err, &network) && network.Timeout() && ctx.Err() == nil:
			asked, limit = true, pongWithin
			if err = sub.Ping(ctx); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		}
		asked, limit = false, pingAfter
		switch m := got.(type) {
		case *redis.Message:
			woke(m.Channel)
		case *redis.Subscription:
			if strings.Contains(m.Kind, "unsubscribe") {
				return errSubscriptionEnded
			}
			woke(m.Channel)
		}
	}
}
