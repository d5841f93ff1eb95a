package web

import (
	"cmp"

	"github.com/voucherd/voucherd/ledger"
	"github.com/voucherd/voucherd/tasks"
)

// strip is how an account's breaker stood in each step.
type strip struct {
	Account string
	Width   float64
	Pieces  []piece
	Now     string // how it stands
}

// piece is some steps in which the breaker stood the same.
type piece struct {
	Class    string // closed, open, held or unwatched
	X, Width float64
	Text     string
}

func strips(w words, s span, lately []ledger.Activity, accounts []tasks.AccountStatus) []strip {
	all := make([]strip, len(accounts))
	for i, a := range accounts {
		all[i] = strip{Account: a.Account, Width: slotWidth * float64(s.Steps), Now: w.stood(a.Reason)}
		now := &lately[i].Steps[s.Steps-1]
		now.Watched, now.Breaker = now.Watched || a.LiveWorkers() > 0, max(now.Breaker, a.Reason)
		for j, step := range lately[i].Steps {
			text := w.texts["chart.unwatched"]
			if step.Watched {
				text = w.stood(step.Breaker)
			}
			text = w.before(s, j) + " · " + text
			class := standing(step)
			last := len(all[i].Pieces) - 1
			if last >= 0 && all[i].Pieces[last].Class == class && j > 0 && lately[i].Steps[j-1].Breaker == step.Breaker {
				all[i].Pieces[last].Width += slotWidth
				continue
			}
			all[i].Pieces = append(all[i].Pieces, piece{class, slotWidth * float64(j), slotWidth, text})
		}
	}
	return all
}

// standing gives the colour of a step of a strip.
func standing(s ledger.Step) string {
	switch {
	case !s.Watched:
		return "unwatched"
	case s.Breaker == "":
		return "closed"
	case s.Breaker == "throttled" || s.Breaker == ledger.ReasonPaused:
		return "held"
	default:
		return "open"
	}
}

// stood says how a breaker stood.
func (w words) stood(reason string) string {
	if reason == "" {
		return w.texts["account.closed"]
	}
	return cmp.Or(w.texts["breaker."+reason], reason)
}
