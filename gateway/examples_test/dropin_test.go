package examples_test

import (
	"os"
	"strings"
	"testing"
)

// dropIn is the README's code for a runtime, as a file.
func (s *stage) dropIn(fence, name string) string {
	s.t.Helper()
	text, err := os.ReadFile(examples + "README.md")
	must(s.t, err)
	_, code, ok := strings.Cut(string(text), "\n```"+fence+"\n")
	code, _, end := strings.Cut(code, "\n```\n")
	if !ok || !end {
		s.t.Fatalf("the README has no code in %s", fence)
	}
	return s.file(name, []byte(code+"\n"))
}

// The README's code hands a voucher to PandaPon's API, and to the gateway when nothing but the base
// URL is changed.
func TestDropIn(t *testing.T) {
	t.Parallel()
	for _, e := range []struct {
		fence, name, runtime string
		check                []string
	}{
		{fence: "python", name: "dropin.py", runtime: "python3"},
		{fence: "php", name: "dropin.php", runtime: "php", check: []string{"-r", `exit(extension_loaded("curl") ? 0 : 1);`}},
	} {
		t.Run(e.fence, func(t *testing.T) {
			t.Parallel()
			runtime := need(t, e.runtime, e.check...)
			s := setup(t, nil)
			program, voucher := s.dropIn(e.fence, e.name), picture(t, "image/jpeg")
			path := s.file("receipt.jpg", voucher)

			got := s.run(s.apiURL, runtime, program, path, order)
			asked := s.api.Requests()
			if got.code != 0 || len(asked) != 1 || !asked[0].Accepted || got.out != asked[0].RequestID+"\n" {
				t.Fatalf("the API: exit code %d, printed %q and %q; it was asked %+v", got.code, got.out, got.err, asked)
			}

			got = s.run(s.url, runtime, program, path, order)
			u := s.only(voucher, "")
			if got.code != 0 || got.out != u.ID+"\n" || u.UserID != userID || u.SHA256 != asked[0].SHA256 {
				t.Fatalf("the gateway: exit code %d, printed %q and %q; the upload is %+v", got.code, got.out, got.err, u)
			}

			got = s.run(s.url, runtime, program, s.file("receipt.txt", []byte("paid, honestly\n")), order)
			if got.code == 0 || got.out != "" || !strings.Contains(got.err, "98007: voucherd: ") {
				t.Fatalf("a refusal: exit code %d, printed %q and %q", got.code, got.out, got.err)
			}
			s.only(voucher, "")
		})
	}
}
