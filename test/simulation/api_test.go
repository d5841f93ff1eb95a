package simulation

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/voucherd/voucherd/pandapon"
	"github.com/voucherd/voucherd/pandapon/sandbox"
)

// api is the simulated API: the sandbox, on connections in memory. It notes when each call really
// came and went, as its own clock may be wrong, and can have a worker die in the middle of one.
type api struct {
	*sandbox.Sandbox

	conns  *listener
	server *http.Server
	served chan struct{}
	always []sandbox.Fault // that strike at all times: orders which it will not have

	mu     sync.Mutex
	ahead  time.Duration // of its clock
	secret int           // how often the account's secret was reset
	known  int           // the secret that workers have
	calls  map[string]call
	armed  func(worker string, m moment) // nil: nobody is to die
}

// call is one request: when it came and was over.
type call struct {
	worker   string
	from, to time.Time
}

// moment is a point of a call.
type moment int

const (
	arrived moment = iota // nothing of it is read
	taken                 // its answer is about to leave
)

func newAPI(always []sandbox.Fault) *api {
	a := &api{conns: newListener(), served: make(chan struct{}), always: always, calls: map[string]call{}}
	const thinks = 300 * time.Millisecond
	a.Sandbox = sandbox.New(sandbox.Config{Credentials: []pandapon.Credentials{credsOf(0)}, CheckNonce: true, Delay: thinks, Now: a.clock})
	a.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(a.serve), ConnContext: func(ctx context.Context, c net.Conn) context.Context {
		if ours, ok := c.(*conn); ok {
			return context.WithValue(ctx, callerKey{}, ours.from.owner)
		}
		return ctx
	}}
	a.strike()
	go func() {
		_ = a.server.Serve(a.conns) // until it is closed
		close(a.served)
	}()
	return a
}

type callerKey struct{}

func (a *api) serve(w http.ResponseWriter, r *http.Request) {
	worker, _ := r.Context().Value(callerKey{}).(string)
	nonce, from := r.Header.Get("nonce-str"), time.Now()
	a.at(worker, arrived)
	defer func() {
		a.mu.Lock()
		a.calls[nonce] = call{worker, from, time.Now()}
		a.mu.Unlock()
		a.at(worker, taken)
	}()
	a.ServeHTTP(w, r)
}

func (a *api) at(worker string, m moment) {
	a.mu.Lock()
	armed := a.armed
	a.mu.Unlock()
	if armed != nil {
		armed(worker, m)
	}
}

// arm has a function told of each call's moments; nil: none.
func (a *api) arm(f func(string, moment)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = f
}

// strike has it fail in these ways, and in those that it always does; which come first, where it is
// merely slow.
func (a *api) strike(faults ...sandbox.Fault) {
	if len(faults) > 0 && faults[0].Kind == sandbox.Slow {
		a.SetFaults(slices.Concat(a.always, faults)...)
	} else {
		a.SetFaults(slices.Concat(faults, a.always)...)
	}
}

func (a *api) clock() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Now().Add(a.ahead)
}

func (a *api) setClock(ahead time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ahead = ahead
}

// resetSecret makes the account's secret another one, which workers do not have. Whose secret is wrong
// hears nothing of orders.
func (a *api) resetSecret() {
	a.SetFaults()
	a.mu.Lock()
	a.secret++
	c := credsOf(a.secret)
	a.mu.Unlock()
	a.SetCredentials(c)
}

// tell gives the secret that is right to whom it is told.
func (a *api) tell() {
	a.strike()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.known = a.secret
}

// creds are those that workers have.
func (a *api) creds() pandapon.Credentials {
	a.mu.Lock()
	defer a.mu.Unlock()
	return credsOf(a.known)
}

func credsOf(n int) pandapon.Credentials {
	secret := pandapon.Secret(fmt.Sprint("simulated-secret-", n)) // #nosec G101 -- of a simulation
	return pandapon.Credentials{AccessKey: "simulated-key", Secret: secret, UserID: "1"}
}

// log gives the requests by the bubble's clock, and who made each, by its nonce.
func (a *api) log() (requests []sandbox.Request, callers map[string]string) {
	requests, callers = a.Requests(), map[string]string{}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, r := range requests {
		c := a.calls[r.Nonce]
		callers[r.Nonce] = c.worker
		requests[i].At, requests[i].AnsweredAt = c.from, c.to
	}
	return requests, callers
}

func (a *api) end() {
	a.Close()
	_ = a.server.Close() // connections in memory
	<-a.served
}
