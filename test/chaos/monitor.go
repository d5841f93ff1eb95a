package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
)

// monitor counts the commands that a Redis is asked for.
type monitor struct {
	conn            net.Conn
	asked, scripted atomic.Int64
	done            chan struct{}
}

// traffic is what a monitor has seen.
type traffic struct {
	asked    int // by clients
	scripted int // within scripts
}

// listen counts from now on, with MONITOR on a connection of its own.
func listen(ctx context.Context, addr string) (*monitor, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("monitor redis: %w", err)
	}
	m := &monitor{conn: conn, done: make(chan struct{})}
	r := bufio.NewReaderSize(conn, 1<<16)
	if _, err = fmt.Fprint(conn, "MONITOR\r\n"); err == nil {
		_, err = r.ReadString('\n') // +OK
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("monitor redis: %w", err)
	}
	go m.count(r)
	return m, nil
}

// count reads lines such as `+1700000000.123456 [0 127.0.0.1:5000] "get" "x"`; a script's say `[0 lua]`. They may be
// long: a voucher's bytes stand in them.
func (m *monitor) count(r *bufio.Reader) {
	defer close(m.done)
	begins := true
	for {
		part, more, err := r.ReadLine()
		if err != nil {
			return
		}
		if begins {
			from, _, _ := strings.Cut(string(part[:min(len(part), 80)]), "]")
			if strings.HasSuffix(from, " lua") {
				m.scripted.Add(1)
			} else {
				m.asked.Add(1)
			}
		}
		begins = !more
	}
}

func (m *monitor) seen() traffic { return traffic{int(m.asked.Load()), int(m.scripted.Load())} }

func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.done
}
