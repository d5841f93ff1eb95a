// Package accountname has the rule for the names of accounts.
package accountname

import "strings"

const longest = 32 // characters

// Rule says in half a sentence what names Valid accepts.
const Rule = "must have 1 to 32 characters of a-z, 0-9 and '-'"

// Valid says whether an account may have this name. Such a name is safe in keys, paths and ids.
func Valid(name string) bool {
	return name != "" && len(name) <= longest && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
	})
}
