package tasks_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/proxy"
	"github.com/voucherd/voucherd/test/redistest"
)

// listen gives what a listener for two accounts hears, and waits until it is told to look at both.
func listen(t *testing.T, c *tasks.Client, accounts ...string) (heard chan string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	heard = make(chan string, 100)
	ended := make(chan struct{})
	go func() { c.Listen(ctx, accounts, func(a string) { heard <- a }); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	fresh := map[string]bool{}
	for len(fresh) < len(accounts) {
		fresh[hear(t, heard)] = true
	}
	return heard
}

func hear(t *testing.T, heard chan string) string {
	t.Helper()
	select {
	case a := <-heard:
		return a
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was heard")
		return ""
	}
}

// cluster starts a cluster of one node.
func cluster(t *testing.T) redis.UniversalClient {
	t.Helper()
	s := redistest.Start(t, redistest.Options{Args: []string{"--cluster-enabled", "yes"}})
	if err := s.Client().ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Addr}})
	t.Cleanup(func() { _ = c.Close() })
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for c.Set(t.Context(), "ready", "", 0).Err() != nil {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline.C:
			t.Fatal("the cluster does not come up")
		}
	}
	return c
}

// TestAHalfOpenSubscriptionIsMadeAnew lets the network forget a subscription without a word.
func TestAHalfOpenSubscriptionIsMadeAnew(t *testing.T) {
	t.Parallel()
	account, straight := redistest.Account(t), redistest.Client(t)
	way, err := proxy.Listen(t.Context(), straight.Options().Addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = way.Close() })
	rdb := redis.NewClient(&redis.Options{Addr: way.Addr})
	t.Cleanup(func() { _ = rdb.Close() })
	heard := listen(t, tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)}), account)
	way.Set(proxy.Fault{Silent: true})
	tasks.New(tasks.Config{Redis: straight, Store: blob.NewRedis(straight)}).Wake(t.Context(), account) // nobody hears it
	redistest.Eventually(t, 20*time.Second, "the message is lost on its way", func() bool { return way.Dead() > 0 })
	way.Set(proxy.Fault{})
	hear(t, heard)
}

// TestWhoListensHears puts tasks of two accounts; only those that are due are told of.
func TestWhoListensHears(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		rdb  func(t *testing.T) redis.UniversalClient
	}{
		{"single", func(t *testing.T) redis.UniversalClient { t.Helper(); return redistest.Client(t) }},
		{"cluster", cluster},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			rdb, one, two := c.rdb(t), redistest.Account(t), redistest.Account(t)
			client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)})
			// A script that Redis does not know yet is sent twice, with a message each time.
			put(t, client, ledger.Task{ID: ledger.UploadID(one, "", "order", "first"), Generation: 1}, 0)
			heard := listen(t, client, one, two)
			for i := range int64(3) {
				for _, account := range []string{two, one} {
					id := ledger.UploadID(account, "", "order", "sum")
					put(t, client, ledger.Task{ID: id, Generation: 100 + i}, time.Hour)
					put(t, client, ledger.Task{ID: id, Generation: 1 + i}, 0)
					if got := hear(t, heard); got != account {
						t.Errorf("heard of %s, want %s", got, account)
					}
				}
			}
			if len(heard) != 0 {
				t.Errorf("heard of %s once more", <-heard)
			}
		})
	}
}

func put(t *testing.T, c *tasks.Client, task ledger.Task, wait time.Duration) {
	t.Helper()
	if err := c.Put(t.Context(), task, wait); err != nil {
		t.Fatal(err)
	}
}

// TestListensAgain restarts Redis: who listens is told to look as soon as messages arrive again.
func TestListensAgain(t *testing.T) {
	t.Parallel()
	s, account := redistest.Start(t, redistest.Options{AOF: true}), redistest.Account(t)
	rdb := s.Client()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)})
	heard := listen(t, client, account)
	s.Restart()
	hear(t, heard)
	client.Wake(t.Context(), account)
	hear(t, heard)
}

// TestRefusedMessagesAreNobodysTrouble enqueues as a user without rights to channels.
func TestRefusedMessagesAreNobodysTrouble(t *testing.T) {
	t.Parallel()
	s, account := redistest.Start(t, redistest.Options{}), redistest.Account(t)
	admin := s.Client()
	if err := admin.Do(t.Context(), "acl", "setuser", "app", "on", ">pass", "~*", "+@all", "resetchannels").Err(); err != nil {
		t.Fatal(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: s.Addr, Username: "app", Password: "pass"})
	t.Cleanup(func() { _ = rdb.Close() })
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)})
	for _, order := range []string{"order-1", "order-2"} {
		if _, err := client.Enqueue(t.Context(), tasks.Request{Account: account, OrderID: order, Voucher: pdf(order)}); err != nil {
			t.Fatal(err)
		}
	}
	refused, err := admin.Do(t.Context(), "acl", "log").Slice()
	if err != nil || len(refused) != 1 {
		t.Errorf("Redis refused %d messages, %v; want it to be asked once", len(refused), err)
	}
}
