package config

import "time"

func retries() []Setting {
	return []Setting{
		row(Retries, "short-schedule", "5s,30s,2m,10m", "TIMES",
			"delays after attempts without an answer; the last one repeats",
			schedule(func(c *Config) *[]time.Duration { return &c.Policy.Short })),
		row(Retries, "long-schedule", "5s,30s,2m,10m,30m,1h,2h,4h", "TIMES", "delays after refusals; the last one repeats",
			schedule(func(c *Config) *[]time.Duration { return &c.Policy.Long })),
		row(Retries, "refusal-budget", "8", "N", "refusals until an upload is rejected",
			count(10000, func(c *Config) *int { return &c.Policy.RefusalBudget })),
		row(Retries, "max-age", "168h", "TIME", "age after which a failing upload expires",
			atLeast(time.Second, func(c *Config) []*time.Duration {
				return []*time.Duration{&c.Policy.MaxAge, &c.Ledger.MaxAge}
			})),
		codes("codes-final", "codes that reject an upload at once",
			func(c *Config) *[]string { return &c.Policy.CodesFinal }),
		codes("codes-throttled", "codes that hold the account as HTTP 429 does",
			func(c *Config) *[]string { return &c.Policy.CodesThrottled }),
		codes("codes-credentials", "codes that speak of the account, as HTTP 401 and 403 do",
			func(c *Config) *[]string { return &c.Policy.CodesCredentials }),
	}
}

func delays() []Setting {
	return advanced(
		row(Retries, "jitter", "0.2", "SHARE", "share by which delays are spread to either side",
			share(func(c *Config) *float64 { return &c.Policy.Jitter })),
		row(Retries, "retry-after-min", "1s", "TIME", "least that a Retry-After of the API counts for",
			span(func(c *Config) *time.Duration { return &c.Policy.RetryAfterMin })),
		row(Retries, "retry-after-max", "1h", "TIME", "most that a Retry-After of the API counts for",
			span(func(c *Config) *time.Duration { return &c.Policy.RetryAfterMax })),
	)
}

// codes are documented by nobody, so these lists begin empty.
func codes(flag, help string, field func(*Config) *[]string) Setting {
	s := row(Retries, flag, "", "CODES", help, list(code, field))
	return named("PANDAPON_"+s.Env[len("VOUCHERD_"):], s)
}

func breaker() []Setting {
	return advanced(
		row(Breaker, "outage-row", "5", "N", "attempts in a row without an answer that open an account's breaker",
			count(1000, func(c *Config) *int { return &c.Ledger.Breaker.OutageRow })),
		row(Breaker, "outage-base", "5s", "TIME", "first hold of an outage, doubling",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.OutageBase })),
		row(Breaker, "outage-max", "60s", "TIME", "longest hold of an outage",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.OutageMax })),
		row(Breaker, "account-row", "3", "N", "answers in a row about credentials, or about the endpoint, that open the breaker",
			count(1000, func(c *Config) *int { return &c.Ledger.Breaker.AccountRow })),
		row(Breaker, "refusing-row", "5", "N", "different uploads in a row with the same refusal that open the breaker",
			count(1000, func(c *Config) *int { return &c.Ledger.Breaker.RefusingRow })),
		row(Breaker, "probe-base", "10s", "TIME", "first hold for credentials, endpoint, refusing and blob store, doubling",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.ProbeBase })),
		row(Breaker, "probe-max", "5m", "TIME", "longest of these holds",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.ProbeMax })),
		row(Breaker, "throttle-base", "30s", "TIME", "first hold of throttling without Retry-After, doubling",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.ThrottleBase })),
		row(Breaker, "throttle-max", "1h", "TIME", "longest of these holds",
			span(func(c *Config) *time.Duration { return &c.Ledger.Breaker.ThrottleMax })),
	)
}

func keeping() []Setting {
	return []Setting{
		row(Keeping, "retention", "720h", "TIME", "how long delivered and discarded uploads stay in the ledger",
			span(func(c *Config) *time.Duration { return &c.Ledger.Retention })),
		row(Keeping, "keep-dead", "2160h", "TIME", "how long the voucher of a rejected or expired upload stays",
			span(func(c *Config) *time.Duration { return &c.Ledger.KeepDead })),
		row(Keeping, "keep-vouchers", "0s", "TIME", "how long the voucher of a delivered upload stays; 0s: it leaves at once",
			atLeast(0, func(c *Config) []*time.Duration { return []*time.Duration{&c.Ledger.KeepSent} })),
		row(Keeping, "task-retention", "1h", "TIME", "how long asynq shows a finished task; 0s: not at all",
			atLeast(0, func(c *Config) []*time.Duration {
				return []*time.Duration{&c.TaskRetention, &c.Worker.TaskRetention}
			})),
	}
}

func notes() []Setting {
	return advanced(
		row(Keeping, "keep-notes", "1h", "TIME", "how long a file store knows what was delivered, should Redis have forgotten it",
			span(func(c *Config) *time.Duration { return &c.Worker.KeepNotes })),
	)
}

func upkeep() []Setting {
	return advanced(
		row(Upkeep, "reconcile-every", "5s", "TIME", "time between two looks for uploads without a task",
			span(func(c *Config) *time.Duration { return &c.Worker.ReconcileEvery })),
		row(Upkeep, "grace", "30s", "TIME", "how long a producer or worker may take to put a task",
			span(func(c *Config) *time.Duration { return &c.Ledger.Grace })),
		row(Upkeep, "first-look", "30s", "TIME", "when an upload that has its task is looked at again, doubling",
			span(func(c *Config) *time.Duration { return &c.Ledger.FirstLook })),
		row(Upkeep, "long-look", "1h", "TIME", "longest time between two such looks",
			span(func(c *Config) *time.Duration { return &c.Ledger.LongLook })),
		row(Upkeep, "orphan-age", "1h", "TIME", "age from which voucher bytes that no upload claims are deleted",
			span(func(c *Config) *time.Duration { return &c.Worker.OrphanAge })),
		row(Upkeep, "hold-limit", "1h", "TIME", "how long a task waits in its handler before it goes round once more",
			span(func(c *Config) *time.Duration { return &c.Worker.HoldLimit })),
		row(Upkeep, "poll-every", "250ms", "TIME", "how often an idle account asks for tasks",
			span(func(c *Config) *time.Duration { return &c.Worker.PollEvery })),
		row(Upkeep, "finish-patience", "10m", "TIME", "how long an outcome is tried to be recorded while Redis is away",
			span(func(c *Config) *time.Duration { return &c.Worker.FinishPatience })),
		row(Upkeep, "redis-timeout", "10s", "TIME", "limit of one call to the ledger",
			span(func(c *Config) *time.Duration { return &c.Worker.RedisTimeout })),
		row(Upkeep, "redis-pause", "1s", "TIME", "time between two tries while Redis is away",
			span(func(c *Config) *time.Duration { return &c.Worker.RedisPause })),
	)
}
