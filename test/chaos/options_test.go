package main

import "testing"

func TestEveryRunKnowsWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options options
		runs    int
	}{
		"all":              {options{}, 4},
		"with one store":   {options{Store: storeFile}, 3},
		"one scenario":     {options{Scenario: "rebuild"}, 1},
		"with few workers": {options{Workers: 1}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			all := c.options.runs()
			if len(all) != c.runs {
				t.Errorf("%d runs, want %d", len(all), c.runs)
			}
			for _, o := range all {
				if o.Scenario == "" || o.N == 0 || o.Workers == 0 || o.Store == "" {
					t.Errorf("%+v lacks something", o)
				}
			}
		})
	}
}
