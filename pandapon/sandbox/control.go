package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// maxControlBody bounds what a control call may send.
const maxControlBody = 1 << 20

func (s *Sandbox) controlRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_sandbox/health", s.showHealth)
	mux.HandleFunc("GET /_sandbox/faults", s.showFaults)
	mux.HandleFunc("POST /_sandbox/faults", s.replaceFaults)
	mux.HandleFunc("DELETE /_sandbox/faults", s.clearFaults)
	mux.HandleFunc("GET /_sandbox/requests", s.showRequests)
	mux.HandleFunc("DELETE /_sandbox/requests", s.clearRequests)
	return mux
}

func (s *Sandbox) showHealth(w http.ResponseWriter, _ *http.Request) {
	sendControl(w, http.StatusOK, struct {
		Status   string `json:"status"`
		Requests int    `json:"requests"`
		Faults   int    `json:"faults"`
	}{"ok", s.log.size(), len(s.faults.list())})
}

func (s *Sandbox) showFaults(w http.ResponseWriter, _ *http.Request) {
	sendControl(w, http.StatusOK, struct {
		Faults []liveFault `json:"faults"`
	}{s.faults.list()})
}

func (s *Sandbox) clearFaults(w http.ResponseWriter, r *http.Request) {
	s.SetFaults()
	s.showFaults(w, r)
}

// replaceFaults sets all faults sent, or none of them when one is wrong.
func (s *Sandbox) replaceFaults(w http.ResponseWriter, r *http.Request) {
	faults, err := readFaults(http.MaxBytesReader(w, r.Body, maxControlBody))
	if err != nil {
		sendControlError(w, err)
		return
	}
	s.SetFaults(faults...)
	s.showFaults(w, r)
}

func readFaults(r io.Reader) ([]Fault, error) {
	var sent struct {
		Faults *[]Fault `json:"faults"`
	}
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields() // a misspelt restriction would strike everybody
	if err := decoder.Decode(&sent); err != nil {
		return nil, fmt.Errorf("read faults: %w", err)
	}
	if sent.Faults == nil {
		return nil, errors.New(`read faults: send {"faults":[…]}`)
	}
	for _, f := range *sent.Faults {
		if err := f.Validate(); err != nil {
			return nil, err
		}
	}
	return *sent.Faults, nil
}

// showRequests writes the log as NDJSON. It is copied before: a slow reader must not hold the log's
// lock.
func (s *Sandbox) showRequests(w http.ResponseWriter, r *http.Request) {
	since, err := queryNumber(r, "since", 0)
	if err != nil {
		sendControlError(w, err)
		return
	}
	limit, err := queryNumber(r, "limit", -1)
	if err != nil {
		sendControlError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	lines := json.NewEncoder(w)
	for _, request := range s.log.page(since, limit) {
		if err := lines.Encode(request); err != nil { //nolint:gosec // an access key names an account, it opens none
			return // the reader has left
		}
	}
}

func (s *Sandbox) clearRequests(w http.ResponseWriter, _ *http.Request) {
	s.log.clear()
	w.WriteHeader(http.StatusNoContent)
}

// queryNumber reads a whole number of at least 0 from the query.
func queryNumber(r *http.Request, name string, otherwise int) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < 0 {
		return 0, fmt.Errorf("%s must be a whole number of at least 0", name)
	}
	return number, nil
}

func sendControl(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer) //nolint:errchkjson // plain structs; an error means that the caller has left
}

func sendControlError(w http.ResponseWriter, err error) {
	sendControl(w, http.StatusBadRequest, struct {
		Error string `json:"error"`
	}{err.Error()})
}
