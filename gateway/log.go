package gateway

import (
	"log"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quietLog takes what net/http says by itself, at debug level.
func quietLog(l *zap.Logger) *log.Logger {
	std, err := zap.NewStdLogAt(l.Named("http"), zapcore.DebugLevel)
	if err != nil { // only an unknown level can fail
		return zap.NewStdLog(l)
	}
	return std
}
