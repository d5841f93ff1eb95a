//go:build !linux

package redistest

import "syscall"

// dieWithParent does nothing here: after a panic the server stays.
func dieWithParent() *syscall.SysProcAttr { return nil }
