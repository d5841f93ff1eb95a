// Package redisconn makes a Redis client of a URL, with limits that suit voucherd.
package redisconn

import (
	"errors"
	"fmt"
	"net/url"
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
// and with master_name for sentinels. Conns is the most connections; 0 leaves go-redis' default. It
// does not connect. Errors do not repeat the URL, which may hold a password.
func Open(rawURL string, conns int) (redis.UniversalClient, error) {
	rdb, err := open(rawURL, conns)
	if err != nil {
		return nil, err
	}
	rdb.AddHook(bounded{})
	rdb.AddHook(NewMerger(rdb))
	return rdb, nil
}

func open(rawURL string, conns int) (redis.UniversalClient, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, errors.New("not a URL; write redis://[user:password@]host:port/database")
	}
	switch {
	case u.Query().Has("master_name"):
		o, err := redis.ParseFailoverURL(rawURL)
		if err != nil {
			return nil, reason(err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = dialTimeout, readTimeout, readTimeout, true
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
		o.DisableIdentity = true // of maintenance notifications go-redis says nothing to sentinels' Redis
		return redis.NewFailoverClient(o), nil
	case u.Query().Has("addr"):
		o, err := redis.ParseClusterURL(rawURL)
		if err != nil {
			return nil, reason(err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.ContextTimeoutEnabled = dialTimeout, readTimeout, readTimeout, true
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
		o.DisableIdentity, o.MaintNotificationsConfig = true, unannounced()
		return redis.NewClusterClient(o), nil
	default:
		o, err := redis.ParseURL(rawURL)
		if err != nil {
			return nil, reason(err)
		}
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.DialerRetries = dialTimeout, readTimeout, readTimeout, 1
		o.ContextTimeoutEnabled = true
		o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff, o.PoolSize = retries, minBackoff, maxBackoff, conns
		o.DisableIdentity, o.MaintNotificationsConfig = true, unannounced()
		return redis.NewClient(o), nil
	}
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
