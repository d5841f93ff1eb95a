package doctor_test

import (
	"strings"
	"testing"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/doctor"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestEventsThatDoNotArrive(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.Options{}).Client()
	client := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)})
	if err := client.Bind(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	finding := func() doctor.Finding {
		for _, f := range doctor.Examine(t.Context(), doctor.Installation{Redis: rdb, Store: blob.NewRedis(rdb), Tasks: client}) {
			if f.What == "account shop webhooks" {
				return f
			}
		}
		return doctor.Finding{}
	}
	if f := finding(); f.What != "" {
		t.Errorf("without webhooks: %+v", f)
	}
	key := "voucherd:{" + ledger.Queue("shop") + "}:webhook"
	if err := rdb.HSet(t.Context(), key, "cursor", 1, "error", "").Err(); err != nil {
		t.Fatal(err)
	}
	if f := finding(); f.Grade != doctor.OK {
		t.Errorf("all told: %+v", f)
	}
	if err := rdb.HSet(t.Context(), key, "error", "answered HTTP 500").Err(); err != nil {
		t.Fatal(err)
	}
	if f := finding(); f.Grade != doctor.Warn || !strings.Contains(f.Found, "HTTP 500") || f.Advice == "" {
		t.Errorf("failing: %+v", f)
	}
}
