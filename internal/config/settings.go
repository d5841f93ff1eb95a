package config

import (
	"errors"
	"net/url"
	"os"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/voucherd/voucherd/internal/redisconn"
	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/pandapon"
)

// Setting is one line of the table of settings.
type Setting struct {
	Flag    string // without the dashes; "": it has no flag, because a secret must not stand in a process list
	Env     string // the variable
	Default string // "": none, or what Help says
	Help    string // one sentence without the full stop
	Value   string // what stands for its value in help: URL, TIME, N
	Section Section

	// Advanced settings are for tests and for operators who know why: help does not show them.
	Advanced bool

	read reader
}

// Section is a part of the table. A command has the sections that concern it.
type Section string

// The sections of the table.
const (
	Connection Section = "Redis and blob store"
	PandaPon   Section = "PandaPon account"
	Intake     Section = "Vouchers"
	Delivery   Section = "Delivery"
	Retries    Section = "Retries"
	Breaker    Section = "Breaker"
	Keeping    Section = "Keeping"
	Upkeep     Section = "Upkeep"
	Webhooks   Section = "Webhooks"
	Logging    Section = "Log and traces"
)

func (s Section) in(sections []Section) bool { return slices.Contains(sections, s) }

// In says whether the setting belongs to one of these sections.
func (s Setting) In(sections []Section) bool { return s.Section.in(sections) }

// Settings gives the table, in the order of its sections.
func Settings() []Setting { return settingsOf(&Config{}) }

// settingsOf gives the table whose settings are read into c.
func settingsOf(c *Config) []Setting {
	return slices.Concat(
		connection(c), accountSettings(c), intake(c), delivery(c), lease(c), retries(c), delays(c), breaker(c), keeping(c), notes(c),
		upkeep(c), webhooks(c), logging(c),
	)
}

// row makes a setting whose variable is VOUCHERD_ and its flag's name.
func row(section Section, flag, def, value, help string, read reader) Setting {
	env := "VOUCHERD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
	return Setting{Flag: flag, Env: env, Default: def, Help: help, Value: value, Section: section, read: read}
}

// advanced makes settings that help does not show.
func advanced(settings ...Setting) []Setting {
	for i := range settings {
		settings[i].Advanced = true
	}
	return settings
}

// named gives a setting a variable of its own.
func named(env string, s Setting) Setting {
	s.Env = env
	return s
}

func connection(c *Config) []Setting {
	return []Setting{
		named("VOUCHERD_REDIS_URL", row(Connection, "redis", "redis://127.0.0.1:6379/0", "URL",
			"Redis that holds queue and ledger (redis://, rediss:// or unix://)", parsed(&c.RedisURL, redisURL))),
		row(Connection, "store", "redis:", "URL", "where voucher bytes lie: redis:, file:///dir or s3://bucket/prefix", text(&c.Store)),
		row(Connection, "encrypt-to", "", "LIST", "age recipients (age1…) that vouchers are encrypted to; without any they lie in plain",
			parsed(&c.Keys.Recipients, func(s string) ([]age.Recipient, error) {
				return age.ParseRecipients(strings.NewReader(strings.ReplaceAll(s, ",", "\n")))
			})),
		row(Connection, "identity-file", "", "FILE", "file of age identities, one of which opens encrypted vouchers; for workers",
			parsed(&c.Keys.Identities, readIdentities)),
	}
}

func readIdentities(path string) ([]age.Identity, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	found, err := age.ParseIdentities(f)
	if err != nil { // its text may repeat a line of the file
		return nil, errors.New("the file must hold identities as age-keygen writes them, AGE-SECRET-KEY-1… one a line")
	}
	return found, nil
}

func redisURL(s string) (string, error) {
	client, err := redisconn.Open(s, 1)
	if err != nil {
		return "", err
	}
	return s, client.Close()
}

func accountSettings(c *Config) []Setting {
	api := func(flag, def, value, help string, read reader) Setting {
		s := row(PandaPon, flag, def, value, help, read)
		return named("PANDAPON_"+strings.TrimPrefix(s.Env, "VOUCHERD_"), s)
	}
	return []Setting{
		api("base-url", pandapon.DefaultBaseURL, "URL", "address of the API", parsed(&c.account.baseURL, baseURL)),
		api("upload-path", pandapon.DefaultUploadPath, "PATH", "path that vouchers are sent to",
			parsed(&c.account.uploadPath, uploadPath)),
		api("access-key", "", "KEY", "access key of the account", text(&c.account.accessKey)),
		{
			Env: "PANDAPON_ACCESS_SECRET", Section: PandaPon, Value: "SECRET", Help: "access secret of the account",
			read: parsed(&c.account.secret, func(s string) (pandapon.Secret, error) { return pandapon.Secret(s), nil }),
		},
		api("access-secret-file", "", "FILE", "file that holds the access secret, instead of PANDAPON_ACCESS_SECRET",
			text(&c.account.secretFile)),
		api("user-id", "", "ID", "sub-account of the access key", text(&c.account.userID)),
		api("sign-parts", "access-key,timestamp,nonce-str,secret", "LIST", "what the signature is made of, in order; after a semicolon, how",
			parsed(&c.Rule, func(s string) (pandapon.SignRule, error) {
				rule, err := pandapon.ParseSignRule(s)
				rule.Unit = c.Rule.Unit // a setting of its own
				return rule, err
			})),
		api("timestamp-unit", string(pandapon.Milliseconds), "UNIT", "unit of the timestamp: ms or s",
			parsed(&c.Rule.Unit, pandapon.ParseTimestampUnit)),
		row(PandaPon, "accounts-file", "", "FILE", "YAML file that names several accounts", text(&c.accountsFile)),
	}
}

func baseURL(s string) (string, error) {
	return s, checkClient(pandapon.Config{BaseURL: s}, "base URL: ")
}

func uploadPath(s string) (string, error) {
	return s, checkClient(pandapon.Config{UploadPath: s}, "upload path: ")
}

// checkClient asks the client that will have to take the value; its sentence begins with its own
// name for it.
func checkClient(cfg pandapon.Config, itsName string) error {
	client, err := pandapon.NewClient(cfg)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), itsName))
	}
	client.Close()
	return nil
}

func intake(c *Config) []Setting {
	return []Setting{
		row(Intake, "max-voucher-bytes", "10MiB", "SIZE", "largest voucher that is accepted", size(maxVoucher, &c.MaxVoucherBytes)),
		row(Intake, "media-types", "image/jpeg,image/png,image/webp,image/gif,image/bmp,image/heic,image/heif,application/pdf",
			"LIST", "kinds of voucher that are accepted, told from their bytes",
			list(mediaType, &c.MediaTypes)),
		row(Intake, "redis-wait", "10s", "TIME", "how long to try again while Redis cannot be reached; 0s: not at all",
			atLeast(0, &c.RedisWait)),
		row(Intake, "replicas-ack", "0", "N", "replicas of Redis that must have an upload before it counts as accepted",
			count(0, 100, &c.ReplicasAck)),
		row(Intake, "spool", "", "DIR", "directory in which vouchers wait while Redis is away (default: .spool in a file store; otherwise none)",
			text(&c.Spool)),
		row(Intake, "spool-most", "1GiB", "SIZE", "how much may wait there", size(maxSpool, &c.SpoolMost)),
	}
}

func delivery(c *Config) []Setting {
	return []Setting{
		row(Delivery, "concurrency", "16", "N", "most calls to the API at a time, for each account of this worker",
			count(1, 1000, &c.concurrency)),
		row(Delivery, "rate", "", "RATE",
			"most calls to the API within a second, minute or hour, for each account over all its workers: 20/s, 100/m or 500/h; the same for all workers",
			parsed(&c.rate, ledger.ParseRate)),
		row(Delivery, "call-timeout", "60s", "TIME", "limit of one call to the API; the same for all workers",
			span(&c.Worker.CallTimeout)),
		row(Delivery, "shutdown-timeout", "", "TIME",
			"how long running calls may finish when the worker is stopped; longer than the call timeout (default: that and a quarter)",
			span(&c.Worker.ShutdownTimeout)),
		row(Delivery, "worker-name", "", "NAME", "name of this worker in attempts (default: host:pid)", text(&c.Worker.Name)),
	}
}

func lease(c *Config) []Setting {
	return advanced(
		row(Delivery, "lease-margin", "30s", "TIME",
			"how much longer an attempt keeps others out than its call can take; the same for all workers",
			span(&c.Worker.LeaseMargin)),
	)
}

func logging(c *Config) []Setting {
	return []Setting{
		row(Logging, "log", "info", "LEVEL", "how much is logged: info or debug", parsed(&c.LogDebug, func(s string) (bool, error) {
			level, err := oneOf("info", "debug")(s)
			return level == "debug", err
		})),
		row(Logging, "log-format", "auto", "FORMAT", "form of the log: json, console, or auto: console on a terminal, else json",
			parsed(&c.LogFormat, oneOf(LogAuto, LogJSON, LogConsole))),
		{
			Env: "OTEL_EXPORTER_OTLP_ENDPOINT", Section: Logging, Value: "URL",
			Help: "OTLP receiver (HTTP) that traces are sent to, as in http://127.0.0.1:4318; other standard OTEL_ variables count too",
			read: parsed(&c.TracesTo, func(s string) (string, error) {
				to, err := receiverURL(s)
				return strings.TrimSuffix(to, "/") + "/v1/traces", err
			}),
		},
		{
			Env: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", Section: Logging, Value: "URL", Help: "the same with its path, instead",
			read: parsed(&c.TracesTo, receiverURL),
		},
	}
}

func receiverURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", errors.New("it must be a URL, as in http://127.0.0.1:4318")
	}
	return s, nil
}
