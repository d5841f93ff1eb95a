//go:build crashpoints

package ledger

import (
	"reflect"

	"github.com/redis/go-redis/v9"
)

// ScriptNames gives the names of the ledger's scripts by their SHA-1.
func (l *Ledger) ScriptNames() map[string]string {
	names := map[string]string{}
	all := reflect.ValueOf(l.scripts)
	for i := range all.NumField() {
		names[(*redis.Script)(all.Field(i).UnsafePointer()).Hash()] = all.Type().Field(i).Name
	}
	return names
}
