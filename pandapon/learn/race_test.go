//go:build race

package learn_test

// raced says that the race detector runs: it makes a search several times slower.
const raced = true
