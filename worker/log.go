package worker

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
)

// logAttempt writes the one line of an attempt.
func (r *recorder) logAttempt(run ledger.Running, o ledger.AttemptResult, rec ledger.FinishResult) {
	level := zapcore.InfoLevel
	if rec.State == ledger.Rejected || rec.State == ledger.Expired || rec.How == "late" {
		level = zapcore.WarnLevel
	}
	fields := attemptFields(run, o)
	fields = append(fields, zap.String("state", string(rec.State)))
	if rec.State == ledger.Waiting {
		fields = append(fields, zap.Time("next_attempt_at", time.Now().Add(rec.Wait).UTC()))
	}
	if rec.How != "recorded" {
		fields = append(fields, zap.String("recorded", rec.How))
	}
	if rec.BreakerReason != "" {
		fields = append(fields, zap.String("breaker_reason", rec.BreakerReason), zap.Duration("breaker_wait", rec.BreakerWait))
	}
	r.log.Log(level, "upload.attempted", fields...)
}

// logLost writes an outcome that could not be recorded, in full: this line is all that is left of
// it.
func (r *recorder) logLost(run ledger.Running, o ledger.AttemptResult, err error) {
	fields := append(attemptFields(run, o), zap.String("develop_id", o.DevelopID), zap.String("nonce", run.Nonce),
		zap.NamedError("ledger_error", err))
	r.log.Error("upload.outcome_not_recorded", fields...)
}

func attemptFields(run ledger.Running, o ledger.AttemptResult) []zap.Field {
	fields := []zap.Field{
		zap.String("upload_id", run.ID), zap.String("order_id", run.OrderID), zap.Int("attempt", run.Number),
		zap.String("outcome", string(o.Outcome)), zap.Int64("duration_ms", o.Duration.Milliseconds()),
	}
	for _, f := range []struct{ key, value string }{
		{"request_id", o.RequestID}, {"code", o.Code}, {"msg", o.Msg}, {"error", o.Error}, {"trace_id", o.TraceID},
	} {
		if f.value != "" {
			fields = append(fields, zap.String(f.key, f.value))
		}
	}
	if o.HTTPStatus != 0 {
		fields = append(fields, zap.Int("http_status", o.HTTPStatus))
	}
	if run.Probe {
		fields = append(fields, zap.Bool("probe", true))
	}
	if run.Interrupted {
		fields = append(fields, zap.Bool("after_interrupted", true))
	}
	return fields
}

// explainRedis says which Redis an error is about, and of one that a person must see to, by what
// setting its address and password are given.
func explainRedis(rdb redis.UniversalClient, err error) error {
	err = redisconn.Explain(rdb, err)
	if _, refused := errors.AsType[*redisconn.RefusedError](err); refused {
		return fmt.Errorf("%w (VOUCHERD_REDIS_URL)", err)
	}
	return err
}

// asynqLog passes asynq's own messages on to zap, a level lower: what asynq informs of or warns of
// is ordinary here (a task that was dropped or given back).
type asynqLog struct{ log *zap.Logger }

func (a asynqLog) Debug(args ...any) {
	a.log.Debug("asynq", zap.String("message", fmt.Sprint(args...)))
}

func (a asynqLog) Info(args ...any) { a.log.Debug("asynq", zap.String("message", fmt.Sprint(args...))) }

func (a asynqLog) Warn(args ...any) { a.log.Info("asynq", zap.String("message", fmt.Sprint(args...))) }

func (a asynqLog) Error(args ...any) {
	a.log.Error("asynq", zap.String("message", fmt.Sprint(args...)))
}

// Fatal is only an error here: a library does not end the process.
func (a asynqLog) Fatal(args ...any) {
	a.log.Error("asynq.fatal", zap.String("message", fmt.Sprint(args...)))
}
