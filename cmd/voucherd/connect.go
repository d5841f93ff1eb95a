package main

import (
	"context"
	"errors"

	"github.com/voucherd/voucherd/internal/app"
	"github.com/voucherd/voucherd/internal/config"
	"github.com/voucherd/voucherd/tasks"
)

// The sections of the settings that commands have flags for.
func querySections() []config.Section { return []config.Section{config.Connection} }

func producerSections() []config.Section { return []config.Section{config.Connection, config.Intake} }

// withStore reads the settings, connects, and calls do. What the command has no flags for comes
// from the environment. Redis must answer: a command that a person started shall not hang.
func (s *session) withStore(ctx context.Context, do func(context.Context, *app.Store) error) error {
	return s.openStore(ctx, func(ctx context.Context, st *app.Store) error {
		if err := st.Answers(ctx, app.RedisSetting); err != nil {
			return err
		}
		return do(ctx, st)
	})
}

func unreachable(err error) bool {
	_, ok := errors.AsType[*tasks.UnreachableError](err)
	return ok
}

// withPatientStore is withStore for a producer, who waits out a failover, or has a spool.
func (s *session) withPatientStore(ctx context.Context, do func(context.Context, *app.Store) error) error {
	return s.openStore(ctx, func(ctx context.Context, st *app.Store) error {
		err := st.Tasks.Patiently(ctx, func() error { return st.Answers(ctx, app.RedisSetting) })
		if err != nil && (!st.Tasks.Spools() || !unreachable(err)) {
			return err
		}
		return do(ctx, st)
	})
}

func (s *session) openStore(ctx context.Context, do func(context.Context, *app.Store) error) (err error) {
	cfg, err := s.load(app.StoreSections())
	if err != nil {
		return err
	}
	st, err := app.OpenStore(ctx, cfg, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return do(ctx, st)
}
