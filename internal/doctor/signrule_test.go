package doctor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/blob"
	"github.com/voucherd/voucherd/internal/doctor"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
	"github.com/voucherd/voucherd/test/redistest"
)

// A rule that a gateway has learnt is told until the settings have it.
func TestASignRuleThatAGatewayLearnt(t *testing.T) {
	t.Parallel()
	rdb := redistest.Client(t)
	client, account := tasks.New(tasks.Config{Redis: rdb, Store: blob.NewRedis(rdb)}), redistest.Account(t)
	told := func(settings ledger.SignRule) (all []doctor.Finding) {
		in := doctor.Installation{Redis: rdb, Store: blob.NewRedis(rdb), Tasks: client, Accounts: []string{account}, SignRule: settings}
		for _, f := range doctor.Examine(t.Context(), in) {
			if f.What == "account "+account+" signature" {
				all = append(all, f)
			}
		}
		return all
	}
	before, after := ledger.SignRule{Parts: "access-key,secret", Unit: "ms"}, ledger.SignRule{Parts: "secret,timestamp; join=&", Unit: "s"}
	if found := told(before); found != nil {
		t.Errorf("nothing was learnt, and it told %+v", found)
	}
	if err := client.NoteSignRule(t.Context(), account, after, ledger.Time{Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	found := told(before)
	if len(found) != 1 || found[0].Grade != doctor.Warn ||
		!strings.Contains(found[0].Advice, "PANDAPON_SIGN_PARTS='"+after.Parts+"' and PANDAPON_TIMESTAMP_UNIT=s") {
		t.Errorf("told %+v", found)
	}
	if found = told(after); found != nil {
		t.Errorf("the settings have it, and it told %+v", found)
	}
}
