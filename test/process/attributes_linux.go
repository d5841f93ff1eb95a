package process

import "syscall"

// attributes lets a process outlive nothing: the kernel kills it when this one ends, however it
// ends. Ctrl-C reaches this process alone, which then ends the others in order.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
