//go:build crashpoints

package app

import (
	"github.com/redis/go-redis/v9"

	"github.com/voucherd/voucherd/internal/crashpoint"
	"github.com/voucherd/voucherd/ledger"
)

// watchSteps makes crash points of all that is asked of Redis.
func watchSteps(rdb redis.UniversalClient, l *ledger.Ledger) { crashpoint.Watch(rdb, l.ScriptNames()) }
