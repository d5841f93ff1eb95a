package sandbox

import (
	"net/http"
	"strings"
	"time"
)

// maxText bounds each text of a caller's that the log keeps.
const maxText = 256

// serveCall answers one call of the API. The log is complete before the answer leaves, so that a
// caller who has it finds it in the log.
func (s *Sandbox) serveCall(w http.ResponseWriter, r *http.Request) {
	entry := s.log.begin(newEntry(r, s.now()))
	if fault, struck := s.faults.pick(entry, true, s.now()); struck {
		entry.Fault = fault.Kind
		s.strike(w, r, &entry, fault, reply{})
		return
	}

	received := s.read(r)
	entry.OrderID, entry.SHA256 = clip(received.orderID), received.sha256
	entry.Size, entry.Complete = received.size, received.complete

	var fault Fault
	struck := false
	if received.complete {
		fault, struck = s.faults.pick(entry, false, s.now())
	}
	taken := !struck || fault.sparesVoucher()
	answer := s.judge(r, &entry, received)
	if taken {
		answer = s.take(r, &entry, answer)
	}
	if struck {
		entry.Fault = fault.Kind
		s.log.update(entry)
		s.strike(w, r, &entry, fault, answer)
		return
	}
	s.log.update(entry)
	s.answer(w, r, &entry, s.delay, answer)
}

func newEntry(r *http.Request, now time.Time) Request {
	return Request{
		At:        stamp(now),
		Method:    clip(r.Method),
		Path:      clip(r.URL.Path),
		AccessKey: clip(r.Header.Get("access-key")),
		UserID:    clip(r.Header.Get("user-id")),
		Nonce:     clip(r.Header.Get("nonce-str")),
		Timestamp: clip(r.Header.Get("timestamp")),
	}
}

// stamp is a time as the log keeps it: UTC, in milliseconds.
func stamp(now time.Time) time.Time { return now.UTC().Truncate(time.Millisecond) }

func clip(text string) string {
	return strings.Clone(text[:min(len(text), maxText)])
}

func (s *Sandbox) read(r *http.Request) body {
	if r.URL.Path == s.uploadPath {
		return readVoucher(r.Body)
	}
	return readAny(r.Body)
}

// judge gives the API's answer to a call, and notes its objection.
func (s *Sandbox) judge(r *http.Request, entry *Request, received body) reply {
	problem := s.endpoint(r)
	if problem == nil {
		problem = s.verifier.verify(r.Header, s.now())
	}
	if problem == nil {
		problem = received.problem
	}
	switch {
	case problem != nil:
		entry.Problem = problem.problem
		return problem.reply()
	case r.URL.Path == s.uploadPath:
		return success(true)
	default:
		return success(newEcho(r, received))
	}
}

// take lets the API take the call: it gives it an id and, when all is in order, spends the nonce
// and accepts the voucher.
func (s *Sandbox) take(r *http.Request, entry *Request, answer reply) reply {
	if entry.Problem == "" {
		if problem := s.verifier.checkNonce(r.Header, s.now()); problem != nil {
			entry.Problem = problem.problem
			answer = problem.reply()
		}
	}
	answer.envelope.RequestID = newRequestID()
	answer.envelope.DevelopID = developID(entry.AccessKey)
	entry.RequestID = answer.envelope.RequestID
	entry.Accepted = entry.Problem == "" && r.URL.Path == s.uploadPath
	return answer
}

// endpoint says what is wrong with method and path.
func (s *Sandbox) endpoint(r *http.Request) *refusal {
	path := r.URL.Path
	switch {
	case path == s.uploadPath && r.Method != http.MethodPost:
		return refuse(http.StatusMethodNotAllowed, CodeNotPost, "the upload path takes POST only")
	case path == s.uploadPath:
		return contentType(r)
	case strings.HasPrefix(path, uploadFolder):
	case strings.HasPrefix(path, "/open/"), strings.HasPrefix(path, "/alibaba/"), strings.HasPrefix(path, "/v2/"):
		return nil
	}
	return refuse(http.StatusNotFound, CodeNoSuchEndpoint, "no such path")
}

func contentType(r *http.Request) *refusal {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(kind), "application/json") {
		return refuse(http.StatusBadRequest, CodeBadBody, "Content-Type is not application/json")
	}
	return nil
}

// echo is the data of an answer to a call other than the upload.
type echo struct {
	Method     string `json:"method"`
	Path       string `json:"path"`
	Query      string `json:"query"`
	BodySHA256 string `json:"bodySha256"`
	BodySize   int64  `json:"bodySize"`
}

func newEcho(r *http.Request, received body) echo {
	return echo{
		Method:     r.Method,
		Path:       r.URL.Path,
		Query:      r.URL.RawQuery,
		BodySHA256: received.sha256,
		BodySize:   received.size,
	}
}
