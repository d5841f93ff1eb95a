//go:build !race

package learn_test

// raced says that the race detector runs.
const raced = false
