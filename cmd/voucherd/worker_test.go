package main_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"

	main "github.com/voucherd/voucherd/cmd/voucherd"
	"github.com/voucherd/voucherd/pandapon/sandbox"
	"github.com/voucherd/voucherd/test/redistest"
)

// get asks an address and gives the status and the text.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// listening gives the address that the log of a worker or gateway names.
func listening(t *testing.T, log *lockedBuffer) string {
	t.Helper()
	var address string
	eventually(t, "it listens", func() bool {
		m := regexp.MustCompile(`"event":"(?:worker|gateway).listening","address":"([^"]+)"`).FindStringSubmatch(log.String())
		if m != nil {
			address = "http://" + m[1]
		}
		return m != nil
	})
	return address
}

func TestTheWorkerSaysHowItIs(t *testing.T) {
	t.Parallel()
	own := redistest.Start(t, redistest.Options{})
	b := newBench(t)
	b.env = append(b.env, "VOUCHERD_CONCURENCY=4")
	log, stop := b.worker("--redis", own.URL(), "--worker-name", "number-one")
	address := listening(t, log)
	ready := func() int { code, _ := get(t, address+"/readyz"); return code }
	eventually(t, "it is ready", func() bool { return ready() == http.StatusOK })
	own.Kill()
	eventually(t, "it is not ready without Redis", func() bool { return ready() == http.StatusServiceUnavailable })
	if code, _ := get(t, address+"/livez"); code != http.StatusOK {
		t.Errorf("livez says %d while only Redis is away", code)
	}
	own.Restart()
	eventually(t, "it is ready again by itself", func() bool { return ready() == http.StatusOK })
	order, file := b.picture(1)
	u := upload(t, b.must(0, "enqueue", "--redis", own.URL(), "--order", order, "--wait", "--json", file).stdout)
	if u.Attempts[0].Worker != "number-one" {
		t.Errorf("the attempt was made by %q", u.Attempts[0].Worker)
	}
	if _, text := get(t, address+"/metrics"); !strings.Contains(text, `voucherd_attempts_total{account="`+b.account+`",outcome="delivered"} 1`) {
		t.Errorf("the attempt is not exported:\n%s", text)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped with %d:\n%s", code, log)
	}
	for _, line := range []string{`"event":"upload.attempted"`, `"event":"settings.unknown","variable":"VOUCHERD_CONCURENCY"`} {
		if n := strings.Count(log.String(), line); n != 1 {
			t.Errorf("%s stands %d times in the log:\n%s", line, n, log)
		}
	}
	if n := strings.Count(log.String(), "settings.unknown"); n != 1 {
		t.Errorf("%d variables are called unknown:\n%s", n, log)
	}
}

// TestWaitingNamesRedisAndItsSetting starts what waits for Redis with a wrong password, and with no
// Redis.
func TestWaitingNamesRedisAndItsSetting(t *testing.T) {
	t.Parallel()
	locked, dead := redistest.Start(t, redistest.Options{Password: "open-sesame"}), redistest.Start(t, redistest.Options{})
	dead.Kill()
	b := newBench(t)
	for url, says := range map[string]string{
		"redis://:wrong-word@" + locked.Addr: locked.Addr + " refuses to work: user or password is wrong (VOUCHERD_REDIS_URL)",
		dead.URL():                           dead.Addr + " could not be reached: connection refused; is it running, and is VOUCHERD_REDIS_URL right?",
	} {
		for _, command := range []string{"worker", "gateway"} {
			t.Run(command, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(t.Context())
				log, code := &lockedBuffer{}, make(chan int, 1)
				go func() {
					args := []string{command, "--listen", "127.0.0.1:0", "--redis", url}
					code <- main.Run(ctx, args, strings.NewReader(""), log, log, b.env)
				}()
				eventually(t, "it says what it waits for", func() bool { return strings.Contains(log.String(), command+".waiting") })
				cancel()
				if c := <-code; c != 0 || !strings.Contains(log.String(), `"error":"redis at `+says+`"`) {
					t.Errorf("exit code %d, and %q is not in:\n%s", c, says, log)
				}
				if strings.Contains(log.String(), "wrong-word") {
					t.Errorf("the password is in the log:\n%s", log)
				}
			})
		}
	}
}

func TestAStoppedWorkerFinishesItsCall(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.box.SetFaults(sandbox.Fault{Kind: sandbox.Slow, Delay: sandbox.Duration(600e6)})
	_, stop := b.worker()
	order, file := b.picture(1)
	b.must(0, "enqueue", "--order", order, file)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	if err := b.box.Wait(ctx, func(r []sandbox.Request) bool { return len(r) == 1 }); err != nil {
		t.Fatal(err)
	}
	if code := stop(); code != 0 {
		t.Errorf("stopped with %d", code)
	}
	b.want(b.run("show", order), 0, "delivered")
}

func TestTheWorkerRefusesToStart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	bare := []string{"VOUCHERD_REDIS_URL=" + redistest.URL()}
	account := append(bare, "PANDAPON_ACCESS_KEY=k", "PANDAPON_USER_ID=u")
	for _, tc := range []struct {
		env  []string
		args string
		code int
		says []string
	}{
		{b.env, "--listen " + taken.Addr().String(), 1, []string{"--listen", "address already in use"}},
		{b.env, "--listen nowhere", 1, []string{"--listen", "missing port"}},
		{b.env, "--store file://" + b.dir + "/none", 1, []string{"VOUCHERD_STORE", "does not exist"}},
		{account, "", 2, []string{"PANDAPON_ACCESS_SECRET: is not set", "PANDAPON_ACCESS_SECRET_FILE"}},
		{bare, "", 2, []string{"3 settings", "PANDAPON_ACCESS_KEY", "PANDAPON_USER_ID", "PANDAPON_ACCESS_SECRET"}},
		{
			append(account, "PANDAPON_ACCESS_SECRET="+secret, "VOUCHERD_MAX_AGE=soon", "PANDAPON_BASE_URL=ftp://x", "VOUCHERD_JITTER=7"),
			"--concurrency 0 --call-timeout 2m --shutdown-timeout 1m --upload-path nowhere --redis gopher://:" + secret + "@x", 2,
			[]string{
				"7 settings are not right", "\n  VOUCHERD_MAX_AGE: ", "\n  PANDAPON_BASE_URL: ", "\n  VOUCHERD_JITTER: ", "\n  --concurrency: ",
				"\n  --shutdown-timeout: ", "\n  --upload-path: ", "\n  --redis: ",
			},
		},
	} {
		o := start(t.Context(), strings.NewReader(""), tc.env, append([]string{"worker"}, strings.Fields(tc.args)...)...)
		want(t, o, tc.code, tc.says...)
	}
}

// TestAWorkerNamesTheRedisThatRefusesIt has Redis change its password under a worker, and then
// starts another.
func TestAWorkerNamesTheRedisThatRefusesIt(t *testing.T) {
	t.Parallel()
	own := redistest.Start(t, redistest.Options{Password: secret})
	b := newBench(t)
	named := func(log *lockedBuffer, event string) {
		t.Helper()
		line := regexp.MustCompile(event + `"[^\n]*redis at ` + own.Addr + ` refuses to work: user or password is wrong \(VOUCHERD_REDIS_URL\)`)
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(log.String())
			}
		})
		eventually(t, event+" names it", func() bool { return line.MatchString(log.String()) })
	}
	log, stop := b.worker("--redis", own.URL(), "--reconcile-every=50ms", "--redis-pause=50ms")
	eventually(t, "it works", func() bool { return strings.Contains(log.String(), "worker.started") })
	rdb := own.Client()
	if err := rdb.ConfigSet(t.Context(), "requirepass", "another").Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.ClientKillByFilter(t.Context(), "TYPE", "normal").Err(); err != nil {
		t.Fatal(err)
	}
	named(log, "reconciler.failed")
	stop()
	log, stop = b.worker("--redis", own.URL())
	named(log, "worker.waiting")
	stop()
	if text := log.String(); strings.Contains(text, "context canceled") {
		t.Errorf("being stopped is no fault:\n%s", text)
	}
}
