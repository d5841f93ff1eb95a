package worker

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// fetcher takes tasks from an account's queue for its asynq servers.
//
// asynq asks for one task at a time, and when there is none, again and again. The fetcher lets it
// wait instead, until a message says that there may be one, or for a second. And it fetches ahead,
// never more than there are free slots: a round trip a task would bound the rate. What is fetched
// and not taken up in time goes back to the head of the queue; if the worker dies meanwhile, asynq
// recovers it like any other.
type fetcher struct {
	account   string
	keys      queueKeys
	rdb       redis.UniversalClient
	tasks     *tasks.Client
	slots     *slots
	log       *zap.Logger
	every     time.Duration   // between two questions without a message
	pause     time.Duration   // after an error: asynq asks again at once
	known     <-chan struct{} // closed once the ledger knows this worker: what it fetches can be taken back
	takeTasks *redis.Script
	wake      chan struct{} // holds one: there may be a task
	stop      chan struct{} // closed: nothing is fetched any more

	mu    sync.Mutex
	asked time.Time   // when Redis last answered
	ahead int         // how many to ask for, doubling while the queue has as many
	due   int         // tasks that are asked for
	kept  []string    // fetched ahead, oldest first
	timer *time.Timer // gives back what is kept for too long
}

const (
	aheadFirst = 2 // after an empty queue: the second answer says that it is empty again
	aheadMost  = 8
	waitMost   = 5 * time.Second // of a call: asynq reckons the lease of a task, 30 s, from when it asked
	keepMost   = time.Second     // far within that lease
)

func newFetcher(cfg Config, account string, s *slots, known <-chan struct{}, log *zap.Logger) *fetcher {
	f := &fetcher{
		account: account, keys: keysOf(ledger.Queue(account)), rdb: cfg.QueueRedis, tasks: cfg.Tasks, slots: s, known: known, log: log,
		every: cfg.Settings.PollEvery, pause: cfg.Settings.RedisPause,
		takeTasks: redis.NewScript(takeTasks), wake: make(chan struct{}, 1), stop: make(chan struct{}), ahead: aheadFirst,
	}
	f.timer = time.AfterFunc(keepMost, f.giveBack)
	f.timer.Stop()
	f.signal()
	return f
}

// signal lets one who waits ask for a task.
func (f *fetcher) signal() {
	select {
	case f.wake <- struct{}{}:
	default: // it is so already
	}
}

// next gives a server its next task as asynq's script would, or redis.Nil after a while. Most is how
// many tasks the server has at a time, lease until when asynq reckons with its work.
func (f *fetcher) next(ctx context.Context, most int, lease any) *redis.Cmd {
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.Nil)
	if f.stopped() {
		return cmd
	}
	if msg, ok := f.take(); ok {
		cmd.SetVal(msg)
		cmd.SetErr(nil)
		return cmd
	}
	if !f.wait(ctx) || f.stopped() {
		return cmd
	}
	return f.ask(ctx, most, lease)
}

// stopped says whether nothing more may be fetched.
func (f *fetcher) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// take gives the oldest task that is kept.
func (f *fetcher) take() (msg string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.kept) == 0 {
		return "", false
	}
	msg, f.kept = f.kept[0], f.kept[1:]
	if len(f.kept) == 0 {
		f.timer.Stop()
	}
	return msg, true
}

// waitForSlot waits until a task could start: one that waits here for another's end could have been
// another worker's. It says whether that was soon.
func (f *fetcher) waitForSlot() bool {
	t := time.NewTimer(waitMost)
	defer t.Stop()
	for f.slots.full() {
		select {
		case <-f.slots.changed:
		case <-f.stop:
			return false
		case <-t.C:
			return false
		}
	}
	return true
}

// wait says whether it is time to ask for tasks.
func (f *fetcher) wait(ctx context.Context) bool {
	select {
	case <-f.stop:
		return false
	case <-f.known:
	}
	if !f.waitForSlot() {
		return false
	}
	f.slots.change() // another server may wait, too
	f.mu.Lock()
	left := f.every - time.Since(f.asked)
	f.mu.Unlock()
	t := time.NewTimer(min(left, waitMost))
	defer t.Stop()
	select {
	case <-f.wake:
		return true
	case <-f.stop:
		return false
	case <-t.C:
	}
	if left > waitMost {
		return false
	}
	n, err := f.rdb.LLen(ctx, f.keys.pending).Result()
	if err != nil || n > 0 {
		return true // an error is asynq's to learn
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
	return false
}

// ask asks for tasks, gives the first, and keeps the others.
func (f *fetcher) ask(ctx context.Context, most int, lease any) *redis.Cmd {
	n := f.reserve(most)
	found, err := f.takeTasks.Run(ctx, f.rdb, f.keys.dequeue(), lease, f.keys.prefix+"t:", n).Slice()
	cmd := redis.NewCmd(ctx)
	cmd.SetErr(redis.Nil)
	if msg, ok := f.sort(n, found); ok {
		cmd.SetVal(msg)
		cmd.SetErr(nil)
	} else if err != nil {
		cmd.SetErr(err)
		f.rest()
	}
	return cmd
}

// takeTasks does what asynq's own script does, for several tasks at a time. What is no task stays
// behind among the active ones, as asynq's script leaves it.
const takeTasks = `
local taken, leases = {}, {}
if redis.call('EXISTS', KEYS[2]) == 1 then return taken end
for i = 1, tonumber(ARGV[3]) do
  local id = redis.call('RPOPLPUSH', KEYS[1], KEYS[3])
  if not id then break end
  local key, msg = ARGV[2] .. id, false
  if type(redis.pcall('HSET', key, 'state', 'active')) == 'number' then
    redis.call('HDEL', key, 'pending_since')
    table.insert(leases, ARGV[1])
    table.insert(leases, id)
    msg = redis.call('HGET', key, 'msg')
  end
  taken[i] = msg
end
if leases[1] then redis.call('ZADD', KEYS[4], unpack(leases)) end
return taken`

// reserve says how many tasks to ask for.
func (f *fetcher) reserve(most int) int {
	free := f.slots.open()
	f.mu.Lock()
	defer f.mu.Unlock()
	n := max(1, min(f.ahead, most, free-len(f.kept)-f.due))
	f.due += n
	return n
}

// sort picks the answer to asynq out of what came when so many were asked for. What is no task does
// not hold up the others.
func (f *fetcher) sort(asked int, found []any) (first string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.due -= asked
	f.asked = time.Now()
	if len(found) < asked {
		f.ahead = aheadFirst
	} else {
		f.ahead = min(2*f.ahead, aheadMost)
	}
	for _, v := range found {
		switch msg, isTask := v.(string); {
		case isTask && !ok:
			first, ok = msg, true
		case isTask:
			if len(f.kept) == 0 {
				f.timer.Reset(keepMost)
			}
			f.kept = append(f.kept, msg)
		}
	}
	if len(found) == asked || len(f.kept) > 0 {
		f.signal() // there may be more, or another server waits
	}
	return first, ok
}

// rest waits a moment after an error that may only come again.
func (f *fetcher) rest() {
	t := time.NewTimer(f.pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-f.stop:
	}
	f.signal()
}

// forward lets asynq forward the tasks of a set that are due by a Unix time, if there are any, and
// says so.
func (f *fetcher) forward(ctx context.Context, set, now string, script func(redis.Cmdable) *redis.Cmd) *redis.Cmd {
	if due, err := f.rdb.ZCount(ctx, set, "-inf", now).Result(); err == nil && due == 0 {
		cmd := redis.NewCmd(ctx)
		cmd.SetVal(due)
		return cmd
	}
	cmd := script(f.rdb)
	if n, err := cmd.Int(); err == nil && n > 0 {
		f.signal()
		f.tasks.Wake(ctx, f.account)
	}
	return cmd
}

// close lets nobody wait any more, and nothing be fetched.
func (f *fetcher) close() { close(f.stop) }

// giveBack puts what is kept back at the head of the queue.
func (f *fetcher) giveBack() {
	f.mu.Lock()
	msgs := f.kept
	f.kept = nil
	f.timer.Stop()
	f.mu.Unlock()
	if len(msgs) == 0 {
		return
	}
	ctx := context.Background() // each command has a limit
	args := []any{f.keys.prefix + "t:"}
	for _, m := range msgs {
		args = append(args, m)
	}
	keys := []string{f.keys.active, f.keys.lease, f.keys.pending}
	if err := redis.NewScript(giveBack).Run(ctx, f.rdb, keys, args...).Err(); err != nil {
		f.log.Warn("tasks.not_given_back", zap.Int("tasks", len(msgs)), zap.Error(err)) // asynq recovers them
		return
	}
	f.tasks.Wake(ctx, f.account)
}

// giveBack does what asynq's own script does for a task that was taken up in vain: it notes no time
// since when it is pending. At the end that is taken first, one of now would make all behind it look
// lost. It knows the tasks by their messages: only asynq reads an id out of one. The list has the
// newest first.
const giveBack = `
local given = {}
for i = 2, #ARGV do given[ARGV[i]] = true end
for _, id in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[1] .. id
  if given[redis.call('HGET', key, 'msg')] and redis.call('ZREM', KEYS[2], id) == 1 then
    redis.call('LREM', KEYS[1], 1, id)
    redis.call('HSET', key, 'state', 'pending')
    redis.call('RPUSH', KEYS[3], id)
  end
end`
