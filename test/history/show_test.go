package history_test

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anishathalye/porcupine"
)

// describe writes a call and its answer for people.
func describe(in call, out answer) string {
	return describeCall(in) + " → " + describeAnswer(in, out)
}

func describeCall(in call) string {
	switch in.kind {
	case open:
		text := "Open " + letter(in.upload)
		if in.again {
			text += " again"
		}
		if in.replace {
			text += " replacing"
		}
		return text
	case begin:
		return fmt.Sprintf("Begin %s.%d as a%d", letter(in.upload), in.generation, in.attempt)
	case finish:
		return fmt.Sprintf("Finish a%d of %s %s", in.attempt, letter(in.upload), results()[in.result].Outcome)
	case release:
		return fmt.Sprintf("Release a%d of %s", in.attempt, letter(in.upload))
	case beat, recovery:
		return fmt.Sprintf("%s w%d", in.kind, in.worker)
	case sweep:
		return string(sweep)
	case retry, discard, read, audit:
	}
	return string(in.kind) + " " + letter(in.upload)
}

// letter names an upload.
func letter(upload int) string { return "ABC"[upload : upload+1] }

func describeAnswer(in call, out answer) string {
	if out.unknown {
		return "no answer"
	}
	text := cmp.Or(out.what, "done")
	if in.kind == finish {
		text += ", " + string(out.state)
	}
	if out.generation > 0 {
		if in.kind == open || in.kind == retry {
			out.upload = in.upload
		}
		text += fmt.Sprintf(", task %s.%d", letter(out.upload), out.generation)
	}
	return text
}

// shrink gives the shortest beginning of a history that is no longer linearizable, without the calls
// that changed nothing.
func shrink(t *testing.T, h history) history {
	t.Helper()
	var ends []int64
	for _, r := range h {
		ends = append(ends, r.done)
	}
	slices.Sort(ends)
	for _, end := range ends {
		if short := h.until(end); !linearizable(t, short) {
			h = short
			break
		}
	}
	for i, r := range slices.Backward(h) {
		if less := slices.Delete(slices.Clone(h), i, i+1); h.idle(r) && !linearizable(t, less) {
			h = less
		}
	}
	return h
}

// report tells of a history that no order of its calls explains, and keeps a picture.
func report(t *testing.T, h history) {
	t.Helper()
	slices.SortFunc(h, func(a, b record) int { return cmp.Compare(a.began, b.began) })
	var b strings.Builder
	for _, r := range h {
		till := "…"
		if r.done != never {
			till = fmt.Sprintf("%8.3f ms", float64(r.done)/1e6)
		}
		fmt.Fprintf(&b, "\n  client %d  %8.3f to %s  %s", r.client+1, float64(r.began)/1e6, till, describe(r.in, r.out))
	}
	path := filepath.Join(*artefacts, "history.html")
	_, info := porcupine.CheckOperationsVerbose(model(), h.operations(), checkLimit)
	err := os.MkdirAll(*artefacts, 0o755)
	if err == nil {
		err = porcupine.VisualizePath(model(), info, path)
	}
	if err != nil {
		t.Error(err)
	}
	t.Errorf("not linearizable (seed %d): no order of these %d calls explains their answers; a picture is in %s%s", *seed, len(h), path, &b)
}
