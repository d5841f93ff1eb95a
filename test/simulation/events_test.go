package simulation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/voucherd/voucherd/test/chaos/audit"
)

// happen lets an event happen at its time.
func (w *week) happen(e event) {
	w.until(e.at)
	switch e.what {
	case death:
		w.die(e)
	case rolling:
		w.roll()
	case partition:
		w.part(e)
	case redisAway:
		w.leaveRedis(e)
	case redisStep:
		w.stepRedis(e)
	case flush:
		w.redis.flushQueue()
	case handAgain:
		if n := w.redis.handOutAgain(); n > 0 {
			w.note("%d tasks are handed out again", n)
		}
	}
}

// die has a worker die, at once or at some point of its next call to the API, and another one start
// in its place after a while.
func (w *week) die(e event) {
	slot, p := w.employ(e.slot)
	for p == nil {
		w.wait(time.Minute)
		slot, p = w.employ(e.slot)
	}
	how := "at once"
	if e.mode%8 > 0 {
		how = w.dieInCall(p, e)
	}
	p.kill()
	w.note("%s dies %s", p.name, how)
	w.wait(e.long)
	w.mu.Lock()
	mine := w.slots[slot] == p
	w.mu.Unlock()
	if mine {
		if err := w.hire(slot); err != nil {
			w.note("%v", err)
		}
	}
}

// dieInCall waits until the worker makes a call, and lights its fuse or kills it there.
func (w *week) dieInCall(p *process, e event) string {
	const patience = 3 * time.Hour
	struck := make(chan string, 1)
	say := func(how string) {
		select {
		case struck <- how:
		default:
		}
	}
	w.api.arm(func(name string, m moment) {
		switch {
		case name != p.name:
		case e.mode%8 < 3 && m == arrived:
			p.kill()
			say("as its call arrives")
		case e.mode%8 < 5 && m == taken:
			p.kill()
			say("as its answer leaves")
		case e.mode%8 >= 5 && m == arrived && p.fuse.Load() == 0:
			p.light(1+e.mode/8, e.mode%2 == 0)
		}
	})
	defer w.api.arm(nil)
	t := time.NewTimer(patience)
	defer t.Stop()
	select {
	case how := <-struck:
		return how
	case <-p.stopping.Done():
		return fmt.Sprintf("after %d calls to redis, the last one unsent: %v", 1+e.mode/8, e.mode%2 == 0)
	case <-t.C:
		return "at once, as it had nothing to do"
	}
}

// part cuts a worker off from Redis: nothing arrives, or no answers do.
func (w *week) part(e event) {
	_, p := w.employ(e.slot)
	if p == nil {
		return
	}
	from := time.Now()
	w.note("%s is cut off from redis", p.name)
	p.link.set([]condition{silent, deaf}[e.mode%2])
	w.wait(e.long)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen[p.name] = append(w.frozen[p.name], audit.Span{From: from, To: time.Now().Add(recovers)})
	if w.away {
		p.link.set(down)
	} else {
		p.link.set(up)
	}
}

// recovers is how long a worker's last calls may take after Redis is back.
const recovers = 10 * time.Second

// leaveRedis has Redis refuse all connections for a while.
func (w *week) leaveRedis(e event) {
	from := time.Now()
	w.setRedis(down)
	w.wait(e.long)
	w.setRedis(up)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.aways = append(w.aways, audit.Span{From: from, To: time.Now().Add(recovers)})
}

func (w *week) setRedis(to condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.away = to == down
	for _, p := range append(w.all, w.gateway) {
		p.link.set(to)
	}
}

// stepRedis sets Redis' clock ahead or back, and right again some hours later.
func (w *week) stepRedis(e event) {
	ahead := e.long
	if e.mode%2 == 0 {
		ahead = -ahead
	}
	for _, to := range []time.Duration{ahead, 0} {
		w.redis.ahead.Store(int64(to))
		w.note("redis' clock is %v ahead", to)
		w.mu.Lock()
		w.stepped = append(w.stepped, audit.Span{From: time.Now(), To: time.Now().Add(2 * e.long)})
		w.clock = append(w.clock, redisTime{time.Now(), to})
		w.mu.Unlock()
		w.wait(time.Hour + time.Duration(e.mode)*time.Minute)
		if w.over.Err() != nil {
			return
		}
	}
}

// produce enqueues an order's vouchers, each after the one before was accepted, as a backend does
// that does not give up.
func (w *week) produce(ctx context.Context, n int, o order) {
	w.until(o.at)
	for place, v := range o.vouchers {
		if place > 0 {
			w.wait(v.after)
		}
		body := fmt.Sprintf("%%PDF-1.4 receipt %d of order %d %s", place, n, strings.Repeat("x", v.size))
		asked := time.Now()
		for pause := time.Second; ; pause = min(2*pause, time.Minute) {
			id, err := w.post(ctx, orderID(n), body)
			if err == nil {
				sum := sha256.Sum256([]byte(body))
				w.mu.Lock()
				w.enqueued = append(w.enqueued, audit.Enqueued{
					UploadID: id, Account: account, OrderID: orderID(n), SHA256: hex.EncodeToString(sum[:]), Place: place, Asked: asked, At: time.Now(),
				})
				w.mu.Unlock()
				break
			}
			w.wait(pause)
		}
	}
}

func (w *week) post(ctx context.Context, order, body string) (id string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/v1/uploads?orderId="+url.QueryEscape(order), strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/pdf")
	resp, err := w.client.Do(r)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var u struct {
		ID     string `json:"id"`
		Detail string `json:"detail"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&u); err != nil {
		return "", err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("%s: %s", resp.Status, u.Detail)
	}
	return u.ID, nil
}
