package main

import "syscall"

// apart lets a child outlive nothing: the kernel kills it when this process ends, however it ends. Ctrl-C reaches this
// process alone, which then ends its children in order.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
