package tasks_test

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// BenchmarkEnqueue tells what it costs to wait for a replica.
func BenchmarkEnqueue(b *testing.B) {
	durable := []string{"--appendonly", "yes", "--appendfsync", "always"}
	master := redistest.Start(b, redistest.Options{Args: durable})
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		b.Fatal(err)
	}
	redistest.Start(b, redistest.Options{Args: append(durable, "--replicaof", host, port)})
	rdb, err := redisconn.Open(master.URL(), 0)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = rdb.Close() })
	redistest.Eventually(b, 30*time.Second, "the replica follows", func() bool {
		return strings.Contains(rdb.Info(b.Context(), "replication").Val(), "state=online")
	})
	for _, replicas := range []int{0, 1} {
		b.Run(fmt.Sprintf("replicas=%d", replicas), func(b *testing.B) {
			c := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost, ReplicasAck: replicas})
			account := redistest.Account(b)
			requests := make([]tasks.Request, b.N)
			for i := range requests {
				requests[i] = tasks.Request{Account: account, OrderID: strconv.Itoa(i), Voucher: pdf(strings.Repeat("x", 2000))}
			}
			b.ResetTimer()
			c.EnqueueAll(b.Context(), requests, func(_ int, r tasks.Result) {
				if r.Err != nil {
					b.Error(r.Err)
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "uploads/s")
		})
	}
}
