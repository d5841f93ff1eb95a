package config

// NewName gives what a variable, flag, command or key of the accounts file is called now, if the
// name is a former one. Former names are refused: a setting that is passed over in silence would be
// worse than one that stops the program.
func NewName(former string) (now string, ok bool) {
	now, ok = map[string]string{
		"VOUCHERD_VAULT":      "VOUCHERD_STORE",
		"VOUCHERD_LANE":       "VOUCHERD_ACCOUNT",
		"VOUCHERD_LANE_ROW":   "VOUCHERD_ACCOUNT_ROW",
		"VOUCHERD_LANES_FILE": "VOUCHERD_ACCOUNTS_FILE",
		"--vault":             "--store",
		"--lane":              "--account",
		"--lane-row":          "--account-row",
		"--lanes-file":        "--accounts-file",
		"lanes":               "accounts",
	}[former]
	return now, ok
}
