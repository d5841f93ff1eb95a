package ledger

import (
	"strings"
)

// readUpload makes an upload of its record and the last lines of its attempts.
func (l *Ledger) readUpload(account, key string, f map[string]string, lines []string) Upload {
	u := Upload{
		ID: account + "-" + key, Account: account, OrderID: f["order"], UserID: f["user"], Reference: f["ref"],
		State: State(f["state"]), AttemptCount: int(integer(f["n"])), Refusals: int(integer(f["refusals"])),
		SHA256: unpackHash(f["sha"]), Size: integer(f["size"]), MediaType: f["kind"], Generation: integer(f["gen"]),
		CreatedAt: at(integer(f["made"])), Since: at(integer(f["since"])), StoreKey: f["store"], Inline: f["inline"] != "", CRC32C: f["crc"],
	}
	u.UpdatedAt = u.Since
	if run := f["run"]; run != "" {
		lines = append(lines, run+"\t"+f["worker"])
	}
	for _, s := range lines {
		a := readAttempt(s)
		u.Attempts = append(u.Attempts, a)
		u.UpdatedAt = latest(u.UpdatedAt, a.StartedAt, a.EndedAt)
		if a.Outcome != "" {
			u.shows(a)
		}
	}
	// A late answer delivered it, or another was recorded after its end: that attempt counts, not the
	// last one.
	if won := f["won"]; won != "" {
		u.shows(readAttempt(won))
	}
	u.Actions = readActions(f["acts"])
	for _, a := range u.Actions {
		u.UpdatedAt = latest(u.UpdatedAt, a.At)
	}
	u.EndedAt = at(integer(f["done"]))
	u.UpdatedAt = latest(u.UpdatedAt, u.EndedAt)
	if u.State == Delivered {
		u.DeliveredAt = u.EndedAt
	}
	if u.State == Waiting {
		u.NextAttempt = at(integer(f["next"]))
	}
	if !u.State.Final() {
		u.ExpiresAt = Time{u.Since.Add(l.set.MaxAge)}
	}
	return u
}

// readActions reads what note_action wrote.
func readActions(text string) (actions []Action) {
	for l := range strings.Lines(text) {
		f := append(strings.Split(strings.TrimSuffix(l, "\n"), "\t"), make([]string, 4)...)
		actions = append(actions, Action{At: at(integer(f[0])), Action: f[1], State: State(f[2]), By: f[3], Reason: f[4]})
	}
	return actions
}

// shows takes what is shown of an upload from one of its attempts.
func (u *Upload) shows(a Attempt) {
	u.Outcome, u.RequestID, u.Code, u.Msg = a.Outcome, a.RequestID, a.Code, a.Msg
}

func latest(t Time, others ...Time) Time {
	for _, o := range others {
		if o.After(t.Time) {
			t = o
		}
	}
	return t
}

// readAttempt reads an attempt's line: number, generation, start, nonce and worker, and once it has
// ended also end, duration, outcome, HTTP status, code, request id, develop id, error, msg and,
// where one is kept, the trace id.
func readAttempt(s string) Attempt {
	f := strings.Split(s, "\t")
	f = append(f, make([]string, max(0, 15-len(f)))...)
	return Attempt{
		Number: int(integer(f[0])), Generation: integer(f[1]), StartedAt: at(integer(f[2])), Nonce: f[3], Worker: f[4],
		EndedAt: at(integer(f[5])), DurationMS: integer(f[6]), Outcome: Outcome(f[7]), HTTPStatus: int(integer(f[8])),
		Code: f[9], RequestID: f[10], DevelopID: f[11], Error: f[12], Msg: f[13], TraceID: f[14],
	}
}
