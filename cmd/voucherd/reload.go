package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
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

	files []config.File // as they were read
	said  string        // why they were refused
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
	for last := r.files; ; {
		select {
		case <-ctx.Done():
			return
		case <-s.hangups:
		case <-tick.C:
			before := last
			last = look(r.files)
			if !slices.Equal(last, before) || slices.Equal(last, r.files) && r.said == "" {
				continue
			}
		}
		r.read(ctx, s)
		last = r.files
	}
}

// read reads and applies the settings.
func (r *reload) read(ctx context.Context, s *session) {
	cfg, err := config.Config{Files: look(r.files)}, checkFiles(r.files)
	if err == nil {
		cfg, err = s.load(r.sections)
	}
	if err == nil {
		err = r.apply(ctx, cfg)
	}
	if ctx.Err() != nil {
		return
	}
	r.files = cfg.Files
	r.refused(err != nil)
	switch {
	case err != nil && err.Error() != r.said:
		r.log.Error("accounts.refused", zap.Error(err))
		r.said = err.Error()
	case err == nil:
		r.log.Info("accounts.read", zap.Int("accounts", len(cfg.Accounts)))
		r.said = ""
	}
}

// look says how files are now.
func look(files []config.File) []config.File {
	var now []config.File
	for _, f := range files {
		now = append(now, config.Stat(f.Path))
	}
	return now
}

// checkFiles refuses files that cannot be read twice: a pipe would give nothing, or keep the reader
// waiting.
func checkFiles(files []config.File) error {
	for _, f := range files {
		if info, err := os.Stat(f.Path); err == nil && !info.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file, and cannot be read again", f.Path)
		}
	}
	return nil
}
