package config

import "time"

func retries(c *Config) []Setting {
	return []Setting{
		row(Retries, "short-schedule", "5s,30s,2m,10m", "TIMES", "delays after attempts without an answer; the last one repeats",
			schedule(&c.Policy.Short)),
		row(Retries, "long-schedule", "5s,30s,2m,10m,30m,1h,2h,4h", "TIMES", "delays after refusals; the last one repeats",
			schedule(&c.Policy.Long)),
		row(Retries, "refusal-budget", "8", "N", "refusals until an upload is rejected", count(1, 10000, &c.Policy.RefusalBudget)),
		row(Retries, "max-age", "168h", "TIME", "age after which a failing upload expires",
			atLeast(time.Second, &c.Policy.MaxAge, &c.Ledger.MaxAge)),
		codes("codes-final", "codes that reject an upload at once", &c.Policy.CodesFinal),
		codes("codes-throttled", "codes that hold the account as HTTP 429 does", &c.Policy.CodesThrottled),
		codes("codes-credentials", "codes that speak of the account, as HTTP 401 and 403 do", &c.Policy.CodesCredentials),
	}
}

func delays(c *Config) []Setting {
	return advanced(
		row(Retries, "jitter", "0.2", "SHARE", "share by which delays are spread to either side", share(&c.Policy.Jitter)),
		row(Retries, "retry-after-min", "1s", "TIME", "least that a Retry-After of the API counts for",
			span(&c.Policy.RetryAfterMin)),
		row(Retries, "retry-after-max", "1h", "TIME", "most that a Retry-After of the API counts for", span(&c.Policy.RetryAfterMax)),
	)
}

// codes are documented by nobody, so these lists begin empty.
func codes(flag, help string, field *[]string) Setting {
	s := row(Retries, flag, "", "CODES", help, list(code, field))
	return named("PANDAPON_"+s.Env[len("VOUCHERD_"):], s)
}

func breaker(c *Config) []Setting {
	return advanced(
		row(Breaker, "outage-row", "5", "N", "attempts in a row without an answer that open an account's breaker",
			count(1, 1000, &c.Ledger.Breaker.OutageRow)),
		row(Breaker, "outage-base", "5s", "TIME", "first hold of an outage, doubling", span(&c.Ledger.Breaker.OutageBase)),
		row(Breaker, "outage-max", "60s", "TIME", "longest hold of an outage", span(&c.Ledger.Breaker.OutageMax)),
		row(Breaker, "account-row", "3", "N", "answers in a row about credentials, or about the endpoint, that open the breaker",
			count(1, 1000, &c.Ledger.Breaker.AccountRow)),
		row(Breaker, "refusing-row", "5", "N", "different uploads in a row with the same refusal that open the breaker",
			count(1, 1000, &c.Ledger.Breaker.RefusingRow)),
		row(Breaker, "probe-base", "10s", "TIME", "first hold for credentials, endpoint, refusing, blob store and identity, doubling",
			span(&c.Ledger.Breaker.ProbeBase)),
		row(Breaker, "probe-max", "5m", "TIME", "longest of these holds", span(&c.Ledger.Breaker.ProbeMax)),
		row(Breaker, "throttle-base", "30s", "TIME", "first hold of throttling without Retry-After, doubling",
			span(&c.Ledger.Breaker.ThrottleBase)),
		row(Breaker, "throttle-max", "1h", "TIME", "longest of these holds", span(&c.Ledger.Breaker.ThrottleMax)),
	)
}

func keeping(c *Config) []Setting {
	return []Setting{
		row(Keeping, "retention", "720h", "TIME", "how long delivered and discarded uploads stay in the ledger",
			span(&c.Ledger.Retention)),
		row(Keeping, "keep-dead", "2160h", "TIME", "how long the voucher of a rejected or expired upload stays",
			span(&c.Ledger.KeepDead)),
		row(Keeping, "keep-vouchers", "0s", "TIME", "how long the voucher of a delivered upload stays; 0s: it leaves at once",
			atLeast(0, &c.Ledger.KeepSent)),
		row(Keeping, "task-retention", "1h", "TIME", "how long asynq shows a finished task; 0s: not at all",
			atLeast(0, &c.TaskRetention, &c.Worker.TaskRetention)),
	}
}

func notes(c *Config) []Setting {
	return advanced(
		row(Keeping, "keep-notes", "1h", "TIME", "how long a file store knows what was delivered, should Redis have forgotten it",
			span(&c.Worker.KeepNotes)),
	)
}

func upkeep(c *Config) []Setting {
	return advanced(
		row(Upkeep, "reconcile-every", "10s", "TIME", "time between two looks for uploads without a task",
			span(&c.Worker.ReconcileEvery)),
		row(Upkeep, "beat-every", "2s", "TIME", "time between two beats, by which workers see that each other live",
			span(&c.Worker.BeatEvery)),
		row(Upkeep, "dead-after", "10s", "TIME", "how long a worker may be silent before others take its uploads back",
			span(&c.Worker.DeadAfter)),
		row(Upkeep, "grace", "30s", "TIME", "how long a producer or worker may take to put a task", span(&c.Ledger.Grace)),
		row(Upkeep, "orphan-age", "1h", "TIME", "age from which voucher bytes that no upload claims are deleted",
			span(&c.Worker.OrphanAge)),
		row(Upkeep, "hold-limit", "1h", "TIME", "how long a task waits in its handler before it goes round once more",
			span(&c.Worker.HoldLimit)),
		row(Upkeep, "finish-patience", "10m", "TIME", "how long an outcome is tried to be recorded while Redis is away",
			span(&c.Worker.FinishPatience)),
		row(Upkeep, "redis-timeout", "10s", "TIME", "limit of one call to the ledger", span(&c.Worker.RedisTimeout)),
		row(Upkeep, "redis-pause", "1s", "TIME", "time between two tries while Redis is away", span(&c.Worker.RedisPause)),
	)
}
