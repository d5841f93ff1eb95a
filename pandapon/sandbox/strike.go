package sandbox

import (
	"context"
	"net"
	"net/http"
	"time"
)

// strike lets fault have its way with a call that would have got answer.
func (s *Sandbox) strike(w http.ResponseWriter, r *http.Request, entry *Request, fault Fault, answer reply) {
	switch fault.Kind {
	case Slow:
		s.strikeSlow(w, r, entry, fault, answer)
	case Hang:
		s.pass(r.Context(), fault.delay())
		select {
		case <-r.Context().Done():
		case <-s.closed:
		}
		s.leave(entry, 0, 0)
		abort(w)
	case Reset:
		s.pass(r.Context(), fault.delay())
		s.leave(entry, 0, 0)
		reset(w)
	case CutOff:
		whole := answer.envelope.encode()
		s.sendOdd(w, r, entry, fault, oddAnswer{"application/json", whole[:len(whole)/2], len(whole)})
	case NotJSON:
		page := []byte("<html><body><h1>Welcome to the gateway</h1></body></html>\n")
		s.sendOdd(w, r, entry, fault, oddAnswer{"text/html", page, len(page)})
	case Outage, Throttle, Unauthorized, Gone, Refuse, Status:
		s.answer(w, r, entry, fault.delay(), fault.reply(r, answer))
	default:
		s.answer(w, r, entry, 0, answer) // SetFaults lets no other kind in
	}
}

// strikeSlow answers late. With Before the voucher is taken only if the caller is still there.
func (s *Sandbox) strikeSlow(w http.ResponseWriter, r *http.Request, entry *Request, fault Fault, answer reply) {
	if !fault.Before {
		s.answer(w, r, entry, fault.delay(), answer)
		return
	}
	if !s.pass(r.Context(), fault.delay()) {
		s.leave(entry, 0, 0)
		abort(w)
		return
	}
	s.answer(w, r, entry, 0, s.take(r, entry, answer))
}

// reply is the answer of the kinds that answer instead of the API. A fault that says success hands
// the API's own answer on, under its status.
func (f Fault) reply(r *http.Request, answer reply) reply {
	fault := reply{status: f.httpStatus(), header: http.Header{}}
	fault.envelope = envelope{
		RequestID: answer.envelope.RequestID,
		Code:      f.code(),
		DevelopID: developID(r.Header.Get("access-key")),
		Msg:       f.Msg,
	}
	if fault.envelope.RequestID == "" {
		fault.envelope.RequestID = newRequestID()
	}
	if fault.envelope.Msg == "" {
		fault.envelope.Msg = "sandbox fault: " + string(f.Kind)
	}
	if f.sparesVoucher() {
		fault.envelope.Data = answer.envelope.Data
	}
	if f.RetryAfter != "" {
		fault.header.Set("Retry-After", f.RetryAfter)
	}
	if fault.status >= 300 && fault.status <= 399 {
		fault.header.Set("Location", r.URL.Path+"?redirected")
	}
	return fault
}

// answer sends answer after delay, and finishes the log entry before.
func (s *Sandbox) answer(w http.ResponseWriter, r *http.Request, entry *Request, delay time.Duration, answer reply) {
	if !s.pass(r.Context(), delay) {
		s.leave(entry, 0, 0)
		abort(w)
		return
	}
	entry.RequestID = answer.envelope.RequestID
	s.leave(entry, answer.status, answer.envelope.Code)
	answer.send(w, s.now())
}

// oddAnswer is an answer that no envelope can be read from. length is what is announced.
type oddAnswer struct {
	contentType string
	body        []byte
	length      int
}

func (s *Sandbox) sendOdd(w http.ResponseWriter, r *http.Request, entry *Request, fault Fault, odd oddAnswer) {
	if !s.pass(r.Context(), fault.delay()) {
		s.leave(entry, 0, 0)
		abort(w)
		return
	}
	status := fault.httpStatus()
	s.leave(entry, status, 0)
	reply{status: status}.sendBody(w, s.now(), odd.contentType, odd.body, odd.length)
}

// leave ends the log entry. Status and code 0 mean that nothing is answered.
func (s *Sandbox) leave(entry *Request, status, code int) {
	entry.AnsweredAt = stamp(s.now())
	entry.HTTPStatus, entry.Code = status, code
	s.log.update(*entry)
}

// pass lets d pass and says whether somebody still waits for the answer.
func (s *Sandbox) pass(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	case <-s.closed:
		return false
	}
}

// abort closes the connection without an answer.
func abort(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's way to drop a call it keeps hold of
	}
	_ = conn.Close() // nothing is left to lose
}

// reset closes the connection with a TCP RST.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2: this resets the stream
	}
	raw := conn
	if secure, ok := raw.(interface{ NetConn() net.Conn }); ok {
		raw = secure.NetConn()
	}
	if tcp, ok := raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // at worst the connection closes politely
	}
	_ = raw.Close()
}
