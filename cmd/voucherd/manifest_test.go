package main_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/voucherd/voucherd/test/process"
	"github.com/voucherd/voucherd/test/redistest"
)

func TestAManifestReportsEveryLineAndIsSafeToRunAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var list strings.Builder
	list.WriteString("order,file,reference\n")
	for n := range 25 {
		order, file := b.picture(n)
		fmt.Fprintf(&list, "%s,%s,ref %d\n", order, filepath.Base(file), n)
	}
	rows := list.String()
	b.file("empty.jpg", nil)
	manifest := b.file("list.csv", []byte(rows+"77,none.jpg,\n78,empty.jpg,\nbad order,empty.jpg,\n"))
	result := filepath.Join(b.dir, "result.csv")
	first := b.must(1, "enqueue", "--manifest", manifest, "--result", result)
	told, err := os.ReadFile(result)
	if rows := strings.Split(string(told), "\n"); err != nil || len(rows) != 1+28+1 || rows[0] != "line,order,file,result,id,error" ||
		!strings.Contains(rows[1], ",accepted,"+b.account+"-") || !strings.Contains(rows[26], ",none.jpg,failed,,") {
		t.Errorf("the results: %v\n%s", err, told)
	}
	b.want(b.run("enqueue", "--manifest", manifest, "--again"), 1, "the lines that failed or were not tried alone")
	b.want(first, 1, "25 accepted, 0 known already, 3 failed, 0 not tried", "none.jpg: no such file", "empty.jpg is empty", "Run it again")
	again := b.must(1, "enqueue", "--manifest", manifest, "--json")
	b.want(again, 1, "0 accepted, 25 known already, 3 failed")
	for i, line := range lines(again.stdout) {
		var got struct {
			Line    int    `json:"line"`
			OrderID string `json:"orderId"`
			File    string `json:"file"`
			Result  string `json:"result"`
			ID      string `json:"id"`
			State   string `json:"state"`
			Error   string `json:"error"`
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatal(err)
		}
		known := got.Result == "known" && got.ID != "" && got.State == "queued" && got.Error == ""
		failed := got.Result == "failed" && got.ID == "" && got.Error != ""
		if got.Line != i+2 || known == failed || known != (i < 25) {
			t.Errorf("line %d: %s", i+2, line)
		}
		if known && !strings.Contains(first.stdout, got.ID) {
			t.Errorf("the first run gave line %d another id than %s", i+2, got.ID)
		}
	}
	b.worker()
	eventually(t, "all are delivered once", func() bool { return len(b.box.Requests()) >= 25 })
	b.want(b.run("enqueue", "--manifest", b.file("good.csv", []byte(rows))), 0, "25 known already")
	if n := len(b.box.Requests()); n != 25 {
		t.Errorf("%d requests for 25 vouchers", n)
	}
}

func TestAManifestThatIsWrongHandsNothingOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	order, file := b.picture(1)
	for says, rows := range map[string]string{
		"there is no column": "order,path\n1,x\n",
		"line 3":             "order,file\n" + order + "," + file + "\n2\n",
		"it is empty":        "",
	} {
		b.want(b.runWith(strings.NewReader(rows), "enqueue", "--manifest", "-"), 1, says, "nothing was enqueued")
	}
	b.want(b.run("enqueue", "--manifest", b.dir), 1, "is a directory")
	b.want(b.run("enqueue", "--manifest", "x.csv", "--order", "1"), 2, "--manifest takes no")
	b.want(b.run("list", "--account", b.account), 0, "No upload matches")
}

func TestAManifestStopsWhenRedisIsFull(t *testing.T) {
	t.Parallel()
	small := redistest.Start(t, redistest.Options{MaxMemory: "4mb"})
	b := newBench(t)
	var rows strings.Builder
	rows.WriteString("order,file\n")
	for n := range 300 {
		order, file := b.picture(n % 5)
		fmt.Fprintf(&rows, "%s-%d,%s\n", order, n, file)
	}
	o := b.must(1, "enqueue", "--redis", small.URL(), "--manifest", b.file("list.csv", []byte(rows.String())))
	b.want(o, 1, "redis has no room", "not tried", "Run it again")
}

// TestAManifestWaitsOutARestart restarts Redis before and in the midst of a manifest.
func TestAManifestWaitsOutARestart(t *testing.T) {
	t.Parallel()
	own := redistest.Start(t, redistest.Options{AOF: true})
	rdb := own.Client()
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_REDIS_WAIT=1m")
	const lines = 600
	var rows strings.Builder
	rows.WriteString("order,file\n")
	for n := range lines {
		order, file := b.picture(n % 5)
		fmt.Fprintf(&rows, "%s-%d,%s\n", order, n, file)
	}
	list := b.file("list.csv", []byte(rows.String()))
	own.Kill()
	ended := make(chan outcome, 1)
	go func() {
		ended <- start(t.Context(), strings.NewReader(""), b.env, "enqueue", "--redis", own.URL(), "--manifest", list)
	}()
	own.Restart()
	err := process.Until(t.Context(), 30*time.Second, "some are enqueued", func() bool {
		return rdb.LLen(t.Context(), "asynq:{vouchers-"+b.account+"}:pending").Val() > lines/10
	})
	if err != nil {
		t.Fatal(err)
	}
	own.Restart()
	b.want(<-ended, 0, "600 accepted, 0 known already, 0 failed, 0 not tried")
}
