package main

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
)

// monitor counts the commands that a Redis carries out, with MONITOR on a connection of its own.
type monitor struct {
	conn            net.Conn
	asked, scripted atomic.Int64 // by clients; by scripts
	done            chan struct{}
}

// listen counts from now on.
func listen(ctx context.Context, addr string) (*monitor, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		_, err = fmt.Fprint(conn, "MONITOR\r\n")
	}
	if err != nil {
		return nil, fmt.Errorf("monitor redis: %w", err)
	}
	m := &monitor{conn: conn, done: make(chan struct{})}
	go m.count(bufio.NewReaderSize(conn, 1<<16))
	return m, nil
}

// count reads lines such as `+1700000000.123456 [0 127.0.0.1:5000] "get" "x"`; a script's say `[0
// lua]`. They may be long: a voucher's bytes stand in them.
func (m *monitor) count(r *bufio.Reader) {
	defer close(m.done)
	for begins := true; ; {
		part, more, err := r.ReadLine()
		if err != nil {
			return
		}
		if from, _, ok := strings.Cut(string(part[:min(len(part), 80)]), "]"); begins && ok {
			if strings.HasSuffix(from, " lua") {
				m.scripted.Add(1)
			} else {
				m.asked.Add(1)
			}
		}
		begins = !more
	}
}

func (m *monitor) close() {
	_ = m.conn.Close()
	<-m.done
}
