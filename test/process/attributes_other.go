//go:build !linux

package process

import "syscall"

// attributes leaves Ctrl-C to reach every process: that is what ends them all when this one cannot.
func attributes() *syscall.SysProcAttr { return nil }
