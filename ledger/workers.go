package ledger

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// WorkerInfo is what a worker says of itself with each beat.
type WorkerInfo struct {
	Instance    string `json:"-"` // unique to the process: a worker that is started again has another
	Name        string `json:"name"`
	Host        string `json:"host,omitempty"`
	Version     string `json:"version,omitempty"`
	Concurrency int    `json:"concurrency"`
	Rate        string `json:"rate,omitempty"` // of the account, as the worker has it
	StartedAt   Time   `json:"startedAt"`
	LastBeat    Time   `json:"lastBeat"`
	DeadAfterMS int64  `json:"deadAfterMs"` // how long it may be silent before it is taken for dead
	Live        bool   `json:"live"`        // it has not been silent for so long; Workers says so
}

// Vitals are the signs of life of an account's workers. That they change is what tells, not what
// they are: asynq's leases are by the clocks of the workers' hosts.
type Vitals struct {
	Now    Time
	Beats  map[string]string  // by the worker's instance
	Leases map[string]float64 // by the id of a task that a worker has taken up; asynq renews them every 5 s
}

// leasesAtOnce bounds how many tasks that are taken up are looked at.
const leasesAtOnce = 10_000

// Beat notes that a worker of an account lives, and gives the signs of life of all of them. A worker
// that beats for the first time has no times yet: it gets those of Redis.
func (l *Ledger) Beat(ctx context.Context, account string, w WorkerInfo) (Vitals, error) {
	if w.LastBeat.IsZero() {
		now, err := l.Now(ctx, account)
		if err != nil {
			return Vitals{}, fmt.Errorf("beat for account %s: %w", account, err)
		}
		w.StartedAt, w.LastBeat = now, now
	}
	said, err := json.Marshal(w)
	if err != nil {
		return Vitals{}, fmt.Errorf("write the beat of worker %s: %w", w.Name, err)
	}
	key := prefix(account) + "workers"
	pipe := l.rdb.Pipeline()
	clock := pipe.Time(ctx)
	pipe.HSet(ctx, key, w.Instance, said)
	beats := pipe.HGetAll(ctx, key)
	leases := pipe.ZRangeWithScores(ctx, "asynq:{"+Queue(account)+"}:lease", 0, leasesAtOnce-1)
	if _, err := pipe.Exec(ctx); err != nil {
		return Vitals{}, fmt.Errorf("beat for account %s: %w", account, err)
	}
	v := Vitals{Now: Time{clock.Val().UTC()}, Beats: beats.Val(), Leases: map[string]float64{}}
	for _, z := range leases.Val() {
		if id, ok := z.Member.(string); ok {
			v.Leases[id] = z.Score
		}
	}
	return v, nil
}

// Recover takes uploads back from workers that are gone. Of the vitals it takes those that have not
// changed for so long that nobody can be behind them; what has changed meanwhile it leaves alone.
// Attempts of such a worker are marked interrupted. They, and the uploads whose task nobody has any
// more, get a new generation; the caller puts the tasks. No more than the lease of an attempt
// protects it from a worker that was wrongly taken for gone.
func (l *Ledger) Recover(ctx context.Context, account string, silent Vitals) ([]Repair, error) {
	args := []any{"", len(silent.Beats)}
	for instance, beat := range silent.Beats {
		args = append(args, instance, beat)
	}
	for id, lease := range silent.Leases {
		args = append(args, id, strconv.FormatFloat(lease, 'f', -1, 64))
	}
	r, err := l.run(ctx, l.scripts.recover, account, args...)
	if err != nil {
		return nil, fmt.Errorf("recover uploads of account %s: %w", account, err)
	}
	return readRepairs(account, r, 0), nil
}

// Workers gives the workers of an account, by name, with their last beats. The last of them to stop
// or to die stays among them, no longer alive.
func (l *Ledger) Workers(ctx context.Context, account string) ([]WorkerInfo, error) {
	pipe := l.rdb.Pipeline()
	beats := pipe.HGetAll(ctx, prefix(account)+"workers")
	clock := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, fmt.Errorf("list the workers of account %s: %w", account, err)
	}
	ws := []WorkerInfo{}
	for instance, said := range beats.Val() {
		w := WorkerInfo{}
		if err := json.Unmarshal([]byte(said), &w); err != nil {
			return nil, fmt.Errorf("read the beat of a worker of account %s: %w", account, err)
		}
		w.Instance, w.Live = instance, clock.Val().Sub(w.LastBeat.Time) < millis(w.DeadAfterMS)
		ws = append(ws, w)
	}
	slices.SortFunc(ws, func(a, b WorkerInfo) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Instance, b.Instance))
	})
	return ws, nil
}
