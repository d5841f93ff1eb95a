package redistest

import "syscall"

// dieWithParent lets the kernel kill the server when the test binary ends
// without stopping it.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
