package tasks_test

import (
	"crypto/rand"
	"maps"
	"testing"

	"github.com/hibiken/asynq"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// TestFirstTaskIsAsAsynqPutsIt enqueues vouchers whose tasks are put with their records, and has
// asynq put one of the tasks after it was lost.
func TestFirstTaskIsAsAsynqPutsIt(t *testing.T) {
	t.Parallel()
	rdb, account := redistest.Client(t), redistest.Account(t)
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb), InlineMost: ledger.InlineMost})
	// A script that Redis does not know yet is sent twice, with a message each time.
	put(t, client, ledger.Task{ID: ledger.UploadID(redistest.Account(t), "", "order", "sum"), Generation: 1}, 0)
	heard := listen(t, client, account)
	var first ledger.Task
	for _, order := range []string{"order-1", "order-2", "order-2"} {
		u, err := client.Enqueue(t.Context(), tasks.Request{Account: account, OrderID: order, Voucher: pdf(rand.Text())})
		if err != nil {
			t.Fatal(err)
		}
		if first.ID == "" {
			first = ledger.Task{ID: u.ID, Generation: u.Generation}
		}
	}
	hear(t, heard) // of the first; no worker sleeps while tasks are pending
	key := "asynq:{" + ledger.Queue(account) + "}:t:" + ledger.TaskID(first.ID, 1)
	read := func() map[string]string {
		fields, err := rdb.HGetAll(t.Context(), key).Result()
		if err != nil || len(fields["pending_since"]) != len("1700000000000000000") {
			t.Fatalf("%v, %v", fields, err)
		}
		delete(fields, "pending_since")
		return fields
	}
	ours := read()
	queue := asynq.NewInspectorFromRedisClient(rdb)
	list, err := queue.ListPendingTasks(ledger.Queue(account))
	if err != nil || len(list) != 2 || list[0].ID != ledger.TaskID(first.ID, 1) {
		t.Fatalf("pending: %v, %v; want the heads of two orders", list, err)
	}
	if err := queue.DeleteTask(ledger.Queue(account), list[0].ID); err != nil {
		t.Fatal(err)
	}
	put(t, client, first, 0)
	if theirs := read(); !maps.Equal(ours, theirs) {
		t.Errorf("the ledger put %v, asynq %v", ours, theirs)
	}
	hear(t, heard)
	if len(heard) != 0 {
		t.Errorf("heard of %s once more", <-heard)
	}
}
