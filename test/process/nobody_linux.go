package process

import (
	"errors"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// AsNobody does something without root's right to every file, on this thread alone. Who is not root
// has no such right to give up.
func AsNobody(do func()) (err error) {
	if os.Geteuid() == 0 {
		const nobody = 65534
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if _, err = unix.SetfsuidRetUid(nobody); err != nil {
			return err
		}
		defer func() {
			_, back := unix.SetfsuidRetUid(0)
			err = errors.Join(err, back)
		}()
	}
	do()
	return err
}
