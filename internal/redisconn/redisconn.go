// Package redisconn makes a Redis client of a URL, with limits that suit voucherd.
package redisconn

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// The limits let a caller know within five seconds that Redis cannot be reached, retries included.
const (
	dialTimeout = 2 * time.Second
	readTimeout = 2 * time.Second
	retries     = 1
	minBackoff  = 50 * time.Millisecond
	maxBackoff  = 250 * time.Millisecond
)

// Open makes a client for redis://, rediss:// and unix:// URLs; with addr parameters for a cluster,
// and with master_name for sentinels. Over TLS, ca_file names who is trusted instead of the
// system's authorities, and cert_file and key_file what the client shows. Conns is the most
// connections; 0 leaves go-redis' default. It does not connect. Errors do not repeat the URL, which
// may hold a password.
func Open(rawURL string, conns int) (redis.UniversalClient, error) {
	rdb, err := open(rawURL, conns)
	if err != nil {
		return nil, err
	}
	rdb.AddHook(bounded{})
	MergeCalls(rdb)
	return rdb, nil
}

// MergeCalls lets a client send scripts that are called at the same time as one pipeline, and run
// none on a part of its data while a cluster moves it.
func MergeCalls(rdb redis.UniversalClient) {
	rdb.AddHook(NewMerger(rdb))
	if _, cluster := rdb.(*redis.ClusterClient); cluster {
		rdb.AddHook(wholeSlot{})
	}
}

func open(rawURL string, conns int) (redis.UniversalClient, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL; write redis://[user:password@]host:port/database")
	}
	files := takeFiles(u)
	switch {
	case u.Query().Has("master_name"):
		return openSentinel(u.String(), files, conns)
	case u.Query().Has("addr"):
		return openCluster(u.String(), files, conns)
	default:
		return openSingle(u.String(), files, conns)
	}
}

func openSingle(rawURL string, files tlsFiles, conns int) (redis.UniversalClient, error) {
	o, err := redis.ParseURL(rawURL)
	if err != nil {
		return nil, reason(err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.DialerRetries = dialTimeout, readTimeout, readTimeout, 1
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
	o.DisableIdentity, o.MaintNotificationsConfig = true, unannounced()
	if err = files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	return redis.NewClient(o), nil
}

func openSentinel(rawURL string, files tlsFiles, conns int) (redis.UniversalClient, error) {
	o, err := redis.ParseFailoverURL(rawURL)
	if err != nil {
		return nil, reason(err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.DialerRetries = dialTimeout, readTimeout, readTimeout, 1
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
	o.DisableIdentity = true // of maintenance notifications go-redis says nothing to sentinels' Redis
	if err = files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	rdb := redis.NewFailoverClient(o)
	// go-redis calls it FailoverClient, which tells nobody which Redis it is.
	rdb.Options().Addr = o.MasterName + ofSentinels + strings.Join(o.SentinelAddrs, ",")
	return rdb, nil
}

// ofSentinels is in the address of a client that asks sentinels.
const ofSentinels = " of the sentinels "

// HasSentinels says whether a client of Open asks sentinels for the master.
func HasSentinels(rdb redis.UniversalClient) bool { return strings.Contains(address(rdb), ofSentinels) }

func openCluster(rawURL string, files tlsFiles, conns int) (redis.UniversalClient, error) {
	o, err := redis.ParseClusterURL(rawURL)
	if err != nil {
		return nil, reason(err)
	}
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.DialerRetries = dialTimeout, readTimeout, readTimeout, 1
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
	o.DisableIdentity, o.MaintNotificationsConfig = true, unannounced()
	if err = files.apply(o.TLSConfig); err != nil {
		return nil, err
	}
	return redis.NewClusterClient(o), nil
}

// unannounced asks for no maintenance notifications. Redis 7.0 and older know neither them nor a
// client's identity; asking costs a round trip per connection.
func unannounced() *maintnotifications.Config {
	return &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// reason keeps go-redis' explanation and leaves the URL out.
func reason(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return fmt.Errorf("%w; write redis://[user:password@]host:port/database", err)
}
