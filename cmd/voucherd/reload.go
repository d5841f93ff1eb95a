package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/voucherd/voucherd/internal/config"
)

// heedHangups sees to SIGHUP. It stops a command, as a terminal that closes asks for; a worker or a
// gateway that does not run on one reads its accounts again. Nohup is heeded.
func (s *session) heedHangups(ctx context.Context) (context.Context, context.CancelFunc) {
	if signal.Ignored(syscall.SIGHUP) {
		return ctx, func() {}
	}
	if name := s.command.Selected().Name; name != "worker" && name != "gateway" || isTerminal(s.stderr) {
		return signal.NotifyContext(ctx, syscall.SIGHUP)
	}
	s.hangups = make(chan os.Signal, 1)
	signal.Notify(s.hangups, syscall.SIGHUP)
	return ctx, func() { signal.Stop(s.hangups) }
}

// reload is what a command does with accounts that it reads again while it runs.
type reload struct {
	sections []config.Section // that the command reads
	apply    func(context.Context, config.Config) error
	refused  func(bool) // is told whether they are refused
	log      *zap.Logger

	files []string
	said  string // why they were refused
}

// lookEvery is how often files are looked at. A file that has changed is read once it has stayed the
// same for as long: whoever writes it may be in the middle.
const lookEvery = 2 * time.Second

// reloadAccounts reads the accounts file and the files of secrets again, on SIGHUP and when one has
// changed, until stop is called.
func (s *session) reloadAccounts(ctx context.Context, cfg config.Config, r reload) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	r.files = cfg.Files
	var running sync.WaitGroup
	running.Go(func() { r.run(ctx, s) })
	return func() { cancel(); running.Wait() }
}

func (r *reload) run(ctx context.Context, s *session) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	read := look(r.files)
	for last := read; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
		case <-tick.C:
			before := last
			last = look(r.files)
			if last != before || last == read && r.said == "" {
				continue
			}
		}
		last = look(r.files)
		read = last
		if r.read(ctx, s) {
			read = look(r.files) // of other files, perhaps
			last = read
		}
	}
}

// read reads and applies the settings. It says whether it knows of other files now.
func (r *reload) read(ctx context.Context, s *session) (other bool) {
	cfg, err := config.Config{Files: r.files}, checkFiles(r.files)
	if err == nil {
		cfg, err = s.load(r.sections)
	}
	if err == nil {
		err = r.apply(ctx, cfg)
	}
	if ctx.Err() != nil {
		return false
	}
	r.refused(err != nil)
	switch {
	case err != nil && err.Error() != r.said:
		r.log.Error("accounts.refused", zap.Error(err))
		r.said = err.Error()
	case err == nil:
		r.log.Info("accounts.read", zap.Int("accounts", len(cfg.Accounts)))
		r.said = ""
	}
	other = strings.Join(cfg.Files, "\x00") != strings.Join(r.files, "\x00")
	r.files = cfg.Files
	return other
}

// look says what of files changes when they do.
func look(files []string) string {
	var b strings.Builder
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && info.Mode().IsRegular() {
			fmt.Fprintf(&b, "%s %d %d\n", f, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

// checkFiles refuses files that cannot be read twice: a pipe would give nothing, or keep the reader
// waiting.
func checkFiles(files []string) error {
	for _, f := range files {
		if info, err := os.Stat(f); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file, and cannot be read again", f)
		}
	}
	return nil
}
