// Command failover lets Redis fail over while vouchers are accepted and delivered, in every
// combination of how it happens, how Redis syncs its file, whether producers wait for replicas, and
// where vouchers lie. It prints as a table what that cost. Loopback only.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/redis/go-redis/v9/logging"
	"go.uber.org/zap"

	"github.com/voucherd/voucherd/test/s3test"
)

// options are the flags.
type options struct {
	Vouchers int    `help:"Vouchers of each run." default:"1000"`
	Only     string `help:"Only runs whose line begins with this, as \"Sentinel\" or \"Cluster, master\"."`
	Out      string `help:"Write the table to this file too."`
}

func main() {
	logging.Disable() // Redis is away on purpose
	var o options
	parser := kong.Parse(&o, kong.Name("failover"), kong.Description("Lets Redis fail over in the midst of runs, and says what that cost."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	parser.FatalIfErrorf(err)
}

// run does all trials one after another, since each is timed.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "voucherd-failover-s3-")
	if err != nil {
		return fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // what is left there is no harm
	s3, err := s3test.Run(ctx, dir)
	if err != nil {
		return err
	}
	defer s3.Close()
	var table strings.Builder
	say := func(line string) {
		fmt.Print(line)
		table.WriteString(line)
	}
	say(header())
	for i, t := range trials(o.Vouchers) {
		if !strings.HasPrefix(t.Ways[0], o.Only) {
			continue
		}
		var f figures
		if f, err = t.run(ctx, s3.Setting(fmt.Sprintf("trial-%d", i))); err != nil {
			return fmt.Errorf("%+v: %w", t, err)
		}
		say(t.row(f))
	}
	if o.Out == "" {
		return nil
	}
	if err = os.WriteFile(filepath.Clean(o.Out), []byte(table.String()), 0o644); err != nil { //nolint:gosec // for all to read
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}

// trials are all combinations.
func trials(vouchers int) (all []trial) {
	for _, way := range []string{sentinelKill, sentinelCut, clusterKill, clusterMove} {
		for _, store := range []string{storeRedis, storeFile, storeS3} {
			for _, wait := range []bool{false, true} {
				for _, fsync := range []string{"everysec", "always"} {
					all = append(all, trial{Ways: []string{way}, Fsync: fsync, Wait: wait, Store: store, Vouchers: vouchers, Log: zap.NewNop()})
				}
			}
		}
	}
	return all
}
