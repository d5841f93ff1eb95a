//go:build !linux

package main

import "syscall"

// apart keeps Ctrl-C from the children, which this process then ends in order. Should it be killed itself, they stay.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
